//! Whole objects of generated data in the formats that training reads.

use super::{Generator, refused};
use crate::error::{Code, Error, Result};
use crate::formats::dtype::Descr;
use crate::formats::{hdf5, npz, tar, tfrecord};

/// What the object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectFormat {
    /// Records one after the other, without anything between them.
    Raw,
    /// A tar file of a sample for each record, in WebDataset's convention: `000000000.bin`, `000000001.bin` ...
    Tar,
    /// A TFRecord file.
    TfRecord,
    /// An NPZ file of one array.
    Npz,
    /// An HDF5 file of one dataset.
    Hdf5,
}

/// How much of what an object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectParams {
    pub format: ObjectFormat,
    /// Of the array's elements, as safetensors names it: `U8`, `F32` ...
    pub dtype: String,
    /// Of the array, or of one of `count` that are stacked along a first axis.
    pub shape: Vec<u64>,
    /// Records, or 0 for one; of arrays the first axis, or 0 for none.
    pub count: u64,
    /// Bytes of a record.
    pub record_size: u64,
    /// Of the array; in tar files the extension. Empty for `x` and `bin`.
    pub name: String,
}

impl Generator {
    /// The bytes of a whole object. Its payload is what [`Generator::fill`] makes from offset 0 on, with the
    /// format's heads and checksums between; so of a framed format the ratios are those of the payload.
    pub fn object(&self, object: u64, params: &ObjectParams) -> Result<Vec<u8>> {
        let or =
            |given: &str, usual: &str| if given.is_empty() { usual.to_owned() } else { given.to_owned() };
        let (extension, array) = (or(&params.name, "bin"), or(&params.name, "x"));
        match params.format {
            ObjectFormat::Raw => self.records(object, params).map(|(_, payload)| payload),
            ObjectFormat::TfRecord => {
                let (record, payload) = self.records(object, params)?;
                let mut out = room(payload.len(), payload.len() / record * 16)?;
                payload.chunks(record).for_each(|record| tfrecord::append(&mut out, record));
                Ok(out)
            }
            ObjectFormat::Tar => {
                let (record, payload) = self.records(object, params)?;
                let mut out = room(payload.len(), payload.len() / record * 1024 + 1024)?;
                for (number, record) in payload.chunks(record).enumerate() {
                    tar::append(&mut out, &format!("{number:09}.{extension}"), record)?;
                }
                tar::finish(&mut out);
                Ok(out)
            }
            ObjectFormat::Npz => {
                let (descr, shape, data) = self.array(object, params)?;
                npz::write(&[npz::Array { name: &array, descr, shape: &shape, data: &data }])
            }
            ObjectFormat::Hdf5 => {
                let (descr, shape, data) = self.array(object, params)?;
                hdf5::write(&[hdf5::Array { name: &array, descr, shape: &shape, data: &data }])
            }
        }
        .map_err(|error| error.with_operation("generate"))
    }

    /// The size of a record, and all of them.
    fn records(&self, object: u64, params: &ObjectParams) -> Result<(usize, Vec<u8>)> {
        if params.record_size == 0 {
            return Err(refused("record_size is 0, expected the bytes of a record".to_owned()));
        }
        let bytes = params.record_size.checked_mul(params.count.max(1));
        let payload = self.payload(object, bytes)?;
        Ok((params.record_size as usize, payload))
    }

    /// The type, the shape and the elements.
    fn array(&self, object: u64, params: &ObjectParams) -> Result<(Descr, Vec<u64>, Vec<u8>)> {
        let descr = Descr::of_tensor(&params.dtype)?;
        let stacked = (params.count > 0).then_some(params.count);
        let shape: Vec<u64> = stacked.into_iter().chain(params.shape.iter().copied()).collect();
        let bytes = shape.iter().try_fold(descr.item(), |bytes, axis| bytes.checked_mul(*axis));
        let mut data = self.payload(object, bytes)?;
        if params.dtype == "BOOL" {
            data.iter_mut().for_each(|byte| *byte &= 1);
        }
        Ok((descr, shape, data))
    }

    fn payload(&self, object: u64, bytes: Option<u64>) -> Result<Vec<u8>> {
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        let mut payload = room(bytes, 0)?;
        payload.resize(bytes, 0);
        self.fill(object, 0, &mut payload)?;
        Ok(payload)
    }
}

