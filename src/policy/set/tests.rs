//! Layering, caps, apps and overlays.

use super::*;
use crate::policy::{GroupTemplate, ImagePattern, Write};

fn origin(line: usize) -> SourceLocation {
    SourceLocation { file: "p.yaml".to_owned(), line, column: 1 }
}

fn at<T>(line: usize, value: T) -> Sourced<T> {
    Sourced { value, origin: origin(line) }
}

fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap()
}

fn image(text: &str) -> ImageName {
    ImageName::parse(text).unwrap()
}

/// A policy at a line; its fields are at the lines that follow.
fn policy(line: usize, name: &str, pattern: &str, write: Option<Write>) -> Policy {
    let fields = Fields { write: write.map(|write| at(line + 1, write)), ..Fields::default() };
    Policy {
        name: at(line, name.to_owned()),
        paths: vec![PathPattern::parse(pattern).unwrap()],
        images: Vec::new(),
        key_paths: Vec::new(),
        fields,
        origin: origin(line),
    }
}

fn cap(line: usize, pattern: &str, write: &[Write]) -> Cap {
    Cap {
        paths: vec![PathPattern::parse(pattern).unwrap()],
        write: write.to_vec(),
        automerge: write.contains(&Write::Commit),
        approvals: 0,
        minimum_release_age: None,
        images: Vec::new(),
        registries: Vec::new(),
        promote_from: None,
        windows: None,
        rollback: true,
        verify: None,
        key_paths: false,
        origin: origin(line),
    }
}

#[test]
fn nothing_is_written_where_no_policy_matches_or_none_says_so() {
    let set = PolicySet::new(vec![policy(1, "dev", "apps/**", None)]);
    let outside = set.effective(&path("other/x.yaml"), &image("nginx"));
    assert_eq!((outside.write, outside.matched.len(), outside.policy), (Write::Never, 0, None));
    let silent = set.effective(&path("apps/x.yaml"), &image("nginx"));
    assert_eq!((silent.write, silent.policy.as_deref()), (Write::Never, Some("dev")));
}

#[test]
fn later_fields_win_and_keep_their_origin() {
    let mut first = policy(10, "all", "apps/{app}/{env}/**", Some(Write::Commit));
    first.fields.environment = Some(at(12, "{env}".to_owned()));
    first.fields.land_within = Some(at(13, std::time::Duration::from_secs(60)));
    first.fields.pull_request.labels = Some(at(14, vec!["a".to_owned()]));
    first.fields.pull_request.draft = Some(at(15, true));
    let second = policy(20, "prod", "apps/{app}/prod/**", Some(Write::PullRequest));
    let mut third = policy(30, "labels", "apps/**", None);
    third.fields.pull_request.labels = Some(at(31, vec!["b".to_owned()]));
    let set = PolicySet::new(vec![first, second, third]);
    let effective = set.effective(&path("apps/web/prod/x.yaml"), &image("nginx"));
    let names: Vec<&str> = effective.matched.iter().map(|name| name.value.as_str()).collect();
    assert_eq!(names, ["all", "prod", "labels"]);
    assert_eq!(effective.policy.as_deref(), Some("prod"), "the last that set `write`");
    assert_eq!(effective.fields.write, Some(at(21, Write::PullRequest)));
    assert_eq!(effective.fields.land_within.unwrap().origin.line, 13);
    assert_eq!(effective.fields.pull_request.labels.unwrap(), at(31, vec!["b".to_owned()]));
    assert_eq!(effective.fields.pull_request.draft.unwrap().origin.line, 15, "each key of pullRequest on its own");
    assert_eq!(effective.fields.environment, Some(at(12, "prod".to_owned())), "filled in");
    assert_eq!((effective.app.as_str(), effective.environment.as_deref()), ("web", Some("prod")));
    assert_eq!(effective.overlay, "apps/web/prod", "that of the deciding policy, not of a later, wider one");
}

#[test]
fn a_tags_block_is_replaced_as_a_whole() {
    use crate::select::{Order, TagPolicy};
    let mut first = policy(1, "a", "**", Some(Write::Commit));
    first.fields.tags = Some(at(2, TagPolicy::new(Order::NewestBuild)));
    first.fields.platforms = Some(at(3, vec!["linux/amd64".to_owned()]));
    let mut second = policy(10, "b", "x/**", None);
    second.fields.tags = Some(at(11, TagPolicy::new(Order::Digest)));
    let set = PolicySet::new(vec![first, second]);
    let effective = set.effective(&path("x/y.yaml"), &image("nginx"));
    assert_eq!(effective.fields.tags.unwrap().value.order, Order::Digest);
    assert_eq!(effective.fields.platforms, None);
    assert!(set.effective(&path("y.yaml"), &image("nginx")).fields.platforms.is_some());
}

