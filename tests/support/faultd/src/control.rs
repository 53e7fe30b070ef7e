//! The control endpoint, below `/_faultd/` on every port: for tests in other languages and processes.

use crate::call::Service;
use crate::http::{Request, Response};
use crate::objects::{Object, etag_of};
use crate::script::Script;
use crate::server::{Site, lock};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// Where it is.
pub const PREFIX: &str = "/_faultd/";

/// Answers a control request; these are neither in the ledger nor under the script.
pub fn handle(site: &Site, request: &Request) -> Response {
    let done = match &request.path[PREFIX.len()..] {
        "ledger" => Ok(Response::new(200).text("application/json", site.ledger().to_json().to_string())),
        "script" => script(site, request),
        "reset" => {
            site.reset(request.query("keep") == Some("objects"));
            Ok(Response::new(200))
        }
        "put" => put(site, request),
        "get" => get(site, request),
        "config" => config(site, request),
        "refuse" => refuse(site, request),
        "kinds" => Ok(Response::new(200).text("text/plain", crate::fault_table())),
        other => Err(format!("there is no {PREFIX}{other}")),
    };
    done.unwrap_or_else(|why| Response::new(400).text("text/plain", why + "\n"))
}

fn script(site: &Site, request: &Request) -> Result<Response, String> {
    site.set_script(Script::parse(&String::from_utf8_lossy(&request.body))?);
    Ok(Response::new(200))
}

fn service(request: &Request) -> Result<Service, String> {
    let name = request.query("service").ok_or("service=s3 or service=azure is missing")?;
    let found = Service::ALL.into_iter().find(|service| service.name() == name);
    found.ok_or(format!("service={name}: expected s3 or azure"))
}

fn needed<'a>(request: &'a Request, name: &str) -> Result<&'a str, String> {
    request.query(name).ok_or(format!("{name}= is missing"))
}

/// An object of the request's body, or only the container where no key is named.
fn put(site: &Site, request: &Request) -> Result<Response, String> {
    let mut objects = lock(site.objects(service(request)?));
    let container = objects.container(needed(request, "container")?);
    let Some(key) = request.query("key") else { return Ok(Response::new(200)) };
    let object = Object {
        etag: etag_of(&request.body),
        bytes: request.body.clone(),
        content_type: request.query("content_type").map(str::to_owned),
        metadata: BTreeMap::new(),
        modified: SystemTime::now(),
        crc32c: Some(crc32c::crc32c(&request.body)),
        blocks: Vec::new(),
    };
    container.objects.insert(key.to_owned(), object);
    Ok(Response::new(200))
}

fn get(site: &Site, request: &Request) -> Result<Response, String> {
    let objects = lock(site.objects(service(request)?));
    let (container, key) = (needed(request, "container")?, needed(request, "key")?);
    Ok(match objects.get(container, key) {
        Some(object) => Response::new(200).bytes(object.bytes.clone(), 0..object.bytes.len()),
        None => Response::new(404),
    })
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name}={text}: expected a number"))
}

fn config(site: &Site, request: &Request) -> Result<Response, String> {
    for (name, value) in &request.query {
        match name.as_str() {
            "latency_ms" => lock(&site.shaping).latency = Duration::from_millis(number(name, value)?),
            "jitter_ms" => lock(&site.shaping).jitter = Duration::from_millis(number(name, value)?),
            "bandwidth" => {
                let bandwidth: u64 = number(name, value)?;
                lock(&site.shaping).bandwidth = (bandwidth > 0).then_some(bandwidth);
            }
            "seed" => site.seed.store(number(name, value)?, Ordering::Relaxed),
            "clock_offset" => site.clock_offset.store(number(name, value)?, Ordering::Relaxed),
            "verify_signatures" => {
                site.verify.store(matches!(value.as_str(), "1" | "true" | "yes"), Ordering::Relaxed)
            }
            _ => return Err(format!("there is no setting {name:?}")),
        }
    }
    Ok(Response::new(200))
}

fn refuse(site: &Site, request: &Request) -> Result<Response, String> {
    let how_long = Duration::from_millis(number("ms", needed(request, "ms")?)?);
    site.refuse(service(request)?, how_long);
    Ok(Response::new(200))
}
