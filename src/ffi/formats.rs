//! File formats
//!
//! Bytes to bytes, without I/O: combine them with gets, readers and writers. Any thread, concurrently.
//!
//! - TFRecord: a frame around every record, with masked CRC32Cs, which are checked and written.
//! - Indexes of TFRecord files: where each frame lies, as pairs of little-endian 64-bit numbers or as
//!   the text of DALI's tfrecord2idx.
//! - tar: archives of ustar with pax headers, as WebDataset reads them.
//! - NPY and NPZ: arrays of NumPy, of any type of plain values, named as NumPy does: "<f4".
//! - HDF5: contiguous datasets of integers and floats, to be read by any HDF5 library.
//!
//! The errors are INVALID_ARGUMENT (what is given cannot be written), TRUNCATED, CORRUPT and
//! CHECKSUM_MISMATCH (the bytes are cut off, malformed or damaged; the detail `offset` says where),
//! UNSUPPORTED (they may be right, but are not read here), BUFFER_TOO_SMALL (the detail `required`
//! says how many bytes are needed) and OUT_OF_MEMORY.

use super::buffer::BufferValue;
use super::convert::*;
use super::guard;
use super::types::*;
use crate::base::buffer::Buffer;
use crate::error::{Code, Error, Result};
use crate::formats::dtype::Descr;
use crate::formats::{Step, hdf5, index, npy, npz, tar, tfrecord, zip};
use std::ffi::{CString, c_char, c_void};
use std::ptr;

/// `kind` of an index: 16 bytes for each record, offset and length, little-endian.
pub const S3DLIO_INDEX_PAIRS: i32 = 0;
/// `kind` of an index: a line "offset length" for each record.
pub const S3DLIO_INDEX_TEXT: i32 = 1;
/// The most axes that an array of NumPy has.
pub const S3DLIO_NPY_MAX_AXES: usize = 64;

/// A piece of a file. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_extent {
    /// The first byte.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// What an NPY file holds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_npy_info {
    /// The element type, such as "<f4".
    pub descr: [c_char; 32],
    /// 1 where the first index runs fastest, else 0.
    pub fortran_order: i32,
    /// How many axes.
    pub ndim: u32,
    /// Elements along each axis.
    pub shape: [u64; S3DLIO_NPY_MAX_AXES],
    /// Where the elements start in the file.
    pub data_offset: u64,
    /// How many bytes they have.
    pub data_length: u64,
}

/// An array in memory, row-major. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_array {
    /// What it is called in the file, without ".npy".
    pub name: *const c_char,
    /// The element type as NumPy has it, such as "<f4", or as safetensors has it, such as "F32".
    pub descr: *const c_char,
    /// Elements along each axis; may be NULL where ndim is 0.
    pub shape: *const u64,
    /// How many axes.
    pub ndim: usize,
    /// The elements.
    pub data: *const c_void,
    /// How many bytes they have.
    pub length: usize,
}

/// A member of an NPZ file, or of another ZIP file. This struct never grows.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_npz_member {
    /// With ".npy".
    pub name: *const c_char,
    /// What to read of the file for s3dlio_npz_unpack: the first byte ...
    pub offset: u64,
    /// ... and how many.
    pub length: u64,
    /// Bytes once unpacked.
    pub size: u64,
    /// Bytes as stored.
    pub packed: u64,
    /// CRC32 of the unpacked bytes.
    pub crc32: u32,
    /// How it is compressed: 0 is not at all, 8 deflated.
    pub method: u16,
    /// The ZIP file's own.
    pub flags: u16,
}

// SAFETY: integers without padding; all-zero is a value.
unsafe impl Plain for s3dlio_npy_info {}
const _: () = {
    assert!(size_of::<s3dlio_extent>() == 16);
    assert!(size_of::<s3dlio_npy_info>() == 32 + 4 * 2 + 8 * S3DLIO_NPY_MAX_AXES + 8 * 2);
    assert!(size_of::<s3dlio_array>() == 8 * 6);
    assert!(size_of::<s3dlio_npz_member>() == 8 * 5 + 4 + 2 * 2);
};

