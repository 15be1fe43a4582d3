//! `wvs plugin`: what authors of schedulers ask for.

use wvs_core::scheduler::conform::Verdict;

use crate::args::{CheckPluginArgs, PluginCommand, SimulateArgs, TestPluginArgs};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::local::{self, LocalError};
use crate::output::Output;
use crate::render;

pub fn execute(command: &PluginCommand, output: &Output) -> Result<Exit, CommandError> {
    match command {
        PluginCommand::New(args) => {
            let written = local::scaffold::scaffold(args);
            for path in written.map_err(LocalError::Scaffold)? {
                output.message(&format!("wrote {}", path.display()));
            }
            output.message(
                "README.md says how to build it; then `wvs plugin check`, `wvs plugin test` and `wvs plugin simulate` show \
                 what it does",
            );
        }
        PluginCommand::Pack(args) => {
            let size = local::plugin::pack(args).map_err(LocalError::from)?;
            output.message(&format!("wrote {}, {size} bytes", args.file.display()));
        }
        PluginCommand::Check(args) => return check(args, output),
        PluginCommand::Test(args) => return test(args, output),
        PluginCommand::Simulate(args) => simulate(args, output)?,
        PluginCommand::Inspect(args) => {
            let found = local::plugin::inspect(&args.subject).map_err(LocalError::from)?;
            output.value("the plugin", &found, render::inspection)?;
        }
        PluginCommand::Bench(args) => {
            let prices = local::plugin::bench(&args.subject, args.slots).map_err(LocalError::from)?;
            output.value("the prices", &prices, render::prices)?;
        }
    }
    Ok(Exit::Done)
}

/// Failed if a check did, as with a configuration.
fn check(args: &CheckPluginArgs, output: &Output) -> Result<Exit, CommandError> {
    let findings = local::plugin::check(&args.subject, args.proportional).map_err(LocalError::from)?;
    output.value("the findings", findings.as_slice(), render::conformance)?;
    let failed = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Failed)
        .count();
    if failed > 0 {
        output.message(&format!("{} failed", render::count(failed, "check")));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

/// Failed if an invariant does not hold.
fn test(args: &TestPluginArgs, output: &Output) -> Result<Exit, CommandError> {
    let report = local::plugin::test(args).map_err(LocalError::from)?;
    output.value("the report", &report, render::report)?;
    let failed = report
        .invariants
        .iter()
        .filter(|held| held.verdict == Verdict::Failed)
        .count();
    if failed > 0 {
        let invariants = render::count(failed, "invariant");
        output.message(&format!(
            "{invariants} of {} not held",
            report.invariants.len() + report.untested.len()
        ));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

fn simulate(args: &SimulateArgs, output: &Output) -> Result<(), CommandError> {
    let simulated = local::plugin::simulate::simulate(args).map_err(LocalError::from)?;
    if let Some(path) = &args.svg {
        let chart = render::chart(&simulated);
        local::plugin::simulate::write(path, &chart).map_err(LocalError::from)?;
    }
    output.value("the simulation", &simulated, render::simulation)?;
    if let Some(path) = &args.svg {
        output.message(&format!("wrote {}", path.display()));
    }
    Ok(())
}
