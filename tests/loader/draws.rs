//! Each item exactly once per epoch, over all shards, from every source and in every mode.

use crate::support::*;
use s3dlio::api::Options;
use s3dlio::api::loader::{Dataset, DatasetParams, LoaderParams};

const COUNT: usize = 103;

fn sources() -> Vec<(&'static str, Dataset)> {
    let root = root();
    let uris = objects(&root, COUNT);
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("m");
    let listed = DatasetParams { glob: Some("o*".into()), ..DatasetParams::default() };
    let written =
        wait(s3dlio::api::loader::write_manifest(&root, &listed, &Options::new(), &manifest)).unwrap();
    assert_eq!(written, COUNT as u64);
    let files = folder.keep();
    let on_disk: Vec<String> = (0..COUNT)
        .map(|n| {
            let name = files.join(format!("f{}/o{n:06}", n % 3));
            std::fs::create_dir_all(name.parent().unwrap()).unwrap();
            std::fs::write(&name, n.to_string()).unwrap();
            format!("file://{}", name.display())
        })
        .collect();
    let manifest = wait(Dataset::from_manifest(&files.join("m"), &DatasetParams::default(), &Options::new()));
    vec![
        ("uris", of_uris(uris)),
        ("prefix", of_prefix(&root)),
        ("manifest", manifest.unwrap()),
        ("files", of_uris(on_disk)),
        ("folder", {
            let params = DatasetParams { glob: Some("*/o*".into()), ..DatasetParams::default() };
            wait(Dataset::open(&format!("file://{}", files.display()), &params, &Options::new())).unwrap()
        }),
    ]
}

#[test]
fn l1_every_item_is_drawn_once_by_all_shards_together() {
    for (name, dataset) in sources() {
        for shuffle in ["none", "window", "full"] {
            if shuffle == "full" && dataset.length().is_none() {
                continue;
            }
            for order in ["ordered", "completion"] {
                for (world, workers, batch) in [(1, 1, 8), (3, 2, 4), (2, 1, 200)] {
                    let options = options(&[
                        ("loader.shuffle", shuffle),
                        ("loader.shuffle_window", "10"),
                        ("loader.order", order),
                    ]);
                    let mut all = Vec::new();
                    for rank in 0..world {
                        for worker in 0..workers {
                            let params = LoaderParams {
                                batch_size: batch,
                                seed: 7,
                                epoch: 1,
                                rank,
                                world_size: world,
                                worker,
                                workers,
                                ..LoaderParams::default()
                            };
                            all.extend(rest(&mut open(&dataset, &params, &options)));
                        }
                    }
                    all.sort_unstable();
                    let expected: Vec<u64> = (0..COUNT as u64).collect();
                    assert_eq!(all, expected, "{name} {shuffle} {order} {world}x{workers}");
                }
            }
        }
    }
}
