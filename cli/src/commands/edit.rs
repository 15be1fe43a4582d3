//! Commands that make one change of the running configuration.

use wvs_core::api::Edit;

use crate::args::{Add, DrainArgs, Remove, WeightArgs};
use crate::client::Client;
use crate::error::CommandError;
use crate::output::Output;

use super::change::report;

pub fn drain(client: &Client, args: &DrainArgs, output: &Output) -> Result<(), CommandError> {
    let edit = Edit::Drain {
        service: args.service.clone(),
        backend: args.backend,
        drain: !args.undo,
    };
    report(&client.edit(&edit)?, output)
}

pub fn weight(client: &Client, args: &WeightArgs, output: &Output) -> Result<(), CommandError> {
    let edit = Edit::SetWeight {
        service: args.service.clone(),
        backend: args.backend,
        weight: args.weight,
    };
    report(&client.edit(&edit)?, output)
}

pub fn add(client: &Client, add: &Add, output: &Output) -> Result<(), CommandError> {
    let edit = match add {
        Add::Service(args) => Edit::AddService {
            service: Box::new(args.service().map_err(CommandError::Usage)?),
        },
        Add::Backend(args) => Edit::AddBackend {
            service: args.service.clone(),
            backend: args.backend(),
        },
    };
    report(&client.edit(&edit)?, output)
}

pub fn remove(client: &Client, remove: &Remove, output: &Output) -> Result<(), CommandError> {
    let edit = match remove {
        Remove::Service(args) => Edit::RemoveService {
            service: args.name.clone(),
            cut: args.cut,
        },
        Remove::Backend(args) => Edit::RemoveBackend {
            service: args.service.clone(),
            backend: args.address,
            cut: args.cut,
        },
    };
    report(&client.edit(&edit)?, output)
}
