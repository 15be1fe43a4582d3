//! How long a service remembers clients and connections, and clients whose backend is given.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text::{self, TextError, quoted};
use super::{Endpoint, Prefix};

/// `persistence`: a client's next connections go where its first went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// How long after a client's last connection: 1 s to 31 days (`ipvsadm -p`).
    #[serde(with = "text::duration")]
    pub timeout: Duration,
    /// How many bits of an IPv4 address make a client, 1 to 32; default 32 (`ipvsadm -M`).
    #[serde(default = "whole_v4")]
    pub mask: u8,
    /// How many bits of an IPv6 address make a client, 1 to 128; default 128.
    #[serde(default = "whole_v6")]
    pub mask6: u8,
    /// Services of one group share what they remember: a client has the same real server in all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What becomes of the clients of a backend that takes no new connections. Default `keep`.
    #[serde(default)]
    pub when_quiesced: WhenQuiesced,
}

/// All bits of an IPv4 address.
pub fn whole_v4() -> u8 {
    32
}

/// All bits of an IPv6 address.
pub fn whole_v6() -> u8 {
    128
}

impl Persistence {
    /// Every address a client of its own, remembered for that long.
    pub fn lasting(timeout: Duration) -> Self {
        Persistence {
            timeout,
            mask: whole_v4(),
            mask6: whole_v6(),
            group: None,
            when_quiesced: WhenQuiesced::default(),
        }
    }
}

/// What becomes of remembered clients whose backend has weight 0 or is drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenQuiesced {
    /// They go there as long as they are remembered.
    #[default]
    Keep,
    /// Their next connection goes elsewhere (`expire_quiescent_template` of LVS).
    Expire,
}

impl std::fmt::Display for WhenQuiesced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            WhenQuiesced::Keep => "keep",
            WhenQuiesced::Expire => "expire",
        })
    }
}

impl FromStr for WhenQuiesced {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text {
            "keep" => Ok(WhenQuiesced::Keep),
            "expire" => Ok(WhenQuiesced::Expire),
            _ => {
                let message = format!("{} is not what can become of remembered clients", quoted(text));
                Err(TextError::new(message, "", "`keep` or `expire`"))
            }
        }
    }
}

/// `timeouts`: how long an idle connection is kept in mind, 1 s to 31 days each. The defaults are those of LVS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Of TCP and SCTP, while established; default 15 minutes.
    #[serde(with = "text::duration")]
    pub established: Duration,
    /// Of TCP and SCTP, once it is being closed; default 2 minutes.
    #[serde(with = "text::duration")]
    pub fin: Duration,
    /// Of UDP; default 5 minutes.
    #[serde(with = "text::duration")]
    pub udp: Duration,
}

impl Timeouts {
    /// Whether they are the defaults.
    pub fn is_default(&self) -> bool {
        *self == Timeouts::default()
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            established: Duration::from_secs(15 * 60),
            fin: Duration::from_secs(2 * 60),
            udp: Duration::from_secs(5 * 60),
        }
    }
}

/// One of `pins`: clients that always go to one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientPin {
    /// The clients. Where several pins hold one, the longest prefix counts.
    pub client: Prefix,
    /// One of the service's backends, as its `address` says it.
    pub backend: Endpoint,
}
