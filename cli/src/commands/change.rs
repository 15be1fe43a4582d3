//! Commands that change the configuration as a whole.

use std::io::{self, BufRead, IsTerminal as _, Read as _};
use std::path::Path;

use wvs_core::api::{Applied, Apply, Reload};

use crate::args::{ApplyArgs, DiffArgs, ReloadArgs, TeardownArgs};
use crate::client::Client;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::local;
use crate::output::{Output, write_message};
use crate::render;

pub fn apply(client: &Client, args: &ApplyArgs, output: &Output) -> Result<Exit, CommandError> {
    let applied = client.apply(&read(&args.file, args.dry_run)?)?;
    report(&applied, output)?;
    Ok(Exit::Done)
}

pub fn reload(client: &Client, args: &ReloadArgs, output: &Output) -> Result<Exit, CommandError> {
    let applied = client.reload(Reload {
        dry_run: args.dry_run,
    })?;
    report(&applied, output)?;
    Ok(Exit::Done)
}

pub fn diff(client: &Client, args: &DiffArgs, output: &Output) -> Result<Exit, CommandError> {
    let applied = match &args.file {
        Some(file) => client.apply(&read(file, true)?)?,
        None => client.reload(Reload { dry_run: true })?,
    };
    report(&applied, output)?;
    let same = !applied.changed && applied.plan.is_empty() && applied.addresses.is_empty();
    Ok(if same { Exit::Done } else { Exit::Drift })
}

/// Writes what a change did: the plan is data where it was asked for, all else is messages.
pub fn report(applied: &Applied, output: &Output) -> Result<(), CommandError> {
    if !output.is_for_people() || applied.dry_run || output.is_verbose() {
        output.value("the change", applied, |applied, _| render::plan(applied))?;
    }
    for warning in &applied.warnings {
        output.warning(warning);
    }
    output.message(&render::summary(applied));
    Ok(())
}

fn read(file: &Path, dry_run: bool) -> Result<Apply, CommandError> {
    let is_stdin = file == Path::new("-");
    let text = if is_stdin {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let name = if is_stdin { Path::new("stdin") } else { file };
    match text {
        Ok(text) => Ok(Apply {
            text,
            name: name.display().to_string(),
            dry_run,
        }),
        Err(source) => Err(CommandError::Read {
            path: name.to_owned(),
            source,
        }),
    }
}

pub fn teardown(client: &Client, args: &TeardownArgs, output: &Output) -> Result<Exit, CommandError> {
    if !args.yes {
        let stdin = io::stdin();
        confirm(stdin.is_terminal(), stdin.lock())?;
    }
    let torn = match client.teardown() {
        // A director that is there but does not talk to us would put back what we take away.
        Err(error) if error.is_absent() => local::teardown(&args.state_dir, &args.pin_dir)?,
        answer => answer?,
    };
    output.value("the teardown", &torn, |torn, _| render::torn(torn))?;
    Ok(Exit::Done)
}

/// Asks the operator, if there is one.
fn confirm(is_terminal: bool, mut stdin: impl BufRead) -> Result<(), CommandError> {
    if !is_terminal {
        return Err(CommandError::Usage("nobody can be asked here: confirm with --yes".to_owned()));
    }
    write_message("Remove all of wvs from the kernel? Connections that are translated break. [y/N] ");
    let mut answer = String::new();
    stdin
        .read_line(&mut answer)
        .map_err(|source| CommandError::Read {
            path: "stdin".into(),
            source,
        })?;
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if yes {
        Ok(())
    } else {
        Err(CommandError::NotConfirmed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_confirms() {
        for yes in ["y\n", "Y\n", "yes\n", " YES \r\n"] {
            assert!(confirm(true, yes.as_bytes()).is_ok(), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "yess\n", "\x1b\n"] {
            let refused = confirm(true, no.as_bytes());
            assert!(matches!(refused, Err(CommandError::NotConfirmed)), "{no:?}");
        }
    }

    #[test]
    fn a_script_that_says_yes_on_stdin_is_refused() {
        let refused = confirm(false, &b"yes\n"[..]);
        assert!(matches!(refused, Err(CommandError::Usage(_))), "{refused:?}");
    }
}
