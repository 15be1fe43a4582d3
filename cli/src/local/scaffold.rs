//! The beginnings of a scheduler of one's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::args::Language;

/// Why no scheduler was begun.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// Not every language and file system can spell the name.
    #[error(
        "{0:?} cannot be the name of a scheduler: use small letters, digits and dashes, a letter first, at most 40"
    )]
    Name(String),
    /// There is something already.
    #[error("{} is there already: choose another name, or another directory with --dir", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A file of a project: where, and what. Both are templates.
type File = (&'static str, &'static str);

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../../plugins-sdk/", $path))
    };
}

macro_rules! sdk_files {
    ($($path:literal)*) => {
        [$((concat!("wvs-plugin/", $path), template!($path))),*]
    };
}

const WAT: [File; 2] = [
    ("{{name}}.wat", template!("templates/wat/plugin.wat")),
    ("README.md", template!("templates/wat/README.md")),
];

const C: [File; 4] = [
    ("{{name}}.c", template!("templates/c/plugin.c")),
    ("wvs.h", template!("c/wvs.h")),
    ("Makefile", template!("templates/c/Makefile")),
    ("README.md", template!("templates/c/README.md")),
];

const ZIG: [File; 4] = [
    ("{{name}}.zig", template!("templates/zig/scheduler.zig")),
    ("wvs.zig", template!("templates/zig/wvs.zig")),
    ("Makefile", template!("templates/zig/Makefile")),
    ("README.md", template!("templates/zig/README.md")),
];

const ASSEMBLYSCRIPT: [File; 5] = [
    ("{{name}}.ts", template!("templates/assemblyscript/scheduler.ts")),
    ("wvs.ts", template!("templates/assemblyscript/wvs.ts")),
    ("abi.ts", template!("templates/assemblyscript/abi.ts")),
    ("package.json", template!("templates/assemblyscript/package.json")),
    ("README.md", template!("templates/assemblyscript/README.md")),
];

const GO: [File; 7] = [
    ("{{name}}.go", template!("templates/go/scheduler.go")),
    ("{{name}}_test.go", template!("templates/go/scheduler_test.go")),
    ("go.mod", template!("templates/go/go.mod.in")),
    ("wvs/wvs.go", template!("templates/go/wvs/wvs.go")),
    ("wvs/abi.go", template!("templates/go/wvs/abi.go")),
    ("Makefile", template!("templates/go/Makefile")),
    ("README.md", template!("templates/go/README.md")),
];

const JAVASCRIPT: [File; 5] = [
    ("{{name}}.js", template!("templates/javascript/scheduler.js")),
    ("test.js", template!("templates/javascript/test.js")),
    ("package.json", template!("templates/javascript/package.json")),
    ("wit/scheduler.wit", template!("wit/scheduler.wit")),
    ("README.md", template!("templates/javascript/README.md")),
];

const PYTHON: [File; 5] = [
    ("{{crate}}.py", template!("templates/python/scheduler.py")),
    ("requirements.txt", template!("templates/python/requirements.txt")),
    ("wit/scheduler.wit", template!("wit/scheduler.wit")),
    ("Makefile", template!("templates/python/Makefile")),
    ("README.md", template!("templates/python/README.md")),
];

const RUST: [File; 12] = [
    ("Cargo.toml", template!("templates/rust/Cargo.toml.in")),
    ("src/lib.rs", template!("templates/rust/src/lib.rs")),
    ("Makefile", template!("templates/rust/Makefile")),
    ("README.md", template!("templates/rust/README.md")),
    ("wvs-plugin/Cargo.toml", template!("templates/rust/sdk-Cargo.toml.in")),
    ("wvs-plugin/src/bindings.rs", template!("templates/rust/bindings.rs")),
    ("wvs-plugin/src/bindings/flows.rs", template!("templates/rust/bindings/flows.rs")),
    ("wvs-plugin/src/bindings/latency.rs", template!("templates/rust/bindings/latency.rs")),
    ("wvs-plugin/src/bindings/load.rs", template!("templates/rust/bindings/load.rs")),
    ("wvs-plugin/src/bindings/policy.rs", template!("templates/rust/bindings/policy.rs")),
    ("wvs-plugin/src/bindings/table.rs", template!("templates/rust/bindings/table.rs")),
    ("wvs-plugin/src/bindings/timer.rs", template!("templates/rust/bindings/timer.rs")),
];

