//! Commands that look inside.

use std::ops::ControlFlow;

use crate::args::{EventsArgs, ExplainArgs};
use crate::client::Client;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::output::Output;
use crate::render;

pub fn explain(client: &Client, args: &ExplainArgs, output: &Output) -> Result<(), CommandError> {
    let explanation = client.explain(&args.packet())?;
    output.value("the explanation", &explanation, render::explanation)
}

pub fn program(client: &Client, output: &Output) -> Result<(), CommandError> {
    output.value("the tc program", &client.program()?, render::program)
}

/// Writes each event as it comes. A director that is followed and stops is not there any more.
pub fn events(client: &Client, args: &EventsArgs, output: &Output) -> Result<Exit, CommandError> {
    let mut wanted = Ok(true);
    client.events(args.follow, args.sample, |event| {
        wanted = output.one_of_many("an event", &event, render::event);
        match wanted {
            Ok(true) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    })?;
    if wanted? && args.follow {
        output.message("the director has stopped");
        return Ok(Exit::Unreachable);
    }
    Ok(Exit::Done)
}
