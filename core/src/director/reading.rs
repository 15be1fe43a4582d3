//! Where configurations come from: the director's file, an operator's, or the last director's.

use std::io;
use std::path::Path;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::RunOptions;
use super::engine::Engine;
use super::error::ApplyError;
use super::pools::RunningPool;
use super::store::Store;
use crate::api::Applied;
use crate::config::check::check_with;
use crate::config::{Config, read};
use crate::edit::edit;
use crate::scheduler::StartHostError;
use crate::scheduler::catalog::Catalog;

/// The text of a file.
pub fn text_of(path: &Path) -> io::Result<String> {
    String::from_utf8(std::fs::read(path)?).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("it is not UTF-8: see byte {offset}"))
    })
}

/// Reads and checks a configuration. Faults are rendered with `name` for the file.
pub fn checked(text: &str, name: &str, catalog: &Catalog) -> Result<Config, ApplyError> {
    read::read_with(text, catalog).map_err(|faults| ApplyError::Faults(faults.render(name, text, false)))
}

/// Compiles the schedulers of a configuration on a thread of its own. With an interpreter inside, that may take seconds, for
/// which the engine, and so everybody, would wait; when it reads the same text it finds them compiled, and says what is
/// wrong with them.
pub async fn compile_ahead(catalog: Catalog, check: impl FnOnce(&Catalog) + Send + 'static) {
    let (done, finished) = oneshot::channel::<()>();
    let work = move || {
        check(&catalog);
        drop(done);
    };
    // Where there is no thread to be had the engine does it.
    if let Ok(_thread) = plugin_thread("plugin-compiler", work) {
        let _ = finished.await;
    }
}

/// A thread for plugins. As on the engine's, a plugin's own stack lies on it.
pub fn plugin_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.into())
        .stack_size(8 << 20)
        .spawn(work)
}

/// The schedulers for a director that begins with a text. Plugins are compiled while the text is checked, so where
/// they are kept must be known before; a text with faults will not be used, and keeps nothing.
pub fn catalog(options: &RunOptions, text: &str) -> Result<Catalog, StartHostError> {
    let written = || read::read(text).ok().map(|config| config.director.state_dir);
    let state_dir = options.state_dir.clone().or_else(written);
    Catalog::keeping(options.plugin_engine, state_dir.as_deref())
}

impl Engine {
    /// Brings up the services at start: the file's, or where the file is still the one that ran last, what ran
    /// last, with all that operators have changed since.
    pub fn resume(&mut self, from_file: Config, text: &str) -> Result<Applied, ApplyError> {
        let last = self.store.running()?.unwrap_or_default();
        self.epoch = last.epoch;
        let edits = self.store.edits(last.epoch)?;
        self.metrics.reload.note(true, false);
        if edits.is_empty() || last.digest != Store::digest(text) {
            return self.replace(from_file, text, false);
        }
        let edited = edits
            .iter()
            .try_fold(last.config, |config, change| edit(&config, change));
        match edited {
            Ok(config) if check_with(&config, &self.catalog).is_empty() => {
                tracing::info!(edits = edits.len(), "the file has not changed; its edits are still in force");
                self.edited = true;
                let applied = self.apply(config, false)?;
                self.tell_of_change(&applied, false);
                Ok(applied)
            }
            _ => {
                tracing::error!(
                    edits = edits.len(),
                    "the edits since the file was read do not fit any more; without them"
                );
                self.replace(from_file, text, false)
            }
        }
    }

    /// Reads the director's file again, and tries schedulers again that have failed.
    pub fn reload(&mut self, dry_run: bool) -> Result<Applied, ApplyError> {
        let name = self.config_file.display().to_string();
        match text_of(&self.config_file) {
            Ok(text) => {
                let applied = self.apply_text(&text, &name, dry_run)?;
                if !dry_run {
                    self.pools.values_mut().for_each(RunningPool::try_again);
                }
                Ok(applied)
            }
            Err(error) => {
                self.metrics.reload.note(false, dry_run);
                let fault = ApplyError::Faults(format!("error: cannot read {name}: {error}\n"));
                self.tell_of_failure(&fault, dry_run);
                Err(fault)
            }
        }
    }

    /// Reads, checks and applies a configuration.
    pub fn apply_text(&mut self, text: &str, name: &str, dry_run: bool) -> Result<Applied, ApplyError> {
        let outcome =
            checked(text, name, &self.catalog).and_then(|config| self.replace(config, text, dry_run));
        self.metrics.reload.note(outcome.is_ok(), dry_run);
        if let Err(error) = &outcome {
            self.tell_of_failure(error, dry_run);
        }
        outcome
    }
}
