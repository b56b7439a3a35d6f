//! Whether a chart, or another artifact that is no image, has landed.
//!
//! No template carries its version: an object does, in its own specification (HelmRelease, Application, OCIRepository). Whoever applies
//! that object is asked first whether it carries the version; then the object itself, which version it has released, compared or
//! fetched; and then whatever runs because of it. The parts are judged as they are for images.

use std::collections::BTreeMap;

use crate::model::observation::{
    AppSource, Application, Body, CROSSPLANE, ChartSpec, HelmRelease, Object, Revision, Source,
};
use crate::model::{
    CauseCode, Digest, ImageName, ImageReference, Landing, Rung, Scheme, State, Tag, Verdict, Version, is_exact_version,
};

use super::chain::{ControllerProgress, Live, argo, helm, landing, paused, pending, stuck, unproven};
use super::image::{Carries, carries};
use super::judge::{controller_progress, explain};
use super::question::{Contains, Git, Question, RevisionFact};
use super::{World, assess, cause};

/// An object whose specification names the artifact.
pub(super) struct Holder<'a> {
    /// The object.
    pub(super) object: &'a Object,
    /// The version that it names.
    pub(super) version: Version,
}

/// The objects that name an artifact, among those that the file in question declares, or among all.
pub(super) fn holders<'a>(world: &World<'a>, question: &Question) -> Vec<Holder<'a>> {
    let objects = match &question.scope.controllers {
        Some(_) => question.scope.held.iter().filter_map(|key| world.get(key)).collect(),
        None => world.objects(),
    };
    let named = |object: &'a Object| Some(Holder { object, version: named_version(world, object, question)? });
    objects.into_iter().filter_map(named).collect()
}

/// How far the version of a question has come in one of them.
pub(super) fn judge(world: &World<'_>, question: &Question, holder: &Holder<'_>, managers: &[&Object]) -> Landing {
    let Holder { object, version } = holder;
    if carries(&question.image.version, version) == Carries::No {
        let live = Live { object, version: version.clone() };
        let of = |manager: &&Object| controller_progress(world, question, manager, Some(&live));
        let progress: Vec<ControllerProgress> = managers.iter().filter_map(of).collect();
        if progress.is_empty() {
            let message = "it names another version, and nothing visible applies it";
            return unproven(Rung::Applied, object, message, "add the objects that apply it to the dump");
        }
        return explain(progress, Carries::No);
    }
    let own = match &object.body {
        Body::HelmRelease(it) => release(world, question, (object, it), None),
        Body::Application(app) => application(world, question, object, app),
        Body::Source(source) => fetched(world, question, object, source),
        _ => Some(by_verdict(world, object, Rung::Applied)),
    };
    own.unwrap_or_else(|| running(world, object))
}

/// What is known where no visible object names the artifact: that a controller applied the file proves nothing of it.
pub(super) fn without_holder(question: &Question, found: Landing) -> Landing {
    if found.state != State::Landed {
        return found;
    }
    let message = format!("no visible object names {}", question.image.name);
    let next =
        "let the bot read the object that names it: `kubectl get` its kind, and grant what is missing (rbac.yaml)";
    landing(State::Unknown, Some(Rung::Applied), cause::make(CauseCode::Unproven, message, Vec::new(), next))
}

/// Whether an object of this file is a package of Crossplane, whose version is that of an image.
pub(super) fn is_package(question: &Question) -> bool {
    question.scope.held.iter().any(|key| key.group == CROSSPLANE)
}

