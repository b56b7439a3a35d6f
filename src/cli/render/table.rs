//! Tables for people: columns aligned with spaces, without lines, like those of `kubectl`.
//!
//! Promise: a table fits the terminal. If it is too wide, text wraps between words; if that is not enough, each row
//! becomes a paragraph with one line per column. No word is ever cut. When piped, there is no width limit, and every
//! row is one line.

use std::io::{self, IsTerminal as _};

use unicode_width::UnicodeWidthStr as _;

/// Spaces between two columns.
const GAP: usize = 2;
/// The minimum width assumed for a terminal.
const NARROWEST: usize = 20;

/// A table no wider than the terminal.
#[must_use]
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    fitted(head, &rows.into_iter().collect::<Vec<_>>(), terminal_width())
}

/// The width of the terminal: `COLUMNS`, otherwise the terminal's own report. Without a terminal, lines are not
/// limited.
fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    #[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    columns.or_else(asked).filter(|width| *width > 0)
}

fn fitted(head: &[&str], rows: &[Vec<String>], width: Option<usize>) -> String {
    let natural = widths(head, rows, shown_width);
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    let Some(room) = width.map(|width| width.max(NARROWEST)).filter(|width| total(&natural) > *width) else {
        return aligned(head, rows, &natural);
    };
    let least = widths(head, rows, longest_word);
    match total(&least) <= room {
        true => aligned(head, rows, &shared_out(&natural, &least, room - total(&least))),
        false => paragraphs(head, rows),
    }
}

/// The maximum width of each column.
fn widths(head: &[&str], rows: &[Vec<String>], of: impl Fn(&str) -> usize) -> Vec<usize> {
    let mut widths: Vec<usize> = head.iter().map(|title| shown_width(title)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = of(cell).max(*width);
        }
    }
    widths
}

/// Minimum widths, plus a share of the remaining space for columns that need more; the smallest need is met first.
fn shared_out(natural: &[usize], least: &[usize], mut spare: usize) -> Vec<usize> {
    let mut widths = least.to_vec();
    let mut order: Vec<usize> = (0..widths.len()).collect();
    order.sort_by_key(|at| natural[*at] - least[*at]);
    for (nth, at) in order.iter().enumerate() {
        let share = (natural[*at] - least[*at]).min(spare / (order.len() - nth));
        widths[*at] += share;
        spare -= share;
    }
    widths
}

fn aligned(head: &[&str], rows: &[Vec<String>], widths: &[usize]) -> String {
    let mut text = String::new();
    let head: Vec<String> = head.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let cells: Vec<Vec<String>> = row.iter().zip(widths).map(|(cell, width)| wrapped(cell, *width)).collect();
        for line in 0..cells.iter().map(Vec::len).max().unwrap_or_default() {
            let mut out = String::new();
            for (cell, width) in cells.iter().zip(widths) {
                let part = cell.get(line).map_or("", String::as_str);
                out.push_str(part);
                out.push_str(&" ".repeat((width + GAP).saturating_sub(shown_width(part))));
            }
            text.push_str(out.trim_end());
            text.push('\n');
        }
    }
    text
}

/// Each row as a paragraph: its first column, then one line per other column.
fn paragraphs(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    let widest = head.iter().skip(1).map(|title| shown_width(title)).max().unwrap_or_default();
    for row in rows {
        for (nth, (title, cell)) in head.iter().zip(row).enumerate() {
            let gap = " ".repeat(widest.saturating_sub(shown_width(title)) + GAP);
            text.push_str(&if nth == 0 { format!("{cell}\n") } else { format!("  {title}{gap}{cell}\n") });
        }
    }
    text
}

/// A cell split into lines of at most this width, except for longer words.
fn wrapped(cell: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in cell.split('\n') {
        if shown_width(line) <= width {
            lines.push(line.to_owned());
            continue;
        }
        let mut part = String::new();
        for word in line.split(' ') {
            if !part.is_empty() && shown_width(&part) + 1 + shown_width(word) > width {
                lines.push(std::mem::take(&mut part));
            }
            if !part.is_empty() {
                part.push(' ');
            }
            part.push_str(word);
        }
        lines.push(part);
    }
    lines
}

fn longest_word(cell: &str) -> usize {
    cell.split([' ', '\n']).map(shown_width).max().unwrap_or_default()
}

/// The width of a text on a terminal; colours take no space.
fn shown_width(text: &str) -> usize {
    let mut width = 0;
    for (nth, part) in text.split("\u{1b}[").enumerate() {
        let shown = if nth == 0 { part } else { part.split_once('m').map_or(part, |(_, shown)| shown) };
        width += shown.width();
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        vec![
            row(["ok", "repository deploys", "28 pins, 1 policy"]),
            row(["\u{1b}[31mfailed\u{1b}[0m", "registry docker.io", "the address cannot be resolved just now"]),
        ]
    }

    #[test]
    fn a_table_that_is_too_wide_wraps_between_words() {
        let head = ["STATUS", "WHAT", "MESSAGE"];
        let wide = fitted(&head, &rows(), None);
        assert_eq!(wide, fitted(&head, &rows(), Some(200)));
        assert_eq!(wide.lines().count(), 3, "{wide}");
        for width in [70, 60, 50, 45] {
            let text = fitted(&head, &rows(), Some(width));
            assert!(text.lines().all(|line| shown_width(line) <= width), "{width}: {text}");
            assert!(text.starts_with("STATUS  WHAT"), "{width}: {text}");
            let words = |text: &str| {
                let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
                words.sort();
                words
            };
            assert_eq!(words(&text), words(&wide), "{width}: no word is cut");
        }
    }

    #[test]
    fn what_cannot_fit_is_a_paragraph_for_each_row() {
        let text = fitted(&["APP", "dev (eu-1)", "prod"], &rows(), Some(20));
        assert_eq!(
            text,
            "ok\n  dev (eu-1)  repository deploys\n  prod        28 pins, 1 policy\n\
             \u{1b}[31mfailed\u{1b}[0m\n  dev (eu-1)  registry docker.io\n  prod        the address cannot be resolved \
             just now\n"
        );
    }
}
