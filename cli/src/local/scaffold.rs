//! The beginnings of a scheduler of one's own.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::args::{Kind, Language, NewArgs};

/// Why no scheduler was begun.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// Not every language and file system can spell the name.
    #[error(
        "{0:?} cannot be the name of a scheduler: use small letters, digits and single dashes, a letter first and none of \
         the dashes last, at most 40"
    )]
    Name(String),
    /// A file of the scheduler's would be the same as another one of the project.
    #[error(
        "{name:?} cannot be the name of this scheduler: {file} is another file of its project; choose another name"
    )]
    Taken {
        /// The name.
        name: String,
        /// The file.
        file: String,
    },
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
    ($path:expr) => {
        include_str!(concat!("../../../plugins-sdk/", $path))
    };
}

macro_rules! go_files {
    ($($path:literal)*) => {
        [
            ("go.mod", template!("templates/go/go.mod.in")),
            ("Makefile", template!("templates/go/Makefile")),
            ("README.md", template!("templates/go/README.md")),
            $(($path, template!(concat!("templates/go/", $path)))),*
        ]
    };
}

macro_rules! sdk_files {
    ($($path:literal)*) => {
        [$((concat!("wvs-plugin/", $path), template!($path))),*]
    };
}

/// What stands in a project of one kind, and what in one of the other.
macro_rules! either {
    ($kind:expr, $path:literal, $cycle:literal, $flow:literal) => {
        (
            $path,
            match $kind {
                Kind::Cycle => template!(concat!("templates/", $cycle)),
                Kind::Flow => template!(concat!("templates/", $flow)),
            },
        )
    };
}

/// What is not the scheduler itself.
const WAT: [File; 1] = [("README.md", template!("templates/wat/README.md"))];

const C: [File; 3] = [
    ("wvs.h", template!("c/wvs.h")),
    ("Makefile", template!("templates/c/Makefile")),
    ("README.md", template!("templates/c/README.md")),
];

const ZIG: [File; 3] = [
    ("wvs.zig", template!("templates/zig/wvs.zig")),
    ("Makefile", template!("templates/zig/Makefile")),
    ("README.md", template!("templates/zig/README.md")),
];

const ASSEMBLYSCRIPT: [File; 4] = [
    ("wvs.ts", template!("templates/assemblyscript/wvs.ts")),
    ("abi.ts", template!("templates/assemblyscript/abi.ts")),
    ("package.json", template!("templates/assemblyscript/package.json")),
    ("README.md", template!("templates/assemblyscript/README.md")),
];

const GO: [File; 13] = go_files!(
    "wvs/wvs.go" "wvs/policy.go" "wvs/table/table.go" "wvs/flows/flows.go" "wvs/load/load.go" "wvs/timer/timer.go"
    "wvs/latency/latency.go" "wvs/internal/abi/abi.go" "wvs/internal/abi/host_wasip1.go" "wvs/internal/abi/host_native.go"
);

const JAVASCRIPT: [File; 3] = [
    ("package.json", template!("templates/javascript/package.json")),
    ("wit/scheduler.wit", template!("wit/scheduler.wit")),
    ("README.md", template!("templates/javascript/README.md")),
];

const PYTHON: [File; 4] = [
    ("requirements.txt", template!("templates/python/requirements.txt")),
    ("wit/scheduler.wit", template!("wit/scheduler.wit")),
    ("Makefile", template!("templates/python/Makefile")),
    ("README.md", template!("templates/python/README.md")),
];

