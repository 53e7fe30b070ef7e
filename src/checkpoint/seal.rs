//! How every JSON object of a checkpoint is stored: one line whose last member is the CRC32C of all bytes
//! before it, so that any flipped bit is seen before anything is believed.

use crate::base::checksum::Crc32c;
use crate::error::{Code, Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// `,"crc32c":"xxxxxxxx"}` and a newline.
const TAIL: usize = 22;
/// No manifest or receipt is larger: what is, is none.
pub const LARGEST: u64 = 2 << 30;

/// The bytes to store of something that serialises as a JSON object with at least one member.
pub fn seal(content: &impl Serialize) -> Result<Vec<u8>> {
    let failed = |e: serde_json::Error| Error::new(Code::Internal, format!("cannot be written as JSON: {e}"));
    let mut text = serde_json::to_vec(content).map_err(failed)?;
    text.pop(); // the closing brace comes with the checksum
    let crc = Crc32c::of(&text).value();
    text.extend_from_slice(format!(",\"crc32c\":\"{crc:08x}\"}}\n").as_bytes());
    Ok(text)
}

/// What was sealed; `ChecksumMismatch` where the bytes are not those that were written, `Unsupported` where
/// they are of a later version of the format, `Corrupt` where they are something else.
pub fn unseal<T: DeserializeOwned>(bytes: &[u8], format: &str, version: u32) -> Result<T> {
    let corrupt = |what: &str| {
        Error::new(Code::Corrupt, format!("this is no {format}: {what}")).with_hint(
            "the object was damaged or is not of this library; restore it, or use another checkpoint",
        )
    };
    let split = bytes.len().checked_sub(TAIL).ok_or_else(|| corrupt("it is too short"))?;
    let (content, tail) = bytes.split_at(split);
    let digits = tail.strip_prefix(b",\"crc32c\":\"").and_then(|rest| rest.strip_suffix(b"\"}\n"));
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    let lower = digits.filter(|d| d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    let expected = lower.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let expected = expected.ok_or_else(|| corrupt("it does not end with its checksum"))?;
    let actual = Crc32c::of(content).value();
    if actual != expected {
        let message = format!(
            "the {format} has crc32c:{actual:08x}, but crc32c:{expected:08x} stands at its end: it was damaged"
        );
        return Err(Error::new(Code::ChecksumMismatch, message)
            .with_detail("expected", format!("crc32c:{expected:08x}"))
            .with_detail("actual", format!("crc32c:{actual:08x}"))
            .with_hint("restore the object, or use another checkpoint"));
    }
    let mut text = Vec::with_capacity(content.len() + 1);
    text.extend_from_slice(content);
    text.push(b'}');
    check_version(&text, format, version)?;
    serde_json::from_slice(&text).map_err(|e| corrupt(&e.to_string()))
}

/// Refuses what says to be of another format or version, before its members are looked at.
fn check_version(text: &[u8], format: &str, version: u32) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: Option<String>,
        version: Option<u64>,
    }
    let head: Head = serde_json::from_slice(text)
        .map_err(|e| Error::new(Code::Corrupt, format!("this is no {format}: {e}")))?;
    if head.format.as_deref() != Some(format) {
        let found = head.format.unwrap_or_default();
        return Err(Error::new(Code::Corrupt, format!("its format is {found:?}; expected {format:?}")));
    }
    match head.version {
        Some(found) if found == u64::from(version) => Ok(()),
        Some(found) => Err(Error::new(
            Code::Unsupported,
            format!("it is of version {found} of {format}; this library reads version {version}"),
        )
        .with_hint("use the release of the library that wrote it, or a later one")),
        None => Err(Error::new(Code::Corrupt, format!("this {format} says no version"))),
    }
}

/// A checksum as eight hexadecimal digits in JSON.
pub mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:08x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let plain = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match u32::from_str_radix(&text, 16) {
            Ok(value) if plain => Ok(value),
            _ => Err(D::Error::custom(format!("{text:?} is no checksum of eight hexadecimal digits"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(deny_unknown_fields)]
    struct Note {
        format: String,
        version: u32,
        text: String,
    }

    fn note(version: u32) -> Note {
        Note { format: "note".into(), version, text: "\"}\n{ü".into() }
    }

    #[test]
    fn c3_every_flipped_bit_is_seen() {
        let sealed = seal(&note(1)).unwrap();
        assert_eq!(unseal::<Note>(&sealed, "note", 1).unwrap(), note(1));
        assert!(serde_json::from_slice::<serde_json::Value>(&sealed).is_ok(), "others can read it");
        for bit in 0..sealed.len() * 8 {
            let mut broken = sealed.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            let code = unseal::<Note>(&broken, "note", 1).unwrap_err().code();
            assert!(matches!(code, Code::ChecksumMismatch | Code::Corrupt), "bit {bit}: {code:?}");
        }
        for len in 0..sealed.len() {
            assert!(unseal::<Note>(&sealed[..len], "note", 1).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn another_version_is_unsupported_and_another_format_corrupt() {
        let code = |sealed: &[u8], format| unseal::<Note>(sealed, format, 1).unwrap_err().code();
        assert_eq!(code(&seal(&note(2)).unwrap(), "note"), Code::Unsupported);
        assert_eq!(code(&seal(&note(1)).unwrap(), "other"), Code::Corrupt);
    }
}
