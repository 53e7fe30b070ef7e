//! The Azure backend where the portable suite cannot look: against another client of the service, with
//! every kind of credential, and against a service that misbehaves.

#[path = "azure/faker.rs"]
mod faker;
mod support;

use bytes::Bytes;
use faker::{Faker, Reply, Request, answer};
use s3dlio::base::buffer::{lend, lend_mut};
use s3dlio::base::checksum::{Crc32c, format_crc32c};
use s3dlio::base::date::Timestamp;
use s3dlio::base::uri::Uri;
use s3dlio::options::Options;
use s3dlio::runtime::block_on;
use s3dlio::store::azure::AzureStore;
use s3dlio::store::{
    GetRequest, ListRequest, Part, PutCondition, PutOptions, PutResult, Store, UploadTotal, store_for_uri,
};
use s3dlio::{Code, Error, Result};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use support::{AZURITE_ACCOUNT, AZURITE_KEY, Backend, server, unique};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

fn endpoint() -> String {
    server("azurite", "S3DLIO_TEST_AZURITE")
}

/// A container of its own with the options that reach it.
struct Fixture {
    uri: String,
    container: String,
    options: Options,
    store: Store,
}

fn fixture() -> Fixture {
    let container = unique("azure");
    let uri = format!("az://{AZURITE_ACCOUNT}/{container}");
    let options = Backend::azurite().options;
    let store = store_for_uri(&uri, &options).unwrap();
    block_on(store.create_container()).unwrap().unwrap();
    Fixture { uri, container, options, store }
}

/// A script of tests/azure in the test tools' Python.
fn python(script: &str) -> Command {
    let tools = std::env::var("S3DLIO_TEST_TOOLS").map(PathBuf::from).unwrap_or_else(|_| {
        let cache = std::env::var("XDG_CACHE_HOME").map(PathBuf::from);
        cache
            .unwrap_or_else(|_| PathBuf::from(std::env::var("HOME").unwrap()).join(".cache"))
            .join("s3dlio/tools")
    });
    let mut command = Command::new(tools.join("py/bin/python"));
    command.arg(format!("{}/tests/azure/{script}", env!("CARGO_MANIFEST_DIR")));
    command
}

/// Runs peer.py.
fn peer(args: &[&str]) -> Value {
    let output = python("peer.py").arg(endpoint()).args(args).output();
    let output = output.expect("the test tools are installed; tests/run does that");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn wait<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    block_on(future).unwrap()
}

fn put(store: &Store, key: &str, data: &[u8], options: &PutOptions) -> Result<PutResult> {
    wait(store.put(key, Bytes::copy_from_slice(data).into(), options))
}

fn get(store: &Store, key: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut memory = vec![0; len];
    let request = GetRequest { offset, ..GetRequest::default() };
    let got = lend_mut(&mut memory, |window| wait(store.get_into(key, request, window)))?;
    memory.truncate(got.bytes);
    Ok(memory)
}

fn part(number: u32, data: &[u8]) -> Part {
    let offset = u64::from(number) * data.len() as u64;
    Part { number, offset, data: Bytes::copy_from_slice(data), crc32c: Crc32c::of(data) }
}

fn total(data: &[u8]) -> UploadTotal {
    UploadTotal { crc32c: Crc32c::of(data) }
}

fn described() -> PutOptions {
    PutOptions {
        content_type: Some("application/x-test; v=1".into()),
        metadata: [("owner".into(), "me  and you".into()), ("n".into(), "1".into())].into(),
        condition: PutCondition::Always,
    }
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|b| format!("{b:02x}")).collect()
}

fn pending(f: &Fixture) -> Vec<String> {
    let store = AzureStore::open(Uri::parse(&f.uri).unwrap(), &f.options.resolve().unwrap()).unwrap();
    wait(store.pending_uploads("")).unwrap()
}

#[test]
fn s2_another_client_sees_what_was_stored() {
    let f = fixture();
    let data = b"bytes \0\xff of an object";
    let check = |key: &str, etag: Option<String>| {
        let seen = peer(&["see", &f.container, key]);
        assert_eq!(seen["bytes"], hex(data));
        assert_eq!(seen["size"], data.len());
        assert_eq!(seen["content_type"], "application/x-test; v=1");
        assert_eq!(seen["metadata"]["owner"], "me  and you");
        assert_eq!(seen["metadata"]["n"], "1");
        assert_eq!(seen["metadata"]["s3dlio_crc32c"], format_crc32c(Crc32c::of(data).value()));
        assert_eq!(seen["etag"].as_str(), etag.as_deref());
        let meta = wait(f.store.stat(key)).unwrap();
        assert_eq!(meta.metadata, described().metadata, "ours is hidden");
        assert_eq!(meta.crc32c, Some(Crc32c::of(data).value()));
    };
    let key = "dir/odd %+#?& \u{44f}.bin";
    check(key, put(&f.store, key, data, &described()).unwrap().etag);
    let upload = wait(f.store.create_upload("parts", &described())).unwrap();
    for (number, piece) in data.chunks(7).enumerate() {
        wait(upload.put_part(part(number as u32, piece))).unwrap();
    }
    check("parts", wait(upload.complete(data.chunks(7).len() as u32, total(data))).unwrap().etag);
    let copied = wait(f.store.copy("parts", "copy")).unwrap();
    check("copy", copied.etag);
}

