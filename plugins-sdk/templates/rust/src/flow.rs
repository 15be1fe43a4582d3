//! {{name}}: decides for each connection. Whoever has the fewest for its weight gets it.

use wvs_plugin::{About, Backend, CountingScheduler, Flow, FlowScheduler, Params};

/// Who takes new connections.
struct Server {
    id: u32,
    weight: u32,
    /// In the list of the last update.
    place: usize,
    connections: u64,
}

impl Server {
    /// How busy one more connection makes it.
    fn cost(&self) -> f64 {
        (self.connections + 1) as f64 / f64::from(self.weight)
    }

    fn is_before(&self, other: &Server) -> bool {
        (self.cost(), self.place) < (other.cost(), other.place)
    }
}

/// The scheduler.
#[derive(Default)]
pub struct Mine {
    /// A heap, whose first entry gets the next connection.
    usable: Vec<Server>,
}

impl Mine {
    fn order(&mut self) {
        for at in (0..self.usable.len() / 2).rev() {
            self.sink(at);
        }
    }

    /// Puts an entry where it belongs.
    fn sink(&mut self, mut at: usize) {
        let heap = &mut self.usable;
        while 2 * at + 1 < heap.len() {
            let mut child = 2 * at + 1;
            if child + 1 < heap.len() && heap[child + 1].is_before(&heap[child]) {
                child += 1;
            }
            if !heap[child].is_before(&heap[at]) {
                break;
            }
            heap.swap(at, child);
            at = child;
        }
    }
}

impl FlowScheduler for Mine {
    const ABOUT: About = About {
        name: "{{name}}",
        version: env!("CARGO_PKG_VERSION"),
        summary: "whoever has the fewest connections for its weight gets the next",
        params: &[],
    };

    fn configure(_: &Params) -> Result<Self, String> {
        Ok(Self::default())
    }

    /// The connections are told right afterwards.
    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        let server = |(place, backend): (usize, &Backend)| Server {
            id: backend.id,
            weight: backend.weight,
            place,
            connections: 0,
        };
        self.usable = backends
            .iter()
            .enumerate()
            .filter(|(_, backend)| backend.usable())
            .map(server)
            .collect();
        self.order();
        Ok(())
    }

    /// A connection waits for this: the less there is to do, the better. `None` refuses it.
    fn pick(&mut self, _: &Flow) -> Option<u32> {
        let next = self.usable.first_mut()?;
        let id = next.id;
        // It is not in the counts yet.
        next.connections += 1;
        self.sink(0);
        Some(id)
    }
}

impl CountingScheduler for Mine {
    /// The connections of each backend, in the order of the last update, from time to time.
    fn observe(&mut self, active: &[u32], _: &[u32]) {
        for server in &mut self.usable {
            server.connections = active[server.place].into();
        }
        self.order();
    }
}

wvs_plugin::export!(Mine, flows, load);

#[cfg(test)]
mod tests {
    use wvs_plugin::testing::{World, configure_flows};

    use super::*;

    fn picks(backends: &[Backend], active: &[u32], count: u32) -> Vec<u32> {
        let mut mine = configure_flows::<Mine>(&[]).unwrap();
        mine.update(backends).unwrap();
        mine.observe(active, active);
        (0..count).filter_map(|n| mine.pick(&Flow::sample(n))).collect()
    }

    #[test]
    fn the_heavier_one_gets_more() {
        let backends = [Backend::sample(1).weight(2), Backend::sample(2)];
        assert_eq!(picks(&backends, &[0, 0], 6), [1, 1, 2, 1, 1, 2]);
    }

    #[test]
    fn who_has_many_connections_gets_none() {
        let backends = [Backend::sample(1).weight(2), Backend::sample(2)];
        assert_eq!(picks(&backends, &[5, 0], 3), [2, 2, 1]);
    }

    #[test]
    fn whatever_happens_only_usable_backends_are_named() {
        for seed in 0..1000 {
            let mut world = World::new(seed);
            let mut mine = configure_flows::<Mine>(&[]).unwrap();
            for n in 0..10 {
                world.step();
                world.tell_flows(&mut mine);
                let picked = mine.pick(&Flow::sample(n));
                let usable = world.backends.iter().filter(|it| it.usable());
                let mut usable = usable.map(|it| it.id).peekable();
                assert_eq!(picked.is_some(), usable.peek().is_some());
                assert!(picked.is_none_or(|id| usable.any(|it| it == id)));
            }
        }
    }
}
