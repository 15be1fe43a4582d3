//! One network namespace: running closures, futures and commands inside it.

use std::future::Future;
use std::io::{self, Write};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};

use crate::wait::poll;

/// How long a busy machine may take to make the routes of addresses.
const SETTLING: Duration = Duration::from_secs(10);
/// Scope of link-local addresses in `/proc/net/if_inet6`. They come with the carrier, and nobody waits for them.
const LINK_SCOPE: &str = "20";

/// A named network namespace of the lab. Cloning copies the name, not the namespace.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: Arc<str>,
}

impl Namespace {
    pub(crate) fn named(name: String) -> Self {
        Self { name: name.into() }
    }

    /// The name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn path(&self) -> PathBuf {
        crate::stale::directory().join(&*self.name)
    }

    /// Moves the calling thread in. Only for threads that end there: there is no way back.
    fn enter(&self) -> io::Result<()> {
        let file = std::fs::File::open(self.path())?;
        Ok(setns(file, CloneFlags::CLONE_NEWNET)?)
    }

    fn enter_or_panic(&self) {
        self.enter()
            .unwrap_or_else(|error| panic!("cannot enter namespace {}: {error}", self.name));
    }

    /// Runs `work` on a thread inside the namespace and waits for it. Sockets made there stay in
    /// the namespace, wherever they are used afterwards.
    ///
    /// # Panics
    /// When `work` does, with its panic; and when the namespace is gone.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let joined = thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter_or_panic();
                    work()
                })
                .join()
        });
        joined.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs a future to its end inside the namespace, on a runtime of one thread.
    ///
    /// # Panics
    /// As [`Namespace::run`].
    pub fn block_on<T: Send, F: Future<Output = T>>(&self, work: impl FnOnce() -> F + Send) -> T {
        self.run(|| runtime().block_on(work()))
    }

    /// Runs a future in the background inside the namespace, on a thread and runtime of its own.
    pub fn spawn<T: Send + 'static, F: Future<Output = T>>(
        &self,
        name: &str,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Task<T> {
        let namespace = self.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                namespace.enter_or_panic();
                runtime().block_on(work())
            })
            .expect("the machine has a thread left");
        Task { thread }
    }

    /// A command that runs inside the namespace.
    ///
    /// `nsenter` replaces itself by the program, so the child's process id is the program's. Not
    /// `ip netns exec`: that mounts a fresh `/sys`, which hides `/sys/fs/bpf`.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program);
        command
    }

    /// Loads a ruleset in one transaction, as `nft -f` does.
    ///
    /// # Errors
    /// With what nft said.
    pub fn nft(&self, ruleset: &str) -> Result<()> {
        let mut command = self.command("nft");
        command.args(["-f", "-"]);
        feed(command, ruleset).with_context(|| format!("nft in {}", self.name))?;
        Ok(())
    }

    /// Runs a program to its end inside the namespace and gives what it wrote to stdout.
    ///
    /// # Errors
    /// With its stderr when it fails.
    pub fn read(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(program);
        command.args(arguments);
        let output = feed(command, "")
            .with_context(|| format!("`{program} {}` in {}", arguments.join(" "), self.name))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A table as `nft -s list table` shows it: `ns.table("ip wvs")`. Without counters, with handles
    /// only if asked for: `ns.table("-a ip wvs")`.
    ///
    /// # Errors
    /// When there is no such table.
    pub fn table(&self, table: &str) -> Result<String> {
        let (options, table) = match table.strip_prefix("-a ") {
            Some(table) => ("-sa", table),
            None => ("-s", table),
        };
        let words: Vec<&str> = [options, "list", "table"]
            .into_iter()
            .chain(table.split(' '))
            .collect();
        self.read("nft", &words)
    }

    /// The packets and bytes of a named counter: `ns.counter("inet foreign", "seen")`.
    ///
    /// # Errors
    /// When there is no such counter.
    pub fn counter(&self, table: &str, name: &str) -> Result<(u64, u64)> {
        let words: Vec<&str> = ["-j", "list", "counter"]
            .into_iter()
            .chain(table.split(' '))
            .collect();
        let listed: serde_json::Value =
            serde_json::from_str(&self.read("nft", &[&words[..], &[name]].concat())?)?;
        let mut objects = listed["nftables"].as_array().into_iter().flatten();
        let counter = objects.find_map(|object| object.get("counter"));
        let number = |key: &str| counter.and_then(|it| it[key].as_u64());
        number("packets")
            .zip(number("bytes"))
            .with_context(|| format!("no counter {name} in {listed}"))
    }

    /// The tables there are, one a line.
    ///
    /// # Errors
    /// When `nft` fails.
    pub fn tables(&self) -> Result<String> {
        self.read("nft", &["list", "tables"])
    }

    /// The connections that conntrack knows, one a line, with their marks.
    ///
    /// # Errors
    /// When the kernel has no such list.
    pub fn conntrack(&self) -> Result<String> {
        // Not /proc/net: that is the main thread's, in another namespace.
        let list = self.run(|| std::fs::read_to_string("/proc/thread-self/net/nf_conntrack"));
        list.context("the kernel lists no connections (CONFIG_NF_CONNTRACK_PROCFS)")
    }

    /// Runs one `ip` command, for example `ns.ip("addr add 192.0.2.1/32 dev lo")`.
    ///
    /// # Errors
    /// With what `ip` said.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        let mut command = Command::new("ip");
        command
            .args(["-n", &self.name])
            .args(arguments.split_whitespace());
        let output = feed(command, "").with_context(|| format!("ip {arguments}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until the namespace takes in what is sent to its IPv6 addresses.
    ///
    /// `ip addr add` returns before that: the kernel makes the address's local route later, in a work queue
    /// (`addrconf_dad_work`), and on a busy machine a first packet finds no route.
    pub(crate) fn settle(&self) -> Result<()> {
        let unrouted = || {
            let of = |file: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{file}"));
            let (addresses, routes) = (of("if_inet6")?, of("ipv6_route")?);
            anyhow::Ok(addresses.lines().any(|line| {
                let mut fields = line.split_whitespace();
                let (address, scope) = (fields.next().unwrap_or_default(), fields.nth(2));
                let local = format!("{address} 80 ");
                scope != Some(LINK_SCOPE) && !routes.lines().any(|route| route.starts_with(&local))
            }))
        };
        self.run(|| {
            poll(SETTLING, || {
                unrouted().map_or_else(|error| Some(Err(error)), |it| (!it).then_some(Ok(())))
            })
            .with_context(|| format!("addresses without a route in {} after {SETTLING:?}", self.name))?
        })
    }

    /// Runs many `ip` commands, one a line, in one process.
    pub(crate) fn ip_batch(&self, lines: &str) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name, "-batch", "-"]);
        feed(command, lines).with_context(|| format!("ip -batch in {}", self.name))?;
        Ok(())
    }

    /// Sets a sysctl of the namespace: `ns.sysctl("net/ipv4/ip_forward", "1")`.
    ///
    /// # Errors
    /// When the kernel has no such setting or refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.sysctls(&[(key, value)])
    }

    pub(crate) fn sysctls(&self, settings: &[(&str, &str)]) -> Result<()> {
        // /proc/sys/net shows the namespace of the thread that looks.
        self.run(|| {
            for (key, value) in settings {
                std::fs::write(PathBuf::from("/proc/sys").join(key), value)
                    .with_context(|| format!("cannot set {key} to {value} in {}", self.name))?;
            }
            Ok(())
        })
    }
}

/// Something running in the background inside a namespace.
#[derive(Debug)]
pub struct Task<T> {
    thread: JoinHandle<T>,
}

impl<T> Task<T> {
    /// Waits for the end.
    ///
    /// # Panics
    /// When the task did, with its panic.
    pub fn join(self) -> T {
        self.thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the machine has file descriptors left")
}

/// Runs a command to its end with `input` on stdin; a failure carries its stderr.
pub(crate) fn feed(mut command: Command, input: &str) -> Result<Output> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that stopped reading says why on its stderr; the broken pipe does not.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output)
}