#[test]
fn s2_what_another_client_stored_is_read() {
    let f = fixture();
    peer(&["put", &f.container, "k", "hello"]);
    assert_eq!(get(&f.store, "k", 1, 3).unwrap(), b"ell");
    let meta = wait(f.store.stat("k")).unwrap();
    assert_eq!(meta.content_type.as_deref(), Some("text/x-peer"));
    assert_eq!(meta.metadata, [("by".to_owned(), "peer".to_owned())].into());
    assert_eq!(meta.crc32c, None, "nobody recorded one");
    // Its overwrite of an object of ours takes our checksum away.
    put(&f.store, "k", b"ours", &described()).unwrap();
    peer(&["put", &f.container, "k", "theirs"]);
    assert_eq!(wait(f.store.stat("k")).unwrap().crc32c, None);
    // Our upload replaces an object whose blocks have longer names.
    peer(&["put_blocks", &f.container, "b", "blocks of a peer"]);
    assert_eq!(get(&f.store, "b", 0, 100).unwrap(), b"blocks of a peer");
    let upload = wait(f.store.create_upload("b", &described())).unwrap();
    wait(upload.put_part(part(0, b"new"))).unwrap();
    wait(upload.complete(1, total(b"new"))).unwrap();
    assert_eq!(peer(&["see", &f.container, "b"])["bytes"], hex(b"new"));
}

#[test]
fn s2_names_of_this_backends_metadata_are_reserved() {
    let f = fixture();
    let options =
        PutOptions { metadata: [("s3dlio_crc32c".into(), "x".into())].into(), ..PutOptions::default() };
    assert_eq!(put(&f.store, "k", b"x", &options).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(wait(f.store.create_upload("k", &options)).unwrap_err().code(), Code::InvalidArgument);
}

fn with(options: &[(&str, &str)]) -> Options {
    let mut all = Options::new().with("azure.endpoint", endpoint()).unwrap();
    for (key, value) in options {
        all.set(key, value).unwrap();
    }
    all
}

#[test]
fn s3_shared_access_signatures_of_another_client() {
    let f = fixture();
    put(&f.store, "there", b"old", &described()).unwrap();
    let sas = |permissions: &str, hours: &str| {
        peer(&["sas", &f.container, permissions, hours])["sas"].as_str().unwrap().to_owned()
    };
    let all = sas("racwdl", "1");
    for token in [all.clone(), format!("?{all}")] {
        let store = store_for_uri(&f.uri, &with(&[("azure.sas_token", &token)])).unwrap();
        put(&store, "a b%", b"new", &described()).unwrap();
        assert_eq!(get(&store, "a b%", 0, 10).unwrap(), b"new");
        wait(store.copy("a b%", "c+d")).unwrap();
        wait(store.delete("a b%")).unwrap();
        let page = wait(store.list_page(&ListRequest::default())).unwrap();
        assert_eq!(page.entries.iter().map(|e| e.key()).collect::<Vec<_>>(), ["c+d", "there"]);
        wait(store.delete("c+d")).unwrap();
    }
    let reader = store_for_uri(&f.uri, &with(&[("azure.sas_token", &sas("r", "1"))])).unwrap();
    assert_eq!(get(&reader, "there", 0, 10).unwrap(), b"old");
    let error = put(&reader, "there", b"new", &PutOptions::default()).unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    let late = store_for_uri(&f.uri, &with(&[("azure.sas_token", &sas("r", "-1"))])).unwrap();
    let error = wait(late.stat("there")).unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
}

#[test]
fn s3_connection_strings() {
    let f = fixture();
    put(&f.store, "k", b"x", &PutOptions::default()).unwrap();
    let sas = peer(&["sas", &f.container, "rl", "1"])["sas"].as_str().unwrap().to_owned();
    let blob = endpoint();
    for string in [
        format!(
            "AccountName={AZURITE_ACCOUNT};AccountKey={AZURITE_KEY};BlobEndpoint={blob};QueueEndpoint=http://q/;"
        ),
        format!("BlobEndpoint={blob}/;SharedAccessSignature={sas}"),
    ] {
        let options = Options::new().with("azure.connection_string", string).unwrap();
        let store = store_for_uri(&f.uri, &options).unwrap();
        assert_eq!(get(&store, "k", 0, 9).unwrap(), b"x");
    }
}

#[test]
fn s3_wrong_credentials() {
    let f = fixture();
    put(&f.store, "k", b"x", &PutOptions::default()).unwrap();
    let wrong = store_for_uri(&f.uri, &with(&[("azure.account_key", "d3Jvbmc=")])).unwrap();
    let error = wait(wrong.stat("k")).unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    assert_eq!(error.operation(), Some("stat"));
    let error = get(&wrong, "k", 0, 1).unwrap_err();
    assert_eq!((error.code(), error.http_status()), (Code::Unauthenticated, Some(403)), "{error}");
    let nobody = store_for_uri(&f.uri, &with(&[("azure.anonymous", "true")])).unwrap();
    let error = get(&nobody, "k", 0, 1).unwrap_err();
    let refused = [Code::Unauthenticated, Code::PermissionDenied, Code::NotFound];
    assert!(refused.contains(&error.code()), "{error}");
}

#[test]
fn a_missing_container_is_named_by_every_operation() {
    let store =
        store_for_uri(&format!("az://{AZURITE_ACCOUNT}/{}", unique("none")), &fixture().options).unwrap();
    let upload = wait(store.create_upload("k", &PutOptions::default())).unwrap();
    let errors = [
        get(&store, "k", 0, 1).unwrap_err(),
        get(&store, "k", 0, 0).unwrap_err(),
        put(&store, "k", b"x", &PutOptions::default()).unwrap_err(),
        wait(upload.put_part(part(0, b"x"))).unwrap_err(),
        wait(store.stat("k")).unwrap_err(),
        wait(store.list_page(&ListRequest::default())).unwrap_err(),
        wait(store.delete("k")).unwrap_err(),
        wait(store.copy("k", "l")).unwrap_err(),
        wait(store.delete_container()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.code(), Code::ContainerNotFound, "{error}");
        assert!(error.details().iter().any(|(key, _)| *key == "request_id"), "{error}");
    }
    wait(upload.abort()).unwrap();
}

fn fails(uri: &str, options: &[(&str, &str)]) -> Error {
    let mut all = with(&[("azure.account_key", AZURITE_KEY), ("net.max_attempts", "2")]);
    for (key, value) in options {
        all.set(key, value).unwrap();
    }
    wait(store_for_uri(uri, &all).unwrap().stat("k")).unwrap_err()
}

#[test]
fn the_way_to_the_service_is_broken() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = fails("az://acct/box", &[("azure.endpoint", &format!("http://{free}/acct"))]);
    assert_eq!((error.code(), error.os_errno()), (Code::Connection, Some(libc::ECONNREFUSED)), "{error}");
    assert!(error.details().contains(&("attempts", "2".into())), "{error}");
    let error = fails("az://acct/box", &[("azure.endpoint", "http://no-such-host.invalid/acct")]);
    assert_eq!(error.code(), Code::Dns, "{error}");
    let plain = endpoint().replace("http:", "https:");
    let error = fails("az://acct/box", &[("azure.endpoint", &plain)]);
    assert_eq!(error.code(), Code::Tls, "{error}");
    let error = fails("az://acct/box", &[("net.ca_bundle", "/nonexistent/ca.pem")]);
    assert_eq!(error.code(), Code::InvalidOption, "{error}");
    assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
}

