//! What tests/fuzz feeds with bytes that nobody chose. Built only there, with `--cfg fuzzing`. Each target
//! checks more than that nothing crashes: what is accepted must read the same however it comes.

mod formats;
mod pattern;
mod sys;

use crate::base::uri::Uri;
use crate::checkpoint;
use crate::loader;
use crate::net::proxy::Proxies;
use crate::net::{Chunked, Endpoint, Framing, Head, Method, content_range, find_end};
use crate::options::{Kind, Options, TABLE};
use crate::store::{azure, s3, store_for_uri};

/// Splits off what a target is steered by.
fn steer(data: &[u8]) -> (usize, &[u8]) {
    match data.split_first() {
        Some((first, rest)) => (usize::from(*first), rest),
        None => (0, data),
    }
}

/// The head of an answer, whole and as it comes.
fn head(data: &[u8]) {
    let (steer, data) = steer(data);
    let step = steer / 4 + 1;
    let whole = find_end(data, 0);
    let (mut from, mut found) = (0, Ok(None));
    while from < data.len() && matches!(found, Ok(None)) {
        let seen = data.len().min(from + step);
        found = find_end(&data[..seen], from);
        from = seen;
    }
    // Errors show what was there, which differs.
    assert_eq!(whole.clone().ok(), found.ok(), "the end is elsewhere where the head comes in pieces");
    let Ok(Some(end)) = whole else { return };
    let head = &data[..end];
    let method = [Method::Get, Method::Head, Method::Put, Method::Post][steer % 4];
    let mut parsed = Head::default();
    let Ok(framing) = parsed.parse(head, method) else { return };
    let named = |name: &str| {
        let is = |known: &[u8]| known.eq_ignore_ascii_case(name.as_bytes());
        parsed.headers(head).filter(|(known, _)| is(known)).map(|(_, value)| value).collect::<Vec<_>>()
    };
    let (lengths, codings) = (named("content-length"), named("transfer-encoding"));
    assert!(lengths.len() <= 1 && codings.len() <= 1, "two readings: {lengths:?} {codings:?}");
    assert!(parsed.status() >= 100 && parsed.header(head, "content-length") == lengths.first().copied());
    let bodiless = method == Method::Head || parsed.is_interim() || matches!(parsed.status(), 204 | 304);
    let length = lengths.first().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    match framing {
        Framing::Length(n) => assert!(bodiless && n == 0 || length == Some(n) && codings.is_empty()),
        Framing::Chunked => assert!(codings.len() == 1 && lengths.is_empty() && !bodiless),
        Framing::UntilClose => assert!(codings.is_empty() && lengths.is_empty() && !parsed.keep_alive()),
    }
    let again = Head::default().parse(head, method);
    assert_eq!(again, Ok(framing));
}

/// A chunked body: at once, in pieces, and past the decoder.
fn chunked(data: &[u8]) {
    let (steer, data) = steer(data);
    let mut whole = Chunked::default();
    let mut wanted = vec![0; data.len()];
    let decoded = whole.decode(data, &mut wanted);
    let (cut, room) = (steer % 16 + 1, steer / 16 + 1);
    let (mut pieces, mut got, mut at) = (Chunked::default(), Vec::new(), 0);
    let mut failed = false;
    while at < data.len() && !pieces.is_done() && !failed {
        let ahead = usize::try_from(pieces.data_ahead()).unwrap_or(usize::MAX).min(data.len() - at).min(room);
        if steer % 2 == 1 && ahead > 0 {
            got.extend_from_slice(&data[at..at + ahead]);
            pieces.took(ahead);
            at += ahead;
            continue;
        }
        let mut out = vec![0; room];
        match pieces.decode(&data[at..data.len().min(at + cut)], &mut out) {
            Ok(step) => {
                assert!(step.consumed > 0 && step.produced <= room, "the decoder does not move on: {step:?}");
                got.extend_from_slice(&out[..step.produced]);
                at += step.consumed;
            }
            Err(_) => failed = true,
        }
    }
    assert_eq!(failed, decoded.is_err(), "the body is read differently in pieces");
    if let Ok(step) = decoded {
        assert!(got == wanted[..step.produced] && at == step.consumed, "other bytes in pieces");
        assert_eq!(pieces.is_done(), whole.is_done());
    }
}

