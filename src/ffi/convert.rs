//! What lies behind the caller's pointers: texts, memory, outputs and public structs.

use super::guard::test_hook;
use super::handle::{self, Handle};
use super::types::s3dlio_key_value;
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;

/// No public struct will ever be larger; a larger `size` is a mistake of the caller's.
const MAX_STRUCT: usize = 4096;

pub fn invalid(what: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, what)
}

/// A NUL-terminated UTF-8 string.
///
/// # Safety
/// `text` is NULL or a NUL-terminated string that lives as long as the result is used.
pub unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: passed on.
    unsafe { optional_text(text, name) }?.ok_or_else(|| invalid(format!("{name} is NULL")))
}

/// As [`text`], `None` for NULL.
///
/// # Safety
/// As [`text`].
pub unsafe fn optional_text<'a>(text: *const c_char, name: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, so a NUL-terminated string by the caller's promise.
    let bytes = unsafe { CStr::from_ptr(text) };
    let text = bytes
        .to_str()
        .map_err(|e| invalid(format!("{name} is not UTF-8: a wrong byte at position {}", e.valid_up_to())))?;
    Ok(Some(text))
}

pub fn check_memory<T>(start: *const T, count: usize, name: &str) -> Result<()> {
    let fits = count.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= isize::MAX as usize);
    if !fits {
        return Err(invalid(format!("{name} is longer than memory can be")));
    }
    if start.is_null() && count > 0 {
        return Err(invalid(format!("{name} is NULL, but its length is {count}")));
    }
    if !start.is_aligned() {
        return Err(invalid(format!("{name} is not aligned for its type")));
    }
    Ok(())
}

/// An array to read; NULL with length 0 is empty.
///
/// # Safety
/// `start` is NULL or has `count` values that nobody changes while the result is used.
pub unsafe fn slice<'a, T>(start: *const T, count: usize, name: &str) -> Result<&'a [T]> {
    check_memory(start, count, name)?;
    if count == 0 {
        return Ok(&[]);
    }
    // SAFETY: aligned, not NULL, not too long; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(start, count) })
}

/// As [`slice`] for an array to write to.
///
/// # Safety
/// As [`slice`], and nobody else reads it meanwhile.
pub unsafe fn slice_mut<'a, T>(start: *mut T, count: usize, name: &str) -> Result<&'a mut [T]> {
    check_memory(start, count, name)?;
    if count == 0 {
        return Ok(&mut []);
    }
    // SAFETY: aligned, not NULL, not too long; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts_mut(start, count) })
}

/// Bytes to read.
///
/// # Safety
/// As [`slice`].
pub unsafe fn bytes<'a>(data: *const c_void, length: usize) -> Result<&'a [u8]> {
    // SAFETY: passed on.
    unsafe { slice(data.cast(), length, "data") }
}

/// Memory to fill.
///
/// # Safety
/// As [`slice_mut`].
pub unsafe fn memory<'a>(dst: *mut c_void, length: usize) -> Result<&'a mut [u8]> {
    // SAFETY: passed on.
    unsafe { slice_mut(dst.cast(), length, "dst") }
}

/// An array of texts, copied.
///
/// # Safety
/// `start` is NULL or has `count` NULL or NUL-terminated strings.
pub unsafe fn texts(start: *const *const c_char, count: usize, name: &str) -> Result<Vec<String>> {
    // SAFETY: passed on.
    let pointers = unsafe { slice(start, count, name) }?;
    let each = pointers.iter().enumerate();
    // SAFETY: passed on.
    each.map(|(index, pointer)| unsafe { Ok(text(*pointer, &format!("{name}[{index}]"))?.to_owned()) })
        .collect()
}

/// Pairs of texts as a map.
///
/// # Safety
/// `pairs` is NULL or has `count` pairs of NULL or NUL-terminated strings.
pub unsafe fn text_map(pairs: *const s3dlio_key_value, count: usize) -> Result<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    // SAFETY: passed on.
    for pair in unsafe { slice(pairs, count, "metadata") }? {
        // SAFETY: passed on.
        let (key, value) = unsafe { (text(pair.key, "metadata key")?, text(pair.value, "metadata value")?) };
        if map.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(invalid(format!("metadata has the key {key:?} twice")));
        }
    }
    Ok(map)
}

/// Where an output goes, once there is one.
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `pointer` is NULL or valid for a write until the result is dropped.
    pub unsafe fn new(pointer: *mut T, name: &str) -> Result<Self> {
        check_memory(pointer, 1, name).map_err(|_| invalid(format!("{name} is NULL or not aligned")))?;
        Ok(Out(pointer))
    }

    pub fn set(self, value: T) {
        test_hook();
        // SAFETY: checked and promised in `new`.
        unsafe { self.0.write(value) }
    }
}

impl<H: Handle> Out<*mut H> {
    /// Makes a handle and gives it to the caller.
    pub fn set_handle(self, value: H::Value) -> Result<()> {
        test_hook();
        self.set(handle::insert(value)?);
        Ok(())
    }
}