#[test]
fn s3_an_own_certificate_authority_is_trusted_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = python("tls.py")
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test tools are installed; tests/run does that");
    let mut port = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let endpoint = format!("https://127.0.0.1:{}/acct", port.trim());
    let ca = folder.path().join("ca.pem");
    let error =
        fails("az://acct/box", &[("azure.endpoint", &endpoint), ("net.ca_bundle", ca.to_str().unwrap())]);
    assert_eq!(error.code(), Code::NotFound, "the answer came through: {error}");
    let error = fails("az://acct/box", &[("azure.endpoint", &endpoint)]);
    assert_eq!(error.code(), Code::Tls, "{error}");
    drop(process.stdin.take());
    process.wait().unwrap();
}

#[test]
fn w4_abort_leaves_nothing_and_takes_nothing_of_others() {
    let f = fixture();
    let start = |key: &str, data: &[u8]| {
        let upload = wait(f.store.create_upload(key, &PutOptions::default())).unwrap();
        wait(upload.put_part(part(0, data))).unwrap();
        upload
    };
    let upload = start("gone", b"part");
    assert_eq!(pending(&f), ["gone"]);
    assert_eq!(peer(&["uncommitted", &f.container]), serde_json::json!(["gone"]));
    wait(upload.abort()).unwrap();
    wait(upload.abort()).unwrap();
    assert_eq!(pending(&f), [""; 0]);
    assert_eq!(peer(&["uncommitted", &f.container]), serde_json::json!([]));
    assert_eq!(wait(f.store.stat("gone")).unwrap_err().code(), Code::NotFound);

    // Another upload to the key is under way: it must not lose its blocks.
    let (one, two) = (start("shared", b"one"), start("shared", b"two"));
    wait(one.abort()).unwrap();
    wait(two.complete(1, total(b"two"))).unwrap();
    assert_eq!(get(&f.store, "shared", 0, 9).unwrap(), b"two");
    assert_eq!(pending(&f), [""; 0]);

    // Somebody published meanwhile: their object stays as it is.
    let upload = start("rival", b"part");
    let etag = put(&f.store, "rival", b"theirs", &described()).unwrap().etag;
    wait(upload.abort()).unwrap();
    let meta = wait(f.store.stat("rival")).unwrap();
    assert_eq!((meta.etag, meta.metadata), (etag, described().metadata));
}

