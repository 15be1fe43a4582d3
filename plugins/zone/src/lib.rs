//! Zones: connections stay near, as long as what is near can bear them; and of many backends each director may take some.
#![forbid(unsafe_code)]

mod places;
mod subset;

use places::Places;
use subset::subset;
use wvs_plugin::{
    About, Backend, Dispatch, NO_BACKEND, Param, ParamKind, Params, Scheduler, apportion, by_identity,
    interleave,
};

/// The zone-aware scheduler.
#[derive(Debug)]
pub struct Zone {
    places: Places,
    /// So much of a zone's weight must be usable for it to bear all connections, in percent.
    minimum: u32,
    /// How many backends of each zone, if not all; and whose.
    subset: u32,
    director: u32,
    /// By zone, the nearest first.
    zones: Vec<Vec<Backend>>,
}

impl Scheduler for Zone {
    const ABOUT: About = About {
        name: "zone",
        version: env!("CARGO_PKG_VERSION"),
        summary: "the nearest backends that can bear the connections, in turn by weight; a deterministic subset of many",
        params: &[
            Param {
                key: "local",
                kind: ParamKind::Text,
                default: "",
                help: "networks of backends, the nearest zone first: 10.1.1.0/24, 2001:db8:1::/64; 10.1.0.0/16. All \
                       others are the last zone",
            },
            Param {
                key: "minimum",
                kind: ParamKind::Integer { min: 1, max: 100 },
                default: "70",
                help: "how much of a zone's weight must be usable, in percent, for it to get all connections; where it is \
                       less, it gets as much less, and the next zone the rest",
            },
            Param {
                key: "subset",
                kind: ParamKind::Integer { min: 0, max: 65_535 },
                default: "0",
                help: "use so many backends of each zone, others than other directors; 0 means all",
            },
            Param {
                key: "director",
                kind: ParamKind::Integer { min: 0, max: 65_535 },
                default: "0",
                help: "this director's number, from 0 on, for subset",
            },
        ],
    };

    fn configure(params: &Params) -> Result<(Self, Dispatch), String> {
        let number = |key| params.integer(key).map(|number| number.max(0) as u32);
        let zone = Self {
            places: Places::read(params.text("local")?)?,
            minimum: number("minimum")?.max(1),
            subset: number("subset")?,
            director: number("director")?,
            zones: Vec::new(),
        };
        Ok((zone, Dispatch::Cycle))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        let mut zones = vec![Vec::new(); self.places.zones()];
        for backend in by_identity(backends) {
            zones[self.places.zone_of(&backend.address)].push(backend);
        }
        self.zones = zones;
        if self.subset > 0 {
            for zone in &mut self.zones {
                let some = subset(zone, self.subset, self.director);
                // Rather other directors' backends than none.
                if some.iter().any(Backend::usable) {
                    *zone = some;
                }
            }
        }
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let loads = self.loads();
        let busy = loads.iter().filter(|load| **load > 0).count();
        let parts = apportion(&loads, slots);
        let mut weights = Vec::new();
        for (zone, part) in self.zones.iter().zip(parts) {
            let own: Vec<u32> = zone.iter().map(Backend::effective_weight).collect();
            // One zone alone goes round by its weights, however many slots there are.
            weights.extend(match (part, busy) {
                (0, _) => vec![0; own.len()],
                (_, 1) => own,
                _ => apportion(&own, part),
            });
        }
        let backends: Vec<&Backend> = self.zones.iter().flatten().collect();
        let turns = interleave(&weights, slots);
        let mut table: Vec<u32> = turns.iter().map(|&index| backends[index as usize].id).collect();
        table.resize(slots as usize, NO_BACKEND);
        Ok(table)
    }
}

impl Zone {
    /// How much of all connections each zone gets, in proportion: what it can bear, as long as something is left.
    fn loads(&self) -> Vec<u32> {
        const WHOLE: u32 = 1 << 20;
        let mut left = WHOLE;
        let bearable = |zone: &Vec<Backend>| {
            let sum = |weight: fn(&Backend) -> u32| zone.iter().map(|it| u64::from(weight(it))).sum::<u64>();
            let (usable, all) = (sum(Backend::effective_weight), sum(|backend| backend.weight));
            // A zone of which anything is usable bears something.
            let bears = u128::from(usable) * u128::from(WHOLE) * 100
                / u128::from(all * u64::from(self.minimum)).max(1);
            (bears.min(u128::from(WHOLE)) as u32).max(u32::from(usable > 0))
        };
        let zones = self.zones.iter().map(bearable);
        zones
            .map(|bears| {
                let load = bears.min(left);
                left -= load;
                load
            })
            .collect()
    }
}

wvs_plugin::export!(Zone);
