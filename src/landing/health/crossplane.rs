//! Packages of Crossplane: `Provider`, `Function`, `Configuration` of `pkg.crossplane.io`.
//!
//! `Installed` tells whether the package could be fetched, unpacked and verified; `Healthy` whether its active revision is. Why it
//! is not stands in the revision's own conditions (Crossplane, `apis/pkg/v1/conditions.go`). A package is named by a tag, which
//! is resolved again only when the specification changes: `status.currentIdentifier` is what was resolved last.

use crate::landing::cause::classify::PackageFailure;
use crate::landing::cause::{self, classify};
use crate::landing::{World, assess};
use crate::model::observation::{Condition, ConditionStatus, Object, Other, Package, condition};
use crate::model::{CauseCode, Verdict};

use super::{Assessment, unobserved};

/// Judges a package.
pub(super) fn package(world: &World<'_>, object: &Object, it: &Other, package: &Package) -> Assessment {
    if let Some(stale) = unobserved(object, it.observed_generation) {
        return stale;
    }
    let (installed, healthy) = (condition(&it.conditions, "Installed"), condition(&it.conditions, "Healthy"));
    match installed.map(|installed| (installed.status, installed.reason.as_str(), installed)) {
        Some((ConditionStatus::False, "InactivePackageRevision", installed)) => {
            let mut made = cause::of_condition(object, CauseCode::Suspended, installed);
            made.next =
                "activate the revision (`spec.desiredState: Active`), or set spec.revisionActivationPolicy: Automatic"
                    .to_owned();
            return Assessment::because(Verdict::Paused, made);
        }
        Some((ConditionStatus::False, _, installed)) => return failed(object, installed),
        Some((ConditionStatus::True, ..)) => {}
        Some((ConditionStatus::Unknown, ..)) | None => return Assessment::new(Verdict::Progressing),
    }
    if package.current.as_ref() != Some(&package.wanted) {
        let message = format!("{} has not resolved {} yet", object.label(), package.wanted);
        let evidence = vec![format!("status.currentIdentifier: {}", package.current.as_deref().unwrap_or_default())];
        let next = "wait for Crossplane's package manager";
        return Assessment::because(Verdict::Progressing, cause::make(CauseCode::NotReady, message, evidence, next));
    }
    let Some(healthy) = healthy else { return Assessment::new(Verdict::Progressing) };
    match healthy.status {
        ConditionStatus::True => Assessment::new(Verdict::Current),
        ConditionStatus::Unknown => Assessment::new(Verdict::Progressing),
        ConditionStatus::False => of_revision(world, object, package).unwrap_or_else(|| failed(object, healthy)),
    }
}

/// Why the current revision of an unhealthy package is not healthy: its own conditions, or what runs it.
fn of_revision(world: &World<'_>, object: &Object, package: &Package) -> Option<Assessment> {
    let name = package.revision.as_deref()?;
    let revision = world.children(object).find(|child| child.name == name)?;
    let crate::model::observation::Body::Other(it) = &revision.body else { return None };
    let not = |kind: &str| condition(&it.conditions, kind).filter(|c| c.status == ConditionStatus::False);
    if let Some(why) = not("Verified").or_else(|| not("RevisionHealthy")) {
        return Some(failed(revision, why));
    }
    let runtime = world.children(revision).map(|child| assess(world, child));
    let sick = runtime.into_iter().find(|found| found.verdict != Verdict::Current && found.cause.is_some());
    sick.or_else(|| not("RuntimeHealthy").or_else(|| not("Healthy")).map(|why| failed(revision, why)))
}

/// What a condition that is not true means; what the registry may answer at the next attempt is no failure yet.
fn failed(object: &Object, why: &Condition) -> Assessment {
    match classify::package(&why.kind, &why.message) {
        PackageFailure::Passing => {
            Assessment::because(Verdict::Progressing, cause::of_condition(object, CauseCode::FetchFailed, why))
        }
        PackageFailure::Lasting(code) => Assessment::because(Verdict::Failed, cause::of_condition(object, code, why)),
    }
}
