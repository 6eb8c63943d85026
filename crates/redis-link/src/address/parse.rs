//! The parser behind [`ServerUrl::parse`](super::ServerUrl::parse).

use std::net::Ipv6Addr;
use std::path::PathBuf;

use store_core::Secret;

use super::{Endpoint, ServerUrl, Topology, UrlError};

const SCHEMES: [&str; 8] =
    ["redis", "rediss", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster", "kvrocks", "kvrockss"];

pub(super) fn url(text: &str) -> Result<ServerUrl, UrlError> {
    if text.trim().is_empty() {
        return Err(UrlError::Empty);
    }
    if text.chars().any(|character| character.is_whitespace() || character.is_control()) {
        return Err(UrlError::Whitespace);
    }
    if let Some(path) = text.strip_prefix("embedded:") {
        return embedded(path);
    }
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
    let scheme = SCHEMES.into_iter().find(|known| scheme.eq_ignore_ascii_case(known)).ok_or(UrlError::Scheme)?;
    if rest.contains('#') {
        return Err(UrlError::Fragment);
    }
    if rest.contains('?') {
        return Err(UrlError::Query);
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (userinfo, hosts) = match authority.rsplit_once('@') {
        Some((userinfo, hosts)) => (Some(userinfo), hosts),
        None => (None, authority),
    };
    let (username, password) = credentials(userinfo)?;
    let endpoints = endpoints(hosts, default_port(scheme))?;
    let (topology, database) = topology(scheme, endpoints, path)?;
    Ok(ServerUrl { scheme, topology, username, password, database })
}

fn embedded(path: &str) -> Result<ServerUrl, UrlError> {
    let path = match path {
        "" => None,
        path if path.starts_with('/') && !path.starts_with("//") && path.len() > 1 => Some(PathBuf::from(path)),
        _ => return Err(UrlError::EmbeddedPath),
    };
    let topology = Topology::Embedded(path);
    Ok(ServerUrl { scheme: "embedded", topology, username: None, password: None, database: None })
}

fn default_port(scheme: &str) -> u16 {
    match scheme {
        "redis-sentinel" | "rediss-sentinel" => 26379,
        "kvrocks" | "kvrockss" => 6666,
        _ => 6379,
    }
}

fn topology(scheme: &str, endpoints: Vec<Endpoint>, path: &str) -> Result<(Topology, Option<u32>), UrlError> {
    match scheme {
        "redis-sentinel" | "rediss-sentinel" => {
            let (service, path) = path.split_once('/').unwrap_or((path, ""));
            let named = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
            if service.is_empty() || !service.chars().all(named) {
                return Err(UrlError::Service);
            }
            Ok((Topology::Sentinel { sentinels: endpoints, service: service.to_owned() }, database(path)?))
        }
        "redis-cluster" | "rediss-cluster" | "kvrocks" | "kvrockss" if !path.is_empty() => {
            database(path)?;
            Err(UrlError::ClusterDatabase)
        }
        "redis-cluster" | "rediss-cluster" => Ok((Topology::Cluster(endpoints), None)),
        "kvrocks" | "kvrockss" => Ok((Topology::Kvrocks(endpoints), None)),
        _ => {
            let mut endpoints = endpoints;
            let database = database(path)?;
            match endpoints.pop() {
                Some(only) if endpoints.is_empty() => Ok((Topology::Standalone(only), database)),
                Some(last) => {
                    endpoints.push(last);
                    Ok((Topology::Several(endpoints), database))
                }
                None => Err(UrlError::Host),
            }
        }
    }
}

fn database(path: &str) -> Result<Option<u32>, UrlError> {
    if path.is_empty() {
        return Ok(None);
    }
    number(path).map(Some).ok_or(UrlError::Database)
}

/// Digits only: the standard library's parser also accepts a sign.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn credentials(userinfo: Option<&str>) -> Result<(Option<String>, Option<Secret>), UrlError> {
    let (username, password) =
        userinfo.unwrap_or_default().split_once(':').unwrap_or((userinfo.unwrap_or_default(), ""));
    let present = |text: String| (!text.is_empty()).then_some(text);
    Ok((present(decode(username)?), present(decode(password)?).map(Secret::new)))
}

fn decode(text: &str) -> Result<String, UrlError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(UrlError::Encoding);
        let value = digit()? * 16 + digit()?;
        decoded.push(u8::try_from(value).map_err(|_| UrlError::Encoding)?);
    }
    String::from_utf8(decoded).map_err(|_| UrlError::Encoding)
}

fn endpoints(hosts: &str, default_port: u16) -> Result<Vec<Endpoint>, UrlError> {
    hosts.split(',').map(|host| endpoint(host, default_port)).collect()
}

