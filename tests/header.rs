//! `include/s3dlio.h` is what the sources say, and the shared library exports exactly its functions.
//! `S3DLIO_BLESS=1 cargo test --test header` writes the header anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// The files of `src/ffi` that make a section of the header, in its order.
const SECTIONS: &[&str] = &[
    "types",
    "library",
    "log",
    "oplog",
    "profile",
    "error",
    "buffer",
    "options",
    "store",
    "get",
    "many",
    "lister",
    "reader",
    "writer",
    "oneshot",
    "queue",
    "submit",
    "dataset",
    "batch",
    "loader",
    "datagen",
    "formats",
    "world",
    "tensor",
    "checkpoint_writer",
    "checkpoint_shard",
    "checkpoint",
    "checkpoint_manage",
    "checkpoint_submit",
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A comment block of these lines.
fn comment(text: &str) -> String {
    let mut out = String::from("/*\n");
    for line in text.lines() {
        let _ = writeln!(out, " *{}{line}", if line.is_empty() { "" } else { " " });
    }
    out + " */\n"
}

fn versions() -> String {
    let [major, minor, patch] = ["MAJOR", "MINOR", "PATCH"].map(|part| {
        let text = match part {
            "MAJOR" => env!("CARGO_PKG_VERSION_MAJOR"),
            "MINOR" => env!("CARGO_PKG_VERSION_MINOR"),
            _ => env!("CARGO_PKG_VERSION_PATCH"),
        };
        text.parse::<u32>().unwrap()
    });
    let abi = if major == 0 { minor << 16 } else { major << 16 | minor };
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "/** The version of this header. */\n\
         #define S3DLIO_VERSION_MAJOR {major}\n#define S3DLIO_VERSION_MINOR {minor}\n\
         #define S3DLIO_VERSION_PATCH {patch}\n#define S3DLIO_VERSION_STRING \"{version}\"\n\n\
         /** The ABI version of this header, see s3dlio_abi_version. */\n\
         #define S3DLIO_ABI_VERSION {abi:#010x}u\n"
    )
}

fn statuses() -> String {
    let mut out = String::new();
    for code in s3dlio::Code::ALL {
        let name = code.name().to_uppercase();
        let _ = write!(out, "\n/** {} */\n#define S3DLIO_ERR_{name} ({})\n", code.doc(), *code as i32);
    }
    out
}

/// One file's manual text, types and functions.
fn section(name: &str, config: &cbindgen::Config) -> String {
    let path = format!("src/ffi/{name}.rs");
    let source = read(&path);
    let text: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let text: Vec<String> = indented(text.into_iter().map(|line| line.strip_prefix(' ').unwrap_or(line)));
    let rule = "=".repeat(98);
    let mut out = String::from("\n");
    out += &comment(&format!("{rule}\n{}", text.join("\n")));
    let mut items = Vec::new();
    let mut config = config.clone();
    // Only C's types: what handles stand for inside is no business of the header's.
    let types = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub struct "))
        .filter(|name| name.starts_with("s3dlio_"));
    config.export.include = types
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().into())
        .collect();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(repository().join(&path))
        .generate()
        .unwrap()
        .write(&mut items);
    out += "\n";
    out += tidied(&String::from_utf8(items).unwrap()).trim();
    out + "\n"
}

/// Code by its indentation instead of fences, which only rustdoc needs.
fn indented<'a>(text: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut inside = false;
    text.filter_map(|line| match line.starts_with("```") {
        true => {
            inside = !inside;
            None
        }
        false => Some(if inside && !line.is_empty() { format!("    {line}") } else { line.to_owned() }),
    })
    .collect()
}

/// Comments of one line on one line, and types by their typedef names.
fn tidied(items: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in items.lines() {
        let line =
            if line.starts_with("typedef") { line.into() } else { line.replace("struct s3dlio_", "s3dlio_") };
        let n = lines.len();
        if line.trim() == "*/" && n >= 2 && lines[n - 2].trim() == "/**" {
            let text = lines[n - 1].trim().trim_start_matches('*').trim().to_owned();
            let indent = lines[n - 2].split("/**").next().unwrap().to_owned();
            lines.truncate(n - 2);
            lines.push(format!("{indent}/** {text} */"));
        } else {
            lines.push(line);
        }
    }
    lines.join("\n")
}

fn header() -> String {
    let config = cbindgen::Config::from_file(repository().join("cbindgen.toml")).unwrap();
    let mut out = comment(&format!(
        "s3dlio.h - the C interface of libs3dlio {}\n\nCopyright the libs3dlio contributors. \
         Licence: Apache-2.0.\nGenerated from src/ffi: see CONTRIBUTING.md.\n\n{}",
        env!("CARGO_PKG_VERSION"),
        read("src/ffi/manual.txt").trim_end()
    ));
    out += "\n#ifndef S3DLIO_H\n#define S3DLIO_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n";
    out += "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
    out += &versions();
    out += &statuses();
    for name in SECTIONS {
        out += &section(name, &config);
    }
    out + "\n#ifdef __cplusplus\n}\n#endif\n\n#endif /* S3DLIO_H */\n"
}

#[test]
fn header_is_what_the_sources_say() {
    let (expected, path) = (header(), repository().join("include/s3dlio.h"));
    if std::env::var_os("S3DLIO_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    if let Some((at, (new, old))) =
        expected.lines().zip(committed.lines()).enumerate().find(|(_, (new, old))| new != old)
    {
        panic!(
            "include/s3dlio.h, line {}: is {old:?}, should be {new:?}; run S3DLIO_BLESS=1 cargo test --test header",
            at + 1
        );
    }
    assert!(expected == committed, "include/s3dlio.h is too short or too long");
}

/// The functions that the header declares: `s3dlio_x(` outside of comments.
fn declared() -> BTreeSet<String> {
    let (text, mut names, mut inside) = (read("include/s3dlio.h"), BTreeSet::new(), false);
    for line in text.lines() {
        inside = inside || line.trim_start().starts_with("/*");
        if !inside && let Some((before, _)) = line.split_once('(') {
            let word = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            names.extend(word.starts_with("s3dlio_").then(|| word.to_owned()));
        }
        inside = inside && !line.trim_end().ends_with("*/");
    }
    names
}

#[test]
#[cfg(target_os = "linux")]
fn shared_library_exports_the_headers_functions() {
    let library = std::env::current_exe().unwrap().parent().unwrap().join("libs3dlio.so");
    let run = |tool: &str, arguments: &[&str]| {
        let output = Command::new(tool).args(arguments).arg(&library).output().unwrap();
        assert!(output.status.success(), "{tool} on {} (cargo build makes it)", library.display());
        String::from_utf8(output.stdout).unwrap()
    };
    let symbols = run("nm", &["-D", "--defined-only"]);
    let exported: BTreeSet<String> =
        symbols.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect();
    let declared = declared();
    assert!(declared.len() > 80, "the header's functions are not found: {declared:?}");
    assert_eq!(exported, declared, "left: exported, right: declared in include/s3dlio.h");
    let dynamic = run("readelf", &["-d"]);
    assert!(dynamic.contains("[libs3dlio.so.0]") && dynamic.contains("NODELETE"), "{dynamic}");
}
