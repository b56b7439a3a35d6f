//! Which workloads use the image that is asked for.

use std::collections::HashSet;

use crate::model::observation::{Body, Container, Object};
use crate::model::{ImageReference, Verdict, Version};

use super::image::{Carries, SameImage, carries, same_image};
use super::question::Question;
use super::{World, assess, tie};

/// A workload that uses the image.
pub(super) struct Use<'a> {
    /// The workload.
    pub(super) object: &'a Object,
    /// The version in its template.
    pub(super) version: Version,
    /// Whether that is the one asked for.
    pub(super) carries: Carries,
    /// The reference as written.
    pub(super) written: String,
    /// Whether it is of another registry host.
    pub(super) mirror: bool,
}

/// Workloads that use the image: by its own name, or, where none does, through a mirror. Jobs that are done stay behind with
/// old images and say nothing, unless they are all there is.
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
    // Pods that stand for their unknown owner: beside those of the new template, the others are on their way out.
    let is_pod = |used: &Use<'_>| matches!(used.object.body, Body::Pod(_) | Body::ReplicaSet(_));
    if found.iter().any(|used| is_pod(used) && used.carries != Carries::No) {
        found.retain(|used| !is_pod(used) || used.carries != Carries::No);
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
        found.retain(|used| !leftover(used) || !is_done(world, used.object));
    }
    found
}

/// The workloads that may be meant: those that are named, those of the controllers that are named, or all.
fn candidates<'a>(world: &'a World<'a>, question: &Question) -> Vec<&'a Object> {
    let controllers = question.scope.controllers.as_deref().unwrap_or_default();
    if let Some(keys) = &question.scope.workloads {
        let named = keys.iter().filter_map(|key| world.get(key));
        return named.inspect(|object| drop(world.controllers(object))).collect();
    }
    if controllers.is_empty() {
        return world.all_workloads();
    }
    // One controller may have thousands, and several may have the same.
    let mut seen: HashSet<usize> = HashSet::new();
    let controllers = controllers.iter().chain(&question.scope.held).filter_map(|key| world.get(key));
    let all = controllers.flat_map(|controller| world.templates(controller));
    all.filter(|workload| seen.insert(std::ptr::from_ref(*workload).addr())).collect()
}

/// Where some workloads have controllers, those of other namespaces without one are somebody else's, and so are bare pods and
/// Jobs, which people start by hand.
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

fn is_done(world: &World<'_>, object: &Object) -> bool {
    assess(world, object).verdict == Verdict::Current
}

fn used<'a>(world: &'a World<'a>, object: &'a Object, image: &ImageReference) -> Option<Use<'a>> {
    let containers: &[Container] = tie::template(world, object);
    let mut best: Option<Use<'a>> = None;
    for container in containers {
        let same = same_image(image, &container.image);
        if same == SameImage::Other {
            continue;
        }
        let Ok(reference) = ImageReference::parse(&container.image) else { continue };
        let it = Use {
            object,
            carries: carries(&image.version, &reference.version),
            version: reference.version,
            written: container.image.clone(),
            mirror: same == SameImage::Mirror,
        };
        // Every container that uses the image must have it, so that the first that has not is the one to tell.
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
