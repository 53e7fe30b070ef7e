//! Signatures: AWS Signature Version 4 in the Authorization header, and Azure's Shared Key.

use crate::http::Request;
use crate::text::{hex, parse_amz_date, parse_http_date, percent_decode, percent_encode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// What the services tolerate.
const MAX_SKEW: Duration = Duration::from_secs(15 * 60);

/// What a request's signature is worth.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signature {
    /// There is none.
    None,
    Valid,
    /// Signed by a clock that is too far off.
    Skewed,
    /// By a key that nobody has.
    UnknownKey,
    /// Another one was expected, and why that may be.
    Wrong(String),
    /// A kind that is not checked here: a bearer token, a shared access signature, a presigned URL.
    Unchecked(&'static str),
}

impl Signature {
    /// As the ledger has it.
    pub fn name(&self) -> String {
        match self {
            Signature::None => "none".into(),
            Signature::Valid => "valid".into(),
            Signature::Skewed => "skewed".into(),
            Signature::UnknownKey => "unknown_key".into(),
            Signature::Wrong(why) => format!("wrong: {why}"),
            Signature::Unchecked(what) => (*what).into(),
        }
    }
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(text);
            mac.finalize().into_bytes().to_vec()
        }
        Err(_) => Vec::new(), // a key of HMAC has no illegal length
    }
}

fn too_far(signed: SystemTime, now: SystemTime) -> bool {
    let apart = now.duration_since(signed).or_else(|_| signed.duration_since(now));
    apart.is_ok_and(|apart| apart > MAX_SKEW)
}

/// Checks `Authorization: AWS4-HMAC-SHA256 ...` over the request as it came.
pub fn check_s3(request: &Request, id: &str, secret: &str, now: SystemTime) -> Signature {
    let Some(authorization) = request.header("authorization") else {
        return match request.query("X-Amz-Signature") {
            Some(_) => Signature::Unchecked("presigned"),
            None => Signature::None,
        };
    };
    let wrong = |why: &str| Signature::Wrong(why.into());
    let Some(fields) = authorization.strip_prefix("AWS4-HMAC-SHA256 ") else {
        return wrong("not AWS4-HMAC-SHA256");
    };
    let field =
        |name: &str| fields.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let (Some(credential), Some(signed), Some(signature)) =
        (field("Credential"), field("SignedHeaders"), field("Signature"))
    else {
        return wrong("a part of the Authorization header is missing");
    };
    let Some((key, scope)) = credential.split_once('/') else { return wrong("no scope") };
    if key != id {
        return Signature::UnknownKey;
    }
    let (Some(stamp), Some(payload)) = (request.header("x-amz-date"), request.header("x-amz-content-sha256"))
    else {
        return wrong("no x-amz-date or no x-amz-content-sha256");
    };
    let parts: Vec<&str> = scope.split('/').collect();
    let [day, _region, "s3", "aws4_request"] = parts[..] else { return wrong("the scope is not of s3") };
    match parse_amz_date(stamp) {
        Some(signed_at) if too_far(signed_at, now) => return Signature::Skewed,
        Some(_) if stamp.starts_with(day) => {}
        _ => return wrong("the date is malformed or not of the scope's day"),
    }
    let names: Vec<&str> = signed.split(';').collect();
    for (name, _) in &request.headers {
        let must = name == "host" || name.starts_with("x-amz-");
        // Trailers come behind the signed head.
        let trailer = request.header("x-amz-trailer").is_some_and(|all| all.contains(name.as_str()));
        if must && !trailer && !names.contains(&name.as_str()) {
            return wrong(&format!("the header {name} is not signed"));
        }
    }
    let mut query: Vec<String> = request
        .query
        .iter()
        .map(|(name, value)| format!("{}={}", percent_encode(name, ""), percent_encode(value, "")))
        .collect();
    query.sort();
    let mut canonical = format!(
        "{}\n{}\n{}\n",
        request.method,
        percent_encode(&percent_decode(&request.path), "/"),
        query.join("&")
    );
    for name in &names {
        let values: Vec<String> = request
            .headers
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, value)| value.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        canonical.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    canonical.push_str(&format!("\n{signed}\n{payload}"));
    let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut derived = format!("AWS4{secret}").into_bytes();
    for part in parts {
        derived = hmac(&derived, part.as_bytes());
    }
    if hex(&hmac(&derived, text.as_bytes())) != signature {
        return wrong("another signature was computed");
    }
    let is_hash = payload.len() == 64 && payload.bytes().all(|b| b.is_ascii_hexdigit());
    let body = request.framed.as_ref().unwrap_or(&request.body);
    match is_hash && payload != hex(&Sha256::digest(body.as_slice())) {
        true => wrong("x-amz-content-sha256 is not the body's"),
        false => Signature::Valid,
    }
}