/// The version of this artifact that an object names, if it names it.
fn named_version(world: &World<'_>, object: &Object, question: &Question) -> Option<Version> {
    let name = &question.image.name;
    let is_chart = |chart: &ChartSpec| is_chart(world, object, chart, question);
    // A registry has `_` where a chart's version has `+`, and so has what asks for a tag there.
    let spelled = |tag: Tag| match name.scheme() {
        Scheme::Oci => tag.borrowed().of_chart().unwrap_or(tag),
        Scheme::Image | Scheme::Https | Scheme::Http => tag,
    };
    let tag = |text: &Option<String>| text.as_deref().and_then(|text| Tag::parse(text).ok()).map(spelled);
    match &object.body {
        Body::HelmRelease(it) => {
            let chart = it.chart.as_ref().filter(|chart| is_chart(chart))?;
            Some(Version { tag: tag(&chart.version), digest: None })
        }
        Body::HelmChart(it) => is_chart(&it.spec).then(|| Version { tag: tag(&it.spec.version), digest: None }),
        Body::Application(app) => {
            let source = app.sources.iter().find(|source| source_name(source).as_ref() == Some(name))?;
            Some(Version { tag: tag(&source.target_revision), digest: None })
        }
        Body::Source(it) if object.kind == "OCIRepository" => {
            let named = it.url.as_deref().and_then(|url| ImageName::parse(url).ok())?;
            let digest = it.reference.digest.as_deref().and_then(|text| Digest::parse(text).ok());
            // An exact version in place of a range is a tag; Flux asks for a digest before it, and for it before a tag.
            let exact = tag(&it.reference.semver).filter(|tag| is_exact_version(tag.as_str()));
            (named == *name).then(|| Version { tag: exact.or_else(|| tag(&it.reference.tag)), digest })
        }
        Body::Other(it) => {
            let package = ImageReference::parse(&it.package.as_ref()?.wanted).ok()?;
            (package.name == *name).then_some(package.version)
        }
        _ => None,
    }
}

/// Whether a chart is the one of the question. The repository that it is from may be invisible; then its own name decides for an object
/// that the file in question declares, and for no other.
fn is_chart(world: &World<'_>, object: &Object, chart: &ChartSpec, question: &Question) -> bool {
    let name = &question.image.name;
    let to = &chart.source_ref;
    let kind = to.kind.as_deref().unwrap_or("HelmRepository");
    if kind != "HelmRepository" || chart.chart.contains("./") {
        return false;
    }
    match world.referred(object, to, kind).map(|repository| &repository.body) {
        Some(Body::Source(repository)) => {
            let url = repository.url.as_deref().unwrap_or_default();
            ImageName::chart(url, &chart.chart).is_ok_and(|named| named == *name)
        }
        _ => question.scope.controllers.is_some() && name.short() == chart.chart,
    }
}

/// The chart or artifact of an Application's source. Argo CD writes registries without a scheme.
fn source_name(source: &AppSource) -> Option<ImageName> {
    let url = source.repo_url.trim_end_matches('/');
    match &source.chart {
        Some(chart) if url.contains("://") => ImageName::chart(url, chart).ok(),
        Some(chart) => ImageName::chart(&format!("oci://{url}"), chart).ok(),
        None => ImageName::parse(url).ok().filter(|name| name.scheme() == Scheme::Oci),
    }
}

/// What keeps a HelmRelease from having released the version of the question: that of its chart, or the revision that the
/// OCIRepository which it names has fetched.
fn release(
    world: &World<'_>,
    question: &Question,
    (object, it): (&Object, &HelmRelease),
    fetched: Option<&str>,
) -> Option<Landing> {
    // It knows no commits: whether it has the change was seen in its specification.
    let apart = Question { git: Git::Unknown, ..question.clone() };
    let progress = helm::helm_release(world, &apart, object, it, None);
    if let Some(found) = progress.before.or(progress.unfinished) {
        return Some(found);
    }
    let wanted = &question.image.version;
    let released = it.history.first().and_then(|last| last.chart_version.as_deref());
    let is_it = |version: &str| match (&wanted.tag, fetched) {
        (_, Some(revision)) if is_made_from(version, revision) => true,
        (Some(tag), _) => same_version(version, tag),
        (None, _) => false,
    };
    if released.is_some_and(is_it) {
        return None;
    }
    let message = format!("{} has not released version {wanted} of its chart yet", object.label());
    let evidence = format!("history[0].chartVersion: {}", released.unwrap_or("none"));
    let made =
        cause::make(CauseCode::NotReady, message, vec![evidence], cause::next(CauseCode::NotReady, object, None));
    Some(pending(Rung::Applied, made))
}

