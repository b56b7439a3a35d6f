//! Which controller manages which workload.
//!
//! Argo CD marks objects (tracking id, or the instance label in older installations) and has its own list of resources;
//! Flux uses labels and its inventory. Helm charts set the instance label too, so it counts only if an Application of
//! that name may have made the object. A tracking id counts only on the object it names: tools copy annotations to what
//! they create.

use std::collections::{HashMap, HashSet};

use crate::model::observation::{Application, Body, Container, HelmRelease, Kustomization, Object, ObjectKey};

use super::World;
use super::health::rollout;
use super::query_index::{IndexKey, IndexQuery, QueryIndex, order, space};

/// Workloads and their controllers.
#[derive(Debug, Default)]
pub(super) struct Ties {
    controllers: HashMap<ObjectKey, Vec<ObjectKey>>,
    workloads: HashMap<ObjectKey, Vec<ObjectKey>>,
    templates: HashSet<ObjectKey>,
}

/// Lookup tables for tying.
struct Index<'a> {
    applications: HashMap<&'a str, Vec<(&'a Object, &'a Application)>>,
    releases: Vec<(&'a Object, &'a HelmRelease)>,
    /// Group, kind, namespace and name → the controllers that claim to manage it.
    listed: HashMap<[&'a str; 4], Vec<&'a Object>>,
    /// Controllers that do not list what they manage.
    silent: Vec<&'a Object>,
}

impl Ties {
    pub(super) fn find(all: &QueryIndex) -> Self {
        let index = Index::new(all);
        let mut ties = Self::default();
        let mut workloads: Vec<&Object> = all.all().filter(|object| is_workload(all, object)).collect();
        workloads.sort_unstable_by(|one, other| order(one, other));
        for object in workloads {
            let mut found: Vec<&Object> = Vec::new();
            index.add_controllers(all, object, &mut found, 0);
            let key = object.key();
            for controller in &found {
                ties.workloads.entry(controller.key()).or_default().push(key.clone());
            }
            ties.controllers.insert(key, found.into_iter().map(Object::key).collect());
            if let Body::Rollout(it) = &object.body
                && let Some(to) = it.workload_ref.as_ref().and_then(|to| all.referred(object, to, "Deployment"))
            {
                ties.templates.insert(to.key());
            }
        }
        ties
    }

    /// The controllers of a workload, nearest first (a HelmRelease before the Kustomization that declares it).
    pub(super) fn controllers(&self, workload: &ObjectKey) -> &[ObjectKey] {
        self.controllers.get(workload).map_or(&[], Vec::as_slice)
    }

    /// Whether a Deployment only provides the template for a Rollout that runs in its place.
    pub(super) fn is_only_a_template(&self, workload: &Object) -> bool {
        !self.templates.is_empty() && self.templates.contains(&workload.key())
    }

    /// The workloads of a controller.
    pub(super) fn workloads(&self, controller: &ObjectKey) -> &[ObjectKey] {
        self.workloads.get(controller).map_or(&[], Vec::as_slice)
    }

    /// The keys whose answers differ from before.
    pub(super) fn differences(&self, before: &Self) -> Vec<IndexKey> {
        let mut found = Vec::new();
        let all =
            self.controllers.keys().chain(before.controllers.keys().filter(|key| !self.controllers.contains_key(key)));
        for workload in all {
            let (old, new) = (before.controllers.get(workload), self.controllers.get(workload));
            if old != new {
                found.push(IndexQuery::Controllers.key(workload));
                found.extend(old.into_iter().chain(new).flatten().map(|key| IndexQuery::Workloads.key(key)));
            }
        }
        for template in self.templates.symmetric_difference(&before.templates) {
            found.push(IndexQuery::Controllers.key(template));
            found.extend(before.controllers(template).iter().map(|key| IndexQuery::Workloads.key(key)));
            found.extend(self.controllers(template).iter().map(|key| IndexQuery::Workloads.key(key)));
        }
        found
    }
}

/// Whether adding or removing an object of this kind may change who manages what. Objects of other kinds are workloads
/// in their own right only if their owner is not visible.
pub(super) fn decides(kind: &str) -> bool {
    !matches!(kind, "Pod" | "ReplicaSet" | "Job" | "Event")
}

