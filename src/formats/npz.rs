//! NPZ: a ZIP file of NPY files, one for each array, whose names end in `.npy`.

use super::dtype::Descr;
use super::{invalid, npy, zip};
use crate::error::Result;

/// An array to be written; `data` is row-major.
#[derive(Clone, Debug)]
pub struct Array<'a> {
    /// Without `.npy`.
    pub name: &'a str,
    pub descr: Descr,
    pub shape: &'a [u64],
    pub data: &'a [u8],
}

/// A file of these arrays, not compressed, as `numpy.savez` makes it.
pub fn write(arrays: &[Array]) -> Result<Vec<u8>> {
    let room: usize = arrays.iter().map(|array| array.data.len() + 512 + 2 * array.name.len()).sum();
    let mut out = Vec::new();
    out.try_reserve(room).map_err(|_| invalid(format!("arrays of {room} bytes do not fit into memory")))?;
    let mut zip = zip::Writer::default();
    for array in arrays {
        let header = npy::Header::new(array.descr.clone(), array.shape);
        if header.data_len() != Some(array.data.len() as u64) {
            let (text, length) = (array.descr.text(), array.data.len());
            let message =
                format!("array {:?} of {text} {:?} does not have {length} bytes", array.name, array.shape);
            return Err(invalid(message));
        }
        let head = header.write()?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head);
        crc.update(array.data);
        let size = (head.len() + array.data.len()) as u64;
        out.extend(zip.head(&member_of(array.name), size, crc.finalize())?);
        out.extend(head);
        out.extend_from_slice(array.data);
    }
    out.extend(zip.finish());
    Ok(out)
}

/// The member that an array is stored as.
pub fn member_of(array: &str) -> String {
    format!("{array}.npy")
}

/// The array that a member is, as `numpy.load` names it.
pub fn array_of(member: &str) -> &str {
    member.strip_suffix(".npy").unwrap_or(member)
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::*;

    #[test]
    fn f1_arrays_come_back() {
        let f4 = Descr::parse("<f4").unwrap();
        let array = |name, shape, data| Array { name, descr: f4.clone(), shape, data };
        let arrays = [array("x", &[2], &[1; 8]), array("y", &[0, 3], &[])];
        let file = write(&arrays).unwrap();
        let Step::Done(members) = zip::members(&file, file.len() as u64).unwrap() else {
            panic!("all is there")
        };
        for (member, array) in members.iter().zip(&arrays) {
            let range = member.range();
            let bytes = member.unpack(&file[range.start as usize..range.end as usize]).unwrap();
            let Step::Done((header, data)) = npy::read(&bytes, bytes.len() as u64).unwrap() else { panic!() };
            assert_eq!((array_of(&member.name), &header.shape[..]), (array.name, array.shape));
            assert_eq!(bytes[data.start as usize..], *array.data);
        }
        assert!(write(&[array("x", &[2], &[1; 7])]).is_err());
        assert!(write(&[array("x", &[0], &[]), array("x", &[0], &[])]).is_err());
    }
}
