//! Which server answered how often, and what went wrong how often.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

/// Answers by server and failures by kind.
///
/// Compare it as a whole, so that a failure is never overlooked:
/// `assert_eq!(seen, Distribution::of(&[("rs1", 10), ("rs2", 5)]))`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// How many each server answered. A server that answered none is not in it.
    pub servers: BTreeMap<String, usize>,
    /// How many failed, by kind: `ConnectionRefused`, `ConnectionReset`, `TimedOut`,
    /// `UnexpectedEof` (closed before the server said its name), `HostUnreachable` …
    pub errors: BTreeMap<io::ErrorKind, usize>,
}

impl Distribution {
    /// A distribution without failures, to compare with.
    pub fn of(servers: &[(&str, usize)]) -> Self {
        let servers = servers
            .iter()
            .map(|&(server, count)| (server.to_owned(), count))
            .collect();
        Self {
            servers,
            errors: BTreeMap::new(),
        }
    }

    /// So many real servers, `rs1` and on, each as often: `even(3, 10)` for thirty requests in turn.
    pub fn even(servers: usize, each: usize) -> Self {
        let names: Vec<String> = (1..=servers).map(|n| format!("rs{n}")).collect();
        Self::of(&names.iter().map(|name| (name.as_str(), each)).collect::<Vec<_>>())
    }

    /// How often `server` answered.
    pub fn server(&self, server: &str) -> usize {
        self.servers.get(server).copied().unwrap_or(0)
    }

    /// How often any server answered.
    pub fn answered(&self) -> usize {
        self.servers.values().sum()
    }

    /// How often none did.
    pub fn failed(&self) -> usize {
        self.errors.values().sum()
    }

    /// How often it went wrong this way.
    pub fn error(&self, kind: io::ErrorKind) -> usize {
        self.errors.get(&kind).copied().unwrap_or(0)
    }

    pub(crate) fn count(&mut self, outcome: Result<&str, io::ErrorKind>) {
        match outcome {
            Ok(server) => match self.servers.get_mut(server) {
                Some(count) => *count += 1,
                None => drop(self.servers.insert(server.to_owned(), 1)),
            },
            Err(kind) => *self.errors.entry(kind).or_default() += 1,
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = self
            .servers
            .iter()
            .map(|(server, count)| format!("{server} {count}"));
        let errors = self.errors.iter().map(|(kind, count)| format!("{kind} {count}"));
        f.write_str(&servers.chain(errors).collect::<Vec<_>>().join(", "))
    }
}