#[test]
fn caps_weaken_and_never_strengthen() {
    use Write::{Commit, Never, PullRequest};
    for (asked, allowed, write) in [
        (Commit, vec![PullRequest, Never], PullRequest),
        (Commit, vec![Never], Never),
        (Commit, vec![Commit], Commit),
        (PullRequest, vec![Commit], Never),
        (PullRequest, vec![Commit, PullRequest], PullRequest),
        (Never, vec![Commit, PullRequest], Never),
    ] {
        let set =
            PolicySet::new(vec![policy(1, "p", "**", Some(asked))]).with_caps(vec![cap(9, "**/prod/**", &allowed)]);
        let effective = set.effective(&path("apps/prod/x.yaml"), &image("nginx"));
        assert_eq!(effective.write, write, "{asked} under {allowed:?}");
        assert_eq!(effective.capped.is_some(), asked != write);
        assert_eq!(set.effective(&path("apps/dev/x.yaml"), &image("nginx")).write, asked, "elsewhere");
    }
}

#[test]
fn every_cap_applies_and_the_one_that_decided_is_named() {
    let caps = vec![
        cap(7, "**/prod/**", &[Write::PullRequest]),
        cap(8, "apps/**", &[Write::Never]),
        cap(9, "**", &[Write::Commit]),
    ];
    let set = PolicySet::new(vec![policy(1, "p", "**", Some(Write::Commit))]).with_caps(caps);
    let effective = set.effective(&path("apps/prod/x.yaml"), &image("nginx"));
    let capped = effective.capped.unwrap();
    assert_eq!((effective.write, capped.asked, capped.cap.line), (Write::Never, Write::Commit, 8));
    assert_eq!(capped.paths, ["apps/**"]);
}

#[test]
fn images_choose_among_policies() {
    let mut third_party = policy(5, "third", "apps/**", Some(Write::Never));
    third_party.images = vec![ImagePattern::parse("docker.io/**").unwrap()];
    let set = PolicySet::new(vec![policy(1, "all", "apps/**", Some(Write::Commit)), third_party]);
    let file = path("apps/x.yaml");
    assert_eq!(set.effective(&file, &image("ghcr.io/acme/web")).write, Write::Commit);
    assert_eq!(set.effective(&file, &image("nginx")).write, Write::Never);
    let verdicts = |image: Option<&ImageName>| {
        set.verdicts(&file, image).into_iter().map(|(_, verdict)| verdict).collect::<Vec<_>>()
    };
    let matched = PolicyMatch::Matched { pattern: "apps/**".to_owned() };
    let web = image("ghcr.io/acme/web");
    assert_eq!(verdicts(Some(&web)), [matched.clone(), PolicyMatch::OtherImage]);
    assert_eq!(verdicts(None), [matched.clone(), matched]);
    assert_eq!(set.verdicts(&path("x.yaml"), None)[0].1, PolicyMatch::OtherPath);
}

#[test]
fn apps_are_named_by_capture_folder_or_image() {
    for (pattern, environment, file, app) in [
        ("apps/{app}/overlays/dev/**", Some("dev"), "apps/web/overlays/dev/x.yaml", "web"),
        ("apps/*/overlays/dev/**", Some("dev"), "apps/web/overlays/dev/x.yaml", "web"),
        ("apps/**", None, "apps/web/overlays/dev/x.yaml", "web"),
        ("apps/web/overlays/prod/**", Some("prod"), "apps/web/overlays/prod/patches/x.yaml", "web"),
        ("**", Some("dev"), "teams/alpha/web/dev/x.yaml", "web"),
        ("apps/web/base/**", None, "apps/web/base/x.yaml", "web"),
        ("clusters/dev/**", Some("dev"), "clusters/dev/web/deploy.yaml", "web"),
        ("clusters/dev/**", Some("dev"), "clusters/dev/deploy.yaml", "nginx"),
        ("**", None, "x.yaml", "nginx"),
        ("charts/web/values-{env}.yaml", None, "charts/web/values-dev.yaml", "web"),
        ("{env}.yaml", None, "dev.yaml", "nginx"),
    ] {
        let mut policy = policy(1, "p", pattern, Some(Write::Commit));
        policy.fields.environment = environment.map(|name| at(2, name.to_owned()));
        let effective = PolicySet::new(vec![policy]).effective(&path(file), &image("nginx"));
        assert_eq!(effective.app, app, "{pattern} {file}");
    }
}