#[test]
fn two_uploads_to_one_key_never_mix() {
    let f = fixture();
    let start = |data: &[u8]| {
        let upload = wait(f.store.create_upload("k", &PutOptions::default())).unwrap();
        wait(upload.put_part(part(0, data))).unwrap();
        upload
    };
    let (one, two) = (start(b"one"), start(b"two"));
    wait(one.complete(1, total(b"one"))).unwrap();
    let error = wait(two.complete(1, total(b"two"))).unwrap_err();
    assert_eq!(error.code(), Code::Changed, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("published meanwhile")), "{error}");
    assert_eq!(get(&f.store, "k", 0, 9).unwrap(), b"one");
}

#[test]
fn w1_complete_checks_that_every_part_is_there() {
    let f = fixture();
    let upload = wait(f.store.create_upload("k", &PutOptions::default())).unwrap();
    wait(upload.put_part(part(0, b"one"))).unwrap();
    assert_eq!(wait(upload.complete(2, total(b"onetwo"))).unwrap_err().code(), Code::InvalidState);
    assert_eq!(wait(upload.complete(1, total(b"onE"))).unwrap_err().code(), Code::ChecksumMismatch);
    assert_eq!(wait(f.store.stat("k")).unwrap_err().code(), Code::NotFound);
    wait(upload.complete(1, total(b"one"))).unwrap();
    assert_eq!(get(&f.store, "k", 0, 9).unwrap(), b"one");
}

/// Why such keys are refused: this client is told of success, and the name is another one.
#[test]
fn s4_a_backslash_would_change_the_name() {
    let f = fixture();
    peer(&["put", &f.container, "a\\b", "x"]);
    assert_eq!(peer(&["list", &f.container]), serde_json::json!(["a/b"]));
    assert_eq!(put(&f.store, "a\\b", b"x", &PutOptions::default()).unwrap_err().code(), Code::InvalidKey);
}

/// A store that talks to a [`Faker`].
fn fake(faker: &Faker, options: &[(&str, &str)]) -> Store {
    let mut all = Options::new();
    all.set("azure.endpoint", &faker.endpoint).unwrap();
    all.set("azure.account_key", "a2V5").unwrap();
    all.set("net.max_attempts", "3").unwrap();
    for (key, value) in options {
        all.set(key, value).unwrap();
    }
    store_for_uri("az://acct/box", &all).unwrap()
}

const ETAG: &str = "\"0x1\"";

/// Bytes `from..10` of 0..10 as far as `sent` of them go.
fn ranged(from: u64, sent: usize, etag: &str) -> Reply {
    let data: Vec<u8> = (from as u8..10).collect();
    let range = format!("bytes {from}-9/10");
    let length = data.len().to_string();
    let headers = [("Content-Range", range.as_str()), ("Content-Length", &length), ("ETag", etag)];
    answer("206 Partial Content", &headers, &data[..sent.min(data.len())])
}

#[test]
fn a_broken_read_goes_on_where_it_stopped() {
    let faker = Faker::start(|n, request, _| match n {
        0 => ranged(0, 4, ETAG),
        _ => ranged(request.header("range").unwrap()[6..7].parse().unwrap(), 10, ETAG),
    });
    assert_eq!(get(&fake(&faker, &[]), "k", 0, 10).unwrap(), (0..10).collect::<Vec<u8>>());
    let requests = faker.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].header("range"), Some("bytes=4-9"));
    assert_eq!(requests[1].header("if-match"), Some(ETAG));
}

#[test]
fn a_read_that_never_ends_well_is_truncated() {
    let faker = Faker::start(|_, request, _| {
        ranged(request.header("range").unwrap()[6..7].parse().unwrap(), 2, ETAG)
    });
    let error = get(&fake(&faker, &[]), "k", 0, 10).unwrap_err();
    assert_eq!(error.code(), Code::Truncated, "{error}");
    assert_eq!(faker.requests().len(), 3, "net.max_attempts");
}

#[test]
fn a_read_never_mixes_two_objects() {
    let faker = Faker::start(|n, _, _| match n {
        0 => ranged(0, 4, ETAG),
        _ => ranged(4, 10, "\"0x2\""), // a service that ignores If-Match
    });
    let error = get(&fake(&faker, &[]), "k", 0, 10).unwrap_err();
    assert_eq!(error.code(), Code::Changed, "{error}");
}

