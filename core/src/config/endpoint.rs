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
        let refuse = |message| {
            Err(TextError {
                message,
                expected: ENDPOINT,
            })
        };
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
        if text.contains("://") {
            return refuse(format!("{} names a protocol; a backend has that of its service", quoted(text)));
        }
        if text.is_empty() {
            return refuse("the address is empty".to_owned());
        }
        // Here something is wrong: with the port if an address stands before it, else with the address.
        match text.rsplit_once(':') {
            Some((host, port)) if host.starts_with('[') && host.ends_with(']') => {
                let inner = &host[1..host.len() - 1];
                match inner.parse::<Ipv6Addr>() {
                    Ok(_) => refuse_port(port),
                    Err(_) => refuse(not_an_address(inner)),
                }
            }
            Some((host, port)) if host.parse::<Ipv4Addr>().is_ok() => refuse_port(port),
            Some((host, _)) if !host.contains(':') && !host.starts_with('[') => refuse(not_an_address(host)),
            _ => refuse(not_an_address(text)),
        }
    }
}

fn refuse_port(port: &str) -> Result<Endpoint, TextError> {
    let message = match parse_port(port, ENDPOINT) {
        Err(error) => error.message,
        Ok(_) => format!("{} is not how a port is written", quoted(port)),
    };
    Err(TextError {
        message,
        expected: ENDPOINT,
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
        let refuse = |message| TextError {
            message,
            expected: POOL,
        };
        let address = |text: &str| text.parse().map_err(|_| refuse(not_an_address(text)));
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
        pool.fault().map_or(Ok(pool), |message| Err(refuse(message)))
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
    if text.contains('%') {
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
