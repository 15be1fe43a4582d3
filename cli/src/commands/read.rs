//! Commands that read.

use crate::args::{BackendsArgs, ConnectionsArgs, PersistenceArgs};
use crate::client::Client;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::local;
use crate::output::Output;
use crate::render;

pub fn status(client: &Client, output: &Output) -> Result<Exit, CommandError> {
    let status = client.status()?;
    output.value("the status", &status, render::status)?;
    Ok(if render::is_degraded(&status) {
        Exit::Degraded
    } else {
        Exit::Done
    })
}

pub fn services(client: &Client, output: &Output) -> Result<(), CommandError> {
    output.value("the services", client.services()?.as_slice(), render::services)
}

pub fn backends(client: &Client, args: &BackendsArgs, output: &Output) -> Result<(), CommandError> {
    let backends = client.backends(args.service.as_deref())?;
    output.value("the backends", backends.as_slice(), render::backends)
}

pub fn connections(client: &Client, args: &ConnectionsArgs, output: &Output) -> Result<(), CommandError> {
    let connections = client.connections(args.service.as_deref(), args.limit)?;
    output.value("the connections", &connections, render::connections)?;
    let (shown, total) = (connections.connections.len(), connections.total);
    if shown < total {
        output.message(&format!("{shown} of {total} connections; --limit {total} lists all"));
    }
    Ok(())
}

pub fn persistence(client: &Client, args: &PersistenceArgs, output: &Output) -> Result<(), CommandError> {
    let clients = client.persistence(args.service.as_deref(), args.client, args.limit)?;
    output.value("the clients", &clients, render::persistence)?;
    if clients.more {
        let shown = clients.clients.len();
        output.message(&format!("{shown} clients, and there are more: a higher --limit lists them"));
    }
    Ok(())
}

pub fn config(client: &Client, output: &Output) -> Result<(), CommandError> {
    let config = client.config()?;
    output.value("the configuration", &config, |config, _| local::toml(config))
}