#[test]
fn a_wrong_range_is_a_protocol_error() {
    for reply in ["bytes 1-9/10", "bytes 0-8/10", "bytes 0-9/9", "bytes 0-9", "garbage"] {
        let faker = Faker::start(move |_, _, _| {
            answer("206 Partial Content", &[("Content-Range", reply), ("ETag", ETAG)], &[0; 10])
        });
        let error = get(&fake(&faker, &[]), "k", 0, 10).unwrap_err();
        assert_eq!(error.code(), Code::Protocol, "{reply}: {error}");
    }
    let faker = Faker::start(|_, _, _| answer("200 OK", &[("ETag", ETAG)], &[0; 10]));
    assert_eq!(get(&fake(&faker, &[]), "k", 0, 10).unwrap_err().code(), Code::Protocol);
}

/// Nothing of an answer that says two things about its length is believed.
#[test]
fn a_body_that_is_longer_than_its_range_is_a_protocol_error() {
    let faker = Faker::start(|_, _, _| {
        answer("206 Partial Content", &[("Content-Range", "bytes 0-9/10"), ("ETag", ETAG)], &[1; 12])
    });
    let error = get(&fake(&faker, &[]), "k", 0, 10).unwrap_err();
    assert_eq!(error.code(), Code::Protocol, "{error}");
}

#[test]
fn net_optimized_chooses_the_way_of_every_request() {
    for (optimized, agent) in [("true", "s3dlio/"), ("false", "azsdk-rust-")] {
        let faker = Faker::start(|_, request, _| match request.method.as_str() {
            "GET" if request.target.contains("comp=list") => answer("200 OK", &[], b"<x/>"),
            "GET" => ranged(0, 10, ETAG),
            "DELETE" => answer("202 Accepted", &[], b""),
            _ => answer("201 Created", &[("ETag", ETAG), ("x-ms-copy-status", "success")], b""),
        });
        let store = fake(&faker, &[("net.optimized", optimized)]);
        get(&store, "k", 0, 10).unwrap();
        put(&store, "k", b"x", &described()).unwrap();
        wait(store.stat("k")).unwrap();
        wait(store.copy("k", "l")).unwrap();
        wait(store.delete("k")).unwrap();
        wait(store.list_page(&ListRequest::default())).unwrap_err();
        wait(store.create_container()).unwrap();
        for request in faker.requests() {
            let sent = request.header("user-agent").unwrap();
            assert!(sent.starts_with(agent), "{} {}: {sent}", request.method, request.target);
        }
    }
}

/// This machine's clock is a day behind the service's: signed with its time, the request is good.
#[test]
fn s3_a_wrong_clock_is_corrected_once() {
    let at = |days: u64| {
        let then = std::time::SystemTime::now() + std::time::Duration::from_secs(days * 86_400);
        let then = then.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        Timestamp::from_unix(then as i64).http().to_string()
    };
    let day = |date: &str| date[..16].to_owned();
    let refusing = |refusals: usize| {
        Faker::start(move |n, _, _| match n {
            n if n < refusals => {
                answer("403 Forbidden", &[("x-ms-error-code", "AuthenticationFailed"), ("Date", &at(1))], b"")
            }
            _ => answer("201 Created", &[("ETag", ETAG)], b""),
        })
    };
    let faker = refusing(1);
    let store = fake(&faker, &[("net.optimized", "true")]);
    put(&store, "k", b"x", &PutOptions::default()).unwrap();
    put(&store, "k", b"x", &PutOptions::default()).unwrap();
    let dates: Vec<_> = faker.requests().iter().map(|r| day(r.header("x-ms-date").unwrap())).collect();
    assert_eq!(dates, [day(&at(0)), day(&at(1)), day(&at(1))], "the correction stays");
    // What is refused with the service's own time is refused.
    let faker = refusing(9);
    let store = fake(&faker, &[("net.optimized", "true")]);
    let error = put(&store, "k", b"x", &PutOptions::default()).unwrap_err();
    assert_eq!((error.code(), faker.requests().len()), (Code::Unauthenticated, 2), "{error}");
}

#[test]
fn silence_ends_in_a_timeout() {
    let faker = Faker::start(|_, _, _| Reply::Silence);
    let options = [("net.progress_timeout_ms", "100"), ("net.max_attempts", "2")];
    let error = get(&fake(&faker, &options), "k", 0, 10).unwrap_err();
    assert_eq!(error.code(), Code::Timeout, "{error}");
    let options = [("net.operation_timeout_ms", "100")];
    let error = put(&fake(&faker, &options), "k", b"x", &PutOptions::default()).unwrap_err();
    assert_eq!(error.code(), Code::UnknownOutcome, "the service may have it: {error}");
    assert!(error.to_string().contains("deadline") && error.retryable(), "{error}");
}

