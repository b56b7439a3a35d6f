//! Lists: what waits, incidents, the timeline, sources.

use maud::{Markup, html};

use crate::model::Severity;
use crate::page::chronicle::{EventKind, PageEvent, Timeline};
use crate::page::facts::Facts;
use crate::page::filter::RowFilter;
use crate::page::incidents::{IncidentView, IncidentsView};
use crate::page::matrix::Matrix;
use crate::page::sources::{SourceKind, SourceView, Sources};
use crate::page::tone::{Tone, spaced};
use crate::page::waits::{WaitView, Waits, by_party};

use super::parts::{ago, app_href, banners, command, commit, filter_form, point, pull_request, state, until};
use super::{Section, document};

/// The page with what waits.
#[must_use]
pub fn waits_page(facts: &Facts<'_>, matrix: &Matrix, waits: &Waits, filter: &RowFilter) -> String {
    let main = html! {
        h1 { "Waiting" }
        p.lead { "Every update that is not in Git yet, and what it is waiting for." }
        (banners(facts, &matrix.banners))
        (filter_form(facts, "/waiting", filter, false))
        @if waits.waits.is_empty() {
            div.empty { h2 { "Nothing waits" } p { "Every version that the policies select is in Git." } }
        }
        @for (party, waits) in by_party(waits) {
            section {
                h2 { "Waiting " (party.as_words()) " " span.count { (waits.len()) } }
                (wait_list(facts, &waits))
            }
        }
    };
    document(facts, "Waiting", Some(Section::Waiting), &main)
}

pub(super) fn wait_list(facts: &Facts<'_>, waits: &[&WaitView]) -> Markup {
    html! {
        ul.list {
            @for wait in waits {
                li class={ "item " (wait.tone.as_str()) } {
                    div.head {
                        a.subject href=(app_href(&wait.repository, &wait.app)) { (wait.app) }
                        @if let Some(environment) = &wait.environment { span.environment { (environment) } }
                        span.version { @if let Some(from) = &wait.from { (from) " → " } (wait.to) }
                        (state(wait.tone, &gate_word(wait)))
                        @if let Some(since) = wait.since { span.dim { "for " (ago(since, facts.now)) } }
                        @if let Some(at) = wait.until { span.dim { "opens " (until(at, facts.now)) } }
                        @if let Some(address) = &wait.pull_request { (pull_request(facts, &wait.repository, address)) }
                    }
                    p { (wait.reason) }
                    @if !wait.next.is_empty() { p.dim { "Next: " (wait.next) } }
                    @if let Some(text) = &wait.command { (command(text)) }
                }
            }
        }
    }
}

/// What keeps an update, in a word or two.
fn gate_word(wait: &WaitView) -> String {
    match wait.gate {
        Some("approval") | None => wait.word.clone(),
        Some(gate) => spaced(gate),
    }
}

/// The page with the incidents.
#[must_use]
pub fn incidents_page(facts: &Facts<'_>, view: &IncidentsView, filter: &RowFilter) -> String {
    let main = html! {
        h1 { "Incidents" }
        p.lead { "Updates that did not land in time or need somebody's help. An incident resolves itself once its cause is gone." }
        (filter_form(facts, "/incidents", filter, false))
        @if view.incidents.is_empty() {
            div.empty { h2 { "No open incident" } p { "Everything that should have landed has." } }
        } @else {
            (incident_list(facts, &view.incidents))
        }
    };
    document(facts, "Incidents", Some(Section::Incidents), &main)
}

pub(super) fn incident_list(facts: &Facts<'_>, incidents: &[IncidentView]) -> Markup {
    html! {
        ul.list {
            @for it in incidents {
                @let tone = severity(it.severity);
                li class={ "item " (tone.as_str()) } id=(it.id) {
                    div.head {
                        a.subject href=(app_href(&it.repository, &it.app)) { (it.app) }
                        @if let Some(environment) = &it.environment { span.environment { (environment) } }
                        span.version { (it.version) }
                        (state(tone, it.severity.as_str()))
                        span {
                            (spaced(&it.state.to_string()))
                            @if let Some(code) = it.code.map(|code| code.to_string()).filter(|code| *code != it.state.to_string()) { ": " (spaced(&code)) }
                        }
                        span.dim { "for " (ago(it.since, facts.now)) }
                        @if it.oscillating { span.dim { "keeps landing and failing" } }
                    }
                    p { (it.cause) }
                    @if !it.evidence.is_empty() { ul.plain { @for line in &it.evidence { li.evidence { (line) } } } }
                    @if !it.next.is_empty() { p { strong { "Next: " } (it.next) } }
                    p.dim {
                        @if let Some(cluster) = &it.cluster { "on " (cluster) " · " }
                        (it.image)
                        @if let Some(deadline) = it.deadline { " · deadline " (point(deadline)) }
                        @if it.overlays > 1 { " · in " (it.overlays) " overlays" }
                        " · notified " (it.told) @if it.told == 1 { " time" } @else { " times" }
                        @if let Some(id) = &it.commit { " · " (commit(facts, &it.repository, id)) }
                        @if let Some(address) = &it.pull_request { " · " (pull_request(facts, &it.repository, address)) }
                    }
                }
            }
        }
    }
}

