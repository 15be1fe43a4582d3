//! Values of the types that a configuration has, with faults for those of others.

use std::str::FromStr;

use toml::de::DeValue;

use super::section::{Reader, Section, Span, Value};
use super::shapes::Shape;
use crate::config::fault::Fault;
use crate::config::text::TextError;

impl<'i> Reader<'i> {
    fn wrong_type(&mut self, value: &Value<'i>, key: &str, expected: &str, example: &str) {
        if self.is_stand_in(value) {
            return;
        }
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

    /// A whole number up to `highest`; `expected` and `example` say which ones are right.
    pub(super) fn number(
        &mut self,
        value: &Value<'i>,
        key: &str,
        highest: u32,
        (expected, example): (&str, &str),
    ) -> Option<u32> {
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(value, key, "a whole number", &format!("{key} = {example}, without quotes"));
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number <= highest);
        if number.is_none() {
            let fault = Fault::new(value.span(), format!("`{key}` is out of range"))
                .label("out of range")
                .help(format!("write {expected}, as in {key} = {example}"));
            self.report(fault);
        }
        number
    }

    /// A value that is written as a string.
    pub(super) fn parsed<T>(&mut self, value: &Value<'i>, key: &str, example: &str) -> Option<T>
    where
        T: FromStr<Err = TextError>,
    {
        self.parsed_by(value, key, example, str::parse)
    }

    /// A value that a function reads from a string.
    pub(super) fn parsed_by<T>(
        &mut self,
        value: &Value<'i>,
        key: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, TextError>,
    ) -> Option<T> {
        let text = self.string(value, key, example)?;
        match parse(text) {
            Ok(parsed) => Some(parsed),
            Err(TextError {
                message,
                part,
                expected,
            }) => {
                let span = self.part(value.span(), &part);
                let fault = Fault::new(span, message)
                    .label(format!("not what `{key}` takes"))
                    .help(format!("expected {expected}"));
                self.report(fault);
                None
            }
        }
    }

    /// Where a part of a string is, if it is there as it stands and only once; else the whole string.
    fn part(&self, whole: Span, part: &str) -> Span {
        let written = self.text.get(whole.clone()).unwrap_or_default();
        match written.find(part) {
            Some(at) if !part.is_empty() && written.rfind(part) == Some(at) => {
                whole.start + at..whole.start + at + part.len()
            }
            _ => whole,
        }
    }

    /// What is written in the file, if it is plain and short enough to repeat.
    pub(super) fn written(&self, value: &Value<'i>) -> Option<&'i str> {
        const LONGEST: usize = 40;
        let plain = |text: &&str| text.len() <= LONGEST && !text.contains(['"', '\'', '\n', '\\']);
        self.text.get(value.span()).filter(plain)
    }

    /// The elements of a list.
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
            DeValue::Table(_) if !self.has_syntax_faults() => {
                let message = format!("`{key}` is a list of tables, and this is one table");
                let fault = Fault::new(value.span(), message)
                    .label("two brackets expected")
                    .help(format!("write {}", shape.example));
                self.report(fault);
                // Its own faults are worth knowing all the same.
                vec![self.table(value, key, shape)]
            }
            DeValue::Table(_) => vec![self.table(value, key, shape)],
            _ => {
                self.wrong_type(value, key, "a list of tables", shape.example);
                Vec::new()
            }
        }
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
