//! Whether an image that cannot be pulled is in its registry: the bot queries registries anyway and need not guess.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::model::{Answer, CauseCode, Digest, ImageName, Rung, Tag, Tracked};
use crate::plan::{Answers, RegistryQuery};

use super::super::queries::Lookup;

/// How long a registry's answer about such an image is valid.
const GOOD: SignedDuration = SignedDuration::from_mins(5);

/// When a registry that did not answer is queried again.
const AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// Maximum number of images queried at a time.
const MAX_ASKED: usize = 20;

/// The registries' answers, and when they were given.
pub(super) type RegistryAnswer = BTreeMap<(ImageName, Tag), (Timestamp, Answer<Digest>)>;

/// What to query registries for.
#[derive(Debug)]
pub(super) struct RegistryQuestion {
    pub(super) images: BTreeSet<(ImageName, Tag)>,
    /// Answers since then are still valid.
    since: Timestamp,
    now: Timestamp,
}

/// What registries answered about images that cannot be pulled.
#[derive(Debug, Default)]
pub(super) struct RegistryEvidence(RegistryAnswer);

impl RegistryEvidence {
    /// The images to query. An answer from before the node was refused says nothing about the refusal, since the tag
    /// may have been deleted in between.
    pub(super) fn due(&mut self, rows: &[Tracked], now: Timestamp) -> RegistryQuestion {
        let wanted: BTreeMap<(ImageName, Tag), Option<Timestamp>> =
            rows.iter().filter_map(|row| Some((unpulled(row)?, row.since))).collect();
        self.0.retain(|image, _| wanted.contains_key(image));
        let good = |image: &(ImageName, Tag), refused: Option<Timestamp>| {
            self.0.get(image).is_some_and(|(at, answer)| {
                let good = if matches!(answer, Answer::Failed { .. }) { AGAIN } else { GOOD };
                now.duration_since(*at).abs() < good && refused.is_none_or(|refused| *at >= refused)
            })
        };
        let due: Vec<_> =
            wanted.into_iter().filter(|(image, refused)| !good(image, *refused)).take(MAX_ASKED).collect();
        let recent = now.checked_sub(GOOD).unwrap_or(Timestamp::MIN);
        let since = due.iter().filter_map(|(_, refused)| *refused).max().map_or(recent, |refused| refused.max(recent));
        RegistryQuestion { images: due.into_iter().map(|(image, _)| image).collect(), since, now }
    }

    /// Records answers; returns whether there are any.
    pub(super) fn learn(&mut self, answers: RegistryAnswer) -> bool {
        let news = !answers.is_empty();
        self.0.extend(answers);
        news
    }

    /// Adds the registries' answers to the rows they are about.
    pub(super) fn add_to(&self, rows: &mut [Tracked]) {
        for row in rows {
            let Some((_, answer)) = unpulled(row).and_then(|image| self.0.get(&image)) else { continue };
            if let Some(cause) = &mut row.landing.cause {
                cause.hear_registry(answer);
            }
        }
    }
}

/// Queries images, and passes what is then known to `to`.
pub(super) async fn ask(
    lookup: Arc<Lookup>,
    RegistryQuestion { images, since, now }: RegistryQuestion,
    to: impl FnOnce(RegistryAnswer),
) {
    let queries = images.into_iter().map(|(image, tag)| RegistryQuery::Digest(image, tag)).collect();
    let mut answers = Answers::default();
    drop(lookup.answer_soon(&queries, since, &mut answers).await);
    to(answers.digests.into_iter().map(|(image, answer)| (image, (now, answer))).collect());
}

/// The image of a row that cannot be pulled.
fn unpulled(row: &Tracked) -> Option<(ImageName, Tag)> {
    let code = row.landing.cause.as_ref().map(|cause| cause.code);
    let refused = matches!(code, Some(CauseCode::ImageNotFound | CauseCode::ImageUnauthorized));
    let tag = row.declared.version.tag.clone()?;
    (row.landing.rung == Some(Rung::Running) && refused).then(|| (row.image.clone(), tag))
}
