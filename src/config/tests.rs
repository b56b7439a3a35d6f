//! Whole files: what is read is what was written, and no text does harm.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::build::parse_settings;
use super::*;
use crate::model::{ImageName, MergeMethod, RepoPath, SkipReason, Skipped};
use crate::policy::{Enough, PolicySet, Rate, Require, Resume, Rollback, Write};
use crate::select::{Direction, Order};

fn policies(text: &str) -> Vec<crate::policy::Policy> {
    parse_policies("p.yaml", text)
        .unwrap_or_else(|diagnostics| panic!("{}", render_all(&diagnostics, Some(text), false)))
}

fn settings(text: &str) -> (Settings, Vec<Diagnostic>) {
    let (settings, diagnostics) = parse_settings("landfall.yaml", text, Path::new("/etc/landfall"));
    (settings.unwrap_or_else(|| panic!("{}", render_all(&diagnostics, Some(text), false))), diagnostics)
}

#[test]
fn defaults_are_those_of_the_schema() {
    let (settings, diagnostics) = settings("repositories: [{ name: a, url: https://git.example.com/a.git }]\n");
    assert_eq!(diagnostics, []);
    assert_eq!((&settings.interval, &settings.state_dir), (&Trigger::Every(Duration::from_secs(60)), &None));
    let repository = &settings.repositories[0];
    assert_eq!((repository.branch.as_str(), &repository.forge), ("main", &crate::forge::ForgeSettings::default()));
    assert_eq!(repository.policies, PolicySource::InRepository { path: RepoPath::parse(".landfall").unwrap() });
    assert_eq!(repository.author.email, "landfall@localhost");
    assert_eq!((&repository.credentials, &repository.caps), (&None, &Vec::new()));
}

