//! S3: which operation a request is, and what the service does about it.

use crate::call::{Call, Op, Service};
use crate::http::{Bytes, Request, Response, parse_range};
use crate::objects::{Object, Objects, Part, Upload, etag_of};
use crate::server::Site;
use crate::sign::Signature;
use crate::text::{http_date, iso_date, percent_decode, percent_encode, xml_elements, xml_escape, xml_text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

const NAMESPACE: &str = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

/// What the request asks for.
pub fn route(request: &Request) -> Call {
    let (mut container, mut key) = request.split_path();
    let host = request.header("host").unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if let Some(bucket) = name.strip_suffix(".localhost") {
        key = percent_decode(request.path.trim_start_matches('/'));
        container = bucket.to_owned();
    }
    let has = |name: &str| request.query(name).is_some();
    let op = match (request.method.as_str(), container.is_empty(), key.is_empty()) {
        ("GET", true, _) => Op::ListContainers,
        ("GET", _, true) if has("location") => Op::Location,
        ("GET", _, true) if has("uploads") => Op::ListUploads,
        ("GET", _, true)
            if !["acl", "policy", "versioning", "versions", "tagging"].iter().any(|n| has(n)) =>
        {
            Op::List
        }
        ("HEAD", false, true) => Op::HeadContainer,
        ("PUT", false, true) => Op::CreateContainer,
        ("DELETE", false, true) => Op::DeleteContainer,
        ("POST", false, true) if has("delete") => Op::DeleteMany,
        ("GET", _, false) if has("uploadId") => Op::ListParts,
        ("GET", _, false) => Op::Get,
        ("HEAD", _, false) => Op::Head,
        ("PUT", _, false) if has("partNumber") => match request.header("x-amz-copy-source") {
            Some(_) => Op::CopyPart,
            None => Op::PutPart,
        },
        ("PUT", _, false) if request.header("x-amz-copy-source").is_some() => Op::Copy,
        ("PUT", _, false) => Op::Put,
        ("POST", _, false) if has("uploads") => Op::CreateUpload,
        ("POST", _, false) if has("uploadId") => Op::CompleteUpload,
        ("DELETE", _, false) if has("uploadId") => Op::AbortUpload,
        ("DELETE", _, false) => Op::Delete,
        _ => Op::Unknown,
    };
    let identity = format!(
        "{} {} {}",
        request.method,
        request.target,
        request.header("range").or(request.header("x-amz-copy-source-range")).unwrap_or_default()
    );
    Call { service: Service::S3, op, container, key, identity }
}

/// An error as S3 answers it.
pub fn failure(status: u16, code: &str, message: &str) -> Response {
    Response::new(status).xml(&error_xml(code, message))
}

pub fn error_xml(code: &str, message: &str) -> String {
    format!(
        "<Error><Code>{code}</Code><Message>{}</Message><RequestId>faultd</RequestId></Error>",
        xml_escape(message)
    )
}

/// What a bad signature is answered with.
pub fn refuse(signature: &Signature) -> Response {
    match signature {
        Signature::Skewed => failure(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
        Signature::UnknownKey => failure(
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        ),
        Signature::None => failure(403, "AccessDenied", "Anonymous access is forbidden for this operation"),
        _ => failure(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
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
        Op::DeleteMany => delete_many(site, call, request),
        Op::CreateUpload => create_upload(site, call, request),
        Op::PutPart => put_part(site, call, request),
        Op::CopyPart => copy_part(site, call, request),
        Op::CompleteUpload => complete_upload(site, call, request),
        Op::AbortUpload => abort_upload(site, call, request),
        Op::ListParts => list_parts(site, call, request),
        Op::ListUploads => list_uploads(site, call, request),
        Op::List => list(site, call, request),
        Op::CreateContainer => create_bucket(site, call),
        Op::DeleteContainer => delete_bucket(site, call),
        Op::HeadContainer => {
            bucket(site, call).map(|_| Response::new(200).header("x-amz-bucket-region", site.region()))
        }
        Op::Location => bucket(site, call).map(|_| {
            let region = if site.region() == "us-east-1" { String::new() } else { site.region() };
            Response::new(200).xml(&format!("<LocationConstraint {NAMESPACE}>{region}</LocationConstraint>"))
        }),
        Op::ListContainers => Ok(list_buckets(site)),
        _ => Err(failure(501, "NotImplemented", "This server has no such operation")),
    };
    done.unwrap_or_else(|refused| refused)
}

type Answer = Result<Response, Response>;

fn objects(site: &Site) -> MutexGuard<'_, Objects> {
    site.objects(Service::S3).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The store, if the bucket is there.
fn bucket<'a>(site: &'a Site, call: &Call) -> Result<MutexGuard<'a, Objects>, Response> {
    let objects = objects(site);
    match objects.containers.contains_key(&call.container) {
        true => Ok(objects),
        false => Err(failure(404, "NoSuchBucket", "The specified bucket does not exist")),
    }
}

fn no_such_key() -> Response {
    failure(404, "NoSuchKey", "The specified key does not exist.")
}

fn precondition() -> Response {
    failure(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
}

fn same_etag(one: &str, other: &str) -> bool {
    one.trim_matches('"') == other.trim_matches('"')
}

fn crc_text(crc: u32) -> String {
    STANDARD.encode(crc.to_be_bytes())
}

fn get(site: &Site, call: &Call, request: &Request) -> Answer {
    let object = bucket(site, call)?.get(&call.container, &call.key).cloned().ok_or_else(no_such_key)?;
    if request.header("if-match").is_some_and(|etag| etag != "*" && !same_etag(etag, &object.etag)) {
        return Err(precondition());
    }
    if request.header("if-none-match").is_some_and(|etag| etag == "*" || same_etag(etag, &object.etag)) {
        return Err(Response::new(304).header("ETag", &object.etag));
    }
    let len = object.bytes.len();
    let range = parse_range(request.header("range"), len).map_err(|()| {
        failure(416, "InvalidRange", "The requested range is not satisfiable")
            .header("Content-Range", format!("bytes */{len}"))
    })?;
    let mut response = Response::new(if range.is_some() { 206 } else { 200 })
        .header("ETag", &object.etag)
        .header("Last-Modified", http_date(object.modified))
        .header("Accept-Ranges", "bytes")
        .header("Content-Type", object.content_type.as_deref().unwrap_or("binary/octet-stream"));
    for (name, value) in &object.metadata {
        response.set(&format!("x-amz-meta-{name}"), value);
    }
    let whole = range.as_ref().is_none_or(|range| *range == (0..len));
    if let Some(crc) = object.crc32c.filter(|_| whole)
        && request.header("x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("enabled"))
    {
        response.set("x-amz-checksum-crc32c", crc_text(crc));
        response.set("x-amz-checksum-type", "FULL_OBJECT");
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
    match (request.header("if-none-match"), there) {
        (Some("*"), Some(_)) => return Err(precondition()),
        (Some("*") | None, _) => {}
        (Some(_), _) => return Err(failure(501, "NotImplemented", "If-None-Match takes * here")),
    }
    match (request.header("if-match"), there) {
        (Some(_), None) => Err(no_such_key()),
        (Some(etag), Some(object)) if !same_etag(etag, &object.etag) => Err(precondition()),
        _ => Ok(()),
    }
}

fn metadata(request: &Request) -> BTreeMap<String, String> {
    request.headers_below("x-amz-meta-").map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The body's CRC32C, and whether the client sent one; another one than it sent is an error.
fn check_body(request: &Request) -> Result<(u32, bool), Response> {
    let crc = crc32c::crc32c(&request.body);
    let sent = request.header("x-amz-checksum-crc32c");
    match sent {
        Some(sent) if sent != crc_text(crc) => {
            Err(failure(400, "BadDigest", "The CRC32C you specified did not match the calculated checksum."))
        }
        _ => Ok((crc, sent.is_some())),
    }
}

/// The checksum and ETag of an answer to bytes that were stored.
fn stored(etag: &str, crc: Option<u32>) -> Response {
    let response = Response::new(200).header("ETag", etag);
    match crc {
        Some(crc) => response.header("x-amz-checksum-crc32c", crc_text(crc)),
        None => response,
    }
}

fn put(site: &Site, call: &Call, request: &Request) -> Answer {
    let (crc, sent) = check_body(request)?;
    let etag = etag_of(&request.body);
    let bytes: Bytes = request.body.clone();
    let mut objects = bucket(site, call)?;
    check_conditions(&objects, call, request)?;
    let object = Object {
        bytes,
        etag: etag.clone(),
        content_type: request.header("content-type").map(str::to_owned),
        metadata: metadata(request),
        modified: SystemTime::now(),
        crc32c: sent.then_some(crc),
        blocks: Vec::new(),
    };
    objects.container(&call.container).objects.insert(call.key.clone(), object);
    Ok(stored(&etag, sent.then_some(crc)))
}

/// The object that `x-amz-copy-source` names, if its conditions hold.
fn source(site: &Site, request: &Request) -> Result<Object, Response> {
    let text = request.header("x-amz-copy-source").unwrap_or_default();
    let text = percent_decode(text.split("?versionId").next().unwrap_or_default());
    let Some((bucket, key)) = text.trim_start_matches('/').split_once('/') else {
        return Err(failure(400, "InvalidArgument", "Copy Source must mention the source bucket and key"));
    };
    let object = objects(site).get(bucket, key).cloned().ok_or_else(no_such_key)?;
    match request.header("x-amz-copy-source-if-match") {
        Some(etag) if !same_etag(etag, &object.etag) => Err(precondition()),
        _ => Ok(object),
    }
}

fn copy(site: &Site, call: &Call, request: &Request) -> Answer {
    let mut object = source(site, request)?;
    let mut objects = bucket(site, call)?;
    check_conditions(&objects, call, request)?;
    if request.header("x-amz-metadata-directive").is_some_and(|d| d.eq_ignore_ascii_case("replace")) {
        object.metadata = metadata(request);
        object.content_type = request.header("content-type").map(str::to_owned);
    }
    object.modified = SystemTime::now();
    object.etag = etag_of(&object.bytes);
    let (etag, modified) = (xml_escape(&object.etag), iso_date(object.modified));
    objects.container(&call.container).objects.insert(call.key.clone(), object);
    Ok(Response::new(200).xml(&format!(
        "<CopyObjectResult {NAMESPACE}><LastModified>{modified}</LastModified><ETag>{etag}</ETag></CopyObjectResult>"
    )))
}

fn delete(site: &Site, call: &Call, request: &Request) -> Answer {
    let mut objects = bucket(site, call)?;
    if request.header("if-match").is_some() {
        check_conditions(&objects, call, request)?;
    }
    objects.remove(&call.container, &call.key);
    Ok(Response::new(204))
}

fn delete_many(site: &Site, call: &Call, request: &Request) -> Answer {
    check_body(request)?;
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let keys: Option<Vec<String>> =
        xml_elements(&body, "Object").iter().map(|object| xml_text(object, "Key")).collect();
    let keys = keys.filter(|keys| (1..=1000).contains(&keys.len())).ok_or_else(|| {
        failure(400, "MalformedXML", "The XML you provided was not well-formed or has not 1 to 1000 keys")
    })?;
    let quiet = xml_text(&body, "Quiet").as_deref() == Some("true");
    let mut objects = bucket(site, call)?;
    let mut out = format!("<DeleteResult {NAMESPACE}>");
    for key in keys {
        objects.remove(&call.container, &key);
        if !quiet {
            let _ = write!(out, "<Deleted><Key>{}</Key></Deleted>", xml_escape(&key));
        }
    }
    out.push_str("</DeleteResult>");
    Ok(Response::new(200).xml(&out))
}

fn create_upload(site: &Site, call: &Call, request: &Request) -> Answer {
    let mut objects = bucket(site, call)?;
    let id = format!("upload-{:08}", objects.unique());
    let upload = Upload {
        key: call.key.clone(),
        started: SystemTime::now(),
        content_type: request.header("content-type").map(str::to_owned),
        metadata: metadata(request),
        checksum: request
            .header("x-amz-checksum-algorithm")
            .is_some_and(|a| a.eq_ignore_ascii_case("crc32c")),
        parts: BTreeMap::new(),
    };
    objects.container(&call.container).uploads.insert(id.clone(), upload);
    Ok(Response::new(200).xml(&format!(
        "<InitiateMultipartUploadResult {NAMESPACE}><Bucket>{}</Bucket><Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
        call.container,
        xml_escape(&call.key)
    )))
}

fn no_such_upload() -> Response {
    failure(
        404,
        "NoSuchUpload",
        "The specified upload does not exist. It may have been aborted or completed.",
    )
}

/// The upload that the query names, if it is of this key.
fn upload<'a>(objects: &'a mut Objects, call: &Call, request: &Request) -> Result<&'a mut Upload, Response> {
    let id = request.query("uploadId").unwrap_or_default();
    let uploads = &mut objects.container(&call.container).uploads;
    uploads.get_mut(id).filter(|upload| upload.key == call.key).ok_or_else(no_such_upload)
}

fn part_number(request: &Request) -> Result<u32, Response> {
    let number = request.query("partNumber").and_then(|text| text.parse().ok());
    number.filter(|number| (1..=10_000).contains(number)).ok_or_else(|| {
        failure(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
    })
}

fn put_part(site: &Site, call: &Call, request: &Request) -> Answer {
    let number = part_number(request)?;
    let (crc, sent) = check_body(request)?;
    let etag = etag_of(&request.body);
    let bytes: Bytes = request.body.clone();
    let mut objects = bucket(site, call)?;
    let part = Part { bytes, etag: etag.clone(), crc32c: crc, modified: SystemTime::now() };
    upload(&mut objects, call, request)?.parts.insert(number, part);
    Ok(stored(&etag, sent.then_some(crc)))
}

fn copy_part(site: &Site, call: &Call, request: &Request) -> Answer {
    let number = part_number(request)?;
    let object = source(site, request)?;
    let len = object.bytes.len();
    let range = match request.header("x-amz-copy-source-range") {
        None => 0..len,
        // Unlike a range of a get, it must lie within the object.
        Some(text) => match parse_range(Some(text), usize::MAX) {
            Ok(Some(range)) if range.end <= len => range,
            _ => {
                return Err(failure(
                    400,
                    "InvalidArgument",
                    "The x-amz-copy-source-range value is not valid",
                ));
            }
        },
    };
    let bytes = object.bytes[range].to_vec();
    let (etag, crc32c, modified) = (etag_of(&bytes), crc32c::crc32c(&bytes), SystemTime::now());
    let mut objects = bucket(site, call)?;
    let part = Part { bytes: Arc::new(bytes), etag: etag.clone(), crc32c, modified };
    upload(&mut objects, call, request)?.parts.insert(number, part);
    Ok(Response::new(200).xml(&format!(
        "<CopyPartResult {NAMESPACE}><LastModified>{}</LastModified><ETag>{}</ETag></CopyPartResult>",
        iso_date(modified),
        xml_escape(&etag)
    )))
}

fn complete_upload(site: &Site, call: &Call, request: &Request) -> Answer {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let mut objects = bucket(site, call)?;
    let there = upload(&mut objects, call, request)?.clone();
    let wanted = xml_elements(&body, "Part");
    if wanted.is_empty() {
        return Err(failure(400, "MalformedXML", "You must specify at least one part"));
    }
    let mut bytes = Vec::new();
    let mut digests = String::new();
    let mut before = 0;
    for (at, xml) in wanted.iter().enumerate() {
        let number = xml_text(xml, "PartNumber").and_then(|text| text.trim().parse::<u32>().ok());
        let (number, etag) = (number.unwrap_or(0), xml_text(xml, "ETag").unwrap_or_default());
        if number <= before {
            return Err(failure(400, "InvalidPartOrder", "The list of parts was not in ascending order."));
        }
        before = number;
        let invalid =
            || failure(400, "InvalidPart", "One or more of the specified parts could not be found.");
        let part =
            there.parts.get(&number).filter(|part| same_etag(&part.etag, &etag)).ok_or_else(invalid)?;
        if xml_text(xml, "ChecksumCRC32C").is_some_and(|crc| crc != crc_text(part.crc32c)) {
            return Err(invalid());
        }
        if at + 1 < wanted.len() && part.bytes.len() < site.min_part_size() {
            let message = "Your proposed upload is smaller than the minimum allowed size";
            return Err(failure(400, "EntityTooSmall", message));
        }
        bytes.extend_from_slice(&part.bytes);
        digests.push_str(&part.etag);
    }
    let crc = crc32c::crc32c(&bytes);
    if request.header("x-amz-mp-object-size").is_some_and(|size| size != bytes.len().to_string()) {
        return Err(failure(400, "InvalidRequest", "The provided x-amz-mp-object-size is not the object's"));
    }
    let sent = request.header("x-amz-checksum-crc32c");
    if sent.is_some_and(|sent| sent != crc_text(crc)) {
        return Err(failure(400, "BadDigest", "The CRC32C you specified did not match."));
    }
    check_conditions(&objects, call, request)?;
    let etag = etag_of(digests.as_bytes());
    let etag = format!("{}-{}\"", etag.trim_end_matches('"'), wanted.len());
    let object = Object {
        bytes: Arc::new(bytes),
        etag: etag.clone(),
        content_type: there.content_type,
        metadata: there.metadata,
        modified: SystemTime::now(),
        crc32c: (there.checksum || sent.is_some()).then_some(crc),
        blocks: Vec::new(),
    };
    let checksum = match object.crc32c {
        Some(crc) => format!(
            "<ChecksumCRC32C>{}</ChecksumCRC32C><ChecksumType>FULL_OBJECT</ChecksumType>",
            crc_text(crc)
        ),
        None => String::new(),
    };
    let container = objects.container(&call.container);
    container.objects.insert(call.key.clone(), object);
    container.uploads.remove(request.query("uploadId").unwrap_or_default());
    Ok(Response::new(200).xml(&format!(
        "<CompleteMultipartUploadResult {NAMESPACE}><Location>http://localhost/{}</Location><Bucket>{}</Bucket><Key>{}</Key><ETag>{}</ETag>{checksum}</CompleteMultipartUploadResult>",
        call.container,
        call.container,
        xml_escape(&call.key),
        xml_escape(&etag)
    )))
}

fn abort_upload(site: &Site, call: &Call, request: &Request) -> Answer {
    let mut objects = bucket(site, call)?;
    upload(&mut objects, call, request)?;
    let id = request.query("uploadId").unwrap_or_default();
    objects.container(&call.container).uploads.remove(id);
    Ok(Response::new(204))
}

fn list_parts(site: &Site, call: &Call, request: &Request) -> Answer {
    let mut objects = bucket(site, call)?;
    let upload = upload(&mut objects, call, request)?;
    let after = request.query("part-number-marker").and_then(|text| text.parse().ok()).unwrap_or(0u32);
    let most = most(request, "max-parts");
    let mut parts = upload.parts.range(after + 1..);
    let mut out = format!("<ListPartsResult {NAMESPACE}>");
    let mut last = after;
    for (number, part) in parts.by_ref().take(most) {
        let _ = write!(
            out,
            "<Part><PartNumber>{number}</PartNumber><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size></Part>",
            iso_date(part.modified),
            xml_escape(&part.etag),
            part.bytes.len()
        );
        last = *number;
    }
    let more = parts.next().is_some();
    let _ = write!(
        out,
        "<Bucket>{}</Bucket><Key>{}</Key><UploadId>{}</UploadId><NextPartNumberMarker>{last}</NextPartNumberMarker><IsTruncated>{more}</IsTruncated></ListPartsResult>",
        call.container,
        xml_escape(&call.key),
        request.query("uploadId").unwrap_or_default()
    );
    Ok(Response::new(200).xml(&out))
}

fn most(request: &Request, name: &str) -> usize {
    request.query(name).and_then(|text| text.parse().ok()).unwrap_or(1000).min(1000)
}

fn list_uploads(site: &Site, call: &Call, request: &Request) -> Answer {
    let objects = bucket(site, call)?;
    let prefix = request.query("prefix").unwrap_or_default();
    let marker = (
        request.query("key-marker").unwrap_or_default().to_owned(),
        request.query("upload-id-marker").unwrap_or_default().to_owned(),
    );
    let container = &objects.containers[&call.container];
    let mut all: Vec<(&str, &str, SystemTime)> = container
        .uploads
        .iter()
        .filter(|(_, upload)| upload.key.starts_with(prefix))
        .map(|(id, upload)| (upload.key.as_str(), id.as_str(), upload.started))
        .collect();
    all.sort();
    all.retain(|(key, id, _)| match marker.1.is_empty() {
        true => *key > marker.0.as_str(),
        false => (*key, *id) > (marker.0.as_str(), marker.1.as_str()),
    });
    let most = most(request, "max-uploads");
    let more = all.len() > most;
    all.truncate(most);
    let mut out = format!("<ListMultipartUploadsResult {NAMESPACE}><Bucket>{}</Bucket>", call.container);
    for (key, id, started) in &all {
        let _ = write!(
            out,
            "<Upload><Key>{}</Key><UploadId>{id}</UploadId><Initiated>{}</Initiated></Upload>",
            encode(request, key),
            iso_date(*started)
        );
    }
    if let Some((key, id, _)) = all.last().filter(|_| more) {
        let _ = write!(
            out,
            "<NextKeyMarker>{}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>",
            encode(request, key)
        );
    }
    let _ =
        write!(out, "{}<IsTruncated>{more}</IsTruncated></ListMultipartUploadsResult>", encoding(request));
    Ok(Response::new(200).xml(&out))
}

fn encoding(request: &Request) -> &'static str {
    match request.query("encoding-type") {
        Some("url") => "<EncodingType>url</EncodingType>",
        _ => "",
    }
}

fn encode(request: &Request, text: &str) -> String {
    match request.query("encoding-type") {
        Some("url") => percent_encode(text, "/"),
        _ => xml_escape(text),
    }
}

fn list(site: &Site, call: &Call, request: &Request) -> Answer {
    let objects = bucket(site, call)?;
    let second = request.query("list-type") == Some("2");
    let after = match (second, request.query("continuation-token")) {
        (true, Some(token)) => match STANDARD.decode(token).ok().and_then(|t| String::from_utf8(t).ok()) {
            Some(after) => after,
            None => return Err(failure(400, "InvalidArgument", "The continuation token is incorrect")),
        },
        (true, None) => request.query("start-after").unwrap_or_default().to_owned(),
        (false, _) => request.query("marker").unwrap_or_default().to_owned(),
    };
    let prefix = request.query("prefix").unwrap_or_default();
    let delimiter = request.query("delimiter").unwrap_or_default();
    let most = most(request, "max-keys");
    let container = &objects.containers[&call.container];
    let (page, next) = match most {
        0 => (Vec::new(), None),
        most => container.page(prefix, delimiter, &after, most),
    };
    let mut out = format!(
        "<ListBucketResult {NAMESPACE}><Name>{}</Name><Prefix>{}</Prefix><Delimiter>{}</Delimiter><MaxKeys>{most}</MaxKeys><KeyCount>{}</KeyCount>{}<IsTruncated>{}</IsTruncated>",
        call.container,
        encode(request, prefix),
        encode(request, delimiter),
        page.len(),
        encoding(request),
        next.is_some()
    );
    if let Some(next) = &next {
        let _ = match second {
            true => write!(out, "<NextContinuationToken>{}</NextContinuationToken>", STANDARD.encode(next)),
            false => write!(out, "<NextMarker>{}</NextMarker>", encode(request, next)),
        };
    }
    for entry in page {
        let _ = match entry {
            crate::objects::Listed::Object(key, object) => write!(
                out,
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                encode(request, key),
                iso_date(object.modified),
                xml_escape(&object.etag),
                object.bytes.len()
            ),
            crate::objects::Listed::Prefix(name) => {
                write!(out, "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", encode(request, name))
            }
        };
    }
    out.push_str("</ListBucketResult>");
    Ok(Response::new(200).xml(&out))
}

fn create_bucket(site: &Site, call: &Call) -> Answer {
    let mut objects = objects(site);
    if objects.containers.contains_key(&call.container) {
        let message = "Your previous request to create the named bucket succeeded and you already own it.";
        return Err(failure(409, "BucketAlreadyOwnedByYou", message));
    }
    objects.container(&call.container);
    Ok(Response::new(200).header("Location", format!("/{}", call.container)))
}

fn delete_bucket(site: &Site, call: &Call) -> Answer {
    let mut objects = bucket(site, call)?;
    if !objects.containers[&call.container].objects.is_empty() {
        return Err(failure(409, "BucketNotEmpty", "The bucket you tried to delete is not empty"));
    }
    objects.containers.remove(&call.container);
    Ok(Response::new(204))
}

fn list_buckets(site: &Site) -> Response {
    let mut out = format!("<ListAllMyBucketsResult {NAMESPACE}><Owner><ID>faultd</ID></Owner><Buckets>");
    for (name, container) in &objects(site).containers {
        let created = iso_date(container.created);
        let _ = write!(out, "<Bucket><Name>{name}</Name><CreationDate>{created}</CreationDate></Bucket>");
    }
    out.push_str("</Buckets></ListAllMyBucketsResult>");
    Response::new(200).xml(&out)
}
