//! Gates: what holds a selected update, why, and until when.

pub(super) mod decisions;
pub(super) mod pace;
pub(super) mod reverts;
pub(super) mod signature;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::model::{ImageName, Manifest, SignatureEvidence, Version};
use crate::policy::{CURRENT, Effective, WindowState, local, windows_state};

use self::signature::SignatureState;
use super::{AgeClock, Attention, Gate, Hold, ReleaseAge, Snapshot, Update};

/// How far a build machine's clock may be ahead of ours.
const CLOCKS: SignedDuration = SignedDuration::from_hours(1);

/// Why an update has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GateHold {
    pub(super) gate: Gate,
    /// Why, for people.
    pub(super) reason: String,
    /// When the gate opens on its own, if known.
    pub(super) until: Option<Timestamp>,
    /// Whom it concerns.
    pub(super) attention: Attention,
}

impl GateHold {
    pub(super) fn new(gate: Gate, reason: String, until: Option<Timestamp>) -> Self {
        Self { gate, reason, until, attention: Attention::Expected }
    }

    /// The hold of an update.
    pub(super) fn of(self, update: Update) -> Hold {
        let Self { gate, reason, until, attention } = self;
        Hold { attention, ..Hold::new(update, gate, reason, until) }
    }
}

/// The manifests of a new image and of the current one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manifests<'m> {
    pub(super) to: Option<&'m Manifest>,
    pub(super) from: Option<&'m Manifest>,
}

/// The gates that an update passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Gates that were open.
    pub(super) open: Vec<Gate>,
    /// Gates that were closed and that a person opened.
    pub(super) overridden: Vec<Gate>,
    /// How old the image is, if a gate required that.
    pub(super) age: Option<ReleaseAge>,
    /// What proves its signatures, if they are demanded.
    pub(super) verified: Option<SignatureEvidence>,
}

