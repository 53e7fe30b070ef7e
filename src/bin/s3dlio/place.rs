//! URIs and paths as they are given on the command line, and which keys below them are meant.

use clap::{Arg, ArgMatches};
use s3dlio::api::advanced::{Pattern, Uri};
use s3dlio::api::{Code, Error, Result};
use std::path::Path;

/// What an argument names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub uri: Uri,
    /// A slash at the end: a folder and nothing else.
    pub folder: bool,
}

impl Place {
    /// A URI, or a path on this machine.
    pub fn parse(text: &str) -> Result<Place> {
        if text == "-" {
            let error = Error::new(Code::InvalidUri, "\"-\" is neither a URI nor a path");
            return Err(error.with_hint(
                "`s3dlio put --stdin URI` stores standard input, `s3dlio cat URI` writes to standard output, and \
                 ./- is a file of this name",
            ));
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme);
        if !text.contains("://") && ["s3", "az", "file", "direct", "memory"].map(Some).contains(&scheme) {
            let error = Error::new(Code::InvalidUri, format!("{text:?} is neither a URI nor a path"));
            return Err(
                error.with_hint("a URI has two slashes after the colon; ./ begins the name of a file")
            );
        }
        let uri = match text.contains("://") {
            true => Uri::parse(text)?,
            false => Uri::parse(&format!("file://{}", absolute(text)?))?,
        };
        // The root of a bucket, an account or a file system holds objects, and is none.
        let folder = uri.path().is_empty() || uri.path().ends_with('/');
        Ok(Place { uri, folder })
    }

    /// The root of the store of all that is below.
    pub fn root(&self) -> Uri {
        self.uri.to_root()
    }

    /// The last name of the path; of a bucket's root the bucket's.
    pub fn name(&self) -> &str {
        let path = self.uri.path().trim_end_matches('/');
        match path {
            "" => self.uri.container(),
            path => path.rsplit_once('/').map_or(path, |(_, name)| name),
        }
    }

    pub fn is_local(&self) -> bool {
        self.uri.scheme().is_local_path()
    }
}

fn absolute(path: &str) -> Result<String> {
    let wrong = |why: String| Error::new(Code::InvalidUri, why).with_context("open", path);
    let absolute = std::path::absolute(Path::new(path))
        .map_err(|e| wrong(format!("{path:?} is neither a URI nor a path")).with_source(&e))?;
    let text = absolute.to_str().ok_or_else(|| wrong("the working folder's name is not UTF-8".into()))?;
    // These name folders without a slash, too.
    let folder = matches!(path.rsplit('/').next(), Some("" | "." | ".."));
    let slash = folder && !text.ends_with('/');
    Ok(if slash { format!("{text}/") } else { text.to_owned() })
}

/// The arguments that choose keys.
pub fn pattern_args() -> [Arg; 2] {
    [
        Arg::new("regex")
            .long("regex")
            .short('e')
            .value_name("RE")
            .help("Only keys (relative to the URI) in which this regular expression is found; implies -r"),
        Arg::new("glob")
            .long("glob")
            .short('g')
            .value_name("GLOB")
            .help("Only keys (relative to the URI) that this glob matches: * ? [] {a,b} and **; implies -r"),
    ]
}

/// The pattern that the arguments give, if any.
pub fn pattern(given: &ArgMatches) -> Result<Option<Pattern>> {
    let text = |name| given.get_one::<String>(name).map(String::as_str);
    match (text("glob"), text("regex")) {
        (None, None) => Ok(None),
        (glob, regex) => Pattern::new(glob, regex).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_places_are_uris_or_paths() {
        let parse = |text: &str| {
            let place = Place::parse(text).unwrap();
            (place.uri.to_string(), place.folder, place.name().to_owned())
        };
        assert_eq!(parse("s3://b/a/c"), ("s3://b/a/c".into(), false, "c".into()));
        assert_eq!(parse("s3://b/a/"), ("s3://b/a/".into(), true, "a".into()));
        assert_eq!(parse("s3://b"), ("s3://b".into(), true, "b".into()));
        assert_eq!(parse("/tmp/x"), ("file:///tmp/x".into(), false, "x".into()));
        assert_eq!(parse("/tmp/x/"), ("file:///tmp/x/".into(), true, "x".into()));
        assert!([".", "..", "a/..", "../", "a/."].iter().all(|path| parse(path).1));
        assert!(!parse("..a").1 && !parse("a..").1);
        assert!(parse("a b#?%").0.ends_with("/a b#?%"));
        assert!(parse("./-").0.ends_with("/-") && parse("./s3:/b").0.ends_with("/s3:/b"));
        assert!(parse("a:b").0.ends_with("/a:b"));
        for text in ["gs://b/k", "-", "", "s3:", "s3:/b/k", "az:x", "file:/tmp"] {
            assert_eq!(Place::parse(text).unwrap_err().code(), Code::InvalidUri, "{text:?}");
        }
    }
}
