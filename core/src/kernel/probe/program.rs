//! What the tc program needs, found out by loading it.

use std::path::Path;

use wvs_tc_bpf::{Forwarder, Hook, Sizes, pin};

use super::{Finding, capability};
use crate::chain;

/// Looks at what direct routing and tunnels need of this host.
pub fn program(pin_dir: &Path) -> Vec<Finding> {
    let mut findings = vec![
        // Not CAP_BPF: tables are maps within a map, which the kernel opens by their numbers for nobody else.
        capability(caps::Capability::CAP_SYS_ADMIN, "to load the forwarding program and read its tables"),
        file_system(pin_dir),
    ];
    let is_possible = findings.iter().all(|finding| finding.ok);
    findings.push(attachment());
    if is_possible {
        findings.push(loading(pin_dir));
    }
    findings
}

fn file_system(pin_dir: &Path) -> Finding {
    const NAME: &str = "BPF file system";
    let there = pin_dir.ancestors().find(|it| it.exists());
    match there.map(pin::is_bpffs) {
        Some(Ok(true)) => Finding::good(NAME, format!("holds {}", pin_dir.display())),
        Some(Err(error)) => Finding::bad(NAME, error, "see that director.pin_dir can be read"),
        _ => Finding::bad(
            NAME,
            format_args!("{} would lie on another file system", pin_dir.display()),
            "mount -t bpf bpf /sys/fs/bpf, or name a directory on one as director.pin_dir",
        ),
    }
}

fn attachment() -> Finding {
    const NAME: &str = "tc ingress";
    match Hook::of_this_kernel() {
        Ok(Hook::Tcx) => Finding::good(NAME, "the program is attached by TCX"),
        Ok(Hook::Clsact) => {
            Finding::good(NAME, "this kernel has no TCX (Linux 6.6): clsact filters are used")
        }
        Err(error) => Finding::bad(
            NAME,
            format_args!("programs cannot be asked for: {}", chain(&error)),
            "a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_ACT",
        ),
    }
}

/// Loads the program with small tables in a place of its own, beside what a director has pinned.
fn loading(pin_dir: &Path) -> Finding {
    const NAME: &str = "forwarding program";
    const SMALL: u32 = 64;
    let was_there = pin_dir.exists();
    let place = pin_dir.join(format!("doctor-{}", std::process::id()));
    let sizes = Sizes {
        listeners: SMALL,
        services: SMALL,
        backends: SMALL,
        flows4: SMALL,
        flows6: SMALL,
        half_open: SMALL,
        fragments: SMALL,
        persistent: SMALL,
        pins: SMALL,
        kin: SMALL,
    };
    let loaded = Forwarder::load(&place, &sizes).map(drop);
    // Whatever is left of it is nobody's.
    let _ = Forwarder::teardown(&place);
    let _ = std::fs::remove_dir(&place);
    if !was_there {
        let _ = std::fs::remove_dir(pin_dir);
    }
    let btf = if Path::new("/sys/kernel/btf/vmlinux").exists() {
        ""
    } else {
        "; the kernel has no BTF, and none is needed"
    };
    match loaded {
        Ok(()) => Finding::good(NAME, format!("the kernel takes it{btf}")),
        Err(error) => Finding::bad(
            NAME,
            chain(&error),
            "run as root on Linux 5.14 or newer with CONFIG_BPF_SYSCALL, and see that no container or lockdown forbids \
             bpf()",
        ),
    }
}