/// Checks all gates except those about history: returns those it passed, or the first that holds it.
pub(super) fn pass(
    snapshot: &Snapshot<'_>,
    effective: &Effective,
    update: &Update,
    (manifests, signed): (Manifests<'_>, SignatureState),
) -> Result<Passed, GateHold> {
    let mut passed = Passed::default();
    let fields = &effective.fields;
    let image = (&update.name, &update.to);
    passed.age = effective.fields.minimum_release_age.as_ref().map(|_| age_of(snapshot, &update.name, manifests.to));
    let unsigned = match signed {
        SignatureState::NotDemanded => None,
        SignatureState::Verified(evidence) => {
            passed.verified = Some(evidence);
            None
        }
        SignatureState::Held(held) => Some(held),
        // Whoever calls it plans again; nothing passes before that.
        SignatureState::Pending => {
            Some(GateHold::new(Gate::Signature, "its signatures are not known yet".to_owned(), None))
        }
    };
    let gates: [(Gate, bool, Option<GateHold>); 6] = [
        (Gate::Hold, false, reverts::written(snapshot, Gate::Hold, update)),
        (Gate::Freeze, false, reverts::written(snapshot, Gate::Freeze, update)),
        (Gate::Platforms, fields.platforms.is_some(), platforms(effective, manifests)),
        (Gate::Signature, passed.verified.is_some(), unsigned),
        (
            Gate::MinimumReleaseAge,
            fields.minimum_release_age.is_some(),
            release_age(snapshot, effective, image, manifests.to),
        ),
        (Gate::Window, fields.windows.is_some() || !fields.cap_windows.is_empty(), window(snapshot, effective)),
    ];
    for (gate, configured, held) in gates {
        match held {
            // An image that is not signed is never written, whoever asks for it.
            Some(_) if gate != Gate::Signature && is_overridden(snapshot, gate) => passed.overridden.push(gate),
            Some(held) => return Err(held),
            None if configured => passed.open.push(gate),
            None => {}
        }
    }
    Ok(passed)
}

/// Whether the person who requested this plan has opened the gate.
pub(super) fn is_overridden(snapshot: &Snapshot<'_>, gate: Gate) -> bool {
    snapshot.request.is_some_and(|asked| asked.overrides.contains(&gate))
}

/// What holds an image regardless of the update: its build is incomplete, or it is too young.
pub(super) fn image_hold(
    snapshot: &Snapshot<'_>,
    effective: &Effective,
    image: (&ImageName, &Version),
    manifests: Manifests<'_>,
) -> Option<GateHold> {
    platforms(effective, manifests).or_else(|| release_age(snapshot, effective, image, manifests.to))
}

/// Whether a gate of these policies needs an image's platforms or age.
pub(super) fn asks_of_the_manifest(effective: &Effective) -> bool {
    effective.fields.platforms.is_some() || effective.fields.minimum_release_age.is_some()
}

/// Whether a gate needs the current image's platforms.
pub(super) fn asks_of_the_current(effective: &Effective) -> bool {
    effective.fields.platforms.as_ref().is_some_and(|platforms| platforms.value.iter().any(|it| it == CURRENT))
}

fn platforms(effective: &Effective, manifests: Manifests<'_>) -> Option<GateHold> {
    let wanted = &effective.fields.platforms.as_ref()?.value;
    let manifest = manifests.to?;
    let named = wanted.iter().filter(|name| *name != CURRENT);
    let current =
        wanted.iter().filter(|name| *name == CURRENT).flat_map(|_| manifests.from).flat_map(|it| &it.platforms);
    let missing: Vec<&str> = named
        .chain(current)
        .map(String::as_str)
        .filter(|wanted| !manifest.platforms.iter().any(|has| serves(has, wanted)))
        .collect();
    if missing.is_empty() {
        return None;
    }
    Some(GateHold::new(Gate::Platforms, format!("the image is not available for {} yet", missing.join(", ")), None))
}

/// Whether an image for `has` runs where `wanted` is required: a variant that was not required does not matter, and an
/// architecture's default variant may be omitted.
pub(super) fn serves(has: &str, wanted: &str) -> bool {
    let plain = |platform: &str| {
        let usual = ["/arm64/v8", "/arm/v7", "/amd64/v1"].iter().find(|usual| platform.ends_with(*usual));
        usual.map_or(platform.len(), |_| platform.len() - "/v0".len())
    };
    has[..plain(has)] == wanted[..plain(wanted)] || has.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/'))
}

fn release_age(
    snapshot: &Snapshot<'_>,
    effective: &Effective,
    (name, _): (&ImageName, &Version),
    manifest: Option<&Manifest>,
) -> Option<GateHold> {
    let minimum = effective.fields.minimum_release_age.as_ref()?;
    let age = age_of(snapshot, name, manifest);
    let required = SignedDuration::try_from(minimum.value).unwrap_or(SignedDuration::MAX);
    let until = age.since.checked_add(required).unwrap_or(Timestamp::MAX);
    let reason = || {
        let place = format!("{}:{}", minimum.origin.file, minimum.origin.line);
        let how = match age.clock {
            AgeClock::Created => "it was created",
            AgeClock::FirstSeen => "it was first seen in its registry",
        };
        format!("{how} at {:.0}, and {place} requires an age of {}", age.since, words(minimum.value))
    };
    (snapshot.now < until).then(|| GateHold::new(Gate::MinimumReleaseAge, reason(), Some(until)))
}

/// Since when an image has existed. Whoever pushes an image sets its creation time, so that can only make it younger
/// than the time at which the bot first saw the digest; a digest without a record is first seen now.
fn age_of(snapshot: &Snapshot<'_>, name: &ImageName, manifest: Option<&Manifest>) -> ReleaseAge {
    let seen = manifest.and_then(|manifest| snapshot.answers.first_seen.get(&(name.clone(), manifest.digest.clone())));
    let seen = seen.copied().unwrap_or(snapshot.now).min(snapshot.now);
    // A creation time in the future says nothing.
    let made = manifest.and_then(|manifest| manifest.created).filter(|made| *made <= snapshot.now + CLOCKS);
    match made {
        Some(made) if made.as_second() > seen.as_second() => ReleaseAge { clock: AgeClock::Created, since: made },
        _ => ReleaseAge { clock: AgeClock::FirstSeen, since: seen },
    }
}

/// A duration in the notation of policy files, if it is in whole units.
pub(super) fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        _ if seconds > 0 && seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds > 0 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// An approximate duration for people, in whole units of a suitable size.
pub(super) fn roughly(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

fn window(snapshot: &Snapshot<'_>, effective: &Effective) -> Option<GateHold> {
    let fields = &effective.fields;
    let closed = |windows| match windows_state(windows, snapshot.now) {
        WindowState::Closed { opens } => Some(opens),
        WindowState::Open { .. } => None,
    };
    let all = fields.windows.iter().chain(&fields.cap_windows);
    let closed: Vec<_> = all.filter_map(|windows| Some((windows, closed(&windows.value)?))).collect();
    // All must be open, so the one that opens last, or never, decides.
    let (windows, opens) = closed.into_iter().max_by_key(|(_, opens)| opens.unwrap_or(Timestamp::MAX))?;
    let opens_at = match opens {
        Some(opens) => format!("they open on {}", local(&windows.value, opens)),
        None => "they never open: some deny what others allow".to_owned(),
    };
    let reason = format!("outside the windows of {}:{}; {opens_at}", windows.origin.file, windows.origin.line);
    Some(GateHold::new(Gate::Window, reason, opens))
}
