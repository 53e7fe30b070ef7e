//! URIs of stores and objects (SPEC S1). Paths are taken literally: nothing is percent-decoded, so
//! `s3://b/a%20b?c#d` names the key `a%20b?c#d`.

use super::redact::redact;
use crate::error::{Code, Error, Result};
use std::fmt;

/// The backend that a URI names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    S3,
    Azure,
    File,
    Direct,
    Memory,
}

impl Scheme {
    pub const ALL: [Scheme; 5] = [Scheme::S3, Scheme::Azure, Scheme::File, Scheme::Direct, Scheme::Memory];

    pub fn name(self) -> &'static str {
        match self {
            Scheme::S3 => "s3",
            Scheme::Azure => "az",
            Scheme::File => "file",
            Scheme::Direct => "direct",
            Scheme::Memory => "memory",
        }
    }

    /// Whether paths are those of the local file system.
    pub fn is_local_path(self) -> bool {
        matches!(self, Scheme::File | Scheme::Direct)
    }
}

/// A parsed URI: `s3://container/path`, `az://account/container/path`, `file:///path`,
/// `direct:///path`, `memory://container/path`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    scheme: Scheme,
    account: String,
    container: String,
    path: String,
}

impl Uri {
    /// Parses; the container may be missing (`s3://`), for listing containers only.
    pub fn parse(text: &str) -> Result<Uri> {
        let bad = |why: String| {
            let error =
                Error::new(Code::InvalidUri, why).with_context("open", redact(&redact_userinfo(text)));
            error.with_hint(match text.contains("sig=") {
                true => "write az://account/container/key, and put the query of a SAS URL into azure.sas_token",
                false => "write s3://bucket/key, az://account/container/key, file:///path, direct:///path or memory://name/key",
            })
        };
        if text.contains('\0') {
            return Err(bad("the URI contains a NUL byte".into()));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(bad("the URI has no scheme (nothing before ://)".into()));
        };
        let Some(scheme) = Scheme::ALL.into_iter().find(|s| s.name() == scheme) else {
            return Err(bad(format!("unknown scheme {scheme:?}; expected s3, az, file, direct or memory")));
        };
        if scheme.is_local_path() {
            if !rest.starts_with('/') {
                return Err(bad(format!(
                    "the path must be absolute: three slashes after {}:",
                    scheme.name()
                )));
            }
            let (account, container) = (String::new(), String::new());
            return Ok(Uri { scheme, account, container, path: rest.to_owned() });
        }
        let (account, rest) = match scheme {
            Scheme::Azure => rest.split_once('/').unwrap_or((rest, "")),
            _ => ("", rest),
        };
        let (container, path) = rest.split_once('/').unwrap_or((rest, ""));
        if scheme == Scheme::Azure && account.is_empty() {
            return Err(bad("the storage account is missing after az://".into()));
        }
        if container.is_empty() && (!path.is_empty() || scheme == Scheme::Memory) {
            return Err(bad("the bucket or container name is missing".into()));
        }
        for name in [account, container] {
            let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'$');
            if !name.bytes().all(legal) {
                return Err(bad("the bucket, account or container name has an illegal character; \
                                letters, digits and - . _ are allowed"
                    .into()));
            }
        }
        let (account, container) = (account.to_owned(), container.to_owned());
        Ok(Uri { scheme, account, container, path: path.to_owned() })
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
    /// The Azure storage account; empty for every other scheme.
    pub fn account(&self) -> &str {
        &self.account
    }
    /// Bucket, Azure container or memory store; empty for local paths.
    pub fn container(&self) -> &str {
        &self.container
    }
    /// Key or key prefix without leading slash; for local paths the absolute path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same place as a store's root: without the slashes at the end.
    pub fn to_root(&self) -> Uri {
        let path = self.path.trim_end_matches('/');
        let path = if path.is_empty() && self.scheme.is_local_path() { "/" } else { path };
        Uri { path: path.to_owned(), ..self.clone() }
    }

    /// The prefix that every full key below this root starts with: empty, or ending in a slash.
    pub fn key_prefix(&self) -> String {
        let path = self.path.trim_end_matches('/');
        if path.is_empty() { String::new() } else { format!("{path}/") }
    }

    /// The URI of the container `name` beside this one; for paths, of the folder beside this one.
    pub fn sibling(&self, name: &str) -> Uri {
        if self.scheme.is_local_path() {
            let path = self.path.trim_end_matches('/');
            let parent = path.rfind('/').map_or("", |at| &path[..at]);
            return Uri { path: format!("{parent}/{name}"), ..self.clone() };
        }
        Uri { container: name.to_owned(), path: String::new(), ..self.clone() }
    }

