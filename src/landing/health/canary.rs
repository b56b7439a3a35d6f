//! Flagger: what it says about the change that it analyses.

use super::Assessment;
use crate::landing::cause;
use crate::model::observation::{Canary, Object, condition};
use crate::model::{Cause, CauseCode, Verdict};

/// Judges a Canary.
pub(super) fn assess(object: &Object, it: &Canary) -> Assessment {
    if it.suspend {
        let message = format!("{} is suspended", object.label());
        let next = cause::next(CauseCode::Suspended, object, None);
        let evidence = vec!["spec.suspend: true".to_owned()];
        return Assessment::because(Verdict::Paused, cause::make(CauseCode::Suspended, message, evidence, next));
    }
    match it.phase.as_deref() {
        Some("Succeeded" | "Initialized") => Assessment::new(Verdict::Current),
        Some("Failed") => Assessment::because(Verdict::Failed, failed(object, it)),
        Some("Waiting" | "WaitingPromotion") => Assessment::because(Verdict::Paused, waiting(object, it)),
        Some("Terminating" | "Terminated") => Assessment::new(Verdict::Terminating),
        _ => Assessment::because(Verdict::Progressing, analysing(object, it)),
    }
}

fn said(it: &Canary) -> String {
    let promoted = condition(&it.conditions, "Promoted").map(|c| c.message.as_str()).filter(|said| !said.is_empty());
    promoted.unwrap_or("no reason given").to_owned()
}

fn seen(it: &Canary) -> Vec<String> {
    let phase = format!("status.phase: {}", it.phase.as_deref().unwrap_or("none"));
    let weight = it.weight.map(|weight| format!("status.canaryWeight: {weight}"));
    let failed = it.failed_checks.filter(|failed| *failed > 0).map(|failed| format!("status.failedChecks: {failed}"));
    [Some(phase), weight, failed].into_iter().flatten().collect()
}

/// Its analysis failed: the primary keeps serving the previous version.
pub(super) fn failed(object: &Object, it: &Canary) -> Cause {
    let message =
        format!("{}: its analysis failed and the primary keeps the previous version: {}", object.label(), said(it));
    let next = format!("find out which check failed: `{}`; then commit a version that passes", cause::describe(object));
    cause::make(CauseCode::RolledBack, message, seen(it), next)
}

/// It waits for a manual confirmation.
pub(super) fn waiting(object: &Object, it: &Canary) -> Cause {
    let message = format!("{} waits for a confirmation: {}", object.label(), said(it));
    let next = "confirm it at the webhook that gates the rollout or the promotion, or let it be rejected";
    cause::make(CauseCode::CanaryPaused, message, seen(it), next)
}

/// The analysis is running.
pub(in crate::landing) fn analysing(object: &Object, it: &Canary) -> Cause {
    let weight = it.weight.unwrap_or(0);
    let message = format!("{} is being analysed; {weight} % of the traffic goes to the new version", object.label());
    let next = format!("wait for the analysis; its progress: `{}`", cause::describe(object));
    cause::make(CauseCode::NotReady, message, seen(it), next)
}
