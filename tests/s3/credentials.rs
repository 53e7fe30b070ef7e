//! Who we are (SPEC S3): static, environment, profile, container, web identity, anonymous; and that no secret
//! shows anywhere. What reads the environment runs in a process of its own.

use crate::fake::{Fake, Reply, failure, http};
use crate::support::{Backend, S3_ACCESS_KEY, S3_SECRET_KEY, s3_options, server, unique};
use crate::{detail, options, run, store_at};
use bytes::Bytes;
use s3dlio::options::Options;
use s3dlio::store::{ListRequest, PutOptions, store_for_uri};
use s3dlio::{Code, Error};
use std::process::Command;

/// What [`child`] prints where its put and stat succeeded.
pub const DONE: &str = "child: stored and found";

/// Puts and stats an object with nothing but the environment; run by [`in_environment`].
#[test]
#[ignore = "run by the other tests of this module in a process of its own"]
fn child() {
    let options = match std::env::var("CHILD_PROFILE") {
        Ok(profile) => options(&[("s3.profile", &profile)]),
        Err(_) => Options::new(),
    };
    let store = store_for_uri(&std::env::var("CHILD_URI").unwrap(), &options).unwrap();
    let outcome = run(store.put("k", Bytes::from_static(b"x").into(), &PutOptions::default()));
    match outcome.and_then(|_| run(store.stat("k"))) {
        Ok(meta) => println!("{DONE} {} bytes", meta.size),
        Err(error) => println!("child: {:?}: {error}", error.code()),
    }
}

/// Runs [`child`] against `uri` with exactly these variables of AWS and returns what it printed.
pub fn in_environment(uri: &str, variables: &[(&str, &str)]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "credentials::child", "--ignored", "--nocapture"]);
    let ours = |name: &str| name.starts_with("S3DLIO_") && name != "S3DLIO_USE_OPTIMIZED_HTTP";
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || ours(name)) {
        command.env_remove(name);
    }
    command.env("HOME", home.path()).env("AWS_EC2_METADATA_DISABLED", "true").env("CHILD_URI", uri);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    text.into_owned()
}

/// An endpoint that checks signatures, and a root there.
fn checked() -> (String, String) {
    (server("seaweed", "S3DLIO_TEST_SEAWEED"), Backend::seaweed().root_uri)
}

fn assert_done(text: &str) {
    assert!(text.contains(DONE), "{text}");
}

#[test]
fn s3_credentials_of_the_environment() {
    let (endpoint, uri) = checked();
    let identity = [("AWS_ENDPOINT_URL_S3", endpoint.as_str()), ("AWS_ACCESS_KEY_ID", S3_ACCESS_KEY)];
    assert_done(&in_environment(&uri, &[identity[0], identity[1], ("AWS_SECRET_ACCESS_KEY", S3_SECRET_KEY)]));
    let text = in_environment(&uri, &[identity[0], identity[1], ("AWS_SECRET_ACCESS_KEY", "canary")]);
    assert!(text.contains("child: Unauthenticated") && !text.contains("canary"), "{text}");
}

