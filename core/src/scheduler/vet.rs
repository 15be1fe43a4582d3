//! Looks at a plugin's imports and exports before any of it is compiled or run.
//!
//! The engine would refuse the same plugins, but in words that only its authors understand.

use super::contract::{PACKAGE, VERSION};
use super::outside::{Outside, contract_interface};
use super::shape::{Function, Shape, functions};

/// The module that runtimes of languages import which were made for WASI preview 1.
pub(super) const WASI: &str = "wasi_snapshot_preview1";

/// Why a plugin was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadPluginError {
    /// The file is larger than allowed.
    #[error("plugin {name}: {size} bytes, and at most {limit} are allowed")]
    TooLarge {
        /// The plugin.
        name: String,
        /// Its size.
        size: usize,
        /// The largest allowed.
        limit: usize,
    },
    /// There is nothing in the file.
    #[error("plugin {name}: the file is empty")]
    Empty {
        /// The plugin.
        name: String,
    },
    /// It begins as WebAssembly does, and does not go on so.
    #[error("plugin {name}: it begins as WebAssembly, but is cut off or damaged: {reason}")]
    Damaged {
        /// The plugin.
        name: String,
        /// What the parser said.
        reason: String,
    },
    /// Neither WebAssembly nor its text form.
    #[error("plugin {name}: neither WebAssembly nor its text form: {reason}")]
    NotWasm {
        /// The plugin.
        name: String,
        /// What the parser said.
        reason: String,
    },
    /// Made for another version of the contract.
    #[error("plugin {name}: built against {PACKAGE} {found}; this director speaks {series}.x", series = series(VERSION))]
    Version {
        /// The plugin.
        name: String,
        /// The version it was made for.
        found: String,
    },
    /// Wants something that plugins do not get.
    #[error(
        "plugin {name}: imports {}: a plugin may import {PACKAGE}/host only",
        some(imports)
    )]
    Import {
        /// The plugin.
        name: String,
        /// What it imports, each with its module.
        imports: Vec<String>,
        /// What its author can do.
        hint: String,
    },
    /// Wants functions of the host that this director does not have.
    #[error("plugin {name}: imports {}, which the host does not have; it has {}", some(imports), known.join(", "))]
    UnknownHost {
        /// The plugin.
        name: String,
        /// What it imports, each with its module.
        imports: Vec<String>,
        /// The functions that there are.
        known: Vec<String>,
    },
    /// Lacks a function of the contract.
    #[error("plugin {name}: does not export {missing}, which every scheduler needs")]
    Export {
        /// The plugin.
        name: String,
        /// The interface or function it lacks.
        missing: String,
    },
    /// Has an interface of the contract in part.
    #[error("plugin {name}: has the interface {interface} of {PACKAGE}@{VERSION}, but does not export {}", missing.join(", "))]
    Functions {
        /// The plugin.
        name: String,
        /// The interface.
        interface: String,
        /// The functions that it lacks.
        missing: Vec<String>,
    },
    /// A function of the contract has other types.
    #[error("plugin {name}: {what} as {found}; by the contract it is {wanted}")]
    Shape {
        /// The plugin.
        name: String,
        /// What it does with which function.
        what: String,
        /// The types that it has.
        found: String,
        /// The types that it must have.
        wanted: String,
    },
    /// A core module that does not follow the canonical ABI.
    #[error("plugin {name}: cannot be made a component: {reason}")]
    Wrap {
        /// The plugin.
        name: String,
        /// What the encoder said.
        reason: String,
    },
    /// Does not compile, or has the wrong types.
    #[error("plugin {name}: {reason}")]
    Compile {
        /// The plugin.
        name: String,
        /// What the engine said.
        reason: String,
    },
    /// `describe` failed.
    #[error("plugin {name}: cannot describe itself")]
    Describe {
        /// The plugin.
        name: String,
        /// How it failed.
        #[source]
        source: super::CallError,
    },
    /// What `describe` answered makes no sense.
    #[error("plugin {name}: its description is wrong: {reason}")]
    Description {
        /// The plugin.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a plugin's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Component,
    /// A core module that carries its component type, or spells interface names in full.
    CoreLong {
        typed: bool,
    },
    /// A core module with exports named `describe`, `configure`, ...
    CoreBare,
}

/// Some of the names, and how many more there are.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

impl Outside {
    /// Refuses what this director cannot run, in its own words.
    pub(super) fn vet(&self, name: &str) -> Result<Form, LoadPluginError> {
        let name = &|| name.to_owned();
        self.vet_imports(name)?;
        for (_, version) in self
            .exports
            .iter()
            .filter_map(|export| contract_interface(&export.name))
        {
            check_version(name(), version)?;
        }
        if !self.offers("policy") {
            return Err(LoadPluginError::Export {
                name: name(),
                missing: format!("{PACKAGE}/policy@{VERSION}"),
            });
        }
        if !self.offers("table") && !self.offers("flows") {
            return Err(LoadPluginError::Export {
                name: name(),
                missing: format!("{PACKAGE}/table@{VERSION} (or flows, to decide for each connection)"),
            });
        }
        if !self.component {
            self.vet_functions(name)?;
        }
        Ok(match (self.component, self.bare()) {
            (true, _) => Form::Component,
            (false, true) => Form::CoreBare,
            (false, false) => Form::CoreLong { typed: self.typed },
        })
    }

