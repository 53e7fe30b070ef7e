//! Which proxy a server is reached through: `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`
//! of the environment, read once.

use super::endpoint::{Endpoint, Scheme, split_port};
use crate::base::secret::Secret;
use crate::error::{Code, Error, Result};
use base64::Engine as _;
use percent_encoding::percent_decode_str;
use std::net::IpAddr;

/// What the environment says. A value that is no proxy is an error only for who would use it.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Result<Proxy>>,
    https: Option<Result<Proxy>>,
    except: Vec<Exception>,
}

/// A proxy with what it asks for.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub(super) endpoint: Endpoint,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<Secret>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Exception {
    All,
    /// The name and what is below it.
    Name(String, Option<u16>),
    Network {
        address: IpAddr,
        bits: u32,
        port: Option<u16>,
    },
}

impl Proxies {
    /// None at all.
    pub fn none() -> Proxies {
        Proxies::default()
    }

    pub fn from_environment() -> Proxies {
        Proxies::from(|name| std::env::var(name).ok())
    }

    /// As [`Proxies::from_environment`], with another environment. `HTTP_PROXY` in capitals is not
    /// looked at: in a CGI program a client could set it with a header called `Proxy`.
    pub fn from(lookup: impl Fn(&str) -> Option<String>) -> Proxies {
        let first = |names: &[&'static str]| {
            let found = names.iter().find_map(|name| Some((*name, lookup(name)?)));
            found.filter(|(_, value)| !value.is_empty()).map(|(name, value)| Proxy::parse(name, &value))
        };
        let all = || first(&["all_proxy", "ALL_PROXY"]);
        let except = lookup("no_proxy").or_else(|| lookup("NO_PROXY")).unwrap_or_default();
        Proxies {
            http: first(&["http_proxy"]).or_else(all),
            https: first(&["https_proxy", "HTTPS_PROXY"]).or_else(all),
            except: except.split([',', ' ', '\t']).filter_map(Exception::parse).collect(),
        }
    }

    /// The proxy to that server, if there is one on the way.
    pub fn to(&self, server: &Endpoint) -> Result<Option<&Proxy>> {
        let proxy = match server.scheme() {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        match proxy {
            Some(proxy) if !self.except.iter().any(|exception| exception.covers(server)) => match proxy {
                Ok(proxy) => Ok(Some(proxy)),
                Err(error) => Err(error.clone()),
            },
            _ => Ok(None),
        }
    }
}

impl Proxy {
    /// From `[http://][user:password@]host[:port]`. Errors name the variable, never its value.
    fn parse(variable: &'static str, value: &str) -> Result<Proxy> {
        let bad = |why: &str| {
            Error::new(Code::InvalidOption, format!("the environment variable {variable} {why}"))
                .with_hint("it should look like http://host:port; no_proxy names servers that need no proxy")
        };
        let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(bad("names a proxy that is neither http:// nor https://")),
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        let authorization = user.filter(|user| !user.is_empty()).map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let mut plain: Vec<u8> = percent_decode_str(name).collect();
            plain.push(b':');
            plain.extend(percent_decode_str(password));
            let plain = zeroize::Zeroizing::new(plain);
            Secret::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(&*plain)))
        });
        let (host, port) = split_port(host).ok_or_else(|| bad("names no valid port"))?;
        let endpoint = Endpoint::new(scheme, host, port).map_err(|_| bad("names no valid host"))?;
        Ok(Proxy { endpoint, authorization })
    }
}

impl Exception {
    /// `None` for what names nothing.
    fn parse(text: &str) -> Option<Exception> {
        if text == "*" {
            return Some(Exception::All);
        }
        if let Some((network, bits)) = text.split_once('/') {
            let address: IpAddr = unbracketed(network).parse().ok()?;
            let bits: u32 = bits.parse().ok()?;
            let fits = bits <= if address.is_ipv4() { 32 } else { 128 };
            return fits.then_some(Exception::Network { address, bits, port: None });
        }
        let (host, port) = match text.parse::<IpAddr>() {
            Ok(_) => (text, None), // the colons of IPv6 separate no port
            Err(_) => split_port(text)?,
        };
        match unbracketed(host).parse::<IpAddr>() {
            Ok(address) => {
                let bits = if address.is_ipv4() { 32 } else { 128 };
                Some(Exception::Network { address, bits, port })
            }
            Err(_) => {
                let name = host.strip_prefix('*').unwrap_or(host);
                let name = name.strip_prefix('.').unwrap_or(name).trim_end_matches('.').to_ascii_lowercase();
                (!name.is_empty()).then_some(Exception::Name(name, port))
            }
        }
    }