fn too_small(what: &str, have: u64, required: u64) -> Error {
    let message = format!("{what} has {have} bytes, but {required} are needed");
    Error::new(Code::BufferTooSmall, message).with_detail("required", required)
}

fn kind_of(kind: i32) -> Result<index::Kind> {
    match kind {
        S3DLIO_INDEX_PAIRS => Ok(index::Kind::Pairs),
        S3DLIO_INDEX_TEXT => Ok(index::Kind::Text),
        _ => Err(invalid(format!("there is no kind of index {kind}; expected one of S3DLIO_INDEX_*"))),
    }
}

fn descr_of(text: &str) -> Result<Descr> {
    Descr::parse(text).map_or_else(|| Descr::of_tensor(text), Ok)
}

fn buffer_of(bytes: &[u8]) -> Result<BufferValue> {
    Buffer::copy_of(bytes).map(BufferValue::new)
}

/// Writes the frame of one record, length + 16 bytes, to `dst`, which must not overlap the record.
/// `written` gets its size.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_tfrecord_append(
    data: *const c_void,
    length: usize,
    dst: *mut c_void,
    capacity: usize,
    written: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_tfrecord_append", err, || {
            let (out, data, dst) =
                (Out::new(written, "written")?, bytes(data, length)?, memory(dst, capacity)?);
            let (head, tail) = tfrecord::around(data);
            let needed = head.len() + data.len() + tail.len();
            let Some(frame) = dst.get_mut(..needed) else {
                return Err(too_small("dst", capacity as u64, needed as u64));
            };
            guard::test_hook();
            frame[..head.len()].copy_from_slice(&head);
            frame[head.len()..][..data.len()].copy_from_slice(data);
            frame[needed - tail.len()..].copy_from_slice(&tail);
            out.set(needed);
            Ok(())
        })
    }
}

/// Finds the records of a TFRecord file, or of any run of whole frames, and checks them. `records`
/// gets where in `data` the first `capacity` of them lie, without their frames; `count` gets how many
/// there are.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_tfrecord_parse(
    data: *const c_void,
    length: usize,
    records: *mut s3dlio_extent,
    capacity: usize,
    count: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_tfrecord_parse", err, || {
            let (out, data) = (Out::new(count, "count")?, bytes(data, length)?);
            let records = slice_mut(records, capacity, "records")?;
            let found = tfrecord::records(data, 0)?;
            guard::test_hook();
            for (to, data) in std::iter::zip(records, &found) {
                *to = s3dlio_extent { offset: data.start as u64, length: (data.end - data.start) as u64 };
            }
            out.set(found.len());
            Ok(())
        })
    }
}

/// Makes the index of a TFRecord file, which is checked by the way. The caller frees `index`.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_tfrecord_index(
    data: *const c_void,
    length: usize,
    kind: i32,
    index: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_tfrecord_index", err, || {
            let (out, kind, data) = (Out::new(index, "index")?, kind_of(kind)?, bytes(data, length)?);
            out.set_handle(buffer_of(&index::write(&index::build(data)?, kind))?)
        })
    }
}

/// Reads an index of either kind. `frames` gets where the frames of the first `capacity` records lie in
/// their file, with the 16 bytes around the data; `count` gets how many there are. The index must fit a
/// file of `file_size` bytes; S3DLIO_TO_END leaves that open.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_tfrecord_index_parse(
    index: *const c_void,
    length: usize,
    file_size: u64,
    frames: *mut s3dlio_extent,
    capacity: usize,
    count: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_tfrecord_index_parse", err, || {
            let (out, data) = (Out::new(count, "count")?, bytes(index, length)?);
            let frames = slice_mut(frames, capacity, "frames")?;
            let size = Some(file_size).filter(|size| *size != S3DLIO_TO_END);
            let found = index::read(data, index::kind_of(data), size)?;
            guard::test_hook();
            for (to, entry) in std::iter::zip(frames, &found) {
                *to = s3dlio_extent { offset: entry.offset, length: entry.length };
            }
            out.set(found.len());
            Ok(())
        })
    }
}

