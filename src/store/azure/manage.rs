//! Deleting, copying and moving objects; making and removing containers.

use super::Inner;
use super::headers::Headers;
use super::read::head_headers;
use super::retry::Step;
use super::write::headers_nonce;
use super::{etag_of, failure};
use crate::error::{Code, Error, Result};
use crate::net::Method;
use crate::net::retry::Reason;
use crate::net::retry::classify::RequestKind::{Read, Write};
use crate::store::PutResult;
use futures_util::{StreamExt as _, stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Deletes in flight in one call for many.
const DELETES_IN_FLIGHT: usize = 32;
const LONGEST_COPY_PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn delete(store: &Inner, key: &str) -> Result<()> {
    let client = store.client()?;
    let call = client.call(Method::Delete, &store.blob_path(key)?, &[]);
    // With snapshots the service would refuse.
    let call = call.header("x-ms-delete-snapshots", "include");
    match client.fetch(&call, &mut client.attempts(Write)).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.error.code() == Code::NotFound => Ok(()),
        Err(failure) => Err(failure.error),
    }
}

pub(super) async fn delete_many(store: &Arc<Inner>, keys: &[String]) -> Vec<Result<()>> {
    let one = |key: &String| {
        let (store, key) = (store.clone(), key.clone());
        async move { delete(&store, &key).await.map_err(|e| e.with_context("delete", store.root.join(&key))) }
    };
    let deletes: Vec<_> = keys.iter().map(one).collect();
    stream::iter(deletes).buffered(DELETES_IN_FLIGHT).collect().await
}

/// Deletes the source of a copy, only if it is still what was copied: else it is `Changed` and stays.
pub(super) async fn delete_copied(store: &Inner, key: &str, etag: Option<String>) -> Result<()> {
    let Some(etag) = etag else {
        return Err(Error::new(Code::Protocol, "the service names no ETag of the source, which stays")
            .with_hint("the copy is there; delete the source if nobody writes it"));
    };
    let client = store.client()?;
    let call = client.call(Method::Delete, &store.blob_path(key)?, &[]);
    let call = call.header("x-ms-delete-snapshots", "include").header("if-match", etag.as_str());
    match client.fetch(&call, &mut client.attempts(Write)).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.error.code() == Code::NotFound => Ok(()),
        Err(failure) if failure.is("ConditionNotMet") || failure.status() == Some(412) => Err(failure
            .error
            .with_code(Code::Changed)
            .with_cause(format!("the source was replaced after ETag {etag} was copied, and stays"))
            .with_hint("rename it again to move what is there now")),
        Err(failure) => Err(failure.error),
    }
}

/// A copy, and which version of the source it is of.
pub(super) struct Copied {
    pub(super) result: PutResult,
    pub(super) source_etag: Option<String>,
}

/// Copies inside the account; content type and metadata, so also the checksum, come along.
pub(super) async fn copy(store: &Inner, from: &str, to: &str) -> Result<Copied> {
    let of_source = |e: Error| e.with_context("copy", store.root.join(from));
    let client = store.client()?;
    let source_path = store.blob_path(from).map_err(of_source)?;
    let target_path = store.blob_path(to)?;
    let mut retry = client.attempts(Write);
    let mut inquiry = retry.inquiry(Read);
    // Its ETag pins what is copied; a missing source is told from a missing destination.
    let source =
        head_headers(&client, &source_path, None, &mut inquiry).await.map_err(|f| of_source(f.error))?;
    let source_url = client.url_for_service(&source_path, &store.account.credential)?;
    let mut call =
        client.call(Method::Put, &target_path, &[]).header("x-ms-copy-source", source_url.as_str());
    let source_etag = source.get("etag").map(etag_of);
    if let Some(etag) = &source_etag {
        call = call.header("x-ms-source-if-match", etag.as_str());
    }
    let mut answer = loop {
        let failure = match client.confirm_once(&call, &retry).await {
            Ok(answer) => break answer,
            Err(failure) => failure,
        };
        let end = match retry.step(&client, &failure).await {
            Step::Again => continue,
            Step::Look => retry.give_up(Reason::Final),
            Step::Over(end) => end,
        };
        let last = retry.finish(failure, end);
        if end.outcome_unknown {
            // The mark of the write that made the source tells a copy of it from all else.
            match head_headers(&client, &target_path, None, &mut retry.inquiry(Read)).await {
                Ok(there) if is_copy(&source, &there) => break there,
                _ => return Err(failure::unknown(last.error)),
            }
        }
        return Err(match last.status() {
            Some(412) => of_source(last.error.with_code(Code::Changed)),
            Some(404) if last.error.code() == Code::NotFound => of_source(last.error),
            _ => last.error,
        });
    };
    let id = answer.get("x-ms-copy-id").map(str::to_owned);
    let mut pause = Duration::from_millis(20);
    loop {
        match answer.get("x-ms-copy-status") {
            Some("success") => break,
            Some("pending") => {}
            status => {
                let why = answer.get("x-ms-copy-status-description").unwrap_or("no description");
                let status = status.unwrap_or("absent");
                return Err(Error::new(Code::Server, format!("the copy's status is {status}: {why}")));
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_COPY_PAUSE);
        // The copy goes on, whether or not it can be watched.
        let asked = head_headers(&client, &target_path, None, &mut retry.inquiry(Read)).await;
        answer = asked.map_err(|failure| failure::unknown(failure.error))?;
        if answer.get("x-ms-copy-id") != id.as_deref() {
            return Err(Error::new(Code::Changed, "another write replaced the destination during the copy"));
        }
    }
    let version = answer.get("x-ms-version-id").map(str::to_owned);
    Ok(Copied { result: PutResult { etag: answer.get("etag").map(etag_of), version }, source_etag })
}

/// Whether what is at the destination is, or becomes, a copy of the source.
fn is_copy(source: &Headers, there: &Headers) -> bool {
    let same_mark = headers_nonce(source).is_some() && headers_nonce(source) == headers_nonce(there);
    same_mark && matches!(there.get("x-ms-copy-status"), Some("success" | "pending"))
}

pub(super) async fn create_container(store: &Inner) -> Result<()> {
    let client = store.client()?;
    let call = client.call(Method::Put, store.container()?, &[("restype", "container")]);
    client.fetch(&call, &mut client.attempts(Write)).await.map_err(|f| f.error)?;
    Ok(())
}

/// The service would delete a container with all that is in it. Whether it is empty is asked first;
/// an object that is written between the two requests is lost.
pub(super) async fn delete_container(store: &Inner) -> Result<()> {
    let client = store.client()?;
    if super::list::any(store, &client).await? {
        return Err(Error::new(Code::NotEmpty, "the container still holds objects")
            .with_hint("delete_prefix with an empty prefix deletes them"));
    }
    let call = client.call(Method::Delete, store.container()?, &[("restype", "container")]);
    client.fetch(&call, &mut client.attempts(Write)).await.map_err(|f| f.error)?;
    Ok(())
}
