//! Where an account's blob service is and with what it is used: from the options, by rules that need
//! no I/O. What is malformed shows when the store is opened.

use super::sign::SharedKey;
use crate::base::secret::Secret;
use crate::base::uri::Uri;
use crate::error::{Code, Error, Result};
use crate::options::{self, Resolved};
use azure_core::http::Url;
use std::fmt;
use std::sync::Arc;

/// The account and key that every emulator has; they are public.
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const EMULATOR_ENDPOINT: &str = "http://127.0.0.1:10000/devstoreaccount1";

/// How requests are authorised. The first of these that is configured is used.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    /// `azure.anonymous`.
    Anonymous,
    /// `azure.account_key`, or `AccountKey` of the connection string.
    Key(Arc<SharedKey>),
    /// `azure.sas_token`, or `SharedAccessSignature` of the connection string.
    Sas(Secret),
    /// None of them: tokens of the environment's identity.
    Token,
}

/// An account's blob service.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// Up to and including the account, without a slash at the end.
    pub(super) endpoint: Url,
    pub(super) credential: Credential,
}

impl Account {
    pub(super) fn from_options(root: &Uri, options: &Resolved) -> Result<Account> {
        let name = root.account();
        let string = match options.secret(&options::AZURE_CONNECTION_STRING) {
            Some(text) => Some(ConnectionString::parse(text)?),
            None => None,
        };
        if let Some(other) = string.as_ref().and_then(|s| s.account.as_deref())
            && other != name
        {
            return Err(Error::new(
                Code::InvalidOption,
                format!("the connection string is for account {other:?}, the URI names {name:?}"),
            )
            .with_hint("unset azure.connection_string (AZURE_STORAGE_CONNECTION_STRING) or change the URI"));
        }
        let endpoint = match options.text(&options::AZURE_ENDPOINT) {
            Some(text) => text.to_owned(),
            None => match string.as_ref().and_then(ConnectionString::endpoint) {
                Some(text) => text,
                None => format!("https://{name}.blob.core.windows.net"),
            },
        };
        let endpoint = parse_endpoint(&endpoint)?;
        let credential = if options.bool(&options::AZURE_ANONYMOUS) {
            Credential::Anonymous
        } else if let Some(key) = options.secret(&options::AZURE_ACCOUNT_KEY) {
            Credential::Key(Arc::new(SharedKey::new(name, key)?))
        } else if let Some(sas) = options.secret(&options::AZURE_SAS_TOKEN) {
            Credential::Sas(check_sas(sas)?)
        } else {
            match string {
                Some(ConnectionString { key: Some(key), .. }) => {
                    Credential::Key(Arc::new(SharedKey::new(name, &key)?))
                }
                Some(ConnectionString { sas: Some(sas), .. }) => Credential::Sas(check_sas(&sas)?),
                Some(_) => {
                    return Err(Error::new(
                        Code::Unauthenticated,
                        "the connection string has neither AccountKey nor SharedAccessSignature",
                    ));
                }
                None => Credential::Token,
            }
        };
        if matches!(credential, Credential::Token) && endpoint.scheme() != "https" {
            return Err(Error::new(
                Code::Unauthenticated,
                "no credential is configured, and tokens are not sent over plain http",
            )
            .with_hint(
                "set azure.account_key, azure.sas_token, azure.connection_string or azure.anonymous",
            ));
        }
        Ok(Account { endpoint, credential })
    }
}

fn parse_endpoint(text: &str) -> Result<Url> {
    let bad = |why: &str| {
        Error::new(Code::InvalidOption, format!("azure.endpoint {why}")).with_hint(
            "write http://127.0.0.1:10000/devstoreaccount1 or https://ACCOUNT.blob.core.windows.net",
        )
    };
    let url = Url::parse(text.trim_end_matches('/')).map_err(|e| bad("is not a URL").with_source(&e))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(bad("must be an http or https URL with a host"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("must have no query").with_hint("put the query of a SAS URL into azure.sas_token"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("must have no user name or password"));
    }
    Ok(url)
}

/// The token without its question mark; it must look like a signature.
fn check_sas(sas: &Secret) -> Result<Secret> {
    let text = sas.reveal().trim().trim_start_matches('?');
    let signed = text.split('&').any(|pair| pair.strip_prefix("sig=").is_some_and(|v| !v.is_empty()));
    if !signed || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::new(
            Code::Unauthenticated,
            "the SAS token is malformed: it must be a query string with a sig parameter",
        ));
    }
    Ok(Secret::new(text))
}

/// The parts of `Name=Value;Name=Value` that matter here.
#[derive(Default)]
struct ConnectionString {
    account: Option<String>,
    key: Option<Secret>,
    sas: Option<Secret>,
    blob_endpoint: Option<String>,
    protocol: Option<String>,
    suffix: Option<String>,
}

