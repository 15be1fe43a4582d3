//! Weighted rendezvous hashing: whoever comes or leaves, nobody else's clients move.
#![forbid(unsafe_code)]

use wvs_plugin::{About, Backend, Dispatch, HashKey, Param, ParamKind, Params, Scheduler, rendezvous};

/// The weighted rendezvous scheduler.
#[derive(Debug, Default)]
pub struct Rendezvous(Vec<Backend>);

impl Scheduler for Rendezvous {
    const ABOUT: About = About {
        name: "rendezvous",
        version: env!("CARGO_PKG_VERSION"),
        summary: "weighted rendezvous hash: a change moves only the clients it must; shares follow the weights on average",
        params: &[Param {
            key: "key",
            kind: ParamKind::Choice(&["source", "source-and-port", "destination", "both"]),
            default: "source",
            help: "what is hashed: the client's address, that and its port, the address asked for, or all of them",
        }],
    };

    fn configure(params: &Params) -> Result<(Self, Dispatch), String> {
        let key = match params.text("key")? {
            "source" => HashKey::Source,
            "source-and-port" => HashKey::SourceAndPort,
            "destination" => HashKey::Destination,
            "both" => HashKey::Both,
            other => return Err(["parameter key cannot be ", other].concat()),
        };
        Ok((Self::default(), Dispatch::Hash(key)))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.0 = backends.to_vec();
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        Ok(rendezvous(&self.0, slots))
    }
}

wvs_plugin::export!(Rendezvous);
