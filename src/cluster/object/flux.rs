//! Flux's fields.

use crate::model::observation::{
    Artifact, ChartSpec, HelmChart, HelmRelease, ImageOverride, InventoryEntry, Kustomization, KustomizationHistory,
    ReleaseSnapshot, Revision, Source, SourceRef,
};

use super::field::{Field, exact};
use super::meta::{conditions, reference, references};

pub(super) fn source(root: Field<'_>) -> Source {
    let (spec, status) = (root.get("spec"), root.get("status"));
    let at = spec.get("ref");
    Source {
        url: spec.get("url").text(),
        reference: SourceRef {
            branch: at.get("branch").text(),
            tag: at.get("tag").text(),
            semver: at.get("semver").text(),
            commit: at.get("commit").text(),
            name: at.get("name").text(),
            digest: at.get("digest").text(),
        },
        suspend: spec.get("suspend").flag(),
        interval: spec.get("interval").text(),
        ignore: spec.get("ignore").text(),
        sparse_checkout: spec.get("sparseCheckout").texts(),
        has_include: spec.get("include").is_filled(),
        observed_generation: status.get("observedGeneration").int(),
        artifact: artifact(status.get("artifact")),
        conditions: conditions(status.get("conditions")),
    }
}

fn artifact(at: Field<'_>) -> Option<Artifact> {
    Some(Artifact {
        revision: Revision::new(at.get("revision").text()?),
        digest: at.get("digest").text(),
        last_update: at.get("lastUpdateTime").time(),
    })
}

pub(super) fn kustomization(root: Field<'_>) -> Kustomization {
    let (spec, status) = (root.get("spec"), root.get("status"));
    let revision = |key| status.get(key).text().filter(|text| !text.is_empty()).map(Revision::new);
    let inventory = status.get("inventory").get("entries");
    Kustomization {
        source_ref: reference(spec.get("sourceRef")).unwrap_or_default(),
        path: spec.get("path").text(),
        components: spec.get("components").texts(),
        images: exact(spec.get("images").items().filter_map(image_override)),
        suspend: spec.get("suspend").flag(),
        wait: spec.get("wait").flag(),
        has_health_checks: spec.get("healthChecks").is_filled(),
        has_post_build: spec.get("postBuild").is_filled(),
        has_patches: ["patches", "patchesStrategicMerge", "patchesJson6902"].iter().any(|k| spec.get(k).is_filled()),
        interval: spec.get("interval").text(),
        timeout: spec.get("timeout").text(),
        depends_on: references(spec.get("dependsOn")),
        is_remote: spec.get("kubeConfig").is_filled(),
        target_namespace: spec.get("targetNamespace").text(),
        observed_generation: status.get("observedGeneration").int(),
        last_applied: revision("lastAppliedRevision"),
        last_attempted: revision("lastAttemptedRevision"),
        last_applied_origin: revision("lastAppliedOriginRevision"),
        last_attempted_origin: revision("lastAttemptedOriginRevision"),
        inventory: inventory.raw().map(|_| exact(inventory.items().filter_map(inventory_entry))),
        history: exact(status.get("history").items().map(kustomization_history)),
        conditions: conditions(status.get("conditions")),
    }
}

fn image_override(at: Field<'_>) -> Option<ImageOverride> {
    Some(ImageOverride {
        name: at.get("name").text()?,
        new_name: at.get("newName").text(),
        new_tag: at.get("newTag").text(),
        digest: at.get("digest").text(),
    })
}

/// `namespace_name_group_kind`; a name has no underscore, but an RBAC name may have `__` for a colon.
fn inventory_entry(at: Field<'_>) -> Option<InventoryEntry> {
    let id = at.get("id").text()?;
    let (rest, kind) = id.rsplit_once('_')?;
    let (rest, group) = rest.rsplit_once('_')?;
    let (namespace, name) = rest.split_once('_')?;
    Some(InventoryEntry {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: Some(namespace).filter(|text| !text.is_empty()).map(str::to_owned),
        name: name.to_owned(),
    })
}

fn kustomization_history(at: Field<'_>) -> KustomizationHistory {
    KustomizationHistory {
        status: at.get("lastReconciledStatus").text(),
        revision: at.get("metadata").get("revision").text().map(Revision::new),
        last_reconciled: at.get("lastReconciled").time(),
    }
}

pub(super) fn helm_release(root: Field<'_>) -> HelmRelease {
    let (spec, status) = (root.get("spec"), root.get("status"));
    let chart = spec.get("chart").get("spec");
    HelmRelease {
        chart: chart.is_filled().then(|| chart_spec(chart)),
        chart_ref: reference(spec.get("chartRef")),
        values_from: references(spec.get("valuesFrom")),
        has_values: spec.get("values").is_filled(),
        has_post_renderers: spec.get("postRenderers").is_filled(),
        is_tested: spec.get("test").get("enable").flag() && !spec.get("test").get("ignoreFailures").flag(),
        release_name: spec.get("releaseName").text(),
        target_namespace: spec.get("targetNamespace").text(),
        suspend: spec.get("suspend").flag(),
        interval: spec.get("interval").text(),
        timeout: spec.get("timeout").text(),
        depends_on: references(spec.get("dependsOn")),
        is_remote: spec.get("kubeConfig").is_filled(),
        observed_generation: status.get("observedGeneration").int(),
        last_attempted: status.get("lastAttemptedRevision").text().map(Revision::new),
        last_attempted_generation: status.get("lastAttemptedGeneration").int(),
        last_attempted_config_digest: status.get("lastAttemptedConfigDigest").text(),
        history: exact(status.get("history").items().map(snapshot)),
        upgrade_failures: status.get("upgradeFailures").int(),
        install_failures: status.get("installFailures").int(),
        helm_chart: status.get("helmChart").text(),
        conditions: conditions(status.get("conditions")),
    }
}

fn chart_spec(at: Field<'_>) -> ChartSpec {
    ChartSpec {
        chart: at.get("chart").text_or_empty(),
        version: at.get("version").text(),
        source_ref: reference(at.get("sourceRef")).unwrap_or_default(),
        reconcile_strategy: at.get("reconcileStrategy").text(),
        values_files: at.get("valuesFiles").texts(),
    }
}

fn snapshot(at: Field<'_>) -> ReleaseSnapshot {
    ReleaseSnapshot {
        chart_version: at.get("chartVersion").text(),
        config_digest: at.get("configDigest").text(),
        status: at.get("status").text(),
        version: at.get("version").int(),
        last_deployed: at.get("lastDeployed").time(),
    }
}

pub(super) fn helm_chart(root: Field<'_>) -> HelmChart {
    let (spec, status) = (root.get("spec"), root.get("status"));
    HelmChart {
        spec: chart_spec(spec),
        suspend: spec.get("suspend").flag(),
        observed_generation: status.get("observedGeneration").int(),
        observed_source_revision: status.get("observedSourceArtifactRevision").text().map(Revision::new),
        artifact: artifact(status.get("artifact")),
        conditions: conditions(status.get("conditions")),
    }
}
