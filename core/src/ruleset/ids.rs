//! Maps from clients and ids to backend ids, besides slot maps.

use std::collections::BTreeMap;
use std::fmt;

use super::Key;
use crate::scheduler::BackendId;

/// A map whose elements are backend ids. Its name says all of its shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdMap {
    /// `answers-SERVICE`: what its scheduler, which was asked, may have answered → id of that backend.
    Answers(String),
    /// `group-GROUP`: as [`IdMap::Persist`], for all services of a group.
    Group(String),
    /// `held-SERVICE`: which of the service's backends a remembered id stands for. What it lacks is forgotten.
    Held(String),
    /// `persist-SERVICE`: client → id of the backend that it was sent to. The kernel adds the elements and forgets
    /// them after a time; to us it is always empty.
    Persist(String),
    /// `pins-BITS-SERVICE`: so many bits of a client's address → id of its backend.
    Pins(u8, String),
}

/// The elements of such a map.
pub type Ids = BTreeMap<Key, BackendId>;

/// The most clients that one map remembers, at about 100 bytes each. Those that come when it is full are served
/// and not remembered.
pub const MOST_CLIENTS: u32 = 262_144;

impl IdMap {
    /// The map of a kernel name.
    pub fn from_kernel(name: &str) -> Option<Self> {
        let (kind, rest) = name.split_once('-')?;
        let owned = || rest.to_owned();
        let map = match kind {
            "answers" => IdMap::Answers(owned()),
            "group" => IdMap::Group(owned()),
            "held" => IdMap::Held(owned()),
            "persist" => IdMap::Persist(owned()),
            "pins" => {
                let (bits, service) = rest.split_once('-')?;
                IdMap::Pins(bits.parse().ok()?, service.to_owned())
            }
            _ => return None,
        };
        // A number may be written in several ways.
        (map.to_string() == name).then_some(map)
    }

    /// Whether the kernel fills it by itself.
    pub fn is_dynamic(&self) -> bool {
        matches!(self, IdMap::Group(_) | IdMap::Persist(_))
    }
}

impl fmt::Display for IdMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdMap::Answers(service) => write!(f, "answers-{service}"),
            IdMap::Group(group) => write!(f, "group-{group}"),
            IdMap::Held(service) => write!(f, "held-{service}"),
            IdMap::Persist(service) => write!(f, "persist-{service}"),
            IdMap::Pins(bits, service) => write!(f, "pins-{bits}-{service}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_map_it_is() {
        for map in [
            IdMap::Answers("web".into()),
            IdMap::Group("a-b".into()),
            IdMap::Held("pins-3-a".into()),
            IdMap::Persist("9".into()),
            IdMap::Pins(0, "24-web".into()),
            IdMap::Pins(128, "web".into()),
        ] {
            assert_eq!(IdMap::from_kernel(&map.to_string()), Some(map));
        }
        for name in [
            "pins-024-web",
            "pins-web",
            "pins-+1-web",
            "pins-256-web",
            "slots-web",
            "persist",
            "other",
        ] {
            assert_eq!(IdMap::from_kernel(name), None, "{name}");
        }
    }
}
