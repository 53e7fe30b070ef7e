//! Azure Blob: which operation a request is, and what the service does about it. The account is the
//! first segment of the path, as emulators have it.

use crate::call::{Call, Op, Service};
use crate::http::{Bytes, Request, Response, parse_range};
use crate::objects::{Block, Listed, Object, Objects};
use crate::server::Site;
use crate::sign::Signature;
use crate::text::{fits_xml, http_date, percent_decode, percent_encode, xml_children, xml_escape};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

/// What the request asks for.
pub fn route(request: &Request) -> Call {
    let (_account, rest) = request.split_path();
    let (container, key) = rest.split_once('/').unwrap_or((&rest, ""));
    let comp = request.query("comp").unwrap_or_default();
    let of_container = request.query("restype") == Some("container");
    let op = match (request.method.as_str(), container.is_empty(), key.is_empty(), comp) {
        ("GET", true, _, "list") => Op::ListContainers,
        ("GET", false, true, "list") => Op::List,
        ("GET" | "HEAD", false, true, "") if of_container => Op::HeadContainer,
        ("PUT", false, true, "") if of_container => Op::CreateContainer,
        ("DELETE", false, true, "") if of_container => Op::DeleteContainer,
        ("GET", _, false, "blocklist") => Op::ListParts,
        ("GET", _, false, "") => Op::Get,
        ("HEAD", _, false, "") => Op::Head,
        ("PUT", _, false, "block") => Op::PutPart,
        ("PUT", _, false, "blocklist") => Op::CompleteUpload,
        ("PUT", _, false, "metadata") => Op::SetMetadata,
        ("PUT", _, false, "") if request.header("x-ms-copy-source").is_some() => Op::Copy,
        ("PUT", _, false, "") => Op::Put,
        ("DELETE", _, false, "") => Op::Delete,
        _ => Op::Unknown,
    };
    let range = request.header("x-ms-range").or(request.header("range")).unwrap_or_default();
    // Block ids are random: without them, a script's seed gives the same faults in every run.
    let target = match request.target.split_once("blockid=") {
        Some((target, _)) if op == Op::PutPart => target,
        _ => &request.target,
    };
    let identity = format!("{} {target} {range}", request.method);
    Call { service: Service::Azure, op, container: container.into(), key: key.into(), identity }
}

/// An error as the service answers it.
pub fn failure(status: u16, code: &str, message: &str) -> Response {
    Response::new(status).header("x-ms-error-code", code).xml(&error_xml(code, message))
}

pub fn error_xml(code: &str, message: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>{}\nRequestId:faultd</Message></Error>", xml_escape(message))
}

/// What a bad signature is answered with.
pub fn refuse(signature: &Signature) -> Response {
    match signature {
        Signature::None => failure(
            401,
            "NoAuthenticationInformation",
            "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
        ),
        _ => failure(
            403,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.",
        ),
    }
}

/// Does it.
pub fn handle(site: &Site, call: &Call, request: &Request) -> Response {
    let done = match call.op {
        Op::Get | Op::Head => get(site, call, request),
        Op::Put => put(site, call, request),
        Op::Copy => copy(site, call, request),
        Op::Delete => delete(site, call, request),
        Op::SetMetadata => set_metadata(site, call, request),
        Op::PutPart => put_block(site, call, request),
        Op::CompleteUpload => put_block_list(site, call, request),
        Op::ListParts => get_block_list(site, call, request),
        Op::List => list(site, call, request),
        Op::CreateContainer => create_container(site, call),
        Op::DeleteContainer => container(site, call).map(|mut objects| {
            objects.containers.remove(&call.container);
            Response::new(202)
        }),
        Op::HeadContainer => container(site, call).map(|objects| {
            let modified = http_date(objects.containers[&call.container].created);
            Response::new(200).header("ETag", "\"0x8DC0\"").header("Last-Modified", modified)
        }),
        Op::ListContainers => Ok(list_containers(site, request)),
        _ => Err(failure(400, "UnsupportedQueryParameter", "This server has no such operation")),
    };
    let version = request.header("x-ms-version").unwrap_or("2021-12-02");
    let response = done.unwrap_or_else(|refused| refused);
    response.header("x-ms-version", version).header("x-ms-request-id", "faultd")
}

type Answer = Result<Response, Response>;

fn objects(site: &Site) -> MutexGuard<'_, Objects> {
    site.objects(Service::Azure).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The store, if the container is there.
fn container<'a>(site: &'a Site, call: &Call) -> Result<MutexGuard<'a, Objects>, Response> {
    let objects = objects(site);
    match objects.containers.contains_key(&call.container) {
        true => Ok(objects),
        false => Err(failure(404, "ContainerNotFound", "The specified container does not exist.")),
    }
}

