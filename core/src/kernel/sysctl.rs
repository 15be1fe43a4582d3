//! Settings under `/proc/sys`. Those of the network are the ones of the reading thread's namespace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::ruleset::Family;

/// Reads a setting by its dotted name; a dot of an interface's name is written as a slash, as for `sysctl`.
pub fn read(name: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(name))?.trim().to_owned())
}

/// Changes a setting.
pub fn write(name: &str, value: &str) -> io::Result<()> {
    fs::write(path(name), value)
}

fn path(name: &str) -> PathBuf {
    let swapped = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    Path::new("/proc/sys").join(name.chars().map(swapped).collect::<String>())
}

/// Reads a setting that is a number.
pub fn number(name: &str) -> io::Result<u64> {
    read(name)?
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The setting by which the host forwards packets of a family.
pub fn forwarding(family: Family) -> &'static str {
    match family {
        Family::V4 => "net.ipv4.ip_forward",
        Family::V6 => "net.ipv6.conf.all.forwarding",
    }
}

/// Whether the host forwards packets of a family.
pub fn forwards(family: Family) -> io::Result<bool> {
    Ok(number(forwarding(family))? != 0)
}