    /// The URI of the object `key` below this root.
    pub fn join(&self, key: &str) -> Uri {
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            path if path.ends_with('/') => format!("{path}{key}"),
            path => format!("{path}/{key}"),
        };
        Uri { path, ..self.clone() }
    }

    /// Splits the URI of an object into a store's root and the key below it: the container, and for
    /// local paths the folder, so that nothing above that folder is ever touched.
    pub fn split_object(&self) -> Result<(Uri, String)> {
        let missing = || {
            Error::new(Code::InvalidUri, "the URI names no object: the key is missing")
                .with_context("open", self)
        };
        let (root, key) = match self.scheme.is_local_path() {
            true => self.path.rsplit_once('/').unwrap_or(("", &self.path)),
            false => ("", self.path.as_str()),
        };
        if key.is_empty() || self.container.is_empty() && !self.scheme.is_local_path() {
            return Err(missing());
        }
        Ok((Uri { path: root.to_owned(), ..self.clone() }.to_root(), key.to_owned()))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.name())?;
        if self.scheme == Scheme::Azure {
            write!(f, "{}/", self.account)?;
        }
        f.write_str(&self.container)?;
        if !self.scheme.is_local_path() && !self.path.is_empty() {
            f.write_str("/")?;
        }
        f.write_str(&self.path)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What may be shown of text that may have no scheme: `user:password@` is masked.
fn redact_userinfo(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let authority_end = text[start..].find('/').map_or(text.len(), |at| start + at);
    match text[start..authority_end].rfind('@') {
        Some(at) => format!("{}***{}", &text[..start], &text[start + at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_parses_and_prints_every_scheme() {
        let texts = [
            "s3://bucket",
            "s3://bucket/a%20b?c#d+e/",
            "az://account/container/key",
            "file:///data/run1",
            "direct:///",
            "memory://name/key",
            "s3://",
            "az://account/",
        ];
        for text in texts {
            assert_eq!(Uri::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn s1_refuses_what_is_malformed() {
        let texts = [
            "",
            "bucket/key",
            "gs://b/k",
            "s3:/b",
            "file://relative",
            "az://",
            "memory://",
            "s3:///key",
            "s3://bu cket/k",
            "s3://a\0b",
            "://x",
        ];
        for text in texts {
            assert_eq!(Uri::parse(text).unwrap_err().code(), Code::InvalidUri, "{text:?}");
        }
    }

    #[test]
    fn s3_password_in_a_malformed_uri_is_masked() {
        for text in [
            "s3://user:canary@host/key",
            "user:canary@host/key",
            "https://a.b/c/k?se=1&sig=canary",
            "az://a/c?sig=canary",
        ] {
            let shown = Uri::parse(text).unwrap_err().to_string();
            assert!(!shown.contains("canary"), "{shown}");
            assert_eq!(shown.contains("azure.sas_token"), text.contains("sig="), "{shown}");
        }
    }

    #[test]
    fn join_and_split() {
        let root = Uri::parse("s3://b/run1/").unwrap().to_root();
        assert_eq!(root.to_string(), "s3://b/run1");
        assert_eq!(root.key_prefix(), "run1/");
        assert_eq!(root.join("x/y").to_string(), "s3://b/run1/x/y");
        let siblings = ["s3://b/run1", "az://acct/b/x", "file:///data/run1", "file:///"]
            .map(|uri| Uri::parse(uri).unwrap().sibling("c").to_string());
        assert_eq!(siblings, ["s3://c", "az://acct/c", "file:///data/c", "file:///c"]);
        let splits = [
            ("file:///data/x", "file:///data", "x"),
            ("direct:///x", "direct:///", "x"),
            ("s3://b/data/x", "s3://b", "data/x"),
        ];
        for (uri, root, key) in splits {
            let parts = Uri::parse(uri).unwrap().split_object().unwrap();
            assert_eq!((parts.0.to_string().as_str(), parts.1.as_str()), (root, key));
            assert_eq!(parts.0.join(key).to_string(), uri);
        }
        for uri in ["file:///data/", "file:///", "s3://b", "s3://b/"] {
            assert_eq!(
                Uri::parse(uri).unwrap().split_object().unwrap_err().code(),
                Code::InvalidUri,
                "{uri}"
            );
        }
    }
}
