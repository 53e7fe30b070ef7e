//! The command `s3dlio`: lists, moves, generates and checks data on every backend. Each verb is one
//! file in `cmd/`, made of the crate's stable Rust API alone.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod app;
mod args;
mod cmd;
mod copy;
mod crc;
mod exit;
mod jobs;
mod latency;
mod output;
mod place;
mod progress;
mod range;
mod select;
mod signal;
mod template;
mod text;
mod tree;

use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let matches = match args::command().try_get_matches() {
        Ok(matches) => matches,
        // Help and the version are no failures; clap knows which it was.
        Err(error) => {
            let _ = error.print(); // nobody reads what cannot be written
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::WRONG_USAGE));
        }
    };
    let Some((verb, given)) = matches.subcommand() else { return ExitCode::from(exit::WRONG_USAGE) };
    match app::App::start(verb, &matches) {
        Ok(app) => {
            let app = Arc::new(app);
            let outcome = cmd::run(&app, verb, given);
            app.end(outcome)
        }
        Err(error) => exit::of_start(&error),
    }
}