#[test]
fn every_key_of_a_configuration_has_its_meaning() {
    let (settings, diagnostics) = settings(
        r#"
schedule: "*/2 * * * *"
repositories:
  - name: a
    url: git@git.example.com:acme/a.git
    branch: 1.10
    credentials: { sshKey: { file: key }, knownHosts: hosts }
    author: { name: Bot, email: bot@example.com }
    forge: { kind: github, apiUrl: https://github.example.com/api/v3/, repository: acme/a, token: { env: T } }
    policies: { file: policies/ }
    caps: [{ paths: ["**/prod/**"], write: [pull-request, never] }]
    timeout: 90s
    aliases: [https://mirror.example.com/acme/a.git, "git@10.0.0.7:acme/a", oci://registry.example.com/deploys]
registries:
  - { host: Localhost:5000, plainHttp: true, credentials: { token: { file: /t } }, tokenRealms: [auth.example.com], maxRequests: 2, timeout: 5s, mirrors: [Mirror.example.com, harbor.example.com/hub/] }
allowedRegistries: [ghcr.io, index.docker.io]
clusters: [{ name: eu-1, kubeconfig: { file: kubeconfig }, context: eu-1, environments: [prod], namespaces: [argocd, web] }, { name: here }]
notify: [{ name: oncall, kind: slack, webhookUrl: { env: SLACK_URL }, environments: [prod], minimumSeverity: warning }]
server: { listen: 127.0.0.1:8080 }
"#,
    );
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let server = settings.server.as_ref().unwrap();
    assert_eq!((server.listen.to_string().as_str(), server.webhooks.len()), ("127.0.0.1:8080", 0));
    assert!(matches!(&settings.interval, Trigger::Cron(schedule) if schedule.as_str() == "*/2 * * * *"));
    let repository = &settings.repositories[0];
    assert_eq!(repository.branch.as_str(), "1.10", "text stays as it is written");
    let key = SecretSource::File("/etc/landfall/key".into());
    assert_eq!(
        repository.credentials,
        Some(CredentialSource::SshKey { key, known_hosts: Some("/etc/landfall/hosts".into()) })
    );
    let api = repository.forge.statuses().unwrap();
    assert_eq!(api.base, "https://github.example.com/api/v3/repos/acme/a");
    assert_eq!(api.token, Some(&SecretSource::Env("T".to_owned())));
    assert_eq!(repository.policies, PolicySource::File("/etc/landfall/policies/".into()));
    let cap = &repository.caps[0];
    assert_eq!((cap.write.as_slice(), cap.origin.line), ([Write::PullRequest, Write::Never].as_slice(), 11));
    let aliases =
        ["https://mirror.example.com/acme/a.git", "git@10.0.0.7:acme/a", "oci://registry.example.com/deploys"];
    assert_eq!(repository.aliases, aliases);
    let registry = &settings.registries.hosts[0];
    assert_eq!((registry.host.as_str(), registry.plain_http, registry.max_requests), ("localhost:5000", true, 2));
    assert_eq!(registry.token_realms, ["auth.example.com"]);
    assert_eq!(registry.mirrors, ["mirror.example.com", "harbor.example.com/hub"]);
    assert_eq!(settings.registries.allowed.as_deref(), Some(&["ghcr.io".to_owned(), "docker.io".to_owned()][..]));
    let seconds = |timeout: Option<Duration>| timeout.map(|timeout| timeout.as_secs());
    assert_eq!((seconds(repository.timeout), seconds(registry.timeout)), (Some(90), Some(5)));
    assert_eq!(settings.notify[0].minimum_severity, crate::model::Severity::Warning);
    let cluster = &settings.clusters[0];
    assert_eq!(
        (&cluster.environments[..], &cluster.namespaces[..]),
        (&["prod".to_owned()][..], &["argocd".to_owned(), "web".to_owned()][..])
    );
    assert_eq!(cluster.kubeconfig, Some(SecretSource::File("/etc/landfall/kubeconfig".into())));
    assert_eq!(cluster.context.as_deref(), Some("eu-1"));
    assert_eq!(settings.clusters[1].kubeconfig, None, "the cluster that the bot runs in");
}

#[test]
fn replicas_have_leases_of_a_sensible_time_somewhere() {
    let with =
        |replicas: &str| format!("repositories: [{{ name: a, url: \"https://git.example.com/a.git\" }}]\n{replicas}\n");
    let (none, _) = settings(&with(""));
    assert_eq!(none.replicas, None);
    let (bare, _) = settings(&with("replicas: {}"));
    let expected =
        ReplicaSettings { namespace: None, duration: Duration::from_secs(15), kubeconfig: None, context: None };
    assert_eq!(bare.replicas, Some(expected));
    let (full, _) =
        settings(&with("replicas: { namespace: bots, duration: 1m, kubeconfig: { env: KUBE }, context: admin }"));
    let full = full.replicas.unwrap();
    assert_eq!(
        (full.namespace.as_deref(), full.duration, full.context.as_deref()),
        (Some("bots"), Duration::from_secs(60), Some("admin"))
    );
    for (replicas, mistake) in [
        ("replicas: { duration: 4s }", "`duration` must be from 5s to 10m"),
        ("replicas: { duration: 11m }", "`duration` must be from 5s to 10m"),
        ("replicas: { context: admin }", "`context` is only valid with `kubeconfig`"),
        ("replicas: { namespace: Not_One }", "namespace"),
        ("replicas: 2", "mapping"),
    ] {
        let (found, diagnostics) = parse_settings("landfall.yaml", &with(replicas), Path::new("/"));
        let said: Vec<String> = diagnostics.iter().map(|it| it.message.clone()).collect();
        assert!(found.is_none() && said.iter().any(|text| text.contains(mistake)), "{replicas}: {said:?}");
    }
}

#[test]
fn messages_are_one_word_or_templates() {
    let of = |messages: &str| {
        let text =
            format!("repositories:\n  - name: a\n    url: https://git.example.com/a.git\n    messages: {messages}\n");
        let (settings, diagnostics) = parse_settings("landfall.yaml", &text, Path::new("/etc/landfall"));
        let places =
            diagnostics.iter().map(|it| format!("{}:{} {}", it.line, it.column, it.message)).collect::<Vec<_>>();
        (settings.map(|settings| settings.repositories[0].messages.clone()), places.join("; "))
    };
    let (conventional, none) = of("conventional");
    assert_eq!((conventional, none.as_str()), (Some(crate::policy::MessageTemplates::conventional()), ""));
    let (templates, none) = of("{ commit: \"ci: {action}\", signOff: true }");
    let templates = templates.unwrap();
    assert!(templates.commit.is_some() && templates.title.is_none() && templates.sign_off && none.is_empty());
    for (messages, place, words) in [
        ("semantic", "4:15", "`semantic` is not one of conventional"),
        ("[conventional]", "4:15", "mapping"),
        ("{ subject: x }", "4:17", "subject"),
        ("{ title: \"{tag}\" }", "4:24", "`{tag}` is unknown here; known are {scope}"),
        ("{ commit: \"x\\nLandfall-To: {to}\" }", "4:25", "the bot itself writes"),
    ] {
        let (_, said) = of(messages);
        assert!(said.starts_with(place) && said.contains(words), "{messages}: {said}");
    }
}

#[test]
fn an_alias_is_an_address_without_a_password() {
    for (alias, ok) in [
        ("https://git.example.com/acme/a", true),
        ("ssh://git@git.example.com:2222/acme/a.git", true),
        ("git@git.example.com:acme/a", true),
        ("/srv/git/a.git", true),
        ("https://bot:hunter2@git.example.com/acme/a", false),
        ("https://git.example.com", false),
        ("acme/a", false),
        ("ftp://git.example.com/a", false),
        ("", false),
    ] {
        let text = format!("repositories: [{{ name: a, url: https://git.example.com/a.git, aliases: [{alias:?}] }}]\n");
        let (settings, diagnostics) = parse_settings("landfall.yaml", &text, Path::new("/etc/landfall"));
        assert_eq!(settings.is_some(), ok, "{alias}: {diagnostics:?}");
        assert!(!format!("{diagnostics:?}").contains("hunter2"), "{diagnostics:?}");
        // What is accepted here is an address to whoever ties Git to clusters.
        let known = crate::landing::watchers::Address::parse(alias).is_some();
        assert!(!ok || known, "{alias}");
    }
}

#[test]
fn every_key_of_a_policy_has_its_meaning() {
    let text = r#"
policies:
  - name: prod
    paths: ["apps/{app}/{env}/**"]
    images: ["registry.example.com/**"]
    branch: env/prod
    environment: "{env}"
    write: pull-request
    tags: { numerical: desc, filter: "^b(.+)$", extract: "$1", ignore: ["*-rc*"], prereleases: true, platforms: [linux/amd64] }
    pin: digest
    group: "{app}"
    landWithin: 30m
    reviewWithin: 1d
    pullRequest:
      { reviewers: [acme/sre], labels: [release], draft: true, group: "{env}", automerge: true, mergeMethod: squash,
        approvals: 2, approvalLabel: ship it, checks: [ci/test], limit: 3, remindAfter: 3d, codeOwners: true }
    minimumReleaseAge: 3d
    windows: [{ cron: "0 9 * * 1-5", duration: 7h, timeZone: Europe/Berlin }]
    promoteFrom: { environment: dev, soakTime: 24h, after: [eu-1], afterSoakTime: 1h, checks: [e2e], require: committed }
    rate: { updates: 3, per: 1h }
    debounce: 30s
    resume: manual
    rollback: { after: 30m, write: commit }
"#;
    let policies = policies(text);
    let fields = &policies[0].fields;
    assert_eq!(fields.branch.as_ref().unwrap().value.as_str(), "env/prod");
    assert_eq!(fields.write.as_ref().map(|write| (write.value, write.origin.line)), Some((Write::PullRequest, 8)));
    let tags = &fields.tags.as_ref().unwrap().value;
    assert_eq!((&tags.order, tags.prereleases, tags.ignore.len()), (&Order::Numerical(Direction::Descending), true, 1));
    assert!(tags.filter.is_some());
    assert_eq!(fields.platforms.as_ref().unwrap().value, ["linux/amd64"]);
    assert_eq!(fields.land_within.as_ref().unwrap().value, Duration::from_secs(1800));
    assert_eq!(fields.review_within.as_ref().unwrap().value, Duration::from_secs(86_400));
    assert_eq!(fields.minimum_release_age.as_ref().unwrap().value, Duration::from_secs(259_200));
    let window = &fields.windows.as_ref().unwrap().value[0];
    assert_eq!((window.opens.as_str(), window.opens.time_zone()), ("0 9 * * 1-5", "Europe/Berlin"));
    let promote = &fields.promote_from.as_ref().unwrap().value;
    assert_eq!(
        (promote.environments.as_slice(), promote.after.as_slice()),
        (&["dev".to_owned()][..], &["eu-1".to_owned()][..])
    );
    assert_eq!((promote.soak_time, promote.after_soak_time), (Duration::from_secs(86_400), Duration::from_secs(3600)));
    assert_eq!(
        (promote.of, promote.require, promote.checks.as_slice()),
        (Enough::All, Require::Committed, &["e2e".to_owned()][..])
    );
    assert_eq!(fields.rate.as_ref().unwrap().value, Rate { updates: 3, per: Duration::from_secs(3600) });
    assert_eq!(fields.debounce.as_ref().unwrap().value, Duration::from_secs(30));
    assert_eq!(fields.resume.as_ref().unwrap().value, Resume::Manual);
    let rollback = Rollback { after: Duration::from_secs(1800), write: Some(Write::Commit) };
    assert_eq!(fields.rollback.as_ref().unwrap().value, rollback);
    let pull = &fields.pull_request;
    assert_eq!(pull.reviewers.as_ref().unwrap().value, ["acme/sre"]);
    assert!(pull.draft.as_ref().unwrap().value && pull.automerge.as_ref().unwrap().value);
    assert_eq!(pull.merge_method.as_ref().unwrap().value, MergeMethod::Squash);
    assert_eq!((pull.approvals.as_ref().unwrap().value, pull.limit.as_ref().unwrap().value), (2, 3));
    assert_eq!(pull.approval_label.as_ref().unwrap().value, "ship it");
    assert_eq!(pull.checks.as_ref().unwrap().value, ["ci/test"]);
    assert_eq!(pull.remind_after.as_ref().unwrap().value, Duration::from_secs(259_200));
    assert!(pull.code_owners.as_ref().unwrap().value);
    let set = PolicySet::new(policies);
    let image = ImageName::parse("registry.example.com/acme/web").unwrap();
    let effective = set.effective(&RepoPath::parse("apps/web/eu/x.yaml").unwrap(), &image);
    assert_eq!((effective.commit_group(&image), effective.pull_request_group(&image)), ("web".into(), "eu".into()));
    let warnings: Vec<String> = policy_warnings(&set).into_iter().map(|warning| warning.message).collect();
    let draft = "policy `prod`: with `draft: true` the bot merges nothing before somebody marks it as ready for review";
    assert_eq!(warnings, [draft]);
}

#[test]
fn anchors_aliases_and_merges_may_be_used() {
    let text = "policies:\n  - &dev\n    name: dev\n    paths: [\"dev/**\"]\n    write: &how commit\n  - { <<: *dev, name: b, write: *how }\n";
    let policies = policies(text);
    assert_eq!(policies[1].fields.write.as_ref().unwrap().value, Write::Commit);
    assert_eq!(policies[1].paths[0].as_str(), "dev/**");
}

#[test]
fn a_mirror_is_of_one_registry_and_is_none_itself() {
    for (registries, expected) in [
        ("[{ host: a.example, mirrors: [b.example] }, { host: b.example }]", "a registry of its own"),
        (
            "[{ host: a.example, mirrors: [c.example/x] }, { host: b.example, mirrors: [c.example/x] }]",
            "another mirror",
        ),
        ("[{ host: a.example, mirrors: [b] }]", "neither a registry host nor"),
        ("[{ host: a.example, mirrors: [\"https://b.example\"] }]", "neither a registry host nor"),
        ("[{ host: a.example, mirrors: [b.example/hub] }, { host: b.example }]", ""),
    ] {
        let text =
            format!("repositories: [{{ name: a, url: https://git.example.com/a.git }}]\nregistries: {registries}\n");
        let (settings, diagnostics) = parse_settings("landfall.yaml", &text, Path::new("/etc/landfall"));
        let said: String = diagnostics.iter().map(ToString::to_string).collect();
        assert!(said.contains(expected) && settings.is_some() == expected.is_empty(), "{registries}: {said}");
    }
}

#[test]
fn the_keys_of_credentials_say_which_login_a_registry_has() {
    let read = |credentials: &str| {
        let text = format!(
            "repositories: [{{ name: a, url: https://git.example.com/a.git }}]\nregistries:\n  - host: r.example.com\n    credentials: {credentials}\n"
        );
        let (settings, diagnostics) = parse_settings("landfall.yaml", &text, Path::new("/etc/landfall"));
        let hint = |diagnostic: &Diagnostic| diagnostic.hint.clone().unwrap_or_default();
        let said: Vec<String> = diagnostics.iter().map(|found| format!("{found}; {}", hint(found))).collect();
        (settings.and_then(|settings| settings.registries.hosts[0].login.clone()), said.join("\n"))
    };
    let (basic, said) = read("{ username: bot, password: { env: P } }");
    assert!(matches!(&basic, Some(crate::registry::LoginSettings::Basic(_))), "{said}");
    let secrets = |login: &Option<crate::registry::LoginSettings>| {
        login.iter().flat_map(|login| login.secrets()).map(|(what, from)| format!("{what} {from}")).collect::<String>()
    };
    assert_eq!(secrets(&basic), "password environment variable P");
    assert_eq!(secrets(&read("{ token: { file: /t } }").0), "token file /t");
    for (credentials, expected) in [
        ("{ username: bot }", "4:18: the key `password` is missing here"),
        ("{ usrname: bot, password: { env: P } }", "4:20: unknown key `usrname`; did you mean `username`?"),
        (
            "{ username: bot, password: { env: P }, token: { env: T } }",
            "`token` cannot be combined with username and password",
        ),
        (
            "{ sshKey: { env: K } }",
            "4:18: expected credentials as a mapping, found `sshKey`; the keys are username and password, or token",
        ),
        ("{}", "found no key"),
        ("hunter2", "expected credentials as a mapping, found text"),
        ("{ username: \"a:b\", password: { env: P } }", "has a colon"),
        ("{ username: bot, password: hunter2 }", "never written in this file"),
    ] {
        let (login, said) = read(credentials);
        assert!(login.is_none() && said.contains(expected), "{credentials}: {said}");
        assert_eq!(said.lines().count(), 1, "{credentials}: {said}");
    }
}

#[test]
fn one_bad_file_hides_neither_the_others_nor_their_mistakes() {
    let good = "policies: [{ name: a, paths: [\"**\"] }]\n";
    let files = [("1.yaml", "policies: ["), ("2.yaml", good), ("3.yaml", "policy: []\n"), ("4.yaml", good)];
    let (policies, diagnostics) = parse_policy_files(files);
    assert_eq!(policies.len(), 2);
    let places: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.file.as_str()).collect();
    assert_eq!(places, ["1.yaml", "3.yaml", "4.yaml"]);
    assert!(diagnostics[2].message.contains("2.yaml:1:20"), "{}", diagnostics[2].message);
}

#[test]
fn places_are_right_with_bom_crlf_and_wide_characters() {
    let text = "\u{feff}# ä\r\npolicies:\r\n  - name: \"ä\"\r\n    paths: [\"ä/**\", \"x/**y\"]\r\n";
    let diagnostics = parse_policies("p.yaml", text).unwrap_err();
    let places: Vec<_> = diagnostics.iter().map(|diagnostic| (diagnostic.line, diagnostic.column)).collect();
    assert_eq!(places, [(3, 11), (4, 21)]);
    assert!(diagnostics[1].render(Some(text), false).contains("^^^^^^^"));
}

#[test]
fn a_file_full_of_mistakes_is_reported_up_to_a_limit() {
    use std::fmt::Write as _;
    let mut text = "policies:\n".to_owned();
    for n in 0..500 {
        let _ = writeln!(text, "  - {{ name: p{n}, paths: 1, wirte: commit }}");
    }
    let count = parse_policies("p.yaml", &text).unwrap_err().len();
    assert!((50..=52).contains(&count), "{count}");
}

#[test]
fn patterns_are_bounded_in_a_file_and_across_files() {
    let file = |name: &str, patterns: usize| {
        let paths = vec![format!("\"{}/**\"", "a".repeat(97)); patterns].join(", ");
        format!("policies: [{{ name: {name}, paths: [{paths}] }}]\n")
    };
    let many = parse_policies("p.yaml", &file("a", 700)).unwrap_err();
    assert!(many[0].message.starts_with("the file has more than 64 KiB of paths and images ("), "{}", many[0].message);
    let (first, second) = (file("a", 400), file("b", 400));
    let (policies, diagnostics) = parse_policy_files([("1.yaml", first.as_str()), ("2.yaml", second.as_str())]);
    assert_eq!((policies.len(), diagnostics.len(), diagnostics[0].file.as_str()), (1, 1, "2.yaml"));
}

#[test]
fn coverage_names_idle_policies_and_uncovered_pins() {
    let set = PolicySet::new(policies(
        r#"
policies:
  - { name: used, paths: ["apps/*/dev/**"], environment: dev, write: commit }
  - { name: idle, paths: ["app/**"], write: commit }
  - { name: image, paths: ["apps/**"], images: ["quay.io/**"], write: commit }
  - { name: silent, paths: ["silent/**"] }
"#,
    ));
    let pin = |path: &str, image: &str, line| (RepoPath::parse(path).unwrap(), ImageName::parse(image).unwrap(), line);
    let mut pins = vec![
        pin("apps/web/dev/k.yaml", "ghcr.io/acme/web", 3),
        pin("apps/web/prod/k.yaml", "ghcr.io/acme/web", 9),
        pin("apps/web/prod/k.yaml", "ghcr.io/acme/api", 7),
        pin("silent/x.yaml", "nginx", 2),
    ];
    let shown: Vec<String> = coverage(&set, &pins, &[]).iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "p.yaml:4:13: policy `idle` matches nothing: its `paths` match no file with an image",
            "p.yaml:5:13: policy `image` matches nothing: its `paths` match, but its `images` match no image there",
            "apps/web/prod/k.yaml:7:1: no policy matches ghcr.io/acme/api, ghcr.io/acme/web",
            "silent/x.yaml:2:1: no policy sets `write` for docker.io/library/nginx",
        ]
    );
    pins = (0..9).map(|n| pin("x.yaml", &format!("acme/i{n}"), n + 1)).collect();
    let message = &coverage(&PolicySet::default(), &pins, &[])[0].message;
    assert!(message.ends_with("docker.io/acme/i2, 6 more"), "{message}");
}

