//! Names of the lab's namespaces, and the removal of those whose test is dead.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{
    Once,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result};

use crate::bpffs::BpfFs;
use crate::namespace::feed;

/// Where `ip netns` keeps its names.
pub(crate) fn directory() -> &'static Path {
    Path::new("/run/netns")
}

/// A prefix no other lab of this machine has: `wvs-<pid>-<n>-`.
pub(crate) fn fresh_prefix(label: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(1);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let label = if label.is_empty() {
        String::new()
    } else {
        format!("{label}-")
    };
    format!("wvs-{}-{n}-{label}", std::process::id())
}

/// Removes, once in a process, what test processes that were killed have left.
pub(crate) fn sweep_once() {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| {
        // Whatever is wrong with a leftover, it is not the fault of the test that runs now; and
        // another test process may be sweeping the same names.
        for name in leftovers(&names()) {
            let _ = remove(&[name]);
        }
        for name in leftovers(&BpfFs::names()) {
            BpfFs::remove(name);
        }
    });
}

/// The namespaces that exist.
fn names() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory()) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Those of `names` made by a process that is no more. This process counts as such: it has made
/// none yet, so what carries its number is from an earlier process of that number.
fn leftovers(names: &[String]) -> Vec<&str> {
    let own = std::process::id();
    let mut dead = HashSet::new();
    names
        .iter()
        .filter(|name| {
            maker(name).is_some_and(|pid| {
                dead.contains(&pid)
                    || pid == own
                    || (!PathBuf::from(format!("/proc/{pid}")).exists() && dead.insert(pid))
            })
        })
        .map(String::as_str)
        .collect()
}

/// The process that made a namespace of this name, if a lab did.
fn maker(name: &str) -> Option<u32> {
    let (pid, rest) = name.strip_prefix("wvs-")?.split_once('-')?;
    let (number, _) = rest.split_once('-')?;
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

/// Creates namespaces in one process.
pub(crate) fn create(names: &[&str]) -> Result<()> {
    netns("add", names)
}

/// Removes namespaces in one process, going on past those that are gone already.
pub(crate) fn remove(names: &[&str]) -> Result<()> {
    netns("del", names)
}

fn netns(verb: &str, names: &[&str]) -> Result<()> {
    let mut command = Command::new("ip");
    if verb == "del" {
        command.arg("-force");
    }
    command.args(["-batch", "-"]);
    let lines: String = names
        .iter()
        .map(|name| format!("netns {verb} {name}\n"))
        .collect();
    feed(command, &lines).with_context(|| format!("ip netns {verb}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_labs_of_dead_processes_are_leftovers() {
        let own = std::process::id();
        // Process 1 lives on every Linux; the kernel never hands out a number this large.
        let names = [
            "wvs-1-1-client",
            "wvs-4999999-1-client",
            "wvs-x-1-client",
            "other",
            "wvs-4999999",
        ]
        .map(str::to_owned);
        assert_eq!(leftovers(&names), ["wvs-4999999-1-client"]);
        assert_eq!(leftovers(&[format!("wvs-{own}-3-rs1")]).len(), 1);
    }
}
