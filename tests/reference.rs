//! Pages that derive from the code: the options reference and the list of status codes. Run with
//! `S3DLIO_BLESS=1` to write them anew.

use s3dlio::Code;
use s3dlio::options::{Kind, TABLE};
use std::fmt::Write;
use std::fs;
use std::path::Path;

#[track_caller]
fn holds(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("S3DLIO_BLESS").is_some() {
        fs::write(&file, expected).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == expected,
        "{path} differs from the code; S3DLIO_BLESS=1 cargo test --release --test reference writes it"
    );
}

#[test]
fn options_page_is_the_option_table() {
    let mut page = String::from(
        "# Options\n\n\
         Generated from the option table in `src/options.rs`; do not edit.\n\n\
         Keys are the same in C (`s3dlio_options_set`), C++, Python and Julia. A value is taken as set explicitly, else from\n\
         the first environment variable named here that is set and not empty, else the default. An unknown key or a value\n\
         out of bounds is an error; an unknown `S3DLIO_*` variable is a warning in the log.\n\n\
         Sizes are bytes, optionally with KiB, MiB, GiB, KB, MB or GB; times are milliseconds.\n",
    );
    let mut group = "";
    for def in TABLE {
        let (head, _) = def.key.split_once('.').unwrap();
        if head != group {
            group = head;
            write!(page, "\n## {group}\n\n| key | type | default | environment | what it does |\n|---|---|---|---|---|\n").unwrap();
        }
        let kind = match (def.kind, def.kind.bounds()) {
            (Kind::Bool, _) => "bool".to_owned(),
            (kind, bounds) if bounds.is_empty() => kind.name().to_owned(),
            (kind, bounds) => format!("{} `{}`", kind.name(), bounds.replace('|', "\\|")),
        };
        let default = if def.default.is_empty() { "-".to_owned() } else { format!("`{}`", def.default) };
        let env: Vec<_> = def.env.iter().map(|name| format!("`{name}`")).collect();
        writeln!(page, "| `{}` | {kind} | {default} | {} | {} |", def.key, env.join(" "), def.doc).unwrap();
    }
    holds("docs/options.md", &page);
}

#[test]
fn errors_page_is_the_code_table() {
    let mut page = String::from(
        "# Status codes\n\n\
         Generated from `src/error.rs`; do not edit. Numbers are never changed or reused. 0 is `S3DLIO_OK`, positive values are\n\
         outcomes that are no errors (`S3DLIO_END`, `S3DLIO_TIMEOUT`).\n\n\
         | number | C | name | meaning |\n|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let name = code.name();
        writeln!(
            page,
            "| {} | `S3DLIO_ERR_{}` | `{name}` | {} |",
            *code as i32,
            name.to_uppercase(),
            code.doc()
        )
        .unwrap();
    }
    holds("docs/errors.md", &page);
}
