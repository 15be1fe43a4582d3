//! How the demonstrations tell what they do.

#![allow(clippy::print_stdout)]

use anyhow::Result;

use crate::Director;

/// A heading.
pub fn say(what: &str) {
    println!("── {what}");
}

/// A command of the operator's, and what it prints.
///
/// # Errors
/// When it cannot be run.
pub fn show(director: &Director, arguments: &[&str]) -> Result<()> {
    say(&format!("wvs {}", arguments.join(" ")));
    let output = director.wvs(arguments)?;
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(())
}
