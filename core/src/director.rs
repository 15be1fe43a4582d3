//! The director: the process that keeps the kernel's tables as the configuration and the schedulers want them.
//!
//! Packets never wait for it. If it dies, the kernel's state is complete by itself and traffic goes on; the next
//! director finds the tables, plans against them and sends only what differs.

mod addresses;
mod asked;
mod clients;
pub(crate) mod counting;
pub mod engine;
mod error;
mod events;
mod explain;
mod flows;
mod forwarding;
mod latency;
mod ledger;
mod lock;
mod metrics;
mod planes;
mod pools;
mod probation;
mod program;
mod queued;
mod reading;
mod reconcile;
mod refused;
mod samples;
mod server;
mod store;
mod swap;
mod tc_clients;
mod tc_views;
mod telling;
#[cfg(test)]
mod tests;
mod totals;
mod views;
mod ways;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot};

pub use error::ApplyError;
pub use lock::LockError;
pub use pools::StartError;
pub use reading::text_of;
pub use store::{Store, StoreError};

use crate::config::{Config, Service};
use crate::dispatch::DispatchTable;
use crate::kernel::{HostError, open_doors};
use crate::scheduler::catalog::Catalog;
use crate::scheduler::{Candidate, PluginEngine, StartHostError};
use asked::Steps;
use engine::Engine;
use events::Events;
use lock::NamespaceLock;
use server::{Handle, Step};

/// How to run a director.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The configuration file.
    pub config: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Overrides `director.state_dir`.
    pub state_dir: Option<PathBuf>,
    /// How plugins run. Where they are interpreted, no memory of the process can become executable any more.
    pub plugin_engine: PluginEngine,
    /// Overrides `director.pin_dir`.
    pub pin_dir: Option<PathBuf>,
}

/// Why a director does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another director is in the way, or there can be no control socket.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The configuration cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host lacks something.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The first configuration could not be applied; for faults of the file, they are rendered here.
    #[error("{}", match .0 { ApplyError::Faults(rendered) => rendered.as_str(), _ => "cannot bring up the services" })]
    Apply(#[source] ApplyError),
    /// The state directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No plugin can be run on this machine.
    #[error(transparent)]
    Plugins(#[from] StartHostError),
    /// A thread, a runtime or a signal handler cannot be had.
    #[error("cannot start")]
    Start(#[source] io::Error),
}

/// How long the engine may sleep between two looks at the ruleset's generation: somebody else's change to our
/// tables is put right within 2 seconds, with room to spare.
const LOOK: Duration = Duration::from_millis(500);

/// What a director that is told to stop says.
const STOPPING: &str = "stopping; the kernel goes on forwarding (`wvs teardown` removes everything)";

/// Runs a director until it is told to stop. What it made stays in the kernel.
pub fn run(options: RunOptions) -> Result<(), RunError> {
    if options.plugin_engine == PluginEngine::Pulley {
        deny_writable_code();
    }
    let _lock = NamespaceLock::take()?;
    let listener = lock::listen(&options.socket)?;
    let result = serve(&options, listener);
    // A socket that nobody answers on would only puzzle the next who asks.
    let _ = std::fs::remove_file(&options.socket);
    result
}

/// What systemd's MemoryDenyWriteExecute does, for whoever starts the director without it.
fn deny_writable_code() {
    match crate::kernel::memory::deny_writable_code() {
        Ok(true) => tracing::info!("no memory of this process becomes executable from now on"),
        Ok(false) => tracing::info!("this kernel cannot keep memory from becoming executable; Linux 6.3 can"),
        Err(error) => tracing::warn!(%error, "cannot keep memory from becoming executable"),
    }
}

fn serve(options: &RunOptions, listener: std::os::unix::net::UnixListener) -> Result<(), RunError> {
    let (steps, todo) = mpsc::channel();
    // The engine's own threads reach it by this only as long as requests can.
    let own_steps = Arc::new(steps.clone());
    let engine_steps = Arc::downgrade(&own_steps);
    let (ready, started) = oneshot::channel();
    let events = Events::default();
    let (addresses, moves) = metrics::Addresses::new();
    let engine_options = options.clone();
    let told = events.clone();
    let engine = thread::Builder::new()
        .name("engine".into())
        // Plugins have 1 MiB of it, and the host's own calls come on top.
        .stack_size(8 << 20)
        .spawn(move || engine_thread(&engine_options, told, addresses, engine_steps, &todo, ready))
        .map_err(RunError::Start)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(RunError::Start)?;
    let result = runtime.block_on(async {
        match started.await {
            Ok(Ok(())) => answer_requests(listener, steps, events, moves, options).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(RunError::Start(io::Error::other("the engine ended before it began"))),
        }
    });
    // The last senders go; the engine finishes its step and ends.
    drop(own_steps);
    drop(runtime);
    if engine.join().is_err() {
        return Err(RunError::Start(io::Error::other("the engine panicked; see above")));
    }
    result
}

async fn answer_requests(
    listener: std::os::unix::net::UnixListener,
    steps: mpsc::Sender<Step>,
    events: Events,
    moves: metrics::Moves,
    options: &RunOptions,
) -> Result<(), RunError> {
    let listener = UnixListener::from_std(listener).map_err(RunError::Start)?;
    let torn_down = Arc::new(Notify::new());
    let handle = Handle::new(steps, events.clone(), torn_down.clone());
    let mut hangup = signal(SignalKind::hangup()).map_err(RunError::Start)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Start)?;
    let reloads = handle.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload_on_signal(&reloads).await;
        }
    });
    tokio::spawn(latency::measure(handle.clone()));
    let scrapes = metrics::routes(handle.clone());
    tokio::spawn(metrics::serve(moves, scrapes.clone()));
    tracing::info!(socket = %options.socket.display(), "ready");
    notify(&[NotifyState::Ready]);
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("{STOPPING}"),
            _ = interrupt.recv() => tracing::info!("{STOPPING}"),
            () = torn_down.notified() => tracing::info!("all of wvs is removed from the kernel; stopping"),
        }
        notify(&[NotifyState::Stopping]);
        // Whoever follows the events would be waited for.
        events.close();
    };
    axum::serve(listener, server::router(handle).merge(scrapes))
        .with_graceful_shutdown(stop)
        .await
        .map_err(RunError::Start)
}

