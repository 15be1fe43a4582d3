// How the programs are compiled: by build.rs, and by the test that the kept objects are current.

use std::path::Path;
use std::process::Command;

/// The programs of `src/bpf`.
pub const PROGRAMS: [&str; 2] = ["wvs", "decap"];

/// Compiles one program. What comes out depends on the sources and on clang's version only: names are relative, and
/// what only debuggers read is taken out.
pub fn compile(sources: &Path, name: &str, object: &Path) -> Result<(), String> {
    let run = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).replace('\n', " | ")),
        Err(error) => Err(error.to_string()),
    };
    run(Command::new("clang")
        .current_dir(sources)
        .args([
            "-target",
            "bpf",
            "-mcpu=v3",
            "-O2",
            "-g",
            "-fdebug-compilation-dir=.",
        ])
        .args([
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-unused-function",
            "-Wno-unused-variable",
        ])
        .arg(format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH))
        .args(["-c", &format!("{name}.bpf.c"), "-o"])
        .arg(object))
    .map_err(|error| format!("clang refused {name}.bpf.c: {error}"))?;
    // Without it the object is only larger.
    let _ = run(Command::new("llvm-strip").arg("-g").arg(object));
    Ok(())
}
