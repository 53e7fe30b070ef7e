//! Names of numbered objects: `{}` is the number, `{:06}` the number with at least six digits; `{{` is a brace.

use s3dlio::api::{Code, Error, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// At least so many digits.
    Number(usize),
}

impl Template {
    pub fn parse(text: &str) -> Result<Template> {
        let wrong = || {
            let message =
                format!("{text:?} is no template; expected names with {{}} or {{:06}} for the number");
            Error::new(Code::InvalidArgument, message)
        };
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '{' if rest.as_str().starts_with('{') => {
                    rest.next();
                    plain.push('{');
                }
                '}' if rest.as_str().starts_with('}') => {
                    rest.next();
                    plain.push('}');
                }
                '{' => {
                    let (inner, after) = rest.as_str().split_once('}').ok_or_else(wrong)?;
                    let digits = inner.strip_prefix(':').unwrap_or(inner);
                    let width = match digits {
                        "" => 1,
                        digits => digits.parse().ok().filter(|width| *width <= 32).ok_or_else(wrong)?,
                    };
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Number(width));
                    rest = after.chars();
                }
                '}' => return Err(wrong()),
                c => plain.push(c),
            }
        }
        pieces.push(Piece::Text(plain));
        Ok(Template(pieces))
    }

    /// Whether names differ.
    pub fn counts(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Number(_)))
    }

    pub fn name(&self, number: u64) -> String {
        let mut name = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Number(width) => name.push_str(&format!("{number:0width$}")),
            }
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_templates_name_objects_by_number() {
        let name = |text: &str| Template::parse(text).unwrap().name(42);
        assert_eq!(name("train/{:06}.npz"), "train/000042.npz");
        assert_eq!(name("{}-{:3}-{{}}"), "42-042-{}");
        assert!(!Template::parse("same").unwrap().counts() && Template::parse("{}").unwrap().counts());
        // Of all short texts, those that are taken give names that tell numbers apart where they count.
        let letters = ['{', '}', ':', '0', '3', 'a', '/', 'é'];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            let longer = |text: &String| letters.map(|letter| format!("{text}{letter}"));
            texts = texts.iter().flat_map(longer).collect();
            for template in texts.iter().filter_map(|text| Template::parse(text).ok()) {
                assert_eq!(template.counts(), template.name(1) != template.name(20));
            }
        }
        for text in ["{", "a}", "{:x}", "{:99}", "{name}"] {
            assert_eq!(Template::parse(text).unwrap_err().code(), Code::InvalidArgument, "{text}");
        }
    }
}