fn severity(severity: Severity) -> Tone {
    match severity {
        Severity::Critical | Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Warn,
        Severity::Info => Tone::Busy,
    }
}

/// The page with the timeline.
#[must_use]
pub fn timeline_page(facts: &Facts<'_>, timeline: &Timeline, filter: &RowFilter) -> String {
    let main = html! {
        h1 { "Timeline" }
        p.lead {
            "Versions, landings and problems that the bot has seen, newest first. "
            code { "landfall history" } " has every version that Git ever declared."
        }
        (filter_form(facts, "/timeline", filter, false))
        @if timeline.events.is_empty() {
            div.empty { h2 { "Nothing has happened yet" } p { "Nothing that matches is declared, waits or runs." } }
        } @else {
            (event_list(facts, &timeline.events))
            @if timeline.cut { p.dim { "Older events are not shown; use the filter to find them." } }
        }
    };
    document(facts, "Timeline", Some(Section::Timeline), &main)
}

/// Events by day.
pub(super) fn event_list(facts: &Facts<'_>, events: &[PageEvent]) -> Markup {
    let day = |event: &PageEvent| super::machine(event.at).chars().take(10).collect::<String>();
    let mut days: Vec<(String, Vec<&PageEvent>)> = Vec::new();
    for event in events {
        match days.last_mut() {
            Some((last, events)) if *last == day(event) => events.push(event),
            _ => days.push((day(event), vec![event])),
        }
    }
    html! {
        @for (day, events) in &days {
            p.day { (day) }
            ol.events aria-label=(day) {
                @for event in events {
                    li {
                        time.at datetime=(super::machine(event.at)) title=(super::machine(event.at)) {
                            (super::machine(event.at).chars().skip(11).take(5).collect::<String>())
                        }
                        (state(event.tone, &event.word))
                        span.what {
                            a.subject href=(app_href(&event.repository, &event.app)) { (event.app) }
                            @if let Some(environment) = &event.environment { " " span.environment { (environment) } }
                            " " span.version { (event.version) }
                            @if let Some(cluster) = &event.cluster { span.dim { " on " (cluster) } }
                            @if let Some(by) = &event.by { span.dim { " by " (by) } }
                            @if let Some(id) = &event.commit { " " (commit(facts, &event.repository, id)) }
                            @if event.kind != EventKind::State {
                                @if let Some(address) = &event.pull_request { " " (pull_request(facts, &event.repository, address)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The page with the sources.
#[must_use]
pub fn sources_page(facts: &Facts<'_>, sources: &Sources) -> String {
    let main = html! {
        h1 { "Sources" }
        p.lead { "Everything the bot talks to, and when each last succeeded." }
        @for (kind, heading) in SourceKind::ALL {
            @let of_kind: Vec<&SourceView> = sources.sources.iter().filter(|it| it.kind == kind).collect();
            section {
                h2 { (heading) }
                @if of_kind.is_empty() {
                    p.dim { "None." }
                } @else {
                    div.scroll tabindex="0" role="region" aria-label=(heading) {
                        table.sources {
                            thead { tr {
                                th scope="col" { "Name" } th scope="col" { "State" } th scope="col" { "Last success" } th scope="col" { "Counts" }
                            } }
                            tbody { @for it in &of_kind { (source(facts, it)) } }
                        }
                    }
                }
            }
        }
    };
    document(facts, "Sources", Some(Section::Sources), &main)
}

fn source(facts: &Facts<'_>, it: &SourceView) -> Markup {
    html! {
        tr {
            th scope="row" {
                (it.name)
                @if !it.detail.is_empty() { div.dim { (it.detail) } }
                @if !it.problems.is_empty() { ul.plain.problem-list { @for problem in &it.problems { li { (problem) } } } }
            }
            td data-label="State" { (state(it.tone, &it.word)) }
            td data-label="Last success" {
                @match it.last_success { Some(at) => span { (ago(at, facts.now)) " ago" } None => span.dim { "never" } }
            }
            td data-label="Counts" { @if it.counts.is_empty() { span.dim { "–" } } @else { (it.counts.join(", ")) } }
        }
    }
}
