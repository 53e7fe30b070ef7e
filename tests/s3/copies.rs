//! Copies and renames at servers that lose answers, stall, or change the source meanwhile (SPEC S2).

use crate::fake::{Fake, Reply, failure, http};
use crate::{run, store_at};
use s3dlio::Code;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CREATED: &str =
    "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";

fn head(size: u64, more: &str) -> Reply {
    Reply::Keep(format!("HTTP/1.1 200 X\r\nContent-Length: {size}\r\n{more}\r\n\r\n").into_bytes())
}

fn copied() -> Reply {
    Reply::Keep(http(200, &[], "<CopyObjectResult><ETag>\"c\"</ETag></CopyObjectResult>"))
}

fn count(fake: &Fake, start: &str) -> usize {
    fake.requests().iter().filter(|request| request.starts_with(start)).count()
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn s2_a_copy_without_an_answer_is_resolved_by_the_destination_or_unknown() {
    let copy = |there: &'static str| {
        let fake = Fake::start(move |_, request| match request.split(' ').next().unwrap() {
            "HEAD" if request.starts_with("HEAD /bucket/root/a ") => {
                head(4, "ETag: \"e1\"\r\nx-amz-meta-a: 1")
            }
            "HEAD" => head(4, there),
            _ => Reply::Close(Vec::new()),
        });
        run(store_at(&fake, &[("net.max_attempts", "2")]).copy("a", "b"))
    };
    assert_eq!(copy("ETag: \"e1\"\r\nx-amz-meta-a: 1").unwrap().etag.as_deref(), Some("\"e1\""));
    for there in ["ETag: \"e0\"\r\nx-amz-meta-a: 1", "ETag: \"e1\"\r\nx-amz-meta-a: 2"] {
        let error = copy(there).unwrap_err();
        assert_eq!((error.code(), error.retryable()), (Code::UnknownOutcome, true), "{there}: {error}");
    }
}

#[test]
fn s2_a_deadline_during_a_copy_leaves_the_outcome_open() {
    let silent = |silent: &'static str| {
        let fake = Fake::start(move |_, request| match request.starts_with(silent) {
            true => Reply::Hang(Vec::new()),
            false => head(4, "ETag: \"e1\""),
        });
        run(store_at(&fake, &[("net.operation_timeout_ms", "300")]).copy("a", "b")).unwrap_err()
    };
    let error = silent("PUT");
    assert_eq!(error.code(), Code::UnknownOutcome, "{error}");
    assert!(error.to_string().contains("300 ms"), "{error}");
    assert_eq!(silent("HEAD").code(), Code::Timeout, "the copy was not asked for yet");
}

/// What renames see: the ETag of the source at each HEAD, and the answers to deletes.
fn rename(
    etags: &'static [&'static str],
    deleted: &'static [u16],
    options: &[(&str, &str)],
) -> (Fake, Option<Code>) {
    let (heads, deletes) = (Mutex::new(etags.iter()), Mutex::new(deleted.iter()));
    let fake = Fake::start(move |_, request| match request.split(' ').next().unwrap() {
        "HEAD" => match *heads.lock().unwrap().next().unwrap() {
            "" => Reply::Keep(b"HTTP/1.1 404 X\r\n\r\n".to_vec()),
            etag => head(4, &format!("ETag: {etag}")),
        },
        "DELETE" => match *deletes.lock().unwrap().next().unwrap() {
            204 => Reply::Keep(b"HTTP/1.1 204 X\r\n\r\n".to_vec()),
            412 => Reply::Keep(failure(412, "PreconditionFailed")),
            status => Reply::Keep(failure(status, "NotImplemented")),
        },
        _ => copied(),
    });
    let outcome = run(store_at(&fake, options).rename("a", "b"));
    let code = outcome.err().map(|error| {
        assert_eq!((error.operation(), error.uri()), (Some("rename"), Some("s3://bucket/root/a")), "{error}");
        error.code()
    });
    (fake, code)
}