#[test]
fn s3_credentials_of_a_profile() {
    let (endpoint, uri) = checked();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let profile = |name: &str, secret: &str| {
        format!("[{name}]\naws_access_key_id = {S3_ACCESS_KEY}\naws_secret_access_key = {secret}\n")
    };
    std::fs::write(&path, profile("default", "canary") + &profile("other", S3_SECRET_KEY)).unwrap();
    let file =
        [("AWS_ENDPOINT_URL_S3", endpoint.as_str()), ("AWS_SHARED_CREDENTIALS_FILE", path.to_str().unwrap())];
    assert_done(&in_environment(&uri, &[file[0], file[1], ("AWS_PROFILE", "other")]));
    let text = in_environment(&uri, &file);
    assert!(text.contains("child: Unauthenticated") && !text.contains("canary"), "{text}");

    // A profile that the option names goes before keys in the environment; AWS_PROFILE does not.
    let wrong = [("AWS_ACCESS_KEY_ID", S3_ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", "canary")];
    assert_done(&in_environment(&uri, &[file[0], file[1], wrong[0], wrong[1], ("CHILD_PROFILE", "other")]));
    let text = in_environment(&uri, &[file[0], file[1], wrong[0], wrong[1], ("AWS_PROFILE", "other")]);
    assert!(text.contains("child: Unauthenticated"), "{text}");
}

#[test]
fn s3_credentials_of_a_container() {
    let (endpoint, uri) = checked();
    let json = format!(
        r#"{{"AccessKeyId":"{S3_ACCESS_KEY}","SecretAccessKey":"{S3_SECRET_KEY}","Token":"","Expiration":"2099-01-01T00:00:00Z"}}"#
    );
    let fake = Fake::start(move |_, _| Reply::Keep(http(200, &["Content-Type: application/json"], &json)));
    let source = format!("{}/credentials", fake.endpoint);
    let text = in_environment(
        &uri,
        &[("AWS_ENDPOINT_URL_S3", &endpoint), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &source)],
    );
    assert_done(&text);
    assert!(fake.requests()[0].starts_with("GET /credentials"));
}

#[test]
fn s3_credentials_of_a_web_identity() {
    let (endpoint, uri) = checked();
    let xml = format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
         <AccessKeyId>{S3_ACCESS_KEY}</AccessKeyId><SecretAccessKey>{S3_SECRET_KEY}</SecretAccessKey>\
         <SessionToken></SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    let sts = Fake::start(move |_, _| Reply::Keep(http(200, &["Content-Type: text/xml"], &xml)));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a.web.token").unwrap();
    let text = in_environment(
        &uri,
        &[
            ("AWS_ENDPOINT_URL_S3", &endpoint),
            ("AWS_ENDPOINT_URL_STS", &sts.endpoint),
            ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/tests"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ],
    );
    assert_done(&text);
    assert!(sts.requests()[0].contains("WebIdentityToken=a.web.token"));
}

#[test]
fn s3_no_credentials_at_all_says_what_to_set() {
    let (endpoint, uri) = checked();
    let text = in_environment(&uri, &[("AWS_ENDPOINT_URL_S3", &endpoint)]);
    for part in ["child: Unauthenticated", "no credentials were found", "s3.anonymous"] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

#[test]
fn s3_region_of_option_environment_and_profile() {
    let fake = Fake::start(|_, _| Reply::Keep(http(200, &["ETag: \"e\""], "")));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, "[profile far]\nregion = ap-profile-1\n").unwrap();
    let identity = [
        ("AWS_ENDPOINT_URL_S3", fake.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ("AWS_PROFILE", "far"),
    ];
    let signed_for = |variables: &[(&str, &str)]| {
        in_environment("s3://bucket", variables);
        let last = fake.requests().pop().unwrap();
        last.split("Credential=id/").nth(1).unwrap().split('/').nth(1).unwrap().to_owned()
    };
    assert_eq!(signed_for(&identity), "ap-profile-1");
    assert_eq!(signed_for(&identity[..4]), "us-east-1", "nothing says another one");
    let with_region = [identity.as_slice(), &[("AWS_REGION", "eu-environment-1")]].concat();
    assert_eq!(signed_for(&with_region), "eu-environment-1");
}

fn put_error(options: &Options, uri: &str) -> Error {
    let store = store_for_uri(uri, options).unwrap();
    run(store.put("k", Bytes::from_static(b"x").into(), &PutOptions::default())).unwrap_err()
}

#[test]
fn s3_wrong_credentials_are_unauthenticated_and_stay_secret() {
    let (endpoint, uri) = checked();
    let wrong_secret = s3_options(&endpoint).with("s3.secret_access_key", "canary-secret").unwrap();
    let unknown_key = s3_options(&endpoint)
        .with("s3.access_key_id", "nobody")
        .and_then(|o| o.with("s3.secret_access_key", "canary-secret"))
        .and_then(|o| o.with("s3.session_token", "canary-token"))
        .unwrap();
    for options in [wrong_secret, unknown_key] {
        let store = store_for_uri(&uri, &options).unwrap();
        let listed = run(store.list_page(&ListRequest::default())).unwrap_err();
        let headed = run(store.stat("k")).unwrap_err();
        for error in [put_error(&options, &uri), listed, headed] {
            assert_eq!(error.code(), Code::Unauthenticated, "{error}");
            assert!(error.hint().is_some());
            let shown = format!(
                "{error} {error:?} {:?} {store:?} {options:?} {:?}",
                error.details(),
                store.options()
            );
            assert!(!shown.contains("canary"), "{shown}");
        }
    }
}

#[test]
fn s3_anonymous_requests_are_not_signed() {
    let (endpoint, uri) = checked();
    let anonymous = options(&[("s3.endpoint", &endpoint), ("s3.anonymous", "true")]);
    let error = put_error(&anonymous, &uri);
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    assert!(detail(&error, "hint").contains("s3.anonymous"), "{error}");

    let fake = Fake::start(|_, _| Reply::Keep(http(200, &["ETag: \"e\""], "")));
    let public = options(&[("s3.endpoint", &fake.endpoint), ("s3.anonymous", "true")]);
    run(store_for_uri("s3://bucket", &public).unwrap().put("k", Bytes::new().into(), &PutOptions::default()))
        .unwrap();
    run(store_at(&fake, &[]).put("k", Bytes::new().into(), &PutOptions::default())).unwrap();
    let signed = |at: usize| fake.requests()[at].contains("authorization: AWS4-HMAC-SHA256");
    assert_eq!((signed(0), signed(1)), (false, true));
}

#[test]
fn s3_a_missing_bucket_is_named_by_every_operation() {
    let (endpoint, _) = checked();
    let store = store_for_uri(&format!("s3://{}", unique("missing")), &s3_options(&endpoint)).unwrap();
    let errors = [
        run(store.stat("k")).map(drop),
        run(store.put("k", Bytes::new().into(), &PutOptions::default())).map(drop),
        run(store.create_upload("k", &PutOptions::default())).map(drop),
        run(store.list_page(&ListRequest::default())).map(drop),
        run(store.copy("a", "b")).map(drop),
        crate::read(&store, "k", 0, 1).map(drop),
        run(store.exists("k")).map(drop),
        run(store.delete_container()),
    ];
    for (at, error) in errors.into_iter().enumerate() {
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::ContainerNotFound, "operation {at}: {error}");
    }
}

#[test]
fn s3_denied_is_not_unauthenticated() {
    let fake = Fake::start(|_, _| Reply::Keep(failure(403, "AccessDenied")));
    let error = run(store_at(&fake, &[]).put("k", Bytes::new().into(), &PutOptions::default())).unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
}

#[test]
fn s3_a_bucket_elsewhere_says_where() {
    let fake = Fake::start(|_, _| {
        let body = "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>";
        Reply::Keep(http(301, &["x-amz-bucket-region: eu-west-3"], body))
    });
    let error = run(store_at(&fake, &[]).put("k", Bytes::new().into(), &PutOptions::default())).unwrap_err();
    assert!(error.hint().unwrap().contains("eu-west-3"), "{error}");
}
