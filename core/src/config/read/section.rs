//! Reading TOML values with their places, and noting what is wrong with them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tables::{SHAPES, Shape};
use crate::config::Config;
use crate::config::check::Problem;
use crate::config::fault::{Fault, Related};
use crate::config::listen::{TextError, quoted};
use crate::config::place::Place;

/// A place in the text.
pub(super) type Span = Range<usize>;
/// A value with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// A text on its way to a configuration.
pub(super) struct Reader<'i> {
    text: &'i str,
    pub(super) root: DeTable<'i>,
    faults: Vec<Fault>,
    /// Where the parser lost its way.
    syntax: Vec<Fault>,
    /// Where the parts of the configuration are.
    spans: HashMap<Place, Span>,
    /// Places that have a fault already.
    faulty: HashSet<Place>,
    /// Services of which something could not be read.
    incomplete: HashSet<usize>,
}

/// A table that is being read.
pub(super) struct Section<'r, 'i> {
    pub(super) table: &'r DeTable<'i>,
    pub(super) shape: &'static Shape,
    pub(super) header: Span,
}

impl<'i> Reader<'i> {
    /// Parses a text as far as it goes.
    pub(super) fn parse(text: &'i str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut syntax = Vec::new();
        // A second error on a line is mostly an echo of the first.
        let mut seen = BTreeSet::new();
        let lines = Lines::of(if errors.is_empty() { "" } else { text });
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            if seen.insert(lines.line(span.start)) {
                syntax.push(syntax_fault(span, error.message()));
            }
        }
        Reader {
            text,
            root: root.into_inner(),
            faults: Vec::new(),
            syntax,
            spans: HashMap::new(),
            faulty: HashSet::new(),
            incomplete: HashSet::new(),
        }
    }

    /// All faults. Those that may only follow from a syntax error are left out.
    pub(super) fn finish(self) -> Vec<Fault> {
        let Reader {
            mut faults,
            syntax,
            text,
            ..
        } = self;
        if !syntax.is_empty() {
            let lines = Lines::of(text);
            let line = |fault: &Fault| fault.span.as_ref().map(|span| lines.line(span.start));
            let wrong: BTreeSet<usize> = syntax.iter().filter_map(line).collect();
            faults.retain(|fault| line(fault).is_none_or(|line| !wrong.contains(&line)));
            faults.extend(syntax);
        }
        faults
    }

    pub(super) fn report(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// How many faults there are so far.
    pub(super) fn count(&self) -> usize {
        self.faults.len()
    }

    /// Notes where a part of the configuration is.
    pub(super) fn locate(&mut self, place: Place, span: Span) {
        self.spans.insert(place, span);
    }

    /// Notes that a part of the configuration has a fault already.
    pub(super) fn spoil(&mut self, place: Place) {
        self.faulty.insert(place);
    }

    /// Notes that something of a service could not be read.
    pub(super) fn leave_incomplete(&mut self, service: usize) {
        self.incomplete.insert(service);
    }

    /// The span of a place, or of the nearest larger place that is in the text.
    fn span_of(&self, place: &Place) -> Option<Span> {
        let mut place = place.clone();
        loop {
            if let Some(span) = self.spans.get(&place) {
                return Some(span.clone());
            }
            place = place.around()?;
        }
    }

    /// Takes over what the rules found, but for what other faults of the file explain.
    pub(super) fn problems(&mut self, config: &Config, problems: Vec<Problem>) {
        for problem in problems {
            let unread = problem
                .place
                .service()
                .is_some_and(|service| self.incomplete.contains(&service));
            let explained = problem.from_absence && (unread || !self.syntax.is_empty());
            if explained || self.faulty.contains(&problem.place) {
                continue;
            }
            let related = problem.related.and_then(|place| {
                let label = format!("{} is here", place.describe(config));
                Some(Related {
                    span: self.span_of(&place)?,
                    position: None,
                    label,
                })
            });
            let fault = Fault {
                span: self.span_of(&problem.place),
                position: None,
                message: problem.message,
                label: None,
                help: problem.help,
                related,
            };
            self.faults.push(fault);
        }
    }

    /// Notes the keys of a table that have no business there.
    pub(super) fn unknown_keys(&mut self, section: &Section<'_, 'i>) {
        for (key, _) in section.table {
            let name: &str = key.get_ref();
            let shape = section.shape;
            if shape.keys.contains(&name) {
                continue;
            }
            let fault = if shape.later.contains(&name) {
                Fault::new(key.span(), format!("`{name}` is not supported by this version of wvs"))
                    .label("not supported")
                    .help(format!("leave `{name}` out"))
            } else {
                Fault::new(key.span(), format!("unknown key {} in {}", quoted(name), shape.name))
                    .label("unknown key")
                    .help(suggestion(name, shape))
            };
            self.report(fault);
        }
    }

    /// The value of a key, unless the parser put a stand-in for a value that it did not find.
    pub(super) fn get<'r>(&self, section: &Section<'r, 'i>, key: &str) -> Option<&'r Value<'i>> {
        let value = section.table.get(key)?;
        (!self.is_stand_in(value)).then_some(value)
    }

    fn is_stand_in(&self, value: &Value<'i>) -> bool {
        value.span().is_empty() && !self.syntax.is_empty()
    }

    /// The value of a key that must be there.
    pub(super) fn require<'r>(
        &mut self,
        section: &Section<'r, 'i>,
        key: &str,
        example: &str,
    ) -> Option<&'r Value<'i>> {
        let value = self.get(section, key);
        if value.is_none() && self.syntax.is_empty() {
            let fault = Fault::new(section.header.clone(), format!("{} has no `{key}`", section.shape.name))
                .label(format!("`{key}` is missing"))
                .help(format!("add {key} = {example}"));
            self.report(fault);
        }
        value
    }

    fn wrong_type(&mut self, value: &Value<'i>, key: &str, expected: &str, example: &str) {
        let found = match value.get_ref() {
            DeValue::Array(array) if array.iter().any(|item| item.get_ref().is_table()) => "a list of tables",
            other => type_words(other),
        };
        let message = format!("`{key}` must be {expected}, and this is {found}");
        let fault = Fault::new(value.span(), message)
            .label(format!("expected {expected}"))
            .help(format!("write {example}"));
        self.report(fault);
    }

    /// A string.
    pub(super) fn string<'r>(&mut self, value: &'r Value<'i>, key: &str, example: &str) -> Option<&'r str> {
        if self.is_stand_in(value) {
            return None;
        }
        let text = value.get_ref().as_str();
        if text.is_none() {
            let example = format!("{key} = {example}");
            self.wrong_type(value, key, "a string", &example);
        }
        text
    }

    /// A truth value.
    pub(super) fn boolean(&mut self, value: &Value<'i>, key: &str) -> Option<bool> {
        let truth = value.get_ref().as_bool();
        if truth.is_none() {
            self.wrong_type(value, key, "true or false", &format!("{key} = true, without quotes"));
        }
        truth
    }

    /// A whole number of 32 bits. The rules check its range further.
    pub(super) fn number(&mut self, value: &Value<'i>, key: &str, highest: u32) -> Option<u32> {
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(value, key, "a whole number", &format!("{key} = 16, without quotes"));
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number <= highest);
        if number.is_none() {
            let fault = Fault::new(value.span(), format!("`{key}` is out of range"))
                .label(format!("must be 0 to {highest}"));
            self.report(fault);
        }
        number
    }

    /// A value that is written as a string.
    pub(super) fn parsed<T>(&mut self, value: &Value<'i>, key: &str, example: &str) -> Option<T>
    where
        T: FromStr<Err = TextError>,
    {
        let text = self.string(value, key, example)?;
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let TextError { message, expected } = error;
                let label = format!("not what `{key}` takes");
                self.report(
                    Fault::new(value.span(), message)
                        .label(label)
                        .help(format!("expected {expected}")),
                );
                None
            }
        }
    }

    /// A list of values that are written as strings, each with its span; `None` for those that are wrong.
    pub(super) fn list<'r>(
        &mut self,
        value: &'r Value<'i>,
        key: &str,
        example: &str,
    ) -> Option<impl Iterator<Item = &'r Value<'i>> + use<'r, 'i>> {
        match value.get_ref() {
            DeValue::Array(array) => Some(array.iter()),
            _ => {
                self.wrong_type(value, key, "a list", &format!("{key} = [{example}], with brackets"));
                None
            }
        }
    }

    /// A table.
    pub(super) fn table<'r>(
        &mut self,
        value: &'r Value<'i>,
        key: &str,
        shape: &'static Shape,
    ) -> Option<Section<'r, 'i>> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(value, key, "a table", shape.example);
            return None;
        };
        let section = Section {
            table,
            shape,
            header: value.span(),
        };
        self.unknown_keys(&section);
        Some(section)
    }

    /// Tables that may come several times, as `[[key]]`.
    pub(super) fn tables<'r>(
        &mut self,
        value: &'r Value<'i>,
        key: &str,
        shape: &'static Shape,
    ) -> Vec<Option<Section<'r, 'i>>> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| self.table(item, key, shape)).collect(),
            DeValue::Table(_) => {
                let message = format!("`{key}` is a list of tables, and this is one table");
                let fault = Fault::new(value.span(), message)
                    .label("two brackets expected")
                    .help(format!("write {}", shape.example));
                self.report(fault);
                // Its own faults are worth knowing all the same.
                vec![self.table(value, key, shape)]
            }
            _ => {
                self.wrong_type(value, key, "a list of tables", shape.example);
                Vec::new()
            }
        }
    }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Lines(
            text.bytes()
                .enumerate()
                .filter(|(_, byte)| *byte == b'\n')
                .map(|(at, _)| at + 1)
                .collect(),
        )
    }

    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|begin| *begin <= offset)
    }
}