fn not_found() -> Response {
    failure(404, "BlobNotFound", "The specified blob does not exist.")
}

fn not_met() -> Response {
    failure(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
}

fn same_etag(one: &str, other: &str) -> bool {
    one.trim_matches('"') == other.trim_matches('"')
}

fn get(site: &Site, call: &Call, request: &Request) -> Answer {
    let object = container(site, call)?.get(&call.container, &call.key).cloned().ok_or_else(not_found)?;
    if request.header("if-match").is_some_and(|etag| etag != "*" && !same_etag(etag, &object.etag)) {
        return Err(not_met());
    }
    if request.header("if-none-match").is_some_and(|etag| etag == "*" || same_etag(etag, &object.etag)) {
        return Err(Response::new(304).header("ETag", &object.etag));
    }
    let len = object.bytes.len();
    let asked = request.header("x-ms-range").or(request.header("range")).filter(|_| call.op == Op::Get);
    let range = parse_range(asked, len).map_err(|()| {
        failure(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
            .header("Content-Range", format!("bytes */{len}"))
    })?;
    let mut response = Response::new(if range.is_some() { 206 } else { 200 })
        .header("ETag", &object.etag)
        .header("Last-Modified", http_date(object.modified))
        .header("Accept-Ranges", "bytes")
        .header("x-ms-blob-type", "BlockBlob")
        .header("Content-Type", object.content_type.as_deref().unwrap_or("application/octet-stream"));
    for (name, value) in &object.metadata {
        response.set(&format!("x-ms-meta-{name}"), value);
    }
    if let Some(range) = &range {
        response.set("Content-Range", format!("bytes {}-{}/{len}", range.start, range.end - 1));
    }
    response.head_only = call.op == Op::Head;
    Ok(response.bytes(object.bytes, range.unwrap_or(0..len)))
}

/// The conditions of a write.
fn check_conditions(objects: &Objects, call: &Call, request: &Request) -> Result<(), Response> {
    let there = objects.get(&call.container, &call.key);
    if request.header("if-none-match") == Some("*") && there.is_some() {
        return Err(failure(409, "BlobAlreadyExists", "The specified blob already exists."));
    }
    match (request.header("if-match"), there) {
        (Some(etag), Some(object)) if etag != "*" && !same_etag(etag, &object.etag) => Err(not_met()),
        (Some(_), None) => Err(not_met()),
        _ => Ok(()),
    }
}

fn metadata(request: &Request) -> BTreeMap<String, String> {
    request.headers_below("x-ms-meta-").map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Publishes; the ETag of every write differs, and blocks that wait for this key are gone.
fn publish(
    objects: &mut Objects,
    call: &Call,
    request: &Request,
    bytes: Bytes,
    blocks: Vec<Block>,
) -> Response {
    let etag = format!("\"0x8D{:012X}\"", objects.unique());
    let modified = SystemTime::now();
    let content_type = request.header("x-ms-blob-content-type").or(request.header("content-type"));
    let object = Object {
        bytes,
        etag: etag.clone(),
        content_type: content_type.map(str::to_owned),
        metadata: metadata(request),
        modified,
        crc32c: None,
        blocks,
    };
    let container = objects.container(&call.container);
    container.objects.insert(call.key.clone(), object);
    container.staged.remove(&call.key);
    Response::new(201).header("ETag", etag).header("Last-Modified", http_date(modified))
}

fn put(site: &Site, call: &Call, request: &Request) -> Answer {
    if request.header("x-ms-blob-type") != Some("BlockBlob") {
        let message = "The value for one of the HTTP headers is not in the correct format: x-ms-blob-type.";
        return Err(failure(400, "InvalidHeaderValue", message));
    }
    let bytes: Bytes = request.body.clone();
    let mut objects = container(site, call)?;
    check_conditions(&objects, call, request)?;
    Ok(publish(&mut objects, call, request, bytes, Vec::new()))
}

fn copy(site: &Site, call: &Call, request: &Request) -> Answer {
    let url = request.header("x-ms-copy-source").unwrap_or_default();
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let path = percent_decode(path.split('?').next().unwrap_or_default());
    let mut parts = path.splitn(3, '/').skip(1);
    let (from, key) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut objects = container(site, call)?;
    let source = objects.get(from, key).cloned().ok_or_else(not_found)?;
    if request.header("x-ms-source-if-match").is_some_and(|etag| !same_etag(etag, &source.etag)) {
        return Err(failure(412, "SourceConditionNotMet", "The source condition specified is not met."));
    }
    check_conditions(&objects, call, request)?;
    let (id, etag) = (objects.unique(), format!("\"0x8D{:012X}\"", objects.unique()));
    let own = metadata(request);
    let object = Object {
        etag: etag.clone(),
        modified: SystemTime::now(),
        metadata: if own.is_empty() { source.metadata.clone() } else { own },
        ..source
    };
    let response = Response::new(202)
        .header("ETag", etag)
        .header("Last-Modified", http_date(object.modified))
        .header("x-ms-copy-id", format!("copy-{id}"))
        .header("x-ms-copy-status", "success");
    let container = objects.container(&call.container);
    container.objects.insert(call.key.clone(), object);
    container.staged.remove(&call.key);
    Ok(response)
}

fn delete(site: &Site, call: &Call, request: &Request) -> Answer {
    let mut objects = container(site, call)?;
    objects.get(&call.container, &call.key).ok_or_else(not_found)?;
    check_conditions(&objects, call, request)?;
    objects.remove(&call.container, &call.key);
    Ok(Response::new(202))
}

fn set_metadata(site: &Site, call: &Call, request: &Request) -> Answer {
    let mut objects = container(site, call)?;
    objects.get(&call.container, &call.key).ok_or_else(not_found)?;
    check_conditions(&objects, call, request)?;
    let etag = format!("\"0x8D{:012X}\"", objects.unique());
    let container = objects.container(&call.container);
    if let Some(object) = container.objects.get_mut(&call.key) {
        object.metadata = metadata(request);
        object.modified = SystemTime::now();
        object.etag.clone_from(&etag);
    }
    Ok(Response::new(200).header("ETag", etag))
}

fn put_block(site: &Site, call: &Call, request: &Request) -> Answer {
    let id = request.query("blockid").unwrap_or_default();
    if id.is_empty() || STANDARD.decode(id).map_or(true, |raw| raw.len() > 64) {
        let message =
            "Value for one of the query parameters specified in the request URI is invalid: blockid.";
        return Err(failure(400, "InvalidQueryParameterValue", message));
    }
    let bytes: Bytes = request.body.clone();
    let mut objects = container(site, call)?;
    let committed =
        objects.get(&call.container, &call.key).and_then(|o| o.blocks.first()).map(|b| b.id.len());
    let staged = objects.container(&call.container).staged.entry(call.key.clone()).or_default();
    // Of one blob they must all be equally long.
    if staged.first().map(|block| block.id.len()).or(committed).is_some_and(|len| len != id.len()) {
        return Err(failure(400, "InvalidBlobOrBlock", "The specified blob or block content is invalid."));
    }
    staged.retain(|block| block.id != id);
    staged.push(Block { id: id.to_owned(), bytes });
    Ok(Response::new(201))
}

fn put_block_list(site: &Site, call: &Call, request: &Request) -> Answer {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let root = xml_children(&body).into_iter().find(|(name, _)| *name == "BlockList");
    let Some((_, list)) = root else {
        return Err(failure(400, "InvalidXmlDocument", "XML specified is not syntactically valid."));
    };
    let mut objects = container(site, call)?;
    check_conditions(&objects, call, request)?;
    let committed = objects.get(&call.container, &call.key).map(|o| o.blocks.clone()).unwrap_or_default();
    let staged = objects.containers[&call.container].staged.get(&call.key).cloned().unwrap_or_default();
    let find = |blocks: &[Block], id: &str| blocks.iter().find(|block| block.id == id).cloned();
    let mut blocks = Vec::new();
    for (kind, id) in xml_children(list) {
        let id = id.trim();
        let block = match kind {
            "Latest" => find(&staged, id).or_else(|| find(&committed, id)),
            "Uncommitted" => find(&staged, id),
            "Committed" => find(&committed, id),
            _ => None,
        };
        let invalid = || failure(400, "InvalidBlockList", "The specified block list is invalid.");
        blocks.push(block.ok_or_else(invalid)?);
    }
    let mut bytes = Vec::with_capacity(blocks.iter().map(|block| block.bytes.len()).sum());
    blocks.iter().for_each(|block| bytes.extend_from_slice(&block.bytes));
    Ok(publish(&mut objects, call, request, Arc::new(bytes), blocks))
}

fn get_block_list(site: &Site, call: &Call, request: &Request) -> Answer {
    let objects = container(site, call)?;
    let object = objects.get(&call.container, &call.key);
    let staged = objects.containers[&call.container].staged.get(&call.key);
    if object.is_none() && staged.is_none() {
        return Err(not_found());
    }
    let kind = request.query("blocklisttype").unwrap_or("committed");
    let mut out = String::from("<BlockList>");
    let lists = [
        ("committed", "CommittedBlocks", object.map(|object| object.blocks.as_slice())),
        ("uncommitted", "UncommittedBlocks", staged.map(Vec::as_slice)),
    ];
    for (name, element, blocks) in lists {
        if kind != name && kind != "all" {
            continue;
        }
        let _ = write!(out, "<{element}>");
        for block in blocks.unwrap_or_default() {
            let (id, size) = (&block.id, block.bytes.len());
            let _ = write!(out, "<Block><Name>{id}</Name><Size>{size}</Size></Block>");
        }
        let _ = write!(out, "</{element}>");
    }
    out.push_str("</BlockList>");
    Ok(Response::new(200).xml(&out))
}

/// A name as the service lists it: encoded where XML cannot hold it.
fn name_xml(name: &str) -> String {
    match fits_xml(name) {
        true => format!("<Name>{}</Name>", xml_escape(name)),
        false => format!("<Name Encoded=\"true\">{}</Name>", percent_encode(name, "/")),
    }
}

fn list(site: &Site, call: &Call, request: &Request) -> Answer {
    let objects = container(site, call)?;
    let most = request.query("maxresults").and_then(|text| text.parse().ok()).unwrap_or(5000usize);
    if !(1..=5000).contains(&most) {
        let message = "One of the query parameters is outside the permissible range: maxresults.";
        return Err(failure(400, "OutOfRangeQueryParameterValue", message));
    }
    let include = request.query("include").unwrap_or_default();
    let marker = request.query("marker").unwrap_or_default();
    let after = STANDARD.decode(marker).ok().and_then(|text| String::from_utf8(text).ok());
    let after = after.ok_or_else(|| failure(400, "InvalidQueryParameterValue", "The marker is invalid."))?;
    let mut source = Cow::Borrowed(&objects.containers[&call.container]);
    if include.contains("uncommittedblobs") {
        let source = source.to_mut();
        for key in source.staged.keys().cloned().collect::<Vec<_>>() {
            source.objects.entry(key).or_insert_with(|| Object {
                bytes: Bytes::default(),
                etag: "\"0x0\"".into(),
                content_type: None,
                metadata: BTreeMap::new(),
                modified: SystemTime::now(),
                crc32c: None,
                blocks: Vec::new(),
            });
        }
    }
    let prefix = request.query("prefix").unwrap_or_default();
    let delimiter = request.query("delimiter").unwrap_or_default();
    let (page, next) = source.page(prefix, delimiter, &after, most);
    let mut out = format!(
        "<EnumerationResults ServiceEndpoint=\"http://localhost/\" ContainerName=\"{}\"><MaxResults>{most}</MaxResults><Blobs>",
        call.container
    );
    for entry in page {
        match entry {
            Listed::Prefix(name) => {
                let _ = write!(out, "<BlobPrefix>{}</BlobPrefix>", name_xml(name));
            }
            Listed::Object(key, object) => {
                let _ = write!(
                    out,
                    "<Blob>{}<Properties><Last-Modified>{}</Last-Modified><Etag>{}</Etag><Content-Length>{}</Content-Length><Content-Type>{}</Content-Type><BlobType>BlockBlob</BlobType></Properties>",
                    name_xml(key),
                    http_date(object.modified),
                    object.etag.trim_matches('"'),
                    object.bytes.len(),
                    xml_escape(object.content_type.as_deref().unwrap_or("application/octet-stream"))
                );
                if include.contains("metadata") {
                    out.push_str("<Metadata>");
                    for (name, value) in &object.metadata {
                        let _ = write!(out, "<{name}>{}</{name}>", xml_escape(value));
                    }
                    out.push_str("</Metadata>");
                }
                out.push_str("</Blob>");
            }
        }
    }
    let next = next.map(|next| STANDARD.encode(next)).unwrap_or_default();
    let _ = write!(out, "</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>");
    Ok(Response::new(200).xml(&out))
}

fn create_container(site: &Site, call: &Call) -> Answer {
    let mut objects = objects(site);
    if objects.containers.contains_key(&call.container) {
        return Err(failure(409, "ContainerAlreadyExists", "The specified container already exists."));
    }
    let modified = http_date(objects.container(&call.container).created);
    Ok(Response::new(201).header("ETag", "\"0x8DC0\"").header("Last-Modified", modified))
}

fn list_containers(site: &Site, request: &Request) -> Response {
    let prefix = request.query("prefix").unwrap_or_default();
    let mut out = String::from("<EnumerationResults ServiceEndpoint=\"http://localhost/\"><Containers>");
    for (name, container) in objects(site).containers.iter().filter(|(name, _)| name.starts_with(prefix)) {
        let modified = http_date(container.created);
        let _ = write!(
            out,
            "<Container><Name>{name}</Name><Properties><Last-Modified>{modified}</Last-Modified><Etag>\"0x8DC0\"</Etag></Properties></Container>"
        );
    }
    out.push_str("</Containers><NextMarker /></EnumerationResults>");
    Response::new(200).xml(&out)
}