/// A struct of the header without padding, all of whose bytes may be zero.
///
/// # Safety
/// The type is `repr(C)`, has no padding, and all-zero bytes are a valid value.
pub unsafe trait Plain: Copy {}

/// A struct that the caller's version of the header may know longer or shorter.
///
/// # Safety
/// `from` is NULL or has `size` readable bytes.
pub unsafe fn read_struct<T: Plain>(from: *const T, size: usize, name: &str) -> Result<Option<T>> {
    if from.is_null() {
        return Ok(None);
    }
    check_struct(size, name)?;
    // SAFETY: `size` bytes are there by the caller's promise.
    let given = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), size) };
    let known = size.min(size_of::<T>());
    if given[known..].iter().any(|byte| *byte != 0) {
        return Err(invalid(format!("{name} uses fields that this version of the library does not know")));
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` bytes are there on both sides; all-zero and the caller's bytes are values of a
    // `Plain` type.
    unsafe {
        std::ptr::copy_nonoverlapping(given.as_ptr(), value.as_mut_ptr().cast::<u8>(), known);
        Ok(Some(value.assume_init()))
    }
}

fn check_struct(size: usize, name: &str) -> Result<()> {
    if size == 0 || size > MAX_STRUCT {
        return Err(invalid(format!("the size of {name} is {size}; pass sizeof of the struct")));
    }
    Ok(())
}

/// Where a struct goes that the caller's version of the header may know longer or shorter.
pub struct OutStruct<T> {
    to: *mut T,
    size: usize,
}

impl<T: Plain> OutStruct<T> {
    /// # Safety
    /// `to` is NULL or valid for writing `size` bytes until the result is dropped.
    pub unsafe fn new(to: *mut T, size: usize, name: &str) -> Result<Self> {
        // SAFETY: passed on.
        unsafe { Self::optional(to, size, name) }?.ok_or_else(|| invalid(format!("{name} is NULL")))
    }

    /// As `new`, `None` for NULL.
    ///
    /// # Safety
    /// As `new`.
    pub unsafe fn optional(to: *mut T, size: usize, name: &str) -> Result<Option<Self>> {
        if to.is_null() {
            return Ok(None);
        }
        check_struct(size, name)?;
        Ok(Some(OutStruct { to, size }))
    }

    /// Writes as much as the caller has room for, and zeroes what we do not know.
    pub fn set(self, value: &T) {
        test_hook();
        let known = self.size.min(size_of::<T>());
        // SAFETY: `size` bytes may be written by the promise to `new`, and `value` has `known`.
        unsafe {
            std::ptr::copy_nonoverlapping((&raw const *value).cast::<u8>(), self.to.cast::<u8>(), known);
            self.to.cast::<u8>().add(known).write_bytes(0, self.size - known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(C)]
    struct Two {
        a: u32,
        b: u32,
    }
    // SAFETY: two integers without padding.
    unsafe impl Plain for Two {}

    fn read(bytes: &[u8]) -> Result<Two> {
        let words: Vec<u64> = bytes.chunks(8).map(|_| 0).collect();
        let mut words = words;
        // SAFETY: the copy's memory is at least as long and aligned.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), words.as_mut_ptr().cast(), bytes.len());
            read_struct(words.as_ptr().cast(), bytes.len(), "two").map(|two| two.unwrap())
        }
    }

    #[test]
    fn structs_of_other_versions() {
        assert_eq!(read(&[1, 0, 0, 0]).unwrap(), Two { a: 1, b: 0 });
        assert_eq!(read(&[1, 0, 0, 0, 2, 0, 0, 0, 0, 0]).unwrap(), Two { a: 1, b: 2 });
        let newer = read(&[1, 0, 0, 0, 2, 0, 0, 0, 0, 1]).unwrap_err();
        assert_eq!(newer.code(), Code::InvalidArgument);
        assert_eq!(read(&[]).unwrap_err().code(), Code::InvalidArgument);
        let mut room = [9u32; 4];
        // SAFETY: the array has the sizes that are named.
        unsafe {
            OutStruct::new(room.as_mut_ptr().cast::<Two>(), 4, "two").unwrap().set(&Two { a: 1, b: 2 });
            assert_eq!(room, [1, 9, 9, 9]);
            OutStruct::new(room.as_mut_ptr().cast::<Two>(), 12, "two").unwrap().set(&Two { a: 1, b: 2 });
        }
        assert_eq!(room, [1, 2, 0, 9]);
    }

    #[test]
    fn memory_that_cannot_be_is_refused() {
        // SAFETY: none of these is read.
        unsafe {
            assert!(bytes(std::ptr::null(), 0).unwrap().is_empty());
            assert!(bytes(std::ptr::null(), 1).is_err());
            assert!(bytes([0u8].as_ptr().cast(), usize::MAX).is_err());
            assert!(slice([0u64].as_ptr(), usize::MAX / 4, "x").is_err());
            assert!(slice([0u64].as_ptr().cast::<u8>().add(1).cast::<u64>(), 1, "x").is_err());
            assert!(text(c"\xff".as_ptr(), "x").is_err() && text(std::ptr::null(), "x").is_err());
        }
    }
}
