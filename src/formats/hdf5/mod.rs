//! HDF5 without libhdf5 (which has the size of this whole library), as far as training data needs it: the writer
//! makes a file of contiguous datasets in its root group, as version 1.0 of the format did, which every HDF5 library
//! reads; the reader finds the datasets of any file by ranges and gives those that are contiguous or compact and of
//! integers or floats. Chunked and filtered ones are named, with the reason why they are not read.
//! (HDF5 File Format Specification 3.0, <https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html>)

mod checksum;
mod header;
mod read;
mod write;

pub use read::{Dataset, Known, datasets};
pub use write::{Array, write};

use super::dtype::Descr;

const WHAT: &str = "the HDF5 file";
const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
const UNDEFINED: u64 = u64::MAX;

// Messages of object headers.
const DATASPACE: u16 = 1;
const LINK_INFO: u16 = 2;
const DATATYPE: u16 = 3;
const FILL: u16 = 5;
const LINK: u16 = 6;
const EXTERNAL: u16 = 7;
const LAYOUT: u16 = 8;
const CONTINUATION: u16 = 16;
const SYMBOLS: u16 = 17;

/// A datatype message of version 1 for integers and floats of usual layout, little-endian.
fn datatype(descr: &Descr) -> Option<Vec<u8>> {
    let item = u16::try_from(descr.item()).ok()?;
    let kind = match descr.text().as_bytes() {
        [b'<' | b'|', kind, ..] => *kind,
        _ => return None,
    };
    let bits = item * 8;
    let (class, flags, rest): (u8, [u8; 3], Vec<u8>) = match kind {
        b'i' | b'u' => (0, [if kind == b'i' { 8 } else { 0 }, 0, 0], Vec::new()),
        b'f' => {
            let (exponent, mantissa, bias) = match item {
                2 => (5, 10, 15u32),
                4 => (8, 23, 127),
                8 => (11, 52, 1023),
                _ => return None,
            };
            let mut rest = vec![mantissa, exponent, 0, mantissa];
            rest.extend_from_slice(&bias.to_le_bytes());
            // The leading bit of the mantissa is implied; the sign is the highest bit.
            (1, [0x20, (bits - 1) as u8, 0], rest)
        }
        _ => return None,
    };
    let mut out = vec![1 << 4 | class];
    out.extend_from_slice(&flags);
    out.extend_from_slice(&u32::from(item).to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&bits.to_le_bytes());
    out.extend(rest);
    Some(out)
}