#[test]
fn ranges_of_charts_are_told_until_a_policy_says_what_becomes_of_them() {
    let file = |ranges: &str| {
        policies(&format!(
            "policies:\n  - name: a\n    paths: [\"apps/**\"]\n    write: commit\n{ranges}  - {{ name: b, paths: [\"lib/**\"] }}\n"
        ))
    };
    let range = |path: &str| {
        let image = Some(ImageName::parse("https://charts.example.com/web").unwrap());
        Skipped { line: Some(5), image, ..Skipped::file(path, SkipReason::ChartRange) }
    };
    let ranges = [range("apps/a.yaml"), range("apps/b.yaml"), range("lib/c.yaml"), range("other/d.yaml")];
    let told = |ranges_key: &str| -> Vec<String> {
        let set = PolicySet::new(file(ranges_key));
        let all = coverage(&set, &[], &ranges);
        all.iter().map(ToString::to_string).filter(|said| said.contains("ranges")).collect()
    };
    let said = "p.yaml:4:12: policy `a` leaves ranges of charts' versions alone, in apps/a.yaml:5, apps/b.yaml:5: ";
    let all = told("");
    assert!(matches!(all.as_slice(), [one] if one.starts_with(said)), "{all:?}");
    assert_eq!((told("    ranges: keep\n"), told("    ranges: pin\n")), (vec![], vec![]));
    let wrong = crate::config::parse_policies("p.yaml", "policies:\n  - { name: a, paths: [\"a\"], ranges: newest }\n");
    assert!(wrong.unwrap_err()[0].to_string().contains("newest"), "a word that is none of them is refused");
}

