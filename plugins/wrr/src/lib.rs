//! Weighted round robin in LVS's order: the heavier ones begin each round, and the lighter ones join in.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use wvs_plugin::{
    About, Backend, Dispatch, NO_BACKEND, Params, Scheduler, apportion, greatest_common_divisor,
};

/// The weighted round robin scheduler.
#[derive(Debug, Default)]
pub struct WeightedRoundRobin {
    ids: Vec<u32>,
    weights: Vec<u32>,
}

impl Scheduler for WeightedRoundRobin {
    const ABOUT: About = About {
        name: "wrr",
        version: env!("CARGO_PKG_VERSION"),
        summary: "weighted round robin in LVS's order, in which the heavier ones begin the round",
        params: &[],
    };

    fn configure(_: &Params) -> Result<(Self, Dispatch), String> {
        Ok((Self::default(), Dispatch::Cycle))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        let usable = || backends.iter().filter(|backend| backend.usable());
        self.ids = usable().map(|backend| backend.id).collect();
        self.weights = usable().map(|backend| backend.weight).collect();
        Ok(())
    }

    /// Whole rounds as often as they fit. The rest is a smaller round, in proportion as far as that
    /// goes, because the beginning of a whole one would go to the heavy backends alone.
    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let mut table = Vec::new();
        let divisor = common_divisor(&self.weights).max(1);
        let length: u64 = self
            .weights
            .iter()
            .map(|weight| u64::from(weight / divisor))
            .sum();
        if length > 0 && length <= u64::from(slots) {
            table = round(&self.weights).repeat((u64::from(slots) / length) as usize);
        }
        let left = apportion(&self.weights, slots - table.len() as u32);
        table.extend(round(&left).repeat(common_divisor(&left) as usize));
        for entry in &mut table {
            *entry = self.ids[*entry as usize];
        }
        table.resize(slots as usize, NO_BACKEND);
        Ok(table)
    }
}

fn common_divisor(weights: &[u32]) -> u32 {
    let divide = |divisor, &weight: &u32| greatest_common_divisor(weight, divisor);
    weights.iter().fold(0, divide)
}

/// One round of LVS's walk, as indexes: at a level that sinks from the highest weight to the lowest,
/// all that reach it get a connection each, in the order of the list.
fn round(weights: &[u32]) -> Vec<u32> {
    let divisor = common_divisor(weights).max(1);
    let mut waiting: BinaryHeap<(u32, Reverse<u32>)> = (0..)
        .zip(weights)
        .map(|(index, weight)| (weight / divisor, Reverse(index)))
        .collect();
    let highest = waiting.peek().map_or(0, |heaviest| heaviest.0);
    let mut walking: Vec<u32> = Vec::new();
    let mut picks = Vec::new();
    for level in (1..=highest).rev() {
        while let Some(&(weight, Reverse(index))) = waiting.peek()
            && weight >= level
        {
            waiting.pop();
            let place = walking.partition_point(|&other| other < index);
            walking.insert(place, index);
        }
        picks.extend_from_slice(&walking);
    }
    picks
}

wvs_plugin::export!(WeightedRoundRobin);
