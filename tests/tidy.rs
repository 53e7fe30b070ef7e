//! Holds the house's rules (docs/architecture.md): imports run downwards, `unsafe` stays where it is
//! allowed and is justified, nothing panics, files stay small.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file below `src/`: its path with `/`, and its lines without the tests at its end.
struct Source {
    path: String,
    lines: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").map(str::to_owned).collect();
        Source { path: path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), lines }
    };
    files.into_iter().map(read).collect()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// What the modules of a room may import from others with `crate::`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("base/", &["base", "error"]),
    ("error.rs", &[]),
    ("options.rs", &["base", "error"]),
    ("runtime.rs", &["base", "error"]),
    ("trace.rs", &["base", "error", "options", "runtime"]),
    ("metrics/", &["base", "error", "metrics", "runtime"]),
    (
        "oplog/replay.rs",
        &["base", "datagen", "error", "metrics", "oplog", "options", "runtime", "store", "transfer", "Code"],
    ),
    ("profile/", &["error", "profile", "runtime", "Code"]),
    ("oplog/", &["base", "error", "metrics", "options", "runtime", "oplog", "Code"]),
    ("net/", &["base", "error", "metrics", "options", "net", "Code"]),
    ("store/memory/", &["base", "error", "options", "runtime", "store::memory", "Code"]),
    ("store/posix/", &["base", "error", "options", "runtime", "store::posix", "Code"]),
    ("store/file/", &["base", "error", "options", "runtime", "store::file", "store::posix", "Code"]),
    ("store/direct/", &["base", "error", "options", "runtime", "store::direct", "store::posix", "Code"]),
    ("store/s3/", &["base", "error", "metrics", "net", "options", "runtime", "store::s3", "Code"]),
    ("store/azure/", &["base", "error", "net", "options", "runtime", "store::azure", "Code"]),
    ("store/", &["base", "error", "oplog", "options", "runtime", "store", "Code"]),
    ("transfer/", &["base", "error", "oplog", "options", "runtime", "store", "transfer", "Code"]),
    ("checkpoint/", &["base", "error", "options", "runtime", "store", "transfer", "checkpoint", "Code"]),
    ("formats/", &["base", "error", "formats", "Code"]),
    ("datagen/", &["base", "error", "formats", "runtime", "datagen", "Code"]),
    ("loader/", &["base", "error", "formats", "options", "runtime", "store", "transfer", "loader", "Code"]),
    ("queue/", &["base", "error", "runtime", "transfer", "queue", "Code"]),
    (
        "api.rs",
        &[
            "base",
            "checkpoint",
            "datagen",
            "error",
            "formats",
            "loader",
            "metrics",
            "oplog",
            "options",
            "profile",
            "runtime",
            "store",
            "trace",
            "transfer",
        ],
    ),
    // Its own modules; of the library it has the stable API.
    (
        "bin/s3dlio/",
        &[
            "app", "args", "cmd", "copy", "crc", "exit", "jobs", "latency", "output", "place", "progress",
            "range", "select", "signal", "template", "text", "tree",
        ],
    ),
    (
        "ffi/",
        &[
            "base",
            "checkpoint",
            "datagen",
            "error",
            "formats",
            "loader",
            "metrics",
            "oplog",
            "options",
            "profile",
            "runtime",
            "queue",
            "store",
            "transfer",
            "trace",
            "ffi",
            "Code",
        ],
    ),
    // Built for tests/fuzz only.
    ("fuzzing/", &["base", "checkpoint", "formats", "loader", "net", "oplog", "options", "store"]),
    ("lib.rs", &[]),
];

/// The backends: none of them may be named by another one.
const BACKENDS: &[&str] = &["memory", "posix", "file", "direct", "s3", "azure"];

