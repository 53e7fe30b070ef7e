//! What goes over the wire with an upload, and what stays behind (SPEC W3, I1): on both S3 servers.

use crate::fake::{Fake, Reply, http};
use crate::support::Backend;
use crate::{run, store_at};
use bytes::Bytes;
use s3dlio::Code;
use s3dlio::base::checksum::Crc32c;
use s3dlio::base::uri::Uri;
use s3dlio::store::s3::S3Store;
use s3dlio::store::{ObjectStore, Part, PutCondition, PutOptions, Upload, UploadTotal};

const MIB: usize = 1 << 20;

fn both() -> [Backend; 2] {
    [Backend::seaweed(), Backend::s3b()]
}

fn open(backend: &Backend) -> S3Store {
    let root = Uri::parse(&backend.root_uri).unwrap().to_root();
    S3Store::open(root, &backend.options.resolve().unwrap()).unwrap()
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251 + seed) as u8).collect()
}

/// Sends the pieces as parts and returns the checksum of all.
fn send(upload: &dyn Upload, pieces: &[Vec<u8>]) -> Crc32c {
    let mut total = Crc32c::new();
    for (number, piece) in pieces.iter().enumerate() {
        let crc32c = Crc32c::of(piece);
        let data = Bytes::copy_from_slice(piece);
        run(upload.put_part(Part { number: number as u32, offset: total.covered(), data, crc32c })).unwrap();
        total = total.combine(crc32c);
    }
    total
}

#[test]
fn i1_uploads_carry_a_signed_checksum_in_a_header() {
    let fake = Fake::start(|_, request| {
        let created = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
        match request.starts_with("POST") {
            true => Reply::Keep(http(200, &[], created)),
            false => Reply::Keep(http(200, &["ETag: \"e\""], "")),
        }
    });
    let data = Bytes::from_static(b"123456789");
    let upload_to = |options: &[(&str, &str)]| {
        let store = store_at(&fake, options);
        run(store.put("k", data.clone().into(), &PutOptions::default())).unwrap();
        let upload = run(store.create_upload("k", &PutOptions::default())).unwrap();
        let crc32c = Crc32c::of(&data);
        run(upload.put_part(Part { number: 0, offset: 0, data: data.clone(), crc32c })).unwrap();
        let requests = fake.requests();
        requests[requests.len() - 3..].to_vec()
    };
    let [put, create, part] = upload_to(&[]).try_into().unwrap();
    for request in [&put, &part] {
        assert!(request.contains("\nx-amz-checksum-crc32c: 4waSgw==\n"), "{request}");
        assert!(request.contains("x-amz-checksum-crc32c;"), "not signed: {request}");
        assert!(request.contains("\ncontent-length: 9\n") && request.ends_with("\n\n123456789"), "{request}");
        for never in ["aws-chunked", "x-amz-trailer", "expect: 100", "transfer-encoding"] {
            assert!(!request.contains(never), "{never}: {request}");
        }
    }
    assert!(create.contains("x-amz-checksum-type: FULL_OBJECT"), "{create}");
    for request in upload_to(&[("s3.checksum", "off")]) {
        assert!(!request.contains("x-amz-checksum") && !request.contains("x-amz-trailer"), "{request}");
    }
}

#[test]
fn i1_a_part_that_differs_from_its_checksum_is_refused() {
    // SeaweedFS verifies; the second server stores whatever comes.
    let store = open(&Backend::seaweed());
    let upload = run(store.create_upload("k", &PutOptions::default())).unwrap();
    let part = Part {
        number: 0,
        offset: 0,
        data: Bytes::from_static(b"123456780"),
        crc32c: Crc32c::of(b"123456789"),
    };
    assert_eq!(run(upload.put_part(part)).unwrap_err().code(), Code::ChecksumMismatch);
    run(upload.abort()).unwrap();
}

#[test]
fn i1_the_whole_objects_checksum_is_stored() {
    for backend in both() {
        let store = open(&backend);
        let one = pattern(3 * MIB, 1);
        run(store.put("one", Bytes::copy_from_slice(&one).into(), &PutOptions::default())).unwrap();
        let upload = run(store.create_upload("parts", &PutOptions::default())).unwrap();
        let total = send(&*upload, &[pattern(5 * MIB, 2), pattern(5 * MIB + 1, 3), pattern(7, 4)]);
        run(upload.complete(3, UploadTotal { crc32c: total })).unwrap();
        let stored = |key: &str| run(store.stat(key)).unwrap().crc32c;
        assert_eq!(stored("one"), Some(Crc32c::of(&one).value()), "{}", backend.name);
        assert_eq!(stored("parts"), Some(total.value()), "{}", backend.name);
    }
}

#[test]
fn w3_nothing_is_pending_after_complete_and_abort() {
    for backend in both() {
        let store = open(&backend);
        let pending = || run(store.pending_uploads("")).unwrap();
        let [kept, dropped] = ["dir/kept +%", "dir/dropped"]
            .map(|key| run(store.create_upload(key, &PutOptions::default())).unwrap());
        let total = send(&*kept, &[pattern(10, 0)]);
        send(&*dropped, &[pattern(10, 0)]);
        let mut keys: Vec<String> = pending().into_iter().map(|upload| upload.key).collect();
        keys.sort();
        assert_eq!(keys, ["dir/dropped", "dir/kept +%"], "{}", backend.name);
        run(kept.complete(1, UploadTotal { crc32c: total })).unwrap();
        run(dropped.abort()).unwrap();
        run(dropped.abort()).unwrap();
        assert_eq!(pending(), [], "{}", backend.name);
        assert!(run(store.exists("dir/kept +%")).unwrap());
        assert!(!run(store.exists("dir/dropped")).unwrap(), "{}", backend.name);
    }
}

