//! `make demo-plugin PLUGIN=mine.wasm`: a scheduler of one's own at work on this machine, in network namespaces that go
//! again.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use wvs_tests::demo::{say, show};
use wvs_tests::{Client, Config, Director, Lab, LabOptions, ServerOptions, Service, rs};

/// How many connections are opened at a time: a multiple of the weights' sum.
const CONNECTIONS: usize = 60;

fn main() -> Result<()> {
    let (plugin, params) = arguments()?;
    say("three real servers of weights 3, 2 and 1, a director and a client, each in a network namespace");
    let lab = Lab::new(LabOptions {
        name: "plugin",
        ..LabOptions::default()
    })?;
    let _servers = lab.start_servers(&ServerOptions::default())?;
    let given: Vec<(&str, &str)> = params
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let web = Service::web().weights(&[3, 2, 1]).scheduler_with(&plugin, &given);
    let config = Config::from(web).to_string();
    println!("{config}");
    say("wvs run --config wvs.toml");
    let director = Director::start(&lab, &config)?;
    let client = lab.client();
    ask(&lab, &client)?;
    show(&director, &["drain", "web", &rs(1).to_string()])?;
    ask(&lab, &client)?;
    show(&director, &["drain", "web", &rs(1).to_string(), "--undo"])?;
    show(&director, &["weight", "web", &rs(2).to_string(), "0"])?;
    ask(&lab, &client)?;
    show(&director, &["backends", "web"])?;
    let scheduler = director.scheduler("web")?;
    ensure!(
        scheduler["health"]["state"] == "running",
        "the plugin failed, and the built-in round robin or its last table stood in for it: {}",
        scheduler["last_error"]
    );
    say("done; the namespaces go, and everything in them");
    Ok(())
}

/// The plugin's file, and parameters for it.
fn arguments() -> Result<(String, Vec<(String, String)>)> {
    let usage = "usage: wvs-demo-plugin FILE [KEY=VALUE]...";
    let mut arguments = std::env::args().skip(1);
    let file = PathBuf::from(arguments.next().context(usage)?);
    let file = file
        .canonicalize()
        .with_context(|| format!("no plugin {}", file.display()))?;
    let file = file
        .to_str()
        .context("the plugin's path must be UTF-8")?
        .to_owned();
    let mut params = Vec::new();
    for argument in arguments {
        let Some((key, value)) = argument.split_once('=') else {
            bail!("{argument:?} is no parameter; {usage}");
        };
        params.push((key.to_owned(), value.to_owned()));
    }
    Ok((file, params))
}

fn ask(lab: &Lab, client: &Client) -> Result<()> {
    say(&format!("{CONNECTIONS} TCP connections to {}", lab.vip(80)));
    let seen = client.ask_many(lab.vip(80), CONNECTIONS);
    println!("{seen}\n");
    ensure!(seen.answered() > 0, "no request was answered: the plugin names nobody");
    Ok(())
}
