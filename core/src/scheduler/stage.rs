//! A service without a director: its backends, and what can happen to them. For simulations and conformance tests.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::{BackendId, Candidate};

/// Something that happens to a backend: `remove b3`, `weight b1 5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which one, counted from 1; it is called `b1`.
    pub backend: u16,
    /// What happens to it.
    pub kind: ChangeKind,
}

/// What happens to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It comes, or comes back; without a weight with the one that it had, or else with 1.
    Add(Option<u32>),
    /// It goes.
    Remove,
    /// It gets another weight.
    Weight(u32),
    /// It is to get no new connections.
    Drain,
    /// It gets new connections again.
    Undrain,
    /// No packet can be sent to it.
    Down,
    /// Packets can be sent to it again.
    Up,
    /// It has as many connections as it may have.
    Full,
    /// It has room again.
    Free,
}

/// Those without a number.
const PLAIN: [(&str, ChangeKind); 8] = [
    ("add", ChangeKind::Add(None)),
    ("remove", ChangeKind::Remove),
    ("drain", ChangeKind::Drain),
    ("undrain", ChangeKind::Undrain),
    ("down", ChangeKind::Down),
    ("up", ChangeKind::Up),
    ("full", ChangeKind::Full),
    ("free", ChangeKind::Free),
];

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backend = self.backend;
        match self.kind {
            ChangeKind::Add(Some(weight)) => write!(f, "add b{backend} {weight}"),
            ChangeKind::Weight(weight) => write!(f, "weight b{backend} {weight}"),
            kind => {
                let word = PLAIN.iter().find(|(_, known)| *known == kind);
                write!(f, "{} b{backend}", word.map_or("", |(word, _)| word))
            }
        }
    }
}

/// A text that is no change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no change: write `add b3`, `add b3 5`, `remove b3`, `weight b3 5`, `drain b3`, `undrain b3`, \
     `down b3`, `up b3`, `full b3` or `free b3`"
)]
pub struct ChangeTextError {
    text: String,
}

impl FromStr for Change {
    type Err = ChangeTextError;

    fn from_str(text: &str) -> Result<Self, ChangeTextError> {
        let refused = || ChangeTextError {
            text: text.trim().to_owned(),
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (word, name, number) = match *words.as_slice() {
            [word, name] => (word, name, None),
            [word, name, number] => (word, name, Some(number.parse().map_err(|_| refused())?)),
            _ => return Err(refused()),
        };
        let backend = name.strip_prefix('b').and_then(|digits| digits.parse().ok());
        let backend = backend.filter(|number| *number > 0).ok_or_else(refused)?;
        let kind = match (word, number) {
            ("add", Some(_)) => ChangeKind::Add(number),
            ("weight", Some(weight)) => ChangeKind::Weight(weight),
            (word, None) => {
                let known = PLAIN.iter().find(|(known, _)| *known == word);
                known.map(|(_, kind)| *kind).ok_or_else(refused)?
            }
            _ => return Err(refused()),
        };
        Ok(Change { backend, kind })
    }
}

/// A change that cannot happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The backend is not there.
    #[error("there is no b{backend} then")]
    Missing {
        /// Which one.
        backend: u16,
    },
    /// The backend is there already.
    #[error("b{backend} is there already")]
    Present {
        /// Which one.
        backend: u16,
    },
}

/// The backends of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    backends: Vec<Candidate>,
    /// The weights of those that have gone.
    weights: BTreeMap<u16, u32>,
}

impl Stage {
    /// Backends with these weights: `b1`, `b2`, …
    #[must_use]
    pub fn new(weights: &[u32]) -> Self {
        let backends = (1..).zip(weights).map(|(id, weight)| backend(id, *weight));
        Self {
            backends: backends.collect(),
            weights: BTreeMap::new(),
        }
    }

    /// The backends as a scheduler sees them.
    #[must_use]
    pub fn backends(&self) -> &[Candidate] {
        &self.backends
    }

    /// How many connections it should get in proportion to the others: its weight, or 0 if it gets none.
    #[must_use]
    pub fn effective_weight(&self, id: BackendId) -> u32 {
        let known = self
            .backends
            .iter()
            .find(|known| known.id == id && known.usable());
        known.map_or(0, |known| known.weight)
    }

    /// Lets something happen.
    ///
    /// # Errors
    /// If it cannot, because the backend is not there, or is there already.
    pub fn apply(&mut self, change: Change) -> Result<(), ChangeError> {
        let number = change.backend;
        let place = self.backends.iter().position(|known| known.id.0 == number);
        let Some(place) = place else {
            let ChangeKind::Add(weight) = change.kind else {
                return Err(ChangeError::Missing { backend: number });
            };
            let before = self.weights.get(&number).copied();
            self.backends
                .push(backend(number, weight.or(before).unwrap_or(1)));
            return Ok(());
        };
        let it = &mut self.backends[place];
        match change.kind {
            ChangeKind::Add(_) => return Err(ChangeError::Present { backend: number }),
            ChangeKind::Remove => {
                self.weights.insert(number, it.weight);
                self.backends.remove(place);
            }
            ChangeKind::Weight(weight) => it.weight = weight,
            ChangeKind::Drain => it.draining = true,
            ChangeKind::Undrain => it.draining = false,
            ChangeKind::Down => it.down = true,
            ChangeKind::Up => it.down = false,
            ChangeKind::Full => it.overloaded = true,
            ChangeKind::Free => it.overloaded = false,
        }
        Ok(())
    }
}

/// A backend at an address of its own.
#[must_use]
pub fn backend(id: u16, weight: u32) -> Candidate {
    Candidate {
        id: BackendId(id),
        weight,
        address: Ipv4Addr::from(0x0a01_0000 + u32::from(id)).into(),
        port: 8080,
        draining: false,
        overloaded: false,
        down: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_it_is_written() {
        for text in [
            "add b3",
            "add b3 5",
            "remove b3",
            "weight b1 0",
            "drain b65535",
            "undrain b2",
            "down b2",
            "up b2",
            "full b2",
            "free b2",
        ] {
            assert_eq!(text.parse::<Change>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "b3",
            "remove 3",
            "remove b0",
            "remove b3 5",
            "weight b3",
            "weight b3 x",
            "lose b3",
            "add b3 -1",
        ] {
            let error = text.parse::<Change>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is no change: write ")), "{error}");
        }
    }

    #[test]
    fn a_backend_that_comes_back_has_its_weight() {
        let mut stage = Stage::new(&[5, 3]);
        let mut happens = |text: &str| {
            stage.apply(text.parse().unwrap()).map(|()| {
                let backends = stage.backends().iter();
                backends
                    .map(|known| (known.id.0, known.weight, known.usable()))
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(happens("remove b1"), Ok(vec![(2, 3, true)]));
        assert_eq!(happens("remove b1"), Err(ChangeError::Missing { backend: 1 }));
        assert_eq!(happens("add b1"), Ok(vec![(2, 3, true), (1, 5, true)]));
        assert_eq!(happens("add b2"), Err(ChangeError::Present { backend: 2 }));
        assert_eq!(happens("down b2"), Ok(vec![(2, 3, false), (1, 5, true)]));
        assert_eq!(happens("up b2"), Ok(vec![(2, 3, true), (1, 5, true)]));
        assert_eq!(happens("add b7").map(|all| all[2]), Ok((7, 1, true)));
    }
}
