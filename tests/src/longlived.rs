//! Connections that stay open and say something all the time.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clients::Client;
use crate::connection::{exchange, open, within};
use crate::distribution::Distribution;
use crate::namespace::Task;
use crate::wait::wait_for;

/// How long one echo may take before the connection counts as broken.
const PATIENCE: Duration = Duration::from_secs(5);

/// A number of open connections, each exchanging a small echo every 20 to 50 ms.
///
/// ```no_run
/// # fn main() -> anyhow::Result<()> {
/// # use wvs_tests::{Lab, LabOptions, LongLived};
/// # let lab = Lab::new(LabOptions::default())?;
/// let flows = LongLived::open(&lab.client(), lab.vip(80), 300)?;
/// // … change something in the director …
/// flows.settle(); // every connection has said something since, or is broken
/// assert_eq!(flows.finish().broken(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LongLived {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: Task<()>,
}

/// What became of the connections.
#[derive(Clone, Debug)]
pub struct LongLivedReport {
    /// How many each server got when they were opened.
    pub opened: Distribution,
    /// Connections that still answered at their last exchange, by server.
    pub alive: BTreeMap<String, usize>,
    /// Broken connections, by server.
    pub broken_at: BTreeMap<String, usize>,
    /// Broken connections, by what broke them: `ConnectionReset`, `UnexpectedEof`, `TimedOut`
    /// after 5 s without an echo, `InvalidData` for a wrong echo.
    pub errors: BTreeMap<io::ErrorKind, usize>,
    /// Echoes received.
    pub exchanged: u64,
    /// The slowest echo.
    pub slowest: Duration,
}

impl LongLivedReport {
    /// How many connections broke.
    pub fn broken(&self) -> usize {
        self.errors.values().sum()
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Raised by `settle`; an exchange counts for the epoch in which it began.
    epoch: u64,
    flows: Vec<Flow>,
}

#[derive(Debug)]
struct Flow {
    server: String,
    /// The epoch of the last exchange that succeeded.
    epoch: u64,
    exchanged: u64,
    slowest: Duration,
    broken: Option<io::ErrorKind>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while holding it")
    }
}

impl LongLived {
    /// Opens `n` connections, one after the other, and keeps them talking.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub fn open(client: &Client, to: SocketAddr, n: usize) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = watch::channel(false);
        let (ready, opened) = std::sync::mpsc::channel();
        let (source, theirs) = (client.source(), Arc::clone(&shared));
        let task = client.namespace().spawn("long-lived", move || async move {
            let streams = open_all(to, source, n, &theirs).await;
            let (answer, streams) = match streams {
                Ok(streams) => (Ok(()), streams),
                Err(error) => (Err(error), Vec::new()),
            };
            let _ = ready.send(answer);
            let mut flows = JoinSet::new();
            for (index, stream) in streams.into_iter().enumerate() {
                flows.spawn(talk(Arc::clone(&theirs), index, stream, stopped.clone()));
            }
            flows.join_all().await;
        });
        opened
            .recv()
            .context("the long-lived connections' thread is gone")??;
        Ok(Self { shared, stop, task })
    }

    /// What became of them until now.
    pub fn report(&self) -> LongLivedReport {
        self.shared.state().report()
    }

    /// Waits until every connection has either broken or exchanged an echo that began after this
    /// call: what the director did before has then reached all of them.
    ///
    /// # Panics
    /// When a connection does neither, which its own time-out makes impossible.
    #[track_caller]
    pub fn settle(&self) {
        let epoch = {
            let mut state = self.shared.state();
            state.epoch += 1;
            state.epoch
        };
        // An exchange that runs now and one more may each take all of their patience.
        wait_for("every long-lived connection to answer or break", 3 * PATIENCE, || {
            self.shared
                .state()
                .flows
                .iter()
                .all(|flow| flow.broken.is_some() || flow.epoch >= epoch)
        });
    }

    /// Lets the running exchanges end, closes all connections and reports.
    pub fn finish(self) -> LongLivedReport {
        self.stop.send_replace(true);
        self.task.join();
        self.shared.state().report()
    }
}

impl State {
    fn report(&self) -> LongLivedReport {
        let mut report = LongLivedReport {
            opened: Distribution::default(),
            alive: BTreeMap::new(),
            broken_at: BTreeMap::new(),
            errors: BTreeMap::new(),
            exchanged: 0,
            slowest: Duration::ZERO,
        };
        for flow in &self.flows {
            report.opened.count(Ok(&flow.server));
            let fate = match flow.broken {
                Some(kind) => {
                    *report.errors.entry(kind).or_default() += 1;
                    &mut report.broken_at
                }
                None => &mut report.alive,
            };
            *fate.entry(flow.server.clone()).or_default() += 1;
            report.exchanged += flow.exchanged;
            report.slowest = report.slowest.max(flow.slowest);
        }
        report
    }
}

async fn open_all(
    to: SocketAddr,
    source: Option<IpAddr>,
    n: usize,
    shared: &Shared,
) -> Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(n);
    for index in 0..n {
        let (stream, answer) = open(to, source)
            .await
            .with_context(|| format!("cannot open connection {} of {n} to {to}", index + 1))?;
        streams.push(stream);
        shared.state().flows.push(Flow {
            server: answer.server,
            epoch: 0,
            exchanged: 0,
            slowest: Duration::ZERO,
            broken: None,
        });
    }
    Ok(streams)
}

/// One connection: an echo, a pause, until told to stop or broken.
async fn talk(shared: Arc<Shared>, index: usize, mut stream: TcpStream, mut stopped: watch::Receiver<bool>) {
    // Spread over 20 to 50 ms, so that a thousand connections do not all talk at once.
    let pause = Duration::from_millis(20 + (index as u64 * 7) % 31);
    for round in 0_u64.. {
        tokio::select! {
            // An error here means that the owner is gone, which is a way to say stop.
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = sleep(pause) => {}
        }
        let epoch = shared.state().epoch;
        let began = Instant::now();
        let payload = [(index as u64).to_be_bytes(), round.to_be_bytes()].concat();
        let result = within(PATIENCE, exchange(&mut stream, &payload)).await;
        let mut state = shared.state();
        let flow = &mut state.flows[index];
        flow.slowest = flow.slowest.max(began.elapsed());
        match result {
            Ok(()) => {
                flow.exchanged += 1;
                flow.epoch = epoch;
            }
            Err(error) => {
                flow.broken = Some(error.kind());
                return;
            }
        }
    }
}
