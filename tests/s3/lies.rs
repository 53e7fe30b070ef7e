//! Servers whose answers are wrong: never wrong bytes, never false success.

use crate::fake::{Fake, Reply, failure, http};
use crate::{read, run, store_at};
use bytes::Bytes;
use s3dlio::Code;
use s3dlio::base::checksum::Crc32c;
use s3dlio::store::{ListRequest, Part, PutCondition, PutOptions, UploadTotal};

const ETAG: &str = "ETag: \"e1\"";

/// 206 with this Content-Range; `promised` bytes announced, `body` sent, then closed.
fn partial(range: &str, promised: usize, body: &str, etag: &str) -> Vec<u8> {
    format!("HTTP/1.1 206 X\r\nContent-Length: {promised}\r\nContent-Range: {range}\r\n{etag}\r\n\r\n{body}")
        .into_bytes()
}

fn code_of_read(
    answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
    offset: u64,
    len: usize,
) -> Code {
    let fake = Fake::start(answer);
    read(&store_at(&fake, &[("net.max_attempts", "2")]), "k", offset, len).unwrap_err().code()
}

#[test]
fn g1_a_short_body_goes_on_by_range_with_the_same_etag() {
    let fake = Fake::start(|number, _| match number {
        0 => Reply::Close(partial("bytes 2-9/20", 8, "234", ETAG)),
        _ => Reply::Keep(partial("bytes 5-9/20", 5, "56789", ETAG)),
    });
    let (bytes, result) = read(&store_at(&fake, &[]), "k", 2, 8).unwrap();
    assert_eq!((bytes.as_slice(), result.meta.size), (b"23456789".as_slice(), 20));
    let requests = fake.requests();
    assert!(requests[0].contains("range: bytes=2-9\n"), "{}", requests[0]);
    assert!(requests[1].contains("range: bytes=5-9\n"), "{}", requests[1]);
    assert!(requests[1].contains("if-match: \"e1\"\n"), "{}", requests[1]);
}

#[test]
fn g1_a_body_that_is_always_short_is_truncated() {
    let fake = Fake::start(|_, _| Reply::Close(partial("bytes 0-9/10", 10, "", ETAG)));
    let error = read(&store_at(&fake, &[("net.max_attempts", "3")]), "k", 0, 10).unwrap_err();
    assert_eq!(error.code(), Code::Truncated, "{error}");
    assert_eq!(fake.requests().len(), 3);
}