    fn vet_imports(&self, name: &dyn Fn() -> String) -> Result<(), LoadPluginError> {
        let (mut strangers, mut hints) = (Vec::new(), Vec::new());
        for import in &self.imports {
            match contract_interface(&import.module) {
                Some(("host" | "types", version)) => check_version(name(), version)?,
                _ if import.module == "wvs" && !self.component => {}
                _ => {
                    let hint = hint(&import.module);
                    if !hints.contains(&hint) {
                        hints.push(hint);
                    }
                    strangers.push(import.to_string());
                }
            }
        }
        if strangers.is_empty() {
            return Ok(());
        }
        Err(LoadPluginError::Import {
            name: name(),
            imports: strangers,
            hint: hints.join("; "),
        })
    }

    /// Of a component the engine sees to it.
    fn vet_functions(&self, name: &dyn Fn() -> String) -> Result<(), LoadPluginError> {
        let functions = functions().map_err(|error| LoadPluginError::Wrap {
            name: name(),
            reason: format!("{error:#}"),
        })?;
        self.vet_host(name, &functions)?;
        for of in functions.chunk_by(|one, other| one.interface == other.interface) {
            let interface = &of[0].interface;
            if interface == "host" || !self.offers(interface) {
                continue;
            }
            let found = |function: &Function| self.function(interface, &function.name);
            let missing: Vec<String> = of
                .iter()
                .filter(|it| found(it).is_none())
                .map(|it| it.name.clone())
                .collect();
            if !missing.is_empty() {
                return Err(LoadPluginError::Functions {
                    name: name(),
                    interface: interface.clone(),
                    missing,
                });
            }
            for function in of {
                if let Some(export) = found(function) {
                    let what = || format!("exports {}", export.name);
                    same(name, what, export.shape.as_ref(), &function.shape)?;
                }
            }
        }
        Ok(())
    }

    fn vet_host(&self, name: &dyn Fn() -> String, functions: &[Function]) -> Result<(), LoadPluginError> {
        let host = || functions.iter().filter(|it| it.interface == "host");
        let mut unknown = Vec::new();
        for import in self.imports.iter().filter(|it| !it.name.is_empty()) {
            match host().find(|it| it.name == import.name) {
                Some(function) => {
                    let what = || format!("imports {import}");
                    same(name, what, import.shape.as_ref(), &function.shape)?;
                }
                None => unknown.push(import.to_string()),
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        Err(LoadPluginError::UnknownHost {
            name: name(),
            imports: unknown,
            known: host().map(|it| it.name.clone()).collect(),
        })
    }
}

/// Whether a function is what it must be. What is not a function at all has no types.
fn same(
    name: &dyn Fn() -> String,
    what: impl Fn() -> String,
    found: Option<&Shape>,
    wanted: &Shape,
) -> Result<(), LoadPluginError> {
    if found == Some(wanted) {
        return Ok(());
    }
    Err(LoadPluginError::Shape {
        name: name(),
        what: what(),
        found: found.map_or_else(|| "something that is no function".to_owned(), ToString::to_string),
        wanted: wanted.to_string(),
    })
}

fn check_version(name: String, found: &str) -> Result<(), LoadPluginError> {
    if !found.is_empty() && series(found) == series(VERSION) {
        return Ok(());
    }
    let found = if found.is_empty() {
        "without a version"
    } else {
        found
    }
    .to_owned();
    Err(LoadPluginError::Version { name, found })
}

/// The part of a version within which versions get on with each other: before 1.0, the first two.
fn series(version: &str) -> &str {
    let mut dots = version.match_indices('.').map(|(at, _)| at);
    let first = dots.next();
    let end = if version.starts_with("0.") {
        dots.next()
    } else {
        first
    };
    &version[..end.unwrap_or(version.len())]
}

fn hint(import: &str) -> &'static str {
    if import == WASI {
        "`wvs plugin pack` gives a module's runtime what it needs of WASI (or build without: Rust has the target \
         wasm32-unknown-unknown)"
    } else if import.starts_with("wasi") {
        "build without WASI (Rust: --target wasm32-unknown-unknown; JavaScript and Python: with --stub-wasi)"
    } else if import == "env" {
        "a symbol was left undefined when it was linked"
    } else {
        "leave it out"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_belong_to_a_series() {
        assert_eq!(series("0.1.7"), "0.1");
        assert_eq!(series("0.2.0"), "0.2");
        assert_eq!(series("1.4.2"), "1");
        assert_eq!(series("7"), "7");
    }
}
