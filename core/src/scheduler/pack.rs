//! Makes a plugin complete before it is shipped: a component that imports the contract and nothing else.

use super::vet::{LoadPluginError, WASI};
use super::wrap;

/// A component of any file that a director would take, or of a core module that besides wants WASI preview 1, as the
/// runtimes of some languages do when they start.
///
/// Such a module gets what a sandbox has: the log, repeatable random numbers and a clock that only counts, and no arguments,
/// environment or files. What comes out imports the contract only, and names its version.
///
/// # Errors
/// If it is not a scheduler for this version of the contract; the text is for the plugin's author.
pub fn pack(name: &str, bytes: &[u8]) -> Result<Vec<u8>, LoadPluginError> {
    let (binary, mut outside) = wrap::read(name, bytes)?;
    let wasi = outside.gives_up(WASI);
    let form = outside.vet(name)?;
    let packed = if wasi {
        wrap::to_component_with_wasi(binary, form, &outside)
    } else {
        wrap::to_component(binary, form, &outside)
    };
    packed.map_err(|error| LoadPluginError::Wrap {
        name: name.to_owned(),
        reason: format!("{error:#}"),
    })
}