#[test]
fn s2_a_rename_never_deletes_what_was_not_copied() {
    const SAME: &str = "\"e1\"";
    let (fake, outcome) = rename(&[SAME, SAME], &[204], &[]);
    assert_eq!(outcome, None);
    let delete = fake.requests().pop().unwrap();
    assert!(delete.starts_with("DELETE /bucket/root/a") && delete.contains("if-match: \"e1\"\n"), "{delete}");

    let (fake, outcome) = rename(&[SAME, "\"e2\""], &[], &[]);
    assert_eq!((outcome, count(&fake, "DELETE")), (Some(Code::Changed), 0), "replaced before the HEAD");
    let (fake, outcome) = rename(&[SAME, SAME, "\"e2\""], &[412], &[]);
    assert_eq!((outcome, count(&fake, "DELETE")), (Some(Code::Changed), 1), "replaced after the HEAD");
    let (_, outcome) = rename(&[SAME, SAME, ""], &[412], &[]);
    assert_eq!(outcome, None, "gone is what was asked for");
    let (fake, outcome) = rename(&[SAME, ""], &[], &[]);
    assert_eq!((outcome, count(&fake, "DELETE")), (None, 0));
}

#[test]
fn s2_a_rename_works_where_deletes_take_no_condition() {
    const SAME: &str = "\"e1\"";
    let (fake, outcome) = rename(&[SAME, SAME], &[501, 204], &[]);
    assert_eq!((outcome, count(&fake, "DELETE")), (None, 2));
    assert!(!fake.requests().pop().unwrap().contains("if-match"));
    let (fake, outcome) = rename(&[SAME, SAME], &[204], &[("s3.conditional_put", "false")]);
    assert_eq!(outcome, None);
    assert!(!fake.requests().pop().unwrap().contains("if-match"));
}

#[test]
fn s2_a_large_copy_that_is_given_up_leaves_no_upload() {
    let fake = Fake::start(|_, request| match request.split(' ').next().unwrap() {
        "HEAD" => head(6 << 30, "ETag: \"e1\""),
        "POST" => Reply::Keep(http(200, &[], CREATED)),
        "DELETE" => Reply::Keep(b"HTTP/1.1 204 X\r\n\r\n".to_vec()),
        _ => Reply::Hang(Vec::new()),
    });
    let error = run(store_at(&fake, &[("net.operation_timeout_ms", "300")]).copy("a", "b")).unwrap_err();
    assert_eq!(error.code(), Code::Timeout, "nothing can be published: {error}");
    eventually("the upload is aborted", || {
        let aborts = |r: &String| r.starts_with("DELETE /bucket/root/b") && r.contains("uploadId=u1");
        fake.requests().iter().any(aborts)
    });
}

#[test]
fn s2_a_large_copy_that_is_given_up_while_its_upload_is_created_leaves_none() {
    let (given_up, wait) = channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let fake = Fake::start(move |_, request| match request.split(' ').next().unwrap() {
        "HEAD" => head(6 << 30, "ETag: \"e1\""),
        "POST" => {
            wait.lock().unwrap().recv().unwrap();
            Reply::Keep(http(200, &[], CREATED))
        }
        _ => Reply::Keep(b"HTTP/1.1 204 X\r\n\r\n".to_vec()),
    });
    let error = run(store_at(&fake, &[("net.operation_timeout_ms", "300")]).copy("a", "b")).unwrap_err();
    assert_eq!(error.code(), Code::Timeout, "{error}");
    given_up.send(()).unwrap();
    eventually("the upload is aborted", || count(&fake, "DELETE /bucket/root/b") == 1);
}

#[test]
fn s2_a_large_copy_whose_part_fails_is_aborted_before_the_error() {
    let fake = Fake::start(|_, request| match request.split(' ').next().unwrap() {
        "HEAD" => head(6 << 30, "ETag: \"e1\""),
        "POST" => Reply::Keep(http(200, &[], CREATED)),
        "DELETE" => Reply::Keep(b"HTTP/1.1 204 X\r\n\r\n".to_vec()),
        _ => Reply::Keep(failure(412, "PreconditionFailed")),
    });
    assert_eq!(run(store_at(&fake, &[]).copy("a", "b")).unwrap_err().code(), Code::Changed);
    assert_eq!(count(&fake, "DELETE /bucket/root/b"), 1);
}
