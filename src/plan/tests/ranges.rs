//! Ranges of charts' versions that a policy has replaced by a version.

use super::*;
use crate::overlay::scan_with;

const CHART: &str = "oci://ghcr.io/acme/charts/web";

/// A world with a chart in dev at a range, under a policy with these keys.
fn world(keys: &str, range: &str) -> World {
    let policies = format!(
        "policies:\n  - {{ name: dev, paths: [\"apps/{{app}}/dev/**\"], environment: dev, write: commit{keys} }}\n"
    );
    let mut world = World::new(&policies, &[]);
    let path = RepoPath::parse("apps/web/dev/app.yaml").unwrap();
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source: {{repoURL: ghcr.io/acme/charts, chart: web, targetRevision: '{range}'}}\n"
    );
    world.pins =
        scan_with(&world.policies.key_paths(), &path, text.as_bytes()).pins.into_iter().map(Arc::new).collect();
    let older = |pin: &Arc<Pin>| (HistoryQuery::from(pin.as_ref()), Answer::Known(Origin::Older));
    world.answers.origins = world.pins.iter().map(older).collect();
    world
}

/// The same where the registry has these versions, each a chart.
fn listed(keys: &str, range: &str, versions: &[&str]) -> World {
    let mut world = world(keys, range).tags(CHART, versions);
    for answer in world.answers.manifests.values_mut() {
        let Answer::Known(manifest) = answer else { panic!("{answer:?}") };
        manifest.artifact = Some("application/vnd.cncf.helm.config.v1+json".to_owned());
        manifest.platforms.clear();
    }
    world
}

const VERSIONS: [&str; 7] = ["0.9.0", "1.2.3", "1.4.0+up2", "1.5.0-rc.1", "1.4.0-debug", "2.0.0", "3.0.0-rc.1"];

#[test]
fn a_range_becomes_the_greatest_version_that_it_and_the_policy_allow() {
    for (keys, range, to) in [
        (", ranges: pin", "1.x", Some("1.4.0+up2")),
        (", ranges: pin", ">=1.2 <1.4", Some("1.2.3")),
        (", ranges: pin", "^1.0.0-0", Some("1.5.0-rc.1")),
        (", ranges: pin", "*", Some("2.0.0")),
        (", ranges: pin", "<2", Some("1.4.0+up2")),
        (", ranges: pin, tags: { semver: \"<1.3\" }", "1.x", Some("1.2.3")),
        (", ranges: pin, tags: { semver: \"*\", prereleases: true }", "1.x", Some("1.4.0+up2")),
        (", ranges: pin, tags: { newestBuild: true, ignore: [\"1.4*\"] }", "1.x", Some("1.2.3")),
        (", ranges: pin, tags: { filter: \"^0\" }", "*", Some("0.9.0")),
        (", ranges: pin, adopt: false, pin: digest", "1.x", Some("1.4.0+up2")),
        (", ranges: keep", "1.x", None),
        ("", "1.x", None),
    ] {
        let plan = listed(keys, range, &VERSIONS).complete();
        let updates: Vec<&Update> = plan.actions.iter().flat_map(|action| &action.updates).collect();
        assert_eq!(updates.first().map(|update| update.to.to_string()).as_deref(), to, "{keys} {range}: {plan:?}");
        assert!(plan.problems.is_empty() && plan.holds.is_empty(), "{keys} {range}: {plan:?}");
        for update in updates {
            assert_eq!(update.from.to_string(), range);
        }
    }
}

#[test]
fn nothing_is_asked_of_a_range_itself() {
    let asked = world(", ranges: pin, onRetag: hold, tags: { semver: \"*\", platforms: [current] }", "^1.2").plan();
    assert_eq!(asked.queries, Queries::from(RegistryQuery::Listing(name(CHART))));
    let mut world = listed(", ranges: pin, onRetag: hold", "^1.2", &["1.2.3", "1.3.0"]);
    world.answers.digests.clear();
    assert_eq!(targets(&world.complete()), ["web 1.3.0"]);
}

#[test]
fn a_range_that_nothing_is_in_or_that_is_none_is_a_problem() {
    for (range, said) in
        [("^9", "none of the 7 tags"), ("1.2.3 ~~", "is no range of versions"), ("1..2", "is no range of versions")]
    {
        let plan = listed(", ranges: pin", range, &VERSIONS).complete();
        assert!(plan.actions.is_empty(), "{range}: {plan:?}");
        assert!(
            matches!(plan.problems.as_slice(), [one] if one.message.contains(said)),
            "{range}: {:?}",
            plan.problems
        );
    }
}

#[test]
fn what_is_no_chart_never_replaces_a_range() {
    for artifact in [None, Some("application/vnd.cncf.flux.config.v1+json")] {
        let mut world = listed(", ranges: pin", "1.x", &["1.2.3"]);
        for answer in world.answers.manifests.values_mut() {
            if let Answer::Known(manifest) = answer {
                manifest.artifact = artifact.map(str::to_owned);
            }
        }
        let plan = world.complete();
        assert!(plan.actions.is_empty(), "{plan:?}");
        assert!(plan.holds[0].reason.contains("1.2.3 is no chart"), "{plan:?}");
    }
}

#[test]
fn a_range_declares_no_version() {
    let world = world(", ranges: pin", "1.x");
    assert_eq!(world.pins.len(), 1);
    assert_eq!(declared(&world.branch, &world.pins, &world.policies), []);
}
