//! Writing objects: whole, and in blocks that one block list publishes.
//!
//! The service keeps the blocks of a blob, not of an upload. So two uploads to one key see each other:
//! whoever publishes first discards the other's blocks, and the other's `complete` fails with `Changed`.
//! Blocks that were never published expire after a week; `abort` removes them at once where it can do so
//! without touching anybody else's object or upload.

use super::client::{Call, Client};
use super::failure::{self, Failure};
use super::headers::Headers;
use super::read::head_headers;
use super::retry::{Retry, Step};
use super::xml::Element;
use super::{HIDDEN_METADATA, Inner, MAX_PARTS, META_CRC32C, META_WRITE, etag_of};
use crate::base::checksum::{Crc32c, format_crc32c};
use crate::base::random::seed;
use crate::base::sync::lock;
use crate::error::{Code, Error, Result};
use crate::net::Method;
use crate::net::retry::Reason;
use crate::net::retry::classify::RequestKind::{self, Commit, Read, Write};
use crate::store::{
    Content, Part, PutCondition, PutOptions, PutResult, Upload, UploadTotal, check_put_options,
};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

/// How often `abort` looks again: blocks of cancelled requests may arrive late.
const ABORT_ROUNDS: usize = 3;

pub(super) async fn put(
    store: &Inner,
    key: &str,
    content: Content,
    options: &PutOptions,
) -> Result<PutResult> {
    let Content { data, crc32c: crc } = content;
    check(options)?;
    let path = store.blob_path(key)?;
    let client = store.client()?;
    let nonce = new_nonce();
    let call = client.call(Method::Put, &path, &[]).header("x-ms-blob-type", "BlockBlob").body(data);
    let call = describe(call, options, crc, &nonce);
    let mut retry = client.attempts(kind_of(&options.condition));
    let done = publish(&client, &path, &call, &options.condition, &nonce, &mut retry).await;
    done.map_err(|error| match options.condition {
        PutCondition::Always => failure::repeatable(error),
        _ => error,
    })
}

/// As [`check_put_options`]; names that this backend uses itself are refused too.
pub(super) fn check(options: &PutOptions) -> Result<()> {
    check_put_options(options)?;
    match options.metadata.keys().find(|name| name.starts_with(HIDDEN_METADATA)) {
        Some(name) => Err(Error::new(
            Code::InvalidArgument,
            format!("metadata name {name:?} is reserved: names must not start with {HIDDEN_METADATA}"),
        )),
        None => Ok(()),
    }
}

/// Content type, metadata, checksum and condition of a write.
fn describe(mut call: Call, options: &PutOptions, crc: Crc32c, nonce: &str) -> Call {
    if let Some(content_type) = &options.content_type {
        call = call.header("x-ms-blob-content-type", content_type.as_str());
    }
    for (name, value) in &options.metadata {
        call = call.metadata(name, value);
    }
    call = call.metadata(META_CRC32C, &format_crc32c(crc.value())).metadata(META_WRITE, nonce);
    match &options.condition {
        PutCondition::Always => call,
        PutCondition::CreateOnly => call.header("if-none-match", "*"),
        PutCondition::IfMatch(etag) => call.header("if-match", etag.as_str()),
    }
}

/// Sends a write until its outcome is known. A refusal that follows a try without an answer may be
/// due to that try's success: then the object carries this write's nonce. An object without it says
/// nothing: the write may still be on its way.
async fn publish(
    client: &Client,
    path: &str,
    call: &Call,
    condition: &PutCondition,
    nonce: &str,
    retry: &mut Retry,
) -> Result<PutResult> {
    loop {
        let failure = match client.confirm_once(call, retry).await {
            Ok(headers) => {
                retry.succeeded();
                return Ok(result_of(&headers));
            }
            Err(failure) => failure,
        };
        let refused = failure.status().is_some_and(|status| matches!(status, 400 | 404 | 409 | 412));
        let over = match retry.step(client, &failure).await {
            Step::Again => continue,
            Step::Look => None,
            Step::Over(end) if !end.outcome_unknown => {
                return Err(refusal(retry.finish(failure, end), condition));
            }
            Step::Over(end) => Some(end),
        };
        let own = own_write(client, path, nonce, retry).await;
        let end = match (own, over) {
            (Ok(Some(done)), _) => return Ok(done),
            (Ok(None), _) if refused => {
                return Err(refusal(retry.finish(failure, retry.give_up(Reason::Final)), condition));
            }
            (Ok(None), None) => match retry.not_applied() {
                Some(end) => end,
                None => continue,
            },
            (_, over) => over.unwrap_or(retry.give_up(Reason::Final)),
        };
        return Err(failure::unknown(retry.finish(failure, end).error));
    }
}

/// Whether sending the write twice is as good as once.
fn kind_of(condition: &PutCondition) -> RequestKind {
    match condition {
        PutCondition::Always => Write,
        PutCondition::CreateOnly | PutCondition::IfMatch(_) => Commit,
    }
}

