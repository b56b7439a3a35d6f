//! Cron schedules in a time zone, and recurring windows that start with one.
//!
//! Patterns have five fields (minute, hour, day of month, month, day of week; Sunday is 0 or 7) or are a nickname such
//! as `@daily`, and mean what they mean in `cron`: if both day fields are restricted, either is enough. A time that a
//! clock change skips runs at the change, and one that it repeats runs once. A window ends when the wall clock of its
//! zone has advanced by its duration: from 22:00 for 8h lasts until 06:00 on every night of the year.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;

/// Maximum length of a pattern.
const MAX_PATTERN: usize = 200;
/// How many overlapping or adjacent windows are joined; anything open for longer counts as always open.
const MAX_JOINED: usize = 50;
/// Where the search for a first occurrence starts when a pattern is checked: any fixed day will do.
const CHECKED_FROM: Timestamp = Timestamp::constant(1_735_689_600, 0);

/// Why a schedule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a cron schedule: {reason}", pattern.escape_debug())]
pub struct ScheduleError {
    /// The pattern, shortened.
    pub pattern: String,
    /// The rule it breaks.
    pub reason: String,
}

/// A cron pattern in a time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pattern: String,
    cron: Box<Cron>,
    zone: TimeZone,
}

impl Schedule {
    /// Parses a five-field cron pattern.
    ///
    /// # Errors
    /// If it is not a pattern, has a field for seconds or years, or never occurs (`0 0 30 2 *`).
    pub fn parse(pattern: &str, zone: TimeZone) -> Result<Self, ScheduleError> {
        let bad = |reason: String| ScheduleError { pattern: pattern.chars().take(MAX_PATTERN).collect(), reason };
        if pattern.len() > MAX_PATTERN || !pattern.is_ascii() {
            return Err(bad(format!("it is longer than {MAX_PATTERN} characters or not ASCII")));
        }
        let fields = pattern.split_ascii_whitespace().count();
        if !pattern.trim().starts_with('@') && fields != 5 {
            return Err(bad(format!(
                "it has {fields} fields instead of 5 (minute, hour, day of month, month, day of week)"
            )));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(pattern).map_err(|error| bad(plain(&error)))?;
        if cron.find_next_occurrence(&CHECKED_FROM.to_zoned(zone.clone()), true).is_err() {
            return Err(bad("it never occurs".to_owned()));
        }
        Ok(Self { pattern: pattern.trim().to_owned(), cron: Box::new(cron), zone })
    }

    /// The first occurrence after `after`.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.cron.find_next_occurrence(&after.to_zoned(self.zone.clone()), false).ok().map(|time| time.timestamp())
    }

    /// The last occurrence at or before `at`.
    #[must_use]
    pub fn previous(&self, at: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_previous_occurrence(&at.to_zoned(self.zone.clone()), true).ok()?.timestamp();
        (found <= at).then_some(found)
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// The time zone's name; `UTC` by default.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

/// The parser's message without its type names.
fn plain(error: &croner::errors::CronError) -> String {
    use croner::errors::CronError as E;
    match error {
        E::EmptyPattern => "it is empty".to_owned(),
        E::InvalidPattern(text) | E::IllegalCharacters(text) | E::ComponentError(text) => {
            let text = text.trim_end_matches('.');
            let first = text.chars().next().map(|c| c.to_ascii_lowercase());
            first.into_iter().chain(text.chars().skip(1)).collect()
        }
        other => other.to_string().trim_end_matches('.').to_owned(),
    }
}

/// What a window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WindowKind {
    /// Updates may be written while it is open.
    Allow,
    /// Nothing is written while it is open, whatever other windows allow.
    Deny,
}

/// A recurring span of time in which updates may, or may not, be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// What it does.
    pub kind: WindowKind,
    /// When it opens.
    pub opens: Schedule,
    /// How long it stays open, by the wall clock.
    pub duration: Duration,
}

