//! The built plugins in the repository belong to their sources.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

fn files_below(path: PathBuf, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(&path).unwrap() {
            files_below(entry.unwrap().path(), files);
        }
    } else {
        files.push(path);
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// As `sources_hash` in plugins/build.sh: a sha256 over the output of sha256sum.
fn sources_hash(root: &Path, plugin: &str) -> String {
    let mut files = Vec::new();
    for source in [
        &format!("plugins/{plugin}/src"),
        &format!("plugins/{plugin}/Cargo.toml"),
        "plugins-sdk/src",
        "plugins-sdk/wit",
        "plugins/build.sh",
    ] {
        files_below(root.join(source), &mut files);
    }
    files.sort_by_key(|file| file.as_os_str().to_owned());
    let list = files.iter().fold(String::new(), |list, file| {
        let name = file.strip_prefix(root).unwrap().to_str().unwrap();
        list + &sha256(&std::fs::read(file).unwrap()) + "  " + name + "\n"
    });
    sha256(list.as_bytes())
}

#[test]
fn built_plugins_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut plugins = 0;
    for entry in std::fs::read_dir(root.join("plugins")).unwrap() {
        let entry = entry.unwrap();
        if !entry.path().join("Cargo.toml").is_file() {
            continue;
        }
        plugins += 1;
        let plugin = entry.file_name().into_string().unwrap();
        let built = root.join(format!("plugins/{plugin}/{plugin}.wasm"));
        assert!(built.is_file(), "{} is not there: run plugins/build.sh", built.display());
        let recorded = std::fs::read_to_string(built.with_extension("wasm.sources")).unwrap_or_default();
        assert_eq!(
            recorded.trim(),
            sources_hash(root, &plugin),
            "{} is older than its sources: run plugins/build.sh",
            built.display()
        );
    }
    assert!(plugins > 2, "{plugins} plugins found");
}
