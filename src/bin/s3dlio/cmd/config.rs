//! `config`: every option, its value and where that came from.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::Outcome;
use clap::{Arg, ArgMatches, Command};
use s3dlio::api::advanced::{Kind, OPTION_TABLE, OptionDef, unknown_environment};
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
    let shown = OPTION_TABLE.iter().filter(|def| def.key.starts_with(prefix));
    for def in shown {
        let value = app.options.get(def.key)?;
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
