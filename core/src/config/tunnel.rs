//! What packets are wrapped in on their way to a backend that forwards by `tun`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::listen::parse_port;
use super::text::{TextError, quoted};

/// The port that IANA has given to GUE.
pub const GUE_PORT: u16 = 6080;

const TUNNEL: &str = "`ipip`, `gre`, `gue` or `gue:6080`, perhaps with `+checksum` behind it";
const KIND: &str = "`ipip`, `gre` or `gue`";

/// `"ipip"`, `"gre"`, or `{ type = "gue", port = 6080, checksum = true }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "TunnelText", into = "TunnelText")]
pub struct Tunnel {
    /// The kind of tunnel.
    pub kind: TunnelKind,
    /// Whether GRE's or UDP's checksum is filled in. Default false.
    pub checksum: bool,
}

/// The kinds of tunnels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TunnelKind {
    /// IP in IP, of either family in either.
    #[default]
    Ipip,
    /// GRE (RFC 2784).
    Gre,
    /// Generic UDP encapsulation, which networks spread like any other UDP.
    Gue {
        /// The UDP port that the backend listens on; 6080 if none is given.
        port: u16,
    },
}

impl TunnelKind {
    /// The name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            TunnelKind::Ipip => "ipip",
            TunnelKind::Gre => "gre",
            TunnelKind::Gue { .. } => "gue",
        }
    }
}

/// The kind by name; GUE with its usual port.
impl FromStr for TunnelKind {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text {
            "ipip" => Ok(TunnelKind::Ipip),
            "gre" => Ok(TunnelKind::Gre),
            "gue" => Ok(TunnelKind::Gue { port: GUE_PORT }),
            _ => Err(TextError::new(format!("{} is not a kind of tunnel", quoted(text)), text, KIND)),
        }
    }
}

impl FromStr for Tunnel {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let (rest, checksum) = match text.strip_suffix("+checksum") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let kind = match rest.split_once(':') {
            Some(("gue", port)) => TunnelKind::Gue {
                port: parse_port(port, TUNNEL)?,
            },
            Some((kind @ ("ipip" | "gre"), port)) => {
                return Err(TextError::new(format!("`{kind}` has no port"), port, TUNNEL));
            }
            _ => rest.parse().map_err(|error: TextError| TextError {
                expected: TUNNEL,
                ..error
            })?,
        };
        Ok(Tunnel { kind, checksum })
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if let TunnelKind::Gue { port } = self.kind {
            write!(f, ":{port}")?;
        }
        f.write_str(if self.checksum { "+checksum" } else { "" })
    }
}

/// The two ways to write a tunnel: a text, or a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TunnelText {
    /// `"gre"`
    Text(String),
    /// `{ type = "gue", port = 6080 }`
    Table(TunnelTable),
}

/// A tunnel as a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunnelTable {
    /// The kind: `ipip`, `gre` or `gue`.
    pub r#type: String,
    /// The port of `gue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether checksums are filled in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checksum: bool,
}

impl TryFrom<TunnelText> for Tunnel {
    type Error = TextError;

    fn try_from(text: TunnelText) -> Result<Self, TextError> {
        let TunnelTable {
            r#type,
            port,
            checksum,
        } = match text {
            TunnelText::Text(text) => return text.parse(),
            TunnelText::Table(table) => table,
        };
        let kind = match (r#type.parse()?, port) {
            (TunnelKind::Gue { .. }, Some(port)) => TunnelKind::Gue { port },
            (kind, None) => kind,
            (kind, Some(_)) => {
                let message = format!("`{}` has no port", kind.name());
                return Err(TextError::new(message, "", TUNNEL));
            }
        };
        Ok(Tunnel { kind, checksum })
    }
}

impl From<Tunnel> for TunnelText {
    fn from(tunnel: Tunnel) -> Self {
        let port = match tunnel.kind {
            TunnelKind::Gue { port } => Some(port),
            TunnelKind::Ipip | TunnelKind::Gre => None,
        };
        if port.is_none() && !tunnel.checksum {
            return TunnelText::Text(tunnel.kind.name().to_owned());
        }
        TunnelText::Table(TunnelTable {
            r#type: tunnel.kind.name().to_owned(),
            port,
            checksum: tunnel.checksum,
        })
    }
}
