//! Parts that several pages share.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::page::facts::Facts;
use crate::page::filter::{RowFilter, encoded};
use crate::page::matrix::{Banner, BannerKind};
use crate::page::tone::Tone;

use super::machine;

/// The address of an app's page.
pub(super) fn app_href(repository: &str, app: &str) -> String {
    format!("/apps/{}/{}", encoded(repository), encoded(app))
}

/// A state: its mark, and its word.
pub(super) fn state(tone: Tone, word: &str) -> Markup {
    html! {
        span class={ "state " (tone.as_str()) } { span.mark aria-hidden="true" { (tone.mark()) } (word) }
    }
}

/// A duration in its largest unit.
pub(super) fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// How long ago, as an element that says the exact time to who asks for it.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let exact = machine(at);
    html! { time datetime=(exact) title=(exact) data-ago { (span(now.duration_since(at).as_secs())) } }
}

/// A time to come: `in 3 h`.
pub(super) fn until(at: Timestamp, now: Timestamp) -> Markup {
    let exact = machine(at);
    let left = at.duration_since(now).as_secs();
    html! {
        time datetime=(exact) title=(exact) {
            @if left >= 0 { "in " (span(left)) } @else { (span(-left)) " ago" }
        }
    }
}

/// A point in time.
pub(super) fn point(at: Timestamp) -> Markup {
    let exact = machine(at);
    let shown = exact.trim_end_matches('Z').replace('T', " ");
    html! { time datetime=(exact) { (shown) } }
}

/// A pull request: a link where it leads to the repository's forge, and its text otherwise.
pub(super) fn pull_request(facts: &Facts<'_>, repository: &str, address: &str) -> Markup {
    let number = address.rsplit('/').next().filter(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    match (facts.linked(repository, address), number) {
        (true, Some(number)) => html! { a href=(address) rel="noreferrer" { "pull request #" (number) } },
        (true, None) => html! { a href=(address) rel="noreferrer" { "pull request" } },
        (false, _) => html! { span.address { (address) } },
    }
}

/// A commit: a link to its page where the forge has one.
pub(super) fn commit(facts: &Facts<'_>, repository: &str, id: &str) -> Markup {
    let short = id.get(..7).unwrap_or(id);
    match facts.commit_link(repository, id) {
        Some(address) => html! { a.mono href=(address) rel="noreferrer" { (short) } },
        None => html! { span.mono title=(id) { (short) } },
    }
}

/// A command to copy. The button is put beside it by the script.
pub(super) fn command(text: &str) -> Markup {
    html! { code.command data-copy { (text) } }
}

/// Freezes and holds in force.
pub(super) fn banners(facts: &Facts<'_>, banners: &[Banner]) -> Markup {
    let now = facts.now;
    html! {
        @if !banners.is_empty() {
            section.banners aria-label="Freezes and holds" {
                @for it in banners {
                    @let (class, heading) = match it.kind {
                        BannerKind::Freeze => ("banner freeze", "Frozen: "),
                        BannerKind::Hold => ("banner hold", "Held: "),
                    };
                    details class=(class) {
                        summary {
                            strong { (heading) }
                            (it.what)
                            @if it.kind == BannerKind::Hold { @if let Some(environment) = &it.environment { " in " (environment) } }
                            @if facts.repositories.len() > 1 { " (" (it.repository) ")" }
                            ": " (it.reason)
                            span.dim {
                                " · " (it.by) " · "
                                @match it.until { Some(at) => { "ends " (until(at, now)) } None => "until somebody ends it" }
                            }
                        }
                        p { "Written in " code { (it.file) } ". To end it:" }
                        (command(&it.command))
                    }
                }
            }
        }
    }
}

/// What could not be read.
pub(super) fn problems(problems: &[String]) -> Markup {
    html! {
        @if !problems.is_empty() {
            section.problems aria-label="Problems" {
                h2 { "Not everything can be read" }
                ul { @for problem in problems { li { (problem) } } }
            }
        }
    }
}

/// Who works for what, where several replicas share the repositories.
pub(super) fn notes(notes: &[String]) -> Markup {
    html! {
        @if !notes.is_empty() {
            section.notes aria-label="Other replicas" {
                ul.plain { @for note in notes { li { (note) } } }
            }
        }
    }
}

/// The form with which lists are filtered; it works without the script.
pub(super) fn filter_form(facts: &Facts<'_>, action: &str, filter: &RowFilter, states: bool) -> Markup {
    let environments = crate::page::matrix::environments(facts);
    let repositories: Vec<&str> = facts.repositories.keys().copied().collect();
    let mut chosen = vec!["attention", "late"];
    chosen.extend(["stuck", "pending", "paused", "rolled-back", "drifted", "unknown", "orphan", "landed"]);
    let select = |name: &str, label: &str, value: &str, options: &[&str]| {
        html! {
            label { span { (label) }
                select name=(name) {
                    option value="" { "all" }
                    @for option in options { option value=(option) selected[*option == value] { (option) } }
                    @if !value.is_empty() && !options.contains(&value) { option value=(value) selected { (value) } }
                }
            }
        }
    };
    html! {
        form.filter role="search" method="get" action=(action) {
            label.grow { span { "Search" }
                input type="search" name="q" value=(filter.q) placeholder="app, image or version" autocomplete="off" maxlength="200";
            }
            @if repositories.len() > 1 || !filter.repository.is_empty() {
                (select("repository", "Repository", &filter.repository, &repositories))
            }
            (select("environment", "Environment", &filter.environment, &environments))
            @if states { (select("state", "State", &filter.state, &chosen)) }
            @for (name, value) in [("app", &filter.app), ("image", &filter.image), ("cluster", &filter.cluster)] {
                @if !value.is_empty() {
                    label { span { (name) } input name=(name) value=(value); }
                }
            }
            button type="submit" { "Filter" }
            @if !filter.is_empty() { a.clear href=(action) { "Clear" } }
        }
    }
}
