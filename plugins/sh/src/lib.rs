//! Source hashing: a client keeps its backend, whichever director it comes through.
#![forbid(unsafe_code)]

use wvs_plugin::{
    About, Backend, Dispatch, FALLBACK, HashKey, Param, ParamKind, Params, Scheduler, fill_by_hash,
};

/// The source hashing scheduler.
#[derive(Debug, Default)]
pub struct SourceHash {
    backends: Vec<Backend>,
    fallback: bool,
}

impl Scheduler for SourceHash {
    const ABOUT: About = About {
        name: "sh",
        version: env!("CARGO_PKG_VERSION"),
        summary: "hash of the client's address; losing a backend moves few other clients",
        params: &[
            Param {
                key: "port",
                kind: ParamKind::Boolean,
                default: "false",
                help: "hash the client's port too, so that one client's connections spread",
            },
            FALLBACK,
        ],
    };

    fn configure(params: &Params) -> Result<(Self, Dispatch), String> {
        let key = if params.boolean("port")? {
            HashKey::SourceAndPort
        } else {
            HashKey::Source
        };
        let scheduler = Self {
            backends: Vec::new(),
            fallback: params.boolean(FALLBACK.key)?,
        };
        Ok((scheduler, Dispatch::Hash(key)))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.backends = backends.to_vec();
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        Ok(fill_by_hash(&self.backends, slots, self.fallback))
    }
}

wvs_plugin::export!(SourceHash);
