//! A listing that is drawn from while it goes on (SPEC L1).

use crate::support::*;
use s3dlio::api::loader::LoaderParams;
use s3dlio::api::{self, Options, PutOptions};

#[test]
fn l1_the_first_batch_comes_long_before_a_listing_of_100_000_keys_ended() {
    const KEYS: usize = 100_000;
    let root = root();
    let store = api::store_for_uri(&root, &Options::new()).unwrap();
    let all = (0..KEYS).map(|n| (format!("o{n:06}"), n.to_string().into_bytes().into())).collect();
    wait(api::put_many(&store, all, &PutOptions::default())).into_iter().for_each(|put| drop(put.unwrap()));
    let dataset = of_prefix(&root);
    for shuffle in ["none", "window"] {
        let options = options(&[("loader.shuffle", shuffle), ("loader.shuffle_window", "2000")]);
        let params = LoaderParams { batch_size: 64, ..LoaderParams::default() };
        let mut loader = open(&dataset, &params, &options);
        assert_eq!(next(&mut loader).unwrap().unwrap().samples.len(), 64);
        let listed = loader.stats().listed;
        assert!(listed >= 64 && listed <= 20_000, "{shuffle}: {listed} keys were listed by then");
        println!("first batch of {KEYS} keys, shuffle {shuffle}: {listed} keys were listed");
        let mut all = rest(&mut loader);
        assert_eq!(all.len(), KEYS - 64);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), KEYS - 64);
        assert_eq!(loader.stats().listed, KEYS as u64);
        // Cancelled while it lists.
        let loader = open(&dataset, &params, &options);
        wait(loader.close());
    }
}
