//! Connections through NAT that a scheduler decides one by one.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::Bench;
use crate::director::server::Step;
use crate::kernel::queue::{Verdict, Waiting};
use crate::ruleset::{Family, MapName};
use crate::scheduler::{BackendId, NewFlow};

/// `lblc` sends an address to one backend as long as that is not overloaded.
const ASKED: &str = r#"
[[service]]
name = "web"
listen = ["tcp://10.0.0.100:80", "tcp://10.0.0.101:8000-8010", "fwmark:7"]
scheduler = "lblc"
backend = [{ address = "10.1.0.11:80", weight = 1000 }, { address = "10.1.0.12:80", weight = 1000 }]
"#;

/// An engine whose thread is the test's, and what it is to do.
struct Desk {
    bench: Bench,
    todo: Receiver<Step>,
    /// The engine's threads reach it as long as this is there.
    _steps: Arc<mpsc::Sender<Step>>,
}

impl Desk {
    fn new() -> Self {
        let mut bench = Bench::new();
        let (steps, todo) = mpsc::channel();
        let steps = Arc::new(steps);
        bench.engine.steps = Arc::downgrade(&steps);
        bench.apply(ASKED).unwrap();
        Desk {
            bench,
            todo,
            _steps: steps,
        }
    }

    fn comes(&self, id: u32, flow: Option<NewFlow>) {
        self.bench
            .queues
            .0
            .lock()
            .unwrap()
            .waiting
            .push(Waiting { id, flow });
    }

    /// Works until so many packets are decided, and says how.
    fn decided(&mut self, count: usize) -> Vec<(u32, Verdict)> {
        let late = Instant::now() + Duration::from_secs(30);
        while self.bench.queues.0.lock().unwrap().decided.len() < count {
            if let Ok(step) = self.todo.recv_timeout(Duration::from_millis(1)) {
                step(&mut self.bench.engine);
            }
            assert!(Instant::now() < late, "nobody decides");
        }
        std::mem::take(&mut self.bench.queues.0.lock().unwrap().decided)
    }

    fn picks(&mut self) -> u64 {
        self.bench
            .engine
            .status()
            .schedulers
            .iter()
            .map(|it| it.picks)
            .sum()
    }

    fn asks(&self) -> bool {
        let table = &self.bench.engine.desired.tables[&Family::V4];
        table.maps.contains_key(&MapName::Asked) && table.maps.contains_key(&MapName::AskedMarks)
    }
}

fn flow(client: u16, to: &str, mark: u32) -> Option<NewFlow> {
    let client = format!("192.0.2.7:{client}").parse().unwrap();
    Some(NewFlow::new(client, to.parse().unwrap(), 6, mark))
}

#[test]
fn each_connection_is_asked_for_once() {
    let mut desk = Desk::new();
    assert!(desk.asks());
    desk.comes(1, flow(1001, "10.0.0.100:80", 0));
    let first = desk.decided(1);
    assert!(matches!(first[..], [(1, Verdict::Backend(BackendId(1 | 2)))]), "{first:?}");
    let to_it = first[0].1;
    // It comes again while others wait, and is the same connection; what is no connection is not asked for.
    for (id, flow) in [
        (2, flow(1001, "10.0.0.100:80", 0)),
        (3, flow(1002, "10.0.0.100:80", 0)),
        (4, flow(1002, "10.0.0.100:80", 0)),
        (5, None),
        (6, flow(1003, "10.9.9.9:80", 0)),
    ] {
        desk.comes(id, flow);
    }
    let next = desk.decided(5);
    assert_eq!(next[1..3].iter().map(|it| it.1).collect::<Vec<_>>(), [to_it; 2]);
    assert_eq!(next[3..], [(5, Verdict::Undecided), (6, Verdict::Undecided)]);
    // By a range, and by a mark.
    desk.comes(7, flow(1004, "10.0.0.101:8010", 0));
    desk.comes(8, flow(1004, "10.0.0.101:8011", 0));
    desk.comes(9, flow(1004, "203.0.113.9:4711", 7));
    let others = desk.decided(3);
    assert!(matches!(others[0].1, Verdict::Backend(_)), "{others:?}");
    assert_eq!(others[1].1, Verdict::Undecided);
    assert!(matches!(others[2].1, Verdict::Backend(_)), "{others:?}");
}

#[test]
fn a_busy_director_keeps_nobody_waiting() {
    let mut desk = Desk::new();
    desk.comes(1, flow(1001, "10.0.0.100:80", 0));
    let wait = |desk: &Desk, count: usize| {
        let begun = Instant::now();
        while desk.bench.queues.0.lock().unwrap().decided.len() < count {
            assert!(begun.elapsed() < Duration::from_secs(30), "nobody decides");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::mem::take(&mut desk.bench.queues.0.lock().unwrap().decided)
    };
    assert_eq!(wait(&desk, 1), [(1, Verdict::Undecided)]);
    desk.comes(2, flow(1002, "10.0.0.100:80", 0));
    assert_eq!(wait(&desk, 1), [(2, Verdict::Undecided)]);
    // When it is back, nobody is asked for those that have gone on.
    let step = desk.todo.recv().unwrap();
    step(&mut desk.bench.engine);
    assert!(desk.todo.try_recv().is_err());
    assert_eq!(desk.picks(), 0);
    desk.comes(3, flow(1003, "10.0.0.100:80", 0));
    assert!(matches!(desk.decided(1)[..], [(3, Verdict::Backend(_))]));
    assert_eq!(desk.picks(), 1);
}

#[test]
fn a_queue_of_somebody_elses_is_left_alone() {
    let mut desk = Desk::new();
    desk.bench.queues.0.lock().unwrap().taken = true;
    let elsewhere = format!("[director]\nqueue = 5\n{ASKED}");
    desk.bench.apply(&elsewhere).unwrap();
    assert!(!desk.asks());
    let status = desk.bench.engine.status();
    let [warning] = &status.warnings[..] else {
        panic!("{:?}", status.warnings)
    };
    for words in [
        "service web (IPv4)",
        "`lblc`",
        "queue 5 belongs to another program",
        "director.queue",
    ] {
        assert!(warning.contains(words), "{warning}");
    }
    // It is tried again, not all the time.
    desk.bench.queues.0.lock().unwrap().taken = false;
    desk.bench.engine.look_after_queue(Instant::now());
    assert!(!desk.asks());
    desk.bench
        .engine
        .look_after_queue(Instant::now() + Duration::from_secs(2));
    assert!(desk.asks());
    assert_eq!(desk.bench.engine.status().warnings, [""; 0]);
    let commits = desk.bench.commits();
    desk.bench
        .engine
        .look_after_queue(Instant::now() + Duration::from_secs(4));
    assert_eq!(desk.bench.commits(), commits);
    // Nobody is asked any more.
    desk.bench.apply(&ASKED.replace("lblc", "rr")).unwrap();
    assert!(!desk.asks());
}
