//! Commands that look inside.

use crate::args::ExplainArgs;
use crate::client::Client;
use crate::error::CommandError;
use crate::output::Output;
use crate::render;

pub fn explain(client: &Client, args: &ExplainArgs, output: &Output) -> Result<(), CommandError> {
    let explanation = client.explain(&args.packet())?;
    output.value("the explanation", &explanation, render::explanation)
}

pub fn program(client: &Client, output: &Output) -> Result<(), CommandError> {
    output.value("the tc program", &client.program()?, render::program)
}
