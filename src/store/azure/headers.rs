//! Header lines in one piece of memory: of a request as of an answer, whatever carries them.

use std::fmt;

#[derive(Clone, Default)]
pub(super) struct Headers {
    text: String,
    /// Where each name begins, where its value begins, where that ends.
    spans: Vec<(usize, usize, usize)>,
}

impl Headers {
    /// The first value of this name, in any case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn push(&mut self, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        self.spans.push((start, middle, self.text.len()));
    }

    /// Name and value of each, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spans.iter().map(|&(start, middle, end)| (&self.text[start..middle], &self.text[middle..end]))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(all: I) -> Self {
        let mut headers = Headers { text: String::with_capacity(512), spans: Vec::with_capacity(16) };
        all.into_iter().for_each(|(name, value)| headers.push(name, value));
        headers
    }
}

impl fmt::Debug for Headers {
    /// Names only: values may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_the_first_counts() {
        let headers: Headers = [("ETag", "\"1\""), ("x-ms-meta-a", ""), ("etag", "2")].into_iter().collect();
        assert_eq!(headers.get("etag"), Some("\"1\""));
        assert_eq!(headers.get("X-MS-Meta-A"), Some(""));
        assert_eq!(headers.get("x-ms-meta"), None);
        assert_eq!(headers.iter().count(), 3);
        assert!(!format!("{headers:?}").contains("\\\"1"));
    }
}
