//! Looks at a plugin's imports and exports before any of it is compiled or run.
//!
//! The engine would refuse the same plugins, but in words that only its authors understand.

use wasmparser::{ComponentExternalKind, Encoding, ExternalKind, Parser, Payload};

use super::contract::{PACKAGE, VERSION};

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
    #[error("plugin {name}: imports {import}: a plugin may import {PACKAGE}/host only; {hint}")]
    Import {
        /// The plugin.
        name: String,
        /// What it imports.
        import: String,
        /// What its author can do.
        hint: &'static str,
    },
    /// Lacks a function of the contract.
    #[error("plugin {name}: does not export {missing}, which every scheduler needs")]
    Export {
        /// The plugin.
        name: String,
        /// The interface or function it lacks.
        missing: String,
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

/// The outside of a plugin: what it wants and what it offers.
#[derive(Debug, Default)]
pub(super) struct Outside {
    component: bool,
    typed: bool,
    imports: Vec<String>,
    /// Interfaces of a component, functions of a core module.
    exports: Vec<String>,
}

impl Outside {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        let mut outside = Self::default();
        // Only the outermost level counts: what is inside a component is its own affair.
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } => {
                    if depth == 0 {
                        outside.component = encoding == Encoding::Component;
                    }
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section {
                        outside.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section {
                        let export = export?;
                        if export.kind == ComponentExternalKind::Instance {
                            outside.exports.push(export.name.name.to_owned());
                        }
                    }
                }
                Payload::ImportSection(section) if depth == 1 => {
                    for import in section.into_imports() {
                        outside.imports.push(import?.module.to_owned());
                    }
                }
                Payload::ExportSection(section) if depth == 1 => {
                    for export in section {
                        let export = export?;
                        if export.kind == ExternalKind::Func {
                            outside.exports.push(export.name.to_owned());
                        }
                    }
                }
                Payload::CustomSection(section)
                    if depth == 1 && section.name().starts_with("component-type") =>
                {
                    outside.typed = true;
                }
                _ => {}
            }
        }
        Ok(outside)
    }

    /// Does without the imports from a module, because somebody else provides them; whether there were any. What a
    /// component imports is not from modules.
    pub(super) fn gives_up(&mut self, module: &str) -> bool {
        let before = self.imports.len();
        if !self.component {
            self.imports.retain(|import| import != module);
        }
        self.imports.len() < before
    }

    /// Whether the plugin offers an interface of the contract.
    pub(super) fn offers(&self, interface: &str) -> bool {
        self.exports
            .iter()
            .any(|export| contract_interface(export).is_some_and(|(name, _)| name == interface))
            || self.bare() && bare_function(interface).is_some_and(|function| self.has(function))
    }

    /// Whether its functions are named without their interfaces.
    fn bare(&self) -> bool {
        self.has("describe")
    }

    fn has(&self, export: &str) -> bool {
        self.exports.iter().any(|name| name == export)
    }

    /// The version of the contract that its exports spell out.
    pub(super) fn version(&self) -> Option<&str> {
        self.exports
            .iter()
            .find_map(|export| contract_interface(export))
            .map(|(_, version)| version)
    }

    /// Refuses what this director cannot run, in its own words.
    pub(super) fn vet(&self, name: &str) -> Result<Form, LoadPluginError> {
        let name = || name.to_owned();
        for import in &self.imports {
            match contract_interface(import) {
                Some(("host" | "types", version)) => check_version(name(), version)?,
                _ if import == "wvs" && !self.component => {}
                _ => {
                    return Err(LoadPluginError::Import {
                        name: name(),
                        import: import.clone(),
                        hint: hint(import),
                    });
                }
            }
        }
        for (_, version) in self
            .exports
            .iter()
            .filter_map(|export| contract_interface(export))
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
        Ok(match (self.component, self.bare()) {
            (true, _) => Form::Component,
            (false, true) => Form::CoreBare,
            (false, false) => Form::CoreLong { typed: self.typed },
        })
    }
}

/// `wvs:scheduler/INTERFACE@VERSION`, also with `#function` behind it.
fn contract_interface(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    let rest = rest.split_once('#').map_or(rest, |(interface, _)| interface);
    Some(rest.split_once('@').unwrap_or((rest, "")))
}

/// The function by which a module with bare names shows that it has an interface.
pub(super) fn bare_function(interface: &str) -> Option<&'static str> {
    match interface {
        "policy" => Some("describe"),
        "table" => Some("fill"),
        "flows" => Some("pick"),
        "load" => Some("observe"),
        "timer" => Some("due"),
        // The other one is spelled in two ways.
        "latency" => Some("interval"),
        _ => None,
    }
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

    #[test]
    fn names_of_the_contract_are_taken_apart() {
        assert_eq!(contract_interface("wvs:scheduler/policy@0.1.0#fill"), Some(("policy", "0.1.0")));
        assert_eq!(contract_interface("wvs:scheduler/host@0.1.3"), Some(("host", "0.1.3")));
        assert_eq!(contract_interface("wasi:io/poll@0.2.0"), None);
        assert_eq!(contract_interface("wvs:schedulers/x"), None);
    }
}