    fn covers(&self, server: &Endpoint) -> bool {
        let at = |port: &Option<u16>| port.is_none_or(|port| port == server.port());
        match self {
            Exception::All => true,
            Exception::Name(name, port) => {
                let host = server.host().trim_end_matches('.');
                let below = host.strip_suffix(name.as_str());
                at(port) && below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Exception::Network { address, bits, port } => {
                at(port) && server.ip().is_some_and(|ip| within(ip, *address, *bits))
            }
        }
    }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// Whether the first `bits` bits are the same.
fn within(ip: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let differ = ip.to_bits() ^ network.to_bits();
            differ.checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let differ = ip.to_bits() ^ network.to_bits();
            differ.checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::from(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| v.to_string()))
    }

    fn way(proxies: &Proxies, url: &str) -> String {
        match proxies.to(&Endpoint::parse(url).unwrap().0).unwrap() {
            Some(proxy) => proxy.endpoint.to_string(),
            None => "direct".into(),
        }
    }

    #[test]
    fn each_scheme_has_its_variable_and_small_letters_win() {
        let all = proxies(&[
            ("http_proxy", "http://a:1"),
            ("HTTP_PROXY", "http://evil:1"),
            ("https_proxy", "b:2"),
            ("HTTPS_PROXY", "http://c:3"),
        ]);
        assert_eq!(way(&all, "http://h"), "http://a:1");
        assert_eq!(way(&all, "https://h"), "http://b:2");
        let capitals = proxies(&[("HTTP_PROXY", "http://evil:1"), ("HTTPS_PROXY", "https://c")]);
        assert_eq!(way(&capitals, "http://h"), "direct");
        assert_eq!(way(&capitals, "https://h"), "https://c");
        let rest = proxies(&[("ALL_PROXY", "[::1]:8"), ("https_proxy", "")]);
        assert_eq!(way(&rest, "http://h"), "http://[::1]:8");
        assert_eq!(way(&rest, "https://h"), "http://[::1]:8");
        assert_eq!(way(&Proxies::none(), "http://h"), "direct");
    }

    #[test]
    fn no_proxy_names_hosts_suffixes_networks_and_ports() {
        let except = "a.com, .b.com *.c.com,10.0.0.0/8,192.168.1.1,[fd00::]/16,::1,d.com:81,[fe80::1]:9,,/,x/y,1.2.3.4/99";
        let proxies = proxies(&[("all_proxy", "p:1"), ("no_proxy", except), ("NO_PROXY", "*")]);
        let direct = [
            "http://a.com",
            "http://A.com:99",
            "https://x.a.com",
            "http://b.com",
            "http://x.y.b.com",
            "http://z.c.com",
            "http://10.255.0.1",
            "http://192.168.1.1:9000",
            "http://[fd00:1::2]",
            "http://[::1]:9000",
            "http://d.com:81",
            "http://x.d.com:81",
            "http://[fe80::1]:9",
            "http://a.com.",
        ];
        for url in direct {
            assert_eq!(way(&proxies, url), "direct", "{url}");
        }
        let through = [
            "http://xa.com",
            "http://a.com.evil",
            "http://11.0.0.1",
            "http://192.168.1.2",
            "http://[fe00::1]",
            "http://[::2]",
            "http://d.com",
            "http://[fe80::1]:8",
            "http://1.2.3.4",
            "http://com",
        ];
        for url in through {
            assert_eq!(way(&proxies, url), "http://p:1", "{url}");
        }
        let all = super::tests::proxies(&[("all_proxy", "p:1"), ("NO_PROXY", "*")]);
        assert_eq!(way(&all, "http://h"), "direct");
        let zero = super::tests::proxies(&[("all_proxy", "p:1"), ("NO_PROXY", "0.0.0.0/0")]);
        assert_eq!(
            (way(&zero, "http://9.9.9.9"), way(&zero, "http://h")),
            ("direct".into(), "http://p:1".into())
        );
    }

    #[test]
    fn credentials_become_a_header_and_show_nowhere() {
        let all = proxies(&[("http_proxy", "http://us%40er:canary%3A1@p:3128/path")]);
        let proxy = all.to(&Endpoint::parse("http://h").unwrap().0).unwrap().unwrap();
        let text = proxy.authorization.as_ref().unwrap().reveal();
        assert_eq!(text, "Basic dXNAZXI6Y2FuYXJ5OjE=");
        assert_eq!(proxy.endpoint.to_string(), "http://p:3128");
        assert!(!format!("{all:?}").contains("canary") && !format!("{all:?}").contains("dXNA"));
    }

    #[test]
    fn a_bad_proxy_is_an_error_for_who_would_use_it() {
        for value in ["socks5://canary:canary@h:1", "http://", "http://h:x", "canary@:1", "http://a b"] {
            let all = proxies(&[("https_proxy", value), ("no_proxy", "local")]);
            let error = all.to(&Endpoint::parse("https://h").unwrap().0).unwrap_err();
            assert_eq!(error.code(), Code::InvalidOption, "{value}");
            assert!(
                error.to_string().contains("https_proxy") && !error.to_string().contains("canary"),
                "{error}"
            );
            assert_eq!(way(&all, "http://h"), "direct");
            assert_eq!(way(&all, "https://local"), "direct");
        }
    }
}
