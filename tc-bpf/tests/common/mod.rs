//! A place of its own for each test: mount and network namespaces of the test's thread, with a BPF file system. The
//! kernel takes it all away when the thread ends, however it ends.
#![allow(dead_code, clippy::unwrap_used)]

pub mod lab;
pub mod packet;
pub mod serve;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use wvs_tc_bpf::{Forwarder, Sizes};

pub struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    /// Leaves the caller's thread in new namespaces, with `lo` up. Needs root: without it the test fails and says so.
    pub fn enter() -> Self {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)
            .expect("tests of the kernel's part need root (CAP_SYS_ADMIN)");
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bpf")).unwrap();
        mount(Some("bpf"), &folder.path().join("bpf"), Some("bpf"), MsFlags::empty(), none).unwrap();
        // Named namespaces of this test are seen by this test only.
        std::fs::create_dir_all("/run/netns").unwrap();
        mount(Some("netns"), "/run/netns", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        ip("link set lo up");
        Self { folder }
    }

    pub fn pins(&self) -> PathBuf {
        self.folder.path().join("bpf").join("wvs")
    }

    pub fn load(&self) -> Forwarder {
        Forwarder::load(&self.pins(), &small()).unwrap_or_else(|error| panic!("{}", chain(&error)))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.folder.path().join("bpf"), nix::mount::MntFlags::MNT_DETACH);
    }
}

pub fn small() -> Sizes {
    Sizes {
        listeners: 64,
        services: 16,
        backends: 256,
        flows4: 65_536,
        flows6: 65_536,
        half_open: 65_536,
        fragments: 4_096,
        persistent: 4_096,
        pins: 1_024,
        kin: 1_024,
    }
}

pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text += &format!("\n  because: {error}");
        next = error.source();
    }
    text
}

/// `ip WORDS`, in the thread's namespace.
pub fn ip(words: &str) {
    run("ip", words);
}

pub fn run(program: &str, words: &str) {
    let output = Command::new(program)
        .args(words.split_whitespace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{program} {words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs something in a named network namespace.
pub fn within<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let file = std::fs::File::open(Path::new("/run/netns").join(namespace)).unwrap();
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

pub fn sysctl(name: &str, value: &str) {
    let path = format!("/proc/sys/net/{name}");
    std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
