//! The command line: what all verbs share, and the library's options as flags.

use crate::cmd;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use s3dlio::api::advanced::{Kind, OPTION_TABLE, OptionDef};
use s3dlio::api::{Code, Error, Options, Result};

const ABOUT: &str = "Lists, moves, generates and checks training data and checkpoints on S3, Azure Blob, \
                     local files (file://) and O_DIRECT files (direct://)";
const AFTER: &str = "A URI is s3://BUCKET/KEY, az://ACCOUNT/CONTAINER/KEY, file:///PATH, direct:///PATH or a \
plain path. URIs are taken literally; patterns are given with --regex and --glob, and a slash at the end \
means everything below.\n\n\
Every option of the library is also a flag (`s3.endpoint` is --s3-endpoint), an environment variable and a \
key of -o; `s3dlio config` lists them with the values in force.\n\n\
Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 not found, 4 not permitted, 5 exists or changed, \
6 network, 7 damaged data, 8 some of many failed, 9 unsupported, 130 interrupted.";

/// The whole command line.
pub fn command() -> Command {
    let flags = OPTION_TABLE.iter().filter(|def| def.kind != Kind::Secret).map(|def| flag(def));
    let command = Command::new("s3dlio")
        .about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(AFTER)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .args(shared())
        .args(flags)
        .subcommands(cmd::VERBS.iter().map(|verb| (verb.command)()));
    with_pairs(command)
}

/// With `-o` at every level by itself: of a global argument the parser keeps the innermost level's values only.
fn with_pairs(command: Command) -> Command {
    let pairs = Arg::new("option")
        .long("option")
        .short('o')
        .value_name("KEY=VALUE")
        .action(ArgAction::Append)
        .help_heading("Shared options")
        .display_order(0)
        .help("Set an option of the library, such as -o transfer.part_size=64MiB");
    command.arg(pairs).mut_subcommands(with_pairs)
}

/// The arguments of the innermost verb, which has the shared ones, too.
pub fn deepest(given: &ArgMatches) -> &ArgMatches {
    match given.subcommand() {
        Some((_, inner)) => deepest(inner),
        None => given,
    }
}

fn shared() -> Vec<Arg> {
    let arg = |name| Arg::new(name).long(name).global(true).help_heading("Shared options");
    vec![
        arg("op-log")
            .value_name("FILE")
            .help("Write every operation as a row in the format of MinIO's warp; .zst at the end compresses"),
        arg("profile")
            .value_name("FILE.svg")
            .help("Write where the CPU time went, as a flamegraph; in builds with the feature profiling"),
        arg("stats")
            .value_name("FORM")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("json")
            .value_parser(["json", "prometheus"])
            .help("Print the run's counters to standard error at its end: json (the default) or prometheus"),
        arg("json").action(ArgAction::SetTrue).help("Print JSON lines"),
        arg("quiet").short('q').action(ArgAction::SetTrue).help("No progress, remarks and warnings"),
        arg("verbose").short('v').action(ArgAction::Count).help("Say what is done; -vv and -vvv log more"),
    ]
}

/// A flag for a row of the options' table: hidden, as there are many.
fn flag(def: &'static OptionDef) -> Arg {
    let arg = Arg::new(def.key).long(flag_name(def)).global(true).hide(true).help(def.doc);
    match def.kind {
        Kind::Bool => {
            arg.value_name("BOOL").num_args(0..=1).require_equals(true).default_missing_value("true")
        }
        Kind::Choice(words) => arg.value_name("WORD").value_parser(words.to_vec()),
        Kind::Size { .. } => arg.value_name("SIZE"),
        Kind::Millis { .. } => arg.value_name("MS"),
        Kind::Count { .. } => arg.value_name("N"),
        Kind::Text | Kind::Secret => arg.value_name("TEXT"),
    }
}

/// `s3.part_size` is `s3-part-size`.
pub fn flag_name(def: &OptionDef) -> String {
    def.key.replace(['.', '_'], "-")
}

/// What `-o` was given, before the verbs and after them, in this order.
pub fn pairs(outermost: &ArgMatches) -> Vec<String> {
    let levels = std::iter::successors(Some(outermost), |given| given.subcommand().map(|(_, inner)| inner));
    levels.flat_map(|given| strings(given, "option")).collect()
}

/// The library's options that the arguments set; `-o`, as [`pairs`] gives it, goes over flags.
pub fn options(given: &ArgMatches, pairs: &[String]) -> Result<Options> {
    let mut options = Options::new();
    for def in OPTION_TABLE.iter().filter(|def| def.kind != Kind::Secret) {
        if let Some(value) = given.get_one::<String>(def.key) {
            options.set(def.key, value)?;
        }
    }
    if let Some(file) = given.get_one::<String>("op-log") {
        options.set("oplog.path", file)?;
    }
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            // Not shown: it may be a secret.
            return Err(Error::new(Code::InvalidArgument, "an argument of -o has no =; expected KEY=VALUE")
                .with_hint("`s3dlio config` lists the keys"));
        };
        options.set(key.trim(), value)?;
    }
    Ok(options)
}

/// The number of the level that the options ask for.
pub fn log_level(options: &Options) -> Result<u8> {
    let level = options.get("log.level")?;
    let names = ["off", "error", "warn", "info", "debug", "trace"];
    Ok(names.iter().position(|name| *name == level).unwrap_or(2) as u8)
}

/// One URI.
pub fn uri(help: &'static str) -> Arg {
    Arg::new("uri").value_name("URI").required(true).help(help)
}

/// At least one URI.
pub fn uris(help: &'static str) -> Arg {
    uri(help).num_args(1..).action(ArgAction::Append)
}

/// A switch.
pub fn switch(name: &'static str, short: Option<char>, help: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    match short {
        Some(short) => arg.short(short),
        None => arg,
    }
}

/// A switch to see what is below, too.
pub fn recursive() -> Arg {
    switch("recursive", Some('r'), "Everything below, not one level only")
}

/// A number.
pub fn number(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("N").value_parser(value_parser!(u64)).help(help)
}

/// How many at once.
pub fn jobs(help: &'static str) -> Arg {
    number("jobs", help).short('j').value_parser(value_parser!(u64).range(1..))
}

/// Text.
pub fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// The values of an argument that may be there.
pub fn strings(given: &ArgMatches, name: &str) -> Vec<String> {
    given.get_many::<String>(name).into_iter().flatten().cloned().collect()
}

/// The value of an argument that must be there.
pub fn string<'a>(given: &'a ArgMatches, name: &str) -> &'a str {
    given.get_one::<String>(name).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k1_options_before_and_after_a_verb_are_all_kept() {
        let of = |args: &[&str]| pairs(&command().try_get_matches_from(args).unwrap());
        let found = of(&["s3dlio", "-o", "a=1", "-ob=2", "checkpoint", "-o", "c=3", "ls", "-o", "b=4", "/x"]);
        assert_eq!(found, ["a=1", "b=2", "c=3", "b=4"]);
        assert_eq!(of(&["s3dlio", "-o", "a=1", "ls", "/x"]), ["a=1"]);
        assert_eq!(of(&["s3dlio", "ls", "/x", "-o", "a=1"]), ["a=1"]);
    }
}
