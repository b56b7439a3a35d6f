//! Gates: what holds a chosen update back, why, and until when.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::{ImageName, Manifest, Version};
use crate::policy::{Effective, WindowState, windows_state};

use super::{Gate, Snapshot, Update};

/// How far a builder's clock may be ahead of ours.
const CLOCKS: SignedDuration = SignedDuration::from_hours(1);

type Held = (Gate, String, Option<Timestamp>);

/// The first gate that holds the update, `None` when all are open.
pub(super) fn hold(
    snapshot: &Snapshot<'_>,
    effective: &Effective,
    update: &Update,
    manifest: Option<&Manifest>,
) -> Option<Held> {
    super::people::written(snapshot, update)
        .or_else(|| promotion(effective))
        .or_else(|| ripens(snapshot, effective, (&update.name, &update.to), manifest))
        .or_else(|| window(snapshot, effective))
}

/// What holds an image back by itself, whoever wants it and wherever: its build is not complete, or it is too young.
pub(super) fn ripens(
    snapshot: &Snapshot<'_>,
    effective: &Effective,
    image: (&ImageName, &Version),
    manifest: Option<&Manifest>,
) -> Option<Held> {
    platforms(effective, manifest).or_else(|| release_age(snapshot, effective, image, manifest))
}

fn promotion(effective: &Effective) -> Option<Held> {
    let from = effective.fields.promote_from.as_ref()?;
    let reason = format!(
        "{}:{} asks for proof from another environment (promoteFrom), which this version cannot give yet; \
         bump it by hand, or take promoteFrom out of the policy",
        from.origin.file, from.origin.line
    );
    Some((Gate::Promotion, reason, None))
}

/// Whether a gate of these policies needs to know what an image is made of, or when.
pub(super) fn asks_of_the_manifest(effective: &Effective) -> bool {
    effective.fields.platforms.is_some() || effective.fields.minimum_release_age.is_some()
}

fn platforms(effective: &Effective, manifest: Option<&Manifest>) -> Option<Held> {
    let wanted = &effective.fields.platforms.as_ref()?.value;
    let manifest = manifest?;
    let missing: Vec<&str> = wanted
        .iter()
        .map(String::as_str)
        .filter(|wanted| !manifest.platforms.iter().any(|has| serves(has, wanted)))
        .collect();
    if missing.is_empty() {
        return None;
    }
    Some((Gate::Platforms, format!("the image is not there for {} yet", missing.join(", ")), None))
}

/// Whether an image for `has` runs where `wanted` is asked for: a variant that nobody asked for does not matter, and the
/// usual variant of an architecture need not be written.
fn serves(has: &str, wanted: &str) -> bool {
    let plain = |platform: &str| {
        let usual = ["/arm64/v8", "/arm/v7", "/amd64/v1"].iter().find(|usual| platform.ends_with(*usual));
        usual.map_or(platform.len(), |_| platform.len() - "/v0".len())
    };
    has[..plain(has)] == wanted[..plain(wanted)] || has.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
}

fn release_age(
    snapshot: &Snapshot<'_>,
    effective: &Effective,
    (name, to): (&ImageName, &Version),
    manifest: Option<&Manifest>,
) -> Option<Held> {
    let minimum = effective.fields.minimum_release_age.as_ref()?;
    let first_seen = || {
        let listing = snapshot.facts.listings.get(name)?.best()?;
        listing.tags.iter().find(|entry| Some(&entry.tag) == to.tag.as_ref())?.created
    };
    // A builder may write any time into an image. One that is still to come says nothing, and no image is older here than
    // the registry's list. An image of unknown age was there when the bot first looked: it is not held for ever.
    let made = manifest.and_then(|manifest| manifest.created).filter(|made| *made <= snapshot.now + CLOCKS);
    let born = made.max(first_seen())?;
    let age = SignedDuration::try_from(minimum.value).unwrap_or(SignedDuration::MAX);
    let until = born.checked_add(age).unwrap_or(Timestamp::MAX);
    let reason = || {
        let place = format!("{}:{}", minimum.origin.file, minimum.origin.line);
        format!("it was made at {born:.0}, and {place} asks for an age of {}", words(minimum.value))
    };
    (snapshot.now < until).then(|| (Gate::MinimumReleaseAge, reason(), Some(until)))
}

/// A duration as policy files write it, where it is of whole units.
fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        _ if seconds > 0 && seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds > 0 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

fn window(snapshot: &Snapshot<'_>, effective: &Effective) -> Option<Held> {
    let windows = effective.fields.windows.as_ref()?;
    let WindowState::Closed { opens } = windows_state(&windows.value, snapshot.now) else { return None };
    let reason = format!("outside the windows of {}:{}", windows.origin.file, windows.origin.line);
    Some((Gate::Window, reason, opens))
}