/// The service takes the connection and reads nothing: the caller's memory comes back all the same.
#[test]
fn w1_lent_memory_comes_back_from_a_stuck_upload() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/acct", listener.local_addr().unwrap());
    let faker = Faker { endpoint, seen: Default::default() };
    let store = fake(&faker, &[("net.progress_timeout_ms", "200"), ("net.max_attempts", "1")]);
    let data = vec![7; 64 << 20];
    let error = lend(&data, |bytes| wait(store.put("k", bytes.into(), &PutOptions::default()))).unwrap_err();
    assert_eq!(error.code(), Code::UnknownOutcome, "{error}");
    assert!(error.to_string().contains("no byte moved"), "{error}");
}

/// A refusal that comes before the body was read is reported, not the lost connection.
#[test]
fn an_early_refusal_is_heard() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/acct", listener.local_addr().unwrap());
    let faker = Faker { endpoint, seen: Default::default() };
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = [0; 100];
        std::io::Read::read_exact(&mut stream, &mut head.clone()).unwrap();
        let refusal =
            b"HTTP/1.1 403 No\r\nx-ms-error-code: AuthenticationFailed\r\nContent-Length: 0\r\n\r\n";
        std::io::Write::write_all(&mut stream, refusal).unwrap();
        stream // open, but nobody reads
    });
    let store = fake(&faker, &[("net.max_attempts", "1")]);
    let data = vec![7; 64 << 20];
    let error = lend(&data, |bytes| wait(store.put("k", bytes.into(), &PutOptions::default()))).unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    drop(server.join().unwrap());
}

#[test]
fn an_overloaded_service_is_asked_again() {
    let busy = || answer("503 Busy", &[("x-ms-error-code", "ServerBusy"), ("x-ms-retry-after-ms", "1")], b"");
    let faker = Faker::start(move |n, _, _| match n {
        0 | 1 => busy(),
        _ => answer("201 Created", &[("ETag", ETAG)], b""),
    });
    put(&fake(&faker, &[]), "k", b"data", &PutOptions::default()).unwrap();
    assert!(faker.requests().iter().all(|request| request.body == b"data"));
    let faker = Faker::start(move |_, _, _| busy());
    let error = put(&fake(&faker, &[]), "k", b"data", &PutOptions::default()).unwrap_err();
    assert_eq!((error.code(), error.http_status()), (Code::Unavailable, Some(503)), "{error}");
    assert!(error.retryable() && error.to_string().contains("ServerBusy"), "{error}");
    assert_eq!(faker.requests().len(), 3);
}

/// A create-only put whose first answer is lost; then the object is there, with this nonce.
fn lost_answer(nonce: fn(&str) -> String) -> Result<PutResult> {
    let faker = Faker::start(move |n, request, before| match (n, request.method.as_str()) {
        (0, _) => Reply::Raw(Vec::new()),
        (_, "PUT") => answer("409 Conflict", &[("x-ms-error-code", "BlobAlreadyExists")], b""),
        _ => {
            let ours = before[0].header("x-ms-meta-s3dlio_write").unwrap();
            answer("200 OK", &[("ETag", ETAG), ("x-ms-meta-s3dlio_write", &nonce(ours))], b"")
        }
    });
    let options = PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() };
    put(&fake(&faker, &[]), "k", b"x", &options)
}

#[test]
fn a_conditional_write_whose_answer_was_lost_is_resolved() {
    assert_eq!(lost_answer(str::to_owned).unwrap().etag.as_deref(), Some(ETAG));
    let error = lost_answer(|_| "somebody else's".into()).unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error}");
    let faker = Faker::start(|_, _, _| Reply::Raw(Vec::new()));
    let options = PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() };
    let error = put(&fake(&faker, &[]), "k", b"x", &options).unwrap_err();
    assert_eq!((error.code(), error.retryable()), (Code::UnknownOutcome, false), "{error}");
}

/// A service that loses every answer to what `is_commit` names; then the object has the mark that
/// `mark` makes of ours.
fn losing(is_commit: fn(&Request) -> bool, mark: fn(&str) -> Option<String>) -> Faker {
    Faker::start(move |_, request, before| match request.method.as_str() {
        "PUT" if is_commit(request) => Reply::Raw(Vec::new()),
        "PUT" => answer("201 Created", &[("ETag", ETAG)], b""),
        "HEAD" => {
            let ours = before.iter().find_map(|r| r.header("x-ms-meta-s3dlio_write")).unwrap();
            match mark(ours) {
                Some(mark) => answer("200 OK", &[("ETag", ETAG), ("x-ms-meta-s3dlio_write", &mark)], b""),
                None => answer("404 Not Found", &[("x-ms-error-code", "BlobNotFound")], b""),
            }
        }
        _ => answer("500 Broken", &[], b""),
    })
}

