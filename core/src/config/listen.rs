//! What a service listens on, and the other values that have a text form of their own.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Endpoint, Forward, SchedulerSpec, SourcePool};
use crate::ruleset::{Family, Protocol};

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

/// Why a text is not the value it should be: what is wrong with it, and how a right one looks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (expected {expected})")]
pub struct TextError {
    /// What is wrong.
    pub message: String,
    /// What was expected, by example.
    pub expected: &'static str,
}

/// Quotes what an operator wrote, in one line and not at length.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{}`", shown.replace("\\'", "'").replace("\\\"", "\""))
}

const LISTEN: &str =
    "`tcp://10.0.0.100:80`, `udp://[2001:db8::100]:53`, `tcp://10.0.0.100:80,443,8000-8010` or `fwmark:7`";
const PORTS: &str = "a port from 1 to 65535, a list or a range of them: `80`, `80,443` or `8000-8010`";
const ENDPOINT: &str = "`10.1.0.11:8080`, `[2001:db8::11]:8080`, or `10.1.0.11` to keep the client's port";
const POOL: &str = "`10.0.0.1`, or a pool `10.0.0.1-10.0.0.8`";

impl FromStr for Listen {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let refuse = |message| {
            Err(TextError {
                message,
                expected: LISTEN,
            })
        };
        if let Some(mark) = text.strip_prefix("fwmark:") {
            return match number(mark) {
                Some(0) => refuse("firewall mark 0 is what packets carry that nobody marked".to_owned()),
                Some(mark) => Ok(Listen::Mark(mark)),
                None => refuse(format!("{} is not a firewall mark", quoted(mark))),
            };
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return refuse(format!("{} does not begin with a protocol", quoted(text)));
        };
        let Some(protocol) = Protocol::ALL
            .into_iter()
            .find(|protocol| protocol.name() == scheme)
        else {
            return refuse(format!("{} is not a protocol that wvs forwards", quoted(scheme)));
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
    let refuse = |message| {
        Err(TextError {
            message,
            expected: LISTEN,
        })
    };
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return refuse(format!("an IPv6 address takes brackets and a port, as in `[{address}]:80`"));
    }
    let (host, ports) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((host, rest)) = rest.split_once(']') else {
                return refuse(format!("{} has no closing bracket", quoted(text)));
            };
            (host, rest.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((host, ports)) => (host, Some(ports)),
            None => (text, None),
        },
    };
    let address = if text.starts_with('[') {
        host.parse().ok().map(IpAddr::V6)
    } else {
        host.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    };
    match (address, ports) {
        (Some(address), Some(ports)) if !ports.is_empty() => Ok((address, ports)),
        (Some(_), _) => refuse(format!("{} has no port", quoted(text))),
        (None, _) if host.contains(':') && !text.starts_with('[') => {
            refuse(format!("{} is not an address and a port; an IPv6 address takes brackets", quoted(text)))
        }
        (None, _) => refuse(not_an_address(host)),
    }
}

fn not_an_address(text: &str) -> String {
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
        let message = format!("the range `{first}-{last}` ends before it begins");
        return Err(TextError {
            message,
            expected: PORTS,
        });
    }
    Ok(PortRange { first, last })
}

fn parse_port(text: &str, expected: &'static str) -> Result<u16, TextError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let message = match text.parse() {
        Ok(port) if port > 0 && digits => return Ok(port),
        _ if digits => format!("port {} is out of range", quoted(text)),
        _ if text.is_empty() => "a port is missing".to_owned(),
        _ => format!("{} is not a port", quoted(text)),
    };
    Err(TextError { message, expected })
}

/// Reads a 32-bit number, decimal or hexadecimal with `0x`.
pub(crate) fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // from_str_radix alone would take a sign.
    if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        u32::from_str_radix(digits, radix).ok()
    } else {
        None
    }
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

impl FromStr for Forward {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Forward::ALL
            .into_iter()
            .find(|forward| forward.to_string() == text)
            .ok_or_else(|| TextError {
                message: format!("{} is not a forwarding method", quoted(text)),
                expected: "`nat`, `full-nat`, `dr` or `tun`",
            })
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

/// The two ways to write a scheduler: a name, or a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SchedulerText {
    /// `"wlc"`
    Name(String),
    /// `{ plugin = "wlc", params = { key = "value" } }`
    Table(SchedulerTable),
}

/// A scheduler as a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchedulerTable {
    /// The plugin's name or path.
    pub plugin: String,
    /// Its parameters.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
}

impl From<SchedulerText> for SchedulerSpec {
    fn from(text: SchedulerText) -> Self {
        match text {
            SchedulerText::Name(plugin) => SchedulerSpec {
                plugin,
                params: BTreeMap::new(),
            },
            SchedulerText::Table(SchedulerTable { plugin, params }) => SchedulerSpec { plugin, params },
        }
    }
}

impl From<SchedulerSpec> for SchedulerText {
    fn from(SchedulerSpec { plugin, params }: SchedulerSpec) -> Self {
        if params.is_empty() {
            SchedulerText::Name(plugin)
        } else {
            SchedulerText::Table(SchedulerTable { plugin, params })
        }
    }
}

/// Bit masks as `"0xffff0000"`; plain numbers are taken too.
pub mod hex {
    use std::fmt;

    use serde::de::{Error, Unexpected, Visitor};
    use serde::{Deserializer, Serializer};

    /// Writes a mask.
    pub fn serialize<S: Serializer>(mask: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{mask:#010x}"))
    }

    /// Reads a mask.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_any(Mask)
    }

    struct Mask;

    impl Visitor<'_> for Mask {
        type Value = u32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("32 bits such as \"0xffff0000\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u32, E> {
            super::number(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<u32, E> {
            u32::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<u32, E> {
            u32::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
        }
    }
}
