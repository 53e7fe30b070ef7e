//! Uploads in parts: invisible until complete, gone after abort.

use crate::context::{Context, assert_code, bytes};
use crate::objects::described;
use bytes::Bytes;
use s3dlio::Code;
use s3dlio::base::checksum::Crc32c;
use s3dlio::runtime::block_on;
use s3dlio::store::{Part, PutCondition, PutOptions, PutResult, Upload, UploadTotal};

const PART: usize = 5 << 20; // the smallest that S3 takes

fn put_part(upload: &dyn Upload, data: &[u8], number: usize) {
    let start = number * PART;
    let part = &data[start..data.len().min(start + PART)];
    let part = Part {
        number: number as u32,
        offset: start as u64,
        data: Bytes::copy_from_slice(part),
        crc32c: Crc32c::of(part),
    };
    block_on(upload.put_part(part)).unwrap().unwrap();
}

fn complete(upload: &dyn Upload, data: &[u8]) -> s3dlio::Result<PutResult> {
    let parts = data.len().div_ceil(PART) as u32;
    block_on(upload.complete(parts, UploadTotal { crc32c: Crc32c::of(data) }))?
}

pub fn parts_become_one_object(c: &Context) {
    let data = bytes(2 * PART + 7, 1);
    let upload = c.upload("dir/k", &PutOptions::default());
    (0..3).for_each(|number| put_part(&*upload, &data, number));
    let result = complete(&*upload, &data).unwrap();
    assert!(c.get("dir/k") == data);
    assert_eq!(result.etag, c.stat("dir/k").unwrap().etag);
}

pub fn parts_in_any_order_and_again(c: &Context) {
    let data = bytes(3 * PART, 2);
    let upload = c.upload("k", &PutOptions::default());
    for number in [2, 0, 1, 0] {
        put_part(&*upload, &data, number);
    }
    complete(&*upload, &data).unwrap();
    assert!(c.get("k") == data);
}

pub fn nothing_is_visible_before_complete(c: &Context) {
    let data = bytes(PART + 1, 3);
    let upload = c.upload("k", &PutOptions::default());
    put_part(&*upload, &data, 0);
    assert!(!c.exists("k"));
    assert_eq!(c.list("", true), [""; 0]);
    put_part(&*upload, &data, 1);
    assert!(!c.exists("k"));
    complete(&*upload, &data).unwrap();
    assert_eq!(c.list("", true), ["k"]);
}

pub fn abort_leaves_nothing(c: &Context) {
    let data = bytes(2 * PART, 4);
    let upload = c.upload("k", &PutOptions::default());
    put_part(&*upload, &data, 0);
    block_on(upload.abort()).unwrap().unwrap();
    assert!(!c.exists("k"));
    assert_eq!(c.list("", true), [""; 0]);
}

pub fn abort_twice(c: &Context) {
    let upload = c.upload("k", &PutOptions::default());
    block_on(upload.abort()).unwrap().unwrap();
    block_on(upload.abort()).unwrap().unwrap();
}

pub fn complete_replaces_an_object_at_once(c: &Context) {
    c.put("k", b"old");
    let data = bytes(PART + 5, 5);
    let upload = c.upload("k", &PutOptions::default());
    put_part(&*upload, &data, 0);
    put_part(&*upload, &data, 1);
    assert_eq!(c.get("k"), b"old");
    complete(&*upload, &data).unwrap();
    assert!(c.get("k") == data);
}

pub fn abort_keeps_the_old_object(c: &Context) {
    c.try_put("k", b"old", &described()).unwrap();
    let upload = c.upload("k", &PutOptions::default());
    put_part(&*upload, &bytes(PART, 6), 0);
    block_on(upload.abort()).unwrap().unwrap();
    assert_eq!(c.get("k"), b"old");
    assert_eq!(c.stat("k").unwrap().metadata, described().metadata);
}

pub fn metadata_and_type(c: &Context) {
    let data = bytes(PART + 5, 7);
    let upload = c.upload("k", &described());
    (0..2).for_each(|number| put_part(&*upload, &data, number));
    complete(&*upload, &data).unwrap();
    let meta = c.stat("k").unwrap();
    assert_eq!((meta.content_type, meta.metadata), (described().content_type, described().metadata));
}

pub fn create_only_upload_does_not_replace(c: &Context) {
    if !c.store.capabilities().conditional_put {
        return; // `conditions` asserts the refusal
    }
    let options = PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() };
    let data = bytes(PART + 5, 8);
    let outcome = block_on(async {
        let upload = c.store.create_upload("k", &options).await?;
        for number in 0..2 {
            let part = &data[number * PART..data.len().min((number + 1) * PART)];
            let part = Part {
                number: number as u32,
                offset: (number * PART) as u64,
                data: Bytes::copy_from_slice(part),
                crc32c: Crc32c::of(part),
            };
            upload.put_part(part).await?;
        }
        c.store.put("k", Bytes::from_static(b"rival").into(), &PutOptions::default()).await?;
        let completed = upload.complete(2, UploadTotal { crc32c: Crc32c::of(&data) }).await;
        upload.abort().await?;
        completed
    })
    .unwrap();
    assert_code(outcome, Code::AlreadyExists);
    assert_eq!(c.get("k"), b"rival");
}
