//! What surrounds one running plugin: its limits, and the few things it may ask for.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::ResourceLimiter;

use super::contract::host::{Host, Level};
use super::deadline::CallTime;

/// Lines a plugin may log at once; after that one more per second.
const LOG_BURST: f64 = 20.0;
const LOG_LENGTH: usize = 1024;

/// How much a plugin may use. Times are CPU time: a machine that is busy with something else is not its fault.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest plugin file.
    pub file_size: usize,
    /// All linear memories.
    pub memory: usize,
    /// Elements of all tables of functions.
    pub table_elements: usize,
    /// Stack of the module's own frames.
    pub stack: usize,
    /// What one call may copy out of the module.
    pub answer_size: usize,
    /// Time for `describe`, `configure`, `update` or `fill`.
    pub call: std::time::Duration,
    /// Time for `observe`, which runs more often.
    pub observe: std::time::Duration,
    /// Time for `pick`, for which a connection waits.
    pub pick: std::time::Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_size: 64 << 20,
            memory: 64 << 20,
            table_elements: 20_000,
            stack: 1 << 20,
            answer_size: 4 << 20,
            call: std::time::Duration::from_millis(250),
            observe: std::time::Duration::from_millis(50),
            pick: std::time::Duration::from_millis(2),
        }
    }
}

/// The state behind one instance's store.
pub(super) struct Sandbox {
    plugin: Arc<str>,
    memory: Budget,
    table_elements: Budget,
    /// The request for memory that was refused, so that the trap that follows can be explained.
    pub(super) refused_memory: Option<usize>,
    /// How long the call under way has taken, and may take.
    pub(super) time: CallTime,
    /// The last error the plugin logged in this call: the message of its panic.
    pub(super) last_words: Option<String>,
    random: u64,
    started: Instant,
    virtual_time: Option<f64>,
    log: LogBudget,
}

impl Sandbox {
    pub(super) fn new(plugin: Arc<str>, limits: Limits, seed: u64) -> Self {
        Self {
            plugin,
            memory: Budget::new(limits.memory),
            table_elements: Budget::new(limits.table_elements),
            refused_memory: None,
            time: CallTime::default(),
            last_words: None,
            random: seed,
            started: Instant::now(),
            virtual_time: None,
            log: LogBudget {
                tokens: LOG_BURST,
                refilled: 0.0,
                dropped: 0,
            },
        }
    }

    /// How much memory it has.
    pub(super) fn memory(&self) -> usize {
        self.memory.used
    }

    pub(super) fn set_time(&mut self, seconds: f64) {
        self.virtual_time = Some(seconds);
    }
}

impl ResourceLimiter for Sandbox {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        most: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = self.memory.grant(current, desired, most);
        if let Err(wanted) = granted {
            self.refused_memory = Some(wanted);
        }
        Ok(granted.is_ok())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        most: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.table_elements.grant(current, desired, most).is_ok())
    }

    // Interpreters for other languages come as components of a dozen modules.
    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        32
    }

    fn memories(&self) -> usize {
        8
    }
}

/// What all memories of a plugin may have together, or all its tables: it may have several of either.
struct Budget {
    limit: usize,
    used: usize,
}

impl Budget {
    fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    /// Grants one of them to grow; or says what all would have then. What is granted is never taken back, also if the
    /// system then has no memory: a plugin can make a growth fail.
    fn grant(&mut self, current: usize, desired: usize, most: Option<usize>) -> Result<(), usize> {
        if most.is_some_and(|most| desired > most) {
            // Refused by the module's own bound, which is no use of ours.
            return Ok(());
        }
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.limit {
            return Err(wanted);
        }
        self.used = wanted;
        Ok(())
    }
}

impl super::contract::types::Host for Sandbox {}

impl Host for Sandbox {
    fn log(&mut self, level: Level, message: String) {
        let message = shorten(message);
        if matches!(level, Level::Error) {
            self.last_words = Some(message.clone());
        }
        let now = self.started.elapsed().as_secs_f64();
        let Some(dropped) = self.log.take(now) else { return };
        let plugin = &*self.plugin;
        if dropped > 0 {
            tracing::warn!(plugin, "{dropped} lines of this plugin were dropped: it logs too much");
        }
        match level {
            Level::Error => tracing::error!(plugin, "{message}"),
            Level::Warn => tracing::warn!(plugin, "{message}"),
            Level::Info => tracing::info!(plugin, "{message}"),
            Level::Debug => tracing::debug!(plugin, "{message}"),
        }
    }

    /// SplitMix64: any seed does, and equal seeds make equal simulations.
    fn random(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    fn now(&mut self) -> f64 {
        self.virtual_time
            .unwrap_or_else(|| self.started.elapsed().as_secs_f64())
    }
}

/// Cut, and without control characters: a plugin must not be able to forge lines of the log.
fn shorten(message: String) -> String {
    message
        .chars()
        .take(LOG_LENGTH)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

struct LogBudget {
    tokens: f64,
    refilled: f64,
    dropped: u64,
}

impl LogBudget {
    /// If a line may be written now: how many were dropped before it.
    fn take(&mut self, now: f64) -> Option<u64> {
        self.tokens = (self.tokens + now - self.refilled).min(LOG_BURST);
        self.refilled = now;
        if self.tokens < 1.0 {
            self.dropped += 1;
            return None;
        }
        self.tokens -= 1.0;
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logging_is_limited_and_drops_are_counted() {
        let mut budget = LogBudget {
            tokens: LOG_BURST,
            refilled: 0.0,
            dropped: 0,
        };
        let written = (0..100).filter(|_| budget.take(0.0).is_some()).count();
        assert_eq!(written, 20);
        assert_eq!(budget.take(1.5), Some(80));
        assert_eq!(budget.take(1.5), None);
    }

    #[test]
    fn several_memories_share_what_there_is() {
        let mut sandbox = Sandbox::new("x".into(), Limits::default(), 1);
        let mut grow = |from: usize, to: usize, most: Option<usize>| {
            let granted = sandbox.memory_growing(from << 20, to << 20, most.map(|most| most << 20));
            (granted.unwrap(), sandbox.refused_memory.take())
        };
        assert_eq!(grow(0, 40, None), (true, None));
        assert_eq!(grow(0, 20, None), (true, None));
        // A bound of its own, however often it is tried.
        assert_eq!(grow(20, 30, Some(25)), (true, None));
        assert_eq!(grow(20, 30, Some(25)), (true, None));
        assert_eq!(grow(40, 45, None), (false, Some(65 << 20)));
        assert_eq!(grow(40, 44, None), (true, None));
        assert_eq!(grow(0, 1, None), (false, Some(65 << 20)));
    }

    #[test]
    fn the_same_seed_makes_the_same_numbers() {
        let numbers = |seed| {
            let mut sandbox = Sandbox::new("x".into(), Limits::default(), seed);
            [sandbox.random(), sandbox.random(), sandbox.random()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }

    #[test]
    fn a_message_cannot_forge_a_line() {
        assert_eq!(shorten("a\nERROR b".into()), "a ERROR b");
        assert_eq!(shorten("x".repeat(5000)).len(), LOG_LENGTH);
    }
}
