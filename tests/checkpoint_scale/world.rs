//! A world of ranks that are tasks.

use crate::counted::{Made, count};
use bytes::Bytes;
use s3dlio::checkpoint::{CheckpointWriter, Dtype, Params, TensorSpec};
use s3dlio::runtime::{block_on, spawn};
use s3dlio::store::Store;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Barrier, watch};

pub const COLUMNS: u64 = 16;
pub const BYTES: usize = 64;

/// How the ranks agree on the id and learn that all is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meeting {
    /// The host broadcasts rank 0's id and has a barrier.
    Host,
    /// They ask the storage.
    Storage,
}

pub struct Outcome {
    pub ranks: Vec<Made>,
    pub took: Duration,
}

/// A rank's row of the tensor of all ranks.
pub fn row(rank: u32) -> Vec<u8> {
    (0..BYTES).map(|at| (rank as usize * 31 + at) as u8).collect()
}

pub fn save(store: &Store, world: u32, meeting: Meeting) -> Outcome {
    let (tell, told) = watch::channel(None::<String>);
    let (tell, all) = (Arc::new(tell), Arc::new(Barrier::new(world as usize)));
    let began = Instant::now();
    let tasks: Vec<_> = (0..world)
        .map(|rank| {
            let (store, counts) = count(store);
            let (tell, mut told, all) = (tell.clone(), told.clone(), all.clone());
            let task = async move {
                let mut params = Params { step: 1, rank, world_size: world, ..Params::default() };
                match meeting {
                    Meeting::Storage => params.run_id = Some("run".into()),
                    Meeting::Host if rank > 0 => {
                        params.id = told.wait_for(Option::is_some).await.unwrap().clone();
                    }
                    Meeting::Host => {}
                }
                let mut writer = CheckpointWriter::open(&store, store.options(), params).await.unwrap();
                if rank == 0 {
                    tell.send_replace(Some(writer.id().to_owned()));
                }
                let rows = TensorSpec {
                    name: "rows".into(),
                    dtype: Dtype::parse("F32").unwrap(),
                    shape: vec![1, COLUMNS],
                    global_shape: Some(vec![u64::from(world), COLUMNS]),
                    start: Some(vec![u64::from(rank), 0]),
                    replicated: false,
                };
                writer.put_tensors("data", vec![(rows, Bytes::from(row(rank)))]).await.unwrap();
                writer.finish().await.unwrap();
                if meeting == Meeting::Host {
                    all.wait().await;
                }
                if meeting == Meeting::Storage || rank == 0 {
                    writer.commit().await.unwrap();
                }
                (counts, writer)
            };
            spawn(task).unwrap()
        })
        .collect();
    let ended = block_on(async {
        let mut ended = Vec::with_capacity(tasks.len());
        for task in tasks {
            ended.push(task.await.unwrap());
        }
        ended
    });
    let took = began.elapsed();
    Outcome { ranks: ended.unwrap().iter().map(|(counts, _)| counts.made()).collect(), took }
}
