//! Whether an image that cannot be pulled is in its registry: who watches registries need not guess.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::{CauseCode, Fact, ImageName, Rung, Tag, Tracked};
use crate::plan::{Facts, Want};

use super::super::lookup::Lookup;

/// How long a registry's word about an image that cannot be pulled is good.
const ASKED: SignedDuration = SignedDuration::from_mins(5);

/// Most images that a look asks registries about.
const MAX_ASKED: usize = 20;

/// What registries said the last time.
#[derive(Debug, Default)]
pub(super) struct Registries(Mutex<BTreeMap<(ImageName, Tag), String>>);

impl Registries {
    /// Adds what is known to rows of images that cannot be pulled; whether there are any.
    pub(super) fn add(&self, rows: &mut [Tracked]) -> bool {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut any = false;
        for row in rows.iter_mut().filter(|row| cannot_be_pulled(row)) {
            any = true;
            if let (Some(image), Some(cause)) = (image(row), &mut row.landing.cause) {
                cause.evidence.extend(said.get(&image).cloned());
            }
        }
        any
    }

    /// Asks about them, for at most this long. What nobody asks about any more is forgotten.
    pub(super) async fn ask(&self, lookup: &Lookup, rows: &[Tracked], now: Timestamp, patience: Duration) {
        let images: BTreeSet<(ImageName, Tag)> =
            rows.iter().filter(|row| cannot_be_pulled(row)).filter_map(image).take(MAX_ASKED).collect();
        let wants = images.iter().map(|(name, tag)| Want::Digest(name.clone(), tag.clone())).collect();
        let mut facts = Facts::default();
        let recent = now.checked_sub(ASKED).unwrap_or(Timestamp::MIN);
        // What a registry said before the node was refused says nothing about that: the tag may have gone in between.
        let refused = rows.iter().filter(|row| cannot_be_pulled(row)).filter_map(|row| row.since).max();
        let since = refused.map_or(recent, |refused| refused.max(recent));
        let answers = lookup.answer_soon(&wants, since, &mut facts);
        if tokio::time::timeout(patience, answers).await.is_err() {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|image, _| images.contains(image));
        for image in images {
            let said = match facts.digests.get(&image) {
                Some(Fact::Known(digest)) => {
                    format!(
                        "the registry has it and gives it to the bot: {digest}; the nodes lack the right, or ask elsewhere"
                    )
                }
                Some(Fact::Absent { message }) => {
                    format!("the registry does not have it for the bot either: {message}")
                }
                Some(Fact::Failed { message, .. }) => format!("the registry cannot be asked: {message}"),
                None => continue,
            };
            known.insert(image, said);
        }
    }
}

fn cannot_be_pulled(row: &Tracked) -> bool {
    let code = row.landing.cause.as_ref().map(|cause| cause.code);
    row.landing.rung == Some(Rung::Running)
        && matches!(code, Some(CauseCode::ImageNotFound | CauseCode::ImageUnauthorized))
}

fn image(row: &Tracked) -> Option<(ImageName, Tag)> {
    Some((row.image.clone(), row.declared.version.tag.clone()?))
}
