//! Argo CD's fields.

use crate::model::observation::{
    AppCondition, AppProject, AppSource, Application, ApplicationSet, ApplicationStep, AutoSync, Destination,
    HistoryEntry, Hydration, Hydrator, ManagedResource, OperationState, ResourceResult, Retry, Revision, SyncWindow,
};

use super::field::{Field, exact};
use super::meta::conditions;

pub(super) fn application(root: Field<'_>) -> Application {
    let (spec, status) = (root.get("spec"), root.get("status"));
    let sync = status.get("sync");
    let health = status.get("health");
    let compared = sync.get("comparedTo");
    Application {
        sources: sources(spec),
        hydrator: hydrator(spec.get("sourceHydrator")),
        destination: Destination {
            server: spec.get("destination").get("server").text(),
            name: spec.get("destination").get("name").text(),
            namespace: spec.get("destination").get("namespace").text(),
        },
        project: spec.get("project").text(),
        auto_sync: auto_sync(spec.get("syncPolicy").get("automated")),
        retry: retry(spec.get("syncPolicy").get("retry")),
        ignores_differences: spec.get("ignoreDifferences").is_filled(),
        requested: requested(root.get("operation")),
        sync_status: sync.get("status").text(),
        sync_revisions: revisions(sync),
        compared_to: compared.is_filled().then(|| sources(compared)),
        health_status: health.get("status").text(),
        health_message: health.get("message").text(),
        health_since: health.get("lastTransitionTime").time(),
        reconciled_at: status.get("reconciledAt").time(),
        operation: operation(status.get("operationState")),
        history: exact(status.get("history").items().map(history_entry)),
        conditions: exact(status.get("conditions").items().filter_map(app_condition)),
        resources: status
            .get("resources")
            .raw()
            .map(|_| exact(status.get("resources").items().filter_map(managed_resource))),
        hydration: hydration(status.get("sourceHydrator")),
    }
}

/// `revisions` of a multi-source Application is aligned with its sources; `revision` is then empty.
fn revisions(at: Field<'_>) -> Vec<Revision> {
    let many = at.get("revisions").texts();
    let all = if many.is_empty() { at.get("revision").text().into_iter().collect() } else { many };
    all.into_iter().filter(|revision: &String| !revision.is_empty()).map(Revision::new).collect()
}

fn sources(spec: Field<'_>) -> Vec<AppSource> {
    let many: Vec<AppSource> = spec.get("sources").items().map(source).collect();
    if many.is_empty() && spec.get("source").is_filled() { vec![source(spec.get("source"))] } else { many }
}

fn source(at: Field<'_>) -> AppSource {
    let (helm, directory) = (at.get("helm"), at.get("directory"));
    let parameter =
        |at: Field<'_>| Some((at.get("name").text()?, at.get("value").quietly().text().unwrap_or_default()));
    AppSource {
        repo_url: at.get("repoURL").text_or_empty(),
        target_revision: at.get("targetRevision").text(),
        path: at.get("path").text(),
        chart: at.get("chart").text(),
        reference: at.get("ref").text(),
        value_files: helm.get("valueFiles").texts(),
        file_parameters: helm.get("fileParameters").items().filter_map(|at| at.get("path").text()).collect(),
        parameters: helm.get("parameters").items().filter_map(parameter).collect(),
        has_values: helm.get("values").is_filled() || helm.get("valuesObject").is_filled(),
        kustomize_images: at.get("kustomize").get("images").texts(),
        directory_recurse: directory.get("recurse").maybe_flag(),
        directory_include: directory.get("include").text(),
        directory_exclude: directory.get("exclude").text(),
        has_plugin: at.get("plugin").raw().is_some(),
    }
}

fn hydrator(at: Field<'_>) -> Option<Hydrator> {
    at.is_filled().then(|| Hydrator {
        dry_repo_url: at.get("drySource").get("repoURL").text_or_empty(),
        dry_target_revision: at.get("drySource").get("targetRevision").text(),
        dry_path: at.get("drySource").get("path").text(),
        sync_target_branch: at.get("syncSource").get("targetBranch").text(),
        sync_path: at.get("syncSource").get("path").text(),
    })
}

fn hydration(at: Field<'_>) -> Option<Hydration> {
    let (now, last) = (at.get("currentOperation"), at.get("lastSuccessfulOperation"));
    at.is_filled().then(|| Hydration {
        phase: now.get("phase").text(),
        message: now.get("message").text(),
        dry_sha: now.get("drySHA").text().map(Revision::new),
        hydrated_sha: now.get("hydratedSHA").text().map(Revision::new),
        last_dry_sha: last.get("drySHA").text().map(Revision::new),
    })
}

