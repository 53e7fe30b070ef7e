//! `oplog`: what can be done with an op-log; one file for each.

use super::{Verb, oplog_convert, oplog_replay, oplog_report};
use crate::app::App;
use crate::exit::{Outcome, usage};
use clap::{ArgMatches, Command};
use std::sync::Arc;

pub const VERB: Verb = Verb { command, run };

/// What stands behind `oplog`.
const VERBS: &[Verb] = &[oplog_replay::VERB, oplog_report::VERB, oplog_convert::VERB];

fn command() -> Command {
    Command::new("oplog")
        .about("Look at op-logs: rows of operations as --op-log and MinIO's warp write them")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(VERBS.iter().map(|verb| (verb.command)()))
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let Some((name, given)) = given.subcommand() else { return Err(usage("oplog needs a verb")) };
    match VERBS.iter().find(|verb| (verb.command)().get_name() == name) {
        Some(verb) => (verb.run)(app, given),
        None => Err(usage(format!("there is no verb oplog {name:?}"))),
    }
}
