//! Element types as NumPy spells them: byte order, kind, size, such as `<f4`
//! (<https://numpy.org/doc/stable/reference/arrays.interface.html>).

use super::invalid;
use crate::error::Result;

/// A NumPy type of plain values, without fields and without Python objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descr {
    text: String,
    item: u64,
}

impl Descr {
    /// Checks a type string; `None` for what is none, or would need Python to be read.
    pub fn parse(text: &str) -> Option<Descr> {
        let mut chars = text.chars();
        let order = chars.next()?;
        let kind = chars.next()?;
        let digits: String = chars.as_str().chars().take_while(char::is_ascii_digit).collect();
        let unit = &chars.as_str()[digits.len()..];
        let size: u64 = match digits.len() {
            1..=9 => digits.parse().ok()?,
            _ => return None,
        };
        let right = match kind {
            'b' => size == 1,
            'i' | 'u' => matches!(size, 1 | 2 | 4 | 8),
            'f' => matches!(size, 2 | 4 | 8 | 12 | 16),
            'c' => matches!(size, 8 | 16 | 24 | 32),
            'm' | 'M' => size == 8,
            'S' | 'U' | 'V' => true,
            _ => false,
        };
        let ordered = match kind {
            'b' | 'S' | 'V' => order == '|',
            'i' | 'u' if size == 1 => order == '|',
            _ => matches!(order, '<' | '>'),
        };
        // Times have a unit: [ns], [25s].
        let unit_right = match (kind, unit) {
            (_, "") => true,
            ('m' | 'M', unit) => {
                let inside = unit.strip_prefix('[').and_then(|unit| unit.strip_suffix(']'));
                inside.is_some_and(|u| {
                    (1..=12).contains(&u.len()) && u.bytes().all(|b| b.is_ascii_alphanumeric())
                })
            }
            _ => false,
        };
        let item = if kind == 'U' { size * 4 } else { size };
        (right && ordered && unit_right).then(|| Descr { text: text.to_owned(), item })
    }

    /// The type of a safetensors name, such as `F32`. NumPy has none for bfloat16 and floats of 8 bits.
    pub fn of_tensor(name: &str) -> Result<Descr> {
        let text = match name {
            "BOOL" => "|b1",
            "U8" => "|u1",
            "I8" => "|i1",
            "I16" => "<i2",
            "U16" => "<u2",
            "F16" => "<f2",
            "I32" => "<i4",
            "U32" => "<u4",
            "F32" => "<f4",
            "C64" => "<c8",
            "F64" => "<f8",
            "I64" => "<i8",
            "U64" => "<u8",
            _ => {
                let expected = "expected BOOL U8 I8 I16 U16 F16 I32 U32 F32 C64 F64 I64 or U64";
                return Err(invalid(format!("NumPy's formats have no element type {name:?}; {expected}")));
            }
        };
        Descr::parse(text).ok_or_else(|| invalid(format!("{text:?} is no element type of NumPy")))
    }

    /// The text, such as `<f4`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Bytes of an element.
    pub fn item(&self) -> u64 {
        self.item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f1_types_and_what_is_none() {
        for (text, item) in
            [("<f4", 4), (">i8", 8), ("|u1", 1), ("|b1", 1), ("<U7", 28), ("|S0", 0), ("<M8[ns]", 8)]
        {
            assert_eq!(Descr::parse(text).map(|d| d.item()), Some(item), "{text}");
        }
        for text in [
            "", "f4", "<f3", "|O", "|O8", "<f", "<f4 ", "<f04[ns]", "<b1", "|i4", "=i4", "<M8[", "<i8[ns]",
            "<ü4",
        ] {
            assert_eq!(Descr::parse(text), None, "{text}");
        }
        assert_eq!(Descr::of_tensor("F32").unwrap().text(), "<f4");
        assert!(Descr::of_tensor("BF16").is_err());
    }
}