#[test]
fn s2_an_unconditional_write_whose_answers_were_lost_is_resolved_or_unknown() {
    let put_with = |mark| {
        let faker = losing(|_| true, mark);
        let result = put(&fake(&faker, &[]), "k", b"x", &PutOptions::default());
        assert_eq!(faker.requests().iter().filter(|r| r.method == "PUT").count(), 3, "tried again first");
        result
    };
    assert_eq!(put_with(|ours| Some(ours.to_owned())).unwrap().etag.as_deref(), Some(ETAG));
    for mark in [|_: &str| None, |_: &str| Some("somebody else's".to_owned())] {
        let error = put_with(mark).unwrap_err();
        assert_eq!((error.code(), error.retryable()), (Code::UnknownOutcome, true), "{error}");
        assert!(error.to_string().contains("connection"), "the cause stays: {error}");
    }
}

#[test]
fn w3_a_block_list_whose_answers_were_lost_is_resolved_or_unknown() {
    let commit_with = |mark| {
        let faker = losing(|request| request.target.contains("comp=blocklist"), mark);
        let upload = wait(fake(&faker, &[]).create_upload("k", &PutOptions::default())).unwrap();
        wait(upload.put_part(part(0, b"x"))).unwrap();
        wait(upload.complete(1, total(b"x")))
    };
    assert_eq!(commit_with(|ours| Some(ours.to_owned())).unwrap().etag.as_deref(), Some(ETAG));
    let error = commit_with(|_| None).unwrap_err();
    assert_eq!((error.code(), error.retryable()), (Code::UnknownOutcome, false), "{error}");
}

/// What was refused by the service, or never had a connection, is no write whose outcome is open.
#[test]
fn s2_a_write_that_cannot_have_arrived_fails_plainly() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // It takes connections and never answers a handshake.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stuck = format!("https://{}/acct", silent.local_addr().unwrap());
    let status = |status: &'static str, headers: &'static [(&'static str, &'static str)]| {
        Faker::start(move |_, _, _| answer(status, headers, b"")).endpoint
    };
    for (endpoint, code) in [
        (format!("http://{free}/acct"), Code::Connection),
        ("http://no-such-host.invalid/acct".into(), Code::Dns),
        (stuck, Code::Timeout),
        (status("503 Busy", &[("x-ms-error-code", "ServerBusy")]), Code::Unavailable),
        (status("503 Bad", &[]), Code::UnknownOutcome),
        (status("500 Bad", &[("x-ms-error-code", "OperationTimedOut")]), Code::UnknownOutcome),
    ] {
        let faker = Faker { endpoint, seen: Default::default() };
        let limits = [("net.max_attempts", "2"), ("net.operation_timeout_ms", "2000")];
        let create_only = PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() };
        for options in [PutOptions::default(), create_only] {
            let error = put(&fake(&faker, &limits), "k", b"x", &options).unwrap_err();
            assert_eq!(error.code(), code, "{} {options:?}: {error}", faker.endpoint);
        }
    }
}

#[test]
fn s2_a_copy_whose_answers_were_lost_is_resolved_or_unknown() {
    let copy_with = |there: &'static [(&'static str, &'static str)]| {
        let faker = Faker::start(move |n, request, _| match request.method.as_str() {
            "HEAD" if n == 0 => answer("200 OK", &[("ETag", ETAG), ("x-ms-meta-s3dlio_write", "m")], b""),
            "HEAD" => answer("200 OK", there, b""),
            _ => Reply::Raw(Vec::new()),
        });
        wait(fake(&faker, &[]).copy("a", "b"))
    };
    const MARK: (&str, &str) = ("x-ms-meta-s3dlio_write", "m");
    const DONE: (&str, &str) = ("x-ms-copy-status", "success");
    assert_eq!(copy_with(&[("ETag", "\"0x2\""), MARK, DONE]).unwrap().etag.as_deref(), Some("\"0x2\""));
    for there in [&[MARK][..], &[DONE], &[("x-ms-meta-s3dlio_write", "n"), DONE]] {
        let error = copy_with(there).unwrap_err();
        assert_eq!((error.code(), error.retryable()), (Code::UnknownOutcome, true), "{there:?}: {error}");
    }
}

#[test]
fn s2_a_deadline_during_a_copy_leaves_the_outcome_open() {
    let silent_from = |first: usize| {
        let faker = Faker::start(move |n, _, _| match n {
            n if n >= first => Reply::Silence,
            0 => answer("200 OK", &[("ETag", ETAG)], b""),
            _ => answer("202 Accepted", &[("x-ms-copy-id", "i"), ("x-ms-copy-status", "pending")], b""),
        });
        wait(fake(&faker, &[("net.operation_timeout_ms", "500")]).copy("a", "b")).unwrap_err().code()
    };
    assert_eq!(silent_from(0), Code::Timeout, "the copy was not asked for yet");
    assert_eq!(silent_from(1), Code::UnknownOutcome, "the copy's own answer");
    assert_eq!(silent_from(2), Code::UnknownOutcome, "while it is pending");
}

