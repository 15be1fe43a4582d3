//! Weighted overflow: the heaviest backend gets everything until it is full, then the next one.
//!
//! A weight is the number of active connections that a backend may have before it counts as full.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use wvs_plugin::{
    About, Backend, Counted, CountingScheduler, Counts, Dispatch, NO_BACKEND, Param, ParamKind, Params,
    Scheduler, interleave,
};

/// The weighted overflow scheduler.
#[derive(Debug)]
pub struct Overflow {
    counts: Counts,
    spread: bool,
}

impl Scheduler for Overflow {
    const ABOUT: About = About {
        name: "ovf",
        version: env!("CARGO_PKG_VERSION"),
        summary: "weighted overflow: the heaviest backend whose active connections do not exceed its weight",
        params: &[Param {
            key: "full",
            kind: ParamKind::Choice(&["reject", "spread"]),
            default: "reject",
            help: "what becomes of connections when all backends are full: refused, or shared out by weight",
        }],
    };

    fn configure(params: &Params) -> Result<(Self, Dispatch), String> {
        let scheduler = Self {
            counts: Counts::default(),
            spread: params.text("full")? == "spread",
        };
        Ok((scheduler, Dispatch::Cycle))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.counts.update(backends);
        Ok(())
    }

    /// The rule, pick by pick: one that is not full takes all until it has one more than its weight.
    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let slots = slots as usize;
        let mut table = Vec::with_capacity(slots);
        // Of several of the same weight the first in the list comes first.
        let usable = self.counts.usable().enumerate();
        let mut heaviest: BinaryHeap<(u32, Reverse<usize>, u32, u32)> = usable
            .map(|(place, backend)| (backend.weight, Reverse(place), backend.id, room(backend)))
            .collect();
        while table.len() < slots
            && let Some((_, _, id, room)) = heaviest.pop()
        {
            let taken = (slots - table.len()).min(room as usize);
            table.resize(table.len() + taken, id);
        }
        if self.spread {
            let backends = self.counts.backends();
            let weights: Vec<u32> = backends.iter().map(|backend| backend.weight).collect();
            let rest = interleave(&weights, (slots - table.len()) as u32);
            table.extend(rest.iter().map(|&index| backends[index as usize].id));
        }
        table.resize(slots, NO_BACKEND);
        Ok(table)
    }
}

/// How many more connections it takes until it is full.
fn room(backend: &Counted) -> u32 {
    backend.weight.saturating_add(1).saturating_sub(backend.active)
}

impl CountingScheduler for Overflow {
    fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        self.counts.observe(active, inactive);
    }
}

wvs_plugin::export!(Overflow, load);
