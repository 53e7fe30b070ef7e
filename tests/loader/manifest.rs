//! Lists of objects in files (SPEC L1).

use crate::support::*;
use s3dlio::Code;
use s3dlio::api::Options;
use s3dlio::api::loader::{Dataset, DatasetParams, LoaderParams, write_manifest};
use std::path::Path;

fn manifest(path: &Path) -> s3dlio::Result<Dataset> {
    wait(Dataset::from_manifest(path, &DatasetParams::default(), &Options::new()))
}

#[test]
fn l1_a_manifest_holds_sizes_and_etags_and_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let root = root();
    objects(&root, 30);
    let params = DatasetParams { regex: Some("o00000[0-9]".into()), ..DatasetParams::default() };
    assert_eq!(wait(write_manifest(&root, &params, &Options::new(), &path)).unwrap(), 10);
    let text = std::fs::read_to_string(&path).unwrap();
    for (n, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields[..2], [format!("{root}/o{n:06}").as_str(), "1"], "{line}");
        assert!(fields.len() == 3 && fields[2].starts_with('"'), "{line}");
    }
    assert_eq!(
        rest(&mut open(&manifest(&path).unwrap(), &LoaderParams::default(), &Options::new())).len(),
        10
    );
    // A listing that fails leaves what was there.
    let missing = crate::support::root();
    assert!(wait(write_manifest(&missing, &params, &Options::new(), &path)).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn l1_plain_lists_of_uris_are_manifests_too_and_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let uris = objects(&root(), 100);
    let text = format!("# a comment\n\n{}\r\n{}", uris[..40].join("\n"), uris[40..].join("\n\n"));
    std::fs::write(&path, text).unwrap();
    let dataset = manifest(&path).unwrap();
    assert_eq!(dataset.length(), Some(100));
    assert_eq!(
        rest(&mut open(&dataset, &LoaderParams::default(), &Options::new())),
        (0..100).collect::<Vec<_>>()
    );
    for (text, line) in [
        ("s3://b/k\nno uri\n", "2"),
        ("s3://b/k\tsize\n", "1"),
        ("s3://b/k\t1\te\tmore\n", "1"),
        ("s3://b\n", "1"),
        ("\u{0}\n", "1"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = manifest(&path).unwrap_err();
        assert!(matches!(error.code(), Code::Corrupt | Code::InvalidUri), "{text:?}: {error}");
        assert!(
            error.details().iter().any(|(key, value)| *key == "line" && value == line),
            "{text:?}: {error:?}"
        );
    }
    std::fs::write(&path, b"s3://b/\xff\n").unwrap();
    assert_eq!(manifest(&path).unwrap_err().code(), Code::Corrupt);
    std::fs::write(&path, [b'x'; 100_000]).unwrap();
    assert_eq!(manifest(&path).unwrap_err().code(), Code::Corrupt);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(manifest(&path).unwrap_err().code(), Code::NotFound);
}

#[test]
fn l1_a_manifest_that_is_truncated_while_it_is_used_gives_errors_not_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let uris = objects(&root(), 1000);
    std::fs::write(&path, uris.join("\n")).unwrap();
    let dataset = manifest(&path).unwrap();
    assert_eq!(wait(dataset.get(999)).unwrap().index, 999);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5000).unwrap();
    assert_eq!(wait(dataset.get(3)).unwrap().index, 3);
    let error = wait(dataset.get(999)).unwrap_err();
    assert_eq!(error.code(), Code::Changed, "{error}");
    std::fs::write(&path, "\n".repeat(60_000)).unwrap();
    assert_eq!(wait(dataset.get(999)).unwrap_err().code(), Code::Changed);
}
