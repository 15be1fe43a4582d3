//! Networks: an address and how many of its bits count.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::endpoint::not_an_address;
use super::text::{TextError, quoted};
use crate::ruleset::Family;

const PREFIX: &str = "`10.9.0.0/16`, `2001:db8:9::/48`, or one address";

/// A network, `10.9.0.0/16`; or an address, which is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    /// The first address: bits beyond the length are 0.
    pub address: IpAddr,
    /// How many bits count, at most [`Prefix::longest`].
    pub length: u8,
}

impl Prefix {
    /// A network of one address.
    pub fn of_one(address: IpAddr) -> Self {
        Prefix {
            address,
            length: longest(address),
        }
    }

    /// The network of so many bits that an address lies in.
    pub fn around(address: IpAddr, length: u8) -> Self {
        let length = length.min(longest(address));
        Prefix {
            address: cut(address, length),
            length,
        }
    }

    /// The family of its addresses.
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }

    /// How many bits an address of its family has.
    pub fn longest(&self) -> u8 {
        longest(self.address)
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family() && cut(address, self.length) == self.address
    }

    /// What is wrong with it by itself, if anything.
    pub fn fault(&self) -> Option<String> {
        let Prefix { address, length } = *self;
        if length > self.longest() {
            return Some(format!("a prefix of {} has at most {} bits", self.family(), self.longest()));
        }
        let network = cut(address, length);
        (network != address)
            .then(|| format!("{address}/{length} is not a network: the first address of it is {network}"))
    }
}

fn longest(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address with all bits beyond the length cleared.
fn cut(address: IpAddr, length: u8) -> IpAddr {
    let beyond = u32::from(longest(address).saturating_sub(length));
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(beyond).unwrap_or(0)).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(beyond).unwrap_or(0)).into()),
    }
}

impl FromStr for Prefix {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| TextError::new(not_an_address(text), text, PREFIX))
        };
        let Some((address, length)) = text.split_once('/') else {
            return parse(text).map(Prefix::of_one);
        };
        let address = parse(address)?;
        let plain = length.bytes().all(|byte| byte.is_ascii_digit());
        let Some(length) = length.parse().ok().filter(|_| plain) else {
            let message = match length {
                "" => "the length of the prefix is missing".to_owned(),
                _ => format!("{} is not the length of a prefix", quoted(length)),
            };
            return Err(TextError::new(message, length, PREFIX));
        };
        let prefix = Prefix { address, length };
        prefix
            .fault()
            .map_or(Ok(prefix), |message| Err(TextError::new(message, "", PREFIX)))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl TryFrom<String> for Prefix {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, TextError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> String {
        prefix.to_string()
    }
}

/// Reads a list, or one prefix that needs no brackets.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Prefix>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(Prefix),
        Many(Vec<Prefix>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(prefix) => vec![prefix],
        OneOrMany::Many(prefixes) => prefixes,
    })
}
