//! {{name}}: everybody takes turns, as often as the weight says.

use wvs_plugin::{About, Backend, Dispatch, NO_BACKEND, Params, Scheduler, interleave};

/// The scheduler.
#[derive(Default)]
pub struct Mine {
    ids: Vec<u32>,
    weights: Vec<u32>,
}

impl Scheduler for Mine {
    const ABOUT: About = About {
        name: "{{name}}",
        version: env!("CARGO_PKG_VERSION"),
        summary: "everybody takes turns, as often as the weight says",
        params: &[],
    };

    fn configure(_: &Params) -> Result<(Self, Dispatch), String> {
        Ok((Self::default(), Dispatch::Cycle))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.ids = backends.iter().map(|backend| backend.id).collect();
        self.weights = backends.iter().map(Backend::effective_weight).collect();
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let picks = interleave(&self.weights, slots);
        let mut table: Vec<u32> = picks.into_iter().map(|index| self.ids[index as usize]).collect();
        table.resize(slots as usize, NO_BACKEND);
        Ok(table)
    }
}

wvs_plugin::export!(Mine);

#[cfg(test)]
mod tests {
    use wvs_plugin::testing::{World, configure};

    use super::*;

    #[test]
    fn the_heavier_one_gets_more() {
        let (mut mine, _) = configure::<Mine>(&[]).unwrap();
        mine.update(&[Backend::sample(1).weight(2), Backend::sample(2)]).unwrap();
        assert_eq!(mine.fill(6).unwrap(), [1, 2, 1, 1, 2, 1]);
    }

    #[test]
    fn whatever_happens_only_usable_backends_are_named() {
        for seed in 0..1000 {
            let mut world = World::new(seed);
            let (mut mine, _) = configure::<Mine>(&[]).unwrap();
            for _ in 0..10 {
                world.step();
                world.tell(&mut mine);
                let table = mine.fill(32).unwrap();
                assert_eq!(table.len(), 32);
                let usable = |id: &u32| world.backends.iter().any(|it| it.id == *id && it.usable());
                assert!(table.iter().all(|id| *id == NO_BACKEND || usable(id)));
            }
        }
    }
}
