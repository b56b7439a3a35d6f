//! Landings of updates that are not in Git yet, and of images that could not be read: state, cause and next step.

use crate::model::{Cause, CauseCode, FailureCode, ImageName, Landing, PullState, Rung, State};
use crate::plan::{Attention, Gate, Hold};

/// The next step if the bot cannot write to its own disk.
pub const DISK: &str = "free space on the bot's volume, or let it write to its state folder";

/// The next step if the bot itself is at fault.
const FAULT: &str = "report it with the bot's log; the next cycles try again, less and less often";

/// A planned update, pending at this rung.
#[must_use]
pub fn planned(rung: Rung) -> Landing {
    Landing { state: State::Pending, rung: Some(rung), cause: None }
}

/// A landing with a cause.
#[must_use]
pub fn landing(state: State, rung: Option<Rung>, code: CauseCode, message: &str, next: String) -> Landing {
    let cause = Cause { code, message: message.to_owned(), evidence: Vec::new(), next, blame: code.blame() };
    Landing { state, rung, cause: Some(cause) }
}

/// An update that waits for a person's review.
#[must_use]
pub fn review(url: &str, message: &str) -> Landing {
    let next = format!("review and merge {url}, or close it to hold this version");
    landing(State::Pending, Some(Rung::Merged), CauseCode::ReviewPending, message, next)
}

/// A hold that follows from no gate of its own.
fn of_attention(hold: &Hold, or_wait: &str) -> Option<Landing> {
    let (state, code, next) = match hold.attention {
        Attention::Incident => (
            State::Stuck,
            CauseCode::Suspended,
            format!("find out what else writes to {}, and stop one of the two{or_wait}", hold.update.overlay),
        ),
        Attention::PushedAgain => (
            State::Stuck,
            CauseCode::Retagged,
            format!(
                "find out who pushed it again and what is in it; then run `landfall release {}` to accept it, or write another tag",
                hold.update.app
            ),
        ),
        Attention::Undecidable => (
            State::Paused,
            CauseCode::Suspended,
            format!("set `adopt: true` in the policy {}, or write the first version by hand", hold.update.policy),
        ),
        Attention::Expected | Attention::Never => return None,
    };
    Some(landing(state, Some(Rung::Committed), code, &hold.reason, next))
}

/// A held update.
#[must_use]
pub fn held(hold: &Hold) -> Landing {
    let until = hold.until.map_or(String::new(), |until| format!(" ({until:.0})"));
    let or_wait = hold.until.map_or(String::new(), |until| format!(", or wait until {until:.0}"));
    let at = Some(Rung::Committed);
    if let Some(found) = of_attention(hold, &or_wait) {
        return found;
    }
    let paused = |code: CauseCode, what: &str| {
        landing(State::Paused, at, code, &hold.reason, format!("nothing to do but wait until {what}{until}"))
    };
    match (hold.gate, hold.pull.as_ref().map(|pull| (pull.state, &pull.url))) {
        (Gate::Approval, Some((PullState::Open, url))) => review(url, &hold.reason),
        (Gate::Approval, _) => paused(CauseCode::Suspended, "the gate opens"),
        (Gate::Hold, Some((PullState::Closed, url))) => {
            let next = format!("reopen {url}, or wait for a newer version");
            landing(State::Rejected, None, CauseCode::ReviewRejected, &hold.reason, next)
        }
        (Gate::Hold, _) => {
            let next = format!(
                "nothing to do if that was intended; otherwise run `landfall release {}`{or_wait}",
                hold.update.app
            );
            landing(State::Rejected, None, CauseCode::RolledBack, &hold.reason, next)
        }
        // The reason says when, by the window's own clock.
        (Gate::Window, _) => {
            let next = "nothing to do: the window opens".to_owned();
            landing(State::Paused, at, CauseCode::WindowClosed, &hold.reason, next)
        }
        (Gate::MinimumReleaseAge, _) => paused(CauseCode::Dependency, "it reaches its minimum age"),
        (Gate::Platforms, _) => {
            let next = "check whether the build of the image has succeeded".to_owned();
            landing(State::Pending, at, CauseCode::ImagePlatform, &hold.reason, next)
        }
        (Gate::Signature, _) => {
            let next = "sign this very digest as the policy demands; every cycle looks again".to_owned();
            landing(State::Paused, at, CauseCode::Dependency, &hold.reason, next)
        }
        (Gate::Promotion, _) => paused(CauseCode::Dependency, "it has soaked upstream"),
        (Gate::Freeze, _) if hold.until.is_some() => paused(CauseCode::WindowClosed, "the freeze ends"),
        (Gate::Freeze, _) => landing(
            State::Paused,
            at,
            CauseCode::WindowClosed,
            &hold.reason,
            "run `landfall unfreeze` to end it".to_owned(),
        ),
        (Gate::Rate, _) => paused(CauseCode::Suspended, "earlier updates have gone through"),
    }
}

/// Why nothing is known about an image, or about a whole repository if no image is given, and what to do.
#[must_use]
pub fn unknown(code: FailureCode, image: Option<&ImageName>, repository: &str) -> (CauseCode, String) {
    let of = |image: Option<String>, whole: String| image.unwrap_or(whole);
    match code {
        FailureCode::Authentication => (
            CauseCode::Authentication,
            of(
                image.map(|it| format!("give the bot credentials for {} that may pull {it}", it.registry())),
                format!("renew the credentials that repository {repository} names"),
            ),
        ),
        FailureCode::RateLimited => (CauseCode::ImageRateLimited, "wait, or log in for a higher limit".to_owned()),
        FailureCode::ImageNotFound => (
            CauseCode::ImageNotFound,
            of(
                image.map(|it| format!("check whether {it} still exists and whether the bot may read it")),
                "check whether the image still exists".to_owned(),
            ),
        ),
        FailureCode::ConfigError => (CauseCode::ConfigError, "correct the policy or the configuration".to_owned()),
        FailureCode::Disk => (CauseCode::Disk, DISK.to_owned()),
        FailureCode::Internal => (CauseCode::Unknown, FAULT.to_owned()),
        FailureCode::Network | FailureCode::Protocol | FailureCode::Server => (
            CauseCode::FetchFailed,
            of(
                image.map(|it| format!("check that {} answers; every cycle tries again", it.registry())),
                "check that the server named above answers; every cycle tries again".to_owned(),
            ),
        ),
    }
}
