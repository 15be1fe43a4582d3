//! Servers with their connections, for schedulers that choose one by one.

use crate::{Backend, Counted, Counts};

/// The backends of the last update with the connections of the last observation, and those given since.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    counts: Counts,
    /// How many have less than half of what their weight allows.
    idle: u32,
}

/// A server, and where it stood in the list when it was last looked for.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    id: u32,
    at: u32,
}

/// Wherever it stands.
impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Server {}

impl Servers {
    /// For `update`: a backend that was there keeps its connections.
    pub fn update(&mut self, backends: &[Backend]) {
        self.counts.update(backends);
        self.count_idle();
    }

    /// For [`CountingScheduler::observe`](crate::CountingScheduler::observe).
    pub fn observe(&mut self, active: &[u32], inactive: &[u32]) {
        self.counts.observe(active, inactive);
        self.count_idle();
    }

    /// Of those that take new connections the one with the lowest [overhead](Counted::overhead) per weight, the
    /// first of several: LVS's weighted least connection.
    #[must_use]
    pub fn least(&self) -> Option<Server> {
        self.lightest((0..).zip(self.counts.backends()))
    }

    /// The same among some. Those that have left or take no connections do not count.
    pub fn least_of<'a>(&self, some: impl IntoIterator<Item = &'a mut Server>) -> Option<Server> {
        let known = some.into_iter().filter_map(|server| self.find(server));
        self.lightest(known)
    }

    /// Of some the one with the highest overhead per weight, the first of several.
    pub fn most_of<'a>(&self, some: impl IntoIterator<Item = &'a mut Server>) -> Option<Server> {
        let known = some.into_iter().filter_map(|server| self.find(server));
        let usable = known.filter(|(_, server)| server.weight > 0);
        pick(usable, |most, other| heavier(other, most))
    }

    fn lightest<'a>(&self, some: impl Iterator<Item = (u32, &'a Counted)>) -> Option<Server> {
        let usable = some.filter(|(_, server)| server.weight > 0);
        pick(usable, heavier)
    }

    /// Whether a server has not left.
    pub fn knows(&self, server: &mut Server) -> bool {
        self.find(server).is_some()
    }

    /// Whether a server takes new connections, and is not busier than its weight says while another one is idle.
    pub fn suits(&self, server: &mut Server) -> bool {
        self.find(server)
            .is_some_and(|(_, known)| known.weight > 0 && (known.active <= known.weight || self.idle == 0))
    }

    /// Gives a server a connection, which counts until an observation does. Its id, for an answer.
    pub fn give(&mut self, server: Server) -> u32 {
        if let Some(known) = self.counts.get_mut(server.at as usize) {
            let was_idle = idle(known);
            known.active = known.active.saturating_add(1);
            self.idle -= u32::from(was_idle && !idle(known));
        }
        server.id
    }

    /// Lists change rarely, so a server mostly is where it was.
    fn find(&self, server: &mut Server) -> Option<(u32, &Counted)> {
        let backends = self.counts.backends();
        if backends
            .get(server.at as usize)
            .is_none_or(|known| known.id != server.id)
        {
            server.at = backends.iter().position(|known| known.id == server.id)? as u32;
        }
        Some((server.at, &backends[server.at as usize]))
    }

    fn count_idle(&mut self) {
        self.idle = self.counts.backends().iter().filter(|known| idle(known)).count() as u32;
    }
}

/// LVS: less than half of its weight.
fn idle(server: &Counted) -> bool {
    u64::from(server.active) * 2 < u64::from(server.weight)
}

/// The first, unless another one is `better`.
fn pick<'a>(
    some: impl Iterator<Item = (u32, &'a Counted)>,
    better: impl Fn(&Counted, &Counted) -> bool,
) -> Option<Server> {
    let best = some.reduce(|best, other| if better(best.1, other.1) { other } else { best });
    best.map(|(at, server)| Server { id: server.id, at })
}

/// Whether one has a higher overhead per weight than another.
fn heavier(one: &Counted, other: &Counted) -> bool {
    u64::from(one.overhead()) * u64::from(other.weight) > u64::from(other.overhead()) * u64::from(one.weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(weights: &[u32], active: &[u32]) -> Servers {
        let mut servers = Servers::default();
        let backends: Vec<Backend> = (1..)
            .zip(weights)
            .map(|(id, &w)| Backend::sample(id).weight(w))
            .collect();
        servers.update(&backends);
        servers.observe(active, &vec![0; active.len()]);
        servers
    }

    #[test]
    fn the_first_of_the_lightest_is_chosen() {
        let id = |servers: &Servers| servers.least().map(|server| server.id);
        assert_eq!(id(&servers(&[1, 2, 2], &[3, 4, 4])), Some(2));
        assert_eq!(id(&servers(&[0, 1, 1], &[0, 1, 1])), Some(2));
        assert_eq!(id(&servers(&[0, 0], &[0, 0])), None);
        assert_eq!(id(&servers(&[u32::MAX, 1], &[u32::MAX, u32::MAX])), Some(1));
    }

    #[test]
    fn a_connection_counts_at_once_and_until_it_is_observed() {
        let mut servers = servers(&[1, 1], &[0, 0]);
        for expected in [1, 2, 1, 2] {
            let least = servers.least().unwrap();
            assert_eq!(servers.give(least), expected);
        }
        servers.observe(&[5, 4], &[0, 0]);
        assert_eq!(servers.least().unwrap().id, 2);
    }

    #[test]
    fn who_is_busy_does_not_suit_while_another_one_is_idle() {
        let (mut first, mut second) = (Server { id: 1, at: 7 }, Server { id: 2, at: 0 });
        let mut known = servers(&[2, 2], &[3, 0]);
        assert!(!known.suits(&mut first) && known.suits(&mut second));
        // One of two is not less than half.
        known.give(second);
        assert!(known.suits(&mut first));
        known.observe(&[2, 0], &[0, 0]);
        assert!(known.suits(&mut first), "as many as its weight are not too many");
        known.update(&[Backend::sample(2).weight(0)]);
        assert!(!known.suits(&mut first) && !known.suits(&mut second));
        assert!(!known.knows(&mut first) && known.knows(&mut second));
    }
}
