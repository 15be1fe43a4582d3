//! The rules of `[director]`.

use std::collections::BTreeMap;
use std::path::Path;

use super::{
    Checker, FEWEST_FLOWS, FEWEST_MARK_BITS, MOST_FLOWS, MOST_MARK_BITS, interface_fault, interface_help,
};
use crate::config::DirectorSettings;
use crate::config::place::{DirectorKey, Place};

/// Checks the settings of the director.
pub(super) fn check(checker: &mut Checker<'_>) {
    let director = &checker.config.director;
    mark(checker, director.ct_mark_mask);
    paths(checker, director);
    interfaces(checker, &director.interfaces);
    let flows = director.max_flows;
    if !(FEWEST_FLOWS..=MOST_FLOWS).contains(&flows) {
        let message = format!("there cannot be room for {flows} connections");
        checker
            .report(Place::Director(DirectorKey::MaxFlows), message)
            .help(format!("give a number from {FEWEST_FLOWS} to {MOST_FLOWS}; each takes about 130 bytes"));
    }
}

fn mark(checker: &mut Checker<'_>, mask: u32) {
    let bits = mask.count_ones();
    let contiguous = mask == 0 || (mask >> mask.trailing_zeros()).trailing_ones() == bits;
    let message = if !contiguous {
        format!("the bits of the mask {mask:#010x} are not contiguous")
    } else if !(FEWEST_MARK_BITS..=MOST_MARK_BITS).contains(&bits) {
        format!(
            "the mask {mask:#010x} has {bits} bits; backend ids need {FEWEST_MARK_BITS} to {MOST_MARK_BITS}"
        )
    } else {
        return;
    };
    checker
        .report(Place::Director(DirectorKey::CtMarkMask), message)
        .help("the default, \"0xffff0000\", leaves the lower 16 bits to others");
}

fn paths(checker: &mut Checker<'_>, director: &DirectorSettings) {
    for (path, key, example) in [
        (&director.plugin_dir, DirectorKey::PluginDir, "/var/lib/wvs"),
        (&director.state_dir, DirectorKey::StateDir, "/var/lib/wvs"),
        (&director.pin_dir, DirectorKey::PinDir, "/sys/fs/bpf/wvs"),
    ] {
        let relative = key == DirectorKey::PinDir && path.is_relative();
        let message = path_fault(path).or(relative.then_some("the path does not begin with `/`"));
        if let Some(message) = message {
            checker
                .report(Place::Director(key), message.to_owned())
                .help(format!("name a directory, such as \"{example}\""));
        }
    }
}

fn path_fault(path: &Path) -> Option<&'static str> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.is_empty() {
        Some("the path is empty")
    } else if bytes.contains(&0) {
        Some("the path has a NUL in it")
    } else {
        None
    }
}

fn interfaces(checker: &mut Checker<'_>, interfaces: &[String]) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, interface) in interfaces.iter().enumerate() {
        let place = |number| Place::Director(DirectorKey::Interface(number));
        if let Some(message) = interface_fault(interface) {
            checker.report(place(number), message).help(interface_help());
        } else if let Some(&earlier) = first.get(interface.as_str()) {
            let problem =
                checker.report(place(number), format!("the interface `{interface}` is there twice"));
            problem.help("take one of the two out").related = Some(place(earlier));
        } else {
            first.insert(interface, number);
        }
    }
}
