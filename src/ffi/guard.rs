//! The one way into every export: no panic leaves it, every error leaves as a status.

use super::error::ErrorOut;
use super::handle::{self, Handle};
use super::types::{S3DLIO_OK, s3dlio_error};
use crate::error::{Code, Error, Result};
use std::any::Any;
use std::cell::Cell;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// Runs the body of a function that can fail, and gives its status.
///
/// # Safety
/// `err` is NULL or valid for writing a pointer.
pub unsafe fn call(
    name: &'static str,
    err: *mut *mut s3dlio_error,
    body: impl FnOnce() -> Result<()>,
) -> i32 {
    // SAFETY: passed on.
    unsafe { step(name, err, || body().map(|()| S3DLIO_OK)) }
}

/// As [`call`] for bodies with a status of their own, such as `S3DLIO_END`.
///
/// # Safety
/// As [`call`].
pub unsafe fn step(
    name: &'static str,
    err: *mut *mut s3dlio_error,
    body: impl FnOnce() -> Result<i32>,
) -> i32 {
    // SAFETY: passed on.
    let err = unsafe { ErrorOut::new(err) };
    match run(name, body).and_then(|result| result) {
        Ok(status) => status,
        Err(error) => err.report(error.with_operation(name)) as i32,
    }
}

/// Runs the body of a function that cannot fail; a panic gives `fallback`.
pub fn value<T>(name: &'static str, fallback: T, body: impl FnOnce() -> T) -> T {
    run(name, body).unwrap_or(fallback)
}

/// The body of every `_free`.
pub fn free<H: Handle>(name: &'static str, handle: *mut H) {
    value(name, (), || {
        handle::free(handle.cast_const());
    });
}

fn run<T>(name: &'static str, body: impl FnOnce() -> T) -> Result<T> {
    let armed = test_target().is_some_and(|target| *target == *name);
    arm(armed);
    let body = || {
        let result = body();
        test_hook(); // for bodies without a handle or an output
        result
    };
    // What the body left half done is poisoned: handles by their `Ref`, state by its mutex.
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        arm(false);
        let text = text_of(&*payload);
        std::mem::forget(payload); // its drop is foreign code
        Error::new(Code::Internal, format!("a defect of the library: panic in {name}: {text}"))
            .with_hint("please report it with this message")
    })
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "no message".into(),
    }
}

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// A thread that is ending has no thread-locals any more; there the hook stays off.
fn arm(on: bool) {
    let _ = ARMED.try_with(|armed| armed.set(on));
}

/// For the tests of the guard: the environment variable `S3DLIO_TEST_PANIC`, read once, names an
/// export that panics after it looked up its handle, else before it writes its output, else at its
/// end. It does nothing else.
fn test_target() -> Option<&'static OsString> {
    static TARGET: OnceLock<Option<OsString>> = OnceLock::new();
    TARGET.get_or_init(|| std::env::var_os("S3DLIO_TEST_PANIC")).as_ref()
}

/// Where the panic of [`test_target`] happens.
#[allow(clippy::panic)]
pub fn test_hook() {
    if ARMED.try_with(|armed| armed.replace(false)).unwrap_or(false) {
        panic!("S3DLIO_TEST_PANIC");
    }
}