#[test]
fn s2_a_rename_never_deletes_what_was_not_copied() {
    let rename = |status: &'static str, code: &'static str| {
        let faker = Faker::start(move |_, request, _| match request.method.as_str() {
            "DELETE" => answer(status, &[("x-ms-error-code", code)], b""),
            "PUT" => answer("202 Accepted", &[("ETag", "\"0x2\""), ("x-ms-copy-status", "success")], b""),
            _ => answer("200 OK", &[("ETag", ETAG)], b""),
        });
        let outcome = wait(fake(&faker, &[]).rename("a", "b"));
        let delete = faker.requests().pop().unwrap();
        assert_eq!((delete.method.as_str(), delete.header("if-match")), ("DELETE", Some(ETAG)));
        outcome
    };
    rename("202 Accepted", "").unwrap();
    rename("404 Not Found", "BlobNotFound").unwrap();
    let error = rename("412 No", "ConditionNotMet").unwrap_err();
    assert_eq!((error.code(), error.operation()), (Code::Changed, Some("rename")), "{error}");
    assert!(error.uri().unwrap().ends_with("/a"), "{error}");
}

#[test]
fn a_pending_copy_is_waited_for() {
    let faker = Faker::start(|n, request, _| {
        let status = if n < 3 { "pending" } else { "success" };
        let headers = [("ETag", ETAG), ("x-ms-copy-id", "id"), ("x-ms-copy-status", status)];
        answer(if request.method == "PUT" { "202 Accepted" } else { "200 OK" }, &headers, b"")
    });
    wait(fake(&faker, &[]).copy("a", "b")).unwrap();
    let requests = faker.requests();
    assert_eq!(
        requests.iter().map(|r| r.method.as_str()).collect::<Vec<_>>(),
        ["HEAD", "PUT", "HEAD", "HEAD"]
    );
    assert_eq!(requests[1].header("x-ms-source-if-match"), Some(ETAG));
    let faker = Faker::start(|_, _, _| {
        answer("200 OK", &[("ETag", ETAG), ("x-ms-copy-status", "failed"), ("x-ms-copy-id", "i")], b"")
    });
    assert_eq!(wait(fake(&faker, &[]).copy("a", "b")).unwrap_err().code(), Code::Server);
}

/// Everything that is logged in this process, at every level.
fn log() -> &'static Mutex<String> {
    static LOG: Mutex<String> = Mutex::new(String::new());
    static SET: OnceLock<()> = OnceLock::new();
    struct Collect;
    impl Visit for Collect {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            *LOG.lock().unwrap() += &format!("{field}={value:?}\n");
        }
    }
    impl Subscriber for Collect {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
            span.record(&mut Collect);
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, values: &span::Record<'_>) {
            values.record(&mut Collect);
        }
        fn event(&self, event: &Event<'_>) {
            event.record(&mut Collect);
        }
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }
    SET.get_or_init(|| tracing::subscriber::set_global_default(Collect).unwrap());
    &LOG
}

#[test]
fn s3_no_secret_is_shown_anywhere() {
    let log = log();
    let f = fixture();
    let faker = Faker::start(|n, _, _| match n % 2 {
        0 => answer("404 Not Found", &[("x-ms-error-code", "BlobNotFound")], b""),
        _ => Reply::Raw(Vec::new()),
    });
    let mut shown = String::new();
    let broken = "http://127.0.0.1:1/acct";
    let secrets = [
        ("azure.account_key", "Y2FuYXJ5a2V5"),
        ("azure.sas_token", "sv=2021&sp=canarysp&sig=canarysig%3D"),
        ("azure.connection_string", "AccountName=acct;AccountKey=Y2FuYXJ5a2V5;BlobEndpoint=http://x/acct"),
    ];
    for (key, secret) in secrets {
        for endpoint in [faker.endpoint.as_str(), broken, &endpoint()] {
            let mut options = Options::new();
            options.set("azure.endpoint", endpoint).unwrap();
            options.set("net.max_attempts", "1").unwrap();
            options.set(key, secret).unwrap();
            let store = store_for_uri("az://acct/box", &options).unwrap();
            shown += &format!("{options:?} {store:?}");
            for _ in 0..2 {
                let errors = [
                    get(&store, "k", 0, 1).unwrap_err(),
                    put(&store, "k", b"x", &PutOptions::default()).unwrap_err(),
                    wait(store.copy("k", "l")).unwrap_err(),
                    wait(store.list_page(&ListRequest::default())).unwrap_err(),
                ];
                shown += &format!("{errors:?} {:?}", errors.iter().map(Error::details).collect::<Vec<_>>());
            }
        }
    }
    put(&f.store, "k", b"x", &PutOptions::default()).unwrap();
    let log = log.lock().unwrap();
    assert!(log.contains("127.0.0.1"), "nothing was logged: it proves nothing");
    shown += &log;
    for secret in ["canary", "Y2FuYXJ5a2V5", AZURITE_KEY] {
        let at = shown.find(secret);
        assert!(at.is_none(), "{}", &shown[at.unwrap().saturating_sub(300)..]);
    }
}
