//! The one place that writes to the terminal: data to standard output, messages to standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::cli::CliError;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: keys are only ever added.
    Json,
    /// The same data as YAML.
    Yaml,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum ColorChoice {
    /// When standard output is a terminal and neither `NO_COLOR` nor `CLICOLOR=0` says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where a command writes and how.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
    color: bool,
}

/// Colours by meaning; each is always accompanied by a word, so nothing is lost without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Done, good.
    Good,
    /// Needs a look.
    Warn,
    /// Failed.
    Bad,
    /// Less important.
    Dim,
    /// More important.
    Bold,
}

impl Output {
    /// Settles format and colour from what was asked and what the environment says.
    #[must_use]
    pub fn new(format: Format, choice: ColorChoice, no_color: bool, clicolor_off: bool) -> Self {
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !no_color && !clicolor_off && io::stdout().is_terminal(),
        };
        Self { format, color }
    }

    /// The format asked for.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether to colour.
    #[must_use]
    pub fn color(&self) -> bool {
        self.color
    }

    /// `text` in a colour, where colours are on.
    #[must_use]
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Good => "32",
            Paint::Warn => "33",
            Paint::Bad => "31",
            Paint::Dim => "2",
            Paint::Bold => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Prints data: JSON or YAML of `value`, or what `table` makes of it.
    ///
    /// # Errors
    /// When standard output cannot be written (a closed pipe is no error).
    pub fn data<T: Serialize>(&self, value: &T, table: impl FnOnce(&T) -> String) -> Result<(), CliError> {
        let mut text = match self.format {
            Format::Table => harmless(&table(value)),
            Format::Json => serde_json::to_string_pretty(value)
                .map_err(|error| CliError::caused("cannot write the answer as JSON", &error))?,
            Format::Yaml => serde_saphyr::to_string(value)
                .map_err(|error| CliError::caused("cannot write the answer as YAML", &error))?,
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        self.text(&text)
    }

    /// Prints text to standard output as it is.
    ///
    /// # Errors
    /// When standard output cannot be written (a closed pipe is no error).
    pub fn text(&self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::caused("cannot write to standard output", &error))
            }
            _ => Ok(()),
        }
    }

    /// A message to standard error; a failure to write it has nowhere to go.
    pub fn message(&self, text: &str) {
        let mut err = io::stderr().lock();
        drop(writeln!(err, "{}", harmless(text)));
    }
}

/// Text for a terminal: what came from outside (names of authors and files, titles, answers of servers, contents in a
/// diff) must not drive it. Only line breaks, tabs and colours get through; text cannot run backwards either.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_harmful) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = color_code(rest).or_else(|| rest.starts_with("\r\n").then_some(2));
        match length {
            Some(length) => out.push_str(&rest[..length]),
            None => out.push('\u{fffd}'),
        }
        rest = &rest[length.unwrap_or_else(|| rest.chars().next().map_or(0, char::len_utf8))..];
    }
    out.push_str(rest);
    out
}

fn is_harmful(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The length of the colour code that the text begins with: `ESC [ digits and semicolons m`.
fn color_code(text: &str) -> Option<usize> {
    let code = text.strip_prefix("\u{1b}[")?;
    let end = code.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
    code[end..].starts_with('m').then_some("\u{1b}[".len() + end + 1)
}

/// A table for people: columns aligned by spaces, no lines, as `kubectl` prints them.
#[must_use]
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 1));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn text_from_outside_does_not_drive_the_terminal() {
        for (text, shown) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\u{1b}[32m✔\u{1b}[0m \u{1b}[1;31mx", "\u{1b}[32m✔\u{1b}[0m \u{1b}[1;31mx"),
            ("a\u{1b}]0;title\u{7}b", "a\u{fffd}]0;title\u{fffd}b"),
            ("a\u{1b}[2Jb\u{1b}[", "a\u{fffd}[2Jb\u{fffd}["),
            ("two\r\nlines", "two\r\nlines"),
            ("over\rwritten\u{9b}31m", "over\u{fffd}written\u{fffd}31m"),
            ("gnp.\u{202e}exe", "gnp.\u{fffd}exe"),
        ] {
            assert_eq!(harmless(text), shown, "{text:?}");
        }
    }
}
