//! What a plugin says of itself, and the check of an operator's parameters against it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::contract::{WireParamKind, policy};

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Description {
    /// The name it has for itself.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// The parameters it takes.
    pub params: Vec<ParamSpec>,
}

/// A parameter that a plugin takes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ParamSpec {
    /// Its name.
    pub key: String,
    /// What it may be.
    pub kind: ParamKind,
    /// Its value if none is given.
    pub default: String,
    /// One line.
    pub help: String,
}

/// What a parameter may be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParamKind {
    /// Anything.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer {
        /// The lowest allowed.
        min: i32,
        /// The highest allowed.
        max: i32,
    },
    /// One of these words.
    Choice(Vec<String>),
}

impl ParamKind {
    fn allows(&self, value: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Boolean => matches!(value, "true" | "false"),
            Self::Integer { min, max } => value.parse::<i32>().is_ok_and(|n| (*min..=*max).contains(&n)),
            Self::Choice(words) => words.iter().any(|word| word == value),
        }
    }
}

impl fmt::Display for ParamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a text"),
            Self::Boolean => f.write_str("true or false"),
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// Why a parameter is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// The plugin has no such parameter.
    #[error("{plugin} has no parameter {key}{}", suggest(similar, takes))]
    Unknown {
        /// The plugin.
        plugin: String,
        /// What was given.
        key: String,
        /// The parameter that was probably meant.
        similar: Option<String>,
        /// All that there are.
        takes: Vec<String>,
    },
    /// The parameter cannot have this value.
    #[error("parameter {key} of {plugin} is {value:?}; it must be {kind}{}", suggest(similar, &[]))]
    Value {
        /// The plugin.
        plugin: String,
        /// The parameter.
        key: String,
        /// What was given.
        value: String,
        /// What it may be.
        kind: ParamKind,
        /// The word that was probably meant.
        similar: Option<String>,
    },
}

impl ParamError {
    /// The parameter it is about.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Unknown { key, .. } | Self::Value { key, .. } => key,
        }
    }
}

fn suggest(similar: &Option<String>, takes: &[String]) -> String {
    match (similar, takes) {
        (Some(similar), _) => format!("; did you mean {similar}?"),
        (None, []) => String::new(),
        (None, takes) => format!("; it takes {}", takes.join(", ")),
    }
}