/// Writes one file of a tar archive to `dst`, which must not overlap the data: headers, data and padding, at
/// most length + 8192 bytes. Where `name` is NULL, it is the end of the archive, without which no archive is
/// whole. `written` gets the size.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_tar_append(
    name: *const c_char,
    data: *const c_void,
    length: usize,
    dst: *mut c_void,
    capacity: usize,
    written: *mut usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_tar_append", err, || {
            let (out, data, dst) =
                (Out::new(written, "written")?, bytes(data, length)?, memory(dst, capacity)?);
            let mut head = Vec::new();
            match optional_text(name, "name")? {
                Some(name) => tar::head(&mut head, name, length as u64)?,
                None if length == 0 => tar::finish(&mut head),
                None => {
                    return Err(invalid(
                        "name is NULL, but there is data; expected none at the archive's end",
                    ));
                }
            }
            let needed = (head.len() + length).next_multiple_of(512);
            let Some(place) = dst.get_mut(..needed) else {
                return Err(too_small("dst", capacity as u64, needed as u64));
            };
            guard::test_hook();
            place[..head.len()].copy_from_slice(&head);
            place[head.len()..][..length].copy_from_slice(data);
            place[head.len() + length..].fill(0);
            out.set(needed);
            Ok(())
        })
    }
}

/// Makes what stands before the elements in an NPY file. The caller frees `head`.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_npy_head(
    descr: *const c_char,
    fortran_order: i32,
    shape: *const u64,
    ndim: usize,
    head: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_npy_head", err, || {
            let (out, descr) = (Out::new(head, "head")?, descr_of(text(descr, "descr")?)?);
            let shape = slice(shape, ndim, "shape")?.to_vec();
            let header = npy::Header { descr, fortran_order: fortran_order != 0, shape };
            out.set_handle(buffer_of(&header.write()?)?)
        })
    }
}

/// Reads the head of an NPY file of `file_size` bytes, of which `head` are the first; 256 are mostly
/// enough, else it is BUFFER_TOO_SMALL. The file must have as many bytes as its elements need.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_npy_parse(
    head: *const c_void,
    length: usize,
    file_size: u64,
    info: *mut s3dlio_npy_info,
    info_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_npy_parse", err, || {
            let (out, head) = (OutStruct::new(info, info_size, "info")?, bytes(head, length)?);
            let (header, data) = match npy::read(head, file_size)? {
                Step::Done(found) => found,
                Step::Need(range) => return Err(too_small("head", length as u64, range.end)),
            };
            let mut info = s3dlio_npy_info {
                descr: [0; 32],
                fortran_order: header.fortran_order.into(),
                ndim: header.shape.len() as u32,
                shape: [0; S3DLIO_NPY_MAX_AXES],
                data_offset: data.start,
                data_length: data.end - data.start,
            };
            // The last byte stays NUL: types are shorter.
            for (to, byte) in std::iter::zip(&mut info.descr[..31], header.descr.text().bytes()) {
                *to = byte as c_char;
            }
            info.shape[..header.shape.len()].copy_from_slice(&header.shape);
            out.set(&info);
            Ok(())
        })
    }
}

struct Given<'a> {
    name: &'a str,
    descr: Descr,
    shape: &'a [u64],
    data: &'a [u8],
}

/// # Safety
/// `arrays` is NULL or has `count` arrays, whose pointers are as the header says.
unsafe fn given<'a>(arrays: *const s3dlio_array, count: usize) -> Result<Vec<Given<'a>>> {
    // SAFETY: passed on.
    let arrays = unsafe { slice(arrays, count, "arrays") }?;
    let of = |array: &s3dlio_array| {
        // SAFETY: passed on.
        unsafe {
            Ok(Given {
                name: text(array.name, "name")?,
                descr: descr_of(text(array.descr, "descr")?)?,
                shape: slice(array.shape, array.ndim, "shape")?,
                data: bytes(array.data, array.length)?,
            })
        }
    };
    arrays.iter().map(of).collect()
}