/// Whether a window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// Open. Overlapping and adjacent occurrences are joined.
    Open {
        /// The first moment at which it is closed.
        until: Timestamp,
    },
    /// Closed.
    Closed {
        /// The first moment at which it is open again, if known.
        opens: Option<Timestamp>,
    },
}

impl Window {
    /// Whether the window is open at `now`. It is open at its first moment and closed at its last one.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> WindowState {
        let open = self.opens.previous(now).and_then(|start| self.end(start)).filter(|until| *until > now);
        let Some(mut until) = open else {
            return WindowState::Closed { opens: self.opens.next(now) };
        };
        let mut start = now;
        for _ in 0..MAX_JOINED {
            match self.opens.next(start).filter(|next| *next <= until).and_then(|next| Some((next, self.end(next)?))) {
                Some((next, end)) => {
                    start = next;
                    until = until.max(end);
                }
                None => break,
            }
        }
        WindowState::Open { until }
    }

    fn end(&self, start: Timestamp) -> Option<Timestamp> {
        let zone = &self.opens.zone;
        let wall = zone.to_datetime(start).checked_add(self.duration).ok()?;
        let end = zone.to_timestamp(wall).ok()?;
        // An hour that occurs twice: in its second half, the same time of day is in the past.
        if end > start { Some(end) } else { start.checked_add(self.duration).ok() }
    }
}

/// The combined state of several windows: one open `allow` window is enough to allow, one open `deny` window is enough
/// to forbid. Without `allow` windows, it is open unless one denies.
#[must_use]
pub fn windows_state(windows: &[Window], now: Timestamp) -> WindowState {
    let denied_until = |at: Timestamp| {
        let open = of(windows, WindowKind::Deny).filter_map(|window| match window.state(at) {
            WindowState::Open { until } => Some(until),
            WindowState::Closed { .. } => None,
        });
        open.max()
    };
    if denied_until(now).is_none()
        && let WindowState::Open { until } = allowed(windows, now)
    {
        let denies = of(windows, WindowKind::Deny).filter_map(|window| window.opens.next(now)).min();
        return WindowState::Open { until: denies.map_or(until, |denies| denies.min(until)) };
    }
    // Moves from one edge to the next until neither side objects.
    let mut at = now;
    for _ in 0..MAX_JOINED {
        if let Some(until) = denied_until(at) {
            at = until;
            continue;
        }
        match allowed(windows, at) {
            WindowState::Open { .. } => return WindowState::Closed { opens: Some(at) },
            WindowState::Closed { opens: Some(opens) } => at = opens,
            WindowState::Closed { opens: None } => break,
        }
    }
    WindowState::Closed { opens: None }
}

/// A moment in local time: in the zone of the first `allow` window, otherwise of the first window.
#[must_use]
pub fn local(windows: &[Window], at: Timestamp) -> String {
    let first = of(windows, WindowKind::Allow).next().or(windows.first());
    let zone = first.map_or(TimeZone::UTC, |window| window.opens.zone.clone());
    let name = zone.iana_name().unwrap_or("UTC").to_owned();
    format!("{} {name}", at.to_zoned(zone).strftime("%Y-%m-%d %H:%M"))
}

fn of(windows: &[Window], kind: WindowKind) -> impl Iterator<Item = &Window> {
    windows.iter().filter(move |window| window.kind == kind)
}

/// The combined state of the `allow` windows.
fn allowed(windows: &[Window], now: Timestamp) -> WindowState {
    let mut until: Option<Timestamp> = None;
    let mut opens: Option<Timestamp> = None;
    for window in of(windows, WindowKind::Allow) {
        match window.state(now) {
            WindowState::Open { until: end } => until = until.max(Some(end)),
            WindowState::Closed { opens: Some(at) } => opens = Some(opens.map_or(at, |other| other.min(at))),
            WindowState::Closed { opens: None } => {}
        }
    }
    match until {
        Some(until) => WindowState::Open { until },
        None if of(windows, WindowKind::Allow).next().is_none() => WindowState::Open { until: Timestamp::MAX },
        None => WindowState::Closed { opens },
    }
}

#[cfg(test)]
mod tests;
