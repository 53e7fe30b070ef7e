//! Which keys of a listing belong to a dataset.

use crate::error::{Code, Error, Result};
use regex_lite::Regex;

/// A glob, a regular expression, or both: keys must fit each that there is.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    glob: Option<Regex>,
    regex: Option<Regex>,
}

impl Pattern {
    pub fn new(glob: Option<&str>, regex: Option<&str>) -> Result<Pattern> {
        let bad = |kind: &str, text: &str, error: &regex_lite::Error| {
            let message = format!("{text:?} is not a {kind}; expected one that can be parsed");
            Error::new(Code::InvalidArgument, message).with_source(error)
        };
        let compile = |text: &str| Regex::new(&expression(text)).map_err(|e| bad("glob", text, &e));
        Ok(Pattern {
            glob: glob.map(compile).transpose()?,
            regex: regex
                .map(|text| Regex::new(text).map_err(|e| bad("regular expression", text, &e)))
                .transpose()?,
        })
    }

    /// Whether a key relative to the listing's URI belongs to it. Keys that end in a slash stand for folders.
    pub fn fits(&self, key: &str) -> bool {
        !key.is_empty()
            && !key.ends_with('/')
            && self.glob.as_ref().is_none_or(|glob| glob.is_match(key))
            && self.regex.as_ref().is_none_or(|regex| regex.is_match(key))
    }
}

/// A glob as a regular expression. Pieces that are not closed stand for themselves.
fn expression(glob: &str) -> String {
    let mut text = String::from("(?s)^");
    let mut braces = 0;
    let mut rest = glob.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.as_str().starts_with("*/") => {
                rest.nth(1);
                text.push_str("(?:.*/)?");
            }
            '*' if rest.as_str().starts_with('*') => {
                rest.next();
                text.push_str(".*");
            }
            '*' => text.push_str("[^/]*"),
            '?' => text.push_str("[^/]"),
            '[' => match class(rest.as_str()) {
                Some((class, after)) => {
                    text.push_str(&class);
                    rest = after.chars();
                }
                None => text.push_str("\\["),
            },
            '{' if rest.as_str().contains('}') => {
                braces += 1;
                text.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                text.push(')');
            }
            ',' if braces > 0 => text.push('|'),
            '\\' => {
                let literal = rest.next().unwrap_or('\\');
                text.push_str(&regex_lite::escape(literal.encode_utf8(&mut [0; 4])));
            }
            c => text.push_str(&regex_lite::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    text.extend(std::iter::repeat_n(')', braces));
    text.push('$');
    text
}

/// A bracket expression after its `[`, and what follows it.
fn class(rest: &str) -> Option<(String, &str)> {
    let (negated, body) = match rest.strip_prefix(['!', '^']) {
        Some(body) => (true, body),
        None => (false, rest),
    };
    // A closing bracket that comes first is one of the class.
    let first = body.chars().next()?.len_utf8();
    let end = first + body.get(first..)?.find(']')?;
    let mut class = String::from(if negated { "[^/" } else { "[" });
    // Two hyphens in a row, and what else a regular expression reads in a class, mean nothing here.
    let escape = |c: char| regex_lite::escape(c.encode_utf8(&mut [0; 4]));
    let mut rest = body.get(..end)?.chars();
    while let Some(c) = rest.next() {
        class.push_str(&escape(c));
        let mut ahead = rest.clone();
        if let (Some('-'), Some(last)) = (ahead.next(), ahead.next()) {
            class.push('-');
            class.push_str(&escape(last));
            rest = ahead;
        }
    }
    class.push(']');
    Some((class, body.get(end + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(glob: &str, key: &str) -> bool {
        Pattern::new(Some(glob), None).unwrap().fits(key)
    }

    #[test]
    fn l1_globs_match_within_folders_and_across_them() {
        assert!(glob("*.tar", "a.tar") && !glob("*.tar", "b/a.tar") && !glob("*.tar", "a.tar.gz"));
        assert!(glob("**/*.tar", "a.tar") && glob("**/*.tar", "x/y/a.tar") && !glob("**/*.tar", "x/atar"));
        assert!(glob("x/**", "x/y/z") && !glob("x/**", "xy/z"));
        assert!(glob("a?c", "abc") && !glob("a?c", "a/c") && !glob("a?c", "ac"));
        assert!(
            glob("[a-c]1", "b1") && !glob("[!a-c]1", "b1") && glob("[!a-c]1", "d1") && !glob("[!a]1", "/1")
        );
        assert!(glob("[--/]x", ".x") && !glob("[--/]x", "0x") && glob("[a-]", "-") && glob("[&&~~]", "&"));
        assert!(glob("[]]x", "]x") && glob("[x", "[x") && glob("a+(b).$", "a+(b).$"));
        assert!(glob("{a,b*}.x", "a.x") && glob("{a,b*}.x", "bcd.x") && !glob("{a,b}.x", "c.x"));
        assert!(glob(r"\*", "*") && !glob(r"\*", "a") && glob("ä?", "äö"));
    }

    #[test]
    fn l1_regular_expressions_are_searched_and_refused_where_malformed() {
        let both = Pattern::new(Some("*.jpg"), Some("[0-9]{3}")).unwrap();
        assert!(both.fits("a123.jpg") && !both.fits("a12.jpg") && !both.fits("a123.png"));
        assert!(!Pattern::default().fits("folder/") && Pattern::default().fits("any/key"));
        assert_eq!(Pattern::new(None, Some("(")).unwrap_err().code(), Code::InvalidArgument);
    }
}
