//! What is wrong with a configuration file, and where.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// The most faults that are kept of one file; more help nobody, and a wrong file can have millions.
pub const MOST_FAULTS: usize = 100;

/// The longest line that is shown with its fault, in bytes.
const LONGEST_LINE: usize = 1000;

/// How far apart, in bytes, two places may be to share one excerpt.
const EXCERPT: usize = 2000;

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where, in bytes.
    #[serde(skip)]
    pub span: Option<Range<usize>>,
    /// Where, for people.
    #[serde(flatten)]
    pub position: Option<Position>,
    /// What is wrong.
    pub message: String,
    /// What is wrong, in few words, for below the place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The other place of a conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<Related>,
}

/// The other place of a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Where, in bytes.
    #[serde(skip)]
    pub span: Range<usize>,
    /// Where, for people.
    #[serde(flatten)]
    pub position: Option<Position>,
    /// What is there.
    pub label: String,
}

/// A line and a column, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// All that is wrong with a file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// The first [`MOST_FAULTS`]; at least one.
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub omitted: usize,
}

impl Fault {
    /// A fault of a place, or of the whole file.
    pub fn new(span: impl Into<Option<Range<usize>>>, message: impl Into<String>) -> Self {
        let message = message.into();
        Fault {
            span: span.into(),
            position: None,
            message,
            label: None,
            help: None,
            related: None,
        }
    }

    /// With few words below the place.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Faults {
    /// Sorts faults by place, drops repetitions and finds the lines and columns.
    ///
    /// Spans that do not fit the text are made to fit. `omitted` faults were found and not kept.
    pub fn new(mut faults: Vec<Fault>, omitted: usize, text: &str) -> Self {
        for fault in &mut faults {
            fault.span = fault.span.take().map(|span| fit(span, text));
            if let Some(related) = &mut fault.related {
                related.span = fit(related.span.clone(), text);
            }
        }
        faults.sort_by_key(|fault| fault.span.as_ref().map(|span| (span.start, span.end)));
        faults.dedup_by(|one, other| one.span == other.span && one.message == other.message);
        let omitted = omitted + faults.len().saturating_sub(MOST_FAULTS);
        faults.truncate(MOST_FAULTS);
        let lines = Lines::of(if faults.is_empty() { "" } else { text });
        for fault in &mut faults {
            fault.position = fault.span.as_ref().map(|span| lines.position(span.start));
            if let Some(related) = &mut fault.related {
                related.position = Some(lines.position(related.span.start));
            }
        }
        Faults { faults, omitted }
    }

    /// All faults as text for people, each with an excerpt of the file, as rustc does it.
    pub fn render(&self, file_name: &str, source: &str, color: bool) -> String {
        let renderer = if color {
            Renderer::styled().hyperlink(false)
        } else {
            Renderer::plain()
        };
        let lines = Lines::of(source);
        let mut text = String::new();
        for fault in &self.faults {
            text.push_str(&renderer.render(&[group(fault, file_name, &lines)]));
            text.push_str("\n\n");
        }
        if self.omitted > 0 {
            let more = format!("{} more faults are not shown", self.omitted);
            text.push_str(&renderer.render(&[Group::with_title(Level::NOTE.primary_title(more))]));
            text.push('\n');
        }
        text
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.faults.iter().enumerate() {
            if number > 0 {
                f.write_str("; ")?;
            }
            if let Some(Position { line, column }) = fault.position {
                write!(f, "{line}:{column}: ")?;
            }
            f.write_str(&fault.message)?;
        }
        if self.omitted > 0 {
            write!(f, "; and {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Where the lines of a text begin, found once: a text may have many lines and many faults.
pub(super) struct Lines<'t> {
    text: &'t str,
    /// Where each line but the first begins.
    begins: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Lines {
            text,
            begins: text.match_indices('\n').map(|(newline, _)| newline + 1).collect(),
        }
    }

    /// The number of the line of an offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.begins.partition_point(|begin| *begin <= offset) + 1
    }

    fn position(&self, offset: usize) -> Position {
        let before = &self.text[line_start(offset, self.text)..offset];
        Position {
            line: self.line(offset),
            column: before.chars().count() + 1,
        }
    }
}

/// Where the line of an offset begins; a byte order mark is no part of the line.
fn line_start(offset: usize, text: &str) -> usize {
    match text[..offset].rfind('\n') {
        Some(newline) => newline + 1,
        None if text.starts_with('\u{feff}') && offset >= 3 => 3,
        None => 0,
    }
}

/// Where the line of an offset ends.
fn line_end(offset: usize, text: &str) -> usize {
    let end = text[offset..]
        .find('\n')
        .map_or(text.len(), |newline| offset + newline);
    if end > offset && text.as_bytes()[end - 1] == b'\r' {
        end - 1
    } else {
        end
    }
}

/// Moves a span into the text and to the boundaries of characters.
fn fit(span: Range<usize>, text: &str) -> Range<usize> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
    start..end
}

