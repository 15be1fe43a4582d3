//! What tests at the real kernel share: a network namespace of their own, and commands inside it.
#![allow(
    dead_code,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "each test binary uses a part, and a skipped test says so"
)]

pub mod nft;
pub mod peer;
pub mod real_server;
pub mod rulesets;

use std::io::Write as _;
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, unshare};

/// Runs `work` on a thread in a new network namespace, which ends with the thread. Says so and does nothing
/// without root.
pub fn in_namespace(work: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can make network namespaces; run the tests as root");
        return;
    }
    enter_new(work);
}

/// Runs `work` on a thread in a new network namespace and gives back what it returns.
pub fn enter_new<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("root can make a network namespace");
        work()
    });
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Waits until something is so, with a bound.
#[track_caller]
pub fn wait_for(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !so() {
        assert!(std::time::Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Runs a command in the thread's namespace and gives back what it printed.
pub fn run(line: &str) -> String {
    run_with(line, "")
}

/// Runs a command with an input.
pub fn run_with(line: &str, input: &str) -> String {
    let mut words = line.split_whitespace();
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{line}: {}\n{input}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