/// Whether everything that ties depend on is the same.
pub(super) fn is_alike(one: &Object, other: &Object) -> bool {
    let bodies = match (&one.body, &other.body) {
        (Body::Application(a), Body::Application(b)) => {
            let silent = |app: &Application| app.resources.is_none();
            a.destination.namespace == b.destination.namespace
                && silent(a) == silent(b)
                && listed_by(a).eq(listed_by(b))
        }
        (Body::Kustomization(a), Body::Kustomization(b)) => {
            let silent = |it: &Kustomization| it.inventory.is_none();
            a.target_namespace == b.target_namespace && silent(a) == silent(b) && inventory(a).eq(inventory(b))
        }
        (Body::HelmRelease(a), Body::HelmRelease(b)) => {
            a.target_namespace == b.target_namespace && a.release_name == b.release_name
        }
        (Body::Rollout(a), Body::Rollout(b)) => a.workload_ref == b.workload_ref,
        (Body::ReplicaSet(a), Body::ReplicaSet(b)) => (a.replicas > 0) == (b.replicas > 0),
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
    };
    bodies && owners(one).eq(owners(other)) && marks(one).eq(marks(other))
}

fn owners(object: &Object) -> impl Iterator<Item = (&str, &str)> {
    object.owners.iter().map(|owner| (owner.kind.as_str(), owner.name.as_str()))
}

fn marks(object: &Object) -> impl Iterator<Item = (&'static str, &str)> {
    object.annotations.iter().chain(object.labels.iter()).filter(|(key, _)| is_mark(key))
}

/// Labels and annotations that say who manages an object.
fn is_mark(key: &str) -> bool {
    key.starts_with("argocd.argoproj.io/tracking")
        || matches!(key, "argocd.argoproj.io/instance" | "app.kubernetes.io/instance")
        || key.contains("toolkit.fluxcd.io/name")
        || key.starts_with("meta.helm.sh/")
}

/// What an Application claims to manage, without hooks.
fn listed_by(app: &Application) -> impl Iterator<Item = [&str; 4]> {
    let listed = app.resources.iter().flatten().map(|it| [&it.group, &it.kind, space_of(&it.namespace), &it.name]);
    let applied = app.operation.iter().flat_map(|operation| &operation.resources).filter(|it| it.hook_type.is_none());
    let applied = applied.map(|it| [&it.group, &it.kind, space_of(&it.namespace), &it.name]);
    listed.chain(applied)
}

fn inventory(it: &Kustomization) -> impl Iterator<Item = [&str; 4]> {
    it.inventory.iter().flatten().map(|it| [&it.group, &it.kind, space_of(&it.namespace), &it.name])
}

fn space_of(namespace: &Option<String>) -> &str {
    namespace.as_deref().unwrap_or_default()
}

