//! The pages as HTML.
//!
//! Promise: a page is complete without scripts and without anything from another host. Text from outside goes through maud's
//! escaping, and the whole document then through `finish`, which writes out every character that hides or reorders text.
//! No element has a style of its own or a handler, so that the strictest policy for contents holds.

mod app;
mod lists;
mod matrix;
mod parts;
mod policy;

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::LazyLock;

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use crate::model::{is_invisible, push_escaped};

use super::facts::Facts;

pub use app::app_page;
pub use lists::{incidents_page, sources_page, timeline_page, waits_page};
pub use matrix::{cell_content, cell_id, matrix_page, said};
pub use policy::policy_page;

/// The style sheet.
pub const STYLE: &str = include_str!("../assets/page.css");
/// The script: live updates, relative times, buttons to copy. The page works without it.
pub const SCRIPT: &str = include_str!("../assets/page.js");

/// A file of the page, named after its content so that it may be kept for ever.
#[derive(Debug)]
pub struct Asset {
    /// Where it is served.
    pub path: String,
    /// What it contains.
    pub text: &'static str,
    /// Its type.
    pub content_type: &'static str,
}

/// The icon.
const ICON: &str = include_str!("../assets/page.svg");

/// The files of the page.
pub static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    let all = [
        ("css", STYLE, "text/css; charset=utf-8"),
        ("js", SCRIPT, "text/javascript; charset=utf-8"),
        ("svg", ICON, "image/svg+xml; charset=utf-8"),
    ];
    all.map(|(end, text, content_type)| {
        let mut hasher = DefaultHasher::new();
        hasher.write(text.as_bytes());
        Asset { path: format!("/static/page-{:016x}.{end}", hasher.finish()), text, content_type }
    })
});

/// The places of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The matrix.
    Apps,
    /// What waits.
    Waiting,
    /// Incidents.
    Incidents,
    /// The timeline.
    Timeline,
    /// Sources.
    Sources,
}

impl Section {
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Apps, "/", "Apps"),
        (Self::Waiting, "/waiting", "Waiting"),
        (Self::Incidents, "/incidents", "Incidents"),
        (Self::Timeline, "/timeline", "Timeline"),
        (Self::Sources, "/sources", "Sources"),
    ];
}

/// A page with its frame.
fn document(facts: &Facts<'_>, title: &str, section: Option<Section>, main: &Markup) -> String {
    let [style, script, icon] = &*ASSETS;
    let waiting = facts.rows.iter().filter(|row| super::matrix::is_ahead(row)).count();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Landfall" }
                link rel="icon" href=(icon.path) type="image/svg+xml";
                link rel="stylesheet" href=(style.path);
                script src=(script.path) defer {}
            }
            body data-revision=(facts.revision) {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/" { span.logo aria-hidden="true" {} "Landfall" }
                    nav aria-label="Pages" {
                        ul {
                            @for (it, href, name) in Section::ALL {
                                li {
                                    a href=(href) aria-current=[(section == Some(it)).then_some("page")] {
                                        (name)
                                        @match it {
                                            Section::Waiting if waiting > 0 => { " " span.count { (waiting) } }
                                            Section::Incidents if !facts.incidents.is_empty() => {
                                                " " span.count.bad { (facts.incidents.len()) }
                                            }
                                            _ => {}
                                        }
                                    }
                                }
                            }
                        }
                    }
                    p.freshness {
                        span #live data-state="off" { "not live" }
                        @match facts.judged {
                            Some(at) => { " · judged " (parts::ago(at, facts.now)) " ago" }
                            None => " · nothing has been judged yet"
                        }
                    }
                }
                main #main tabindex="-1" { (main) }
                p #said.unseen role="status" aria-live="polite" {}
                footer {
                    p {
                        "Landfall " (env!("CARGO_PKG_VERSION")) " · this page changes nothing: decisions are commands, and pull requests on the forge · "
                        a href="/api/v1/openapi.json" { "JSON API" }
                    }
                }
            }
        }
    };
    finish(page.into_string())
}

/// A page that says why there is no other one.
#[must_use]
pub fn error_page(facts: &Facts<'_>, title: &str, message: &str) -> String {
    let main = html! {
        h1 { (title) }
        p.lead { (message) }
        p { a href="/" { "All apps" } }
    };
    document(facts, title, None, &main)
}

/// Writes out every character that hides or reorders text, or controls something, wherever in the document it stands: our own
/// text has none.
pub(super) fn finish(page: String) -> String {
    let hidden = |c: char| (c.is_control() && c != '\n') || is_invisible(c);
    if !page.contains(hidden) {
        return page;
    }
    let mut shown = String::with_capacity(page.len() + 256);
    for c in page.chars() {
        match hidden(c) {
            true => push_escaped(&mut shown, c),
            false => shown.push(c),
        }
    }
    shown
}

/// A time for machines.
fn machine(at: Timestamp) -> String {
    format!("{at:.0}")
}
