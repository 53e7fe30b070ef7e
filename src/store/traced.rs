//! A span around every operation of a backend, for whoever subscribed to `s3dlio::operation` (docs/tracing.md).
//! Where nobody did, an operation costs one more call and a look at a static: its future is the backend's own.

use super::{
    Admit, Capabilities, ContainerInfo, Content, GetRequest, GetResult, GotBatch, ListPage, ListRequest,
    ObjectMeta, ObjectStore, Part, PendingUpload, PutOptions, PutResult, StoreRef, Upload, UploadTotal,
};
use crate::base::buffer::{Buffer, Window};
use crate::base::checksum::Crc32c;
use crate::base::redact::{redact, redact_behind};
use crate::base::uri::Uri;
use crate::error::Result;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tracing::Span;
use tracing::field::Empty;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// `backend` with its spans.
pub(super) fn traced(backend: StoreRef) -> StoreRef {
    Arc::new(Traced { inner: backend })
}

#[derive(Debug)]
struct Traced {
    inner: StoreRef,
}

#[derive(Debug)]
struct TracedUpload {
    inner: Arc<dyn Upload>,
    store: StoreRef,
    key: String,
}

fn span(operation: &'static str, root: &Uri, key: &str) -> Span {
    tracing::debug_span!(
        target: "s3dlio::operation",
        "operation",
        otel.name = operation,
        s3dlio.operation = operation,
        s3dlio.root = %redact(&root.to_string()),
        s3dlio.key = &*redact_behind(&root.key_prefix(), key),
        "error.type" = Empty,
    )
}

/// A future inside its span, which notes how it failed.
struct Spanned<'a, T> {
    future: Boxed<'a, Result<T>>,
    span: Span,
}

impl<T> Future for Spanned<'_, T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        let outcome = {
            let _inside = this.span.enter();
            ready!(this.future.as_mut().poll(context))
        };
        if let Err(error) = &outcome {
            this.span.record("error.type", error.code().name());
        }
        Poll::Ready(outcome)
    }
}

fn inside<'a, T: 'a>(span: Span, future: Boxed<'a, Result<T>>) -> Boxed<'a, Result<T>> {
    if span.is_disabled() { future } else { Box::pin(Spanned { future, span }) }
}

/// Methods as `async_trait` writes them: the inner one's future, in a span where one is wanted. In brackets is
/// the key that the span shows.
macro_rules! spanned {
    ($(fn $name:ident<$($life:lifetime),*>($($argument:ident: $kind:ty),*) -> $out:ty = [$key:expr];)*) => {$(
        fn $name<'me, $($life,)* 'future>(&'me self, $($argument: $kind),*) -> Boxed<'future, Result<$out>>
        where
            'me: 'future,
            $($life: 'future,)*
            Self: 'future,
        {
            let span = span(stringify!($name), self.inner.root(), $key);
            inside(span, self.inner.$name($($argument),*))
        }
    )*};
}

impl ObjectStore for Traced {
    fn root(&self) -> &Uri {
        self.inner.root()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn get_batch<'me, 'keys, 'key, 'admit, 'future>(
        &'me self,
        keys: &'keys [&'key str],
        at_once: usize,
        admit: Admit<'admit>,
    ) -> Boxed<'future, Option<GotBatch>>
    where
        'me: 'future,
        'keys: 'future,
        'key: 'future,
        'admit: 'future,
        Self: 'future,
    {
        self.inner.get_batch(keys, at_once, admit)
    }

    fn create_upload<'me, 'key, 'options, 'future>(
        &'me self,
        key: &'key str,
        options: &'options PutOptions,
    ) -> Boxed<'future, Result<Arc<dyn Upload>>>
    where
        'me: 'future,
        'key: 'future,
        'options: 'future,
        Self: 'future,
    {
        let made =
            inside(span("create_upload", self.inner.root(), key), self.inner.create_upload(key, options));
        Box::pin(async move {
            let upload = TracedUpload { inner: made.await?, store: self.inner.clone(), key: key.to_owned() };
            Ok(Arc::new(upload) as Arc<dyn Upload>)
        })
    }

    spanned! {
        fn get_into<'k>(key: &'k str, request: GetRequest, dst: Window) -> GetResult = [key];
        fn get<'k>(key: &'k str, request: GetRequest, limit: usize) -> (Buffer, ObjectMeta) = [key];
        fn put<'k, 'o>(key: &'k str, content: Content, options: &'o PutOptions) -> PutResult = [key];
        fn put_checked<'k, 'o>(key: &'k str, data: Bytes, options: &'o PutOptions) -> (PutResult, Crc32c) = [key];
        fn stat<'k>(key: &'k str) -> ObjectMeta = [key];
        fn exists<'k>(key: &'k str) -> bool = [key];
        fn list_page<'r>(request: &'r ListRequest) -> ListPage = [&request.prefix];
        fn delete<'k>(key: &'k str) -> () = [key];
        fn delete_many<'k>(keys: &'k [String]) -> Vec<Result<()>> = [keys.first().map_or("", String::as_str)];
        fn list_uploads<'p>(prefix: &'p str) -> Vec<PendingUpload> = [prefix];
        fn abort_upload<'u>(upload: &'u PendingUpload) -> () = [&upload.key];
        fn copy<'k, 't>(from: &'k str, to: &'t str) -> PutResult = [to];
        fn rename<'k, 't>(from: &'k str, to: &'t str) -> () = [to];
        fn create_container<>() -> () = [""];
        fn delete_container<>() -> () = [""];
        fn list_containers<>() -> Vec<ContainerInfo> = [""];
    }
}

macro_rules! spanned_upload {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $out:ty;)*) => {$(
        fn $name<'me, 'future>(&'me self, $($argument: $kind),*) -> Boxed<'future, Result<$out>>
        where
            'me: 'future,
            Self: 'future,
        {
            let span = span(concat!("upload_", stringify!($name)), self.store.root(), &self.key);
            inside(span, self.inner.$name($($argument),*))
        }
    )*};
}

impl Upload for TracedUpload {
    spanned_upload! {
        fn put_part(part: Part) -> ();
        fn complete(parts: u32, total: UploadTotal) -> PutResult;
        fn abort() -> ();
    }
}