const RUST: [File; 11] = [
    ("Cargo.toml", template!("templates/rust/Cargo.toml.in")),
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

/// The scheduler of a project, and what goes with its kind.
fn own(language: Language, kind: Kind) -> Vec<File> {
    let world = either!(kind, "wit/plugin.wit", "world/cycle.wit", "world/flow.wit");
    match language {
        Language::Wat => vec![either!(kind, "{{name}}.wat", "wat/plugin.wat", "wat/flow.wat")],
        Language::C => vec![either!(kind, "{{name}}.c", "c/plugin.c", "c/flow.c")],
        Language::Zig => vec![either!(kind, "{{name}}.zig", "zig/scheduler.zig", "zig/flow.zig")],
        Language::AssemblyScript => {
            vec![either!(
                kind,
                "{{name}}.ts",
                "assemblyscript/scheduler.ts",
                "assemblyscript/flow.ts"
            )]
        }
        Language::Go => vec![
            either!(kind, "{{name}}.go", "go/scheduler.go", "go/flow.go"),
            either!(kind, "{{name}}_test.go", "go/scheduler_test.go", "go/flow_test.go"),
        ],
        Language::JavaScript => vec![
            either!(kind, "{{name}}.js", "javascript/scheduler.js", "javascript/flow.js"),
            either!(kind, "test.js", "javascript/test.js", "javascript/flow_test.js"),
            world,
        ],
        Language::Python => vec![
            either!(kind, "{{crate}}.py", "python/scheduler.py", "python/flow.py"),
            world,
        ],
        Language::Rust => vec![either!(kind, "src/lib.rs", "rust/src/lib.rs", "rust/src/flow.rs")],
    }
}

/// What is in a project whatever its kind.
fn common(language: Language) -> Vec<File> {
    match language {
        Language::Wat => WAT.to_vec(),
        Language::C => C.to_vec(),
        Language::Zig => ZIG.to_vec(),
        Language::AssemblyScript => ASSEMBLYSCRIPT.to_vec(),
        Language::Go => GO.to_vec(),
        Language::JavaScript => JAVASCRIPT.to_vec(),
        Language::Python => PYTHON.to_vec(),
        Language::Rust => RUST.into_iter().chain(SDK).collect(),
    }
}

/// Makes a project, and says which files it has.
pub fn scaffold(args: &NewArgs) -> Result<Vec<PathBuf>, ScaffoldError> {
    let NewArgs {
        name,
        lang: language,
        kind,
        dir,
    } = args;
    let sound = name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        // Not a name of a package in every language.
        && !name.ends_with('-')
        && !name.contains("--");
    if !sound {
        return Err(ScaffoldError::Name(name.to_owned()));
    }
    let files: Vec<File> = own(*language, *kind)
        .into_iter()
        .chain(common(*language))
        .collect();
    let mut paths = BTreeSet::new();
    let names = files.iter().map(|(path, _)| named(path, name));
    if let Some(file) = names.into_iter().find(|path| !paths.insert(path.clone())) {
        let name = name.to_owned();
        return Err(ScaffoldError::Taken { name, file });
    }
    let dir = dir.as_deref().unwrap_or(Path::new(name));
    if dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) || dir.is_file() {
        return Err(ScaffoldError::Exists(dir.to_owned()));
    }
    files
        .into_iter()
        .map(|file| write(dir, file, name, promise(*language, *kind)))
        .collect()
}

/// How exactly the beginning goes by the weights, as an option of `wvs plugin check` and `wvs plugin test`.
fn promise(language: Language, kind: Kind) -> &'static str {
    match (language, kind) {
        // It knows no weights.
        (Language::Wat, _) | (_, Kind::Flow) => "",
        (Language::Rust, Kind::Cycle) => " --proportional 1",
        (_, Kind::Cycle) => " --proportional 2",
    }
}

/// A template with the scheduler's name in it.
fn named(template: &str, name: &str) -> String {
    template
        .replace("{{name}}", name)
        .replace("{{crate}}", &name.replace('-', "_"))
}

fn write(dir: &Path, (path, text): File, name: &str, promise: &str) -> Result<PathBuf, ScaffoldError> {
    let completed = |template: &str| {
        named(template, name)
            .replace("{{name-length}}", &format!("{:02x}", name.len()))
            .replace("{{promise}}", promise)
            .replace("{{version}}", env!("CARGO_PKG_VERSION"))
            // Bindings that are written out have the unsafe code that is a macro's otherwise.
            .replace("#![forbid(unsafe_code)]", "#![deny(unsafe_code)]")
    };
    let path = dir.join(named(path, name));
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
        let begin = |lang, name: &str| {
            scaffold(&NewArgs {
                name: name.to_owned(),
                lang,
                kind: Kind::Cycle,
                dir: Some(into.clone()),
            })
        };
        for name in [
            "",
            "Mine",
            "9x",
            "a/b",
            "ä",
            "a_b",
            "a-",
            "a--b",
            "a---b",
            &"a".repeat(41),
        ] {
            let refused = begin(Language::Wat, name);
            assert!(matches!(refused, Err(ScaffoldError::Name(_))), "{name}");
        }
        begin(Language::C, "mine").unwrap();
        let again = begin(Language::Wat, "mine");
        assert!(matches!(again, Err(ScaffoldError::Exists(_))), "{again:?}");
        assert!(!into.join("mine.wat").exists());
    }

    /// The scheduler's own file would be written over by one that it needs, or the other way round.
    #[test]
    fn no_name_takes_a_file_of_its_project() {
        let dir = tempfile::tempdir().unwrap();
        let begin = |lang, name: &str| {
            scaffold(&NewArgs {
                name: name.to_owned(),
                lang,
                kind: Kind::Cycle,
                dir: Some(dir.path().join(format!("{lang:?}-{name}"))),
            })
        };
        for (lang, name, file) in [
            (Language::JavaScript, "test", "test.js"),
            (Language::Zig, "wvs", "wvs.zig"),
            (Language::AssemblyScript, "wvs", "wvs.ts"),
            (Language::AssemblyScript, "abi", "abi.ts"),
        ] {
            let error = begin(lang, name).unwrap_err().to_string();
            assert!(error.contains(&format!("{file} is another file of its project")), "{error}");
            assert!(!dir.path().join(format!("{lang:?}-{name}")).exists());
        }
        // All files of a project are there, each once.
        for lang in [
            Language::C,
            Language::Go,
            Language::Rust,
            Language::Python,
            Language::Wat,
        ] {
            for name in ["test", "wvs", "abi"] {
                let mut written = begin(lang, name).unwrap();
                let all = written.len();
                written.sort();
                written.dedup();
                assert_eq!(written.len(), all, "{lang:?} {name}");
            }
        }
    }
}
