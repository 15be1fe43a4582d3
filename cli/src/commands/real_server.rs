//! `wvs real-server`: what is done on the backends' hosts.

use wvs_core::real_server::{Item, State};

use crate::args::{RealServerCommand, SetupArgs, StatusArgs, UndoArgs};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::local::LocalError;
use crate::local::real_server::{self, RealServerError};
use crate::output::Output;
use crate::render;

pub fn execute(command: &RealServerCommand, output: &Output) -> Result<Exit, CommandError> {
    match command {
        RealServerCommand::Setup(args) => setup(args, output),
        RealServerCommand::Undo(args) => undo(args, output),
        RealServerCommand::Status(args) => status(args, output),
    }
}

fn failed(error: RealServerError) -> CommandError {
    match error {
        RealServerError::Usage(what) => CommandError::Usage(what),
        other => LocalError::RealServer(other.into()).into(),
    }
}

fn setup(args: &SetupArgs, output: &Output) -> Result<Exit, CommandError> {
    let made = real_server::setup(args).map_err(failed)?;
    output.value("the changes", &made, |made, _| render::lines(&made.changes))?;
    for item in made.items.iter().filter(|item| item.state == State::Advice) {
        output.warning(&advice(item));
    }
    let changes = render::count(made.changes.len(), "change");
    if made.dry_run {
        output.message(&format!("{changes} to be made; nothing was changed"));
        return Ok(Exit::Done);
    }
    if let Some(unit) = &made.unit {
        output.message(&format!("wrote {}, which systemd runs at each boot", unit.display()));
    }
    let missing: Vec<_> = made.items.iter().filter(|item| !item.ok).collect();
    for item in &missing {
        output.warning(&format!("{}: {}, wanted: {}", item.name, item.is, item.wanted));
    }
    output.message(&changes);
    Ok(if missing.is_empty() {
        Exit::Done
    } else {
        Exit::Degraded
    })
}

fn advice(item: &Item) -> String {
    let fix = item
        .fix
        .as_ref()
        .map_or_else(String::new, |fix| format!("; better: {fix}"));
    format!("{}: {}, wanted: {}{fix}", item.name, item.is, item.wanted)
}

fn undo(args: &UndoArgs, output: &Output) -> Result<Exit, CommandError> {
    let undone = real_server::undo(args).map_err(failed)?;
    output.value("what was taken back", &undone, |undone, _| render::lines(&undone.changes))?;
    for left in &undone.left {
        output.warning(&format!("left alone: {left}"));
    }
    if undone.unit_removed {
        output.message("removed the unit that ran at each boot");
    }
    match &undone.remains {
        Some(wish) => output.message(&format!("what remains is that of {wish}")),
        None if !undone.remembered => output.message(&format!(
            "no setup is remembered in {}; nothing was changed on this host",
            args.places.state_dir.display()
        )),
        None => {}
    }
    Ok(Exit::Done)
}

fn status(args: &StatusArgs, output: &Output) -> Result<Exit, CommandError> {
    let status = real_server::status(args).map_err(failed)?;
    output.value("the status", &status, |status, paint| {
        render::real_server(status, output.is_verbose(), paint)
    })?;
    let well = status.items.iter().all(|item| item.ok);
    Ok(if well { Exit::Done } else { Exit::Degraded })
}
