//! How one row stands: is it in trouble, over, or neither yet?

use std::time::Duration;

use jiff::Timestamp;

use crate::model::{CauseCode, Rung, Severity, State, Tracked};

use super::{Rules, elapsed};

/// How long a problem that may resolve itself must last.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a row stands, ordered by precedence among the rows of a key: the last one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IncidentStanding {
    /// A later commit declares another version.
    Superseded,
    /// Somebody closed its pull request.
    Rejected,
    /// It runs.
    Landed,
    /// On its way, or not long enough in a bad state.
    Quiet,
    /// On its way, and nothing is wrong.
    Moving,
    /// The cluster went back to the previous version.
    RolledBack,
    /// Somebody has to be notified.
    Trouble(Severity),
}

/// Judges a row that has been in its state since `since`.
pub(super) fn judge(row: &Tracked, since: Timestamp, rules: &Rules, now: Timestamp) -> IncidentStanding {
    if row.unseen {
        return IncidentStanding::Quiet;
    }
    let for_long = elapsed(since, now);
    let after = |limit: Duration, severity| {
        if for_long >= limit { IncidentStanding::Trouble(severity) } else { IncidentStanding::Quiet }
    };
    match row.landing.state {
        State::Landed => IncidentStanding::Landed,
        State::Superseded => IncidentStanding::Superseded,
        State::Rejected => IncidentStanding::Rejected,
        State::RolledBack => IncidentStanding::RolledBack,
        // Late is late. Before the deadline, a problem that resolves itself wakes nobody.
        State::Stuck if !row.is_late(now) && for_long < patience(row) => IncidentStanding::Quiet,
        State::Stuck if row.landing.rung == Some(Rung::Running) && row.live.is_empty() => {
            IncidentStanding::Trouble(Severity::Critical)
        }
        State::Stuck => IncidentStanding::Trouble(Severity::Error),
        State::Pending => pending(row, now),
        State::Drifted => after(rules.drifted_after, Severity::Warning),
        State::Shadowed => after(rules.shadowed_after, Severity::Warning),
        State::Orphan => after(rules.orphan_after, Severity::Warning),
        State::Paused => after(rules.paused_after, Severity::Info),
        // A refused request will be refused again.
        State::Unknown if refused(row) => after(rules.unknown_after, Severity::Error),
        State::Unknown => after(rules.unknown_after, Severity::Warning),
    }
}

/// How long a failure in a cluster must last before anybody is notified. There is no wait for what is certain (a tag
/// that does not exist, an admission policy that refuses). A row's state begins when it is first seen, so a failure
/// that lasts this long has been seen at least twice.
fn patience(row: &Tracked) -> Duration {
    let in_cluster = matches!(row.landing.rung, Some(Rung::Fetched | Rung::Applied | Rung::RolledOut | Rung::Running));
    let mends = row.landing.cause.as_ref().is_some_and(|cause| outlook(cause.code) == Outlook::MendsByItself);
    if in_cluster && mends { PATIENCE } else { Duration::ZERO }
}

/// What to expect of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// It is often over before anybody could look: a node joins, a registry or a webhook answers again, a secret
    /// arrives with the next sync.
    MendsByItself,
    /// A server refused it.
    Refused,
    /// Neither.
    Lasts,
}

/// What to expect of a failure with this code.
fn outlook(code: CauseCode) -> Outlook {
    use CauseCode as C;
    match code {
        C::ImageUnauthorized
        | C::ImageRateLimited
        | C::ImagePull
        | C::Unschedulable
        | C::Quota
        | C::ConfigError
        | C::Dependency
        | C::FetchFailed => Outlook::MendsByItself,
        C::Authentication | C::PushRejected | C::Forbidden => Outlook::Refused,
        C::ImageNotFound
        | C::ImagePlatform
        | C::CrashLoop
        | C::OutOfMemory
        | C::AdmissionDenied
        | C::ImmutableField
        | C::ProgressDeadline
        | C::NotReady
        | C::Hook
        | C::SyncFailed
        | C::BuildFailed
        | C::NotFetched
        | C::WindowClosed
        | C::AutoSyncOff
        | C::Suspended
        | C::Shadowed
        | C::Drifted
        | C::RolledBack
        | C::Superseded
        | C::Orphan
        | C::ReviewPending
        | C::ReviewRejected
        | C::MergeConflict
        | C::LostRace
        | C::Disk
        | C::JobFailed
        | C::CanaryPaused
        | C::Retagged
        | C::Unproven
        | C::Stale
        | C::Unknown => Outlook::Lasts,
    }
}

/// A moving row is in trouble once it is late, and at once if it cannot get into Git.
fn pending(row: &Tracked, now: Timestamp) -> IncidentStanding {
    if refused(row) {
        return IncidentStanding::Trouble(Severity::Error);
    }
    let code = row.landing.cause.as_ref().map(|cause| cause.code);
    if code == Some(CauseCode::MergeConflict) {
        return IncidentStanding::Trouble(Severity::Warning);
    }
    let Some(deadline) = row.deadline.filter(|deadline| *deadline <= now) else { return IncidentStanding::Moving };
    // More than twice the allowed time is no mere delay, except for reviews: people sleep.
    let allowed = row.declared.since.map(|since| elapsed(since, deadline)).filter(|allowed| !allowed.is_zero());
    let twice = allowed.is_some_and(|allowed| elapsed(deadline, now) >= allowed);
    let review = row.landing.rung == Some(Rung::Merged);
    IncidentStanding::Trouble(if twice && !review { Severity::Error } else { Severity::Warning })
}

/// Whether it was refused, so that trying again does not help.
fn refused(row: &Tracked) -> bool {
    let Some(cause) = row.landing.cause.as_ref().filter(|cause| outlook(cause.code) == Outlook::Refused) else {
        return false;
    };
    match cause.code {
        CauseCode::PushRejected => matches!(row.landing.rung, Some(Rung::Committed | Rung::Merged)),
        // In a cluster it is a controller that lacks the permission, which shows in its own state.
        CauseCode::Forbidden => row.landing.state == State::Unknown,
        _ => true,
    }
}
