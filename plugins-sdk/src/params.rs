//! Parameters: declared once, checked by the director, read with their types.

use crate::bindings;

/// What a scheduler says of itself.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The name an operator writes in the configuration.
    pub name: &'static str,
    /// The plugin's own version.
    pub version: &'static str,
    /// One line.
    pub summary: &'static str,
    /// All parameters it takes.
    pub params: &'static [Param],
}

/// Declares a parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name in the configuration.
    pub key: &'static str,
    /// What it may be.
    pub kind: ParamKind,
    /// Its value if the operator gives none.
    pub default: &'static str,
    /// One line for the operator.
    pub help: &'static str,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Anything.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A number between two others, both allowed.
    Integer {
        /// The lowest allowed.
        min: i32,
        /// The highest allowed.
        max: i32,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// The parameters of one service, every declared one among them.
#[derive(Clone, Debug)]
pub struct Params(Vec<bindings::Param>);

impl Params {
    pub(crate) fn new(params: Vec<bindings::Param>) -> Self {
        Self(params)
    }

    /// The parameter as it was written.
    ///
    /// # Errors
    /// If no such parameter was declared.
    pub fn text(&self, key: &str) -> Result<&str, String> {
        match self.0.iter().find(|param| param.key == key) {
            Some(param) => Ok(&param.value),
            None => Err(["parameter ", key, " is missing"].concat()),
        }
    }

    /// A [`ParamKind::Boolean`].
    ///
    /// # Errors
    /// If it is neither `true` nor `false`.
    pub fn boolean(&self, key: &str) -> Result<bool, String> {
        match self.text(key)? {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(wrong(key, other, "true or false")),
        }
    }

    /// A [`ParamKind::Integer`].
    ///
    /// # Errors
    /// If it is not a number.
    pub fn integer(&self, key: &str) -> Result<i32, String> {
        let text = self.text(key)?;
        text.parse().map_err(|_| wrong(key, text, "a whole number"))
    }
}

fn wrong(key: &str, value: &str, wanted: &str) -> String {
    ["parameter ", key, " is ", value, ", wanted ", wanted].concat()
}

/// Appends a number without the weight of `core::fmt` (some 10 KB in a module).
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
pub(crate) fn push_decimal(text: &mut String, number: u32) {
    if number >= 10 {
        push_decimal(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params(
            pairs
                .iter()
                .map(|&(key, value)| bindings::Param {
                    key: key.into(),
                    value: value.into(),
                })
                .collect(),
        )
    }

    #[test]
    fn values_are_read_with_their_types() {
        let params = params(&[("port", "true"), ("size", "-7"), ("word", "x")]);
        assert_eq!(params.boolean("port"), Ok(true));
        assert_eq!(params.integer("size"), Ok(-7));
        assert_eq!(params.text("word"), Ok("x"));
        assert_eq!(params.boolean("word"), Err("parameter word is x, wanted true or false".into()));
        assert_eq!(params.text("gone"), Err("parameter gone is missing".into()));
    }

    #[test]
    fn decimals_match_the_standard_ones() {
        for number in [0, 9, 10, 4096, u32::MAX] {
            let mut text = String::new();
            push_decimal(&mut text, number);
            assert_eq!(text, number.to_string());
        }
    }
}