/// Helm writes a version as the chart's own file has it, which may have a `v` less or more than what asks for it.
fn same_version(written: &str, wanted: &Tag) -> bool {
    plain(written) == plain(wanted.as_str())
}

fn plain(version: &str) -> &str {
    version.strip_prefix('v').unwrap_or(version)
}

/// Whether a chart was made from a revision of an OCIRepository. helm-controller puts the first twelve digits of the digest in the
/// place of the version's build metadata (`mutateChartWithSourceRevision`).
fn is_made_from(chart_version: &str, revision: &str) -> bool {
    let (tag, digest) = in_parts(revision);
    let Some((version, metadata)) = chart_version.split_once('+') else { return false };
    let of_tag = tag.split(['+', '_']).next().unwrap_or_default();
    let hex = digest.split_once(':').map_or("", |(_, hex)| hex);
    (tag.is_empty() || plain(version) == plain(of_tag)) && hex.get(..12) == Some(metadata)
}

/// The tag and the digest of a Flux artifact's revision: `1.2.0@sha256:…`, or the digest alone where the source asks for one.
fn in_parts(revision: &str) -> (&str, &str) {
    match revision.split_once('@') {
        Some(parts) => parts,
        None if revision.contains(':') => ("", revision),
        None => (revision, ""),
    }
}

/// What keeps an Application from having applied the version of the question. Its revisions of that source are versions.
fn application(world: &World<'_>, question: &Question, object: &Object, app: &Application) -> Option<Landing> {
    let facts = Question { git: Git::Facts(revisions(question, app)), ..question.clone() };
    let progress = argo::progress(world, &facts, object, app, None);
    if let Some(found) = progress.before.or(progress.unfinished) {
        return Some(found);
    }
    if let Some(stale) = progress.stale {
        return Some(landing(State::Unknown, Some(Rung::Running), stale));
    }
    if progress.contains == Contains::Unknown && !compared_to(question, app) {
        let next = format!("compare its status with the registry: `argocd app get {} --refresh`", object.name);
        return Some(unproven(Rung::Applied, object, "its status names no version of this artifact", &next));
    }
    unless_up(world, object, Rung::Running)
}

/// Whether what was compared last is the source as it is now written: a registry's artifacts are compared by digest, which says
/// nothing to those who know only a tag.
fn compared_to(question: &Question, app: &Application) -> bool {
    app.compared_to.iter().flatten().any(|source| {
        let tag = source.target_revision.as_deref().and_then(|text| Tag::parse(text).ok());
        source_name(source).as_ref() == Some(&question.image.name) && tag == question.image.version.tag
    })
}

/// What the revisions of an Application say about the version: those of the source that names the artifact.
fn revisions(question: &Question, app: &Application) -> BTreeMap<String, RevisionFact> {
    let wanted = &question.image.version;
    let is_it = |source: &AppSource| source_name(source).as_ref() == Some(&question.image.name);
    let Some(at) = app.sources.iter().position(is_it) else { return BTreeMap::new() };
    let operation = app.operation.iter().map(|it| &it.revisions);
    let lists = std::iter::once(&app.sync_revisions).chain(operation).chain(app.history.iter().map(|it| &it.revisions));
    let fact = |revision: &Revision| {
        let text = revision.as_str();
        let (contains, tag) = match (Digest::parse(text), Tag::parse(text)) {
            (Ok(digest), _) => match &wanted.digest {
                Some(wanted) if *wanted == digest => (Contains::Yes, wanted_tag(question)),
                Some(_) => (Contains::No, None),
                None => (Contains::Unknown, None),
            },
            (_, Ok(tag)) if wanted.tag.as_ref().is_some_and(|wanted| same_version(text, wanted)) => {
                (Contains::Yes, Some(tag))
            }
            (_, Ok(tag)) => (Contains::No, Some(tag)),
            _ => (Contains::Unknown, None),
        };
        let declares = tag.map(|tag| Version { tag: Some(tag), digest: None });
        (super::question::key(revision).to_owned(), RevisionFact { contains, declares })
    };
    lists.filter_map(|list| list.get(at)).map(fact).collect()
}

fn wanted_tag(question: &Question) -> Option<Tag> {
    question.image.version.tag.clone()
}

