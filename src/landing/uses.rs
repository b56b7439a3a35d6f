//! Which workloads use an image.

use std::collections::HashSet;

use crate::model::observation::{Body, Canary, ConditionStatus, Container, Object, ResolvedImage, condition};
use crate::model::{ImageReference, Tag, Verdict, Version};

use super::image::{Carries, SameImage, carries, digest_of_id, same_image};
use super::question::Question;
use super::{World, assess, tie};

/// A workload that uses the image.
pub(super) struct Use<'a> {
    /// The workload.
    pub(super) object: &'a Object,
    /// The version in its template.
    pub(super) version: Version,
    /// Whether that is the wanted version.
    pub(super) carries: Carries,
    /// The reference as written.
    pub(super) written: String,
    /// Whether it has another registry host.
    pub(super) mirror: bool,
    /// Set if Flagger analyses its changes before they serve.
    pub(super) canary: Option<CanaryOf<'a>>,
    /// Set if this has a previous version and its replacement is running next to it.
    pub(super) successor: Option<&'a Object>,
}

/// The Flagger side of a workload.
pub(super) struct CanaryOf<'a> {
    /// The Canary, if it is visible.
    pub(super) canary: Option<(&'a Object, &'a Canary)>,
    /// The primary, if it uses the image.
    pub(super) primary: Option<Box<Use<'a>>>,
}

impl<'a> Use<'a> {
    /// The workload whose pods serve.
    pub(super) fn serving(&self) -> &Use<'a> {
        let primary = self.canary.as_ref().and_then(|canary| canary.primary.as_deref());
        primary.filter(|primary| primary.carries != Carries::No).unwrap_or(self)
    }
}

/// Workloads that use the image, by its own name or, if there are none, through a mirror. Finished Jobs remain with old
/// images and say nothing, unless there is nothing else.
pub(super) fn uses<'a>(world: &'a World<'a>, question: &Question) -> Vec<Use<'a>> {
    let mut found: Vec<Use<'a>> = candidates(world, question)
        .into_iter()
        .filter(|object| !world.is_only_a_template(object))
        .filter_map(|object| used(world, object, &question.image))
        .inspect(|used| world.rely(used.object))
        .collect();
    if found.iter().any(|used| !used.mirror) {
        found.retain(|used| !used.mirror);
    }
    // What has ended says nothing about now, unless a person started it: pods of pipelines, Jobs of queues.
    let ended = |used: &Use<'_>| {
        !used.object.owners.is_empty()
            && match &used.object.body {
                Body::Pod(pod) => pod.phase.as_deref() == Some("Succeeded"),
                Body::Job(_) => is_over(world, used.object),
                _ => false,
            }
    };
    found.retain(|used| used.carries != Carries::No || !ended(used));
    put_to_the_test(world, &mut found, &question.image);
    leave_old_revisions(world, &mut found);
    leave_old_pods(&mut found);
    // Pods that stand in for their unknown owner: if some have the new template, the others are on their way out.
    let is_pod = |used: &Use<'_>| matches!(used.object.body, Body::Pod(_) | Body::ReplicaSet(_));
    if found.iter().any(|used| is_pod(used) && used.carries != Carries::No) {
        found.retain(|used| !is_pod(used) || used.carries != Carries::No || used.successor.is_some());
    }
    if found.iter().any(|used| used.carries != Carries::No) {
        found.retain(|used| used.carries != Carries::No || !question.scope.others.contains(&used.version));
    }
    if question.scope.workloads.is_some() {
        return found;
    }
    keep_those_of_controllers(world, &mut found);
    let leftover = |used: &Use<'_>| matches!(used.object.body, Body::Job(_)) && used.carries == Carries::No;
    if found.iter().any(|used| !leftover(used)) {
        found.retain(|used| !leftover(used) || !is_over(world, used.object));
    }
    found
}