/// `Content-Range`, of both services.
fn range(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let digits = |number: &str| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    if content_range(text).is_some() {
        let numbers = text.strip_prefix("bytes ").map(|rest| rest.split(['-', '/']).collect::<Vec<_>>());
        assert!(numbers.is_some_and(|n| n.len() == 3 && n.into_iter().all(digits)), "accepted: {text:?}");
    }
    if let Some((first, last, size)) = s3::fuzzing::content_range(text) {
        assert!(first <= last && last < size, "{text:?}");
        assert_eq!(azure::fuzzing::content_range(text), Some((first, last + 1, size)), "{text:?}");
    }
    if let Some((start, end, size)) = azure::fuzzing::content_range(text) {
        assert!(start <= end && end <= size, "{text:?}");
    }
}

/// Listings and reports of errors.
fn xml(data: &[u8]) {
    azure::fuzzing::listing(data, "");
    azure::fuzzing::listing(data, "run/");
    s3::fuzzing::report(data);
}

/// URIs of objects, endpoints and proxies.
fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(uri) = Uri::parse(text) {
        let shown = uri.to_string();
        assert_eq!(Uri::parse(&shown).as_ref().ok(), Some(&uri), "{text:?} was read as {shown:?}");
        let root = uri.to_root();
        assert_eq!(root.to_root(), root);
        assert_eq!(Uri::parse(&root.to_string()).ok(), Some(root.clone()), "{text:?}");
        if let Ok((root, key)) = uri.split_object() {
            assert!(!key.is_empty());
            let joined = root.join(&key).to_string();
            // In a path slashes that follow each other are one.
            let same = |text: &str| match uri.scheme().is_local_path() {
                true => text.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"),
                false => text.to_owned(),
            };
            assert_eq!(same(&joined), same(&shown), "{text:?}");
        }
    }
    if let Ok((endpoint, _)) = Endpoint::parse(text) {
        let shown = format!("{}://{}", endpoint.scheme().name(), endpoint.authority());
        let again = Endpoint::parse(&shown).map(|(again, rest)| {
            assert!(rest.is_empty(), "{text:?}: {rest:?} is left");
            (again.host().to_owned(), again.port(), again.is_tls())
        });
        let wanted = (endpoint.host().to_owned(), endpoint.port(), endpoint.is_tls());
        assert_eq!(again.ok(), Some(wanted), "{text:?} was read as {shown:?}");
        let proxies = Proxies::from(|name| (!name.eq_ignore_ascii_case("no_proxy")).then(|| text.to_owned()));
        let _ = proxies.to(&endpoint);
        let spared = Proxies::from(|_| Some(text.to_owned()));
        let _ = spared.to(&endpoint);
    }
}