#[test]
fn w3_an_incomplete_or_wrong_upload_is_never_published() {
    for backend in both() {
        let store = open(&backend);
        let upload = run(store.create_upload("k", &PutOptions::default())).unwrap();
        let total = send(&*upload, &[pattern(5 * MIB, 0)]);
        let missing = run(upload.complete(2, UploadTotal { crc32c: total })).unwrap_err();
        assert_eq!(missing.code(), Code::InvalidState, "{}", backend.name);
        let wrong = run(upload.complete(1, UploadTotal { crc32c: Crc32c::of(b"other") })).unwrap_err();
        assert_eq!(wrong.code(), Code::ChecksumMismatch, "{}", backend.name);
        let part = Part { number: 10_000, offset: 0, data: Bytes::new(), crc32c: Crc32c::new() };
        assert_eq!(run(upload.put_part(part)).unwrap_err().code(), Code::InvalidArgument);
        assert!(!run(store.exists("k")).unwrap());
        run(upload.abort()).unwrap();
        assert_eq!(run(store.pending_uploads("")).unwrap(), []);
    }
}

#[test]
fn w3_an_aborted_upload_cannot_be_completed() {
    let store = open(&Backend::seaweed());
    let upload = run(store.create_upload("k", &PutOptions::default())).unwrap();
    let total = send(&*upload, &[pattern(10, 0)]);
    run(upload.abort()).unwrap();
    let error = run(upload.complete(1, UploadTotal { crc32c: total })).unwrap_err();
    assert_eq!(error.code(), Code::NotFound, "{error}");
    assert!(!run(store.exists("k")).unwrap());
}

#[test]
fn w3_an_upload_without_parts_is_an_empty_object() {
    for backend in both() {
        let store = open(&backend);
        let options = PutOptions { content_type: Some("text/x-empty".into()), ..PutOptions::default() };
        let upload = run(store.create_upload("k", &options)).unwrap();
        run(upload.complete(0, UploadTotal { crc32c: Crc32c::new() })).unwrap();
        let meta = run(store.stat("k")).unwrap();
        assert_eq!((meta.size, meta.content_type.as_deref()), (0, Some("text/x-empty")), "{}", backend.name);
        assert_eq!(run(store.pending_uploads("")).unwrap(), []);
    }
}

#[test]
fn w3_a_create_only_upload_leaves_the_object_that_is_there() {
    for backend in both() {
        let store = open(&backend);
        let options = PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() };
        let upload = run(store.create_upload("k", &options)).unwrap();
        let total = send(&*upload, &[pattern(10, 0)]);
        run(store.put("k", Bytes::from_static(b"first").into(), &PutOptions::default())).unwrap();
        let error = run(upload.complete(1, UploadTotal { crc32c: total })).unwrap_err();
        assert_eq!(error.code(), Code::AlreadyExists, "{}: {error}", backend.name);
        assert_eq!(run(store.stat("k")).unwrap().size, 5);
        run(upload.abort()).unwrap();
    }
}

#[test]
fn s2_no_clone_of_lent_data_stays() {
    // `lend` returns only when the last clone is gone: with a client that kept one this would hang.
    let store = open(&Backend::s3b());
    let data = pattern(2 * MIB, 0);
    let put =
        s3dlio::base::buffer::lend(&data, |bytes| run(store.put("k", bytes.into(), &PutOptions::default())));
    put.unwrap();
    let fake = Fake::start(|_, _| Reply::Close(crate::fake::failure(403, "AccessDenied")));
    let refused = store_at(&fake, &[]);
    let put = s3dlio::base::buffer::lend(&data, |bytes| {
        run(refused.put("k", bytes.into(), &PutOptions::default()))
    });
    assert_eq!(put.unwrap_err().code(), Code::PermissionDenied);
}

/// A server that reads only the head of a request, answers (or not) and then leaves the connection open.
fn deaf(answer: &'static [u8]) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut one = [0];
                match stream.read(&mut one) {
                    Ok(1) => head.push(one[0]),
                    _ => break,
                }
            }
            stream.write_all(answer).unwrap();
            open.push(stream);
        }
    });
    endpoint
}

#[test]
fn s2_lent_data_comes_back_from_a_server_that_does_not_read() {
    let data = pattern(64 * MIB, 0);
    let put = |endpoint: &str, limit: &str| {
        let options = crate::support::s3_options(endpoint)
            .with(limit, 300)
            .and_then(|options| options.with("net.max_attempts", 2))
            .unwrap();
        let store = s3dlio::store::store_for_uri("s3://bucket", &options).unwrap();
        // Returns only when no connection holds a piece of the data any more.
        s3dlio::base::buffer::lend(&data, |bytes| run(store.put("k", bytes.into(), &PutOptions::default())))
            .unwrap_err()
    };
    // The server may have what it was sent.
    assert_eq!(put(&deaf(b""), "net.progress_timeout_ms").code(), Code::UnknownOutcome);
    assert_eq!(put(&deaf(b""), "net.operation_timeout_ms").code(), Code::UnknownOutcome);
    let refusal = b"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(put(&deaf(refusal), "net.progress_timeout_ms").code(), Code::PermissionDenied);
}
