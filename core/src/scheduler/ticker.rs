//! The clock that interrupts plugins: advances the engine's epoch while any call is under way.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// How often the epoch advances; deadlines are counted in these.
pub(super) const TICK: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Ticker(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    calls: usize,
    stop: bool,
}

impl Shared {
    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (ours, engine) = (Arc::clone(&shared), engine.weak());
        std::thread::Builder::new()
            .name("plugin-ticker".into())
            .spawn(move || tick(&ours, &engine))?;
        Ok(Self(shared))
    }

    /// The epoch advances until the guard is dropped. Between calls the thread sleeps, so that an
    /// idle director does not wake a thousand times a second.
    pub(super) fn during_call(&self) -> CallGuard<'_> {
        self.0.lock().calls += 1;
        self.0.changed.notify_one();
        CallGuard(&self.0)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.lock().stop = true;
        self.0.changed.notify_one();
    }
}

pub(super) struct CallGuard<'a>(&'a Shared);

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.0.lock().calls -= 1;
    }
}

fn tick(shared: &Shared, engine: &EngineWeak) {
    loop {
        let idle = |state: &mut State| state.calls == 0 && !state.stop;
        let state = shared.changed.wait_while(shared.lock(), idle);
        if state.unwrap_or_else(PoisonError::into_inner).stop {
            return;
        }
        std::thread::sleep(TICK);
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}
