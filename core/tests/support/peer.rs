//! A second namespace, joined to the thread's own by a wire.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use wvs_core::ruleset::Family;

use super::rulesets::host;
use super::run;

type Work = Box<dyn FnOnce() + Send>;

/// The other end of the wire: works there on a thread of its own, with which the namespace ends.
pub struct Peer {
    work: Sender<Work>,
}

impl Peer {
    /// Joins a new namespace to the thread's own: `wire` here, `wire` there, both without addresses.
    pub fn join() -> Self {
        let (work, todo) = channel::<Work>();
        let (say, said) = channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("root can make a network namespace");
            say.send(nix::unistd::gettid()).unwrap();
            todo.into_iter().for_each(|work| work());
        });
        let there = said.recv().unwrap();
        run(&format!("ip link add wire type veth peer name wire netns {there}"));
        let peer = Peer { work };
        peer.run(|| {
            run("ip link set lo up");
            run("ip link set wire up");
        });
        run("ip link set lo up");
        run("ip link set wire up");
        peer
    }

    /// Runs something there, and panics as it does. Sockets stay in the namespace they were made in.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (say, said) = channel();
        let work: Work = Box::new(move || {
            let _ = say.send(catch_unwind(AssertUnwindSafe(work)));
        });
        self.work.send(work).unwrap();
        said.recv().unwrap().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// Gives an interface of this namespace the n-th test address: alone, or with the test network behind it.
pub fn address(family: Family, n: u16, interface: &str, network: bool) {
    let (version, prefix, nodad) = match (family, network) {
        (Family::V4, true) => (4, 16, ""),
        (Family::V4, false) => (4, 32, ""),
        (Family::V6, true) => (6, 64, "nodad"),
        (Family::V6, false) => (6, 128, "nodad"),
    };
    let address = host(family, n);
    run(&format!("ip address add {address}/{prefix} dev {interface} {nodad}"));
    // The kernel makes an IPv6 address's routes later, in a work queue; until then packets are lost.
    wait("the address has a route", || {
        run(&format!("ip -{version} route show table local {address}")).starts_with("local")
    });
}

/// Waits until something holds, for at most ten seconds.
pub fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}
