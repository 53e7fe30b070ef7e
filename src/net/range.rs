//! The `Content-Range` of an answer.

/// `bytes 5-9/10` gives (5, 9, 10). Numbers are digits alone; whether they fit each other is not looked at.
pub fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((number(first)?, number(last)?, number(size)?))
}

/// Not what `parse` alone takes: it would take a plus, too.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_numbers_are_digits_alone() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, 10)));
        let bad = [
            "bytes +5-9/10",
            "bytes 5-+9/10",
            "bytes 5-9/+10",
            "bytes -5-9/10",
            "bytes 5-9/",
            "Bytes 5-9/10",
        ];
        for bad in bad {
            assert_eq!(content_range(bad), None, "{bad:?}");
        }
    }
}