fn auto_sync(at: Field<'_>) -> AutoSync {
    // `automated: {}` means on.
    match (at.raw().is_some(), at.get("enabled").maybe_flag(), at.get("selfHeal").flag()) {
        (false, ..) | (true, Some(false), _) => AutoSync::Off,
        (true, _, true) => AutoSync::SelfHeal,
        (true, _, false) => AutoSync::On,
    }
}

fn retry(at: Field<'_>) -> Option<Retry> {
    at.raw().map(|_| Retry { limit: at.get("limit").int(), refresh: at.get("refresh").flag() })
}

fn requested(at: Field<'_>) -> Option<Revision> {
    at.is_filled().then(|| revisions(at.get("sync")).into_iter().next().unwrap_or_default())
}

fn operation(at: Field<'_>) -> Option<OperationState> {
    if !at.is_filled() {
        return None;
    }
    let (asked, result) = (at.get("operation"), at.get("syncResult"));
    let done = revisions(result);
    Some(OperationState {
        phase: at.get("phase").text(),
        message: at.get("message").text(),
        started_at: at.get("startedAt").time(),
        finished_at: at.get("finishedAt").time(),
        retry_count: at.get("retryCount").int(),
        revisions: if done.is_empty() { revisions(asked.get("sync")) } else { done },
        partial: asked.get("sync").get("resources").is_filled(),
        automated: asked.get("initiatedBy").get("automated").flag(),
        username: asked.get("initiatedBy").get("username").text(),
        resources: exact(result.get("resources").items().filter_map(resource_result)),
    })
}

fn resource_result(at: Field<'_>) -> Option<ResourceResult> {
    Some(ResourceResult {
        group: at.get("group").text_or_empty(),
        kind: at.get("kind").text()?,
        namespace: at.get("namespace").text(),
        name: at.get("name").text()?,
        status: at.get("status").text(),
        hook_phase: at.get("hookPhase").text(),
        hook_type: at.get("hookType").text(),
        message: at.get("message").text(),
        images: at.get("images").texts(),
    })
}

fn history_entry(at: Field<'_>) -> HistoryEntry {
    HistoryEntry { id: at.get("id").int(), revisions: revisions(at), deployed_at: at.get("deployedAt").time() }
}

fn app_condition(at: Field<'_>) -> Option<AppCondition> {
    Some(AppCondition {
        kind: at.get("type").text()?,
        message: at.get("message").text_or_empty(),
        last_transition: at.get("lastTransitionTime").time(),
    })
}

fn managed_resource(at: Field<'_>) -> Option<ManagedResource> {
    Some(ManagedResource {
        group: at.get("group").text_or_empty(),
        kind: at.get("kind").text()?,
        namespace: at.get("namespace").text(),
        name: at.get("name").text()?,
        status: at.get("status").text(),
        health: at.get("health").get("status").text(),
        health_message: at.get("health").get("message").text(),
        requires_pruning: at.get("requiresPruning").flag(),
    })
}

pub(super) fn project(root: Field<'_>) -> AppProject {
    let window = |at: Field<'_>| SyncWindow {
        kind: at.get("kind").text_or_empty(),
        schedule: at.get("schedule").text_or_empty(),
        duration: at.get("duration").text_or_empty(),
        time_zone: at.get("timeZone").text().filter(|zone| !zone.is_empty()),
        applications: at.get("applications").texts(),
        namespaces: at.get("namespaces").texts(),
        clusters: at.get("clusters").texts(),
        manual_sync: at.get("manualSync").flag(),
        and: at.get("andOperator").flag(),
    };
    AppProject { sync_windows: root.get("spec").get("syncWindows").items().map(window).collect() }
}

pub(super) fn application_set(root: Field<'_>) -> ApplicationSet {
    let status = root.get("status");
    let step = |at: Field<'_>| {
        Some(ApplicationStep {
            application: at.get("application").text()?,
            status: at.get("status").text_or_empty(),
            message: at.get("message").text_or_empty(),
            step: at.get("step").text(),
            target_revisions: at.get("targetRevisions").texts().into_iter().map(Revision::new).collect(),
            last_transition: at.get("lastTransitionTime").time(),
        })
    };
    ApplicationSet {
        conditions: conditions(status.get("conditions")),
        applications: exact(status.get("applicationStatus").items().filter_map(step)),
    }
}
