//! `checkpoint ls|verify|prune|gc`

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::{Failure, Outcome, usage};
use crate::place::Place;
use crate::text;
use clap::{Arg, ArgMatches, Command, value_parser};
use s3dlio::api::checkpoint::{Checkpoint, collect, list, prune, read_latest};
use s3dlio::api::{Code, Error, Store};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

pub const VERB: Verb = Verb { command, run };

fn command() -> Command {
    let uri = || args::uri("The folder of the checkpoints");
    let yes = || args::switch("yes", Some('y'), "Do not ask");
    Command::new("checkpoint")
        .about("List, check and clean up checkpoints")
        .subcommand_required(true)
        .subcommand(Command::new("ls").about("List committed checkpoints").arg(uri()))
        .subcommand(
            Command::new("verify")
                .about("Compare checkpoints with their manifests")
                .arg(uri())
                .arg(args::number("step", "Only of this step"))
                .arg(args::switch("quick", None, "Sizes only; else every stored byte is read")),
        )
        .subcommand(
            Command::new("prune")
                .about("Delete old checkpoints")
                .arg(uri())
                .arg(args::number("keep-last", "Keep so many of the newest ones").required(true))
                .arg(args::number("keep-every", "Keep those, too, whose step is a multiple of this"))
                .arg(yes()),
        )
        .subcommand(
            Command::new("gc")
                .about("Remove what saves left behind that were never committed")
                .arg(uri())
                .arg(
                    Arg::new("older-than")
                        .long("older-than")
                        .value_name("HOURS")
                        .default_value("24")
                        .value_parser(value_parser!(u64))
                        .help("Longer than any save takes: one under way looks the same"),
                )
                .arg(yes()),
        )
}

fn run(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let Some((verb, given)) = given.subcommand() else {
        return Err(usage("expected ls, verify, prune or gc"));
    };
    let root = Place::parse(args::string(given, "uri"))?.root().to_string();
    let store = app.store(&root)?;
    match verb {
        "ls" => app.wait(show(app, &store)),
        "verify" => app.wait(verify(app, &store, given)),
        "prune" => {
            let keep = given.get_one("keep-last").copied().unwrap_or(1);
            let every = given.get_one("keep-every").copied().unwrap_or(0);
            super::confirm(app, given, &format!("Delete all but the newest {keep} checkpoints of {root}?"))?;
            let gone = app.wait(async { Ok(prune(&store, keep, every).await?) })?;
            app.out.line(
                || {
                    let steps: Vec<_> = gone.iter().map(u64::to_string).collect();
                    let steps =
                        if steps.is_empty() { String::new() } else { format!(": steps {}", steps.join(" ")) };
                    format!("deleted {}{steps}", text::count(gone.len() as u64, "checkpoint"))
                },
                || json!({ "operation": "checkpoint-prune", "steps": gone }),
            )
        }
        "gc" => {
            let hours = given.get_one::<u64>("older-than").copied().unwrap_or(24);
            super::confirm(
                app,
                given,
                &format!("Remove uncommitted saves of {root} older than {hours} hours?"),
            )?;
            let age = Duration::from_secs(hours.saturating_mul(3600));
            let gone = app.wait(async { Ok(collect(&store, age).await?) })?;
            app.out.line(
                || format!("removed {}", text::count(gone as u64, "unfinished save")),
                || json!({ "operation": "checkpoint-gc", "saves": gone }),
            )
        }
        _ => Err(usage(format!("there is no verb checkpoint {verb}"))),
    }
}

async fn show(app: &App, store: &Store) -> Outcome {
    // A hint that is damaged hides nothing.
    let latest = match read_latest(store).await {
        Ok(latest) => latest.map(|latest| latest.step),
        Err(error) => {
            app.report(&error);
            None
        }
    };
    let mut damaged = None;
    let steps = list(store).await?;
    for step in steps.iter().copied() {
        app.stop.check()?;
        let checkpoint = match Checkpoint::open(store, store.options(), Some(step)).await {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                damaged = Some(error.code());
                app.report(&error);
                continue;
            }
        };
        let manifest = checkpoint.manifest();
        let is_latest = latest == Some(step);
        app.out.line(
            || {
                let mark = if is_latest { "  latest" } else { "" };
                format!(
                    "{step:>12}  {}  {:>10}  {:>5}  {:>8}  {}{mark}",
                    text::name(&manifest.created),
                    text::size(manifest.stored_bytes()),
                    text::count(u64::from(manifest.world_size), "rank"),
                    text::count(manifest.entries.len() as u64, "tensor"),
                    text::name(&manifest.framework),
                )
            },
            || {
                json!({
                    "type": "checkpoint", "step": step, "id": manifest.id, "created": manifest.created,
                    "epoch": manifest.epoch, "framework": manifest.framework, "world_size": manifest.world_size,
                    "bytes": manifest.bytes(), "stored_bytes": manifest.stored_bytes(),
                    "shards": manifest.shards.len(), "tensors": manifest.entries.len(),
                    "metadata": manifest.metadata, "latest": is_latest,
                })
            },
        )?;
    }
    match damaged {
        None => Ok(()),
        Some(code) if steps.len() == 1 => Err(Failure::Shown(code)), // not a part
        Some(_) => Err(Failure::Partly),
    }
}

async fn verify(app: &App, store: &Store, given: &ArgMatches) -> Outcome {
    let deep = !given.get_flag("quick");
    let steps = match given.get_one::<u64>("step") {
        Some(step) => vec![*step],
        None => list(store).await?,
    };
    if steps.is_empty() {
        let error = Error::new(Code::NotFound, "there is no committed checkpoint in this folder");
        return Err(error.with_context("verify", store.root()).into());
    }
    let mut failed = 0_u64;
    for step in &steps {
        app.stop.check()?;
        let checked = async {
            let checkpoint = Checkpoint::open(store, store.options(), Some(*step)).await?;
            checkpoint.validate(deep).await?;
            Ok(checkpoint.manifest().stored_bytes())
        };
        match checked.await {
            Ok(bytes) => app.out.line(
                || format!("{step:>12}  ok  {}", text::size(bytes)),
                || json!({ "type": "checkpoint", "step": step, "ok": true, "stored_bytes": bytes, "deep": deep }),
            )?,
            // Asked for by its step.
            Err(error) if steps.len() == 1 => return Err(Failure::Failed(error)),
            Err(error) => {
                failed += 1;
                app.report(&error);
                let damaged = tells_damage(error.code());
                let found = if damaged { "damaged" } else { "not checked" };
                app.out.line(
                    || format!("{step:>12}  {found}"),
                    || json!({ "type": "checkpoint", "step": step, "ok": false, "damaged": damaged, "deep": deep }),
                )?;
            }
        }
    }
    if failed > 0 { Err(Failure::Partly) } else { Ok(()) }
}

/// Whether this is about what is stored, and not about reaching it.
fn tells_damage(code: Code) -> bool {
    matches!(code, Code::Corrupt | Code::ChecksumMismatch | Code::Truncated | Code::NotFound)
}