impl<'a> Index<'a> {
    fn new(all: &'a QueryIndex) -> Self {
        let mut index =
            Self { applications: HashMap::new(), releases: Vec::new(), listed: HashMap::new(), silent: Vec::new() };
        let is_controller = |object: &&Object| {
            matches!(object.body, Body::Application(_) | Body::Kustomization(_) | Body::HelmRelease(_))
        };
        let mut controllers: Vec<&'a Object> = all.all().filter(is_controller).collect();
        controllers.sort_unstable_by(|one, other| order(one, other));
        for object in controllers {
            let mut list = |key| index.listed.entry(key).or_default().push(object);
            match &object.body {
                Body::Application(app) => {
                    listed_by(app).for_each(&mut list);
                    index.applications.entry(&object.name).or_default().push((object, app));
                    index.silent.extend(app.resources.is_none().then_some(object));
                }
                Body::Kustomization(it) => {
                    inventory(it).for_each(&mut list);
                    index.silent.extend(it.inventory.is_none().then_some(object));
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

    /// Adds the controllers of an object, and their controllers in turn.
    fn add_controllers(&self, all: &'a QueryIndex, object: &Object, found: &mut Vec<&'a Object>, depth: usize) {
        let mut add = |controller: &'a Object| {
            let new = !found.iter().any(|other| std::ptr::eq(*other, controller)) && controller.key() != object.key();
            if new {
                found.push(controller);
            }
            new
        };
        let mut next: Vec<&'a Object> = Vec::new();
        let direct = self.helm(all, object).into_iter().chain(self.argo(object)).chain(flux(all, object));
        for controller in direct.chain(
            self.listed
                .get(&[object.group(), &object.kind, space(object), &object.name])
                .into_iter()
                .flatten()
                .copied(),
        ) {
            if add(controller) {
                next.push(controller);
            }
        }
        if next.is_empty() && (depth == 0 || matches!(object.body, Body::HelmRelease(_))) {
            next.extend(self.only_candidate(object).into_iter().filter(|controller| add(controller)));
        }
        // Apps of apps may form cycles.
        if depth > 3 {
            return;
        }
        for controller in next.into_iter().filter(|controller| matches!(controller.body, Body::HelmRelease(_))) {
            self.add_controllers(all, controller, found, depth + 1);
        }
        for owner in &object.owners {
            match all.named(&owner.kind, space(object), &owner.name).next() {
                Some(owner) => self.add_controllers(all, owner, found, depth + 1),
                // Of kinds that are not watched only the name is known: an OpenKruise CloneSet, an operator's cluster.
                None => {
                    let listed = self.listed.get(&[owner.group.as_str(), &owner.kind, space(object), &owner.name]);
                    let new: Vec<&'a Object> = listed.into_iter().flatten().copied().collect();
                    for controller in new {
                        if !found.iter().any(|other| std::ptr::eq(*other, controller)) {
                            found.push(controller);
                        }
                    }
                }
            }
        }
    }

    /// For an object that does not name its controller: the only controller that may have made it and does not list
    /// what it made. Handwritten or stripped objects are like that.
    fn only_candidate(&self, object: &Object) -> Option<&'a Object> {
        let says = object.annotations.iter().chain(object.labels.iter()).any(|(key, _)| {
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
            // Applications outside Argo CD's own namespace are tracked as namespace_name.
            let named = |name: &str| self.applications.get(name).into_iter().flatten();
            let exact = app.split_once('_').into_iter().flat_map(|(namespace, name)| {
                let of = move |object: &&Object| object.namespace.as_deref() == Some(namespace);
                named(name).map(|(object, _)| *object).filter(of)
            });
            return named(app).map(|(object, _)| *object).chain(exact).collect();
        }
        let label =
            ["argocd.argoproj.io/instance", "app.kubernetes.io/instance"].iter().find_map(|key| object.labels.get(key));
        let Some(label) = label else { return Vec::new() };
        let may_be = |app: &Application| {
            app.resources.is_none()
                && (app.destination.namespace.is_none() || app.destination.namespace == object.namespace)
        };
        let named = self.applications.get(label).into_iter().flatten();
        named.filter(|(_, app)| may_be(app)).map(|(object, _)| *object).collect()
    }

    fn helm(&self, all: &'a QueryIndex, object: &Object) -> Vec<&'a Object> {
        let label = |key: &str| object.labels.get(key);
        if let Some(name) = label("helm.toolkit.fluxcd.io/name") {
            let namespace = label("helm.toolkit.fluxcd.io/namespace").unwrap_or_default();
            return all.named("HelmRelease", namespace, name).collect();
        }
        let annotation = |key: &str| object.annotations.get(key);
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

fn flux<'a>(all: &'a QueryIndex, object: &Object) -> Vec<&'a Object> {
    let label = |key: &str| object.labels.get(key);
    let Some(name) = label("kustomize.toolkit.fluxcd.io/name") else { return Vec::new() };
    let namespace = label("kustomize.toolkit.fluxcd.io/namespace").unwrap_or_default();
    all.named("Kustomization", namespace, name).filter(|it| matches!(it.body, Body::Kustomization(_))).collect()
}

/// Whether an object declares pods and was not made from another visible object that does. Pods whose owner is unknown
/// stand in for it.
pub(super) fn is_workload(all: &QueryIndex, object: &Object) -> bool {
    let namespace = space(object);
    let owner_known = |object: &Object| {
        object.owners.iter().any(|owner| {
            let deployment = owner.name.rsplit_once('-').map_or("", |(name, _)| name);
            let of_set = owner.kind == "ReplicaSet";
            // An object of an operator does not say what its pods run.
            let stands_for = |owner: &&Object| !matches!(&owner.body, Body::Other(it) if it.pods.is_none());
            all.named(&owner.kind, namespace, &owner.name).any(|owner| stands_for(&owner))
                || (of_set && all.named("Deployment", namespace, deployment).next().is_some())
                || (of_set && all.named("Rollout", namespace, deployment).next().is_some())
        })
    };
    match &object.body {
        Body::Deployment(_) | Body::StatefulSet(_) | Body::DaemonSet(_) | Body::Rollout(_) | Body::CronJob(_) => true,
        Body::Job(_) | Body::Pod(_) => !owner_known(object),
        Body::Other(other) => other.pods.is_some(),
        Body::ReplicaSet(set) => !owner_known(object) && (set.replicas > 0 || object.owners.is_empty()),
        _ => false,
    }
}

/// The containers that a workload declares.
pub(super) fn template<'w>(world: &World<'w>, object: &'w Object) -> &'w [Container] {
    match &object.body {
        Body::Rollout(it) => rollout::template(world, object, it),
        _ => own_template(object),
    }
}

/// The containers in the object itself.
pub(super) fn own_template(object: &Object) -> &[Container] {
    match &object.body {
        Body::Deployment(it) => &it.template,
        Body::StatefulSet(it) => &it.template,
        Body::DaemonSet(it) => &it.template,
        Body::ReplicaSet(it) => &it.template,
        Body::Job(it) => &it.template,
        Body::CronJob(it) => &it.template,
        Body::Pod(it) => &it.containers,
        Body::Rollout(it) => &it.template,
        Body::Other(other) => other.pods.as_ref().map_or(&[], |pods| &pods.template),
        _ => &[],
    }
}
