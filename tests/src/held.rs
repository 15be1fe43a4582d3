//! Connections of different lengths, for schedulers that count them.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::arrivals::every;
use crate::clients::Client;
use crate::connection::open;
use crate::distribution::Distribution;
use crate::namespace::Task;
use crate::wait::wait_for;

/// How long connections live.
#[derive(Clone, Copy, Debug)]
pub enum Lifetimes {
    /// Until [`HeldConnections::finish`].
    Forever,
    /// All alike.
    Fixed(Duration),
    /// Anything between the two, evenly.
    Uniform(Duration, Duration),
    /// Memoryless, with this mean.
    Exponential(Duration),
    /// Mostly short, a few long: one in `one_in` lives `long`, the others `short`.
    Skewed {
        /// The life of most.
        short: Duration,
        /// The life of a few.
        long: Duration,
        /// How few.
        one_in: u32,
    },
}

/// What to open.
#[derive(Clone, Copy, Debug)]
pub struct HeldOptions {
    /// New connections a second.
    pub per_second: u32,
    /// How long each lives.
    pub lifetimes: Lifetimes,
    /// The same seed gives the same sequence of lifetimes.
    pub seed: u64,
}

/// Connections opened at a steady rate, each held for a lifetime of its own.
///
/// ```no_run
/// # fn main() -> anyhow::Result<()> {
/// # use std::time::Duration;
/// # use wvs_tests::{HeldConnections, HeldOptions, Lab, LabOptions, Lifetimes};
/// # let lab = Lab::new(LabOptions::default())?;
/// let lifetimes = Lifetimes::Skewed {
///     short: Duration::from_millis(50),
///     long: Duration::from_secs(20),
///     one_in: 5,
/// };
/// let options = HeldOptions { per_second: 100, lifetimes, seed: 1 };
/// let held = HeldConnections::start(&lab.client(), lab.vip(80), options);
/// held.wait_opened(500);
/// let report = held.finish();
/// let (least, most) = report.spread();
/// assert!(most - least <= 3, "{report:?}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HeldConnections {
    counts: Arc<Mutex<HeldReport>>,
    stop: watch::Sender<bool>,
    task: Task<()>,
    per_second: u32,
}

/// What was opened and what is left.
#[derive(Clone, Debug, Default)]
pub struct HeldReport {
    /// Who answered, and what could not be opened.
    pub opened: Distribution,
    /// Open connections by server, 0 for a server that had some.
    pub live: BTreeMap<String, usize>,
    /// Connections that ended before their time, by what ended them.
    pub broken: BTreeMap<io::ErrorKind, usize>,
}

impl HeldReport {
    /// The least and the most open connections of any server that has answered.
    pub fn spread(&self) -> (usize, usize) {
        let least = self.live.values().min().copied().unwrap_or(0);
        (least, self.live.values().max().copied().unwrap_or(0))
    }
}

fn locked(counts: &Mutex<HeldReport>) -> MutexGuard<'_, HeldReport> {
    counts.lock().expect("nothing panics while holding it")
}

impl HeldConnections {
    /// Starts opening.
    ///
    /// # Panics
    /// When `options.per_second` is 0.
    pub fn start(client: &Client, to: SocketAddr, options: HeldOptions) -> Self {
        let counts = Arc::new(Mutex::new(HeldReport::default()));
        let (stop, stopped) = watch::channel(false);
        let (source, theirs) = (client.source(), Arc::clone(&counts));
        let task = client.namespace().spawn("held", move || async move {
            let mut chance = Chance(options.seed);
            let mut held = JoinSet::new();
            every(options.per_second, stopped, || {
                let life = options.lifetimes.draw(&mut chance);
                held.spawn(hold(Arc::clone(&theirs), to, source, life));
                while held.try_join_next().is_some() {}
            })
            .await;
            // The connections close when the tasks are dropped; the report stays as it is now.
        });
        Self {
            counts,
            stop,
            task,
            per_second: options.per_second,
        }
    }

    /// How it stands.
    pub fn report(&self) -> HeldReport {
        locked(&self.counts).clone()
    }

    /// Waits until `n` have been opened in all.
    ///
    /// # Panics
    /// When they are not, in thrice the time it should take and ten seconds.
    #[track_caller]
    pub fn wait_opened(&self, n: usize) {
        let expected = Duration::from_secs(1) * u32::try_from(n).unwrap_or(u32::MAX) / self.per_second;
        wait_for("held connections to open", 3 * expected + Duration::from_secs(10), || {
            locked(&self.counts).opened.answered() >= n
        });
    }

    /// Stops opening, reports what is open at this moment, then closes all.
    pub fn finish(self) -> HeldReport {
        self.stop.send_replace(true);
        self.task.join();
        std::mem::take(&mut locked(&self.counts))
    }
}

async fn hold(
    counts: Arc<Mutex<HeldReport>>,
    to: SocketAddr,
    source: Option<IpAddr>,
    life: Option<Duration>,
) {
    let (mut stream, server) = match open(to, source).await {
        Ok((stream, answer)) => (stream, answer.server),
        Err(error) => return locked(&counts).opened.count(Err(error.kind())),
    };
    {
        let mut counts = locked(&counts);
        counts.opened.count(Ok(&server));
        *counts.live.entry(server.clone()).or_default() += 1;
    }
    let end = async {
        match life {
            Some(life) => sleep(life).await,
            None => std::future::pending().await,
        }
    };
    let mut byte = [0];
    let broken = tokio::select! {
        () = end => None,
        read = stream.read(&mut byte) => Some(match read {
            Ok(0) => io::ErrorKind::UnexpectedEof,
            Ok(_) => io::ErrorKind::InvalidData,
            Err(error) => error.kind(),
        }),
    };
    let mut counts = locked(&counts);
    if let Some(live) = counts.live.get_mut(&server) {
        *live -= 1;
    }
    if let Some(kind) = broken {
        *counts.broken.entry(kind).or_default() += 1;
    }
}

impl Lifetimes {
    fn draw(self, chance: &mut Chance) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::Fixed(life) => Some(life),
            Self::Uniform(from, to) => Some(from + to.saturating_sub(from).mul_f64(chance.fraction())),
            // The inverse of the exponential distribution; 1 − fraction is never 0.
            Self::Exponential(mean) => Some(mean.mul_f64(-(1.0 - chance.fraction()).ln())),
            Self::Skewed { short, long, one_in } => {
                Some(if chance.next().is_multiple_of(u64::from(one_in)) {
                    long
                } else {
                    short
                })
            }
        }
    }
}

/// SplitMix64: enough chance for lifetimes, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least 0, less than 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(lifetimes: Lifetimes) -> f64 {
        let mut chance = Chance(7);
        (0..10_000)
            .filter_map(|_| lifetimes.draw(&mut chance))
            .map(|d| d.as_secs_f64())
            .sum::<f64>()
            / 10_000.0
    }

    #[test]
    fn lifetimes_have_the_mean_they_say() {
        let second = Duration::from_secs(1);
        let exponential = mean(Lifetimes::Exponential(second));
        assert!((0.95..1.05).contains(&exponential), "{exponential}");
        let uniform = mean(Lifetimes::Uniform(second, 3 * second));
        assert!((1.95..2.05).contains(&uniform), "{uniform}");
        let skewed = mean(Lifetimes::Skewed {
            short: Duration::ZERO,
            long: second,
            one_in: 5,
        });
        assert!((0.18..0.22).contains(&skewed), "{skewed}");
    }
}
