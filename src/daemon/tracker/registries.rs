//! Whether an image that cannot be pulled is in its registry: who watches registries need not guess.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::{Answer, CauseCode, Rung, Tracked};
use crate::plan::{Answers, RegistryQuery};

use super::super::queries::Lookup;

/// How long a registry's word about an image that cannot be pulled is good.
const ASKED: SignedDuration = SignedDuration::from_mins(5);

/// Most images that a look asks registries about.
const MAX_ASKED: usize = 20;

/// Whether a registry can say more about one of the rows.
pub(super) fn may_know(rows: &[Tracked]) -> bool {
    rows.iter().any(cannot_be_pulled)
}

/// Asks about images that cannot be pulled, and adds what is said to their rows. One that is silent for so long adds nothing.
pub(super) async fn ask(lookup: &Lookup, rows: &mut [Tracked], now: Timestamp, patience: Duration) {
    let asked = || rows.iter().filter(|row| cannot_be_pulled(row));
    let want = |row: &Tracked| Some(RegistryQuery::Digest(row.image.clone(), row.declared.version.tag.clone()?));
    let queries: BTreeSet<RegistryQuery> = asked().filter_map(want).take(MAX_ASKED).collect();
    let mut answers = Answers::default();
    let recent = now.checked_sub(ASKED).unwrap_or(Timestamp::MIN);
    // What a registry said before the node was refused says nothing about that: the tag may have gone in between.
    let refused = asked().filter_map(|row| row.since).max();
    let since = refused.map_or(recent, |refused| refused.max(recent));
    let asking = lookup.answer_soon(&queries, since, &mut answers);
    if tokio::time::timeout(patience, asking).await.is_err() {
        return;
    }
    for row in rows.iter_mut().filter(|row| cannot_be_pulled(row)) {
        let Some(tag) = row.declared.version.tag.clone() else { continue };
        let said = match answers.digests.get(&(row.image.clone(), tag)) {
            Some(Answer::Known(digest)) => {
                format!(
                    "the registry has it and gives it to the bot: {digest}; the nodes lack the right, or ask elsewhere"
                )
            }
            Some(Answer::Absent { message }) => {
                format!("the registry does not have it for the bot either: {message}")
            }
            Some(Answer::Failed { message, .. }) => format!("the registry cannot be asked: {message}"),
            None => continue,
        };
        if let Some(cause) = &mut row.landing.cause {
            cause.evidence.push(said);
        }
    }
}

fn cannot_be_pulled(row: &Tracked) -> bool {
    let code = row.landing.cause.as_ref().map(|cause| cause.code);
    row.landing.rung == Some(Rung::Running)
        && matches!(code, Some(CauseCode::ImageNotFound | CauseCode::ImageUnauthorized))
}
