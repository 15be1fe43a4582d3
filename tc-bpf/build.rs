//! Compiles the programs where clang is, and takes the kept objects where it is not.

use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "src/compile.rs"]
mod compile;

fn main() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bpf");
    println!("cargo::rerun-if-changed={}", sources.display());
    println!("cargo::rerun-if-changed=src/compile.rs");
    println!("cargo::rerun-if-env-changed=WVS_BLESS");
    // The header that C includes is written by what is built here: without this, a new name in it could never be used.
    let bless = std::env::var_os("WVS_BLESS").is_some();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for name in compile::PROGRAMS {
        let object = out.join(format!("{name}.bpf.o"));
        let clang = Command::new("clang").arg("--version").output();
        if clang.is_ok_and(|found| found.status.success()) {
            match compile::compile(&sources, name, &object) {
                Ok(()) => continue,
                Err(error) if bless => println!("cargo::warning={error}"),
                Err(error) => println!("cargo::error={error}"),
            }
        }
        if let Err(error) = std::fs::copy(sources.join(format!("{name}.bpf.o")), &object) {
            println!("cargo::error=nor is there a kept object of {name}: {error}");
        }
    }
}
