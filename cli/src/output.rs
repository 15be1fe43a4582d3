//! Where data and messages go.

use std::io::{self, Write};

use serde::Serialize;

use crate::args::{Format, Global};
use crate::error::CommandError;
use crate::render::{Paint, escape};

/// stdout for data, stderr for messages.
#[derive(Debug)]
pub struct Output {
    format: Format,
    quiet: bool,
    verbose: bool,
    /// Whether data is coloured.
    pub paint: Paint,
    /// Whether messages are coloured.
    pub message_paint: Paint,
}

impl Output {
    /// As the command line wants it.
    pub fn new(global: &Global) -> Self {
        Output {
            format: global.output,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            paint: Paint::of(&io::stdout()),
            message_paint: Paint::of(&io::stderr()),
        }
    }

    /// Whether data is for people.
    pub fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// Whether more was asked for.
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Writes an answer in the form that was asked for.
    pub fn value<T: Serialize + ?Sized>(
        &self,
        what: &'static str,
        value: &T,
        for_people: impl FnOnce(&T, Paint) -> String,
    ) -> Result<(), CommandError> {
        let text = match self.format {
            Format::Table => for_people(value, self.paint),
            Format::Json => {
                let json = serde_json::to_string_pretty(value).map_err(|error| CommandError::Form {
                    what,
                    format: "JSON",
                    source: error.into(),
                })?;
                escape_json(&json) + "\n"
            }
            Format::Yaml => serde_yaml_ng::to_string(value).map_err(|error| CommandError::Form {
                what,
                format: "YAML",
                source: error.into(),
            })?,
        };
        self.data(text.as_bytes())
    }

    /// Writes one of many answers, on a line of its own where it can be. Says whether anybody reads them.
    pub fn one_of_many<T: Serialize>(
        &self,
        what: &'static str,
        value: &T,
        for_people: impl FnOnce(&T, Paint) -> String,
    ) -> Result<bool, CommandError> {
        let text = match self.format {
            Format::Table => for_people(value, self.paint),
            Format::Json => {
                let json = serde_json::to_string(value).map_err(|error| CommandError::Form {
                    what,
                    format: "JSON",
                    source: error.into(),
                })?;
                escape_json(&json) + "\n"
            }
            Format::Yaml => {
                let yaml = serde_yaml_ng::to_string(value).map_err(|error| CommandError::Form {
                    what,
                    format: "YAML",
                    source: error.into(),
                })?;
                format!("---\n{yaml}")
            }
        };
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            written => written.map(|()| true).map_err(CommandError::Stdout),
        }
    }

    /// Writes data as it is. A reader that has gone away has had enough: that is no failure.
    pub fn data(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Stdout(error)),
            _ => Ok(()),
        }
    }

    /// Writes a message, unless none are wanted.
    pub fn message(&self, text: &str) {
        if !self.quiet {
            write_message(&format!("{}\n", escape(text)));
        }
    }

    /// Writes a warning, unless no messages are wanted.
    pub fn warning(&self, text: &str) {
        if !self.quiet {
            write_message(&format!("{} {}\n", self.message_paint.warning("warning:"), escape(text)));
        }
    }
}

/// Writes to stderr. Whoever closed it does not want to know.
pub fn write_message(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Escapes what a terminal would act on and JSON allows in strings as it is: it stands only in strings there.
fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && crate::render::steers(c) {
            escaped += &format!("\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_same_value_without_what_steers_a_terminal() {
        let value = ["\x1b[31m\u{9b}2J\u{7f}", "two\nlines", "\u{202e}ü"];
        let escaped = escape_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(
            escaped.chars().count() > 0 && !escaped.chars().any(|c| c != '\n' && crate::render::steers(c))
        );
        assert!(escaped.contains("\\u009b") && escaped.contains("\\u202e"), "{escaped}");
        assert_eq!(serde_json::from_str::<[String; 3]>(&escaped).unwrap(), value);
    }
}
