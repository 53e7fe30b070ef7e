//! Where requests go: scheme, host and port.

use crate::error::{Code, Error, Result};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// One server, as its URL names it. Equal endpoints share connections.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    scheme: Scheme,
    /// In lower case; an IPv6 address without brackets.
    host: String,
    port: u16,
    /// What the `Host` header says.
    authority: String,
}

impl Endpoint {
    /// `host` is a name or an address, IPv6 with or without brackets.
    pub fn new(scheme: Scheme, host: &str, port: Option<u16>) -> Result<Endpoint> {
        let bad = |why: &str| {
            Error::new(Code::InvalidUri, format!("the host {host:?} {why}"))
                .with_hint("give a name such as s3.example.com, an IPv4 address or [an IPv6 address]")
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let (host, bracketed) = match bare {
            Some(bare) => {
                let address: Ipv6Addr = bare.parse().map_err(|_| bad("is no IPv6 address"))?;
                (address.to_string(), true)
            }
            None => match host.parse::<Ipv6Addr>() {
                Ok(address) => (address.to_string(), true),
                Err(_) => (host.to_ascii_lowercase(), false),
            },
        };
        if host.is_empty() {
            return Err(bad("is empty"));
        }
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if !bracketed && !host.bytes().all(legal) {
            return Err(bad("holds a character that no host name has"));
        }
        if host.len() > 253 {
            return Err(bad("is longer than the 253 characters of a host name"));
        }
        if port == Some(0) {
            return Err(bad("has port 0"));
        }
        let number = port.unwrap_or(scheme.default_port());
        let shown = if bracketed { format!("[{host}]") } else { host.clone() };
        let authority = if number == scheme.default_port() { shown } else { format!("{shown}:{number}") };
        Ok(Endpoint { scheme, host, port: number, authority })
    }

    /// From `http://host[:port][/path]`; the second value is the path as it stands, empty if none.
    pub fn parse(url: &str) -> Result<(Endpoint, &str)> {
        // The text may hold credentials, so errors do not quote it before that is excluded.
        let bad = |why: &str| {
            Error::new(Code::InvalidUri, format!("the URL of the endpoint {why}"))
                .with_hint("it should look like https://host:port")
        };
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            _ => return Err(bad("does not begin with http:// or https://")),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(bad("holds a user name or password"));
        }
        if path.contains(['?', '#']) {
            return Err(bad("has a query or a fragment"));
        }
        let (host, port) = split_port(authority).ok_or_else(|| bad("has no valid port"))?;
        Ok((Endpoint::new(scheme, host, port)?, path))
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The `Host` header: brackets around IPv6, no port where it is the scheme's own.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Host and port, always both: what errors and `CONNECT` name.
    pub fn host_port(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// The address, where the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::Https
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.authority)
    }
}

/// Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(super) fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rfind(']') {
        Some(end) => {
            let (host, rest) = authority.split_at(end + 1);
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return None,
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    match port {
        None => Some((host, None)),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some((host, Some(digits.parse().ok()?)))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_give_scheme_host_port_and_path() {
        let cases = [
            ("http://Host", "host", 80, "host", ""),
            ("https://h:443/a/b", "h", 443, "h", "/a/b"),
            ("HTTP://127.0.0.1:9000/", "127.0.0.1", 9000, "127.0.0.1:9000", "/"),
            ("http://[::1]:80", "::1", 80, "[::1]", ""),
            ("https://[2001:DB8:0:0::1]:8443/x", "2001:db8::1", 8443, "[2001:db8::1]:8443", "/x"),
        ];
        for (url, host, port, authority, path) in cases {
            let (endpoint, rest) = Endpoint::parse(url).unwrap();
            assert_eq!(
                (endpoint.host(), endpoint.port(), endpoint.authority(), rest),
                (host, port, authority, path)
            );
        }
        let endpoint = Endpoint::new(Scheme::Http, "::1", None).unwrap();
        assert_eq!(
            (endpoint.host_port().as_str(), endpoint.to_string().as_str()),
            ("[::1]:80", "http://[::1]")
        );
        assert!(endpoint.ip().unwrap().is_loopback());
    }

    #[test]
    fn what_is_no_endpoint_is_refused_without_showing_a_password() {
        let bad = [
            "host:80",
            "ftp://h",
            "http://",
            "http://:80",
            "http://h:",
            "http://h:0",
            "http://h:65536",
            "http://h:+1",
            "http://u:canary@h",
            "http://h/?canary=1",
            "http://h#canary",
            "http://a b",
            "http://a\r\nX: y",
            "http://[::1",
            "http://[::1]x",
            "http://[nonsense]",
            "http://h%41",
            "http://\u{fc}",
        ];
        for url in bad {
            let error = Endpoint::parse(url).expect_err(url);
            assert_eq!(error.code(), Code::InvalidUri, "{url}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