fn room(payload: usize, heads: usize) -> Result<Vec<u8>> {
    let (mut out, bytes) = (Vec::new(), payload.saturating_add(heads));
    out.try_reserve_exact(bytes).map_err(|source| {
        Error::new(Code::OutOfMemory, format!("an object of {bytes} bytes does not fit into memory"))
            .with_source(&source)
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::Params;
    use super::*;
    use crate::formats::{Step, npy, zip};

    fn made(format: ObjectFormat, change: impl FnOnce(&mut ObjectParams)) -> Result<Vec<u8>> {
        let mut params = ObjectParams {
            format,
            dtype: "F32".into(),
            shape: vec![3, 5],
            count: 4,
            record_size: 1000,
            name: String::new(),
        };
        change(&mut params);
        Generator::new(&Params { seed: 9, ..Params::default() })?.object(6, &params)
    }

    fn payload(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        Generator::new(&Params { seed: 9, ..Params::default() }).unwrap().fill(6, 0, &mut bytes).unwrap();
        bytes
    }

    /// F2: objects of records hold the generator's bytes, and their formats' readers take them.
    #[test]
    fn records_of_every_format() {
        let expected = payload(4000);
        assert_eq!(made(ObjectFormat::Raw, |_| {}).unwrap(), expected);
        assert_eq!(made(ObjectFormat::Raw, |params| params.count = 0).unwrap(), expected[..1000]);

        let file = made(ObjectFormat::TfRecord, |_| {}).unwrap();
        let ranges = tfrecord::records(&file, 0).unwrap();
        assert_eq!(ranges.len(), 4);
        assert_eq!(ranges.into_iter().flat_map(|range| file[range].to_vec()).collect::<Vec<_>>(), expected);

        let file = made(ObjectFormat::Tar, |params| params.name = "jpg".into()).unwrap();
        let (mut parser, mut input, mut entries) = (tar::Parser::new(1 << 20), &file[..], Vec::new());
        while let Some(entry) = parser.next(&mut input).unwrap() {
            entries.push(entry);
        }
        parser.finish().unwrap();
        let names: Vec<_> = entries.iter().map(|entry| &entry.name[..]).collect();
        assert_eq!(names, ["000000000.jpg", "000000001.jpg", "000000002.jpg", "000000003.jpg"]);
        assert_eq!(entries.into_iter().flat_map(|entry| entry.data).collect::<Vec<_>>(), expected);
    }

    /// F2: objects of arrays have type, shape and name that were asked for.
    #[test]
    fn arrays_of_every_format() {
        let expected = payload(4 * 3 * 5 * 4);
        let file = made(ObjectFormat::Npz, |params| params.name = "images".into()).unwrap();
        let Step::Done(members) = zip::members(&file, file.len() as u64).unwrap() else { panic!("unread") };
        assert_eq!(members.len(), 1);
        assert_eq!(members[0].name, "images.npy");
        let range = members[0].range();
        let array = members[0].unpack(&file[range.start as usize..range.end as usize]).unwrap();
        let Step::Done((header, range)) = npy::read(&array, array.len() as u64).unwrap() else {
            panic!("unread")
        };
        assert_eq!((header.descr.text(), &header.shape[..]), ("<f4", &[4, 3, 5][..]));
        assert_eq!(array[range.start as usize..range.end as usize], expected);

        let file = made(ObjectFormat::Hdf5, |params| params.count = 0).unwrap();
        let mut known = hdf5::Known::new(file.len() as u64);
        known.add(0, file.clone());
        let Step::Done(datasets) = hdf5::datasets(&known).unwrap() else { panic!("unread") };
        assert_eq!((&datasets[0].name[..], &datasets[0].shape[..]), ("x", &[3, 5][..]));
        let range = datasets[0].range().unwrap();
        assert_eq!(file[range.start as usize..range.end as usize], expected[..60]);

        let file = made(ObjectFormat::Npz, |params| params.dtype = "BOOL".into()).unwrap();
        assert!(file.len() > 60 && file.iter().filter(|byte| **byte == 1).count() > 10);
    }

    #[test]
    fn what_no_object_can_be_is_refused() {
        let code =
            |format, change: fn(&mut ObjectParams)| made(format, change).map(|_| ()).unwrap_err().code();
        assert_eq!(code(ObjectFormat::Raw, |params| params.record_size = 0), Code::InvalidArgument);
        assert_eq!(code(ObjectFormat::Raw, |params| params.record_size = u64::MAX), Code::OutOfMemory);
        assert_eq!(code(ObjectFormat::TfRecord, |params| params.count = 1 << 60), Code::OutOfMemory);
        assert_eq!(code(ObjectFormat::Npz, |params| params.dtype = "BF16".into()), Code::InvalidArgument);
        assert_eq!(
            code(ObjectFormat::Hdf5, |params| params.shape = vec![1 << 40, 1 << 40]),
            Code::OutOfMemory
        );
        assert_eq!(code(ObjectFormat::Tar, |params| params.name = "a\0b".into()), Code::InvalidArgument);
    }
}
