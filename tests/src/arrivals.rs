//! A steady stream of new connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::clients::Client;
use crate::connection::open;
use crate::distribution::Distribution;
use crate::namespace::Task;
use crate::wait::wait_until;

/// New connections in the background, so many a second. Each reads who answers and closes.
///
/// ```no_run
/// # fn main() -> anyhow::Result<()> {
/// # use wvs_tests::{Arrivals, Lab, LabOptions};
/// # let lab = Lab::new(LabOptions::default())?;
/// let arrivals = Arrivals::start(&lab.client(), lab.vip(80), 100);
/// // … drain rs2 …
/// assert_eq!(arrivals.next(50).server("rs2"), 0); // of those that began after the drain
/// assert_eq!(arrivals.finish().failed(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Arrivals {
    counts: Arc<Mutex<Counts>>,
    stop: watch::Sender<bool>,
    task: Task<()>,
    per_second: u32,
}

#[derive(Debug, Default)]
struct Counts {
    /// Raised by `next`; an arrival counts for the epoch in which it began.
    epoch: u64,
    /// Outcomes of the arrivals that began in this epoch.
    fresh: Distribution,
    all: Distribution,
}

fn locked(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().expect("nothing panics while holding it")
}

impl Arrivals {
    /// Starts the stream. Slow answers do not slow it: connections overlap.
    ///
    /// # Panics
    /// When `per_second` is 0.
    pub fn start(client: &Client, to: SocketAddr, per_second: u32) -> Self {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (stop, stopped) = watch::channel(false);
        let (source, theirs) = (client.source(), Arc::clone(&counts));
        let task = client.namespace().spawn("arrivals", move || async move {
            let mut asked = JoinSet::new();
            every(per_second, stopped, || {
                asked.spawn(ask(Arc::clone(&theirs), to, source));
                while asked.try_join_next().is_some() {}
            })
            .await;
            asked.join_all().await;
        });
        Self {
            counts,
            stop,
            task,
            per_second,
        }
    }

    /// All outcomes until now.
    pub fn report(&self) -> Distribution {
        locked(&self.counts).all.clone()
    }

    /// Waits for the outcomes of at least `n` arrivals that begin after this call, and tells only
    /// those.
    ///
    /// # Panics
    /// When they do not come, in thrice the time they should take and ten seconds.
    #[track_caller]
    pub fn next(&self, n: usize) -> Distribution {
        {
            let mut counts = locked(&self.counts);
            counts.epoch += 1;
            counts.fresh = Distribution::default();
        }
        let expected = Duration::from_secs(1) * u32::try_from(n).unwrap_or(u32::MAX) / self.per_second;
        wait_until("new arrivals", 3 * expected + Duration::from_secs(10), || {
            let counts = locked(&self.counts);
            let done = counts.fresh.answered() + counts.fresh.failed();
            (done >= n).then(|| counts.fresh.clone())
        })
    }

    /// Ends the stream, waits for the connections under way, and tells all outcomes.
    pub fn finish(self) -> Distribution {
        self.stop.send_replace(true);
        self.task.join();
        std::mem::take(&mut locked(&self.counts).all)
    }
}

async fn ask(counts: Arc<Mutex<Counts>>, to: SocketAddr, source: Option<std::net::IpAddr>) {
    let epoch = locked(&counts).epoch;
    let outcome = open(to, source)
        .await
        .map(|(_, answer)| answer.server)
        .map_err(|e| e.kind());
    let mut counts = locked(&counts);
    let outcome = outcome.as_deref().map_err(|kind| *kind);
    counts.all.count(outcome);
    if counts.epoch == epoch {
        counts.fresh.count(outcome);
    }
}

/// Does something so many times a second until stopped. What a busy machine misses is made up.
pub(crate) async fn every(per_second: u32, mut stopped: watch::Receiver<bool>, mut action: impl FnMut()) {
    assert!(per_second > 0, "a stream has at least one arrival a second");
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = ticks.tick() => action(),
        }
    }
}