/// The workloads to consider: the given ones, those of the given controllers, or all.
fn candidates<'a>(world: &'a World<'a>, question: &Question) -> Vec<&'a Object> {
    let controllers = question.scope.controllers.as_deref().unwrap_or_default();
    if let Some(keys) = &question.scope.workloads {
        let named = keys.iter().filter_map(|key| world.get(key));
        return named.inspect(|object| drop(world.controllers(object))).collect();
    }
    if controllers.is_empty() {
        return world.all_workloads();
    }
    // One controller may have thousands of workloads, and several may share the same ones.
    let mut seen: HashSet<usize> = HashSet::new();
    let controllers = controllers.iter().chain(&question.scope.held).filter_map(|key| world.get(key));
    let all = controllers.flat_map(|controller| world.templates(controller));
    all.filter(|workload| seen.insert(std::ptr::from_ref(*workload).addr())).collect()
}

/// If some workloads have controllers, those in other namespaces without one belong to somebody else. So do bare pods
/// and Jobs, which people start by hand.
fn keep_those_of_controllers(world: &World<'_>, found: &mut Vec<Use<'_>>) {
    let tied = |used: &Use<'_>| !world.controllers(used.object).is_empty();
    let namespaces: Vec<Option<String>> =
        found.iter().filter(|used| tied(used)).map(|used| used.object.namespace.clone()).collect();
    if namespaces.is_empty() {
        return;
    }
    let by_hand = |used: &Use<'_>| matches!(used.object.body, Body::Pod(_) | Body::Job(_));
    found.retain(|used| tied(used) || (namespaces.contains(&used.object.namespace) && !by_hand(used)));
}

/// Whether a Job has ended, successfully or not: a failed Job of a previous version remains too.
fn is_over(world: &World<'_>, object: &Object) -> bool {
    let ended = |kind: &str| match &object.body {
        Body::Job(job) => condition(&job.conditions, kind).is_some_and(|c| c.status == ConditionStatus::True),
        _ => false,
    };
    assess(world, object).verdict == Verdict::Current || ended("Failed") || ended("Complete")
}

/// Attaches the primary to its original, for workloads that Flagger analyses.
fn put_to_the_test<'a>(world: &'a World<'a>, found: &mut Vec<Use<'a>>, image: &ImageReference) {
    for used in found.iter_mut() {
        used.canary = canary_of(world, used.object, image);
    }
    let is_copy = |used: &Use<'a>| used.object.owners.iter().any(|owner| owner.kind == "Canary");
    let copies: Vec<*const Object> = found
        .iter()
        .filter_map(|used| used.canary.as_ref()?.primary.as_ref())
        .map(|primary| std::ptr::from_ref(primary.object))
        .collect();
    found.retain(|used| !is_copy(used) || !copies.contains(&std::ptr::from_ref(used.object)));
}

fn canary_of<'a>(world: &'a World<'a>, object: &'a Object, image: &ImageReference) -> Option<CanaryOf<'a>> {
    if !matches!(object.body, Body::Deployment(_) | Body::DaemonSet(_)) {
        return None;
    }
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let copy = format!("{}-primary", object.name);
    let copy = world.named(&object.kind, namespace, &copy).next();
    let owner = copy.and_then(|copy| copy.owners.iter().find(|owner| owner.kind == "Canary"));
    let name = owner.map_or(object.name.as_str(), |owner| owner.name.as_str());
    let canary = world.named("Canary", namespace, name).find_map(|canary| match &canary.body {
        Body::Canary(it) if it.target.name == object.name => Some((canary, it.as_ref())),
        _ => None,
    });
    let primary = copy.filter(|_| owner.is_some() || canary.is_some());
    if canary.is_none() && primary.is_none() {
        return None;
    }
    let primary = primary.and_then(|primary| used(world, primary, image)).map(Box::new);
    Some(CanaryOf { canary, primary })
}

/// Knative keeps the Deployments of old revisions, scaled to zero, as a Deployment keeps old ReplicaSets.
fn leave_old_revisions<'a>(world: &World<'a>, found: &mut Vec<Use<'a>>) {
    let all: Vec<(&'a Object, Option<RevisionAge>)> =
        found.iter().map(|used| (used.object, revision_age(world, used.object))).collect();
    let newer = |object: &Object| {
        let own = revision_age(world, object)?;
        let others = all.iter().filter_map(|(other, age)| Some((*other, age.as_ref()?)));
        others
            .filter(|(_, age)| age.of == own.of && age.order > own.order)
            .max_by_key(|(_, age)| age.order.clone())
            .map(|(other, _)| other)
    };
    for used in found.iter_mut() {
        used.successor = newer(used.object).or(used.successor);
    }
    let is_idle =
        |object: &Object| matches!(&object.body, Body::Deployment(it) if it.replicas == 0 && it.counts.replicas == 0);
    found.retain(|used| used.successor.is_none() || !is_idle(used.object));
}