/// Makes an NPZ file of arrays, not compressed. The same arrays make the same bytes. The caller frees
/// `file`.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_npz_write(
    arrays: *const s3dlio_array,
    count: usize,
    file: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_npz_write", err, || {
            let (out, given) = (Out::new(file, "file")?, given(arrays, count)?);
            let of = |Given { name, descr, shape, data }| npz::Array { name, descr, shape, data };
            let arrays: Vec<_> = given.into_iter().map(of).collect();
            out.set_handle(buffer_of(&npz::write(&arrays)?)?)
        })
    }
}

/// Makes an HDF5 file of arrays of integers and floats, each a contiguous dataset of the root group.
/// The caller frees `file`.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_hdf5_write(
    arrays: *const s3dlio_array,
    count: usize,
    file: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_hdf5_write", err, || {
            let (out, given) = (Out::new(file, "file")?, given(arrays, count)?);
            let of = |Given { name, descr, shape, data }| hdf5::Array { name, descr, shape, data };
            let arrays: Vec<_> = given.into_iter().map(of).collect();
            out.set_handle(buffer_of(&hdf5::write(&arrays)?)?)
        })
    }
}

/// Owns what is listed.
struct Listed {
    members: Vec<s3dlio_npz_member>,
    _names: Vec<CString>,
}

// SAFETY: the pointers lead into `_names`, which nobody changes.
unsafe impl Send for Listed {}
// SAFETY: as above.
unsafe impl Sync for Listed {}

/// Lists the members of an NPZ file of `file_size` bytes, of which `tail` are the last; 65536 are mostly
/// enough, else it is BUFFER_TOO_SMALL. `members` and their names live until the caller frees `owner`.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_npz_list(
    tail: *const c_void,
    length: usize,
    file_size: u64,
    members: *mut *const s3dlio_npz_member,
    count: *mut usize,
    owner: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_npz_list", err, || {
            let (out, out_count) = (Out::new(members, "members")?, Out::new(count, "count")?);
            let (out_owner, tail) = (Out::new(owner, "owner")?, bytes(tail, length)?);
            let found = match zip::members(tail, file_size)? {
                Step::Done(found) => found,
                Step::Need(range) => return Err(too_small("tail", length as u64, file_size - range.start)),
            };
            let listed = Box::new(list(&found)?);
            let (start, number) = (listed.members.as_ptr(), listed.members.len());
            out_owner.set_handle(BufferValue::keeping(listed))?;
            out.set(if number == 0 { ptr::null() } else { start });
            out_count.set(number);
            Ok(())
        })
    }
}

fn list(found: &[zip::Member]) -> Result<Listed> {
    let mut listed = Listed { members: Vec::new(), _names: Vec::new() };
    for member in found {
        let name = CString::new(member.name.as_str()).map_err(|_| {
            Error::new(Code::Corrupt, format!("the name of a member has a NUL byte: {:?}", member.name))
        })?;
        let (range, (method, flags)) = (member.range(), member.stored_as());
        listed.members.push(s3dlio_npz_member {
            name: name.as_ptr(),
            offset: range.start,
            length: range.end - range.start,
            size: member.size,
            packed: member.packed,
            crc32: member.crc32,
            method,
            flags,
        });
        listed._names.push(name);
    }
    Ok(listed)
}

/// The bytes of a member, unpacked and checked, out of the `length` bytes of the file from its `offset`
/// on. The caller frees `file`, an NPY file.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_npz_unpack(
    member: *const s3dlio_npz_member,
    data: *const c_void,
    length: usize,
    file: *mut *mut s3dlio_buffer,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_npz_unpack", err, || {
            let out = Out::new(file, "file")?;
            let given = slice(member, 1, "member")?[0];
            let data = bytes(data, length)?;
            let place = given.offset..given.offset.saturating_add(given.length);
            let sizes = (given.size, given.packed, given.crc32);
            let name = text(given.name, "name")?;
            let member = zip::Member::from_parts(name, place, sizes, (given.method, given.flags))?;
            out.set_handle(match member.stored(data)? {
                Some(range) => buffer_of(&data[range])?,
                None => buffer_of(&member.unpack(data)?)?,
            })
        })
    }
}