/// Lines of `key=value`, and a store of every kind opened with them; nothing shows a secret.
fn options(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut options = Options::new();
    let mut secrets = Vec::new();
    // What is set on options that are no secrets: it may be the same text, and may be shown.
    let mut open = Vec::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        // A digit may stand for a key: the table is long.
        let number = key.parse::<usize>().ok().and_then(|at| TABLE.get(at));
        let def = number.or_else(|| TABLE.iter().find(|def| def.key == key));
        let key = def.map_or(key, |def| def.key);
        if def.is_none_or(|def| def.kind != Kind::Secret) {
            open.push(line);
        }
        let set = options.set(key, value);
        assert!(def.is_some() || set.is_err(), "the unknown option {key:?} was taken");
        let Some(def) = def else { continue };
        let secret =
            def.kind == Kind::Secret && value.len() >= 12 && value.bytes().all(|b| b.is_ascii_lowercase());
        if secret {
            secrets.push(value);
        }
        match set {
            Ok(()) => {
                let shown = options.get(key).ok();
                let again =
                    shown.filter(|_| def.kind != Kind::Secret).map(|shown| options.set(key, &shown).is_ok());
                assert_ne!(again, Some(false), "{key} does not take its own value");
            }
            Err(error) => {
                assert!(!secret || !error.to_string().contains(value), "the error shows {key}");
            }
        }
    }
    let mut shown = format!("{options:?} {:?}", options.resolve());
    // Only those that the options are about: opening takes its time.
    let about =
        |names: &[&str]| options.explicit().any(|(key, _)| names.iter().any(|name| key.starts_with(name)));
    for (uri, names) in [
        ("memory://fuzz", &["memory.", "transfer.", "writer.", "reader."][..]),
        ("file:///fuzz", &["file."]),
        ("direct:///fuzz", &["direct."]),
        ("s3://fuzz/root", &["s3.", "net."]),
        ("az://fuzz/box/root", &["azure.", "net."]),
    ] {
        if let Some(error) = about(names).then(|| store_for_uri(uri, &options).err()).flatten() {
            assert_eq!(error.uri(), Some(uri), "{error}");
            shown.push_str(&format!("{error} {error:?}"));
        }
    }
    for secret in secrets {
        let elsewhere =
            open.iter().any(|line| line.contains(secret)) || TABLE.iter().any(|d| d.doc.contains(secret));
        assert!(elsewhere || !shown.contains(secret), "a secret is shown: {shown}");
    }
}

/// A log of operations: row by row, whole, and as JSON lines.
fn oplog(data: &[u8]) {
    use crate::oplog::{Reader, Record, json};
    if let Some(record) = std::str::from_utf8(data).ok().and_then(|line| Record::parse_line(line).ok()) {
        round_trip(&record);
    }
    // As the rest of a log, so that the first line need not be found.
    let headed = [crate::oplog::HEADER.as_bytes(), b"\n", data].concat();
    for log in [data.to_vec(), headed] {
        let Ok(reader) = Reader::new(std::io::Cursor::new(log)) else { continue };
        for record in reader.take(1000).flatten() {
            round_trip(&record);
        }
    }

    fn round_trip(record: &Record) {
        assert!(record.start <= record.end);
        let mut line = Vec::new();
        record.write_line(&mut line);
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(line.matches('\n').count() == 1 && line.split('\t').count() == 13, "not one row: {line:?}");
        assert!(!line.contains('"'), "readers of CSV take a quote for more: {line:?}");
        assert_eq!(Record::parse_line(&line).ok().as_ref(), Some(record), "{line:?}");
        let mut text = String::new();
        json::write(record, &mut text);
        assert_eq!(json::parse(&text).ok().as_ref(), Some(record), "{text:?}");
    }
}

/// Patterns of keys.
fn pattern(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        pattern::pattern(text);
    }
}

/// Positions of loaders.
fn loader_state(data: &[u8]) {
    loader::fuzzing::state(data);
}

/// Lists of objects for loaders.
fn loader_manifest(data: &[u8]) {
    loader::fuzzing::manifest(data);
}

/// A checkpoint's manifest.
fn manifest(data: &[u8]) {
    checkpoint::fuzzing::manifest(data);
}

/// The header of a safetensors file.
fn safetensors(data: &[u8]) {
    checkpoint::fuzzing::safetensors(data);
}

/// TFRecord files and their indexes.
fn tfrecord(data: &[u8]) {
    formats::tfrecord(data);
}

/// tar archives.
fn tar(data: &[u8]) {
    formats::tar(data);
}

/// NPY files.
fn npy(data: &[u8]) {
    formats::npy(data);
}

/// NPZ files.
fn npz(data: &[u8]) {
    formats::npz(data);
}

/// HDF5 files.
fn hdf5(data: &[u8]) {
    formats::hdf5(data);
}

/// A defect on purpose: that it is found says that the fuzzer sees the inside of the library.
fn planted(data: &[u8]) {
    let is = |at: usize, byte: u8| data.get(at) == Some(&byte);
    assert!(!(is(0, b'l') && is(1, b'i') && is(2, b'b') && is(3, b's') && is(4, b'3')), "planted");
}
