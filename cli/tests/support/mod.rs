//! A director that answers what it is told to, and the command line as a process.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

type Answers = HashMap<String, (StatusCode, String)>;

#[derive(Clone)]
struct Shared {
    answers: Arc<Answers>,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

/// A director without a kernel. It stops when it is dropped.
pub struct FakeDirector {
    dir: TempDir,
    shared: Shared,
    _runtime: Runtime,
}

impl FakeDirector {
    /// Answers `METHOD /path` with a status and a body, and all else with 404 and no words of its own.
    pub fn new<const N: usize>(answers: [(&str, u16, String); N]) -> Self {
        let answers = answers.map(|(request, status, body)| {
            (request.to_owned(), (StatusCode::from_u16(status).unwrap(), body))
        });
        let shared = Shared {
            answers: Arc::new(answers.into()),
            requests: Arc::default(),
        };
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = {
            let _entered = runtime.enter();
            tokio::net::UnixListener::bind(dir.path().join("wvs.sock")).unwrap()
        };
        let router = Router::new().fallback(answer).with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        FakeDirector {
            dir,
            shared,
            _runtime: runtime,
        }
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("wvs.sock")
    }

    /// Runs a command against it.
    pub fn wvs(&self, arguments: &[&str]) -> Ran {
        run(wvs(&self.socket()).args(arguments))
    }

    /// What it was asked so far: `METHOD /path?query` and the body.
    pub fn requests(&self) -> Vec<(String, Value)> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The body of the only request.
    pub fn only_body(&self, request: &str) -> Value {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert_eq!(requests[0].0, request);
        requests[0].1.clone()
    }
}

async fn answer(State(shared): State<Shared>, method: Method, uri: Uri, body: Bytes) -> (StatusCode, String) {
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body).unwrap()
    };
    shared
        .requests
        .lock()
        .unwrap()
        .push((format!("{method} {uri}"), body));
    let known = shared.answers.get(&format!("{method} {}", uri.path())).cloned();
    known.unwrap_or((StatusCode::NOT_FOUND, "no such page\nsecond line".to_owned()))
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The command line for a socket, in an environment of its own.
pub fn wvs(socket: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wvs"));
    command.env_clear().env("WVS_SOCKET", socket).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let ran = Ran {
        code: status.code().unwrap_or_else(|| panic!("killed: {status}")),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    };
    assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    ran
}