/// What a refused write means.
fn refusal(failure: Failure, condition: &PutCondition) -> Error {
    let exists = matches!(failure.status(), Some(409 | 412)) && !failure.is("LeaseIdMissing");
    if failure.is("InvalidBlockList") {
        return failure.error.with_code(Code::Changed).with_hint(
            "another write to this key was published meanwhile, and the service discarded this upload's blocks",
        );
    }
    if failure.is("InvalidBlobOrBlock") {
        return failure.error.with_hint(
            "blocks of another program's unfinished upload to this key are in the way; they expire after a week",
        );
    }
    match condition {
        PutCondition::CreateOnly if exists => failure.error.with_code(Code::AlreadyExists),
        PutCondition::IfMatch(_) if failure.is("BlobNotFound") => {
            failure.error.with_code(Code::PreconditionFailed)
        }
        _ => failure.error,
    }
}

/// The object, if it is what the write with this nonce stored.
async fn own_write(client: &Client, path: &str, nonce: &str, retry: &mut Retry) -> Result<Option<PutResult>> {
    match head_headers(client, path, None, &mut retry.inquiry(Read)).await {
        Ok(headers) if headers_nonce(&headers) == Some(nonce) => Ok(Some(result_of(&headers))),
        Ok(_) => Ok(None),
        Err(failure) if failure.status() == Some(404) => Ok(None),
        Err(failure) => Err(failure.error),
    }
}

pub(super) fn headers_nonce(headers: &Headers) -> Option<&str> {
    headers.get("x-ms-meta-s3dlio_write")
}

fn result_of(headers: &Headers) -> PutResult {
    PutResult {
        etag: headers.get("etag").map(etag_of),
        version: headers.get("x-ms-version-id").map(str::to_owned),
    }
}

fn new_nonce() -> String {
    format!("{:016x}", seed())
}

/// An upload in blocks.
pub(super) struct BlockUpload {
    store: Arc<Inner>,
    key: String,
    path: String,
    options: PutOptions,
    nonce: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Blocks that may be there.
    blocks: usize,
    /// It is published, or gone.
    over: bool,
    parts: BTreeMap<u32, Crc32c>,
}

impl BlockUpload {
    pub(super) fn new(store: Arc<Inner>, key: &str, options: &PutOptions) -> Result<BlockUpload> {
        check(options)?;
        let path = store.blob_path(key)?;
        let (key, options) = (key.to_owned(), options.clone());
        Ok(BlockUpload { store, key, path, options, nonce: new_nonce(), state: Mutex::default() })
    }

    /// Equally long for every block, as the service demands, and nobody else's.
    fn block_id(&self, number: u32) -> String {
        STANDARD.encode(format!("{}-{number:07}", self.nonce))
    }

    async fn stage(&self, part: &Part) -> Result<()> {
        if part.number >= MAX_PARTS {
            return Err(Error::new(
                Code::InvalidArgument,
                format!("part {} is too many; an object has at most {MAX_PARTS}", part.number),
            ));
        }
        if part.data.is_empty() {
            return Err(Error::new(Code::InvalidArgument, "a part has no bytes"));
        }
        let client = self.store.client()?;
        lock(&self.state).blocks += 1;
        let query = [("comp", "block"), ("blockid", &self.block_id(part.number))];
        let call = client.call(Method::Put, &self.path, &query).body(part.data.clone());
        let mut retry = client.attempts(Write);
        let mut barred = true;
        loop {
            match client.confirm_once(&call, &retry).await {
                Ok(_) => break retry.succeeded(),
                Err(failure) => {
                    barred &= matches!(failure.status(), Some(401 | 403));
                    if let Err(failure) = retry.again(&client, failure).await {
                        if barred {
                            // Nothing was taken in: no need to clean up, which may not be permitted either.
                            lock(&self.state).blocks -= 1;
                        }
                        return Err(refusal(failure, &PutCondition::Always));
                    }
                }
            }
        }
        lock(&self.state).parts.insert(part.number, part.crc32c);
        Ok(())
    }

    async fn commit(&self, parts: u32, total: UploadTotal) -> Result<PutResult> {
        let mut whole = Crc32c::new();
        let mut list = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
        for number in 0..parts {
            let part = lock(&self.state).parts.get(&number).copied().ok_or_else(|| {
                Error::new(Code::InvalidState, format!("part {number} of {parts} was not stored"))
            })?;
            whole = whole.combine(part);
            // Latest, not Uncommitted: a second try finds the blocks that the first one published.
            let _ = write!(list, "<Latest>{}</Latest>", self.block_id(number));
        }
        list.push_str("</BlockList>");
        if whole != total.crc32c {
            return Err(Error::new(
                Code::ChecksumMismatch,
                format!("the stored parts have {whole:?}, but {:?} was expected", total.crc32c),
            ));
        }
        let client = self.store.client()?;
        let call = client.call(Method::Put, &self.path, &[("comp", "blocklist")]).body(list.into());
        let call = describe(call, &self.options, whole, &self.nonce);
        let condition = &self.options.condition;
        let mut retry = client.attempts(kind_of(condition));
        let done = publish(&client, &self.path, &call, condition, &self.nonce, &mut retry).await?;
        lock(&self.state).over = true;
        Ok(done)
    }

