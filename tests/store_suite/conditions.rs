//! Create-only and if-match puts. A backend without them refuses them; it never ignores them.

use crate::context::{Context, assert_code};
use s3dlio::runtime::{block_on, spawn};
use s3dlio::store::{PutCondition, PutOptions, PutResult};
use s3dlio::{Code, Result};

fn put_if(c: &Context, key: &str, data: &[u8], condition: PutCondition) -> Result<()> {
    c.try_put(key, data, &PutOptions { condition, ..PutOptions::default() }).map(drop)
}

/// Whether the backend has conditional puts; if not, asserts that it refuses them.
fn supported(c: &Context) -> bool {
    let supported = c.store.capabilities().conditional_put;
    if !supported {
        assert_code(put_if(c, "refused", b"x", PutCondition::CreateOnly), Code::Unsupported);
        assert_code(put_if(c, "refused", b"x", PutCondition::IfMatch("\"x\"".into())), Code::Unsupported);
        assert!(!c.exists("refused"));
    }
    supported
}

pub fn create_only_creates_once(c: &Context) {
    if supported(c) {
        put_if(c, "k", b"first", PutCondition::CreateOnly).unwrap();
        assert_code(put_if(c, "k", b"second", PutCondition::CreateOnly), Code::AlreadyExists);
        assert_eq!(c.get("k"), b"first");
    }
}

/// What eight create-only puts of one key at the same time come to.
fn race(c: &Context, data: fn(u8) -> [u8; 100]) -> Vec<Result<PutResult>> {
    block_on(async {
        let mut tasks = Vec::new();
        for i in 0..8u8 {
            let store = c.store.clone();
            tasks.push(
                spawn(async move {
                    let options = PutOptions { condition: PutCondition::CreateOnly, ..PutOptions::default() };
                    store.put("k", bytes::Bytes::copy_from_slice(&data(i)).into(), &options).await
                })
                .unwrap(),
            );
        }
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.unwrap());
        }
        outcomes
    })
    .unwrap()
}

/// The one that won; all others were told so.
fn winner(outcomes: &[Result<PutResult>]) -> u8 {
    let winners: Vec<_> = (0..8u8).filter(|i| outcomes[*i as usize].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert!(
        outcomes.iter().flat_map(|o| o.as_ref().err()).all(|e| e.code() == Code::AlreadyExists),
        "{outcomes:?}"
    );
    winners[0]
}

pub fn create_only_race_has_one_winner(c: &Context) {
    if supported(c) {
        let winner = winner(&race(c, |i| [i; 100]));
        assert_eq!(c.get("k"), [winner; 100]);
    }
}

pub fn create_only_race_of_equal_bytes_has_one_winner(c: &Context) {
    if supported(c) {
        winner(&race(c, |_| [7; 100]));
        assert_eq!(c.get("k"), [7; 100]);
        assert!(c.stat("k").unwrap().metadata.is_empty(), "nothing of the store's own shows");
    }
}

pub fn if_match_replaces_the_expected_object(c: &Context) {
    if supported(c) {
        c.put("k", b"one");
        let etag = c.stat("k").unwrap().etag.unwrap();
        put_if(c, "k", b"two", PutCondition::IfMatch(etag)).unwrap();
        assert_eq!(c.get("k"), b"two");
    }
}

pub fn if_match_of_another_etag_fails(c: &Context) {
    if supported(c) {
        c.put("k", b"one");
        let etag = c.stat("k").unwrap().etag.unwrap();
        c.put("k", b"two");
        assert_code(put_if(c, "k", b"three", PutCondition::IfMatch(etag)), Code::PreconditionFailed);
        assert_eq!(c.get("k"), b"two");
    }
}

pub fn if_match_of_a_missing_object_fails(c: &Context) {
    if supported(c) {
        c.put("other", b"x");
        let etag = c.stat("other").unwrap().etag.unwrap();
        assert_code(put_if(c, "k", b"x", PutCondition::IfMatch(etag)), Code::PreconditionFailed);
        assert!(!c.exists("k"));
    }
}

pub fn failed_condition_leaves_the_object(c: &Context) {
    if supported(c) {
        c.try_put("k", b"kept", &crate::objects::described()).unwrap();
        let before = c.stat("k").unwrap();
        assert_code(put_if(c, "k", b"x", PutCondition::CreateOnly), Code::AlreadyExists);
        assert_eq!(c.stat("k").unwrap(), before);
    }
}
