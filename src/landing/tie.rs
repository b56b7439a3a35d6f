//! Which controller manages which workload.
//!
//! Argo CD says so on the object (tracking id, in older installations the instance label) and in its own list of
//! resources; Flux by labels and in its inventory. Helm charts set the instance label, too, so that it counts only where an
//! Application of that name may have made the object. A tracking id counts only for the object that it names: tools copy
//! annotations to what they create.

use std::collections::{HashMap, HashSet};

use crate::model::observation::{Application, Body, Container, HelmRelease, Object, ObjectKey};

use super::World;
use super::rollout;

/// Workloads and their controllers.
#[derive(Debug, Default)]
pub(super) struct Ties<'a> {
    controllers: HashMap<ObjectKey, Vec<&'a Object>>,
    workloads: HashMap<ObjectKey, Vec<&'a Object>>,
    templates: HashSet<ObjectKey>,
}

/// What is looked up while tying.
struct Index<'a> {
    applications: HashMap<&'a str, Vec<(&'a Object, &'a Application)>>,
    releases: Vec<(&'a Object, &'a HelmRelease)>,
    listed: HashMap<ObjectKey, Vec<&'a Object>>,
    /// Controllers that do not say what they manage.
    silent: Vec<&'a Object>,
}

impl<'a> Ties<'a> {
    pub(super) fn find(world: &World<'a>) -> Self {
        let index = Index::new(world);
        let mut ties = Self::default();
        for object in world.objects().filter(|object| is_workload(world, object)) {
            let mut found: Vec<&Object> = Vec::new();
            index.add_controllers(world, object, &mut found, 0);
            for controller in &found {
                ties.workloads.entry(controller.key()).or_default().push(object);
            }
            ties.controllers.insert(object.key(), found);
            if let Body::Rollout(it) = &object.body
                && let Some(to) = it.workload_ref.as_ref().and_then(|to| world.referred(object, to, "Deployment"))
            {
                ties.templates.insert(to.key());
            }
        }
        ties
    }

    /// Who manages a workload: the nearest first (a HelmRelease before the Kustomization that declares it).
    pub(super) fn controllers(&self, workload: &Object) -> &[&'a Object] {
        self.controllers.get(&workload.key()).map_or(&[], Vec::as_slice)
    }

    /// Whether a Deployment only lends its template to a Rollout that runs in its place.
    pub(super) fn is_only_a_template(&self, workload: &Object) -> bool {
        !self.templates.is_empty() && self.templates.contains(&workload.key())
    }

    /// What a controller manages.
    pub(super) fn workloads(&self, controller: &Object) -> &[&'a Object] {
        self.workloads.get(&controller.key()).map_or(&[], Vec::as_slice)
    }
}

impl<'a> Index<'a> {
    fn new(world: &World<'a>) -> Self {
        let mut index =
            Self { applications: HashMap::new(), releases: Vec::new(), listed: HashMap::new(), silent: Vec::new() };
        for object in world.objects() {
            match &object.body {
                Body::Application(app) => {
                    index.applications.entry(&object.name).or_default().push((object, app));
                    for it in app.resources.iter().flatten() {
                        let key = ObjectKey::new(&it.group, &it.kind, it.namespace.as_deref(), &it.name);
                        index.listed.entry(key).or_default().push(object);
                    }
                    if app.resources.is_none() {
                        index.silent.push(object);
                    }
                    let applied = app.operation.iter().flat_map(|operation| &operation.resources);
                    for it in applied.filter(|it| it.hook_type.is_none()) {
                        let key = ObjectKey::new(&it.group, &it.kind, it.namespace.as_deref(), &it.name);
                        index.listed.entry(key).or_default().push(object);
                    }
                }
                Body::Kustomization(it) => {
                    if it.inventory.is_none() {
                        index.silent.push(object);
                    }
                    for entry in it.inventory.iter().flatten() {
                        let key = ObjectKey::new(&entry.group, &entry.kind, entry.namespace.as_deref(), &entry.name);
                        index.listed.entry(key).or_default().push(object);
                    }
                }
                Body::HelmRelease(release) => {
                    index.releases.push((object, release));
                    index.silent.push(object);
                }
                _ => {}
            }
        }
        index
    }

