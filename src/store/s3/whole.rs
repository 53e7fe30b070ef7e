//! Whether an XML answer came whole. The SDK's parser takes what ends between two elements for a shorter
//! answer, so a listing that was cut there, with an honest length, would be a wrong listing.

/// What the root's name must show up in: declaration and comments before it are short.
const START: usize = 1024;
/// Enough for a closing tag with spaces behind it.
const END: usize = 256;

/// The codes of a server that failed, perhaps after it had carried the request out.
const SERVER_FAILED: &[&[u8]] = &[b"InternalError", b"InternalFailure", b"ServiceUnavailable", b"Busy"];

/// The cut that was found.
#[derive(Debug, thiserror::Error)]
#[error("the answer ends before its root element does")]
pub(super) struct CutShort;

/// Both ends of a body that goes by.
#[derive(Debug, Default)]
pub(super) struct XmlEnds {
    start: Vec<u8>,
    end: Vec<u8>,
}

impl XmlEnds {
    /// The next bytes of the body.
    pub(super) fn see(&mut self, data: &[u8]) {
        let room = START - self.start.len();
        self.start.extend_from_slice(&data[..room.min(data.len())]);
        self.end.extend_from_slice(&data[data.len().saturating_sub(END)..]);
        self.end.drain(..self.end.len().saturating_sub(END));
    }

    /// Whether there is an element at all.
    pub(super) fn has_root(&self) -> bool {
        root_name(&self.start).is_some()
    }

    /// Whether it is an error of the kind that leaves open what the server has done: it says 500 in
    /// an answer that had begun as 200.
    pub(super) fn leaves_open(&self) -> bool {
        let code = || Some(behind(&self.start, b"<Code>")?.split(|b| *b == b'<').next().unwrap_or_default());
        root_name(&self.start) == Some(b"Error") && code().is_none_or(|code| SERVER_FAILED.contains(&code))
    }

    /// At the end of the body: fails where a root element was opened and not closed. What has no root
    /// element is for the parser to refuse.
    pub(super) fn check(&self) -> Result<(), CutShort> {
        let Some(root) = root_name(&self.start) else { return Ok(()) };
        let end = self.end.trim_ascii_end();
        let Some(tag) = end.strip_suffix(b">") else { return Err(CutShort) };
        let closes = tag.trim_ascii_end().strip_suffix(root).is_some_and(|rest| rest.ends_with(b"</"));
        // `<Root/>`: nothing but the root is there.
        let empty = tag.ends_with(b"/") && is_only_tag(&self.start, root);
        if closes || empty { Ok(()) } else { Err(CutShort) }
    }
}

/// The name of the first element, as it is written.
fn root_name(start: &[u8]) -> Option<&[u8]> {
    let mut rest = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start).trim_ascii_start();
    loop {
        rest = rest.strip_prefix(b"<")?;
        let skipped = match rest.first()? {
            b'?' => behind(rest, b"?>"),
            b'!' if rest.starts_with(b"!--") => behind(rest, b"-->"),
            b'!' => behind(rest, b">"),
            _ => break,
        };
        rest = skipped?.trim_ascii_start();
    }
    let len = rest.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'));
    Some(&rest[..len.unwrap_or(rest.len())]).filter(|name| !name.is_empty())
}

fn behind<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(mark.len()).position(|window| window == mark)?;
    Some(&text[at + mark.len()..])
}

/// Whether no other tag follows the root's.
fn is_only_tag(start: &[u8], root: &[u8]) -> bool {
    let opening = [b"<", root].concat();
    behind(start, &opening).is_some_and(|rest| !rest.contains(&b'<'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(body: &str, piece: usize) -> bool {
        let mut ends = XmlEnds::default();
        body.as_bytes().chunks(piece).for_each(|piece| ends.see(piece));
        ends.check().is_ok()
    }

    #[test]
    fn i1_only_what_closes_its_root_is_whole() {
        let list = "<?xml version=\"1.0\"?>\n<List xmlns=\"a/b\"><Key>1</Key><Key>2</Key></List >\n";
        for piece in [1, 7, 1000] {
            assert!(whole(list, piece), "{piece}");
            for cut in 24..list.len() - 2 {
                assert!(!whole(&list[..cut], piece), "{:?}", &list[..cut]);
            }
        }
        for good in ["", "<Location/>", "<a><!-- x --><b/></a>", "<!-- x --><a/>\n", "plain text", "   "] {
            assert!(whole(good, 3), "{good:?}");
        }
        for cut in ["<a><b/>", "<a><b></b>", "<ab></b>", "<a></a", "<a>", "<List><a></List></a>"] {
            assert!(!whole(cut, 3), "{cut:?}");
        }
        assert!(whole(&format!("<List>{}</List>", "<Key>x</Key>".repeat(500)), 333));
        assert!(!whole(&format!("<List>{}", "<Key>x</Key>".repeat(500)), 333));
    }

    #[test]
    fn w3_an_error_of_the_server_leaves_the_outcome_open() {
        let open = |body: &str| {
            let mut ends = XmlEnds::default();
            ends.see(body.as_bytes());
            ends.leaves_open()
        };
        assert!(open("<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>"));
        assert!(open("<Error><Message>what</Message></Error>"));
        assert!(!open("<Error><Code>AccessDenied</Code></Error>"));
        assert!(!open("<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>"));
        assert!(!open(""));
    }
}