/// The SDK comes along, so that a project needs nothing of this repository.
const SDK: [File; 15] = sdk_files!(
    "src/backend.rs" "src/destinations.rs" "src/flow.rs" "src/glue.rs" "src/hash.rs" "src/host.rs"
    "src/interleave.rs" "src/lib.rs" "src/lookahead.rs" "src/params.rs" "src/ramps.rs" "src/servers.rs" "src/testing.rs"
    "src/testing/world.rs" "wit/scheduler.wit"
);

/// Makes a project, and says which files it has.
pub fn scaffold(language: Language, name: &str, dir: Option<&Path>) -> Result<Vec<PathBuf>, ScaffoldError> {
    let sound = name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !sound {
        return Err(ScaffoldError::Name(name.to_owned()));
    }
    let dir = dir.unwrap_or(Path::new(name));
    if dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) || dir.is_file() {
        return Err(ScaffoldError::Exists(dir.to_owned()));
    }
    let files: Vec<File> = match language {
        Language::Wat => WAT.to_vec(),
        Language::C => C.to_vec(),
        Language::Zig => ZIG.to_vec(),
        Language::AssemblyScript => ASSEMBLYSCRIPT.to_vec(),
        Language::Go => GO.to_vec(),
        Language::JavaScript => JAVASCRIPT.to_vec(),
        Language::Python => PYTHON.to_vec(),
        Language::Rust => RUST.into_iter().chain(SDK).collect(),
    };
    files.into_iter().map(|file| write(dir, file, name)).collect()
}

fn write(dir: &Path, (path, text): File, name: &str) -> Result<PathBuf, ScaffoldError> {
    let completed = |template: &str| {
        template
            .replace("{{name}}", name)
            .replace("{{name-length}}", &format!("{:02x}", name.len()))
            .replace("{{crate}}", &name.replace('-', "_"))
            .replace("{{version}}", env!("CARGO_PKG_VERSION"))
            // Bindings that are written out have the unsafe code that is a macro's otherwise.
            .replace("#![forbid(unsafe_code)]", "#![deny(unsafe_code)]")
    };
    let path = dir.join(completed(path));
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&path, completed(text)));
    match written {
        Ok(()) => Ok(path),
        Err(source) => Err(ScaffoldError::Write { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_below(root: &Path, dir: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(root.join(dir)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{dir}/{}", entry.file_name().into_string().unwrap());
            if entry.path().is_dir() {
                files_below(root, &path, found);
            } else {
                found.push(format!("wvs-plugin/{path}"));
            }
        }
    }

    #[test]
    fn the_whole_sdk_comes_along() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins-sdk");
        let mut found = Vec::new();
        files_below(&root, "src", &mut found);
        files_below(&root, "wit", &mut found);
        found.sort();
        // These are written out in the template.
        found.retain(|path| path != "wvs-plugin/src/bindings.rs");
        assert_eq!(found, SDK.map(|(path, _)| path.to_owned()));
    }

    #[test]
    fn nothing_is_overwritten_and_names_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("mine");
        for name in ["", "Mine", "9x", "a/b", "ä", "a_b", &"a".repeat(41)] {
            let refused = scaffold(Language::Wat, name, Some(&into));
            assert!(matches!(refused, Err(ScaffoldError::Name(_))), "{name}");
        }
        scaffold(Language::C, "mine", Some(&into)).unwrap();
        let again = scaffold(Language::Wat, "mine", Some(&into));
        assert!(matches!(again, Err(ScaffoldError::Exists(_))), "{again:?}");
        assert!(!into.join("mine.wat").exists());
    }
}