    /// Adds who manages an object, and who manages those.
    fn add_controllers(&self, world: &World<'a>, object: &Object, found: &mut Vec<&'a Object>, depth: usize) {
        let mut add = |controller: &'a Object| {
            let new = !found.iter().any(|other| std::ptr::eq(*other, controller)) && controller.key() != object.key();
            if new {
                found.push(controller);
            }
            new
        };
        let mut next: Vec<&'a Object> = Vec::new();
        let direct = self.helm(world, object).into_iter().chain(self.argo(object)).chain(flux(world, object));
        for controller in direct.chain(self.listed.get(&object.key()).into_iter().flatten().copied()) {
            if add(controller) {
                next.push(controller);
            }
        }
        if next.is_empty() && (depth == 0 || matches!(object.body, Body::HelmRelease(_))) {
            next.extend(self.only_candidate(object).into_iter().filter(|controller| add(controller)));
        }
        // Apps of apps could go round in circles.
        if depth > 3 {
            return;
        }
        for controller in next.into_iter().filter(|controller| matches!(controller.body, Body::HelmRelease(_))) {
            self.add_controllers(world, controller, found, depth + 1);
        }
        for owner in &object.owners {
            let namespace = object.namespace.as_deref().unwrap_or_default();
            if let Some(owner) = world.named(&owner.kind, namespace, &owner.name).next() {
                self.add_controllers(world, owner, found, depth + 1);
            }
        }
    }

    /// For an object that says nothing of its controller: the one controller that may have made it and does not list what it
    /// made. Objects that are written down by hand, or stripped, are like that.
    fn only_candidate(&self, object: &Object) -> Option<&'a Object> {
        let says = object.annotations.keys().chain(object.labels.keys()).any(|key| {
            key.starts_with("argocd.argoproj.io/tracking")
                || key.contains("toolkit.fluxcd.io/name")
                || key.starts_with("meta.helm.sh/")
        });
        if says || !object.owners.is_empty() {
            return None;
        }
        let in_place = |namespace: &Option<String>| namespace.is_none() || *namespace == object.namespace;
        let is_release = |controller: &Object| matches!(controller.body, Body::HelmRelease(_));
        let may_be = |controller: &&Object| match &controller.body {
            Body::Application(app) => in_place(&app.destination.namespace),
            Body::Kustomization(it) => in_place(&it.target_namespace),
            Body::HelmRelease(it) => {
                let target = it.target_namespace.clone().or_else(|| controller.namespace.clone());
                in_place(&target) && !is_release(object)
            }
            _ => false,
        };
        let all: Vec<&'a Object> = self.silent.iter().copied().filter(may_be).collect();
        // A HelmRelease is nearer than the Kustomization that declares it.
        let releases: Vec<&'a Object> = all.iter().copied().filter(|controller| is_release(controller)).collect();
        let named: Vec<&'a Object> = all.iter().copied().filter(|controller| controller.name == object.name).collect();
        [releases, all, named].into_iter().find(|candidates| candidates.len() == 1)?.first().copied()
    }

    fn argo(&self, object: &Object) -> Vec<&'a Object> {
        let tracked = object.annotations.get("argocd.argoproj.io/tracking-id").and_then(|id| {
            let (app, rest) = id.split_once(':')?;
            let (kind, name) = rest.rsplit_once(':')?;
            let kind = kind.rsplit('/').next()?;
            (kind == object.kind && name.rsplit('/').next() == Some(object.name.as_str())).then_some(app)
        });
        if let Some(app) = tracked {
            // Applications outside of Argo CD's own namespace are tracked as namespace_name.
            let named = |name: &str| self.applications.get(name).into_iter().flatten();
            let exact = app.split_once('_').into_iter().flat_map(|(namespace, name)| {
                let of = move |object: &&Object| object.namespace.as_deref() == Some(namespace);
                named(name).map(|(object, _)| *object).filter(of)
            });
            return named(app).map(|(object, _)| *object).chain(exact).collect();
        }
        let label = ["argocd.argoproj.io/instance", "app.kubernetes.io/instance"]
            .iter()
            .find_map(|key| object.labels.get(*key));
        let Some(label) = label else { return Vec::new() };
        let may_be = |app: &Application| {
            app.resources.is_none()
                && (app.destination.namespace.is_none() || app.destination.namespace == object.namespace)
        };
        let named = self.applications.get(label.as_str()).into_iter().flatten();
        named.filter(|(_, app)| may_be(app)).map(|(object, _)| *object).collect()
    }

    fn helm(&self, world: &World<'a>, object: &Object) -> Vec<&'a Object> {
        let label = |key: &str| object.labels.get(key).map(String::as_str);
        if let Some(name) = label("helm.toolkit.fluxcd.io/name") {
            let namespace = label("helm.toolkit.fluxcd.io/namespace").unwrap_or_default();
            return world.named("HelmRelease", namespace, name).collect();
        }
        let annotation = |key: &str| object.annotations.get(key).map(String::as_str);
        let Some(name) = annotation("meta.helm.sh/release-name") else { return Vec::new() };
        let namespace = annotation("meta.helm.sh/release-namespace").or(object.namespace.as_deref());
        let is_it = |owner: &Object, release: &HelmRelease| {
            let target = release.target_namespace.as_deref().or(owner.namespace.as_deref());
            let composed = release.target_namespace.as_ref().map(|target| format!("{target}-{}", owner.name));
            let known = release.release_name.clone().or(composed).unwrap_or_else(|| owner.name.clone());
            known == name && target == namespace
        };
        self.releases.iter().filter(|(owner, release)| is_it(owner, release)).map(|(owner, _)| *owner).collect()
    }
}

