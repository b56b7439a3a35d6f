//! Jobs and CronJobs.
//!
//! kstatus calls a running Job current, and every CronJob too; here a Job is done when it is complete, and a CronJob is
//! judged by its last runs.

use crate::model::observation::{Body, ConditionStatus, CronJob, Job, Object, StatusPresence, condition};
use crate::model::{Cause, CauseCode, Verdict};

use super::Assessment;
use super::deployment::{failing, of_pod, refused, waiting};
use crate::landing::{World, cause, image};

/// Judges a Job.
pub(super) fn job(world: &World<'_>, object: &Object, job: &Job) -> Assessment {
    let of = |kind| condition(&job.conditions, kind).filter(|c| c.status == ConditionStatus::True);
    let pods: Vec<&Object> = world.children(object).filter(|pod| pod.kind == "Pod").collect();
    if let Some(failed) = of("Failed").or_else(|| of("FailureTarget")) {
        if let Some((pod, found)) = failing(world, &pods).filter(|(_, found)| found.code != CauseCode::NotReady) {
            return Assessment::because(Verdict::Failed, of_pod(object, (pod, found)));
        }
        return Assessment::because(Verdict::Failed, cause::of_condition(object, CauseCode::JobFailed, failed));
    }
    if of("Complete").or_else(|| of("SuccessCriteriaMet")).is_some() {
        return Assessment::new(Verdict::Current);
    }
    if job.suspend {
        let message = format!("{} is suspended", object.label());
        let next = cause::next(CauseCode::Suspended, object, None);
        return Assessment::because(Verdict::Paused, cause::make(CauseCode::Suspended, message, Vec::new(), next));
    }
    // The Job starts when its controller first sees it, before there is any pod.
    if job.active == 0 && job.succeeded == 0 && pods.is_empty() {
        if let Some(refused) = refused(world, object, &[], &[]) {
            return refused;
        }
        if job.start_time.is_none() && job.failed == 0 {
            let verdict = if object.status == StatusPresence::Absent { Verdict::Progressing } else { Verdict::Unknown };
            return Assessment::new(verdict);
        }
    }
    // A failed pod may be followed by another; one that cannot be pulled or configured blocks the Job.
    let blocked = failing(world, &pods).filter(|(pod, found)| {
        let ended = matches!(&pod.body, Body::Pod(it) if it.phase.as_deref() == Some("Failed"));
        !ended && found.code != CauseCode::JobFailed
    });
    if let Some(blocked) = blocked {
        return Assessment::because(Verdict::Failed, of_pod(object, blocked));
    }
    let message =
        format!("{}: {} active, {} succeeded, {} failed", object.label(), job.active, job.succeeded, job.failed);
    let starting: Vec<&Object> = pods.into_iter().filter(|pod| is_starting(pod)).collect();
    if let Some((_, why)) = waiting(world, &starting) {
        let made = cause::make(why.code, format!("{message}; {}", why.message), why.evidence, why.next);
        return Assessment::because(Verdict::Progressing, Cause { blame: why.blame, ..made });
    }
    let next = cause::next(CauseCode::JobFailed, object, None);
    Assessment::because(Verdict::Progressing, cause::make(CauseCode::NotReady, message, Vec::new(), next))
}

/// Whether a pod's main containers have not been running yet. Once they have, a Job's pod is working, ready or not.
fn is_starting(pod: &Object) -> bool {
    matches!(&pod.body, Body::Pod(it) if it.phase.as_deref() == Some("Pending"))
}

/// Judges a CronJob by the newest Job of its current template.
pub(super) fn cron_job(world: &World<'_>, object: &Object, it: &CronJob) -> Assessment {
    if it.suspend {
        let message = format!("{} is suspended", object.label());
        let next = cause::next(CauseCode::Suspended, object, None);
        return Assessment::because(Verdict::Paused, cause::make(CauseCode::Suspended, message, Vec::new(), next));
    }
    let runs = world.children(object).filter(|run| match &run.body {
        Body::Job(job) => image::is_of_template(&job.template, &it.template),
        _ => false,
    });
    let newest = runs.max_by_key(|run| run.created);
    let Some(run) = newest else { return by_times(world, object, it) };
    if run.status == StatusPresence::Absent {
        return Assessment::new(Verdict::Unknown);
    }
    let found = super::assess(world, run);
    match (found.verdict, found.cause) {
        (Verdict::Failed, Some(why)) => Assessment::because(Verdict::Failed, of_pod(object, (run, why))),
        (Verdict::Current, _) => Assessment::new(Verdict::Current),
        (Verdict::Unknown, _) => Assessment::new(Verdict::Unknown),
        // A run that has failed once may still be retried.
        (Verdict::Progressing, Some(why)) if matches!(&run.body, Body::Job(job) if job.failed > 0) => {
            Assessment::because(Verdict::Progressing, of_pod(object, (run, why)))
        }
        _ => unproven(object, &format!("its run {} is not done yet", run.name)),
    }
}

/// Without a visible run: the success of a run that was scheduled after the template's last change is a success of that template. When it
/// succeeded says nothing alone: it may have begun with the template of before.
fn by_times(world: &World<'_>, object: &Object, it: &CronJob) -> Assessment {
    let written = object.image_writers.iter().filter_map(|writer| writer.time).max();
    let synced = world.controllers(object).into_iter().filter_map(|controller| match &controller.body {
        Body::Application(app) => app.operation.as_ref()?.finished_at,
        Body::Kustomization(it) => condition(&it.conditions, "Ready")?.last_transition,
        _ => None,
    });
    let written = written.or_else(|| synced.max());
    let after = |time: Option<jiff::Timestamp>| time.zip(written).is_some_and(|(time, written)| time > written);
    match (it.last_successful, written) {
        (Some(_), Some(_)) if after(it.last_successful) && after(it.last_schedule) => Assessment::new(Verdict::Current),
        (Some(_), _) => unproven(object, "it has not been seen to succeed since its template changed"),
        (None, _) => unproven(object, "it has not run yet"),
    }
}

fn unproven(object: &Object, why: &str) -> Assessment {
    let message = format!("{}: {why}", object.label());
    let (place, name) = (cause::in_namespace(object), &object.name);
    let next =
        format!("wait for its next run, or start one: `kubectl {place}create job --from=cronjob/{name} {name}-now`");
    Assessment::because(Verdict::Current, cause::make(CauseCode::Unproven, message, Vec::new(), next))
}