/// The candidate that was probably meant, if one is near enough.
pub(super) fn similar<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(given, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

impl Description {
    /// Checks what `describe` answered, and takes it over.
    pub(super) fn accept(wire: policy::Description) -> Result<Self, String> {
        let params = wire.params.into_iter().map(|spec| ParamSpec {
            key: spec.key,
            kind: match spec.kind {
                WireParamKind::Text => ParamKind::Text,
                WireParamKind::Boolean => ParamKind::Boolean,
                WireParamKind::Integer(range) => ParamKind::Integer {
                    min: range.min,
                    max: range.max,
                },
                WireParamKind::Choice(words) => ParamKind::Choice(words),
            },
            default: spec.default,
            help: spec.help,
        });
        let description = Self {
            name: wire.name,
            version: wire.version,
            summary: wire.summary,
            params: params.collect(),
        };
        description.check().map(|()| description)
    }

    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() || self.name.len() > 64 {
            return Err(format!("its name has {} bytes; 1 to 64 are allowed", self.name.len()));
        }
        let mut texts = vec![&self.name, &self.version, &self.summary];
        texts.extend(
            self.params
                .iter()
                .flat_map(|spec| [&spec.key, &spec.default, &spec.help]),
        );
        if let Some(text) = texts.iter().find(|text| text.chars().any(char::is_control)) {
            return Err(format!("{text:?} contains control characters"));
        }
        let mut keys = BTreeSet::new();
        for spec in &self.params {
            let key = &spec.key;
            if key.is_empty() {
                return Err("it declares a parameter without a name".into());
            }
            if !keys.insert(key) {
                return Err(format!("it declares the parameter {key} twice"));
            }
            if !spec.kind.allows(&spec.default) {
                return Err(format!("the default of {key} is {:?}, and must be {}", spec.default, spec.kind));
            }
        }
        Ok(())
    }

    /// Every parameter with its value: the given one, or else its default.
    ///
    /// # Errors
    /// All that is wrong with the given ones.
    pub fn check_params(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Result<Vec<(String, String)>, Vec<ParamError>> {
        let keys = || self.params.iter().map(|spec| spec.key.as_str());
        let unknown = given
            .keys()
            .filter(|key| !keys().any(|known| known == key.as_str()))
            .map(|key| ParamError::Unknown {
                plugin: self.name.clone(),
                key: key.clone(),
                similar: similar(key, keys()),
                takes: keys().map(str::to_owned).collect(),
            });
        let mut errors: Vec<ParamError> = unknown.collect();
        let mut complete = Vec::with_capacity(self.params.len());
        for spec in &self.params {
            let value = given.get(&spec.key).unwrap_or(&spec.default);
            if !spec.kind.allows(value) {
                let words: &[String] = if let ParamKind::Choice(words) = &spec.kind {
                    words
                } else {
                    &[]
                };
                errors.push(ParamError::Value {
                    plugin: self.name.clone(),
                    key: spec.key.clone(),
                    value: value.clone(),
                    kind: spec.kind.clone(),
                    similar: similar(value, words.iter().map(String::as_str)),
                });
            }
            complete.push((spec.key.clone(), value.clone()));
        }
        if errors.is_empty() {
            Ok(complete)
        } else {
            Err(errors)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        let spec = |key: &str, kind, default: &str| ParamSpec {
            key: key.into(),
            kind,
            default: default.into(),
            help: String::new(),
        };
        Description {
            name: "sample".into(),
            version: "1".into(),
            summary: String::new(),
            params: vec![
                spec("port", ParamKind::Boolean, "false"),
                spec("size", ParamKind::Integer { min: -5, max: 10 }, "3"),
                spec("mode", ParamKind::Choice(vec!["strict".into(), "loose".into()]), "strict"),
            ],
        }
    }

    fn errors(given: &[(&str, &str)]) -> Vec<String> {
        let given = given.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        match description().check_params(&given) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn defaults_are_filled_in() {
        let given = BTreeMap::from([("size".to_owned(), "-5".to_owned())]);
        let pairs = [("port", "false"), ("size", "-5"), ("mode", "strict")];
        let complete = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        assert_eq!(description().check_params(&given), Ok(complete));
    }

    #[test]
    fn all_faults_are_told_at_once_with_suggestions() {
        assert_eq!(
            errors(&[("prot", "true"), ("size", "11"), ("mode", "losse")]),
            [
                "sample has no parameter prot; did you mean port?",
                "parameter size of sample is \"11\"; it must be a whole number from -5 to 10",
                "parameter mode of sample is \"losse\"; it must be one of strict, loose; did you mean loose?",
            ]
        );
        assert_eq!(
            errors(&[("colour", "1"), ("port", "yes")]),
            [
                "sample has no parameter colour; it takes port, size, mode",
                "parameter port of sample is \"yes\"; it must be true or false",
            ]
        );
    }

    #[test]
    fn a_description_must_agree_with_itself() {
        let mut twice = description();
        twice.params.push(twice.params[0].clone());
        assert_eq!(twice.check(), Err("it declares the parameter port twice".into()));
        let mut bad_default = description();
        bad_default.params[1].default = "x".into();
        assert_eq!(
            bad_default.check(),
            Err("the default of size is \"x\", and must be a whole number from -5 to 10".into())
        );
        let mut nameless = description();
        nameless.name.clear();
        assert!(nameless.check().is_err());
        let mut forged = description();
        forged.summary = "x\u{1b}[2J".into();
        assert!(forged.check().is_err());
    }
}
