//! Service numbers: what the program calls a pool.
//!
//! A connection's entry names the service that chose, for its timeouts, so a number keeps its meaning over restarts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::MOST_SERVICES;
use crate::config::Config;
use crate::pool::{PoolKey, families};

/// Which pool has which number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u32, PoolKey)>", into = "Vec<(u32, PoolKey)>")]
pub struct ServiceNumbers {
    by_pool: BTreeMap<PoolKey, u32>,
    /// Where the search for a free number goes on: a number just freed is taken again as late as possible.
    next: u32,
}

/// There are more services than the program has room for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} services of direct routing and tunnelling (one per family), and {MOST_SERVICES} are the most")]
pub struct TooManyServices(usize);

impl ServiceNumbers {
    /// Gives every pool of a service that uses the program a number, and frees those of all others.
    pub fn assign(&mut self, config: &Config) -> Result<(), TooManyServices> {
        let services = config.services.iter().filter(|service| service.uses_tc());
        let wanted: BTreeSet<PoolKey> = services
            .flat_map(|service| {
                families(service).map(|family| PoolKey {
                    service: service.name.clone(),
                    family,
                })
            })
            .collect();
        if wanted.len() > MOST_SERVICES as usize {
            return Err(TooManyServices(wanted.len()));
        }
        self.by_pool.retain(|pool, _| wanted.contains(pool));
        let mut taken: BTreeSet<u32> = self.by_pool.values().copied().collect();
        for pool in wanted {
            if self.by_pool.contains_key(&pool) {
                continue;
            }
            while taken.contains(&self.next) {
                self.next = (self.next + 1) % MOST_SERVICES;
            }
            taken.insert(self.next);
            self.by_pool.insert(pool, self.next);
            self.next = (self.next + 1) % MOST_SERVICES;
        }
        Ok(())
    }

    /// The number of a pool.
    pub fn get(&self, pool: &PoolKey) -> Option<u32> {
        self.by_pool.get(pool).copied()
    }

    /// The pool of a number.
    pub fn pool(&self, number: u32) -> Option<&PoolKey> {
        self.by_pool
            .iter()
            .find_map(|(pool, it)| (*it == number).then_some(pool))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&PoolKey, u32)> {
        self.by_pool.iter().map(|(pool, number)| (pool, *number))
    }
}

impl From<Vec<(u32, PoolKey)>> for ServiceNumbers {
    fn from(all: Vec<(u32, PoolKey)>) -> Self {
        let next = all.iter().map(|(number, _)| number + 1).max().unwrap_or(0) % MOST_SERVICES;
        ServiceNumbers {
            by_pool: all.into_iter().map(|(number, pool)| (pool, number)).collect(),
            next,
        }
    }
}

impl From<ServiceNumbers> for Vec<(u32, PoolKey)> {
    fn from(numbers: ServiceNumbers) -> Self {
        numbers
            .by_pool
            .into_iter()
            .map(|(pool, number)| (number, pool))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;
    use crate::ruleset::Family;

    fn config(names: &[&str]) -> Config {
        let service = |name: &&str| {
            format!(
                "[[service]]\nname = \"{name}\"\nlisten = [\"tcp://10.0.0.{}:80\"]\nforward = \"dr\"\n\
                 backend = [{{ address = \"10.1.0.11\" }}]\n",
                name.len()
            )
        };
        read(&names.iter().map(service).collect::<String>()).unwrap()
    }

    fn number(numbers: &ServiceNumbers, name: &str) -> Option<u32> {
        numbers.get(&PoolKey {
            service: name.into(),
            family: Family::V4,
        })
    }

    #[test]
    fn a_number_stays_and_a_freed_one_is_not_taken_again_at_once() {
        let mut numbers = ServiceNumbers::default();
        numbers.assign(&config(&["a", "bb"])).unwrap();
        assert_eq!((number(&numbers, "a"), number(&numbers, "bb")), (Some(0), Some(1)));
        numbers.assign(&config(&["bb"])).unwrap();
        numbers.assign(&config(&["bb", "ccc"])).unwrap();
        assert_eq!((number(&numbers, "bb"), number(&numbers, "ccc")), (Some(1), Some(2)));
        let text = serde_json::to_string(&numbers).unwrap();
        let read: ServiceNumbers = serde_json::from_str(&text).unwrap();
        assert_eq!(read, numbers);
        assert_eq!(read.pool(2).map(|pool| pool.service.as_str()), Some("ccc"));
    }

    #[test]
    fn services_of_nat_alone_have_none() {
        let text = "[[service]]\nname = \"a\"\nlisten = [\"tcp://10.0.0.1:80\"]\n\
                    backend = [{ address = \"10.1.0.11:80\" }]\n";
        let mut numbers = ServiceNumbers::default();
        numbers.assign(&read(text).unwrap()).unwrap();
        assert_eq!(numbers.iter().count(), 0);
    }
}
