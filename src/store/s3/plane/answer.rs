//! What the service's answers say.

use crate::base::date::Timestamp;
use crate::net::Answer;
use crate::store::s3::wire::Facts;
use quick_xml::events::Event;
use quick_xml::reader::Reader;
use std::time::{Duration, UNIX_EPOCH};

/// No answer but an object's bytes is larger than this.
pub(super) const MAX_BODY: usize = 64 << 10;
const META: &str = "x-amz-meta-";

/// The headers that describe an object.
pub(in crate::store::s3) fn facts(answer: &Answer) -> Facts {
    let mut facts = Facts { partial: answer.status() == 206, ..Facts::default() };
    for (name, value) in answer.headers() {
        let text = || Some(value.to_owned());
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is("etag") => facts.etag = text(),
            12 if is("content-type") => facts.content_type = text(),
            13 if is("content-range") => facts.content_range = text(),
            13 if is("last-modified") => {
                let second = Timestamp::parse_http(value).and_then(|time| u64::try_from(time.unix()).ok());
                facts.last_modified = second.map(|second| UNIX_EPOCH + Duration::from_secs(second));
            }
            14 if is("content-length") => facts.length = value.trim().parse().ok(),
            16 if is("x-amz-version-id") => facts.version = text(),
            19 if is("x-amz-checksum-type") => facts.composite = value.eq_ignore_ascii_case("COMPOSITE"),
            21 if is("x-amz-checksum-crc32c") => facts.crc32c = text(),
            _ => {
                let (start, user) = name.split_at_checked(META.len()).unwrap_or_default();
                if start.eq_ignore_ascii_case(META) {
                    facts.metadata.insert(user.to_ascii_lowercase(), value.to_owned());
                }
            }
        }
    }
    facts
}

/// The XML of a failure.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) region: Option<String>,
    pub(super) request_id: Option<String>,
}

impl Report {
    /// `None`: the document is no `Error`, or is cut or broken.
    pub(super) fn parse(xml: &[u8]) -> Option<Report> {
        let mut reader = Reader::from_reader(xml.strip_prefix(b"\xef\xbb\xbf").unwrap_or(xml));
        let mut report = Report::default();
        let mut depth = 0_usize;
        let mut text = String::new();
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => {
                    if depth == 0 && start.local_name().as_ref() != b"Error" {
                        return None;
                    }
                    depth += 1;
                    text.clear();
                }
                Event::End(end) => {
                    depth -= 1;
                    let field = match (depth, end.local_name().as_ref()) {
                        (0, _) => return Some(report),
                        (1, b"Code") => &mut report.code,
                        (1, b"Message") => &mut report.message,
                        (1, b"Region") => &mut report.region,
                        (1, b"RequestId") => &mut report.request_id,
                        _ => continue,
                    };
                    *field = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
                }
                Event::Text(part) => text.push_str(&part.decode().ok()?),
                Event::CData(part) => text.push_str(&part.decode().ok()?),
                Event::GeneralRef(entity) => match entity.resolve_char_ref().ok()? {
                    Some(character) => text.push(character),
                    None => {
                        let name = entity.decode().ok()?;
                        text.push_str(quick_xml::escape::resolve_predefined_entity(&name)?);
                    }
                },
                Event::Eof => return None,
                _ => {}
            }
        }
    }
}

/// For the fuzzer: reads a report.
#[cfg(fuzzing)]
pub(in crate::store::s3) fn report(xml: &[u8]) {
    let _ = Report::parse(xml);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_reports_are_read_and_nothing_else_is_one() {
        let xml = "<?xml version=\"1.0\"?>\n<Error xmlns=\"x\"><Code>A&amp;B</Code><Message> no\n</Message>\
                   <Details><Code>inner</Code></Details><Region>eu-1</Region><RequestId>r&#49;</RequestId></Error>";
        let report = Report::parse(xml.as_bytes()).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let expected =
            Report { code: text("A&B"), message: text("no"), region: text("eu-1"), request_id: text("r1") };
        assert_eq!(report, expected);
        assert_eq!(Report::parse(b"<Error></Error>"), Some(Report::default()));
        for other in
            ["", "no xml", "<html>", "<a><Error></Error></a>", "<Error><Code>x</Code>", "<Error></b>"]
        {
            assert_eq!(Report::parse(other.as_bytes()), None, "{other:?}");
        }
    }
}
