//! Listing as a stream, and deleting folders.

use crate::fake::{Answer, Request, remote};
use crate::{run, store as put_object};
use s3dlio::Code;
use s3dlio::store::Store;
use s3dlio::transfer::{Lister, delete_prefix};

fn list(store: &Store, prefix: &str, recursive: bool) -> Vec<String> {
    let mut lister = Lister::new(store, prefix, recursive);
    let mut keys = Vec::new();
    while let Some(entry) = run(lister.next()).unwrap() {
        keys.push(entry.key().to_owned());
    }
    assert!(run(lister.next()).unwrap().is_none(), "the end stays the end");
    keys
}

#[test]
fn s2_a_lister_streams_over_pages_in_order() {
    let (store, log) = remote(&[]);
    let mut keys: Vec<String> = (0..35).map(|n| format!("run1/{n}")).collect();
    keys.extend(["run1/deep/a".into(), "run10/a".into(), "run1".into()]);
    keys.iter().for_each(|key| put_object(&store, key, b"x"));
    keys.sort();
    log.forget();
    assert_eq!(list(&store, "", true), keys);
    assert_eq!(log.count(|r| *r == Request::List), 4, "pages of 10");
    assert_eq!(list(&store, "", false), ["run1", "run1/", "run10/"]);
    assert_eq!(list(&store, "run1/d", true), ["run1/deep/a"]);
    assert!(list(&store, "none", true).is_empty());
}

#[test]
fn s2_a_lister_goes_on_after_an_error() {
    let (store, log) = remote(&[]);
    (0..25).for_each(|n| put_object(&store, &format!("{n:02}"), b"x"));
    let mut pages = 0;
    log.script(move |r| {
        pages += usize::from(*r == Request::List);
        if pages == 2 { Answer::Fail(Code::Unavailable) } else { Answer::Serve }
    });
    let mut lister = Lister::new(&store, "", true);
    let (mut keys, mut errors) = (Vec::new(), 0);
    loop {
        match run(lister.next()) {
            Ok(Some(entry)) => keys.push(entry.key().to_owned()),
            Ok(None) => break,
            Err(error) => {
                assert_eq!(error.code(), Code::Unavailable);
                errors += 1;
            }
        }
    }
    assert_eq!((errors, keys), (1, (0..25).map(|n| format!("{n:02}")).collect()));
}

#[test]
fn s2_delete_prefix_takes_the_folder_and_leaves_its_siblings() {
    let (store, _) = remote(&[]);
    let all = ["run1", "run1/a", "run1/b/c", "run10/a", "run", "x/run1/a"];
    for prefix in ["run1", "run1/"] {
        all.iter().for_each(|key| put_object(&store, key, b"x"));
        assert_eq!(run(delete_prefix(&store, prefix)).unwrap(), 2);
        assert_eq!(list(&store, "", true), ["run", "run1", "run10/a", "x/run1/a"]);
    }
    assert_eq!(run(delete_prefix(&store, "none")).unwrap(), 0);
    assert_eq!(run(delete_prefix(&store, "")).unwrap(), 4);
    assert!(list(&store, "", true).is_empty());
}

#[test]
fn s2_delete_prefix_goes_over_pages_and_reports_what_stayed() {
    let (store, log) = remote(&[]);
    for n in 0..45 {
        let name = if n % 20 == 7 { "locked" } else { "free" };
        put_object(&store, &format!("run/{n:02}-{name}"), b"x");
    }
    log.forget();
    let error = run(delete_prefix(&store, "run")).unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    let details = error.details();
    assert!(
        details.contains(&("deleted", "43".into())) && details.contains(&("failed", "2".into())),
        "{error}"
    );
    assert_eq!(list(&store, "", true), ["run/07-locked", "run/27-locked"]);
    assert!(log.count(|r| matches!(r, Request::DeleteMany { .. })) >= 4, "page by page");

    log.script(|r| if *r == Request::List { Answer::Fail(Code::Unavailable) } else { Answer::Serve });
    assert_eq!(
        run(delete_prefix(&store, "run")).unwrap_err().code(),
        Code::Unavailable,
        "never an empty success"
    );
}