#[test]
fn g1_without_an_etag_a_short_body_is_not_continued() {
    let fake = Fake::start(|_, _| Reply::Close(partial("bytes 0-9/10", 10, "01", "X: y")));
    assert_eq!(read(&store_at(&fake, &[]), "k", 0, 10).unwrap_err().code(), Code::Truncated);
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn g1_an_object_replaced_between_two_pieces_is_changed() {
    let replaced = |second: fn() -> Vec<u8>| {
        code_of_read(
            move |number, _| match number {
                0 => Reply::Close(partial("bytes 0-9/10", 10, "01", ETAG)),
                _ => Reply::Close(second()),
            },
            0,
            10,
        )
    };
    assert_eq!(replaced(|| failure(412, "PreconditionFailed")), Code::Changed);
    assert_eq!(replaced(|| failure(404, "NoSuchKey")), Code::Changed, "deleted");
    assert_eq!(
        replaced(|| partial("bytes 2-9/10", 8, "23456789", "ETag: \"e2\"")),
        Code::Changed,
        "If-Match ignored"
    );
}

#[test]
fn g1_a_server_that_ignores_ranges_still_gives_the_right_bytes() {
    let fake = Fake::start(|_, _| Reply::Keep(http(200, &[ETAG], "0123456789")));
    let store = store_at(&fake, &[]);
    assert_eq!(read(&store, "k", 3, 4).unwrap().0, b"3456");
    assert_eq!(read(&store, "k", 8, 100).unwrap().0, b"89");
    assert_eq!(read(&store, "k", 10, 1).unwrap().0, b"");
    assert_eq!(read(&store, "k", 11, 1).unwrap_err().code(), Code::Range);
}

#[test]
fn g1_another_range_than_asked_for_is_a_protocol_error() {
    let answers = [
        partial("bytes 1-10/20", 10, "0123456789", ETAG),
        partial("bytes 0-10/20", 11, "0123456789a", ETAG),
        partial("bytes 0-9/20", 9, "012345678", ETAG),
        partial("bytes 0-9/*", 10, "0123456789", ETAG),
        partial("0-9/20", 10, "0123456789", ETAG),
        partial("bytes 9-0/20", 10, "0123456789", ETAG),
    ];
    for answer in answers {
        let text = String::from_utf8_lossy(&answer).into_owned();
        let code = code_of_read(move |_, _| Reply::Close(answer.clone()), 0, 10);
        assert_eq!(code, Code::Protocol, "{text}");
    }
}

#[test]
fn g1_fewer_bytes_in_the_range_than_asked_for_are_fetched_on() {
    let fake = Fake::start(|number, _| match number {
        0 => Reply::Keep(partial("bytes 0-3/10", 4, "0123", ETAG)),
        _ => Reply::Keep(partial("bytes 4-9/10", 6, "456789", ETAG)),
    });
    assert_eq!(read(&store_at(&fake, &[]), "k", 0, 10).unwrap().0, b"0123456789");
}

fn complete_with(answer: fn() -> Vec<u8>) -> s3dlio::Error {
    let fake = Fake::start(move |_, request| {
        let created = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
        match request.split(' ').next().unwrap() {
            "PUT" => Reply::Keep(http(200, &[ETAG], "")),
            "POST" if request.contains("?uploads") => Reply::Keep(http(200, &[], created)),
            "POST" => Reply::Keep(answer()),
            _ => Reply::Keep(http(404, &[], "")),
        }
    });
    let store = store_at(&fake, &[("net.max_attempts", "1")]);
    let upload = run(store.create_upload("k", &PutOptions::default())).unwrap();
    let data = Bytes::from_static(b"data");
    let crc32c = Crc32c::of(&data);
    run(upload.put_part(Part { number: 0, offset: 0, data, crc32c })).unwrap();
    run(upload.complete(1, UploadTotal { crc32c })).unwrap_err()
}

#[test]
fn w3_a_completion_that_answers_200_with_an_error_failed() {
    let error = complete_with(|| failure(200, "AccessDenied"));
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    // The server failed, as with a 500: nobody knows when, and there is no object that tells.
    let error = complete_with(|| failure(200, "InternalError"));
    assert_eq!(error.code(), Code::UnknownOutcome, "{error}");
    let result = "<CompleteMultipartUploadResult><Key>k</Key></CompleteMultipartUploadResult>";
    let error =
        complete_with(|| http(200, &[], "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"));
    assert_eq!(error.code(), Code::UnknownOutcome, "no ETag in {result}: {error}");
    let error = complete_with(|| failure(504, "GatewayTimeout"));
    assert_eq!((error.code(), error.retryable()), (Code::UnknownOutcome, false), "{error}");
    let error = complete_with(|| http(200, &[], ""));
    assert_eq!(error.code(), Code::UnknownOutcome, "no body: {error}");
}

#[test]
fn s2_a_copy_that_answers_200_with_an_error_failed() {
    let copy_with = |code: &'static str| {
        let fake = Fake::start(move |_, request| match request {
            _ if request.starts_with("HEAD /bucket/root/a") => {
                Reply::Keep(b"HTTP/1.1 200 X\r\nContent-Length: 4\r\nETag: \"e1\"\r\n\r\n".to_vec())
            }
            _ if request.starts_with("PUT") => Reply::Keep(failure(200, code)),
            _ => Reply::Keep(http(404, &[], "")),
        });
        run(store_at(&fake, &[("net.max_attempts", "1")]).copy("a", "b")).unwrap_err()
    };
    let error = copy_with("AccessDenied");
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    // The server failed, as with a 500, and there is no copy that tells when.
    let error = copy_with("InternalError");
    assert_eq!((error.code(), error.retryable()), (Code::UnknownOutcome, true), "{error}");
}