    async fn clean_up(&self) -> Result<()> {
        {
            let state = lock(&self.state);
            if state.blocks == 0 || state.over {
                return Ok(());
            }
        }
        let client = self.store.client()?;
        for _ in 0..ABORT_ROUNDS {
            if !self.only_ours_wait(&client).await? {
                break;
            }
            self.discard(&client).await?;
        }
        lock(&self.state).over = true;
        Ok(())
    }

    /// Removes all blocks that wait on the key, whosever they are; where an object is published meanwhile, it
    /// took them with it.
    pub(super) async fn discard_all(&self) -> Result<()> {
        let client = self.store.client()?;
        self.discard(&client).await
    }

    /// Whether blocks of this upload, and of no other, wait on a key without an object (or with the empty
    /// one of an earlier, interrupted `discard`). Where there is an object they are left to expire:
    /// discarding them would mean to write that object again.
    async fn only_ours_wait(&self, client: &Client) -> Result<bool> {
        match head_headers(client, &self.path, None, &mut client.attempts(Read)).await {
            Ok(headers) => return Ok(headers_nonce(&headers) == Some(self.placeholder_nonce().as_str())),
            Err(failure) if failure.error.code() == Code::NotFound => {}
            Err(failure) if failure.error.code() == Code::ContainerNotFound => return Ok(false),
            Err(failure) => return Err(failure.error),
        }
        let query = [("comp", "blocklist"), ("blocklisttype", "uncommitted")];
        let call = client.call(Method::Get, &self.path, &query);
        let body = match client.fetch(&call, &mut client.attempts(Read)).await {
            Ok((_, body)) => body,
            Err(failure) if failure.status() == Some(404) => return Ok(false),
            Err(failure) => return Err(failure.error),
        };
        let root = Element::parse(&body, "BlockList")?;
        let blocks = root.child("UncommittedBlocks").map(|list| list.children.as_slice()).unwrap_or_default();
        let ours = |id: &str| STANDARD.decode(id).is_ok_and(|id| id.starts_with(self.nonce.as_bytes()));
        let foreign = blocks.iter().filter(|block| !block.text_of("Name").is_some_and(ours)).count();
        if foreign > 0 {
            tracing::debug!(foreign, key = %self.key, "another upload to this key is under way; its end, or a week, removes this one's blocks");
        }
        Ok(foreign == 0 && !blocks.is_empty())
    }

    fn placeholder_nonce(&self) -> String {
        format!("abort-{}", self.nonce)
    }

    /// The service has no call for this: an empty object takes the waiting blocks with it when it is
    /// published, only where no object is, and is deleted at once, only if it is still that one.
    async fn discard(&self, client: &Client) -> Result<()> {
        let list = Bytes::from_static(b"<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList></BlockList>");
        let nonce = self.placeholder_nonce();
        let call = client.call(Method::Put, &self.path, &[("comp", "blocklist")]).body(list);
        let call = call.header("if-none-match", "*").metadata(META_WRITE, &nonce);
        let mut retry = client.attempts(Commit);
        let made = publish(client, &self.path, &call, &PutCondition::CreateOnly, &nonce, &mut retry).await;
        let etag = match made {
            Ok(made) => made.etag,
            Err(error) if error.code() == Code::AlreadyExists => {
                match own_write(client, &self.path, &nonce, &mut retry).await? {
                    Some(made) => made.etag,
                    None => return Ok(()), // somebody published an object: it is theirs
                }
            }
            Err(error) => return Err(error),
        };
        let Some(etag) = etag else {
            return Err(Error::new(Code::Protocol, "the answer to a write has no ETag"));
        };
        let call = client.call(Method::Delete, &self.path, &[]).header("if-match", etag);
        match client.fetch(&call, &mut client.attempts(Write)).await {
            Ok(_) => Ok(()),
            Err(failure) if matches!(failure.status(), Some(404 | 412)) => Ok(()),
            Err(failure) => Err(failure.error),
        }
    }
}

#[async_trait]
impl Upload for BlockUpload {
    async fn put_part(&self, part: Part) -> Result<()> {
        self.stage(&part).await.map_err(|e| e.with_context("put", self.store.root.join(&self.key)))
    }

    async fn complete(&self, parts: u32, total: UploadTotal) -> Result<PutResult> {
        self.commit(parts, total).await.map_err(|e| e.with_context("put", self.store.root.join(&self.key)))
    }

    async fn abort(&self) -> Result<()> {
        self.clean_up().await.map_err(|e| e.with_context("abort", self.store.root.join(&self.key)))
    }
}

impl fmt::Debug for BlockUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockUpload({})", self.store.root.join(&self.key))
    }
}
