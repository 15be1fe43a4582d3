//! Tables without frames, as ipvsadm, ip and kubectl have them: one line per row, so that line tools work on them.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table as Layout};

use super::paint::Paint;
use super::text::escape;

/// How much a row deserves attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// None.
    Plain,
    /// It deserves a look.
    Warning,
    /// It failed.
    Error,
}

/// A column's heading, and on which side its cells stand.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Texts.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// A table as it is filled.
#[derive(Debug)]
pub struct Table {
    layout: Layout,
    tones: Vec<Tone>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[Column]) -> Self {
        let mut layout = Layout::new();
        layout.load_style(NOTHING);
        layout.set_header(columns.iter().map(|column| match column {
            Column::Left(heading) | Column::Right(heading) => *heading,
        }));
        for (column, index) in columns.iter().zip(0..) {
            if let Some(laid_out) = layout.column_mut(index) {
                laid_out.set_padding((0, 2));
                if matches!(column, Column::Right(_)) {
                    laid_out.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Table {
            layout,
            tones: Vec::new(),
        }
    }

    /// Adds a row. A cell without text shows a dash, so that columns can be counted.
    pub fn row(&mut self, tone: Tone, cells: impl IntoIterator<Item = String>) {
        let cell = |text: String| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                escape(&text)
            }
        };
        self.layout
            .add_row(cells.into_iter().map(cell).collect::<Vec<_>>());
        self.tones.push(tone);
    }

    /// Writes it.
    pub fn render(&self, paint: Paint) -> String {
        // No cell has two lines, so the lines after the first are the rows.
        let mut text = String::new();
        for (index, line) in self.layout.lines().enumerate() {
            let line = line.trim_end();
            let tone = index.checked_sub(1).and_then(|row| self.tones.get(row));
            text += &match tone {
                None => paint.bold(line),
                Some(Tone::Plain) => line.to_owned(),
                Some(Tone::Warning) => paint.warning(line),
                Some(Tone::Error) => paint.error(line),
            };
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_one_line_whatever_its_cells_hold() {
        let mut table = Table::new(&[Column::Left("NAME"), Column::Right("N")]);
        table.row(Tone::Plain, ["a\nb\x1b[2J".to_owned(), "1".to_owned()]);
        table.row(Tone::Plain, [String::new(), "1000".to_owned()]);
        table.row(Tone::Plain, ["x".repeat(300), "2".to_owned()]);
        let text = table.render(Paint::PLAIN);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[1].starts_with("a\\nb\\u{1b}[2J "), "{text}");
        assert!(lines[2].starts_with("- ") && lines[2].ends_with(" 1000"), "{text}");
        assert!(lines.iter().all(|line| line.len() == lines[3].len()), "{text}");
    }

    #[test]
    fn colour_changes_no_width_and_marks_the_right_row() {
        let mut table = Table::new(&[Column::Left("NAME")]);
        table.row(Tone::Plain, ["good".to_owned()]);
        table.row(Tone::Error, ["bad".to_owned()]);
        let text = table.render(Paint::COLOURED);
        assert_eq!(text, "\x1b[1mNAME\x1b[0m\ngood\n\x1b[1;31mbad\x1b[0m\n");
    }
}
