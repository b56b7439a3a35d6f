//! Badges: an app's version and state in an environment as a small picture.

use super::matrix::Cell;
use super::tone::Tone;

/// What a badge says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Badge {
    /// The left half.
    pub label: String,
    /// The right half.
    pub value: String,
    /// Its colour.
    pub tone: Tone,
}

/// Maximum length of each half, in characters.
const MOST: usize = 60;

impl Badge {
    /// The badge of a cell.
    #[must_use]
    pub fn of(environment: &str, cell: &Cell) -> Self {
        let value = format!("{} {}", cell.version, cell.word);
        Self { label: environment.to_owned(), value, tone: cell.tone }
    }

    /// The badge of something that is not there.
    #[must_use]
    pub fn unknown(environment: &str) -> Self {
        Self { label: environment.to_owned(), value: "unknown".to_owned(), tone: Tone::Unknown }
    }
}

/// The picture, as SVG without anything from outside it.
#[must_use]
pub fn badge(badge: &Badge) -> String {
    let (label, value) = (cut(&badge.label), cut(&badge.value));
    let (left, right) = (width(&label), width(&value));
    let all = left + right;
    let colour = match badge.tone {
        Tone::Bad => "#b3261e",
        Tone::Warn => "#8a5a00",
        Tone::Busy => "#1a5fb4",
        Tone::Unknown => "#6b4a9e",
        Tone::Quiet => "#59636e",
        Tone::Good => "#1a7f37",
    };
    let (at, beyond) = (left / 2, left + right / 2);
    let (label, value) = (escaped(&label), escaped(&value));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{all}\" height=\"20\" role=\"img\" aria-label=\"{label}: {value}\">\
         <title>{label}: {value}</title><rect width=\"{all}\" height=\"20\" rx=\"4\" fill=\"#3b434b\"/>\
         <path d=\"M{left} 0h{inner}a4 4 0 0 1 4 4v12a4 4 0 0 1-4 4h-{inner}z\" fill=\"{colour}\"/>\
         <g fill=\"#fff\" text-anchor=\"middle\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">\
         <text x=\"{at}\" y=\"14\">{label}</text><text x=\"{beyond}\" y=\"14\">{value}</text></g></svg>\n",
        inner = right.saturating_sub(4),
    )
}

fn cut(text: &str) -> String {
    let shown = crate::model::visible(text);
    match shown.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown.into_owned(),
    }
}

/// The width of a half: about seven pixels a character, and a margin.
fn width(text: &str) -> usize {
    text.chars().count() * 7 + 12
}

fn escaped(text: &str) -> String {
    maud::html! { (text) }.into_string()
}
