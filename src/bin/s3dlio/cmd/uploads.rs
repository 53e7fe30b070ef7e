//! `uploads ls` and `uploads abort`: uploads in parts that nobody finished, whose parts are paid for.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::{Failure, Outcome, usage};
use crate::place::Place;
use crate::text;
use clap::{ArgMatches, Command, value_parser};
use s3dlio::api::advanced::PendingUpload;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub const VERB: Verb = Verb { command, run };

fn command() -> Command {
    let uri = || args::uri("The bucket, or a folder in it");
    Command::new("uploads")
        .about("List or abort unfinished uploads")
        .subcommand_required(true)
        .subcommand(Command::new("ls").about("List uploads in parts that were neither finished nor aborted").arg(uri()))
        .subcommand(
            Command::new("abort")
                .about("Abort unfinished uploads and free what they hold")
                .after_help(
                    "An upload that is under way looks the same as one that was left behind, so choose an age that is \
                     longer than any upload takes. S3 aborts by upload. Azure keeps blocks without their time and \
                     drops them by itself after a week; there only --older-than 0 aborts.",
                )
                .arg(uri())
                .arg(
                    clap::Arg::new("older-than")
                        .long("older-than")
                        .value_name("HOURS")
                        .default_value("24")
                        .value_parser(value_parser!(u64))
                        .help("Only uploads that began so many hours ago"),
                )
                .arg(args::switch("dry-run", Some('n'), "Only print what would be aborted"))
                .arg(args::switch("yes", Some('y'), "Do not ask")),
        )
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    match given.subcommand() {
        Some(("ls", given)) => list(app, given),
        Some(("abort", given)) => abort(app, given),
        _ => Err(usage("expected ls or abort")),
    }
}

fn list(app: &App, given: &ArgMatches) -> Outcome {
    let root = Place::parse(args::string(given, "uri"))?.root();
    app.wait(async {
        let store = app.store(&root.to_string())?;
        for upload in store.list_uploads("").await? {
            print(app, "", &root.join(&upload.key).to_string(), &upload)?;
        }
        Ok(())
    })
}

fn abort(app: &App, given: &ArgMatches) -> Outcome {
    let root = Place::parse(args::string(given, "uri"))?.root();
    let hours = given.get_one::<u64>("older-than").copied().unwrap_or(24);
    let dry_run = given.get_flag("dry-run");
    if !dry_run {
        super::confirm(
            app,
            given,
            &format!("Abort unfinished uploads below {root}, older than {hours} hours?"),
        )?;
    }
    let age = Duration::from_secs(hours.saturating_mul(3600));
    let is_old = |upload: &PendingUpload| match upload.started {
        Some(started) => SystemTime::now().duration_since(started).unwrap_or_default() >= age,
        None => age.is_zero(),
    };
    app.wait(async {
        let store = app.store(&root.to_string())?;
        let (mut aborted, mut kept, mut failed, mut last) = (0_u64, 0_u64, 0_u64, None);
        for upload in store.list_uploads("").await? {
            if !is_old(&upload) {
                kept += 1;
                continue;
            }
            let outcome = if dry_run { Ok(()) } else { store.abort_upload(&upload).await };
            match outcome {
                Ok(()) => {
                    aborted += 1;
                    let did = if dry_run { "would abort " } else { "aborted " };
                    print(app, did, &root.join(&upload.key).to_string(), &upload)?;
                }
                Err(error) => {
                    failed += 1;
                    last = Some(error.code());
                    app.report(&error);
                }
            }
        }
        app.out.line(
            || {
                let did = if dry_run { "would abort" } else { "aborted" };
                format!("{did} {}, {kept} younger kept, {failed} failed", text::count(aborted, "upload"))
            },
            || {
                json!({
                    "operation": "uploads-abort", "aborted": aborted, "kept": kept, "failed": failed,
                    "dry_run": dry_run,
                })
            },
        )?;
        match last {
            None => Ok(()),
            Some(code) if aborted + kept + failed == 1 => Err(Failure::Shown(code)), // not a part
            Some(_) => Err(Failure::Partly),
        }
    })
}

fn print(app: &App, did: &str, uri: &str, upload: &PendingUpload) -> Outcome {
    let started = upload.started.map(text::time);
    app.out.line(
        || format!("{did}{:20}  {}", started.as_deref().unwrap_or("-"), text::name(uri)),
        || json!({ "type": "upload", "uri": uri, "id": upload.id, "started": started }),
    )
}
