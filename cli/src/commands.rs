//! What each command does.

mod change;
mod edit;
mod look;
mod plugin;
mod read;
mod real_server;

use wvs_core::offline::Checked;

use crate::args::{Cli, Command, ConfigCommand, DoctorArgs, Export};
use crate::client::Client;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::local;
use crate::output::Output;
use crate::render;

/// Does what the command line says.
pub fn execute(cli: &Cli, output: &Output) -> Result<Exit, CommandError> {
    if cli.command.has_one_form() && !output.is_for_people() {
        return Err(CommandError::Usage("this command's output has one form only: leave out -o".to_owned()));
    }
    let socket = cli.global.socket.as_path();
    let client = || Client::new(socket);
    match &cli.command {
        Command::Run(args) => local::run(args, socket)?,
        Command::Check(args) => return check(&args.file, output),
        Command::Apply(args) => return change::apply(&client()?, args, output),
        Command::Reload(args) => return change::reload(&client()?, args, output),
        Command::Diff(args) => return change::diff(&client()?, args, output),
        Command::Teardown(args) => return change::teardown(&client()?, args, output),
        Command::Status => return read::status(&client()?, output),
        Command::Services => read::services(&client()?, output)?,
        Command::Backends(args) => read::backends(&client()?, args, output)?,
        Command::Metrics => {
            let metrics = client()?.metrics()?;
            output.data(render::escape_block(&metrics).as_bytes())?;
        }
        Command::Connections(args) => read::connections(&client()?, args, output)?,
        Command::Events(args) => return look::events(&client()?, args, output),
        Command::Explain(args) => look::explain(&client()?, args, output)?,
        Command::Export(Export::Tc) => look::program(&client()?, output)?,
        Command::Persistence(args) => read::persistence(&client()?, args, output)?,
        Command::Export(Export::Config) => read::config(&client()?, output)?,
        Command::Export(Export::Nft(args)) => {
            let ruleset = match &args.config {
                Some(path) => local::ruleset(path)?,
                None => client()?.ruleset()?,
            };
            output.data(render::escape_block(&ruleset).as_bytes())?;
        }
        Command::Drain(args) => edit::drain(&client()?, args, output)?,
        Command::Weight(args) => edit::weight(&client()?, args, output)?,
        Command::Add(add) => edit::add(&client()?, add, output)?,
        Command::Remove(remove) => edit::remove(&client()?, remove, output)?,
        Command::Plugin(command) => return plugin::execute(command, output),
        Command::RealServer(command) => return real_server::execute(command, output),
        Command::Doctor(args) => return doctor(args, socket, output),
        Command::Config(ConfigCommand::Default) => output.data(local::default_config().as_bytes())?,
        Command::Completions(args) => output.data(&local::completions(args.shell))?,
        Command::Man(args) => match &args.dir {
            Some(dir) => {
                for page in local::manual_to(dir)? {
                    output.message(&format!("wrote {}", page.display()));
                }
            }
            None => output.data(&local::manual().map_err(CommandError::Stdout)?)?,
        },
    }
    Ok(Exit::Done)
}

/// The file is sound, or the error says all that is wrong with it.
fn check(file: &std::path::Path, output: &Output) -> Result<Exit, CommandError> {
    let Checked { config, warnings } = local::check(file, output.message_paint.is_on())?;
    for warning in &warnings {
        output.warning(warning);
    }
    if output.is_for_people() {
        let backends: usize = config.services.iter().map(|service| service.backends.len()).sum();
        output.message(&format!(
            "{} is sound: {}, {}",
            file.display(),
            render::count(config.services.len(), "service"),
            render::count(backends, "backend")
        ));
    } else {
        output.value("the configuration", &config, |_, _| String::new())?;
    }
    Ok(Exit::Done)
}

fn doctor(args: &DoctorArgs, socket: &std::path::Path, output: &Output) -> Result<Exit, CommandError> {
    let findings = local::doctor(args, socket);
    output.value("the findings", findings.as_slice(), render::findings)?;
    let well = findings.iter().all(|finding| finding.ok);
    Ok(if well { Exit::Done } else { Exit::Degraded })
}
