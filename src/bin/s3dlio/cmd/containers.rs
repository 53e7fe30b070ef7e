//! `list-buckets`, `create-bucket` and `delete-bucket`: S3's buckets, Azure's containers, and folders.

use super::Verb;
use crate::app::App;
use crate::args;
use crate::exit::{Outcome, usage};
use crate::place::Place;
use crate::text;
use clap::{ArgMatches, Command};
use s3dlio::api::ContainerInfo;
use s3dlio::api::advanced::Uri;
use s3dlio::api::delete_prefix;
use serde_json::json;
use std::sync::Arc;

pub const LIST: Verb = Verb { command: list_command, run: list };
pub const CREATE: Verb = Verb { command: create_command, run: create };
pub const DELETE: Verb = Verb { command: delete_command, run: delete };

fn list_command() -> Command {
    Command::new("list-buckets").about("List buckets, containers, or the folders beside a path").arg(
        args::uri("s3:// (the default), az://ACCOUNT/, or a path").required(false).default_value("s3://"),
    )
}

fn list(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let root = Place::parse(args::string(given, "uri"))?.root();
    app.wait(async {
        for container in app.account(&root.to_string())?.list_containers().await? {
            print(app, &root, &container)?;
        }
        Ok(())
    })
}

/// One line of a list of containers.
pub fn print(app: &App, root: &Uri, container: &ContainerInfo) -> Outcome {
    let uri = root.sibling(&container.name).to_string();
    app.out.line(
        || text::name(&uri),
        || {
            let created = container.created.map(text::time);
            json!({ "type": "container", "uri": uri, "name": container.name, "created": created })
        },
    )
}

fn create_command() -> Command {
    Command::new("create-bucket")
        .about("Create a bucket, a container or a folder")
        .arg(args::uri("Of the bucket"))
        .arg(args::switch("exist-ok", None, "One that exists already is no failure"))
}

fn create(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let root = container(given)?;
    app.wait(async {
        let made = app.store(&root.to_string())?.create_container().await;
        match made {
            Err(error) if error.code() == s3dlio::api::Code::AlreadyExists && given.get_flag("exist-ok") => {}
            Err(error) => return Err(error.into()),
            Ok(()) => {}
        }
        app.out.line(
            || format!("created {}", text::name(&root.to_string())),
            || json!({ "operation": "create-bucket", "uri": root.to_string() }),
        )
    })
}

fn delete_command() -> Command {
    Command::new("delete-bucket")
        .about("Delete an empty bucket, container or folder")
        .arg(args::uri("Of the bucket"))
        .arg(args::switch("force", None, "Delete the objects in it first"))
        .arg(args::switch("yes", Some('y'), "Do not ask before objects are deleted"))
}

fn delete(app: &Arc<App>, given: &ArgMatches) -> Outcome {
    let root = container(given)?;
    let force = given.get_flag("force");
    if force {
        super::confirm(app, given, &format!("Delete {root} with everything in it?"))?;
    }
    app.wait(async {
        let store = app.store(&root.to_string())?;
        let objects = if force { delete_prefix(&store, "").await? } else { 0 };
        store.delete_container().await?;
        app.out.line(
            || {
                let with =
                    if force { format!(" with {}", text::count(objects, "object")) } else { String::new() };
                format!("deleted {}{with}", text::name(&root.to_string()))
            },
            || json!({ "operation": "delete-bucket", "uri": root.to_string(), "objects": objects }),
        )
    })
}

/// A bucket's URI, without a key; a folder's.
fn container(given: &ArgMatches) -> Outcome<Uri> {
    let text = args::string(given, "uri");
    let place = Place::parse(text)?;
    let root = place.root();
    if !place.is_local() && (root.container().is_empty() || !root.path().is_empty()) {
        return Err(usage(format!(
            "{text} is not a bucket's URI; expected s3://BUCKET or az://ACCOUNT/CONTAINER"
        )));
    }
    Ok(root)
}
