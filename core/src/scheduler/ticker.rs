//! The clock that interrupts plugins: advances the engine's epoch while any call is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// How often the epoch advances; deadlines are counted in these.
pub(super) const TICK: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    calls: AtomicUsize,
    stop: AtomicBool,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (ours, engine) = (Arc::clone(&shared), engine.weak());
        let thread = thread::Builder::new()
            .name("plugin-ticker".into())
            .spawn(move || tick(&ours, &engine))?;
        Ok(Self {
            shared,
            thread: thread.thread().clone(),
        })
    }

    /// The epoch advances until the guard is dropped. Between calls the thread sleeps, so that an
    /// idle director does not wake a thousand times a second.
    ///
    /// A pick costs 200 ns, so there is no lock, and a system call only where the thread is to be woken: that is
    /// once per tick, however many calls there are.
    pub(super) fn during_call(&self) -> CallGuard<'_> {
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
        CallGuard(&self.shared)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

pub(super) struct CallGuard<'a>(&'a Shared);

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(shared: &Shared, engine: &EngineWeak) {
    loop {
        // Whoever begins a call counts it first and wakes this thread then, so no call is missed in between.
        while shared.calls.load(Ordering::SeqCst) == 0 && !shared.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        thread::sleep(TICK);
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}
