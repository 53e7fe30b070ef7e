//! The stable Rust API (SPEC R1). What is named here changes only with the version; everything else
//! that is public in this crate may change in any release.
//!
//! Functions are async and run on any tokio runtime; [`advanced::block_on`] runs them on the
//! library's own from a program without one.
//!
//! ```
//! use s3dlio::api::{self, Options, PutOptions, advanced::block_on};
//!
//! # fn main() -> s3dlio::Result<()> {
//! let store = api::store_for_uri("memory://doc/run1", &Options::new())?;
//! block_on(async {
//!     api::put(&store, "hello", "world".into(), &PutOptions::default()).await?;
//!     assert_eq!(&api::get(&store, "hello").await?[..], b"world");
//!
//!     let mut writer = api::Writer::open(&store, "big", store.options(), &PutOptions::default()).await?;
//!     writer.write(&[7; 100_000]).await?;
//!     assert_eq!(writer.finish().await?.bytes, 100_000);
//!
//!     let mut lister = api::Lister::new(&store, "", true);
//!     while let Some(entry) = lister.next().await? {
//!         println!("{}", entry.key());
//!     }
//!     Ok(())
//! })?
//! # }
//! ```

pub use crate::error::{Code, Error, Result};
pub use crate::options::{Options, Resolved};
pub use crate::store::{
    ContainerInfo, ListEntry, ObjectMeta, PutCondition, PutOptions, PutResult, Store,
    direct_io_store_for_uri, high_performance_store_for_uri, store_for_uri,
};
pub use crate::transfer::{
    Check, Lister, Reader, WriteStats, Writer, delete_prefix, get, get_many, get_range, put, put_many,
    validate, validate_many,
};

/// Checkpoints of many ranks.
pub mod checkpoint {
    pub use crate::checkpoint::{
        Checkpoint, CheckpointWriter, Dtype, Entry, Kind, Latest, Layout, Manifest, Params, Part, Region,
        Request, Shard, ShardWriter, TensorSpec, World, collect, delete, list, prune, read_latest,
    };
}

/// Synthetic data: [`Generator`](datagen::Generator).
pub mod datagen {
    pub use crate::datagen::{Generator, ObjectFormat, ObjectParams, Params};
}

/// File formats of training data, as bytes.
pub mod formats {
    pub use crate::formats::dtype::Descr;
    pub use crate::formats::{Step, hdf5, index, npy, npz, raw, tar, tfrecord, zip};
}

/// Datasets, and batches drawn from them.
pub mod loader {
    pub use crate::loader::{
        Batch, Dataset, DatasetParams, Field, Format, Loader, LoaderParams, Sample, Stats, merge_states,
        write_manifest,
    };
}

/// Counters of the process: docs/metrics.md.
pub mod metrics {
    pub use crate::metrics::{Gauges, json, prometheus};
    pub use crate::store::{direct::fallbacks as direct_fallbacks, posix::io_uring_fallbacks};
}

/// For programs that bring their own memory, implement a backend, or have no async runtime.
pub mod advanced {
    pub use crate::base::buffer::{Buffer, BufferPool, PoolStats, Window, WindowOwner, lend, lend_mut};
    pub use crate::base::checksum::{Crc32c, format_crc32c, parse_crc32c};
    pub use crate::base::date::Timestamp;
    pub use crate::base::first_byte::FirstByte;
    pub use crate::base::redact::redact;
    pub use crate::base::uri::{Scheme, Uri};
    pub use crate::loader::Pattern;
    pub use crate::oplog;
    pub use crate::options::{Kind, OptionDef, TABLE as OPTION_TABLE, parse_size, unknown_environment};
    pub use crate::profile;
    pub use crate::runtime::{block_on, shutdown};
    pub use crate::store::{
        Capabilities, Content, GetRequest, GetResult, ListPage, ListRequest, ObjectStore, Part,
        PendingUpload, Upload, UploadTotal,
    };
    pub use crate::trace::{Sink as LogSink, set_sink as set_log_sink};
    pub use crate::transfer::{count_bytes, get_admitted, get_into, get_range_into, get_ranges};
}
