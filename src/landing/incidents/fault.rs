//! A platform fault that holds up many apps: one incident that lists them, instead of one for each.
//!
//! Two causes are the same fault if they name the same thing (a webhook, a node, a driver, a quota, a registry), or if
//! the same object reports the very same message.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::landing::row::of_platform;
use crate::model::{Blame, Cause, CauseCode, IncidentKey, State, Tracked};

use super::severity::{IncidentStanding, judge};
use super::{Incidents, Rules, worst};

/// From this many apps on they are reported together.
const MANY: usize = 3;
/// Maximum number of apps on one line, so that no line is cut.
const APPS_OF_A_LINE: usize = 10;
/// Maximum number of lines with apps.
const LINES: usize = 4;

/// The rows that incidents are made of. If one fault holds up many apps, a row for the fault replaces theirs, except
/// for those that somebody was already notified about.
pub(super) fn gathered<'a>(
    rows: &'a [Tracked],
    previous: &Incidents,
    rules: &Rules,
    now: Timestamp,
) -> Vec<Cow<'a, Tracked>> {
    let mut faults: BTreeMap<(Option<&str>, CauseCode, String), Vec<usize>> = BTreeMap::new();
    for (nth, row) in rows.iter().enumerate() {
        if let Some((cause, subject)) = fault(row) {
            faults.entry((row.cluster.as_deref(), cause.code, subject)).or_default().push(nth);
        }
    }
    let mut all: Vec<Cow<'_, Tracked>> = rows.iter().map(Cow::Borrowed).collect();
    for ((_, _, subject), members) in faults {
        let held: Vec<&Tracked> = members.iter().map(|nth| &rows[*nth]).collect();
        let names: BTreeSet<String> = held.iter().map(|row| name(row)).collect();
        if names.len() < MANY {
            continue;
        }
        let Some(row) = of_fault(&subject, &held, &names, |row| judge(row, Timestamp::UNIX_EPOCH, rules, now)) else {
            continue;
        };
        all.push(Cow::Owned(row));
        for nth in members {
            if !previous.is_open(&IncidentKey::of(&rows[nth])) {
                all[nth].to_mut().unseen = true;
            }
        }
    }
    all
}

fn name(row: &Tracked) -> String {
    row.environment.as_ref().map_or_else(|| row.app.clone(), |environment| format!("{} in {environment}", row.app))
}

/// The fault that holds up a row, if no version is to blame. A cause without a message names nothing that others could
/// share.
fn fault(row: &Tracked) -> Option<(&Cause, String)> {
    let cause = row.landing.cause.as_ref().filter(|cause| cause.blame == Blame::Platform)?;
    let held = matches!(row.landing.state, State::Stuck | State::Unknown) && !row.unseen;
    held.then(|| (cause, subject(row, cause))).filter(|(_, subject)| !subject.is_empty())
}

/// The broken thing that a cause names.
fn subject(row: &Tracked, cause: &Cause) -> String {
    let lines = || std::iter::once(&cause.message).chain(&cause.evidence);
    let after = |start: &str, end: &[char]| {
        let found = lines().find_map(|line| line.split_once(start)).and_then(|(_, rest)| rest.split(end).next());
        found.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
    };
    let webhook = || after("calling webhook \"", &['"']).or_else(|| after("call webhook \"", &['"']));
    let namespace = || cause.message.split([' ', ':']).find_map(|word| word.split_once('/')).map(|(first, _)| first);
    let registry = || match cause.code {
        CauseCode::ImagePull | CauseCode::ImageRateLimited => true,
        // For a row without a cluster, the registry is what was queried.
        CauseCode::FetchFailed => row.cluster.is_none(),
        _ => false,
    };
    if let Some(webhook) = webhook() {
        format!("admission webhook {webhook}")
    } else if let Some(driver) = after("driver name ", &[' ']) {
        format!("CSI driver {driver}")
    } else if let Some(quota) = after("exceeded quota: ", &[',', ' ']) {
        format!("quota {}/{quota}", namespace().unwrap_or_default())
    } else if let Some(node) = after("its node ", &[' ']) {
        format!("node {node}")
    } else if registry() {
        format!("registry {}", row.image.registry())
    } else {
        cause.message.clone()
    }
}

/// The row for everything that a fault holds up. It is as severe as the worst of them would be if it lasts, and as old
/// as the oldest.
fn of_fault(
    subject: &str,
    held: &[&Tracked],
    names: &BTreeSet<String>,
    judge: impl Fn(&Tracked) -> IncidentStanding,
) -> Option<Tracked> {
    let (worst, _) = worst(held, judge)?;
    let mut landing = worst.landing.clone();
    let cause = landing.cause.as_mut()?;
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut lines: Vec<String> = all.chunks(APPS_OF_A_LINE).take(LINES).map(|apps| apps.join(", ")).collect();
    if let Some(line) = lines.first_mut() {
        *line = format!("{} apps are affected: {line}", all.len());
    }
    if all.len() > LINES * APPS_OF_A_LINE {
        lines.push(format!("and {} more", all.len() - LINES * APPS_OF_A_LINE));
    }
    // A whole message is too long to name a thing; its beginning will do.
    let thing = if subject == cause.message { subject.split(": ").next().unwrap_or(subject) } else { subject };
    cause.evidence.splice(0..0, lines);
    let code = cause.code.to_string();
    let row = of_platform(held, thing, &code, landing)?;
    Some(Tracked { since: held.iter().filter_map(|row| row.since).min(), live: worst.live.clone(), ..row })
}
