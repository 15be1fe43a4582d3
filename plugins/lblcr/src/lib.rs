//! Locality-based least connection with replication: an address that clients ask for has a set of servers, for caches
//! some of whose contents one server cannot serve alone.
//!
//! Of the set the server with the least to do for its weight is taken. If that has more active connections than its
//! weight while another server has less than half of its own, the one with the least to do of all joins the set. A
//! set of several that has not changed for the expiration time loses its busiest member.
#![forbid(unsafe_code)]

use wvs_plugin::{
    About, Backend, CountingScheduler, Destinations, Flow, FlowScheduler, Param, ParamKind, Params, Server,
    Servers, host,
};

/// The locality-based least connection scheduler with replication.
#[derive(Debug)]
pub struct Replicated {
    servers: Servers,
    /// Which servers each destination has.
    known: Destinations<Set>,
    /// In seconds.
    expiration: f64,
    /// When connections were last observed: reading the clock costs half a pick.
    now: f64,
}

/// The servers of a destination, the newest first.
#[derive(Clone, Debug)]
struct Set {
    members: Vec<Server>,
    changed: f64,
}

impl Set {
    fn of(server: Server) -> Self {
        Self {
            members: vec![server],
            changed: host::now(),
        }
    }

    fn add(&mut self, server: Server) {
        if !self.members.contains(&server) {
            self.members.insert(0, server);
            self.changed = host::now();
        }
    }

    /// Takes out the busiest if the set is old and large.
    fn shrink(&mut self, servers: &Servers, now: f64, expiration: f64) {
        if self.members.len() > 1
            && now > self.changed + expiration
            && let Some(busiest) = servers.most_of(&mut self.members)
        {
            self.members.retain(|member| *member != busiest);
            self.changed = now;
        }
    }
}

impl FlowScheduler for Replicated {
    const ABOUT: About = About {
        name: "lblcr",
        version: env!("CARGO_PKG_VERSION"),
        summary: "locality-based least connection with replication: a destination has as many servers as it needs",
        params: &[
            Param {
                key: "expiration",
                kind: ParamKind::Integer {
                    min: 1,
                    max: i32::MAX,
                },
                default: "86400",
                help: "after so many seconds a set that has not changed loses a server, an unused destination is forgotten",
            },
            Param {
                key: "destinations",
                kind: ParamKind::Integer { min: 1, max: 65_536 },
                default: "16384",
                help: "above so many, those unused for six minutes are forgotten; twice as many are remembered at most",
            },
        ],
    };

    fn configure(params: &Params) -> Result<Self, String> {
        let size = params.integer("destinations")?.unsigned_abs();
        let now = host::now();
        Ok(Self {
            servers: Servers::default(),
            known: Destinations::new(size, host::random(), now),
            expiration: f64::from(params.integer("expiration")?),
            now,
        })
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.servers.update(backends);
        Ok(())
    }

    fn pick(&mut self, flow: &Flow) -> Option<u32> {
        let server = match self.known.recall(flow.dst) {
            Some(set) => {
                set.members.retain_mut(|member| self.servers.knows(member));
                let mut least = self.servers.least_of(&mut set.members);
                set.shrink(&self.servers, self.now, self.expiration);
                let suits = least.as_mut().is_some_and(|server| self.servers.suits(server));
                match least {
                    Some(server) if suits => server,
                    _ => {
                        let server = self.servers.least()?;
                        set.add(server);
                        server
                    }
                }
            }
            None => {
                let server = self.servers.least()?;
                self.known.remember(flow.dst, Set::of(server));
                server
            }
        };
        Some(self.servers.give(server))
    }
}

impl CountingScheduler for Replicated {
    fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        self.servers.observe(active, inactive);
        self.now = host::now();
        self.known.check(self.now, self.expiration);
    }
}

wvs_plugin::export!(Replicated, flows, load);
