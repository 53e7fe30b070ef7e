//! Deflate (RFC 1951) into memory whose size is known.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// The most bytes that one byte may stand for: a longer result is a lie that needs no memory to be found.
pub const BEST_RATIO: u64 = 1032;

/// Fills `out` from `data`. Says what is wrong if that is not a whole deflated stream of exactly this length.
pub fn inflate(data: &[u8], out: &mut [u8]) -> Result<(), String> {
    let mut state = Box::new(DecompressorOxide::new());
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, taken, made) = decompress(&mut state, data, out, 0, flags);
    match status {
        TINFLStatus::Done if taken == data.len() && made == out.len() => Ok(()),
        TINFLStatus::Done if made == out.len() => Err(format!("a stream of {taken} bytes of {}", data.len())),
        TINFLStatus::Done => Err(format!("a stream for {made} bytes of {}", out.len())),
        TINFLStatus::HasMoreOutput => Err(format!("a stream for more than {} bytes", out.len())),
        TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => {
            Err("a stream that is cut off".into())
        }
        _ => Err(format!("no deflated stream after {taken} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_streams_and_what_is_none() {
        // Of zlib, raw: "hello hello hello hello".
        let data = [0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x57, 0xc8, 0x40, 0x27, 0x01];
        let mut out = [0; 23];
        inflate(&data, &mut out).unwrap();
        assert_eq!(&out, b"hello hello hello hello");
        assert!(inflate(&data, &mut [0; 22]).unwrap_err().contains("more than 22"));
        assert!(inflate(&data, &mut [0; 24]).unwrap_err().contains("23 bytes of 24"));
        assert!(inflate(&data[..9], &mut out).is_err() && inflate(&[], &mut out).is_err());
        assert!(inflate(&[&data[..], &[0]].concat(), &mut out).is_err());
        assert!(inflate(&[0xff; 10], &mut out).is_err());
    }
}
