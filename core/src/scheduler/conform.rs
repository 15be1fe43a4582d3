//! What every scheduler must hold, as checks of any plugin: for its author, and for those built in.
//!
//! A check talks to instances of the plugin as a director does and to nothing else. The host already refuses a
//! table of the wrong length or with a backend that takes no connections; here such situations are made.

mod checks;
mod replay;
mod sequence;
mod shrink;
mod soak;
mod subject;
mod suite;

use std::collections::BTreeMap;

use super::{CallError, ParamError, Plugin};
use subject::Subject;
pub use subject::{sample_backends, sample_flow};
pub use suite::{Held, Report, Reproduction, Trial, test};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Allowed, but perhaps not what the author meant.
    Note,
    /// A director would not be served well, or not at all.
    Failed,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What the author can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What a plugin's author says of it beyond the contract.
#[derive(Clone, Copy, Debug, Default)]
pub struct Promises {
    /// Shares follow the weights, and no backend's is off by this many slots or more. Holds without connections.
    pub proportional: Option<u32>,
    /// Everybody who has a weight gets connections, whatever others have to do. Only tests look at it.
    pub everybody: bool,
}

/// How one check came out; the name is added later.
#[derive(Debug)]
struct Outcome {
    verdict: Verdict,
    detail: String,
    fix: Option<String>,
}

impl Outcome {
    fn passed(detail: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Passed,
            detail: detail.into(),
            fix: None,
        }
    }

    fn note(detail: impl Into<String>, fix: &str) -> Self {
        Self {
            verdict: Verdict::Note,
            detail: detail.into(),
            fix: Some(fix.into()),
        }
    }

    fn failed(detail: impl Into<String>, fix: &str) -> Self {
        Self {
            verdict: Verdict::Failed,
            detail: detail.into(),
            fix: Some(fix.into()),
        }
    }
}

impl From<CallError> for Outcome {
    fn from(error: CallError) -> Self {
        let fix = error.remedy();
        Outcome::failed(error.to_string(), fix)
    }
}

/// Checks a plugin with these parameters, which are completed by their defaults.
///
/// # Errors
/// What is wrong with the parameters, before anything is checked.
pub fn check(
    plugin: &Plugin,
    params: &BTreeMap<String, String>,
    promises: Promises,
) -> Result<Vec<Finding>, Vec<ParamError>> {
    let subject = Subject::new(plugin, plugin.check_params(params)?);
    let mut findings = vec![finding("starts", checks::starts(&subject))];
    if findings[0].verdict == Verdict::Failed {
        return Ok(findings);
    }
    for (name, check) in checks::ALL {
        findings.push(finding(name, check(&subject)));
    }
    findings.push(finding("fairness", checks::fairness(&subject, promises)));
    // Last, because it tells of all calls.
    findings.push(finding("time", Ok(checks::time(&subject))));
    Ok(findings)
}

fn finding(check: &'static str, outcome: Result<Outcome, Outcome>) -> Finding {
    let Outcome { verdict, detail, fix } = outcome.unwrap_or_else(|failed| failed);
    Finding {
        check,
        verdict,
        detail,
        fix,
    }
}
