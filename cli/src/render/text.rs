//! Texts from elsewhere: names, messages and scripts that must not steer the terminal.

/// Escapes what a terminal would act on, for a text of one line.
pub fn escape(text: &str) -> String {
    escape_but(text, |_| false)
}

/// The same for a text of many lines.
pub fn escape_block(text: &str) -> String {
    escape_but(text, |c| matches!(c, '\n' | '\t'))
}

/// The same for a text that this process has painted: what it quotes was freed of escape characters then.
pub fn escape_painted(text: &str) -> String {
    escape_but(text, |c| matches!(c, '\n' | '\t' | '\x1b'))
}

fn escape_but(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) && !keep(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Whether a terminal acts on a character instead of showing it: control characters, and those that turn the
/// direction of writing (Unicode's bidirectional controls), which make a text look like another one.
pub fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(escape("a\x1b[31m\u{9b}\r\n\u{202e}ü"), "a\\u{1b}[31m\\u{9b}\\r\\n\\u{202e}ü");
    }

    #[test]
    fn a_block_keeps_its_lines() {
        assert_eq!(escape_block("a\n\tb\x07"), "a\n\tb\\u{7}");
    }
}
