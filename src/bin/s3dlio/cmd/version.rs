//! `version`

use super::Verb;
use crate::app::App;
use crate::exit::Outcome;
use clap::{ArgMatches, Command};
use serde_json::json;
use std::sync::Arc;

pub const VERB: Verb = Verb { command, run };

fn command() -> Command {
    Command::new("version").about("Print the version")
}

fn run(app: &Arc<App>, _: &ArgMatches) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    app.out.line(|| format!("s3dlio {version}"), || json!({ "name": "s3dlio", "version": version }))
}
