//! Measures how fast backends answer, for the schedulers that want to know.
//!
//! What is measured is the time of a TCP connection from here, by the same network and to the same port. It says nothing
//! of the server's application, but grows with queues on the way and with a backlog that is full. Nobody waits for
//! it: a task connects, and the engine hears of what came of that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::engine::Engine;
use super::server::Handle;
use crate::config::Listen;
use crate::pool::PoolKey;
use crate::ruleset::Protocol;

/// Whoever takes longer is as slow as that.
const LONGEST: Duration = Duration::from_secs(1);
/// So many connections are attempted at once.
const AT_ONCE: usize = 256;
/// How soon a scheduler that is new is thought of.
const LOOK: Duration = Duration::from_secs(1);

/// When each pool was measured last.
pub type Rounds = BTreeMap<PoolKey, Instant>;

/// What is to be measured now.
#[derive(Debug, Default)]
pub struct Round {
    /// For whom.
    pub keys: Vec<PoolKey>,
    /// Where backends are.
    pub targets: BTreeSet<SocketAddr>,
    /// How long after the beginning of this round the next one is due.
    pub pause: Duration,
}

impl Engine {
    /// What is to be measured at this time. It counts as measured then.
    pub fn next_round(&mut self, now: Instant) -> Round {
        let mut round = Round {
            pause: LOOK,
            ..Round::default()
        };
        self.rounds.retain(|key, _| self.pools.contains_key(key));
        for (key, pool) in &self.pools {
            let Some(interval) = pool.interval() else { continue };
            let last = self.rounds.get(key).copied();
            let due = last.map_or(now, |last| last + interval);
            if due > now {
                round.pause = round.pause.min(due - now);
                continue;
            }
            round.pause = round.pause.min(interval);
            self.rounds.insert(key.clone(), now);
            round.keys.push(key.clone());
            let by_tcp = self
                .config
                .service(&key.service)
                .is_some_and(|service| service.listen.iter().any(takes_tcp));
            // A backend without a port of its own takes whatever port the client asks for.
            let known = pool
                .candidates()
                .iter()
                .filter(|backend| by_tcp && backend.port > 0);
            round
                .targets
                .extend(known.map(|backend| SocketAddr::new(backend.address, backend.port)));
        }
        round
    }

    /// Tells schedulers what was measured, and has them make their tables again.
    pub fn take_times(&mut self, keys: Vec<PoolKey>, times: &BTreeMap<SocketAddr, u32>) {
        for key in &keys {
            if let Some(pool) = self.pools.get_mut(key) {
                pool.measured(times);
            }
        }
        self.refill(keys);
    }
}

fn takes_tcp(listen: &Listen) -> bool {
    match listen {
        Listen::Socket { protocol, .. } => *protocol == Protocol::Tcp,
        // Marked packets may be of any; where TCP is refused, that is a time as well.
        Listen::Mark(_) => true,
    }
}

/// Measures until the engine stops.
pub async fn measure(handle: Handle) {
    let mut begun = Instant::now();
    while let Ok(round) = handle.call(move |engine| engine.next_round(begun)).await {
        let Round { keys, targets, pause } = round;
        if !keys.is_empty() {
            let times = connect_to_all(targets).await;
            if handle
                .call(move |engine| engine.take_times(keys, &times))
                .await
                .is_err()
            {
                return;
            }
        }
        tokio::time::sleep_until((begun + pause).into()).await;
        begun = Instant::now();
    }
}

/// How many microseconds a connection to each took, as far as that can be known.
async fn connect_to_all(targets: BTreeSet<SocketAddr>) -> BTreeMap<SocketAddr, u32> {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut attempts = JoinSet::new();
    for target in targets {
        let room = room.clone();
        attempts.spawn(async move {
            let _place = room.acquire_owned().await.ok()?;
            Some((target, time_to_connect(target).await?))
        });
    }
    attempts.join_all().await.into_iter().flatten().collect()
}

async fn time_to_connect(target: SocketAddr) -> Option<u32> {
    let begun = Instant::now();
    let attempt = tokio::time::timeout(LONGEST, TcpStream::connect(target)).await;
    let took = begun.elapsed().min(LONGEST);
    match attempt {
        // It is closed as soon as it is open, and a server sees the end of an empty stream.
        Ok(Ok(_)) | Err(_) => {}
        // Whoever refuses has answered: services of direct routing may listen on the virtual address alone.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
        Ok(Err(_)) => return None,
    }
    u32::try_from(took.as_micros()).ok()
}