/// The Knative service that a Deployment is a revision of, and its position among the others.
struct RevisionAge {
    of: String,
    order: (Option<u64>, Option<jiff::Timestamp>, String),
}

fn revision_age(world: &World<'_>, object: &Object) -> Option<RevisionAge> {
    let owner = object.owners.iter().find(|owner| owner.kind == "Revision")?;
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let revision = world.named("Revision", namespace, &owner.name).next();
    let configuration = revision
        .and_then(|it| it.owners.iter().find(|owner| owner.kind == "Configuration"))
        .map(|owner| owner.name.clone());
    let (stem, number) = owner.name.rsplit_once('-').unwrap_or((&owner.name, ""));
    let of = configuration.unwrap_or_else(|| stem.to_owned());
    Some(RevisionAge { of, order: (number.parse().ok(), revision.unwrap_or(object).created, owner.name.clone()) })
}

/// The tag that a Revision resolved to the digest in its Deployment: Knative writes no tag there.
fn tag_of_revision(world: &World<'_>, object: &Object, container: &Container) -> Option<Tag> {
    let owner = object.owners.iter().find(|owner| owner.kind == "Revision")?;
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let Body::Other(revision) = &world.named("Revision", namespace, &owner.name).next()?.body else { return None };
    let digest = ImageReference::parse(&container.image).ok()?.version.digest?;
    let same =
        |it: &&ResolvedImage| it.container == container.name && digest_of_id(&it.by_digest).as_ref() == Some(&digest);
    ImageReference::parse(&revision.resolved.iter().find(same)?.written).ok()?.version.tag
}

/// Pods whose owner is of a kind that is not watched: while some have the image and others of the same owner do not,
/// the owner is replacing them.
fn leave_old_pods(found: &mut Vec<Use<'_>>) {
    let owner = |used: &Use<'_>| {
        let owner = used.object.owners.iter().find(|owner| owner.kind != "ReplicaSet")?;
        matches!(used.object.body, Body::Pod(_))
            .then(|| (used.object.namespace.clone(), owner.kind.clone(), owner.name.clone()))
    };
    found.retain(|used| used.carries != Carries::No || owner(used).is_none() || used.object.deleting.is_none());
    let new: Vec<_> = found
        .iter()
        .filter(|used| used.carries != Carries::No)
        .filter_map(|used| Some((owner(used)?, used.object)))
        .collect();
    for used in found.iter_mut().filter(|used| used.carries == Carries::No) {
        let own = owner(used);
        used.successor =
            new.iter().find(|(other, _)| Some(other) == own.as_ref()).map(|(_, pod)| *pod).or(used.successor);
    }
}

fn used<'a>(world: &'a World<'a>, object: &'a Object, image: &ImageReference) -> Option<Use<'a>> {
    let containers: &[Container] = tie::template(world, object);
    let mut best: Option<Use<'a>> = None;
    for container in containers {
        let same = same_image(image, &container.image);
        if same == SameImage::Other {
            continue;
        }
        let Ok(mut reference) = ImageReference::parse(&container.image) else { continue };
        if reference.version.tag.is_none() {
            reference.version.tag = tag_of_revision(world, object, container);
        }
        let it = Use {
            object,
            carries: carries(&image.version, &reference.version),
            version: reference.version,
            written: container.image.clone(),
            mirror: same == SameImage::Mirror,
            canary: None,
            successor: None,
        };
        // Every container that uses the image must have it, so the first one that does not is reported.
        let replace = match &best {
            None => true,
            Some(other) => (other.mirror && !it.mirror) || (other.mirror == it.mirror && it.carries == Carries::No),
        };
        if replace {
            best = Some(it);
        }
    }
    best
}