fn flux<'a>(world: &World<'a>, object: &Object) -> Vec<&'a Object> {
    let label = |key: &str| object.labels.get(key).map(String::as_str);
    let Some(name) = label("kustomize.toolkit.fluxcd.io/name") else { return Vec::new() };
    let namespace = label("kustomize.toolkit.fluxcd.io/namespace").unwrap_or_default();
    world.named("Kustomization", namespace, name).filter(|it| matches!(it.body, Body::Kustomization(_))).collect()
}

/// Whether an object declares pods, and is not itself made from another one in sight that does. Pods whose owner is not
/// known stand for it.
pub(super) fn is_workload(world: &World<'_>, object: &Object) -> bool {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let owner_known = |object: &Object| {
        object.owners.iter().any(|owner| {
            let deployment = owner.name.rsplit_once('-').map_or("", |(name, _)| name);
            let of_set = owner.kind == "ReplicaSet";
            world.named(&owner.kind, namespace, &owner.name).next().is_some()
                || (of_set && world.named("Deployment", namespace, deployment).next().is_some())
                || (of_set && world.named("Rollout", namespace, deployment).next().is_some())
        })
    };
    match &object.body {
        Body::Deployment(_) | Body::StatefulSet(_) | Body::DaemonSet(_) | Body::Rollout(_) | Body::CronJob(_) => true,
        Body::Job(_) | Body::Pod(_) => !owner_known(object),
        Body::ReplicaSet(set) => !owner_known(object) && (set.replicas > 0 || object.owners.is_empty()),
        _ => false,
    }
}

/// The containers that a workload declares.
pub(super) fn template<'w>(world: &World<'w>, object: &'w Object) -> &'w [Container] {
    match &object.body {
        Body::Deployment(it) => &it.template,
        Body::StatefulSet(it) => &it.template,
        Body::DaemonSet(it) => &it.template,
        Body::ReplicaSet(it) => &it.template,
        Body::Job(it) => &it.template,
        Body::CronJob(it) => &it.template,
        Body::Pod(it) => &it.containers,
        Body::Rollout(it) => rollout::template(world, object, it),
        _ => &[],
    }
}