/// The NumPy type of a datatype message, if it is one that [`datatype`] makes, of either byte order.
fn descr_of(message: &[u8]) -> Option<Descr> {
    const TYPES: [&str; 11] = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"];
    let big = message.get(1)? & 1 == 1;
    // Newer versions of the message say the same; the padding beside the value does not matter where there is none.
    let mut plain = message.to_vec();
    plain[0] = 1 << 4 | plain[0] & 15;
    plain[1] &= !7;
    TYPES.iter().find_map(|name| {
        let order = |order: char| Descr::parse(&format!("{order}{name}"));
        let single = name.ends_with('1');
        let little = order(if single { '|' } else { '<' })?;
        let expected = datatype(&little)?;
        let same = plain.get(..expected.len()) == Some(&expected[..]);
        same.then(|| if big && !single { order('>') } else { Some(little) })?
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Step, damage};
    use super::*;
    use crate::error::{Code, Result};

    fn f4() -> Descr {
        Descr::parse("<f4").unwrap()
    }

    /// As a reader of ranges would; gives name, type, shape and bytes, and how many ranges it took.
    fn whole(file: &[u8]) -> Result<(Vec<(String, String, Vec<u64>, Vec<u8>)>, usize)> {
        let mut known = Known::new(file.len() as u64);
        for round in 0.. {
            match datasets(&known)? {
                Step::Need(range) => {
                    let bytes = &file[range.start as usize..range.end as usize];
                    assert!(!bytes.is_empty());
                    known.add(range.start, bytes.to_vec());
                }
                Step::Done(found) => {
                    let read = |set: Dataset| {
                        let data = set.range()?;
                        let bytes = file[data.start as usize..data.end as usize].to_vec();
                        Ok((set.name.clone(), set.descr()?.text().to_owned(), set.shape.clone(), bytes))
                    };
                    return Ok((found.into_iter().map(read).collect::<Result<_>>()?, round));
                }
            }
        }
        unreachable!()
    }

    #[test]
    fn f1_datasets_come_back() {
        let data: Vec<u8> = (0..240).collect();
        let arrays = [
            Array { name: "x", descr: f4(), shape: &[3, 20], data: &data },
            Array { name: "labels", descr: Descr::parse("<i8").unwrap(), shape: &[2], data: &data[..16] },
            Array { name: "scalar", descr: Descr::parse("|u1").unwrap(), shape: &[], data: &[9] },
            Array { name: "none", descr: f4(), shape: &[0, 7], data: &[] },
        ];
        let file = write(&arrays).unwrap();
        let (mut got, rounds) = whole(&file).unwrap();
        assert!(rounds <= 4, "{rounds} ranges for a small file");
        got.sort();
        let mut expected: Vec<_> = arrays
            .iter()
            .map(|a| (a.name.to_owned(), a.descr.text().to_owned(), a.shape.to_vec(), a.data.to_vec()))
            .collect();
        expected.sort();
        assert_eq!(got, expected);
        let read = |file: &[u8]| whole(file).map(|(sets, _)| sets);
        assert_eq!(damage::truncations(&file, read), file.len());
    }

    #[test]
    fn f1_many_datasets_and_odd_ones() {
        let names: Vec<String> = (0..1000).map(|n| format!("set{n}")).collect();
        let array = |name| Array { name, descr: f4(), shape: &[1], data: &[1, 2, 3, 4] };
        let arrays: Vec<Array> = names.iter().map(|name| array(name.as_str())).collect();
        assert_eq!(whole(&write(&arrays).unwrap()).unwrap().0.len(), 1000);
        assert!(whole(&write(&[]).unwrap()).unwrap().0.is_empty());
        for bad in ["", "a/b", ".", "a\0"] {
            assert_eq!(write(&[array(bad)]).unwrap_err().code(), Code::InvalidArgument, "{bad:?}");
        }
        assert!(write(&[array("a"), array("a")]).is_err());
        let wrong = Array { shape: &[2], ..array("a") };
        assert!(write(&[wrong]).is_err());
    }

    #[test]
    fn f1_types_come_back_in_both_orders() {
        for text in ["|u1", "|i1", "<u2", "<i4", "<u8", "<f2", "<f4", "<f8"] {
            let descr = Descr::parse(text).unwrap();
            let mut message = datatype(&descr).unwrap();
            assert_eq!(descr_of(&message), Some(descr.clone()), "{text}");
            message[1] |= 1;
            let big = text.replace('<', ">");
            assert_eq!(descr_of(&message).unwrap().text(), big);
            message[0] |= 2 << 4;
            assert_eq!(descr_of(&message).unwrap().text(), big, "of version 3");
        }
        for text in ["|b1", "<c8", "<U4", ">f4"] {
            assert_eq!(datatype(&Descr::parse(text).unwrap()), None);
        }
        assert_eq!(descr_of(&[0x19, 0, 0, 0, 16, 0, 0, 0]), None);
    }

    #[test]
    fn f1_files_of_h5py_old_and_new() {
        // x: four floats; g/y: the number 3; c: chunked.
        let made: [&[u8]; 2] = [
            include_bytes!("../../../tests/fuzz/corpus/hdf5/old"),
            include_bytes!("../../../tests/fuzz/corpus/hdf5/new"),
        ];
        for file in made {
            let mut known = Known::new(file.len() as u64);
            known.add(0, file.to_vec());
            let Step::Done(mut sets) = datasets(&known).unwrap() else { panic!("all is there") };
            sets.sort_by(|a, b| a.name.cmp(&b.name));
            let names: Vec<_> = sets.iter().map(|set| (&set.name[..], &set.shape[..])).collect();
            assert_eq!(names, [("c", &[8][..]), ("g/y", &[]), ("x", &[4])]);
            let error = sets[0].range().unwrap_err();
            assert!(error.code() == Code::Unsupported && error.to_string().contains("chunked"), "{error}");
            let bytes = |at: usize| {
                let range = sets[at].range().unwrap();
                &file[range.start as usize..range.end as usize]
            };
            let floats: Vec<u8> = [0f32, 1.0, 2.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
            assert_eq!((bytes(1), bytes(2)), (&[3][..], &floats[..]));
            for end in 0..file.len() {
                let mut known = Known::new(end as u64);
                known.add(0, file[..end].to_vec());
                assert_eq!(datasets(&known).unwrap_err().code(), Code::Truncated, "{end}");
            }
        }
    }
}
