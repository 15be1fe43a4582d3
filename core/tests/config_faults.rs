//! Every kind of fault as the operator sees it: one file each, rendered, compared with a committed text.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use wvs_core::config::check::AnyPlugin;
use wvs_core::config::read::{FileError, read_bytes, read_file};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_fault_says_what_where_and_what_to_do() {
    let files = files();
    assert!(files.len() >= 50, "files are missing: {}", files.len());
    for path in files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (text, result) = read_bytes(std::fs::read(&path).unwrap(), &AnyPlugin);
        let faults = result.expect_err(name);
        let rendered = faults.render(&format!("{name}.toml"), &text, false);
        insta::assert_snapshot!(name, rendered);
    }
}

#[test]
fn faults_in_json_have_line_column_message_and_help() {
    let path = folder().join("many.toml");
    let Err(FileError::Faults { faults, .. }) = read_file(&path) else {
        panic!("many.toml has faults");
    };
    insta::assert_json_snapshot!("many-as-json", faults);
}

#[test]
fn an_endless_file_is_refused() {
    let error = read_file(Path::new("/dev/zero")).unwrap_err();
    insta::assert_snapshot!("endless", error.render(false));
}

#[test]
fn faults_show_on_one_line_too() {
    let Err(FileError::Faults { faults, .. }) = read_file(&folder().join("name-taken.toml")) else {
        panic!("name-taken.toml has a fault");
    };
    assert_eq!(faults.to_string(), "9:8: the name \"web\" is taken");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = read_file(Path::new("/nonexistent/wvs.toml")).unwrap_err();
    assert_eq!(
        error.render(false),
        "error: cannot read the configuration /nonexistent/wvs.toml: No such file or directory (os error 2)\n"
    );
}
