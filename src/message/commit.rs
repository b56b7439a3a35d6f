//! Commit messages with the trailers of CLI.md.

use crate::model::{SignatureEvidence, SignatureProof};
use crate::plan::{Gate, Update, trailer};

use super::{change, common_target, line, links, subject};

/// Maximum length of a subject line; the rest of the change is in the body.
const SUBJECT: usize = 100;

/// Maximum number of lines that list changes; the trailers list everything.
const LINES: usize = 20;

/// The message of the commit that carries these updates: a subject, the changes, the trailers.
///
/// A trailer that several updates share (policy, environment, gates, evidence) appears once, after the trailers of each
/// update.
#[must_use]
pub fn commit_message(policy: &str, environment: Option<&str>, updates: &[Update]) -> String {
    let subject = headline(environment.unwrap_or(policy), updates);
    whole(&subject, &body(updates), updates)
}

/// A commit message: the reason for a rollback follows the subject, and the trailers end it.
pub(super) fn whole(subject: &str, body: &str, updates: &[Update]) -> String {
    let mut text = format!("{subject}\n\n");
    if let Some(back) = updates.iter().find_map(|update| update.rollback.as_ref()) {
        let who = back.by.as_deref().unwrap_or("the bot itself");
        let why = back.reason.as_ref().map_or(String::new(), |reason| format!(": {}", line(reason)));
        text.push_str(&format!("Rolled back by {}{why}\n\n", line(who)));
    }
    if !body.is_empty() {
        text.push_str(body);
        text.push('\n');
    }
    let all: Vec<Vec<Trailer>> = updates.iter().map(circumstances).collect();
    let shared = all.first().filter(|first| all.len() > 1 && all.iter().all(|other| other == *first));
    for (update, own) in updates.iter().zip(&all) {
        push_trailers(&mut text, &record(update));
        if shared.is_none() {
            push_trailers(&mut text, own);
        }
        if let Some(url) = links::source_commit(update) {
            push_trailers(&mut text, &[(trailer::SOURCE, url)]);
        }
        if let Some(back) = &update.rollback {
            push_trailers(&mut text, &[(trailer::ROLLBACK, back.bad.to_string())]);
        }
    }
    push_trailers(&mut text, shared.map_or(&[], Vec::as_slice));
    if let Some(back) = updates.iter().find_map(|update| update.rollback.as_ref()) {
        let by = back.by.iter().map(|by| (trailer::BY, by.clone()));
        let reason = back.reason.iter().map(|reason| (trailer::REASON, reason.clone()));
        push_trailers(&mut text, &by.chain(reason).collect::<Vec<_>>());
    }
    text
}

