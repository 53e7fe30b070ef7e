//! Percent-escaping as S3 and Azure expect it: every byte but the unreserved ones (RFC 3986), in
//! upper-case hexadecimal. What is escaped here is canonical for signatures as it is.

/// Appends a path that is not escaped yet, such as an object's key; `/` stays.
pub fn path(text: &str, out: &mut Vec<u8>) {
    escape(text.as_bytes(), b'/', out);
}

/// Appends a name or a value of a query that is not escaped yet.
pub fn query(text: &str, out: &mut Vec<u8>) {
    escape(text.as_bytes(), b'-', out);
}

fn escape(text: &[u8], kept: u8, out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let plain = rest.iter().position(|&byte| !is_unreserved(byte) && byte != kept).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(plain);
        out.extend_from_slice(run);
        let Some((&byte, tail)) = tail.split_first() else { return };
        push_escaped(byte, out);
        rest = tail;
    }
}

/// Appends an escaped path in the one form that signatures are computed over.
pub(super) fn canonical_path(text: &str, out: &mut Vec<u8>) {
    canonical(text.as_bytes(), b'/', b'+', out);
}

/// The same for a name or a value of a query, where a bare `+` is a space.
pub(super) fn canonical_query(text: &str, out: &mut Vec<u8>) {
    canonical(text.as_bytes(), b'-', b' ', out);
}

fn canonical(text: &[u8], kept: u8, plus: u8, out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let plain = rest.iter().position(|&byte| !is_unreserved(byte) && byte != kept).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(plain);
        out.extend_from_slice(run);
        rest = match tail {
            [] => return,
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                match digit(*high) << 4 | digit(*low) {
                    byte if is_unreserved(byte) => out.push(byte),
                    byte => push_escaped(byte, out),
                }
                tail
            }
            [byte, tail @ ..] => {
                push_escaped(if *byte == b'+' { plus } else { *byte }, out);
                tail
            }
        };
    }
}

const fn is_unreserved(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        loop {
            table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            if byte == u8::MAX {
                break table;
            }
            byte += 1;
        }
    };
    TABLE[byte as usize]
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(with: fn(&str, &mut Vec<u8>), text: &str) -> String {
        let mut out = Vec::new();
        with(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn everything_but_the_unreserved_is_escaped() {
        assert_eq!(made(path, "a/b c+d%2F~é\u{7f}"), "a/b%20c%2Bd%252F~%C3%A9%7F");
        assert_eq!(made(query, "a/b=c&d"), "a%2Fb%3Dc%26d");
        let all: String = (0..=127_u8).map(char::from).collect();
        const THEIRS: &percent_encoding::AsciiSet =
            &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        let expected = percent_encoding::utf8_percent_encode(&all, THEIRS).to_string();
        assert_eq!(made(query, &all), expected);
        assert_eq!(made(path, &all), expected.replace("%2F", "/"));
    }

    #[test]
    fn canonical_forms_are_made_and_kept() {
        assert_eq!(made(canonical_path, "/a%7eb%2f%c3%A9+!$%zz%4"), "/a~b%2F%C3%A9%2B%21%24%25zz%254");
        assert_eq!(made(canonical_query, "a+b%2b%41/%"), "a%20b%2BA%2F%25");
        for text in ["", "a", "a/b c+d%2F~é", "//../ %%"] {
            let (once, value) = (made(path, text), made(query, text));
            assert_eq!(made(canonical_path, &once), once);
            assert_eq!(made(canonical_query, &value), value);
        }
    }
}
