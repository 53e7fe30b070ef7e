//! Uploads whose creation got no answer (SPEC W3, I1): found and removed, and nothing else with them.

use crate::run;
use crate::support;
use bytes::Bytes;
use faultd::{Config, Fault, Faultd, Op, Part as Stored, Rule, Service, Upload as Pending};
use s3dlio::Code;
use s3dlio::base::checksum::Crc32c;
use s3dlio::store::{Part, PutOptions, Store, UploadTotal, store_for_uri};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

const LIMIT: Duration = Duration::from_secs(20);

fn start(settings: &[(&str, &str)]) -> (Faultd, Store) {
    let faultd = Faultd::start(Config::default()).unwrap();
    faultd.objects(Service::S3, |objects| objects.container("box").objects.clear());
    let mut options = support::s3_options(&faultd.s3_endpoint());
    for (name, value) in settings {
        options.set(name, value).unwrap();
    }
    let store = store_for_uri("s3://box/root", &options).unwrap();
    (faultd, store)
}

fn lose_answers(faultd: &Faultd, times: u64) {
    let script = Rule::on(Op::CreateUpload, Fault::named("act_then_drop").unwrap()).times(times);
    faultd.script(script);
}

/// Ids of the uploads that are there.
fn pending(faultd: &Faultd) -> BTreeSet<String> {
    faultd.objects(Service::S3, |objects| objects.container("box").uploads.keys().cloned().collect())
}

/// An upload of another program, that began so long ago.
fn foreign(faultd: &Faultd, id: &str, key: &str, ago: Duration, part: bool) {
    let bytes = std::sync::Arc::new(vec![1; 10]);
    let now = SystemTime::now();
    let stored = Stored { crc32c: 0, etag: "\"1\"".into(), bytes, modified: now };
    let upload = Pending {
        key: key.into(),
        started: now - ago,
        content_type: None,
        metadata: BTreeMap::new(),
        checksum: false,
        parts: part.then_some((1, stored)).into_iter().collect(),
    };
    faultd.objects(Service::S3, |objects| {
        objects.container("box").uploads.insert(id.into(), upload);
    });
}

#[test]
fn w3_a_lost_upload_is_removed_and_no_other_one() {
    for finish in [true, false] {
        let (faultd, store) = start(&[]);
        let own = run(store.create_upload("key", &PutOptions::default())).unwrap();
        let mut others = pending(&faultd);
        assert_eq!(others.len(), 1);
        for (id, key, ago, part) in [
            ("with-a-part", "root/key", 0, true),
            ("from-before", "root/key", 60, false),
            ("another-key", "root/key2", 0, false),
            ("a-parent", "root/ke", 0, false),
        ] {
            foreign(&faultd, id, key, Duration::from_secs(ago), part);
            others.insert(id.to_owned());
        }
        lose_answers(&faultd, 2);
        let upload = run(store.create_upload("key", &PutOptions::default())).unwrap();
        assert_eq!(pending(&faultd).len(), others.len() + 3, "two were lost");
        let data = Bytes::from_static(b"bytes");
        let crc32c = Crc32c::of(&data);
        run(upload.put_part(Part { number: 0, offset: 0, data, crc32c })).unwrap();
        match finish {
            true => drop(run(upload.complete(1, UploadTotal { crc32c })).unwrap()),
            false => run(upload.abort()).unwrap(),
        }
        assert_eq!(pending(&faultd), others, "finished: {finish}");
        run(own.abort()).unwrap();
    }
}

/// Where no id ever comes, nobody is left who could clean up later.
#[test]
fn w3_an_upload_that_never_got_an_id_is_removed_at_once() {
    let (faultd, store) = start(&[]);
    lose_answers(&faultd, 100);
    let error = run(store.create_upload("key", &PutOptions::default())).unwrap_err();
    assert_eq!(error.code(), Code::Connection, "{error}");
    assert!(faultd.ledger().of(Op::CreateUpload).count() > 1);
    assert!(faultd.wait_until(LIMIT, |l| l.open_uploads == 0), "{:?} are left", pending(&faultd));
}

/// The next upload of the same key is created while the lost one is looked for.
#[test]
fn w3_an_upload_that_is_just_being_created_is_no_lost_one() {
    let (faultd, store) = start(&[("net.max_attempts", "1")]);
    let lost = Rule::on(Op::CreateUpload, Fault::named("act_then_drop").unwrap()).nth(1);
    let slow = Fault::named("stall_before_head").unwrap().with("ms", 700);
    // Listed is what the second create has made, before its answer says so.
    let later = Fault::named("stall_before_head").unwrap().with("phase", "before").with("ms", 300);
    let list = Rule::on(Op::ListUploads, later);
    faultd.script(vec![lost, Rule::on(Op::CreateUpload, slow).nth(1), list]);
    run(store.create_upload("key", &PutOptions::default())).unwrap_err();
    let upload = run(store.create_upload("key", &PutOptions::default())).unwrap();
    assert!(faultd.wait_until(LIMIT, |l| l.open_uploads == 1), "{:?} are there", pending(&faultd));
    let data = Bytes::from_static(b"bytes");
    let crc32c = Crc32c::of(&data);
    run(upload.put_part(Part { number: 0, offset: 0, data, crc32c })).unwrap();
    run(upload.complete(1, UploadTotal { crc32c })).unwrap();
    assert_eq!(faultd.ledger().of(Op::AbortUpload).count(), 1);
}

#[test]
fn w3_without_a_lost_answer_nothing_is_looked_for() {
    let (faultd, store) = start(&[]);
    let upload = run(store.create_upload("key", &PutOptions::default())).unwrap();
    run(upload.abort()).unwrap();
    assert_eq!(faultd.ledger().of(Op::ListUploads).count(), 0);
}
