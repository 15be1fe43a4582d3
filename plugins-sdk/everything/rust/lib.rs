//! For tests of the SDK: parameters of each kind, connections, latencies, a timer, refusals, the host.
//!
//! All slots are one backend's: the fastest, of equals that with the fewest connections, of equals the first.

use wvs_plugin::{
    About, Backend, CountingScheduler, Dispatch, HashKey, LatencyScheduler, NO_BACKEND, Param, ParamKind, Params,
    Scheduler, TimedScheduler, UNKNOWN_LATENCY, host,
};

const fn param(key: &'static str, kind: ParamKind, default: &'static str, help: &'static str) -> Param {
    Param { key, kind, default, help }
}

/// The scheduler.
#[derive(Default)]
pub struct Everything {
    backends: Vec<Backend>,
    active: Vec<u32>,
    micros: Vec<u32>,
    first: bool,
    pause: u32,
}

impl Scheduler for Everything {
    const ABOUT: About = About {
        name: "everything",
        version: "1.2.3",
        summary: "for tests of the glue",
        params: &[
            param("who", ParamKind::Choice(&["first", "idlest"]), "idlest", "who it is"),
            param("size", ParamKind::Integer { min: -3, max: 7 }, "0", "tenths of a second until the next table"),
            param("hashed", ParamKind::Boolean, "false", "by the port too"),
            param("note", ParamKind::Text, "", "refused if it is bad"),
        ],
    };

    fn configure(params: &Params) -> Result<(Self, Dispatch), String> {
        if params.text("note")? == "bad" {
            return Err("note must not be bad".into());
        }
        if host::now() < 0.0 || host::random() == host::random() {
            host::log(host::Level::Warn, "how odd");
        }
        let mine = Self {
            first: params.text("who")? == "first",
            pause: 100 * params.integer("size")?.max(0) as u32,
            ..Self::default()
        };
        let hashed = params.boolean("hashed")?;
        Ok((mine, if hashed { Dispatch::Hash(HashKey::SourceAndPort) } else { Dispatch::Cycle }))
    }

    fn update(&mut self, backends: &[Backend]) -> Result<(), String> {
        self.backends = backends.to_vec();
        self.active = vec![0; backends.len()];
        self.micros = vec![UNKNOWN_LATENCY; backends.len()];
        Ok(())
    }

    fn fill(&mut self, slots: u32) -> Result<Vec<u32>, String> {
        let mut usable = (0..self.backends.len()).filter(|&n| self.backends[n].usable());
        let best = if self.first {
            usable.next()
        } else {
            usable.min_by_key(|&n| (self.micros[n], self.active[n]))
        };
        Ok(vec![best.map_or(NO_BACKEND, |n| self.backends[n].id); slots as usize])
    }
}

impl CountingScheduler for Everything {
    fn observe(&mut self, active: &[u32], _: &[u32]) {
        self.active = active.to_vec();
    }
}

impl TimedScheduler for Everything {
    fn due(&self) -> u32 {
        self.pause
    }
}

impl LatencyScheduler for Everything {
    fn interval(&self) -> u32 {
        250
    }

    fn observe_latency(&mut self, micros: &[u32]) {
        self.micros = micros.to_vec();
    }
}

wvs_plugin::export!(Everything, load, timer, latency);
