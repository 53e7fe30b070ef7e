//! What `next` gives.

use bytes::Bytes;

/// One piece of a sample's data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Empty where the sample has only one; in tar files the extension.
    pub name: String,
    pub data: Bytes,
}

/// One item with its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Of the object that the bytes are from.
    pub uri: String,
    /// The key in a tar file, the member of an NPZ file, the number of a record; empty for whole objects.
    pub name: String,
    /// The item's number in the dataset's own order; of a file of records that is read in sequence, the
    /// record's number in its file.
    pub index: u64,
    /// At least one.
    pub fields: Vec<Field>,
}

impl Sample {
    /// The first field's bytes: all there is, except in tar files.
    pub fn data(&self) -> &Bytes {
        static NOTHING: Bytes = Bytes::new();
        self.fields.first().map_or(&NOTHING, |field| &field.data)
    }

    /// The bytes of all fields.
    pub fn bytes(&self) -> u64 {
        self.fields.iter().map(|field| field.data.len() as u64).sum()
    }
}

/// Samples that are handed over together; never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub samples: Vec<Sample>,
}