fn syntax_fault(span: Span, message: &str) -> Fault {
    let help = match message {
        _ if message.contains("duplicate key") => Some("take one of the two out"),
        _ if message.contains("string values must be quoted") => Some("put the value in quotes"),
        _ => None,
    };
    let fault = Fault::new(span, format!("this is not TOML: {message}"));
    match help {
        Some(help) => fault.help(help),
        None => fault,
    }
}

fn type_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What an unknown key may have been meant to be.
fn suggestion(name: &str, shape: &Shape) -> String {
    if let Some(key) = nearest(name, shape.keys) {
        return format!("did you mean `{key}`?");
    }
    if let Some(other) = SHAPES.iter().find(|other| other.keys.contains(&name)) {
        return format!("`{name}` belongs in {}", other.name);
    }
    let keys: Vec<String> = shape.keys.iter().map(|key| format!("`{key}`")).collect();
    format!("known keys are {}", keys.join(", "))
}

/// The key that is a few typing errors away.
fn nearest(name: &str, keys: &[&'static str]) -> Option<&'static str> {
    const LONGEST: usize = 40;
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_lowercase().replace('-', "_");
    let distance = |key: &str| strsim::damerau_levenshtein(&name, key);
    let key = keys.iter().copied().min_by_key(|key| distance(key))?;
    (distance(key) <= (key.len() / 3).max(1)).then_some(key)
}
