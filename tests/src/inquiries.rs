//! What tests ask a director, and change by its command line.

use std::fmt::Display;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::director::Director;

/// How a command ended and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The exit code; -1 for a command that a signal ended.
    pub code: i32,
    /// The data.
    pub stdout: String,
    /// The messages.
    pub stderr: String,
}

impl Said {
    /// That the command failed, wrote no data and gave these reasons.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn assert_failed(&self, reasons: &[&str]) {
        assert_eq!((self.code, &*self.stdout), (1, ""), "{self:?}");
        for reason in reasons {
            assert!(self.stderr.contains(reason), "`{reason}` is not in:\n{}", self.stderr);
        }
    }
}

impl From<std::process::Output> for Said {
    fn from(output: std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Director {
    /// Runs `wvs`, whatever becomes of it.
    ///
    /// # Errors
    /// When the binary cannot be run.
    pub fn says(&self, arguments: &[&str]) -> Result<Said> {
        Ok(self.wvs(arguments)?.into())
    }

    /// `wvs status`, of a degraded director as well.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn status(&self) -> Result<Value> {
        let said = self.says(&["status", "-o", "json"])?;
        ensure!(matches!(said.code, 0 | 4), "`wvs status` failed: {said:?}");
        Ok(serde_json::from_str(&said.stdout)?)
    }

    /// A number of `wvs status`: `commits`, `repairs`, `generation` …
    ///
    /// # Errors
    /// When it cannot be asked, or there is no such number.
    pub fn number(&self, of: &str) -> Result<u64> {
        self.status()?[of]
            .as_u64()
            .with_context(|| format!("`{of}` is not in the status"))
    }

    /// How the scheduler of a service is, in IPv4 if it serves both families.
    ///
    /// # Errors
    /// When it cannot be asked, or there is no such service.
    pub fn scheduler(&self, service: &str) -> Result<Value> {
        let status = self.status()?;
        let schedulers = status["schedulers"].as_array().into_iter().flatten();
        let found = schedulers
            .filter(|it| it["service"] == service)
            .min_by_key(|it| it["family"] != "v4");
        found
            .cloned()
            .with_context(|| format!("no scheduler of {service} in {status}"))
    }

    /// A backend of `wvs backends`.
    ///
    /// # Errors
    /// When it cannot be asked, or there is no such backend.
    pub fn backend(&self, service: &str, address: impl Display) -> Result<Value> {
        let backends = self.json(&["backends", service])?;
        let address = address.to_string();
        let found = backends
            .as_array()
            .into_iter()
            .flatten()
            .find(|it| it["address"] == *address);
        found
            .cloned()
            .with_context(|| format!("no backend {address} in {backends}"))
    }

    /// Replaces the configuration file and has it read: `wvs reload`. Says what changed.
    ///
    /// # Errors
    /// When the director refuses it.
    pub fn reload_with(&self, config: impl Display) -> Result<Value> {
        self.write_config(&config.to_string())?;
        self.json(&["reload"])
    }

    /// Gives it a configuration and leaves its file: `wvs apply -`. Says what came of it.
    ///
    /// # Errors
    /// When the binary cannot be run.
    pub fn apply(&self, config: impl Display) -> Result<Said> {
        Ok(self.wvs_with_input(&["apply", "-"], &config.to_string())?.into())
    }

    /// `wvs weight`. Says what changed.
    ///
    /// # Errors
    /// When the director refuses it.
    pub fn weigh(&self, service: &str, backend: impl Display, weight: u32) -> Result<Value> {
        self.json(&["weight", service, &backend.to_string(), &weight.to_string()])
    }

    /// `wvs drain`.
    ///
    /// # Errors
    /// When the director refuses it.
    pub fn drain(&self, service: &str, backend: impl Display) -> Result<Value> {
        self.json(&["drain", service, &backend.to_string()])
    }
}