/// What of a file is shown around a place: from the beginning of its first line to the end of its last.
fn lines_around(one: &Range<usize>, text: &str) -> Range<usize> {
    line_start(one.start, text)..line_end(one.start, text)
}

/// A place of several lines is shown by its first.
fn on_one_line(span: &Range<usize>, text: &str) -> Range<usize> {
    span.start..span.end.min(line_end(span.start, text)).max(span.start)
}

fn group<'a>(fault: &'a Fault, file_name: &'a str, lines: &Lines<'a>) -> Group<'a> {
    let source = lines.text;
    let title = Level::ERROR.primary_title(&fault.message);
    let mut group = Group::with_title(title);
    let shown = fault.span.as_ref().map(|span| fit(span.clone(), source));
    let related = fault
        .related
        .as_ref()
        .map(|related| (fit(related.span.clone(), source), &related.label));
    match shown {
        None => group = group.element(Origin::path(file_name)),
        Some(span) => {
            let shown = lines_around(&span, source);
            let near = related.as_ref().filter(|(other, _)| {
                let other = lines_around(other, source);
                shown.end.max(other.end) - shown.start.min(other.start) <= EXCERPT
            });
            let primary = (AnnotationKind::Primary, on_one_line(&span, source), fault.label.as_deref());
            match (near, &related) {
                (Some((other, label)), _) => {
                    let other = (AnnotationKind::Context, on_one_line(other, source), Some(label.as_str()));
                    group = excerpt(group, file_name, lines, &[primary, other]);
                }
                (None, Some((other, label))) => {
                    let other = (AnnotationKind::Context, on_one_line(other, source), Some(label.as_str()));
                    group = excerpt(group, file_name, lines, &[primary]);
                    group = excerpt(group, file_name, lines, &[other]);
                }
                (None, None) => group = excerpt(group, file_name, lines, &[primary]),
            }
        }
    }
    match &fault.help {
        Some(help) => group.element(Level::HELP.message(help)),
        None => group,
    }
}

/// A place to mark in an excerpt.
type Mark<'a> = (AnnotationKind, Range<usize>, Option<&'a str>);

/// Adds the lines of the marks to a group; only those lines reach the renderer, which reads all it gets.
fn excerpt<'a>(group: Group<'a>, file_name: &'a str, lines: &Lines<'a>, marks: &[Mark<'a>]) -> Group<'a> {
    let source = lines.text;
    let around = marks.iter().map(|(_, span, _)| lines_around(span, source));
    let window = around
        .reduce(|one, other| one.start.min(other.start)..one.end.max(other.end))
        .unwrap_or(0..0);
    let longest = source[window.clone()].lines().map(str::len).max().unwrap_or(0);
    let first = &marks[0].1;
    if longest == 0 || longest > LONGEST_LINE {
        let Position { line, column } = lines.position(first.start);
        return group.element(Origin::path(file_name).line(line).char_column(column));
    }
    let annotations = marks.iter().map(|(kind, span, label)| {
        kind.span(span.start - window.start..span.end - window.start)
            .label(*label)
    });
    let snippet = Snippet::source(&source[window.clone()])
        .line_start(lines.line(window.start))
        .path(file_name)
        .annotations(annotations);
    group.element(snippet)
}
