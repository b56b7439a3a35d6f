//! The page with the policy in force for a place.

use maud::html;

use crate::page::facts::Facts;
use crate::page::matrix::quoted;
use crate::page::policy::PolicyView;
use crate::page::tone::Tone;

use super::parts::{app_href, command, state};
use super::{Section, document};

/// The page with the policy in force for a place.
#[must_use]
pub fn policy_page(facts: &Facts<'_>, view: &PolicyView) -> String {
    let image = view.image.as_deref().map_or(String::new(), |image| format!(" {}", quoted(image)));
    let explain = format!("landfall explain {}{image} --repository {}", quoted(&view.path), quoted(&view.repository));
    let main = html! {
        nav.crumbs aria-label="You are here" {
            a href="/" { "Apps" } " / " (view.repository) " / " a href=(app_href(&view.repository, &view.app)) { (view.app) }
        }
        h1 { "Policy in force" }
        p.lead.mono { (view.path) @if let Some(image) = &view.image { " · " (image) } }
        dl.details {
            dt { "Policy" } dd { (view.policy.as_deref().unwrap_or("none matches")) }
            dt { "Write" } dd { (view.write) @if let Some(capped) = &view.capped { " (" (capped) ")" } }
            dt { "App" } dd { (view.app) }
            dt { "Environment" } dd { (view.environment.as_deref().unwrap_or("none")) }
            dt { "Branch" } dd { (view.branch) }
            dt { "Overlay" } dd.mono { @if view.overlay.is_empty() { "." } @else { (view.overlay) } }
        }
        section {
            h2 { "Fields, and the lines that set them" }
            @if view.fields.is_empty() {
                p.dim { "No policy that applies sets any." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Fields in force" {
                    table {
                        thead { tr { th scope="col" { "Field" } th scope="col" { "Value" } th scope="col" { "From" } } }
                        tbody {
                            @for field in &view.fields {
                                tr {
                                    th scope="row" { code { (field.name) } }
                                    td data-label="Value" { (field.value) }
                                    td.mono data-label="From" { (field.file) ":" (field.line) }
                                }
                            }
                        }
                    }
                }
            }
        }
        section {
            h2 { "Policies, and why each applies or does not" }
            div.scroll tabindex="0" role="region" aria-label="Policies" {
                table {
                    thead { tr { th scope="col" { "Policy" } th scope="col" { "Applies" } th scope="col" { "Why" } th scope="col" { "From" } } }
                    tbody {
                        @for policy in &view.policies {
                            tr {
                                th scope="row" { (policy.name) }
                                td data-label="Applies" {
                                    @if policy.applies { (state(Tone::Good, "yes")) } @else { (state(Tone::Quiet, "no")) }
                                }
                                td data-label="Why" { (policy.reason) }
                                td.mono data-label="From" { (policy.file) ":" (policy.line) }
                            }
                        }
                    }
                }
            }
        }
        p { "The same on the command line:" }
        (command(&explain))
    };
    document(facts, "Policy in force", Some(Section::Apps), &main)
}
