//! The functions of the contract, and the types they have in a core module.

use std::fmt;

use anyhow::Context as _;
use wasmparser::FuncType;
use wit_parser::Resolve;
use wit_parser::abi::{AbiVariant, WasmSignature, WasmType};

use super::contract::WIT;

/// The type of a function in a core module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    params: Vec<String>,
    results: Vec<String>,
}

impl From<&FuncType> for Shape {
    fn from(found: &FuncType) -> Self {
        Self {
            params: found.params().iter().map(ToString::to_string).collect(),
            results: found.results().iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<WasmSignature> for Shape {
    fn from(wanted: WasmSignature) -> Self {
        let names = |types: Vec<WasmType>| types.into_iter().map(|it| name(it).to_owned()).collect();
        Self {
            params: names(wanted.params),
            results: names(wanted.results),
        }
    }
}

/// Addresses and lengths are of 32 bits, because memories are.
fn name(of: WasmType) -> &'static str {
    match of {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}) -> ({})", self.params.join(", "), self.results.join(", "))
    }
}

/// A function of the contract.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) interface: String,
    pub(super) name: String,
    /// As the plugin has it: an export, or of the host an import.
    pub(super) shape: Shape,
}

/// All functions of the contract, those of an interface together.
pub(super) fn functions() -> anyhow::Result<Vec<Function>> {
    let mut contract = Resolve::default();
    contract
        .push_str("scheduler.wit", WIT)
        .context("the contract is not WIT")?;
    let mut functions = Vec::new();
    for (_, interface) in &contract.interfaces {
        let Some(of) = &interface.name else { continue };
        let variant = match of.as_str() {
            "host" => AbiVariant::GuestImport,
            _ => AbiVariant::GuestExport,
        };
        functions.extend(interface.functions.values().map(|it| Function {
            interface: of.clone(),
            name: it.name.clone(),
            shape: contract.wasm_signature(variant, it).into(),
        }));
    }
    Ok(functions)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `docs/book/src/plugins/memory.md` has them.
    #[test]
    fn functions_have_the_types_of_the_canonical_abi() {
        let mut all: Vec<String> = functions()
            .unwrap()
            .iter()
            .map(|it| format!("{} {} {}", it.interface, it.name, it.shape))
            .collect();
        all.sort();
        let ints = |count| ["i32"].repeat(count).join(", ");
        assert_eq!(
            all,
            [
                format!("flows pick ({}) -> (i32)", ints(13)),
                "host log (i32, i32, i32) -> ()".to_owned(),
                "host now () -> (f64)".to_owned(),
                "host random () -> (i32)".to_owned(),
                "latency interval () -> (i32)".to_owned(),
                "latency observe-latency (i32, i32) -> ()".to_owned(),
                format!("load observe ({}) -> ()", ints(4)),
                "policy configure (i32, i32) -> (i32)".to_owned(),
                "policy describe () -> (i32)".to_owned(),
                "policy update (i32, i32) -> (i32)".to_owned(),
                "table fill (i32) -> (i32)".to_owned(),
                "timer due () -> (i32)".to_owned(),
            ]
        );
    }
}