/// Checks `Authorization: SharedKey ...` over the request as it came.
pub fn check_azure(request: &Request, account: &str, key: &str, now: SystemTime) -> Signature {
    let wrong = |why: &str| Signature::Wrong(why.into());
    let Some(authorization) = request.header("authorization") else {
        return match request.query("sig") {
            Some(_) => Signature::Unchecked("sas"),
            None => Signature::None,
        };
    };
    if authorization.starts_with("Bearer ") {
        return Signature::Unchecked("bearer");
    }
    let Some((name, signature)) =
        authorization.strip_prefix("SharedKey ").and_then(|rest| rest.split_once(':'))
    else {
        return wrong("not SharedKey");
    };
    if name != account {
        return Signature::UnknownKey;
    }
    let date = request.header("x-ms-date").or_else(|| request.header("date"));
    match date.and_then(parse_http_date) {
        Some(signed_at) if too_far(signed_at, now) => return Signature::Skewed,
        Some(_) => {}
        None => return wrong("no date"),
    }
    let Ok(key) = STANDARD.decode(key) else { return wrong("the server's key is no base64") };
    match STANDARD.encode(hmac(&key, string_to_sign(request, account).as_bytes())) == signature {
        true => Signature::Valid,
        false => wrong("another signature was computed"),
    }
}

fn string_to_sign(request: &Request, account: &str) -> String {
    let mut text = request.method.clone();
    for name in [
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-type",
        "date",
        "if-modified-since",
        "if-match",
        "if-none-match",
        "if-unmodified-since",
        "range",
    ] {
        let value = request.header(name).unwrap_or_default();
        // With x-ms-date the other date does not count.
        let ignored = name == "content-length" && value == "0"
            || name == "date" && request.header("x-ms-date").is_some();
        text.push('\n');
        text.push_str(if ignored { "" } else { value });
    }
    let own: BTreeMap<&str, &str> = request
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-ms-"))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    for (name, value) in own {
        text.push_str(&format!("\n{name}:{value}"));
    }
    text.push_str(&format!("\n/{account}{}", request.path));
    let mut query: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, value) in &request.query {
        query.entry(name.to_lowercase()).or_default().push(value);
    }
    for (name, mut values) in query {
        values.sort_unstable();
        text.push_str(&format!("\n{name}:{}", values.join(",")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        Request {
            method: method.into(),
            path: path.into(),
            headers: headers.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
            ..Request::default()
        }
    }

    /// The example "GET Object" of the service's documentation.
    #[test]
    fn s3_known_answer() {
        const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let (id, secret) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let authorization = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        let signed = |range: &'static str| {
            request(
                "GET",
                "/test.txt",
                &[
                    ("host", "examplebucket.s3.amazonaws.com"),
                    ("range", range),
                    ("x-amz-content-sha256", EMPTY),
                    ("x-amz-date", "20130524T000000Z"),
                    ("authorization", authorization),
                ],
            )
        };
        let then = parse_amz_date("20130524T000500Z").unwrap();
        let good = signed("bytes=0-9");
        assert_eq!(check_s3(&good, id, secret, then), Signature::Valid);
        assert_eq!(check_s3(&good, id, secret, then + MAX_SKEW), Signature::Skewed);
        assert_eq!(check_s3(&good, "other", secret, then), Signature::UnknownKey);
        assert!(matches!(check_s3(&good, id, "other", then), Signature::Wrong(_)));
        assert!(matches!(check_s3(&signed("bytes=0-8"), id, secret, then), Signature::Wrong(_)));
        let mut more = good.clone();
        more.headers.push(("x-amz-meta-a".into(), "unsigned".into()));
        assert!(matches!(check_s3(&more, id, secret, then), Signature::Wrong(_)));
        let mut body = good;
        body.body = std::sync::Arc::new(b"x".to_vec());
        assert!(matches!(check_s3(&body, id, secret, then), Signature::Wrong(_)), "not the empty body");
    }

    /// The example of the service's documentation ("Authorize with Shared Key").
    #[test]
    fn azure_string_to_sign_known_answer() {
        let mut list = request(
            "GET",
            "/mycontainer",
            &[("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"), ("x-ms-version", "2015-02-21")],
        );
        list.query = crate::text::parse_query("comp=metadata&restype=container&timeout=20");
        assert_eq!(
            string_to_sign(&list, "myaccount"),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
             /myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
        );
    }
}
