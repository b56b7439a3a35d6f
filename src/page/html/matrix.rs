//! The matrix as a table; on a narrow screen, each app is a card.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::page::facts::Facts;
use crate::page::filter::{RowFilter, encoded};
use crate::page::matrix::{AppRow, Cell, Matrix, StateCount};
use crate::page::tone::{Tone, spaced};

use super::parts::{ago, app_href, banners, filter_form, notes, problems, pull_request, state, until};
use super::{Section, document};

/// Cells that one page shows at most, empty ones among them: what a browser lays out while one waits.
const CELLS: usize = 40_000;

/// The page with the matrix.
#[must_use]
pub fn matrix_page(facts: &Facts<'_>, matrix: &Matrix, filter: &RowFilter) -> String {
    let several = facts.repositories.len() > 1 || matrix.apps.iter().any(|app| app.repository != first(matrix));
    let columns: Vec<Option<&str>> = matrix.environments.iter().map(|name| Some(name.as_str())).collect();
    let columns: Vec<Option<&str>> = columns.into_iter().chain(matrix.without_environment.then_some(None)).collect();
    let most = (CELLS / columns.len().max(1)).max(1);
    let shown = matrix.apps.len().min(most);
    let main = html! {
        h1.unseen { "Apps" }
        (banners(facts, &matrix.banners))
        (problems(&matrix.problems))
        (notes(&matrix.notes))
        (summary(&matrix.counts, filter))
        (filter_form(facts, "/", filter, true))
        @if matrix.apps.is_empty() {
            (nothing(facts, matrix, filter))
        } @else {
            p.shown {
                (shown) @if shown != matrix.all_apps { " of " (matrix.all_apps) }
                @if matrix.all_apps == 1 { " app" } @else { " apps" }
                span.legend { " · the line below a version says what comes next" }
            }
            @if shown < matrix.apps.len() {
                p.shown { "That is all that one page shows. Search, or choose an environment or a state, to see the others." }
            }
            div.scroll tabindex="0" role="region" aria-label="Apps by environment" {
                table.matrix {
                    caption.unseen { "Apps by environment: version, state, age, and what comes next" }
                    thead { tr {
                        th scope="col" { "App" }
                        @for column in &columns { th scope="col" { (column.unwrap_or("no environment")) } }
                    } }
                    tbody {
                        @for app in matrix.apps.iter().take(shown) { (row(facts, app, &columns, several)) }
                    }
                }
            }
        }
    };
    document(facts, "Apps", Some(Section::Apps), &main)
}

fn first(matrix: &Matrix) -> &str {
    matrix.apps.first().map_or("", |app| &app.repository)
}

fn summary(counts: &[StateCount], filter: &RowFilter) -> Markup {
    html! {
        @if !counts.is_empty() {
            nav.summary aria-label="Images by state" {
                ul {
                    @for it in counts {
                        @let chosen = filter.state == it.state;
                        @let query = RowFilter { state: if chosen { String::new() } else { it.state.clone() }, ..filter.clone() }.query();
                        li {
                            a class={ "chip " (it.tone.as_str()) } href={ "/" (query) } aria-current=[chosen.then_some("true")] {
                                strong { (it.count) } " " (name(&it.state))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn name(state: &str) -> String {
    match state {
        "attention" => "need attention".to_owned(),
        state => spaced(state),
    }
}

fn nothing(facts: &Facts<'_>, matrix: &Matrix, filter: &RowFilter) -> Markup {
    html! {
        div.empty {
            @if !filter.is_empty() && matrix.all_apps > 0 {
                h2 { "Nothing matches" }
                p { "None of " (matrix.all_apps) " apps matches this filter. " a href="/" { "Show all" } }
            } @else if facts.judged.is_none() {
                h2 { "The first cycle is under way" }
                p { "Repositories, registries and clusters are being read. This page shows them as soon as they are." }
            } @else {
                h2 { "No app is watched yet" }
                p { "No policy covers, and no controller watches, any declared image. "
                    code { "landfall init" } " proposes policies for a checkout; " code { "landfall check" } " shows what they match." }
            }
        }
    }
}

fn row(facts: &Facts<'_>, app: &AppRow, columns: &[Option<&str>], several: bool) -> Markup {
    html! {
        tr {
            th scope="row" {
                a href=(app_href(&app.repository, &app.app)) { (app.app) }
                @if several { span.dim.repository { (app.repository) } }
            }
            @for column in columns {
                @match app.cells.iter().find(|cell| cell.environment.as_deref() == *column) {
                    Some(cell) => {
                        td class={ "cell " (cell.tone.as_str()) } id=(cell_id(&app.repository, &app.app, *column))
                            data-label=(column.unwrap_or("no environment")) { (cell_content(facts, app, cell)) }
                    }
                    None => td.cell.none data-label=(column.unwrap_or("no environment")) { span.dim { span.unseen { "not declared" } span aria-hidden="true" { "·" } } }
                }
            }
        }
    }
}

/// The id of a cell's element.
#[must_use]
pub fn cell_id(repository: &str, app: &str, environment: Option<&str>) -> String {
    let environment = environment.map_or(String::new(), |name| format!("/{}", encoded(name)));
    format!("cell-{}/{}{environment}", encoded(repository), encoded(app))
}

/// What a cell contains.
#[must_use]
pub fn cell_content(facts: &Facts<'_>, app: &AppRow, cell: &Cell) -> Markup {
    html! {
        div.line {
            span.version title=(cell.image) {
                @if let Some(image) = &cell.other_image { span.image { (image) } " " }
                (cell.version)
            }
            (state(shown_tone(cell), &cell.word))
        }
        (facts_line(facts.now, cell))
        @if let Some(behind) = &cell.behind {
            div.behind {
                @match &behind.distance { Some(distance) => { (distance) " behind " } None => "behind " }
                (behind.environment) " (" (behind.version)
                @if let Some(since) = behind.since { ", for " (ago(since, facts.now)) } ")"
            }
        }
        @if let Some(next) = &cell.next {
            div class={ "next " (next.tone.as_str()) } {
                span.mono { span aria-hidden="true" { "↳ " } span.unseen { "next: " } (next.version) }
                " " span.word { (next.word) }
                @if let Some(at) = next.until { " " span.dim { "opens " (until(at, facts.now)) } }
                @if let Some(address) = &next.pull_request { " " (pull_request(facts, &app.repository, address)) }
            }
        }
    }
}

/// The tone of the version that is declared; what comes next has its own.
fn shown_tone(cell: &Cell) -> Tone {
    match cell.late {
        true => Tone::Bad,
        false if cell.unwatched => Tone::Quiet,
        false => Tone::of(cell.state),
    }
}

fn facts_line(now: Timestamp, cell: &Cell) -> Markup {
    let more = cell.images.saturating_sub(1);
    html! {
        div.facts {
            @if let Some(since) = cell.declared { (ago(since, now)) @if cell.by.is_some() { " · " } }
            @if let Some(by) = &cell.by { (by) }
            @if more > 0 { " · " (more) " more " @if more == 1 { "image" } @else { "images" } }
            @if cell.clusters.len() > 1 { " · " (cell.clusters.len()) " clusters" }
        }
    }
}

/// A cell in a sentence.
#[must_use]
pub fn said(app: &AppRow, cell: &Cell) -> String {
    let place = cell.environment.as_ref().map_or(String::new(), |name| format!(" in {name}"));
    format!("{}{place}: {} {}", app.app, cell.version, cell.word)
}
