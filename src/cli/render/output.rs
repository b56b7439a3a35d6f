//! The one place that writes to the terminal: data to standard output, messages to standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::cli::{CliError, LogFormat};
use crate::model::{is_invisible, push_escaped};

/// The format of data.
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

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum ColorChoice {
    /// If standard output is a terminal and neither `NO_COLOR` nor `CLICOLOR=0` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where a command writes, and in which format.
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
    /// Determines format and colour from the options and the environment.
    #[must_use]
    pub fn new(format: Format, choice: ColorChoice, no_color: bool, clicolor_off: bool) -> Self {
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !no_color && !clicolor_off && io::stdout().is_terminal(),
        };
        Self { format, color }
    }

    /// The requested format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether to colour.
    #[must_use]
    pub fn color(&self) -> bool {
        self.color
    }

    /// `text` in a colour, if colours are enabled.
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

    /// Prints data: `value` as JSON or YAML, or the text that `table` makes of it.
    ///
    /// # Errors
    /// If standard output cannot be written (a closed pipe is not an error).
    pub fn data<T: Serialize>(&self, value: &T, table: impl FnOnce(&T) -> String) -> Result<(), CliError> {
        let mut text = match self.format {
            Format::Table => harmless(&table(value)),
            Format::Json => json(value)?,
            Format::Yaml => {
                let text = serde_saphyr::to_string(value)
                    .map_err(|error| CliError::caused("cannot write the answer as YAML", &error))?;
                // Only quoted text can have escapes; JSON, which is also YAML, quotes everything.
                if text.contains(is_invisible) { json(value)? } else { text }
            }
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        self.text(&text)
    }

    /// Prints text to standard output.
    ///
    /// # Errors
    /// If standard output cannot be written (a closed pipe is not an error).
    pub fn text(&self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::caused("cannot write to standard output", &error))
            }
            _ => Ok(()),
        }
    }

    /// Prints a message to standard error; if that fails, there is nowhere to report it.
    pub fn message(&self, text: &str) {
        let mut err = io::stderr().lock();
        drop(writeln!(err, "{}", harmless(text)));
    }
}

/// A value as JSON without invisible characters: these can only be in strings, where an escape means the same.
fn json<T: Serialize>(value: &T) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::caused("cannot write the answer as JSON", &error))?;
    Ok(escaped_json(&text))
}

fn escaped_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_invisible(c) {
            true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}"))),
            false => shown.push(c),
        }
    }
    shown
}

/// Text for a terminal: text from outside (names of authors and files, titles, answers of servers, content in a diff)
/// must not control it, and must be fully visible. Only line breaks, tabs and colours are kept.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_harmful) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = color_code(rest).or_else(|| rest.starts_with("\r\n").then_some(2));
        match length {
            Some(length) => out.push_str(&rest[..length]),
            None => rest.chars().take(1).for_each(|c| push_escaped(&mut out, c)),
        }
        rest = &rest[length.unwrap_or_else(|| rest.chars().next().map_or(0, char::len_utf8))..];
    }
    out.push_str(rest);
    out
}

fn is_harmful(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t')) || is_invisible(c)
}

/// The length of the colour code at the start of the text: `ESC [ digits and semicolons m`.
fn color_code(text: &str) -> Option<usize> {
    let code = text.strip_prefix("\u{1b}[")?;
    let end = code.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
    code[end..].starts_with('m').then_some("\u{1b}[".len() + end + 1)
}

/// Standard error for log lines: text from outside cannot control the terminal or hide anything.
#[derive(Debug)]
pub(in crate::cli) struct LogWriter(pub(in crate::cli) LogFormat);

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let shown = match self.0 {
            LogFormat::Text => harmless(&text),
            LogFormat::Json => escaped_json(&text),
        };
        io::stderr().lock().write_all(shown.as_bytes()).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::{harmless, json};

    #[test]
    fn json_hides_nothing_and_means_the_same() {
        let value = serde_json::json!({ "na\u{200b}me": "gnp.\u{202e}exe \u{e0041}" });
        let text = json(&value).unwrap();
        assert!(text.is_ascii(), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn text_from_outside_does_not_drive_the_terminal() {
        for (text, shown) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\u{1b}[32m✔\u{1b}[0m \u{1b}[1;31mx", "\u{1b}[32m✔\u{1b}[0m \u{1b}[1;31mx"),
            ("a\u{1b}]0;title\u{7}b", r"a\u{1b}]0;title\u{7}b"),
            ("a\u{1b}[2Jb\u{1b}[", r"a\u{1b}[2Jb\u{1b}["),
            ("two\r\nlines", "two\r\nlines"),
            ("over\rwritten\u{9b}31m", r"over\u{d}written\u{9b}31m"),
            ("gnp.\u{202e}exe", r"gnp.\u{202e}exe"),
            ("z\u{200b}ero\u{2028}width", r"z\u{200b}ero\u{2028}width"),
        ] {
            assert_eq!(harmless(text), shown, "{text:?}");
        }
    }
}
