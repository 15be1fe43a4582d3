//! The objects in the repository are those of the sources beside them.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

#[path = "../src/compile.rs"]
mod compile;

fn clang() -> Option<String> {
    let output = Command::new("clang").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

/// The hash of the sources, in a line each, and of clang's version.
fn inventory(folder: &Path) -> String {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "c" || extension == "h")
    });
    files.sort();
    let line = |path: &Path| {
        let hash = Sha256::digest(std::fs::read(path).unwrap());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hash}  {}\n", path.file_name().unwrap().to_str().unwrap())
    };
    files.iter().map(|path| line(path)).collect()
}

#[test]
fn the_objects_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bpf");
    let list = folder.join("sources.sha256");
    let wanted = inventory(&folder);
    let version = clang();
    if std::env::var_os("WVS_BLESS").is_some() {
        for name in compile::PROGRAMS {
            compile::compile(&folder, name, &folder.join(format!("{name}.bpf.o"))).unwrap();
        }
        let version = version.clone().expect("clang makes the objects");
        std::fs::write(&list, format!("{wanted}# {version}\n")).unwrap();
    }
    let kept = std::fs::read_to_string(&list).unwrap_or_default();
    let advice = "the kept objects are old: WVS_BLESS=1 cargo test -p wvs-tc-bpf --test kept makes them anew";
    assert!(kept.starts_with(&wanted), "{advice}");
    // The same compiler makes the same bytes; of another one nothing can be said.
    if version.is_some_and(|version| kept.ends_with(&format!("# {version}\n"))) {
        let out = tempfile::tempdir().unwrap();
        for name in compile::PROGRAMS {
            let file = format!("{name}.bpf.o");
            compile::compile(&folder, name, &out.path().join(&file)).unwrap();
            let made = std::fs::read(out.path().join(&file)).unwrap();
            assert!(made == std::fs::read(folder.join(&file)).unwrap(), "{file}: {advice}");
        }
    }
}
