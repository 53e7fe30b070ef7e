//! The service's XML answers as a tree. Text is kept exactly: names of objects may start or end in
//! spaces, which is why the SDK's own models are not used.

use crate::error::{Code, Error, Result};
use percent_encoding::percent_decode_str;
use quick_xml::events::Event;
use quick_xml::reader::Reader;

/// Deeper than any answer of the service.
const MAX_DEPTH: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Element {
    name: String,
    /// The text is percent-encoded, because XML cannot hold it.
    encoded: bool,
    text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// Parses a document whose root is `root`; anything else is `Protocol`.
    pub(super) fn parse(xml: &[u8], root: &str) -> Result<Element> {
        let bad = |why: String| Error::new(Code::Protocol, format!("the service's XML is malformed: {why}"));
        let mut reader = Reader::from_reader(xml.strip_prefix(b"\xef\xbb\xbf").unwrap_or(xml));
        let mut open: Vec<Element> = vec![Element::default()];
        loop {
            let event = reader.read_event().map_err(|e| bad(e.to_string()))?;
            let text = match event {
                Event::Start(start) => {
                    if open.len() >= MAX_DEPTH {
                        return Err(bad("it is nested too deeply".into()));
                    }
                    let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
                    let encoded = start.attributes().with_checks(false).flatten().any(|attribute| {
                        attribute.key.as_ref() == b"Encoded" && attribute.value.eq_ignore_ascii_case(b"true")
                    });
                    open.push(Element { name, encoded, ..Element::default() });
                    continue;
                }
                Event::Empty(empty) => {
                    let name = String::from_utf8_lossy(empty.name().as_ref()).into_owned();
                    if let Some(parent) = open.last_mut() {
                        parent.children.push(Element { name, ..Element::default() });
                    }
                    continue;
                }
                Event::End(_) => {
                    if let (Some(done), Some(parent)) = (open.pop(), open.last_mut()) {
                        parent.children.push(done);
                    }
                    continue;
                }
                Event::Text(text) => text.decode().map_err(|e| bad(e.to_string()))?.into_owned(),
                Event::CData(text) => text.decode().map_err(|e| bad(e.to_string()))?.into_owned(),
                Event::GeneralRef(entity) => {
                    let name = entity.decode().map_err(|e| bad(e.to_string()))?;
                    match entity.resolve_char_ref().map_err(|e| bad(e.to_string()))? {
                        Some(character) => character.into(),
                        None => quick_xml::escape::resolve_predefined_entity(&name)
                            .ok_or_else(|| bad(format!("unknown entity {name:?}")))?
                            .to_owned(),
                    }
                }
                Event::Eof => break,
                _ => continue, // declaration, comments
            };
            if let Some(element) = open.last_mut() {
                element.text.push_str(&text);
            }
        }
        match (open.pop(), open.is_empty()) {
            (Some(document), true) => match document.children.into_iter().find(|child| child.name == root) {
                Some(found) => Ok(found),
                None => Err(bad(format!("expected the element {root}"))),
            },
            _ => Err(bad("it ends too early".into())),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of a child, exactly.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// The decoded text of the child `Name`, which must be there.
    pub(super) fn object_name(&self) -> Result<String> {
        let broken = || Error::new(Code::Protocol, "an entry of the listing has no valid name");
        let name = self.child("Name").ok_or_else(broken)?;
        if !name.encoded {
            return Ok(name.text.clone());
        }
        Ok(percent_decode_str(&name.text).decode_utf8().map_err(|_| broken())?.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s4_names_are_kept_exactly() {
        let xml = "\u{feff}<?xml version=\"1.0\"?><R a='b'>\n <B><Name> a&amp;b &lt;c&gt;&#x9;&#233; </Name></B>\
                   <B><Name Encoded=\"true\">x%01%2525 </Name></B><B><Name><![CDATA[<&]]></Name></B><E/></R>";
        let root = Element::parse(xml.as_bytes(), "R").unwrap();
        let names: Vec<_> =
            root.children.iter().filter(|c| c.name() == "B").map(|c| c.object_name().unwrap()).collect();
        assert_eq!(names, [" a&b <c>\t\u{e9} ", "x\u{1}%25 ", "<&"]);
        assert_eq!(root.text_of("E"), Some(""));
    }

    #[test]
    fn what_is_no_whole_document_is_refused() {
        for xml in ["", "<R>", "<R><a></R>", "<S></S>", "<R>&bogus;</R>", "no xml", "<R></R"] {
            assert_eq!(Element::parse(xml.as_bytes(), "R").unwrap_err().code(), Code::Protocol, "{xml:?}");
        }
    }
}