/// Pieces of files, so that random ones are nearly right.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("policies:".to_owned()),
        Just("repositories:".to_owned()),
        Just("  - name: a".to_owned()),
        Just("    paths: [\"a/{app}/**\"]".to_owned()),
        Just("    url: https://git.example.com/a".to_owned()),
        Just("    tags: { semver: \"*\" }".to_owned()),
        Just("    credentials: { token: { env: A } }".to_owned()),
        "[ a-z:{}\\[\\],&*!'\"|>#-]{0,12}",
        r"\PC{0,8}",
    ]
}

proptest! {
    #[test]
    fn no_text_panics(pieces in proptest::collection::vec(piece(), 0..8), ends in prop_oneof![Just("\n"), Just("\r\n"), Just(" ")]) {
        let text = pieces.join(ends);
        for diagnostic in parse_policies("p.yaml", &text).err().unwrap_or_default() {
            prop_assert!(!diagnostic.render(Some(&text), true).is_empty());
        }
        for diagnostic in parse_settings("c.yaml", &text, Path::new("/")).1 {
            prop_assert!(!diagnostic.render(Some(&text), false).is_empty());
        }
    }
}

/// What a repository may carry is compiled within limits: what is beyond them is an error at its place, never a panic.
#[test]
fn patterns_beyond_every_limit_are_errors_at_their_place() {
    let nested = format!("{}a{}", "{a,".repeat(200), "}".repeat(200));
    for (line, what) in [
        (format!("paths: [\"{nested}\"]"), "nested deeper than 8"),
        (format!("paths: [\"apps/**\"], images: [\"{nested}\"]"), "nested deeper than 8"),
        (format!("paths: [\"apps/**\"], tags: {{ semver: \"*\", ignore: [\"{nested}\"] }}"), "nested deeper than 8"),
        (
            "paths: [\"apps/**\"], tags: { semver: \"*\", filter: '(a{1,900}){1,900}' }".to_owned(),
            "too large once compiled",
        ),
        (
            format!("paths: [\"apps/**\"], tags: {{ semver: \"*\", filter: '(a+)', extract: '{}' }}", "$1".repeat(50)),
            "more than 8 groups",
        ),
    ] {
        let text = format!("policies:\n  - {{ name: web, write: commit, {line} }}\n");
        let diagnostics = parse_policies("p.yaml", &text).unwrap_err();
        let shown = diagnostics[0].to_string();
        assert!(shown.contains(what) && shown.contains("p.yaml:2"), "{shown}");
    }
    let policy = |n: usize| format!("  - {{ name: p{n}, paths: [a/{n}], tags: {{ semver: \"*\", filter: a }} }}\n");
    let file = |from: usize| format!("policies:\n{}", (from..from + 1_000).map(policy).collect::<String>());
    let texts: Vec<(String, String)> = (0..10).map(|n| (format!("{n}.yaml"), file(n * 1_000))).collect();
    let (policies, diagnostics) = parse_policy_files(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    assert!(policies.len() <= 1_000, "{}", policies.len());
    assert!(diagnostics.iter().any(|it| it.to_string().contains("more than 1000 filters")), "{diagnostics:?}");
}