#[test]
fn values_files_of_two_environments_in_one_folder_are_two_overlays() {
    let named = |line, name: &str| {
        let mut policy = policy(line, name, &format!("charts/web/values-{name}.yaml"), Some(Write::Commit));
        policy.fields.environment = Some(at(line, name.to_owned()));
        policy
    };
    let set = PolicySet::new(vec![named(1, "dev"), named(5, "prod")]);
    let overlay = |file: &str| set.effective(&path(file), &image("nginx")).overlay;
    assert_eq!(overlay("charts/web/values-dev.yaml"), "charts/web/values-dev");
    assert_eq!(overlay("charts/web/values-prod.yaml"), "charts/web/values-prod");
    assert!(set.names_file(&path("charts/web/values-dev.yaml")));
    assert!(!set.names_file(&path("charts/web/values.yaml")));
}

#[test]
fn groups_have_defaults_and_templates() {
    let mut policy = policy(1, "prod", "apps/{app}/{env}/**", Some(Write::PullRequest));
    let nginx = image("nginx");
    let effective =
        |policy: &Policy| PolicySet::new(vec![policy.clone()]).effective(&path("apps/web/eu/x.yaml"), &nginx);
    let plain = effective(&policy);
    assert_eq!((plain.commit_group(&nginx), plain.pull_request_group(&nginx)), ("prod/eu".into(), "web".into()));
    let template = |text| GroupTemplate::parse(text, &["app", "env"]).unwrap();
    policy.fields.group = Some(at(2, template("{overlay}|{image}|{env}")));
    policy.fields.pull_request.group = Some(at(3, template("all of {policy} in {environment}")));
    let own = effective(&policy);
    assert_eq!(own.commit_group(&nginx), "apps/web/eu|docker.io/library/nginx|eu");
    assert_eq!(own.pull_request_group(&nginx), "all of prod in eu");
    assert!(GroupTemplate::parse("{tag}", &[]).is_err());
}

#[test]
fn caps_bound_merges_approvals_ages_and_images() {
    let day = std::time::Duration::from_secs(86_400);
    let at = |value| Sourced { value, origin: origin(1) };
    let mut asking = policy(1, "p", "**", Some(Write::PullRequest));
    asking.fields.pull_request.automerge = Some(at(true));
    asking.fields.minimum_release_age = Some(Sourced { value: day / 24, origin: origin(1) });
    let image = |text: &str| ImageName::parse(text).unwrap();
    let effective = |cap: Cap| {
        let set = PolicySet::new(vec![asking.clone()]).with_caps(vec![cap]);
        set.effective(&path("apps/web/prod/k.yaml"), &image("ghcr.io/acme/web"))
    };
    // Who may not commit alone may not merge alone, unless the operator says so.
    let capped = effective(cap(9, "**/prod/**", &[Write::PullRequest]));
    assert_eq!(capped.fields.pull_request.automerge.as_ref().map(|it| it.value), Some(false));
    assert!(capped.beyond[0].value.contains("automerge") && capped.beyond[0].origin.line == 9, "{:?}", capped.beyond);
    let allowed =
        Cap { automerge: true, approvals: 2, minimum_release_age: Some(day), ..cap(9, "**", &[Write::PullRequest]) };
    let capped = effective(allowed.clone());
    assert_eq!(capped.fields.pull_request.automerge.as_ref().map(|it| it.value), Some(true));
    assert_eq!(capped.fields.pull_request.approvals.as_ref().map(|it| it.value), Some(2));
    assert_eq!(capped.fields.minimum_release_age.as_ref().map(|it| it.value), Some(day));
    assert_eq!(capped.beyond.len(), 2, "{:?}", capped.beyond);
    let only = |glob: &str| Cap { images: vec![ImagePattern::parse(glob).unwrap()], ..allowed.clone() };
    assert_eq!(effective(only("ghcr.io/acme/**")).write, Write::PullRequest);
    assert_eq!(effective(only("quay.io/**")).write, Write::Never);
    // Paths without a cap are as the policy says.
    let free = effective(cap(9, "other/**", &[Write::Never]));
    assert!(free.beyond.is_empty() && free.fields.pull_request.automerge.as_ref().is_some_and(|it| it.value));
}
