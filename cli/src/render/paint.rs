//! Colour, where it is wanted.

use std::io::IsTerminal;

/// Whether to write with colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// No colour.
    #[cfg(test)]
    pub const PLAIN: Paint = Paint(false);

    /// Colour.
    #[cfg(test)]
    pub const COLOURED: Paint = Paint(true);

    /// Colour if a stream is a terminal that can show it, and the operator has not said no: <https://no-color.org>.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Paint(stream.is_terminal() && !unwanted && !dumb)
    }

    /// Whether there is colour.
    pub fn is_on(self) -> bool {
        self.0
    }

    /// What stands out without being good or bad.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What failed.
    pub fn error(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// What deserves a look.
    pub fn warning(self, text: &str) -> String {
        self.wrap("33", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
