//! From TOML to a configuration.

use super::Config;
use super::fault::{Fault, Faults};

/// Reads a configuration.
pub fn read(text: &str) -> Result<Config, Faults> {
    toml::from_str(text).map_err(|error| {
        Faults(vec![Fault {
            span: error.span(),
            message: error.message().to_owned(),
            help: None,
        }])
    })
}
