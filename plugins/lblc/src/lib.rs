//! Locality-based least connection: an address that clients ask for stays with its server, for caches.
//!
//! A destination that is new goes where there is least to do for the weight. It stays there until that server has
//! more active connections than its weight while another one has less than half of its own.
#![forbid(unsafe_code)]

use wvs_plugin::{
    About, Backend, CountingScheduler, Destinations, Flow, FlowScheduler, Param, ParamKind, Params, Server,
    Servers, host,
};

/// The locality-based least connection scheduler.
#[derive(Debug)]
pub struct LocalityBased {
    servers: Servers,
    /// Which server each destination has.
    known: Destinations<Server>,
    /// In seconds.
    expiration: f64,
}

impl FlowScheduler for LocalityBased {
    const ABOUT: About = About {
        name: "lblc",
        version: env!("CARGO_PKG_VERSION"),
        summary: "locality-based least connection: a destination stays with its server until that is overloaded",
        params: &[
            Param {
                key: "expiration",
                kind: ParamKind::Integer {
                    min: 1,
                    max: i32::MAX,
                },
                default: "86400",
                help: "a destination that nobody asks for is forgotten after so many seconds",
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
        Ok(Self {
            servers: Servers::default(),
            known: Destinations::new(size, host::random(), host::now()),
            expiration: f64::from(params.integer("expiration")?),
        })
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.servers.update(backends);
        Ok(())
    }

    fn pick(&mut self, flow: &Flow) -> Option<u32> {
        let server = match self.known.recall(flow.dst) {
            Some(server) => {
                if !self.servers.suits(server) {
                    *server = self.servers.least()?;
                }
                *server
            }
            None => {
                let server = self.servers.least()?;
                self.known.remember(flow.dst, server);
                server
            }
        };
        Some(self.servers.give(server))
    }
}

impl CountingScheduler for LocalityBased {
    fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        self.servers.observe(active, inactive);
        self.known.check(host::now(), self.expiration);
    }
}

wvs_plugin::export!(LocalityBased, flows, load);