/// What keeps an OCIRepository from having fetched the version, and what is made from it from having applied it.
fn fetched(world: &World<'_>, question: &Question, object: &Object, source: &Source) -> Option<Landing> {
    if let Some(found) = unless_up(world, object, Rung::Fetched) {
        return Some(found);
    }
    let wanted = &question.image.version;
    let revision = source.artifact.as_ref().map(|artifact| artifact.revision.as_str());
    let (tag, digest) = in_parts(revision.unwrap_or_default());
    let has = match &wanted.digest {
        Some(wanted) => digest == wanted.as_str(),
        None => wanted.tag.as_ref().is_some_and(|wanted| wanted.in_registry().as_str() == tag),
    };
    if !has {
        let message = format!("{} has not fetched {wanted} yet", object.label());
        let evidence = format!("status.artifact.revision: {}", revision.unwrap_or("none"));
        let next = cause::next(CauseCode::NotFetched, object, None);
        return Some(pending(Rung::Fetched, cause::make(CauseCode::NotFetched, message, vec![evidence], next)));
    }
    let made = world.made_from(object);
    if made.is_empty() {
        let next = "let a Kustomization or a HelmRelease name it as its source, or remove it";
        return Some(unproven(Rung::Applied, object, "it was fetched, and nothing visible is made from it", next));
    }
    made.into_iter()
        .map(|user| used(world, question, (object, revision.unwrap_or_default()), user))
        .reduce(Landing::worse)
}

/// What is made from a source, which has fetched the version.
fn used(world: &World<'_>, question: &Question, (source, revision): (&Object, &str), user: &Object) -> Landing {
    match &user.body {
        Body::Kustomization(it) => {
            if let Some(found) = unless_up(world, user, Rung::Applied) {
                return found;
            }
            if it.last_applied.as_ref().is_none_or(|applied| applied.as_str() != revision) {
                let message = format!("{} has not applied what {} fetched yet", user.label(), source.label());
                let applied = it.last_applied.as_ref().map_or("none", Revision::as_str);
                let evidence = vec![format!("status.lastAppliedRevision: {applied}")];
                let next = cause::next(CauseCode::NotFetched, user, None);
                return pending(Rung::Applied, cause::make(CauseCode::NotFetched, message, evidence, next));
            }
            running(world, user)
        }
        Body::HelmRelease(it) => {
            release(world, question, (user, it), Some(revision)).unwrap_or_else(|| running(world, user))
        }
        _ => by_verdict(world, user, Rung::Applied),
    }
}

/// What an object's own verdict means for the landing.
fn by_verdict(world: &World<'_>, object: &Object, rung: Rung) -> Landing {
    let found = assess(world, object);
    match (found.verdict, found.cause) {
        (Verdict::Current, cause) => landing(State::Landed, None, cause),
        (Verdict::Failed, Some(cause)) if cause.code == CauseCode::RolledBack => {
            landing(State::RolledBack, None, cause)
        }
        (Verdict::Failed, Some(cause)) => stuck(rung, cause),
        (Verdict::Paused, Some(cause)) => paused(rung, cause),
        (Verdict::Unknown, cause) => landing(State::Unknown, Some(rung), cause),
        (_, cause) => pending(rung, cause),
    }
}

/// What keeps it from being up; `None` if it is.
fn unless_up(world: &World<'_>, object: &Object, rung: Rung) -> Option<Landing> {
    Some(by_verdict(world, object, rung)).filter(|found| found.state != State::Landed)
}

/// Whether what a controller manages is up. What ends by itself, or waits for a schedule, says nothing about the version.
fn running(world: &World<'_>, controller: &Object) -> Landing {
    let serves = |object: &&Object| {
        let kinds = ["Deployment", "StatefulSet", "DaemonSet", "Rollout"];
        kinds.contains(&object.kind.as_str()) && !world.is_only_a_template(object)
    };
    let workloads = world.workloads(controller).into_iter().filter(serves);
    let worst = workloads.filter_map(|workload| unless_up(world, workload, Rung::Running)).reduce(Landing::worse);
    worst.unwrap_or_else(|| landing(State::Landed, None, None))
}
