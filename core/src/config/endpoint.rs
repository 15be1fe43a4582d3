//! The text form of backends' addresses and of source addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::listen::parse_port;
use super::text::{TextError, quoted};
use super::{Endpoint, SourcePool};
use crate::ruleset::Family;

const ENDPOINT: &str = "`10.1.0.11:8080`, `[2001:db8::11]:8080`, or `10.1.0.11` to keep the client's port";
const POOL: &str = "`10.0.0.1`, or a pool `10.0.0.1-10.0.0.8`";

impl FromStr for Endpoint {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let refuse = |message: String, part| Err(TextError::new(message, part, ENDPOINT));
        if let Ok(address) = text.parse() {
            return Ok(Endpoint { address, port: None });
        }
        if let Ok(socket) = text.parse::<SocketAddr>()
            && socket.port() != 0
            && !text.contains('%')
        {
            return Ok(Endpoint {
                address: socket.ip(),
                port: Some(socket.port()),
            });
        }
        if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
            && let Ok(address) = address.parse()
        {
            return Ok(Endpoint {
                address: IpAddr::V6(address),
                port: None,
            });
        }
        if let Some((protocol, _)) = text.split_once("://") {
            let message = format!("{} is a protocol; a backend has that of its service", quoted(protocol));
            return refuse(message, protocol);
        }
        if text.is_empty() {
            return refuse("the address is empty".to_owned(), "");
        }
        if text.starts_with('[') && !text.contains(']') {
            return refuse(format!("{} has no closing bracket", quoted(text)), "");
        }
        // Here something is wrong: with the port if an address stands before it, else with the address.
        match text.rsplit_once(':') {
            Some((host, port)) if host.starts_with('[') && host.ends_with(']') => {
                let inner = &host[1..host.len() - 1];
                match inner.parse::<Ipv6Addr>() {
                    Ok(_) => refuse_port(port),
                    Err(_) => refuse(not_an_address(inner), inner),
                }
            }
            Some((host, port)) if host.parse::<Ipv4Addr>().is_ok() => refuse_port(port),
            Some((host, _)) if !host.contains(':') && !host.starts_with('[') => {
                refuse(not_an_address(host), host)
            }
            _ => refuse(not_an_address(text), ""),
        }
    }
}

/// Reads an address to listen on.
pub(super) fn parse_socket(text: &str) -> Result<SocketAddr, TextError> {
    const SOCKET: &str = "`127.0.0.1:9107`, `[::1]:9107`, or `[::]:9107` for all addresses of this host";
    // A backend's address is written alike.
    let Endpoint { address, port } = text.parse().map_err(|error| TextError {
        expected: SOCKET,
        ..error
    })?;
    match port {
        Some(port) => Ok(SocketAddr::new(address, port)),
        None => Err(TextError::new(format!("{} has no port", quoted(text)), "", SOCKET)),
    }
}

fn refuse_port(port: &str) -> Result<Endpoint, TextError> {
    Err(match parse_port(port, ENDPOINT) {
        Err(error) => error,
        Ok(_) => TextError::new(format!("{} is not how a port is written", quoted(port)), port, ENDPOINT),
    })
}

impl SourcePool {
    /// What is wrong with the pool by itself, if anything.
    pub fn fault(&self) -> Option<String> {
        if Family::of(self.first) != Family::of(self.last) {
            return Some(format!("the pool mixes {} and {}", Family::of(self.first), Family::of(self.last)));
        }
        (self.first > self.last).then(|| format!("the pool {self} ends before it begins"))
    }

    /// The family of its addresses.
    pub fn family(&self) -> Family {
        Family::of(self.first)
    }

    /// How many addresses it has; 0 if it is not well formed.
    pub fn size(&self) -> u128 {
        let size = match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                u32::from(last).checked_sub(u32::from(first)).map(u128::from)
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => u128::from(last).checked_sub(u128::from(first)),
            _ => None,
        };
        size.map_or(0, |steps| steps.saturating_add(1))
    }
}

impl FromStr for SourcePool {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let address = |text: &str| {
            text.parse()
                .map_err(|_| TextError::new(not_an_address(text), text, POOL))
        };
        let pool = match text.split_once('-') {
            Some((first, last)) => SourcePool {
                first: address(first)?,
                last: address(last)?,
            },
            None => SourcePool {
                first: address(text)?,
                last: address(text)?,
            },
        };
        pool.fault()
            .map_or(Ok(pool), |message| Err(TextError::new(message, "", POOL)))
    }
}

impl fmt::Display for SourcePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(f)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// What is wrong with a text that should be an address.
pub(super) fn not_an_address(text: &str) -> String {
    if text.is_empty() {
        "an address is missing".to_owned()
    } else if text.contains('/') {
        format!("{} is not one address", quoted(text))
    } else if text.contains('%') {
        format!("{} names an interface; wvs takes plain addresses only", quoted(text))
    } else if text.parse::<IpAddr>().is_ok() {
        format!("{} stands in brackets, which only IPv6 addresses take", quoted(text))
    } else if text.chars().any(|c| c.is_ascii_alphabetic()) && !text.contains(':') {
        format!("{} is not an IP address, and names are not looked up", quoted(text))
    } else {
        format!("{} is not an IP address", quoted(text))
    }
}

impl TryFrom<String> for Endpoint {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> String {
        endpoint.to_string()
    }
}

impl TryFrom<String> for SourcePool {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl From<SourcePool> for String {
    fn from(pool: SourcePool) -> String {
        pool.to_string()
    }
}
