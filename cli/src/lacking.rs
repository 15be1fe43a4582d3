//! What `wvs-core` is to offer, in the shape that it will have; `local.rs` names these modules in one `use`.
//! Every function here refuses, saying so.

/// `wvs_core::director`
pub mod director {
    use std::path::PathBuf;

    pub struct RunOptions {
        pub config: PathBuf,
        pub socket: PathBuf,
        pub state_dir: Option<PathBuf>,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("this build of wvs has no director")]
    pub struct RunError;

    pub fn run(options: RunOptions) -> Result<(), RunError> {
        let RunOptions {
            config,
            socket,
            state_dir,
        } = options;
        tracing::error!(?config, ?socket, ?state_dir, "not built in");
        Err(RunError)
    }
}

/// `wvs_core::offline`
pub mod offline {
    use std::path::{Path, PathBuf};

    use wvs_core::api::Torn;
    use wvs_core::config::{Config, read};

    use super::probe::Finding;

    #[derive(Debug, thiserror::Error)]
    pub enum CheckError {
        #[error("the configuration has faults")]
        Faults(String),
        #[error("cannot read {}", path.display())]
        Read {
            path: PathBuf,
            #[source]
            source: std::io::Error,
        },
        #[error("this build of wvs makes no rulesets")]
        Lacking,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("this build of wvs tears nothing down without a director")]
    pub struct TeardownError;

    pub fn check(path: &Path, color: bool) -> Result<Config, CheckError> {
        let text = std::fs::read_to_string(path).map_err(|source| CheckError::Read {
            path: path.to_owned(),
            source,
        })?;
        let name = path.display().to_string();
        read::read(&text).map_err(|faults| CheckError::Faults(faults.render(&name, &text, color)))
    }

    pub fn ruleset(path: &Path) -> Result<String, CheckError> {
        check(path, false).and(Err(CheckError::Lacking))
    }

    pub fn teardown(_state_dir: &Path) -> Result<Torn, TeardownError> {
        Err(TeardownError)
    }

    pub fn doctor(_socket: &Path) -> Vec<Finding> {
        vec![Finding {
            name: "doctor".to_owned(),
            ok: false,
            detail: "this build of wvs looks at nothing".to_owned(),
            fix: None,
        }]
    }
}

/// `wvs_core::kernel::probe`
pub mod probe {
    pub struct Finding {
        pub name: String,
        pub ok: bool,
        pub detail: String,
        pub fix: Option<String>,
    }
}
