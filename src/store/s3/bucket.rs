//! Buckets: create, delete, list.

use super::{Code, ContainerInfo, Error, Result, S3Store, to_system_time};
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};

pub(super) async fn create(store: &S3Store) -> Result<()> {
    named(store)?;
    let client = store.client().await?;
    // us-east-1 and some services answer "created" for a bucket that is there.
    match client.head_bucket().bucket(store.bucket()).send().await {
        Ok(_) => return Err(Error::new(Code::AlreadyExists, "there is a bucket of this name already")),
        Err(failure) if failure.raw_response().is_none() => return Err(store.failed(failure)),
        Err(_) => {}
    }
    let create = client.create_bucket().bucket(store.bucket());
    let region = client.config().region().map(|region| region.as_ref().to_owned());
    let create = match region.filter(|region| region != "us-east-1") {
        Some(region) => create.create_bucket_configuration(
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region.as_str()))
                .build(),
        ),
        None => create,
    };
    create.send().await.map(drop).map_err(|e| store.failed(e))
}

pub(super) async fn delete(store: &S3Store) -> Result<()> {
    named(store)?;
    let delete = store.client().await?.delete_bucket().bucket(store.bucket());
    let deleted = delete.send().await.map(drop).map_err(|e| store.failed(e));
    deleted.map_err(|e| match e.code() {
        Code::NotFound => e.with_code(Code::ContainerNotFound),
        _ => e,
    })
}

pub(super) async fn list(store: &S3Store) -> Result<Vec<ContainerInfo>> {
    let client = store.client().await?;
    let mut found = Vec::new();
    let mut continuation = None;
    loop {
        let list = client.list_buckets().set_continuation_token(continuation);
        let output = list.send().await.map_err(|e| store.failed(e))?;
        found.extend(output.buckets().iter().filter_map(|bucket| {
            let created = to_system_time(bucket.creation_date());
            Some(ContainerInfo { name: bucket.name()?.to_owned(), created })
        }));
        match output.continuation_token {
            Some(token) if !token.is_empty() => continuation = Some(token),
            _ => return Ok(found),
        }
    }
}

fn named(store: &S3Store) -> Result<()> {
    match store.bucket() {
        "" => Err(Error::new(Code::InvalidUri, "the URI names no bucket")),
        _ => Ok(()),
    }
}
