//! CRC32C (Castagnoli, RFC 3720 section 12.1): incremental, combinable, `crc32c:xxxxxxxx` in text.

use crate::error::{Code, Error, Result};
use crc_fast::{CrcAlgorithm, Digest};
use std::fmt;
use std::str::FromStr;

/// A CRC32C with the count of bytes it covers, so that two can be combined.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Crc32c {
    value: u32,
    len: u64,
}

impl Crc32c {
    /// The checksum of no bytes.
    pub const fn new() -> Self {
        Crc32c { value: 0, len: 0 }
    }

    /// A checksum that is known from elsewhere, of `len` bytes.
    pub const fn from_parts(value: u32, len: u64) -> Self {
        Crc32c { value, len }
    }

    /// The checksum of `data`.
    pub fn of(data: &[u8]) -> Self {
        let mut crc = Crc32c::new();
        crc.update(data);
        crc
    }

    /// Goes on with `data`.
    pub fn update(&mut self, data: &[u8]) {
        // Its state is the checksum before the last inversion.
        let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!self.value));
        digest.update(data);
        self.value = digest.finalize() as u32;
        self.len += data.len() as u64;
    }

    /// The checksum of this one's bytes followed by `next`'s.
    pub fn combine(self, next: Crc32c) -> Crc32c {
        let value = shift(self.value, next.len) ^ next.value;
        Crc32c { value, len: self.len.saturating_add(next.len) }
    }

    /// The checksum of what came after `earlier`, which covers this one's first bytes.
    pub fn since(self, earlier: Crc32c) -> Crc32c {
        let len = self.len.saturating_sub(earlier.len);
        let moved = earlier.combine(Crc32c::from_parts(0, len));
        Crc32c { value: self.value ^ moved.value, len }
    }

    /// The 32 bits.
    pub fn value(self) -> u32 {
        self.value
    }

    /// How many bytes it covers.
    pub fn covered(self) -> u64 {
        self.len
    }
}

/// The checksum of bytes with this one, followed by `len` zeros, as if they had the checksum 0: a product with
/// x^(8 len), modulo the polynomial (Mark Adler's way in zlib). A microsecond at most, where squaring matrices for
/// every length takes twenty.
fn shift(value: u32, len: u64) -> u32 {
    let mut product = value;
    for (bit, power) in POWERS.iter().enumerate() {
        if len >> bit & 1 == 1 {
            product = multiply(*power, product);
        }
    }
    product
}

/// x^(8 * 2^k), each with the coefficient of x^0 in its highest bit.
const POWERS: [u32; 64] = {
    let mut powers = [0; 64];
    let mut power = 1 << 23; // x^8
    let mut k = 0;
    while k < 64 {
        powers[k] = power;
        power = multiply(power, power);
        k += 1;
    }
    powers
};

/// The product of two polynomials over GF(2), modulo Castagnoli's.
const fn multiply(a: u32, mut b: u32) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let (mut product, mut bit) = (0, 32);
    while bit > 0 {
        bit -= 1;
        if a >> bit & 1 == 1 {
            product ^= b;
        }
        b = b >> 1 ^ (if b & 1 == 1 { POLYNOMIAL } else { 0 });
    }
    product
}

/// `crc32c:` and eight lower-case hexadecimal digits.
pub fn format_crc32c(value: u32) -> String {
    format!("crc32c:{value:08x}")
}

/// Reads what [`format_crc32c`] writes; the prefix may be left out.
pub fn parse_crc32c(text: &str) -> Result<u32> {
    let digits = text.strip_prefix("crc32c:").unwrap_or(text);
    let valid = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    match u32::from_str_radix(digits, 16) {
        Ok(value) if valid => Ok(value),
        _ => Err(Error::new(
            Code::InvalidArgument,
            format!("{text:?} is not a CRC32C; expected crc32c: and eight hexadecimal digits"),
        )),
    }
}

/// The four bytes, most significant first, in base64: the form of S3's `x-amz-checksum-crc32c`.
pub fn crc32c_base64(value: u32) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(value.to_be_bytes())
}

/// Reads what [`crc32c_base64`] writes; `None` for anything else.
pub fn crc32c_base64_value(text: &str) -> Option<u32> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

impl fmt::Display for Crc32c {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crc32c:{:08x}", self.value)
    }
}

impl fmt::Debug for Crc32c {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crc32c:{:08x} of {} bytes", self.value, self.len)
    }
}

/// A checksum that somebody expects: CRC32C only, for now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExpectedCrc32c(pub u32);

impl FromStr for ExpectedCrc32c {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        parse_crc32c(text).map(ExpectedCrc32c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_known_answers() {
        // RFC 3720 B.4, and the usual check value.
        let ascending: Vec<u8> = (0..32).collect();
        let cases: [(&[u8], u32); 5] = [
            (b"", 0),
            (b"123456789", 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
        ];
        for (data, expected) in cases {
            assert_eq!(Crc32c::of(data).value(), expected, "of {data:?}");
        }
    }

    #[test]
    fn i1_every_length_start_and_split_equals_another_implementation() {
        let data: Vec<u8> = (0..20_000u32).map(|i| (i * 31 + i / 7) as u8).collect();
        for len in (0..600).chain([4095, 4096, 4097, 16_383, 19_000]) {
            for start in [0, 1, 7, 63, 130] {
                let piece = &data[start..start + len];
                let (first, second) = piece.split_at(len / 3);
                let mut crc = Crc32c::of(first);
                crc.update(second);
                assert_eq!(crc.value(), crc32c::crc32c(piece), "{len} bytes from {start}");
            }
        }
    }

    #[test]
    fn i1_combine_equals_the_whole_at_every_split() {
        let data: Vec<u8> = (0..1000u32).map(|i| (i * 7 + i / 13) as u8).collect();
        let whole = Crc32c::of(&data);
        for at in 0..=data.len() {
            let (a, b) = data.split_at(at);
            assert_eq!(Crc32c::of(a).combine(Crc32c::of(b)), whole, "split at {at}");
            assert_eq!(whole.since(Crc32c::of(a)), Crc32c::of(b), "since {at}");
        }
    }

    #[test]
    fn i1_combine_of_any_lengths_equals_another_implementation() {
        for len in [1_u64, 7, 4096, 524_288, (1 << 31) - 1, 1 << 40, (1 << 62) + 12_345] {
            let (a, b) = (Crc32c::of(b"123456789"), Crc32c::from_parts(0xdead_beef, len));
            let expected = crc32c::crc32c_combine(a.value(), b.value(), len as usize);
            assert_eq!(a.combine(b).value(), expected, "{len}");
        }
        assert_eq!(Crc32c::of(b"1").combine(Crc32c::new()), Crc32c::of(b"1"));
    }

    #[test]
    fn text_round_trip_and_refusals() {
        let text = Crc32c::of(b"123456789").to_string();
        assert_eq!(text, "crc32c:e3069283");
        assert_eq!(parse_crc32c(&text).unwrap(), 0xe306_9283);
        assert_eq!(parse_crc32c("e3069283").unwrap(), 0xe306_9283);
        for bad in ["", "crc32c:", "crc32c:e306928", "crc32c:e30692833", "md5:e3069283", "+3069283"] {
            assert_eq!(parse_crc32c(bad).unwrap_err().code(), Code::InvalidArgument, "{bad:?}");
        }
        assert_eq!(crc32c_base64(0xe306_9283), "4waSgw==");
        assert_eq!(crc32c_base64_value("4waSgw=="), Some(0xe306_9283));
        assert_eq!(crc32c_base64_value("pzJFoA==-1"), None, "a checksum of checksums");
    }
}
