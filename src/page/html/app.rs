//! The page of an app.

use maud::{Markup, html};

use crate::model::Rung;
use crate::page::app::{AppPlace, AppView};
use crate::page::facts::Facts;
use crate::page::filter::{RowFilter, encoded};
use crate::page::tone::spaced;
use crate::page::update::{LadderStep, StepState, UpdateView, VersionView};

use super::lists::{event_list, incident_list, wait_list};
use super::parts::{ago, command, commit, point, pull_request, state, until};
use super::{Section, document};

/// The page of an app.
#[must_use]
pub fn app_page(facts: &Facts<'_>, view: &AppView) -> String {
    let of_app = RowFilter { repository: view.repository.clone(), app: view.app.clone(), ..RowFilter::default() };
    let main = html! {
        nav.crumbs aria-label="You are here" { a href="/" { "Apps" } " / " span { (view.repository) } }
        h1 { (view.app) }
        ul.jump aria-label="Environments" {
            @for (nth, place) in view.places.iter().enumerate() {
                li { a href={ "#place-" (nth) } {
                    (place.environment.as_deref().unwrap_or("no environment"))
                    @if let Some(worst) = worst(place) { " " (state(worst.tone, &worst.word)) }
                } }
            }
        }
        @if !view.incidents.is_empty() {
            section aria-labelledby="incidents" { h2 #incidents { "Open incidents" } (incident_list(facts, &view.incidents)) }
        }
        @for (nth, place) in view.places.iter().enumerate() { (place_section(facts, view, place, nth)) }
        @if !view.waits.is_empty() {
            section aria-labelledby="waits" { h2 #waits { "Waiting" } (wait_list(facts, &view.waits.iter().collect::<Vec<_>>())) }
        }
        section aria-labelledby="events" {
            h2 #events { "What has happened" }
            (event_list(facts, &view.events))
            p { a href={ "/timeline" (of_app.query()) } { "The whole timeline of " (view.app) } }
        }
    };
    document(facts, &view.app, Some(Section::Apps), &main)
}

fn worst(place: &AppPlace) -> Option<&UpdateView> {
    place.updates.iter().min_by_key(|update| update.tone)
}

fn place_section(facts: &Facts<'_>, view: &AppView, place: &AppPlace, nth: usize) -> Markup {
    let heading = format!("place-{nth}");
    html! {
        section.place aria-labelledby=(heading) {
            h2 id=(heading) { (place.environment.as_deref().unwrap_or("no environment")) }
            @for update in &place.updates { (update_card(facts, update)) }
            @if !place.files.is_empty() {
                details.more {
                    summary { "Declared in " (place.files.len()) @if place.files.len() == 1 { " place" } @else { " places" } ", and the policy in force" }
                    ul.plain {
                        @for file in &place.files {
                            li {
                                span.mono { (file.path) ":" (file.line) } " "
                                a href={ "/policy?repository=" (encoded(&view.repository)) "&path=" (encoded(&file.path)) "&image=" (encoded(&file.image)) } {
                                    "policy for " (file.image)
                                }
                            }
                        }
                    }
                }
            }
            details.more {
                summary { "Commands" }
                @for text in &place.commands { (command(text)) }
            }
        }
    }
}

/// A version, whole.
fn version(version: &VersionView) -> Markup {
    html! {
        span.version {
            @match (&version.tag, &version.digest) {
                (Some(tag), Some(digest)) => { (tag) span.digest { "@" (digest) } }
                (Some(tag), None) => (tag)
                (None, Some(digest)) => span.digest { (digest) }
                (None, None) => "-"
            }
        }
    }
}

fn update_card(facts: &Facts<'_>, update: &UpdateView) -> Markup {
    let now = facts.now;
    html! {
        article class={ "update " (update.tone.as_str()) } {
            header {
                h3 { (version(&update.declared.version)) }
                (state(update.tone, &update.word))
                @if let Some(since) = update.since { span.dim { "for " (ago(since, now)) } }
                @if let Some(cluster) = &update.cluster { span.dim { "on " (cluster) } }
            }
            p.image { (update.image) }
            (ladder(facts, &update.ladder))
            @if let Some(cause) = &update.cause {
                dl.cause {
                    dt { "Cause" } dd { span.code { (spaced(&cause.code.to_string())) } " " (cause.message) }
                    @if !cause.evidence.is_empty() {
                        dt { "Evidence" } dd { ul.plain { @for line in &cause.evidence { li.evidence { (line) } } } }
                    }
                    dt { "Next" } dd { strong { (cause.next) } }
                }
            }
            dl.details.row {
                @if let Some(id) = &update.declared.commit {
                    div { dt { "Declared" } dd {
                        (commit(facts, &update.repository, id))
                        @if let Some(by) = &update.declared.by { " by " (by) }
                        @if let Some(since) = update.declared.since { ", " (ago(since, now)) " ago" }
                    } }
                }
                @if let Some(address) = &update.pull_request {
                    div { dt { "Review" } dd { (pull_request(facts, &update.repository, address)) } }
                }
                @if !update.live.is_empty() {
                    div { dt { "Running" } dd { @for (nth, live) in update.live.iter().enumerate() { @if nth > 0 { ", " } (version(live)) } } }
                }
                @if let Some(deadline) = update.deadline {
                    div { dt { "Deadline" } dd { (point(deadline)) " (" (until(deadline, now)) ")" } }
                }
                @if let Some(policy) = &update.policy { div { dt { "Policy" } dd { (policy) } } }
                div { dt { "Overlay" } dd.mono { @if update.overlay.is_empty() { "." } @else { (update.overlay) } } }
                @for note in &update.notes { div { dt { "Note" } dd { (note) } } }
            }
        }
    }
}

/// The ladder: each rung with its state and time.
fn ladder(facts: &Facts<'_>, steps: &[LadderStep]) -> Markup {
    html! {
        ol.ladder aria-label="How far it has come" {
            @for step in steps {
                @let (class, word) = match step.state {
                    StepState::Reached => ("reached", "reached"),
                    StepState::Waiting => ("waiting", "waiting"),
                    StepState::Ahead => ("ahead", "not yet"),
                    StepState::Unknown => ("unknown", "unknown"),
                };
                li class=(class) {
                    span.rung { (name(step.rung)) }
                    span.when {
                        @match (step.state, step.at) {
                            (StepState::Reached, Some(at)) => { (ago(at, facts.now)) " ago" }
                            (StepState::Waiting, Some(at)) => { "waiting for " (ago(at, facts.now)) }
                            _ => (word)
                        }
                    }
                }
            }
        }
    }
}

fn name(rung: Rung) -> String {
    spaced(&rung.to_string())
}