#[test]
fn s2_a_large_object_is_copied_in_parts_that_cover_it() {
    const SIZE: u64 = (6 << 30) + 5;
    let fake = Fake::start(|_, request| {
        let created = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
        let completed = "<CompleteMultipartUploadResult><ETag>\"e2\"</ETag></CompleteMultipartUploadResult>";
        match request.split(' ').next().unwrap() {
            "HEAD" => Reply::Keep(
                format!("HTTP/1.1 200 X\r\nContent-Length: {SIZE}\r\n{ETAG}\r\n\r\n").into_bytes(),
            ),
            "PUT" => Reply::Keep(http(200, &[], "<CopyPartResult><ETag>\"p\"</ETag></CopyPartResult>")),
            _ if request.contains("?uploads") => Reply::Keep(http(200, &[], created)),
            _ => Reply::Keep(http(200, &[], completed)),
        }
    });
    let copied = run(store_at(&fake, &[]).copy("a b+c", "to")).unwrap();
    assert_eq!(copied.etag.as_deref(), Some("\"e2\""));
    let mut next = 0;
    for request in fake.requests().iter().filter(|request| request.starts_with("PUT")) {
        assert!(request.contains("x-amz-copy-source: bucket/root/a%20b%2Bc\n"), "{request}");
        assert!(request.contains("x-amz-copy-source-if-match: \"e1\"\n"), "{request}");
        let range =
            request.lines().find_map(|line| line.strip_prefix("x-amz-copy-source-range: bytes=")).unwrap();
        let (first, last) = range.split_once('-').unwrap();
        assert_eq!(first.parse::<u64>().unwrap(), next);
        next = last.parse::<u64>().unwrap() + 1;
    }
    assert_eq!(next, SIZE);
}

#[test]
fn i1_a_checksum_in_the_answer_that_is_not_ours_is_a_mismatch() {
    let fake = Fake::start(|_, _| Reply::Keep(http(200, &[ETAG, "x-amz-checksum-crc32c: AAAAAA=="], "")));
    let put = store_at(&fake, &[]);
    let error =
        run(put.put("k", Bytes::from_static(b"123456789").into(), &PutOptions::default())).unwrap_err();
    assert_eq!(error.code(), Code::ChecksumMismatch);
    assert!(error.to_string().contains("crc32c:e3069283"), "{error}");
}

#[test]
fn s2_lists_that_lie_are_errors() {
    let list = |body: &'static str| {
        let fake = Fake::start(move |_, _| Reply::Keep(http(200, &[], body)));
        run(store_at(&fake, &[]).list_page(&ListRequest::default())).unwrap_err().code()
    };
    let elsewhere = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>other/k</Key><Size>1</Size></Contents></ListBucketResult>";
    assert_eq!(list(elsewhere), Code::Protocol, "a key that is not below the root");
    assert_eq!(
        list("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"),
        Code::Protocol,
        "no token"
    );
    let fake = Fake::start(|_, _| {
        let same = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
        Reply::Keep(http(200, &[], same))
    });
    let again = ListRequest { continuation: Some("t".into()), ..ListRequest::default() };
    let error = run(store_at(&fake, &[]).list_page(&again)).unwrap_err();
    assert_eq!(error.code(), Code::Protocol, "the same token again: {error}");
    let sizeless = "<ListBucketResult><Contents><Key>root/k</Key></Contents></ListBucketResult>";
    assert_eq!(list(sizeless), Code::Protocol, "no size");
    assert_eq!(list("<ListBucketResult><Contents>"), Code::Protocol, "cut off");
}

#[test]
fn s2_every_key_of_a_bulk_delete_has_its_own_outcome() {
    let body = "<DeleteResult><Deleted><Key>root/a</Key></Deleted>\
                <Error><Key>root/b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>";
    let fake = Fake::start(move |_, _| Reply::Keep(http(200, &[], body)));
    let keys = ["a", "b", "c"].map(str::to_owned);
    let outcomes = run(store_at(&fake, &[]).delete_many(&keys)).unwrap();
    assert!(outcomes[0].is_ok());
    let denied = outcomes[1].as_ref().unwrap_err();
    assert_eq!((denied.code(), denied.uri()), (Code::PermissionDenied, Some("s3://bucket/root/b")));
    assert_eq!(outcomes[2].as_ref().unwrap_err().code(), Code::UnknownOutcome, "not mentioned");
}

#[test]
fn s2_conditions_are_refused_where_the_service_is_said_to_ignore_them() {
    let fake = Fake::start(|_, _| Reply::Keep(http(200, &[ETAG], "")));
    let store = store_at(&fake, &[("s3.conditional_put", "false")]);
    assert!(!store.capabilities().conditional_put);
    let options = PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() };
    assert_eq!(run(store.put("k", Bytes::new().into(), &options)).unwrap_err().code(), Code::Unsupported);
    assert_eq!(run(store.create_upload("k", &options)).unwrap_err().code(), Code::Unsupported);
    assert!(fake.requests().is_empty(), "nothing may be sent");
}
