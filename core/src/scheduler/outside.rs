//! The outside of a plugin: what it wants and what it offers.

use std::fmt;

use wasmparser::{
    BinaryReaderError, ComponentExternalKind, Encoding, ExternalKind, FuncType, Parser, Payload, TypeRef,
};

use super::contract::PACKAGE;
use super::shape::Shape;

/// What a plugin wants and offers.
#[derive(Debug, Default)]
pub(super) struct Outside {
    pub(super) component: bool,
    pub(super) typed: bool,
    pub(super) imports: Vec<Import>,
    /// Interfaces of a component, functions of a core module.
    pub(super) exports: Vec<Export>,
}

/// What a plugin wants.
#[derive(Debug)]
pub(super) struct Import {
    /// Of a component, all there is to it.
    pub(super) module: String,
    pub(super) name: String,
    /// If it is a function of a core module.
    pub(super) shape: Option<Shape>,
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.module)?;
        if !self.name.is_empty() {
            write!(f, ".{}", self.name)?;
        }
        Ok(())
    }
}

/// What a plugin offers.
#[derive(Debug)]
pub(super) struct Export {
    pub(super) name: String,
    /// If it is a function of a core module.
    pub(super) shape: Option<Shape>,
}

/// The types of a core module's functions, as far as they have been read.
#[derive(Default)]
struct Types {
    types: Vec<Option<Shape>>,
    functions: Vec<u32>,
}

impl Types {
    fn named(&self, index: u32) -> Option<Shape> {
        self.types.get(index as usize)?.clone()
    }

    fn of(&self, function: u32) -> Option<Shape> {
        self.named(*self.functions.get(function as usize)?)
    }
}

impl Outside {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut outside = Self::default();
        let mut types = Types::default();
        // Only the outermost level counts: what is inside a component is its own affair.
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match payload {
                Payload::Version { encoding, .. } => {
                    if depth == 0 {
                        outside.component = encoding == Encoding::Component;
                    }
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ if depth == 1 => outside.take(payload, &mut types)?,
                _ => {}
            }
        }
        Ok(outside)
    }

    fn take(&mut self, payload: Payload<'_>, types: &mut Types) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    self.imports.push(Import {
                        module: import?.name.name.to_owned(),
                        name: String::new(),
                        shape: None,
                    });
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Instance {
                        self.exports.push(Export {
                            name: export.name.name.to_owned(),
                            shape: None,
                        });
                    }
                }
            }
            Payload::TypeSection(section) => {
                for group in section {
                    for found in group?.types() {
                        let function = match &found.composite_type.inner {
                            wasmparser::CompositeInnerType::Func(function) => Some(shape(function)),
                            _ => None,
                        };
                        types.types.push(function);
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let mut shape = None;
                    if let TypeRef::Func(index) | TypeRef::FuncExact(index) = import.ty {
                        types.functions.push(index);
                        shape = types.named(index);
                    }
                    self.imports.push(Import {
                        module: import.module.to_owned(),
                        name: import.name.to_owned(),
                        shape,
                    });
                }
            }
            Payload::FunctionSection(section) => {
                for index in section {
                    types.functions.push(index?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        self.exports.push(Export {
                            name: export.name.to_owned(),
                            shape: types.of(export.index),
                        });
                    }
                }
            }
            Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                self.typed = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Does without the imports from a module, because somebody else provides them; whether there were any. What a
    /// component imports is not from modules.
    pub(super) fn gives_up(&mut self, module: &str) -> bool {
        let before = self.imports.len();
        if !self.component {
            self.imports.retain(|import| import.module != module);
        }
        self.imports.len() < before
    }

    /// Whether the plugin offers an interface of the contract.
    pub(super) fn offers(&self, interface: &str) -> bool {
        self.exports
            .iter()
            .any(|export| contract_interface(&export.name).is_some_and(|(name, _)| name == interface))
            || self.bare() && bare_function(interface).is_some_and(|function| self.has(function))
    }

    /// A function of an interface, by its whole name or its bare one.
    pub(super) fn function(&self, interface: &str, function: &str) -> Option<&Export> {
        self.exports.iter().find(|export| {
            let whole = export
                .name
                .split_once('#')
                .is_some_and(|(_, name)| name == function)
                && contract_interface(&export.name).is_some_and(|(name, _)| name == interface);
            // Not every language can spell the dash.
            whole || self.bare() && (export.name == function || export.name == function.replace('-', "_"))
        })
    }

    /// Whether its functions are named without their interfaces.
    pub(super) fn bare(&self) -> bool {
        self.has("describe")
    }

    fn has(&self, export: &str) -> bool {
        self.exports.iter().any(|it| it.name == export)
    }

    /// The version of the contract that its exports spell out.
    pub(super) fn version(&self) -> Option<&str> {
        self.exports
            .iter()
            .find_map(|export| contract_interface(&export.name))
            .map(|(_, version)| version)
    }
}

fn shape(function: &FuncType) -> Shape {
    function.into()
}

/// `wvs:scheduler/INTERFACE@VERSION`, also with `#function` behind it.
pub(super) fn contract_interface(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    let rest = rest.split_once('#').map_or(rest, |(interface, _)| interface);
    Some(rest.split_once('@').unwrap_or((rest, "")))
}

/// The function by which a module with bare names shows that it has an interface.
fn bare_function(interface: &str) -> Option<&'static str> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_contract_are_taken_apart() {
        assert_eq!(contract_interface("wvs:scheduler/policy@0.1.0#fill"), Some(("policy", "0.1.0")));
        assert_eq!(contract_interface("wvs:scheduler/host@0.1.3"), Some(("host", "0.1.3")));
        assert_eq!(contract_interface("wasi:io/poll@0.2.0"), None);
        assert_eq!(contract_interface("wvs:schedulers/x"), None);
    }
}