fn endpoint(text: &str, default_port: u16) -> Result<Endpoint, UrlError> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(UrlError::Host)?;
        let address: Ipv6Addr = host.parse().map_err(|_| UrlError::Host)?;
        let port = match port.strip_prefix(':') {
            Some(port) => Some(port),
            None if port.is_empty() => None,
            None => return Err(UrlError::Port),
        };
        (address.to_string(), port)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if host.is_empty() || !host.bytes().all(named) {
            return Err(UrlError::Host);
        }
        (host.to_owned(), port)
    };
    let port = match port {
        None => default_port,
        Some(port) => number(port).filter(|port| *port != 0).ok_or(UrlError::Port)?,
    };
    Ok(Endpoint::new(host, port))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{Endpoint, ServerUrl, Topology, UrlError};

    fn parse(text: &str) -> ServerUrl {
        ServerUrl::parse(text).unwrap()
    }

    #[test]
    fn every_form_is_parsed() {
        let url = parse("redis://app:p%40ss%3A%2F@Cache.Internal:7000/3");
        assert_eq!(url.topology(), &Topology::Standalone(Endpoint::new("cache.internal", 7000)));
        assert_eq!((url.username(), url.password().unwrap().expose()), (Some("app"), "p@ss:/"));
        assert_eq!((url.database(), url.is_tls()), (Some(3), false));

        let url = parse("rediss://:secret@[0:0::1]");
        assert_eq!(url.topology(), &Topology::Standalone(Endpoint::new("::1", 6379)));
        assert_eq!((url.username(), url.is_tls(), url.database()), (None, true, None));

        let both = vec![Endpoint::new("a", 6379), Endpoint::new("b", 1)];
        assert_eq!(parse("redis://a,b:1/").topology(), &Topology::Several(both.clone()));
        assert_eq!(parse("redis-cluster://a,b:1").topology(), &Topology::Cluster(both));
        assert_eq!(parse("kvrockss://a").topology(), &Topology::Kvrocks(vec![Endpoint::new("a", 6666)]));
        let sentinel = parse("rediss-sentinel://s1,s2/main/7");
        let sentinels = vec![Endpoint::new("s1", 26379), Endpoint::new("s2", 26379)];
        assert_eq!(sentinel.topology(), &Topology::Sentinel { sentinels, service: "main".into() });
        assert_eq!((sentinel.database(), sentinel.is_tls()), (Some(7), true));
        assert_eq!(parse("embedded:").topology(), &Topology::Embedded(None));
        let file = Topology::Embedded(Some(PathBuf::from("/var/state.redb")));
        assert_eq!(parse("embedded:/var/state.redb").topology(), &file);
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        for (text, error) in [
            ("", UrlError::Empty),
            (" redis://h", UrlError::Whitespace),
            ("redis://h\n", UrlError::Whitespace),
            ("h:6379", UrlError::Scheme),
            ("http://h", UrlError::Scheme),
            ("redis:/h", UrlError::Scheme),
            ("redis://", UrlError::Host),
            ("redis:///3", UrlError::Host),
            ("redis://a,,b", UrlError::Host),
            ("redis://h%20h", UrlError::Host),
            ("redis://[::1", UrlError::Host),
            ("redis://::1", UrlError::Host),
            ("redis://h:0", UrlError::Port),
            ("redis://h:+1", UrlError::Port),
            ("redis://h:65536", UrlError::Port),
            ("redis://h:", UrlError::Port),
            ("redis://[::1]6379", UrlError::Port),
            ("redis://u:%zz@h", UrlError::Encoding),
            ("redis://u:%4@h", UrlError::Encoding),
            ("redis://u:%ff@h", UrlError::Encoding),
            ("redis://h/three", UrlError::Database),
            ("redis://h/-1", UrlError::Database),
            ("redis://h/3/4", UrlError::Database),
            ("redis://h/99999999999", UrlError::Database),
            ("redis://h/3?protocol=resp3", UrlError::Query),
            ("redis://h/3#x", UrlError::Fragment),
            ("redis-sentinel://h", UrlError::Service),
            ("redis-sentinel://h/a%20b", UrlError::Service),
            ("redis-cluster://h/0", UrlError::ClusterDatabase),
            ("kvrocks://h/1", UrlError::ClusterDatabase),
            ("embedded:state.redb", UrlError::EmbeddedPath),
            ("embedded://x/y", UrlError::EmbeddedPath),
        ] {
            assert_eq!(ServerUrl::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn no_output_shows_the_password() {
        for text in [
            "redis://app:canary@h/3",
            "rediss://:canary@h",
            "redis-sentinel://:canary@a,b:1/main/3",
            "kvrocks://u:canary@[::1]",
        ] {
            let url = parse(text);
            let printed = format!("{url} {url:?} {:?}", url.clone().with_database(4));
            assert!(!printed.contains("canary"), "{printed}");
            assert!(printed.contains(":***@"), "{printed}");
        }
        let token = parse("redis://canary@h");
        assert_eq!(format!("{token} {token:?}").matches("canary").count(), 0, "{token}");
        let refused = ServerUrl::parse("redis://:canary#@h").unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("canary"));
    }

    #[test]
    fn a_printed_url_without_password_parses_to_itself() {
        for text in ["redis://h:6379/3", "redis-sentinel://a:1,b:2/main/3", "embedded:/x.redb", "rediss://[::1]:1"] {
            assert_eq!(parse(text).to_string(), text);
            assert_eq!(parse(&parse(text).to_string()), parse(text));
        }
        assert_eq!(parse("redis://h").with_database(9).to_string(), "redis://h:6379/9");
        assert_eq!(parse("embedded:").with_database(9).database(), None);
    }
}
