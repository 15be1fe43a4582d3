//! What happens to the backends during a simulation: `at 20s remove b3; at 30s add b3; at 40s weight b1 5`.

use std::str::FromStr;

use super::time::{Nanos, of, parse_time, seconds};
use crate::scheduler::stage::{Change, ChangeError, Stage};

/// What happens when, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Churn {
    /// What happens at one moment is one step.
    pub(super) steps: Vec<Step>,
}

/// What happens at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) at: Nanos,
    pub(super) changes: Vec<Change>,
}

/// Why something cannot happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChurnError {
    /// A text that says nothing.
    #[error("`{text}`: {why}")]
    Text {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A change of a backend that is not there, or is there already.
    #[error("at {at} s `{change}` cannot happen: {source}")]
    Impossible {
        /// When, in seconds.
        at: String,
        /// What.
        change: String,
        /// Why not.
        source: ChangeError,
    },
}

impl FromStr for Churn {
    type Err = ChurnError;

    fn from_str(text: &str) -> Result<Self, ChurnError> {
        let mut steps: Vec<Step> = Vec::new();
        let parts = text.split([';', '\n']).map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            let (at, change) = one(part).map_err(|why| ChurnError::Text {
                text: part.to_owned(),
                why,
            })?;
            match steps.iter_mut().find(|step| step.at == at) {
                Some(step) => step.changes.push(change),
                None => steps.push(Step {
                    at,
                    changes: vec![change],
                }),
            }
        }
        steps.sort_by_key(|step| step.at);
        Ok(Churn { steps })
    }
}

fn one(text: &str) -> Result<(Nanos, Change), String> {
    let rest = text
        .strip_prefix("at ")
        .ok_or("write `at TIME CHANGE`, as in `at 20s remove b3`")?;
    let (time, change) = rest
        .trim_start()
        .split_once(' ')
        .ok_or("write `at TIME CHANGE`, as in `at 20s remove b3`")?;
    let time = parse_time(time).map_err(|error| error.to_string())?;
    let change = change.parse().map_err(|error| format!("{error}"))?;
    Ok((of(time), change))
}

impl Step {
    /// All of it in one line.
    pub(super) fn text(&self) -> String {
        let changes: Vec<String> = self.changes.iter().map(ToString::to_string).collect();
        changes.join(", ")
    }

    pub(super) fn apply(&self, stage: &mut Stage) -> Result<(), ChurnError> {
        for change in &self.changes {
            stage.apply(*change).map_err(|source| ChurnError::Impossible {
                at: seconds(self.at).to_string(),
                change: change.to_string(),
                source,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_in_order_and_moments_are_one() {
        let churn: Churn = "at 20s remove b3; at 500ms drain b1;at 20s add b4 2;"
            .parse()
            .unwrap();
        let told: Vec<_> = churn
            .steps
            .iter()
            .map(|step| (seconds(step.at), step.text()))
            .collect();
        assert_eq!(
            told,
            [
                (0.5, "drain b1".to_owned()),
                (20.0, "remove b3, add b4 2".to_owned())
            ]
        );
        assert_eq!("".parse(), Ok(Churn::default()));
    }

    #[test]
    fn what_cannot_happen_is_refused_in_words() {
        for (text, said) in [
            ("remove b3", "`remove b3`: write `at TIME CHANGE`, as in `at 20s remove b3`"),
            ("at 20 remove b3", "`at 20 remove b3`: `20` is no length of time"),
            ("at 2s explode b3", "`at 2s explode b3`: `explode b3` is no change: write `add b3`"),
            ("at 2s", "`at 2s`: write `at TIME CHANGE`"),
        ] {
            let error = text.parse::<Churn>().unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        let churn: Churn = "at 1.5s remove b3".parse().unwrap();
        let error = churn.steps[0].apply(&mut Stage::new(&[1])).unwrap_err();
        assert_eq!(error.to_string(), "at 1.5 s `remove b3` cannot happen: there is no b3 then");
    }
}
