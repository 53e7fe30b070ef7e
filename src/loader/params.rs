//! What a caller says about a dataset and a pass over it.

/// What the objects of a dataset hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Every object is an item.
    #[default]
    Objects,
    /// tar files in WebDataset's convention, also compressed (`.tar.zst`): members of one base name are a sample.
    Tar,
    /// TFRecord files; with index files where [`DatasetParams::index`] says so.
    TfRecord,
    /// NPZ files: every member is an item.
    Npz,
    /// Files of records of [`DatasetParams::record_size`] bytes.
    Fixed,
}

impl Format {
    /// The name in messages and fingerprints.
    pub fn name(self) -> &'static str {
        match self {
            Format::Objects => "objects",
            Format::Tar => "tar",
            Format::TfRecord => "tfrecord",
            Format::Npz => "npz",
            Format::Fixed => "fixed",
        }
    }
}

/// Which objects, and what is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetParams {
    pub format: Format,
    /// Of a listing only keys, relative to its URI, that match: `*` and `?` within a folder, `**` across them,
    /// `[a-z]`, `{a,b}`.
    pub glob: Option<String>,
    /// Of a listing only keys, relative to its URI, in which this regular expression is found.
    pub regex: Option<String>,
    /// [`Format::Fixed`]: the bytes of a record.
    pub record_size: u64,
    /// [`Format::Fixed`]: bytes before the first record of each file.
    pub skip_bytes: u64,
    /// [`Format::TfRecord`]: what an index file's key has after that of its file, such as `.idx`; empty or `None`
    /// where there are none.
    pub index: Option<String>,
    /// [`Format::Npz`]: only members of this name.
    pub member: Option<String>,
}

/// Which part of an epoch is drawn, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderParams {
    /// Samples per batch.
    pub batch_size: u64,
    pub seed: u64,
    pub epoch: u64,
    pub rank: u32,
    pub world_size: u32,
    /// Of those that share a rank.
    pub worker: u32,
    pub workers: u32,
    /// What [`Loader::state`](super::Loader::state) gave; of another number of shards, the states of all of them.
    pub states: Vec<String>,
}

impl Default for LoaderParams {
    fn default() -> Self {
        LoaderParams {
            batch_size: 1,
            seed: 0,
            epoch: 0,
            rank: 0,
            world_size: 1,
            worker: 0,
            workers: 1,
            states: Vec::new(),
        }
    }
}