async fn reload_on_signal(handle: &Handle) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
    match handle.call(|engine| engine.reload(false)).await {
        Ok(Ok(applied)) => tracing::info!(changed = !applied.plan.is_empty(), "reloaded"),
        Ok(Err(ApplyError::Faults(rendered))) => {
            tracing::error!("the configuration has faults; the running one stays\n{rendered}");
        }
        Ok(Err(error)) => tracing::error!(error = &error as &dyn std::error::Error, "cannot reload"),
        Err(_) => {}
    }
    notify(&[NotifyState::Ready]);
}

/// Tells systemd, where it listens.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}

/// The engine's thread: brings up the services, then works off requests and looks after the tables.
fn engine_thread(
    options: &RunOptions,
    events: Events,
    addresses: metrics::Addresses,
    steps: Steps,
    todo: &Receiver<Step>,
    ready: oneshot::Sender<Result<(), RunError>>,
) {
    let mut engine = match start_engine(options, steps, events, addresses) {
        Ok(engine) => engine,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let _ = ready.send(Ok(()));
    let mut next_look = Instant::now() + LOOK;
    let mut trouble = None;
    loop {
        let now = Instant::now();
        if now >= next_look {
            let found = engine.repair().err();
            let said = found.as_ref().map(|error| crate::chain(error));
            if let (Some(error), true) = (found, said != trouble) {
                // Once, not twice a second for as long as it lasts.
                tracing::error!(error = &error as &dyn std::error::Error, "cannot look after the tables");
            }
            trouble = said;
            next_look = Instant::now() + LOOK;
        }
        engine.reschedule(now);
        engine.look_after_tc(now);
        engine.look_after_queue(now);
        let next_sample = engine.take_samples(now);
        engine.swap_plugins(now);
        engine.attend(Instant::now());
        let until = engine.next_schedule().min(next_look);
        let until = engine.next_attendance().map_or(until, |next| next.min(until));
        let until = next_sample.map_or(until, |at| until.min(at));
        match todo.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(step) => step(&mut engine),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn start_engine(
    options: &RunOptions,
    steps: Steps,
    events: Events,
    addresses: metrics::Addresses,
) -> Result<Engine, RunError> {
    let text = reading::text_of(&options.config).map_err(|source| RunError::Read {
        path: options.config.clone(),
        source,
    })?;
    let catalog = reading::catalog(options, &text)?;
    let name = options.config.display().to_string();
    let config = reading::checked(&text, &name, &catalog).map_err(RunError::Apply)?;
    let doors = open_doors()?;
    let store = Store::open(options.state_dir.as_ref().unwrap_or(&config.director.state_dir))?;
    let mut engine = Engine::new(doors, catalog, store, options.config.clone()).map_err(RunError::Apply)?;
    engine.pin_dir.clone_from(&options.pin_dir);
    engine.steps = steps;
    engine.events = events;
    engine.metrics.addresses = addresses;
    engine.resume(config, &text).map_err(RunError::Apply)?;
    Ok(engine)
}

/// The first table of a service's pool, as a director that starts would have it.
pub fn first_table(
    catalog: &Catalog,
    config: &Config,
    service: &Service,
    candidates: Vec<Candidate>,
) -> Result<DispatchTable, StartError> {
    Ok(pools::RunningPool::start(catalog, config, service, candidates, None)?
        .table()
        .clone())
}
