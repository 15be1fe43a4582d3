//! Makes a component of a core module that follows the canonical ABI.

use wasm_encoder::reencode::{self, Reencode};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::contract::{PACKAGE, VERSION, WIT};
use super::outside::Outside;
use super::vet::{Form, LoadPluginError, WASI};

/// The interfaces a plugin may export.
const INTERFACES: [&str; 6] = ["policy", "table", "flows", "load", "timer", "latency"];

/// Bytes or text of any form that the director takes, as binary WebAssembly, and what can be seen of it from outside.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<(Vec<u8>, Outside), LoadPluginError> {
    let name = || name.to_owned();
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(LoadPluginError::Empty { name: name() });
    }
    let damaged = |reason: String| LoadPluginError::Damaged { name: name(), reason };
    if MAGIC.starts_with(bytes) {
        return Err(damaged("it ends in its first bytes".into()));
    }
    let binary =
        to_binary(&name(), bytes).map_err(|reason| LoadPluginError::NotWasm { name: name(), reason })?;
    let outside = Outside::read(&binary).map_err(|error| damaged(error.to_string()))?;
    Ok((binary, outside))
}

/// How a binary module or component begins.
const MAGIC: &[u8] = b"\0asm";

fn to_binary(name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let is_text = |byte: &u8| !byte.is_ascii_control() || byte.is_ascii_whitespace();
    if !bytes.starts_with(MAGIC) && !bytes.iter().all(is_text) {
        return Err("it does not begin with \\0asm, and has control characters".into());
    }
    wat::parse_bytes(bytes)
        .map(std::borrow::Cow::into_owned)
        .map_err(|mut error| {
            error.set_path(name);
            error.to_string()
        })
}

/// WASI preview 1 without anything behind it, in terms of the contract's host interface.
const WASI_MODULE: &str = include_str!("wasi.wat");

pub(super) fn to_component(module: Vec<u8>, form: Form, outside: &Outside) -> anyhow::Result<Vec<u8>> {
    let Some(module) = typed(&module, form, outside)? else {
        return Ok(module);
    };
    encoder(&module)?.encode()
}

/// The same for a module that imports WASI preview 1, which is then inside.
pub(super) fn to_component_with_wasi(
    module: Vec<u8>,
    form: Form,
    outside: &Outside,
) -> anyhow::Result<Vec<u8>> {
    let Some(module) = typed(&module, form, outside)? else {
        return Ok(module);
    };
    let version = outside.version().unwrap_or(VERSION);
    let text = WASI_MODULE.replace(&format!("@{VERSION}"), &format!("@{version}"));
    let mut wasi = wat::parse_str(text)?;
    embed_world(&mut wasi, "wasi", version, "")?;
    encoder(&module)?.adapter(WASI, &wasi)?.encode()
}

fn encoder(module: &[u8]) -> anyhow::Result<ComponentEncoder> {
    ComponentEncoder::default().validate(true).module(module)
}

/// A core module that says which interfaces it has; none for what is a component already.
fn typed(module: &[u8], form: Form, outside: &Outside) -> anyhow::Result<Option<Vec<u8>>> {
    Ok(match form {
        Form::Component => None,
        Form::CoreLong { typed: true } => Some(module.to_owned()),
        Form::CoreLong { typed: false } => Some(add_type(module.to_owned(), outside)?),
        Form::CoreBare => Some(add_type(lengthen_names(module)?, outside)?),
    })
}

/// Writes down which interfaces the module has, as a binding generator would have done.
fn add_type(mut module: Vec<u8>, outside: &Outside) -> anyhow::Result<Vec<u8>> {
    // Another version of the series has the same functions, at least all that we call.
    let version = outside.version().unwrap_or(VERSION);
    let exports = INTERFACES
        .iter()
        .filter(|interface| outside.offers(interface))
        .map(|interface| format!("export {PACKAGE}/{interface}@{version};"));
    embed_world(&mut module, "plugin", version, &exports.collect::<String>())?;
    Ok(module)
}

/// Writes down a world of that name with the host interface and these exports.
fn embed_world(module: &mut Vec<u8>, name: &str, version: &str, exports: &str) -> anyhow::Result<()> {
    let contract = WIT.replacen(&format!("@{VERSION};"), &format!("@{version};"), 1);
    let world = format!("import {PACKAGE}/host@{version}; {exports}");
    let mut resolve = Resolve::default();
    resolve.push_str("scheduler.wit", &contract)?;
    let package =
        resolve.push_str("plugin.wit", &format!("package wvs:{name}; world {name} {{ {world} }}"))?;
    let world = resolve.select_world(&[package], Some(name))?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)?;
    Ok(())
}

/// For languages that cannot spell `wvs:scheduler/policy@0.1.0#update`.
fn lengthen_names(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut longer = wasm_encoder::Module::new();
    LongNames.parse_core_module(&mut longer, wasmparser::Parser::new(0), module)?;
    Ok(longer.finish())
}

struct LongNames;

impl Reencode for LongNames {
    type Error = std::convert::Infallible;

    fn parse_import_section(
        &mut self,
        imports: &mut wasm_encoder::ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        let host = format!("{PACKAGE}/host@{VERSION}");
        for import in section.into_imports() {
            let import = import?;
            let module = if import.module == "wvs" {
                &host
            } else {
                import.module
            };
            reencode::utils::parse_import(self, imports, wasmparser::Import { module, ..import })?;
        }
        Ok(())
    }

    fn parse_export(
        &mut self,
        exports: &mut wasm_encoder::ExportSection,
        export: wasmparser::Export<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        let long = long_name(export.name);
        let name = long.as_deref().unwrap_or(export.name);
        reencode::utils::parse_export(self, exports, wasmparser::Export { name, ..export })
    }
}

fn long_name(name: &str) -> Option<String> {
    let (prefix, function) = match name.strip_prefix("cabi_post_") {
        Some(function) => ("cabi_post_", function),
        None => ("", name),
    };
    // Not every language can spell the dash.
    let function = if function == "observe_latency" {
        "observe-latency"
    } else {
        function
    };
    let interface = match function {
        "describe" | "configure" | "update" => "policy",
        "fill" => "table",
        "pick" => "flows",
        "observe" => "load",
        "due" => "timer",
        "interval" | "observe-latency" => "latency",
        _ => return None,
    };
    Some(format!("{prefix}{PACKAGE}/{interface}@{VERSION}#{function}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_names_become_long_ones() {
        assert_eq!(long_name("fill").as_deref(), Some("wvs:scheduler/table@0.1.0#fill"));
        assert_eq!(
            long_name("cabi_post_describe").as_deref(),
            Some("cabi_post_wvs:scheduler/policy@0.1.0#describe")
        );
        let latency = Some("wvs:scheduler/latency@0.1.0#observe-latency".to_owned());
        assert_eq!(long_name("observe-latency"), latency);
        assert_eq!(long_name("observe_latency"), latency);
        assert_eq!(long_name("cabi_realloc"), None);
    }
}