/// The `crate::` paths that a line names: `crate::store::s3::x` gives `store::s3` and `store`.
fn imports(line: &str) -> Vec<Vec<String>> {
    let code = line.split("//").next().unwrap();
    let after = |at: usize| {
        let rest = &code[at + "crate::".len()..];
        let path: String =
            rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
        path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    code.match_indices("crate::").map(|(at, _)| after(at)).filter(|path| !path.is_empty()).collect()
}

#[test]
fn imports_run_downwards() {
    let mut wrong = Vec::new();
    for source in sources() {
        let (_, allowed) =
            MAY_IMPORT.iter().find(|(room, _)| source.path.starts_with(room)).unwrap_or_else(|| {
                panic!("{}: in which room of the house is this file? Add it to MAY_IMPORT", source.path)
            });
        for (number, line) in source.lines.iter().enumerate() {
            for path in imports(line) {
                let names_backend =
                    path.len() > 1 && path[0] == "store" && BACKENDS.contains(&path[1].as_str());
                let target = if names_backend { path[..2].join("::") } else { path[0].clone() };
                // ffi and the crate's root may name what a backend offers to everyone.
                let top = source.path.starts_with("ffi/") && names_backend;
                let macro_or_error = matches!(target.as_str(), "Result" | "Error");
                let general = target == "store" && source.path.starts_with("store/");
                if !allowed.contains(&target.as_str())
                    && !macro_or_error
                    && !general
                    && !top
                    && !(source.path == "store/registry.rs" || source.path == "store/mod.rs")
                {
                    wrong.push(format!("src/{}:{}: imports {}", source.path, number + 1, path.join("::")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the direction of the house:\n{}", wrong.join("\n"));
}

/// What `s3dlio::` names in the command's files.
#[test]
fn the_command_uses_the_stable_api_only() {
    let command: Vec<_> = sources().into_iter().filter(|s| s.path.starts_with("bin/")).collect();
    assert!(command.len() > 5, "the command's files are not found");
    for source in command {
        for line in source.lines.iter().filter(|line| !is_comment(line)) {
            let mut named = line.match_indices("s3dlio::").map(|(at, name)| &line[at + name.len()..]);
            assert!(named.all(|rest| rest.starts_with("api")), "src/{}: {line}", source.path);
        }
    }
}

#[test]
fn unsafe_stays_in_its_rooms_and_is_justified() {
    let allowed = |path: &str| {
        path.starts_with("ffi/")
            || path.ends_with("/sys.rs")
            || ["base/buffer.rs", "runtime.rs"].contains(&path)
    };
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in source.lines.iter().enumerate() {
            let code = line.split("//").next().unwrap();
            let block = code.contains("unsafe {") || code.contains("unsafe impl");
            let function = code.contains("unsafe fn") || code.contains("unsafe extern");
            if is_comment(line) || !(block || function) || code.contains("deny(unsafe") {
                continue;
            }
            let place = format!("src/{}:{}", source.path, number + 1);
            if !allowed(&source.path) {
                wrong.push(format!("{place}: unsafe is not allowed in this file"));
            }
            // The comment stands above the statement that the block is part of.
            let above = source.lines[number.saturating_sub(8)..=number].iter();
            if block && !above.into_iter().any(|line| line.contains("SAFETY:")) {
                wrong.push(format!("{place}: an unsafe block without a SAFETY: line"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_panics_on_purpose() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in source.lines.iter().enumerate() {
            let code = line.split("//").next().unwrap();
            let panics = [
                ".unwrap()",
                ".expect(",
                "panic!(",
                "todo!(",
                "unimplemented!(",
                "unreachable!(",
                "println!(",
                "dbg!(",
            ];
            let hit = panics.iter().find(|text| code.contains(**text));
            let hook = source.path == "ffi/guard.rs" && code.contains("panic!("); // the deliberate one of the tests
            if let Some(text) = hit.filter(|_| !hook) {
                wrong.push(format!("src/{}:{}: {text}", source.path, number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_small() {
    let large: Vec<_> = sources().into_iter().filter(|s| s.lines.len() > 700).map(|s| s.path).collect();
    assert!(large.is_empty(), "more than 700 lines without tests: {large:?}");
}

#[test]
fn http_stays_in_its_rooms() {
    let crates = ["reqwest::", "hyper::", "aws_smithy_http_client", "rustls::"];
    let allowed = |path: &str| {
        path.starts_with("net/") || path.starts_with("store/s3/") || path.starts_with("store/azure/")
    };
    for source in sources().iter().filter(|source| !allowed(&source.path)) {
        for line in source.lines.iter().filter(|line| !is_comment(line)) {
            assert!(!crates.iter().any(|name| line.contains(name)), "src/{}: {line}", source.path);
        }
    }
}

#[test]
fn every_option_is_read_somewhere() {
    let table =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/options.rs")).unwrap();
    let names = table.lines().filter_map(|line| line.split_once(" = \"")).map(|(name, _)| name);
    let names: Vec<_> = names
        .filter(|name| name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'))
        .collect();
    assert!(names.len() >= s3dlio::options::TABLE.len(), "the table's rows are not found: {names:?}");
    let code: String =
        sources().into_iter().filter(|s| s.path != "options.rs").flat_map(|s| s.lines).collect();
    let unread: Vec<_> = names.into_iter().filter(|name| !code.contains(name)).collect();
    assert!(unread.is_empty(), "options that nothing reads: {unread:?}");
}
