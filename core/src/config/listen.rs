//! What a service listens on, and its text form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::endpoint::not_an_address;
use super::text::{TextError, number, quoted};
use crate::ruleset::Protocol;

/// What a virtual service answers to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Listen {
    /// `tcp://10.0.0.100:80`, `udp://[2001:db8::100]:53`, `tcp://10.0.0.100:80,443,8000-8010`
    Socket {
        /// The protocol.
        protocol: Protocol,
        /// The virtual IP.
        address: IpAddr,
        /// Sorted, without overlap, at least one.
        ports: Vec<PortRange>,
    },
    /// `fwmark:7`: packets that carry the mark, whatever their address, protocol and port.
    Mark(u32),
}

impl Listen {
    /// The virtual IP; `None` for a mark.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Listen::Socket { address, .. } => Some(*address),
            Listen::Mark(_) => None,
        }
    }
}

/// A port or a range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The first port, at least 1.
    pub first: u16,
    /// The last port, not below the first.
    pub last: u16,
}

impl PortRange {
    /// Whether it is one port only.
    pub fn is_single(self) -> bool {
        self.first == self.last
    }

    /// Whether a port lies in the range.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Whether the two ranges share a port.
    pub fn overlaps(self, other: PortRange) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

const LISTEN: &str =
    "`tcp://10.0.0.100:80`, `udp://[2001:db8::100]:53`, `tcp://10.0.0.100:80,443,8000-8010` or `fwmark:7`";
const MARK: &str = "a mark of 1 or more, decimal or hexadecimal: `fwmark:7` or `fwmark:0x7`";
/// What is wrong with firewall mark 0.
pub(super) const MARK_ZERO: &str = "firewall mark 0 is what packets carry that nobody marked";
const PORTS: &str = "a port from 1 to 65535, a list or a range of them: `80`, `80,443` or `8000-8010`";

impl FromStr for Listen {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if let Some(mark) = text.strip_prefix("fwmark:") {
            return match number(mark) {
                Some(0) => Err(TextError::new(MARK_ZERO, mark, MARK)),
                Some(mark) => Ok(Listen::Mark(mark)),
                None => Err(TextError::new(format!("{} is not a firewall mark", quoted(mark)), mark, MARK)),
            };
        }
        if text.is_empty() {
            return Err(TextError::new("the listen is empty", "", LISTEN));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(TextError::new(
                format!("{} does not begin with a protocol", quoted(text)),
                "",
                LISTEN,
            ));
        };
        let Some(protocol) = Protocol::ALL
            .into_iter()
            .find(|protocol| protocol.name() == scheme)
        else {
            let message = format!("{} is not a protocol that wvs forwards", quoted(scheme));
            return Err(TextError::new(message, scheme, LISTEN));
        };
        let (address, ports) = socket(rest)?;
        Ok(Listen::Socket {
            protocol,
            address,
            ports: parse_ports(ports)?,
        })
    }
}

/// Takes `ADDRESS:PORTS` apart.
fn socket(text: &str) -> Result<(IpAddr, &str), TextError> {
    let (host, ports) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((host, rest)) = rest.split_once(']') else {
                let message = format!("{} has no closing bracket", quoted(text));
                return Err(TextError::new(message, text, LISTEN));
            };
            (host, rest.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((host, ports)) => (host, Some(ports)),
            None => (text, None),
        },
    };
    let bracketed = text.starts_with('[');
    let address = if bracketed {
        host.parse().ok().map(IpAddr::V6)
    } else {
        host.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    };
    match (address, ports) {
        (Some(address), Some(ports)) if !ports.is_empty() => Ok((address, ports)),
        (Some(_), _) => Err(TextError::new(format!("{} has no port", quoted(text)), text, LISTEN)),
        (None, _) if host.contains(':') && !bracketed => {
            let message =
                format!("{} has no brackets; an IPv6 address takes them before its port", quoted(text));
            Err(TextError::new(message, text, LISTEN))
        }
        (None, _) => Err(TextError::new(not_an_address(host), host, LISTEN)),
    }
}

/// Reads `80,443,8000-8010` into sorted ranges that neither overlap nor touch.
///
/// Ranges that touch become one, so that equal sets of ports are equal values.
pub fn parse_ports(text: &str) -> Result<Vec<PortRange>, TextError> {
    let mut ranges = text.split(',').map(parse_range).collect::<Result<Vec<_>, _>>()?;
    ranges.sort_unstable();
    let mut merged: Vec<PortRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => {
                last.last = last.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    Ok(merged)
}

fn parse_range(text: &str) -> Result<PortRange, TextError> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (parse_port(first, PORTS)?, parse_port(last, PORTS)?),
        None => (parse_port(text, PORTS)?, parse_port(text, PORTS)?),
    };
    if first > last {
        return Err(TextError::new(format!("the range `{text}` ends before it begins"), text, PORTS));
    }
    Ok(PortRange { first, last })
}

/// Reads one port; `expected` says how it should look.
pub(super) fn parse_port(text: &str, expected: &'static str) -> Result<u16, TextError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let message = match text.parse() {
        Ok(port) if port > 0 && digits => return Ok(port),
        _ if digits => format!("port {} is out of range", quoted(text)),
        _ if text.is_empty() => "a port is missing".to_owned(),
        _ if text.trim().parse::<u16>().is_ok() => "ports are written without blanks".to_owned(),
        _ => format!("{} is not a port", quoted(text)),
    };
    Err(TextError::new(message, text, expected))
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Socket {
                protocol,
                address,
                ports,
            } => {
                match address {
                    IpAddr::V4(address) => write!(f, "{protocol}://{address}:")?,
                    IpAddr::V6(address) => write!(f, "{protocol}://[{address}]:")?,
                }
                for (index, range) in ports.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{range}")?;
                }
                Ok(())
            }
            Listen::Mark(mark) => write!(f, "fwmark:{mark}"),
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> String {
        listen.to_string()
    }
}