impl ConnectionString {
    fn parse(secret: &Secret) -> Result<Self> {
        let bad = |why: String| {
            Error::new(Code::InvalidOption, format!("the connection string is malformed: {why}"))
                .with_hint("expected AccountName=...;AccountKey=...;EndpointSuffix=core.windows.net")
        };
        let mut parsed = ConnectionString::default();
        let mut emulator = false;
        for (index, piece) in secret.reveal().split(';').map(str::trim).enumerate() {
            if piece.is_empty() {
                continue;
            }
            // The piece itself may be a secret: it is named by its place only.
            let (name, value) =
                piece.split_once('=').ok_or_else(|| bad(format!("part {} has no =", index + 1)))?;
            match name.trim().to_ascii_lowercase().as_str() {
                "accountname" => parsed.account = Some(value.to_owned()),
                "accountkey" => parsed.key = Some(Secret::new(value)),
                "sharedaccesssignature" => parsed.sas = Some(Secret::new(value)),
                "blobendpoint" => parsed.blob_endpoint = Some(value.to_owned()),
                "defaultendpointsprotocol" => parsed.protocol = Some(value.to_ascii_lowercase()),
                "endpointsuffix" => parsed.suffix = Some(value.to_owned()),
                "usedevelopmentstorage" => emulator = value.eq_ignore_ascii_case("true"),
                _ => {} // endpoints of the other services
            }
        }
        if emulator {
            parsed.account.get_or_insert_with(|| EMULATOR_ACCOUNT.into());
            parsed.key.get_or_insert_with(|| Secret::new(EMULATOR_KEY));
            parsed.blob_endpoint.get_or_insert_with(|| EMULATOR_ENDPOINT.into());
        }
        if parsed.account.is_none() && parsed.blob_endpoint.is_none() {
            return Err(bad("it has neither AccountName nor BlobEndpoint".into()));
        }
        Ok(parsed)
    }

    fn endpoint(&self) -> Option<String> {
        if let Some(endpoint) = &self.blob_endpoint {
            return Some(endpoint.clone());
        }
        let protocol = self.protocol.as_deref().unwrap_or("https");
        let suffix = self.suffix.as_deref().unwrap_or("core.windows.net");
        Some(format!("{protocol}://{}.blob.{suffix}", self.account.as_deref()?))
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionString(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    fn open(options: &[(&str, &str)]) -> Result<Account> {
        let mut all = Options::new();
        for (key, value) in options {
            all.set(key, value).unwrap();
        }
        Account::from_options(&Uri::parse("az://acct/box").unwrap(), &all.resolve().unwrap())
    }

    #[test]
    fn s3_endpoints_of_options_and_connection_strings() {
        let key = "AccountKey=a2V5";
        let cases = [
            (vec![("azure.account_key", "a2V5")], "https://acct.blob.core.windows.net/"),
            (vec![("azure.account_key", "a2V5"), ("azure.endpoint", "http://h:1/acct/")], "http://h:1/acct"),
        ];
        for (options, endpoint) in cases {
            assert_eq!(open(&options).unwrap().endpoint.as_str(), endpoint);
        }
        let strings = [
            (format!("AccountName=acct;{key}"), "https://acct.blob.core.windows.net/"),
            (
                format!(
                    "DefaultEndpointsProtocol=http;AccountName=acct;{key};EndpointSuffix=core.chinacloudapi.cn"
                ),
                "http://acct.blob.core.chinacloudapi.cn/",
            ),
            (
                format!("BlobEndpoint=http://127.0.0.1:1/acct;AccountName=acct;{key};"),
                "http://127.0.0.1:1/acct",
            ),
            ("BlobEndpoint=https://x/;SharedAccessSignature=sv=1&sig=abc%3D".into(), "https://x/"),
        ];
        for (string, endpoint) in strings {
            let account = open(&[("azure.connection_string", &string)]).unwrap();
            assert_eq!(account.endpoint.as_str(), endpoint, "{string}");
        }
    }

    #[test]
    fn s3_what_is_malformed_shows_at_open_without_the_secret() {
        let cases: [(&[(&str, &str)], Code); 9] = [
            (&[("azure.account_key", "canary!")], Code::Unauthenticated),
            (&[("azure.sas_token", "canary")], Code::Unauthenticated),
            (&[("azure.connection_string", "canary")], Code::InvalidOption),
            (&[("azure.connection_string", "AccountKey=canary")], Code::InvalidOption),
            (&[("azure.connection_string", "AccountName=other;AccountKey=Y2FuYXJ5")], Code::InvalidOption),
            (&[("azure.connection_string", "AccountName=acct")], Code::Unauthenticated),
            (&[("azure.account_key", "a2V5"), ("azure.endpoint", "ftp://x")], Code::InvalidOption),
            (
                &[("azure.account_key", "a2V5"), ("azure.endpoint", "http://x/a?sig=canary")],
                Code::InvalidOption,
            ),
            (&[("azure.endpoint", "http://x/a")], Code::Unauthenticated),
        ];
        for (options, code) in cases {
            let error = open(options).unwrap_err();
            assert_eq!(error.code(), code, "{options:?}: {error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }

    #[test]
    fn s3_anonymous_needs_nothing() {
        assert!(matches!(open(&[("azure.anonymous", "1")]).unwrap().credential, Credential::Anonymous));
        assert!(matches!(open(&[]).unwrap().credential, Credential::Token));
    }
}
