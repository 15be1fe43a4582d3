//! Compiles the programs where clang is, and takes the kept objects where it is not.

use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "src/compile.rs"]
mod compile;

fn main() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bpf");
    println!("cargo::rerun-if-changed={}", sources.display());
    println!("cargo::rerun-if-changed=src/compile.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for name in compile::PROGRAMS {
        let object = out.join(format!("{name}.bpf.o"));
        let clang = Command::new("clang").arg("--version").output();
        if clang.is_ok_and(|found| found.status.success()) {
            if let Err(error) = compile::compile(&sources, name, &object) {
                println!("cargo::error={error}");
            }
        } else if let Err(error) = std::fs::copy(sources.join(format!("{name}.bpf.o")), &object) {
            println!("cargo::error=no clang, and no kept object of {name}: {error}");
        }
    }
}