/// A trailer's key and value.
type Trailer = (&'static str, String);

fn push_trailers(text: &mut String, trailers: &[Trailer]) {
    for (key, value) in trailers {
        text.push_str(&format!("{key}: {}\n", line(value)));
    }
}

/// The changes, one line per changed image; if it changes in several overlays, the line counts them.
pub(super) fn body(updates: &[Update]) -> String {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for update in updates {
        let overlay = if update.overlay.is_empty() { "." } else { &update.overlay };
        let basis = update.rollback.as_ref().map_or(String::new(), |back| format!("\n  {}", line(&back.basis)));
        let what = format!("{} {}{basis}", line(&update.image), change(update));
        match lines.iter_mut().find(|(other, _)| *other == what) {
            Some((_, overlays)) => overlays.push(line(overlay)),
            None => lines.push((what, vec![line(overlay)])),
        }
    }
    let mut text = String::new();
    for (what, overlays) in lines.iter().take(LINES) {
        match overlays.as_slice() {
            [only] => text.push_str(&format!("- {only}: {what}\n")),
            many => text.push_str(&format!("- {} overlays: {what}\n", many.len())),
        }
    }
    if let Some(more) = lines.len().checked_sub(LINES).filter(|more| *more > 0) {
        text.push_str(&format!("- and {more} more\n"));
    }
    text
}

/// The trailers that the ledger reads back for one update.
fn record(update: &Update) -> Vec<Trailer> {
    vec![
        (trailer::UPDATE, update.id.to_string()),
        (trailer::IMAGE, update.name.to_string()),
        (trailer::OVERLAY, update.overlay.clone()),
        (trailer::FROM, update.from.to_string()),
        (trailer::TO, update.to.to_string()),
    ]
}

/// The policy it was made under, the gates it passed, its evidence, and the gates a person opened for it.
fn circumstances(update: &Update) -> Vec<Trailer> {
    let words = |gates: &[Gate]| gates.iter().map(|gate| gate.as_str()).collect::<Vec<_>>().join(", ");
    let mut trailers = vec![(trailer::POLICY, update.policy.clone())];
    trailers.extend(update.environment.iter().map(|environment| (trailer::ENVIRONMENT, environment.clone())));
    if !update.passed.is_empty() {
        trailers.push((trailer::GATES, words(&update.passed)));
    }
    if let Some(age) = &update.age {
        trailers.push((trailer::AGE, format!("{} {:.0}", age.clock.as_str(), age.since)));
    }
    trailers.extend(update.verified.iter().map(|evidence| (trailer::VERIFIED, proofs(evidence))));
    for place in update.promotion.iter().flat_map(|evidence| &evidence.places) {
        let commit = place.commit.as_ref().map_or(String::new(), |commit| format!("@{commit}"));
        let how = match &place.cluster {
            Some(cluster) => format!("healthy in {cluster}"),
            None => "committed".to_owned(),
        };
        let since = format!("{how} since {:.0}", place.since);
        trailers.push((trailer::PROMOTED_FROM, format!("{}{commit} {} {since}", place.environment, place.overlay)));
    }
    if let Some(opened) = &update.overridden {
        let value = format!("{}; by {}; {}", words(&opened.gates), opened.by, opened.reason);
        trailers.push((trailer::OVERRIDE, value));
    }
    trailers
}

/// `sha256:…; signature (log index 1) and attestation … by …`: each signer once, since a commit may have many such lines.
fn proofs(SignatureEvidence { digest, proofs }: &SignatureEvidence) -> String {
    let mut by_signer: Vec<(&str, Vec<String>)> = Vec::new();
    for SignatureProof { what, by, log_index } in proofs {
        let what = match log_index {
            Some(index) => format!("{what} (log index {index})"),
            None => what.to_string(),
        };
        match by_signer.iter_mut().find(|(other, _)| other == by) {
            Some((_, all)) => all.push(what),
            None => by_signer.push((by, vec![what])),
        }
    }
    let said = by_signer.into_iter().map(|(by, all)| format!("; {} by {by}", all.join(" and ")));
    format!("{digest}{}", said.collect::<String>())
}

/// `dev: bump web and api to 1.4.0`.
pub(super) fn headline(scope: &str, updates: &[Update]) -> String {
    shortened(&format!("{}: {}", line(scope), action(updates)))
}

/// `bump web and api to 1.4.0`.
pub(super) fn action(updates: &[Update]) -> String {
    let target = match updates {
        [_] => common_target(updates).map(|to| format!(" to {to}")),
        _ => common_target(updates)
            .map(|to| format!(" to {to}"))
            .or_else(|| Some(format!(" ({} updates)", updates.len()))),
    };
    let target = target.unwrap_or_default();
    match updates.iter().any(|update| update.rollback.is_some()) {
        false => format!("bump {}{target}", subject(updates)),
        true => format!("roll {} back{target}", subject(updates)),
    }
}

/// A subject of bearable length.
pub(super) fn shortened(headline: &str) -> String {
    match headline.char_indices().nth(SUBJECT) {
        None => headline.to_owned(),
        Some((end, _)) => format!("{}…", &headline[..end]),
    }
}
