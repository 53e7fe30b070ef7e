//! `config`: every option, its value and where that came from.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::Outcome;
use clap::{Arg, ArgMatches, Command};
use s3dlio::api::advanced::{Kind, OPTION_TABLE, OptionDef, unknown_environment};
use s3dlio::api::{Code, Error};
use serde_json::json;
use std::sync::Arc;

pub const VERB: Verb = Verb { command, run };

fn command() -> Command {
    Command::new("config")
        .about("List every option, its value and where that came from")
        .arg(
            Arg::new("prefix")
                .value_name("PREFIX")
                .help("Only options whose keys start so, such as s3. or transfer.part"),
        )
        .arg(args::switch("set", None, "Only options that are set: by argument or environment"))
        .arg(args::switch("doc", None, "Say what each option does, too"))
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let prefix = args::string(given, "prefix");
    if !OPTION_TABLE.iter().any(|def| def.key.starts_with(prefix)) {
        let message = format!("no option's key starts with {prefix:?}; `s3dlio config` lists all");
        return Err(Error::new(Code::UnknownOption, message).into());
    }
    let shown = OPTION_TABLE.iter().filter(|def| def.key.starts_with(prefix));
    for def in shown {
        let value = masked(app.options.get(def.key)?);
        let source = source(app, def);
        if source == "default" && given.get_flag("set") {
            continue;
        }
        let flag = (def.kind != Kind::Secret).then(|| format!("--{}", args::flag_name(def)));
        app.out.line(
            || {
                let line =
                    format!("{:32} {:24} {source}", def.key, if value.is_empty() { "-" } else { &value });
                match given.get_flag("doc") {
                    true => format!("{line}\n    {} [{}]", def.doc, def.env.join(", ")),
                    false => line,
                }
            },
            || {
                json!({
                    "key": def.key, "value": value, "source": source, "default": def.default,
                    "type": def.kind.name(), "bounds": def.kind.bounds(), "env": def.env, "flag": flag,
                    "doc": def.doc,
                })
            },
        )?;
    }
    for name in unknown_environment() {
        app.say(&format!("s3dlio: warning: the environment variable {name} belongs to no option"));
    }
    Ok(())
}

/// `argument`, `environment NAME` or `default`.
fn source(app: &App, def: &OptionDef) -> String {
    if app.options.explicit().any(|(key, _)| key == def.key) {
        return "argument".into();
    }
    let set = |name: &&&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match def.env.iter().find(set) {
        Some(name) => format!("environment {name}"),
        None => "default".into(),
    }
}

/// Without what a URL may carry of secrets: a user's name and password, and a query, which may be a signature.
fn masked(value: String) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value };
    let (rest, query) = match rest.find(['?', '#']) {
        // A password with such a letter in it: nobody can tell where it ends.
        Some(at) if rest[at..].contains('@') => return format!("{scheme}://***"),
        Some(at) => (&rest[..at], "?***"),
        None => (rest, ""),
    };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}{query}"),
        None => format!("{scheme}://{rest}{query}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn k1_urls_are_shown_without_their_secrets() {
        let masked = |text: &str| super::masked(text.to_owned());
        for plain in ["", "64MiB", "http://127.0.0.1:8333", "https://h/a/b", "/tmp/a@b?c"] {
            assert_eq!(masked(plain), plain);
        }
        assert_eq!(masked("http://u:pw@h:1/x"), "http://***@h:1/x");
        assert_eq!(masked("http://u:p/w@x@h"), "http://***@h");
        assert_eq!(masked("https://h/c?sv=1&sig=canary"), "https://h/c?***");
        assert_eq!(masked("https://u:p@h/?sig=canary#x"), "https://***@h/?***");
        assert_eq!(masked("http://u:p?w@h"), "http://***");
    }
}
