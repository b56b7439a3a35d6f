//! The page of a small world in every state, of a hostile one, and of a large one.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::landing::incidents::{Incidents, Rules, step};
use crate::model::{
    About, BranchName, Cause, CauseCode, CommitId, Decision, Held, ImageName, Landing, MissingKeys, Notice, Pin,
    PinKind, PinLocation, PinRole, RepoPath, Rung, Span, State, Tag, Tracked, TrackedThing, UpdateId, Version,
};
use crate::plan::{Attention, Decisions, Gate, HeldBy, Hold, Update};
use crate::policy::PolicySet;

/// Everything that facts borrow.
pub(super) struct Small {
    pub(super) rows: Vec<Tracked>,
    holds: Vec<Hold>,
    decisions: Decisions,
    policies: PolicySet,
    branch: BranchName,
    declared: Arc<Vec<crate::plan::Declared>>,
    incidents: Vec<Notice>,
    chronicle: Chronicle,
    problems: Vec<String>,
    pub(super) commit_page: Option<String>,
}

pub(super) fn now() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

fn before(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

fn version(tag: &str) -> Version {
    Version { tag: Tag::parse(tag).ok(), digest: None }
}

/// A row of an app whose image has its name.
pub(super) fn row(app: &str, environment: &str, tag: &str, state: State, rung: Option<Rung>) -> Tracked {
    let image = ImageName::parse(&format!("registry.example.com/acme/{}", app.to_lowercase()))
        .unwrap_or_else(|_| ImageName::parse("registry.example.com/acme/app").unwrap());
    let branch = BranchName::parse("main").unwrap();
    let overlay = format!("apps/{app}/overlays/{environment}");
    let version = version(tag);
    let id = UpdateId::of(&branch, &overlay, environment, &image, &version);
    let landing = Landing { state, rung, cause: None };
    let mut row = Tracked::new(id, "deploys", app, image, version, landing);
    row.overlay = overlay;
    row.environment = Some(environment.to_owned());
    row.policy = Some(environment.to_owned());
    if !matches!(rung, Some(Rung::Committed | Rung::Merged)) {
        row.cluster = Some("eu-1".to_owned());
        row.declared.commit = CommitId::parse(&"4f9c2d1".repeat(6)[..40]).ok();
        row.declared.by = Some("Landfall".to_owned());
        row.declared.since = Some(before(50));
        row.since = Some(before(49));
    }
    row
}

fn because(mut row: Tracked, code: CauseCode, message: &str, evidence: &[&str], next: &str) -> Tracked {
    let evidence = evidence.iter().map(|line| (*line).to_owned()).collect();
    let cause = Cause { code, message: message.to_owned(), evidence, next: next.to_owned(), blame: code.blame() };
    row.landing.cause = Some(cause);
    row
}

fn hold(row: &Tracked, from: &str, gate: Gate, reason: &str, until: Option<Timestamp>) -> Hold {
    let update = Update {
        id: row.id.clone(),
        app: row.app.clone(),
        environment: row.environment.clone(),
        policy: row.policy.clone().unwrap_or_default(),
        policy_origin: None,
        overlay: row.overlay.clone(),
        image: row.image.to_string(),
        name: row.image.clone(),
        from: version(from),
        to: row.declared.version.clone(),
        pins: Vec::new(),
        source_url: None,
        source_revision: None,
        from_revision: None,
        land_within: None,
        promotion: None,
        passed: Vec::new(),
        age: None,
        verified: None,
        overridden: None,
        rollback: None,
        chart: None,
    };
    Hold { attention: Attention::Expected, ..Hold::new(update, gate, reason.to_owned(), until) }
}

const POLICIES: &str = "policies:\n  - name: dev\n    paths: [\"apps/{app}/overlays/dev/**\"]\n    environment: dev\n    write: commit\n    landWithin: 10m\n  \
    - name: staging\n    paths: [\"apps/{app}/overlays/staging/**\"]\n    environment: staging\n    write: commit\n  \
    - name: prod\n    paths: [\"apps/{app}/overlays/prod/**\"]\n    environment: prod\n    write: pull-request\n    promoteFrom: { environment: staging, soakTime: 24h }\n";

impl Small {
    pub(super) fn of(rows: Vec<Tracked>) -> Self {
        let incidents = Incidents::default();
        let (_, notices) = step(&incidents, &rows, &Rules::new(std::time::Duration::from_secs(60)), now());
        let policies = crate::config::parse_policies(".landfall/policies.yaml", POLICIES).unwrap();
        let declared = rows.iter().filter(|row| row.cluster.is_some()).map(|row| crate::plan::Declared {
            id: row.id.clone(),
            app: row.app.clone(),
            environment: row.environment.clone(),
            policy: row.policy.clone(),
            overlay: row.overlay.clone(),
            name: row.image.clone(),
            version: row.declared.version.clone(),
            pins: RepoPath::parse(&format!("{}/kustomization.yaml", row.overlay))
                .map(|path| pin(path, &row.image, &row.declared.version))
                .into_iter()
                .collect(),
            land_within: None,
        });
        Self {
            holds: Vec::new(),
            decisions: Decisions::default(),
            policies: PolicySet::new(policies),
            branch: BranchName::parse("main").unwrap(),
            declared: Arc::new(declared.collect()),
            incidents: notices,
            chronicle: Chronicle::default(),
            problems: Vec::new(),
            commit_page: Some("https://git.example.com/acme/deploys/commit/".to_owned()),
            rows,
        }
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        let repository = RepositoryFacts {
            address: "https://git.example.com/acme/deploys.git",
            commit_page: self.commit_page.as_deref(),
            holds: &self.holds,
            decisions: &self.decisions,
            branches: vec![BranchFacts { name: &self.branch, policies: &self.policies, declared: &self.declared }],
        };
        Facts {
            now: now(),
            judged: Some(now() - SignedDuration::from_secs(1)),
            rows: &self.rows,
            problems: &self.problems,
            notes: &[],
            repositories: BTreeMap::from([("deploys", repository)]),
            incidents: &self.incidents,
            chronicle: &self.chronicle,
            revision: 7,
        }
    }
}

fn pin(path: RepoPath, image: &ImageName, version: &Version) -> Arc<Pin> {
    let kind = PinKind { name: "kustomize", summary: "", role: PinRole::Override };
    let tag = Some(Span { start: 0, end: 1 });
    let location = PinLocation::Fields { name: None, tag, digest: None, missing: MissingKeys::Refused };
    Arc::new(Pin {
        path,
        line: 9,
        column: 13,
        kind,
        document: 0,
        key: "images[0].newTag".to_owned(),
        image: image.to_string(),
        alias: None,
        name: image.clone(),
        version: version.clone(),
        location,
    })
}

/// A world in which every state occurs.
#[allow(clippy::too_many_lines, reason = "a list of every state")]
fn every_state() -> Small {
    let pull = "https://git.example.com/acme/deploys/pulls/12";
    let landed = |app: &str, environment: &str, tag: &str| row(app, environment, tag, State::Landed, None);
    let mut waiting = row("web", "prod", "1.4.0", State::Pending, Some(Rung::Merged));
    waiting.pull_request = Some(pull.to_owned());
    waiting.declared.since = Some(before(3));
    let mut fresh = landed("web", "dev", "1.4.0");
    (fresh.declared.since, fresh.since, fresh.declared.by) = (Some(before(5)), Some(before(4)), Some("Ada".to_owned()));
    let stuck = because(
        Tracked {
            since: Some(before(2)),
            deadline: Some(before(1)),
            ..row("api", "dev", "2.1.0", State::Stuck, Some(Rung::Running))
        },
        CauseCode::CrashLoop,
        "container api of pod api-7d9f has crashed 14 times",
        &["exit code 1: cannot open /etc/api/config.yaml", "back-off 5m0s restarting failed container"],
        "look at the logs of the pod: kubectl logs -n api api-7d9f --previous",
    );
    let held = row("api", "staging", "2.1.0", State::Paused, Some(Rung::Committed));
    let aged = row("api", "prod", "2.0.4", State::Paused, Some(Rung::Committed));
    let mut progressing = row("worker", "dev", "0.10.0", State::Pending, Some(Rung::RolledOut));
    (progressing.since, progressing.deadline) = (Some(before(0)), Some(now() + SignedDuration::from_mins(8)));
    let drifted = because(
        row("worker", "staging", "0.9.2", State::Drifted, Some(Rung::Applied)),
        CauseCode::Drifted,
        "the live image was changed by hand to 0.9.1",
        &["managed by kubectl-edit"],
        "revert the change, or write it into Git",
    );
    let late = because(
        Tracked { deadline: Some(before(1)), ..row("worker", "prod", "0.9.0", State::Pending, Some(Rung::Fetched)) },
        CauseCode::AutoSyncOff,
        "application worker-prod does not sync by itself",
        &[],
        "sync it, or turn automatic sync on",
    );
    let orphan = because(
        row("legacy-billing-exporter", "prod", "20250101-4f9c2d1", State::Orphan, Some(Rung::Fetched)),
        CauseCode::Orphan,
        "no controller watches this folder",
        &[],
        "delete the folder, or add an Application",
    );
    let unknown = because(
        row("metrics", "staging", "3.2.1", State::Unknown, Some(Rung::Running)),
        CauseCode::Stale,
        "nothing was heard of the cluster for 12 minutes",
        &[],
        "check the network to the cluster",
    );
    let mut sidecar = landed("web", "prod", "1.2.9");
    sidecar.image = ImageName::parse("docker.io/envoyproxy/envoy").unwrap();
    let rows = vec![
        fresh,
        landed("web", "staging", "1.3.0"),
        landed("web", "prod", "1.3.0"),
        sidecar,
        waiting,
        stuck,
        landed("api", "staging", "2.0.4"),
        landed("api", "prod", "2.0.3"),
        held,
        aged,
        progressing,
        drifted,
        late,
        orphan,
        unknown,
        row("metrics", "prod", "3.2.0", State::RolledBack, Some(Rung::Running)),
        row("docs", "dev", "5.0.0", State::Shadowed, Some(Rung::Applied)),
        row("docs", "prod", "4.9.0", State::Superseded, None),
    ];
    let mut small = Small::of(rows);
    let find = |app: &str, tag: &str| {
        small
            .rows
            .iter()
            .find(|row| row.app == app && row.declared.version == version(tag) && matrix::is_ahead(row))
            .unwrap()
    };
    let review = Hold {
        pull: Some(HeldBy {
            url: pull.to_owned(),
            state: crate::model::PullState::Open,
            head: BranchName::parse("landfall/prod/web").unwrap(),
        }),
        ..hold(find("web", "1.4.0"), "1.3.0", Gate::Approval, "waits for a review by acme/sre", None)
    };
    let frozen = hold(
        find("api", "2.1.0"),
        "2.0.4",
        Gate::Freeze,
        "staging is frozen: load test (Ada)",
        Some(now() + SignedDuration::from_hours(20)),
    );
    let soaking = hold(
        find("api", "2.0.4"),
        "2.0.3",
        Gate::Promotion,
        "it has run in staging for 21 h of 24 h",
        Some(now() + SignedDuration::from_hours(3)),
    );
    small.holds = vec![review, frozen, soaking];
    let decision = |about, file: &str, reason: &str, until| Decision {
        file: file.to_owned(),
        about,
        reason: reason.to_owned(),
        author: "Ada".to_owned(),
        since: before(6),
        until,
    };
    let freeze = About::Freeze { environment: Some("staging".to_owned()) };
    let held = About::Hold { of: Held::App("docs".to_owned()), environment: Some("prod".to_owned()), version: None };
    small.decisions = Decisions::new(
        vec![
            decision(
                freeze,
                ".landfall/freezes/staging.yaml",
                "load test",
                Some(now() + SignedDuration::from_hours(20)),
            ),
            decision(held, ".landfall/holds/docs.yaml", "the new layout breaks the search", None),
        ],
        Vec::new(),
    );
    small.problems = vec!["deploys: registry.example.com does not answer: connection refused".to_owned()];
    small
}

fn all_pages(facts: &Facts<'_>, sources: &Sources) -> Vec<(&'static str, String)> {
    let filter = RowFilter::default();
    let matrix = matrix(facts, &filter);
    let mut pages = vec![
        ("index", html::matrix_page(facts, &matrix, &filter)),
        ("waiting", html::waits_page(facts, &matrix, &waits(facts, &filter), &filter)),
        ("incidents", html::incidents_page(facts, &incidents(facts, &filter), &filter)),
        ("timeline", html::timeline_page(facts, &timeline(facts, &filter), &filter)),
        ("sources", html::sources_page(facts, sources)),
        ("error", html::error_page(facts, "There is no such thing", "No app x is declared.")),
    ];
    for (name, row) in ["app", "app-stuck", "app-other"].into_iter().zip(matrix.apps.iter().rev()) {
        pages.extend(app_view(facts, &row.repository, &row.app).map(|view| (name, html::app_page(facts, &view))));
    }
    let path = "apps/web/overlays/prod/kustomization.yaml";
    let policy = policy_view(facts, "deploys", path, Some("registry.example.com/acme/web")).unwrap();
    pages.extend(policy.map(|view| ("policy", html::policy_page(facts, &view))));
    pages
}

fn some_sources() -> Sources {
    let view = |kind, name: &str, tone, word: &str, ago: Option<i64>| SourceView {
        kind,
        name: name.to_owned(),
        detail: String::new(),
        last_success: ago.map(|seconds| now() - SignedDuration::from_secs(seconds)),
        word: word.to_owned(),
        tone,
        problems: Vec::new(),
        counts: vec!["12 ok".to_owned()],
    };
    let mut lost = view(SourceKind::Cluster, "us-1", Tone::Bad, "no contact", Some(720));
    lost.problems.push("the API server does not answer: connection refused; next: check the network".to_owned());
    Sources {
        sources: vec![
            view(SourceKind::Repository, "deploys", Tone::Good, "good", Some(8)),
            view(SourceKind::Host, "registry.example.com", Tone::Warn, "the last request failed", Some(31)),
            view(SourceKind::Cluster, "eu-1", Tone::Good, "good", Some(1)),
            lost,
            view(SourceKind::Webhook, "github", Tone::Quiet, "nothing yet", None),
        ],
    }
}

/// Writes the pages in every state into the folder that `LANDFALL_PAGES` names, for tests/page/run to look at.
#[test]
#[ignore = "it writes files for somebody to look at"]
fn pages_to_look_at() {
    #[expect(clippy::disallowed_methods, reason = "it is run by hand, by a script that says where to")]
    let folder = std::env::var_os("LANDFALL_PAGES").unwrap();
    let folder = std::path::PathBuf::from(folder);
    std::fs::create_dir_all(folder.join("static")).unwrap();
    for asset in html::ASSETS.iter() {
        std::fs::write(folder.join(asset.path.trim_start_matches('/')), asset.text).unwrap();
    }
    let (small, empty, large, hostile) = (every_state(), Small::of(Vec::new()), large(2_000), hostile());
    let sources = some_sources();
    let mut pages = all_pages(&small.facts(), &sources);
    let filter = RowFilter::default();
    let matrix_of = |facts: &Facts<'_>| html::matrix_page(facts, &matrix(facts, &filter), &filter);
    pages.push(("empty", matrix_of(&empty.facts())));
    pages.push(("first", matrix_of(&Facts { judged: None, ..empty.facts() })));
    pages.push(("large", matrix_of(&large.facts())));
    pages.push(("hostile", matrix_of(&hostile.facts())));
    for (name, page) in pages {
        std::fs::write(folder.join(format!("{name}.html")), page).unwrap();
    }
}

/// This many apps in four environments.
fn large(apps: usize) -> Small {
    let states = [State::Landed, State::Landed, State::Landed, State::Pending, State::Stuck];
    let rows = (0..apps).flat_map(|app| {
        ["dev", "test", "staging", "prod"].into_iter().enumerate().map(move |(nth, environment)| {
            let state = states[(app * 7 + nth * 3) % states.len()];
            row(
                &format!("app-{app:04}"),
                environment,
                &format!("1.{}.{nth}", app % 40),
                state,
                (state != State::Landed).then_some(Rung::Running),
            )
        })
    });
    Small::of(rows.collect())
}

const EVIL: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'`&\u{202e}gpj\u{200b}\u{1b}[31m";

/// A world whose every text from outside is an attack.
fn hostile() -> Small {
    let evil = |environment: &str, state, rung| {
        let row = row(&format!("{EVIL}app"), &format!("{EVIL}{environment}"), "1.0.0", state, rung);
        let mut row = because(row, CauseCode::CrashLoop, EVIL, &[EVIL, "javascript:alert(3)"], EVIL);
        row.repository = "deploys".to_owned();
        row.overlay = EVIL.to_owned();
        row.policy = Some(EVIL.to_owned());
        row.cluster = row.cluster.map(|_| EVIL.to_owned());
        row.declared.by = Some(EVIL.to_owned());
        row.notes = vec![EVIL.to_owned()];
        row.deadline = Some(before(1));
        row.pull_request = Some("javascript:alert(4)".to_owned());
        row
    };
    let mut elsewhere = evil("3", State::Pending, Some(Rung::Merged));
    elsewhere.pull_request = Some("https://evil.example/acme/deploys/pulls/1".to_owned());
    let mut small = Small::of(vec![
        evil("1", State::Stuck, Some(Rung::Running)),
        evil("2", State::Pending, Some(Rung::Merged)),
        elsewhere,
    ]);
    small.holds = vec![hold(&small.rows[1], "0.9.0", Gate::Freeze, EVIL, None)];
    let about = About::Freeze { environment: Some(EVIL.to_owned()) };
    let (file, reason, author) = (EVIL.to_owned(), EVIL.to_owned(), EVIL.to_owned());
    small.decisions =
        Decisions::new(vec![Decision { file, about, reason, author, since: before(1), until: None }], Vec::new());
    small.problems = vec![EVIL.to_owned()];
    small
}

/// The values of an attribute in a page.
fn values<'p>(page: &'p str, attribute: &str) -> Vec<&'p str> {
    let begin = format!(" {attribute}=\"");
    page.split(begin.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn whatever_comes_from_outside_is_text() {
    let hidden = |c: char| (c.is_control() && c != '\n') || crate::model::is_invisible(c);
    let small = hostile();
    let facts = small.facts();
    let mut sources = some_sources();
    for source in &mut sources.sources {
        (source.name, source.detail, source.word) = (EVIL.to_owned(), EVIL.to_owned(), EVIL.to_owned());
        (source.problems, source.counts) = (vec![EVIL.to_owned()], vec![EVIL.to_owned()]);
    }
    let mut pages = all_pages(&facts, &sources);
    let filter =
        RowFilter { q: EVIL.to_owned(), repository: EVIL.to_owned(), state: EVIL.to_owned(), ..RowFilter::default() };
    pages.push(("filtered", html::matrix_page(&facts, &matrix(&facts, &filter), &filter)));
    pages.push(("error", html::error_page(&facts, EVIL, EVIL)));
    let cell = matrix(&facts, &RowFilter::default());
    let app = &cell.apps[0];
    pages.push(("cell", html::cell_content(&facts, app, &app.cells[0]).into_string()));
    pages.push(("badge", badge(&Badge::of(EVIL, &app.cells[0]))));
    // Once every cell is new, each is sent to open pages.
    let mut live = LiveCells::default();
    drop(live.take(&facts, &cell));
    let mut later = matrix(&facts, &RowFilter::default());
    later.apps.iter_mut().flat_map(|app| &mut app.cells).for_each(|cell| cell.images += 1);
    let patches = live.take(&facts, &later).cells;
    assert!(!patches.is_empty());
    for patch in patches {
        assert!(!format!("{}{}", patch.html, patch.said).contains(hidden), "{} hides something", patch.id);
        assert!(!patch.html.contains("<img") && !patch.html.contains("<script>"), "{}", patch.html);
    }
    for (name, page) in &pages {
        assert!(!page.contains("<img") && !page.contains("<script>"), "{name}: {page}");
        for (attribute, value) in ["href", "src", "action"]
            .into_iter()
            .flat_map(|it| values(page, it).into_iter().map(move |value| (it, value)))
        {
            let own = value.starts_with('/')
                || value.starts_with('#')
                || value.starts_with("https://git.example.com/acme/deploys/");
            assert!(own && !value.starts_with("//"), "{name}: {attribute}={value}");
        }
        // Neither handlers nor styles of single elements: the policy for contents would stop both.
        assert!(!page.contains(" style=\"") && !page.contains(" onclick="), "{name}");
        if !["cell", "badge"].contains(name) {
            assert!(!page.contains(hidden), "{name} hides something");
            assert!(page.contains("Content-Security") || page.starts_with("<!DOCTYPE html>"), "{name}");
        }
    }
    let index = &pages[0].1;
    assert!(index.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && index.contains("\\u{202e}gpj"), "{index}");
    let live = LiveCells::default().take(&facts, &cell);
    assert!(live.around && live.cells.is_empty(), "the first look has nothing to compare with");
}

#[test]
fn links_lead_to_the_forge_of_the_repository_alone() {
    let mut small = every_state();
    let facts = small.facts();
    for (address, linked) in [
        ("https://git.example.com/acme/deploys/pulls/12", true),
        ("https://git.example.com.evil.example/acme", false),
        ("https://git.example.com@evil.example/acme", false),
        ("http://git.example.com/acme", false),
        ("https://git.example.com:8443/acme", false),
        ("javascript:alert(1)//https://git.example.com/", false),
        ("//git.example.com/acme", false),
        ("refs/landfall/pulls/3", false),
    ] {
        assert_eq!(facts.linked("deploys", address), linked, "{address}");
    }
    assert!(!facts.linked("other", "https://git.example.com/acme/deploys/pulls/12"));
    small.commit_page = None;
    assert!(!small.facts().linked("deploys", "https://git.example.com/acme/deploys/pulls/12"));
}

#[test]
fn the_matrix_says_where_every_version_is_and_why_it_is_no_further() {
    let small = every_state();
    let all = matrix(&small.facts(), &RowFilter::default());
    assert_eq!(all.environments, ["dev", "staging", "prod"]);
    let shown: Vec<String> = all
        .apps
        .iter()
        .flat_map(|app| {
            app.cells.iter().map(move |cell| {
                let next =
                    cell.next.as_ref().map_or(String::new(), |next| format!(" -> {} {}", next.version, next.word));
                let behind = cell.behind.as_ref().map_or(String::new(), |it| {
                    format!(" ({} behind {})", it.distance.as_deref().unwrap_or("?"), it.environment)
                });
                format!(
                    "{} {}: {} {} [{}]{behind}{next}",
                    app.app,
                    cell.environment.as_deref().unwrap_or("-"),
                    cell.version,
                    cell.word,
                    cell.tone.as_str()
                )
            })
        })
        .collect();
    insta::assert_snapshot!("matrix", shown.join("\n"));
    let counts: Vec<String> = all.counts.iter().map(|count| format!("{} {}", count.count, count.state)).collect();
    insta::assert_snapshot!("counts", counts.join(", "));
    let waits: Vec<String> = waits(&small.facts(), &RowFilter::default())
        .waits
        .iter()
        .map(|wait| {
            format!(
                "{}: {} {} -> {}; {}",
                wait.party.as_words(),
                wait.app,
                wait.from.as_deref().unwrap_or("?"),
                wait.to,
                wait.command.as_deref().unwrap_or("-")
            )
        })
        .collect();
    insta::assert_snapshot!("waits", waits.join("\n"));
}

#[test]
fn what_waits_or_was_rejected_is_not_taken_for_what_git_declares() {
    let bare = |state: State, rung: Option<Rung>| {
        let mut bare = row("web", "prod", "1.4.0", state, rung);
        (bare.cluster, bare.declared.commit) = (None, None);
        bare
    };
    for (state, rung, ahead) in [
        (State::Paused, Some(Rung::Committed), true),
        (State::Pending, Some(Rung::Merged), true),
        (State::Rejected, None, true),
        // In Git, by a commit older than the history that is read.
        (State::Orphan, None, false),
        (State::Pending, Some(Rung::Fetched), false),
        (State::Unknown, Some(Rung::Fetched), false),
        (State::Unknown, None, false),
    ] {
        assert_eq!(matrix::is_ahead(&bare(state, rung)), ahead, "{state} {rung:?}");
    }
    assert!(!matrix::is_ahead(&row("web", "prod", "1.4.0", State::Landed, None)));
    // The cell of a rejected update shows what runs, and the update as what comes next.
    let small = Small::of(vec![row("web", "prod", "1.3.0", State::Landed, None), bare(State::Rejected, None)]);
    let all = matrix(&small.facts(), &RowFilter::default());
    let cell = &all.apps[0].cells[0];
    assert_eq!((cell.version.as_str(), cell.state), ("1.3.0", State::Landed));
    assert_eq!(cell.next.as_ref().map(|next| next.version.as_str()), Some("1.4.0"));
}

#[test]
fn without_clusters_every_declared_image_has_a_row() {
    let small = every_state();
    let declared = &small.declared;
    let all = beyond_sight("deploys", &[], declared);
    assert_eq!(all.len(), declared.len());
    for row in &all {
        assert!(tone::is_beyond_sight(row) && !matrix::is_ahead(row), "{row:?}");
        assert_eq!(tone::tone(row, false), Tone::Quiet);
    }
    // Only what no row of this repository is about; an update that waits is about another version.
    let waiting = small.rows.iter().filter(|row| matrix::is_ahead(row)).cloned().collect::<Vec<_>>();
    assert_eq!(beyond_sight("deploys", &waiting, declared).len(), declared.len());
    assert_eq!(beyond_sight("deploys", &all[1..], declared).len(), 1);
    assert_eq!(beyond_sight("other", &all, declared).len(), declared.len());
    // What no policy covers is nothing that the bot is asked about.
    let mut unasked = declared[0].clone();
    unasked.policy = None;
    assert!(beyond_sight("deploys", &[], &[unasked]).is_empty());
    let small = Small::of(all);
    let matrix = matrix(&small.facts(), &RowFilter::default());
    assert!(matrix.apps.iter().flat_map(|app| &app.cells).all(|cell| cell.word == "in Git, no cluster"));
    assert!(matrix.counts.iter().all(|count| count.state != "attention"), "{:?}", matrix.counts);
}

/// Cells stay as they were last known: what is out of reach as a whole is said above them, once.
#[test]
fn a_repository_or_cluster_out_of_reach_is_said_above_the_cells() {
    let silent = "GitHub has not answered since 11:20: connection refused";
    let mut whole = because(
        row("deploys", "dev", "1.0.0", State::Stuck, None),
        CauseCode::FetchFailed,
        silent,
        &[],
        "check that it answers",
    );
    whole.thing = TrackedThing::Repository;
    let mut unjudged = row("web", "dev", "1.0.0", State::Unknown, None);
    unjudged.cluster = Some("us-1".to_owned());
    let landed = row("web", "dev", "1.0.0", State::Landed, None);
    let mut small = Small::of(vec![whole, landed, unjudged]);
    let filter = RowFilter::default();
    let shown = matrix(&small.facts(), &filter);
    assert_eq!(shown.problems, [format!("deploys: {silent}")]);
    assert_eq!(shown.apps.len(), 1, "it is no app");
    assert_eq!(shown.apps[0].cells[0].state, State::Unknown, "one of two clusters cannot be judged");
    small.problems = vec![format!("deploys: {silent}")];
    assert_eq!(matrix(&small.facts(), &filter).problems.len(), 1);
}

#[test]
fn a_filter_leaves_what_it_names() {
    let small = every_state();
    let apps = |filter: RowFilter| -> Vec<String> {
        matrix(&small.facts(), &filter).apps.into_iter().map(|app| app.app).collect()
    };
    let of = |change: fn(&mut RowFilter)| {
        let mut filter = RowFilter::default();
        change(&mut filter);
        apps(filter)
    };
    assert_eq!(of(|it| it.q = "WEB".to_owned()), ["web"]);
    assert_eq!(of(|it| it.q = "envoy".to_owned()), ["web"]);
    assert_eq!(of(|it| it.q = "3.2".to_owned()), ["metrics"]);
    assert_eq!(of(|it| it.state = "stuck".to_owned()), ["api"]);
    assert_eq!(of(|it| it.state = "late".to_owned()), ["api", "worker"]);
    assert_eq!(of(|it| it.image = "worker".to_owned()), ["worker"]);
    assert_eq!(of(|it| (it.app, it.environment) = ("web".to_owned(), "prod".to_owned())), ["web"]);
    assert_eq!(of(|it| it.repository = "other".to_owned()), [""; 0]);
    let one = RowFilter { environment: "prod".to_owned(), ..RowFilter::default() };
    let matrix = matrix(&small.facts(), &one);
    assert_eq!(matrix.environments, ["prod"]);
    assert!(matrix.apps.iter().flat_map(|app| &app.cells).all(|cell| cell.environment.as_deref() == Some("prod")));
}

#[test]
fn only_cells_that_differ_are_sent_to_open_pages() {
    let mut small = every_state();
    let mut live = LiveCells::default();
    let look =
        |small: &Small, live: &mut LiveCells| live.take(&small.facts(), &matrix(&small.facts(), &RowFilter::default()));
    assert!(look(&small, &mut live).around);
    assert!(look(&small, &mut live).is_empty());
    let dev = small.rows.iter_mut().find(|row| row.app == "api" && row.landing.state == State::Stuck).unwrap();
    (dev.landing.state, dev.landing.rung, dev.landing.cause, dev.deadline) = (State::Landed, None, None, None);
    let changes = look(&small, &mut live);
    let sent: Vec<(&str, &str, &str)> =
        changes.cells.iter().map(|cell| (cell.id.as_str(), cell.tone, cell.said.as_str())).collect();
    assert_eq!(sent, [("cell-deploys/api/dev", "good", "api in dev: 2.1.0 landed")]);
    assert!(changes.cells[0].html.contains("landed"));
    small.rows.retain(|row| row.app != "docs");
    assert!(look(&small, &mut live).around);
}

#[test]
fn what_rows_said_before_is_kept_within_bounds() {
    let mut chronicle = Chronicle::default();
    let mut one = row("web", "dev", "1.0.0", State::Pending, Some(Rung::Fetched));
    one.since = Some(before(3));
    chronicle.observe(std::slice::from_ref(&one), before(3));
    one.landing.rung = Some(Rung::RolledOut);
    chronicle.observe(std::slice::from_ref(&one), before(2));
    assert_eq!(chronicle.rungs(&one)[Rung::Applied as usize], Some(before(2)));
    (one.landing, one.since) = (Landing { state: State::Landed, rung: None, cause: None }, Some(before(1)));
    chronicle.observe(std::slice::from_ref(&one), before(1));
    let next = row("web", "dev", "1.1.0", State::Landed, None);
    chronicle.observe(std::slice::from_ref(&next), now());
    let mut small = Small::of(vec![next]);
    small.chronicle = chronicle.clone();
    let told: Vec<String> = timeline(&small.facts(), &RowFilter::default())
        .events
        .iter()
        .map(|event| format!("{} {}", event.version, event.word))
        .collect();
    assert_eq!(told, ["1.0.0 landed", "1.0.0 pending", "1.1.0 landed", "1.1.0 declared", "1.0.0 declared"]);
    for number in 0..5_000 {
        let row = row("web", "dev", &format!("2.0.{number}"), State::Landed, None);
        chronicle.observe(std::slice::from_ref(&row), now());
    }
    small.chronicle = chronicle;
    let timeline = timeline(&small.facts(), &RowFilter::default());
    assert!(timeline.cut && timeline.events.len() == 500);
}

#[test]
fn a_hundred_times_as_much_takes_no_thousand_times_as_long() {
    let page = |small: &Small| {
        let (facts, filter) = (small.facts(), RowFilter::default());
        let begin = std::time::Instant::now();
        let matrix = matrix(&facts, &filter);
        let length = html::matrix_page(&facts, &matrix, &filter).len()
            + waits(&facts, &filter).waits.len()
            + timeline(&facts, &filter).events.len()
            + LiveCells::default().take(&facts, &matrix).cells.len();
        (length, begin.elapsed())
    };
    let (small, large) = (large(20), large(2_000));
    let least = (0..5).map(|_| page(&small).1).min().unwrap().max(std::time::Duration::from_millis(1));
    let (length, took) = page(&large);
    assert!(length > 1_000_000 && took < least * 1_000, "{took:?} against {least:?}");
}

#[test]
fn the_description_of_the_api_has_every_schema_that_it_names() {
    let description = openapi();
    assert_eq!(description["openapi"], "3.1.0");
    let text = description.to_string();
    let named: std::collections::BTreeSet<&str> =
        text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(description["components"]["schemas"][name].is_object(), "{name}");
    }
    assert_eq!(description["paths"].as_object().unwrap().len(), PATHS.len());
    for path in &PATHS {
        let operation = &description["paths"][path.path]["get"];
        assert_eq!(operation["parameters"].as_array().unwrap().len() >= 7, path.filtered, "{}", path.path);
    }
}

#[test]
fn a_matrix_of_too_many_cells_is_shown_in_part_and_says_so() {
    // Each app has an environment of its own: 400 rows are 160,000 cells.
    let rows = (0..400).map(|n| row(&format!("app-{n}"), &format!("env-{n}"), "1.0.0", State::Landed, None)).collect();
    let small = Small::of(rows);
    let (facts, filter) = (small.facts(), RowFilter::default());
    let page = html::matrix_page(&facts, &matrix(&facts, &filter), &filter);
    assert!(page.contains("100 of 400 apps") && page.contains("to see the others"), "{}", &page[..4_000]);
    assert_eq!(page.matches("<tr>").count(), 101, "with the head");
    let found = RowFilter { app: "app-399".to_owned(), ..RowFilter::default() };
    let page = html::matrix_page(&facts, &matrix(&facts, &found), &found);
    assert!(page.contains("app-399") && !page.contains("to see the others"));
}

#[test]
fn a_badge_is_one_picture() {
    let small = every_state();
    let filter = RowFilter { app: "web".to_owned(), environment: "prod".to_owned(), ..RowFilter::default() };
    let matrix = matrix(&small.facts(), &filter);
    insta::assert_snapshot!("badge", badge(&Badge::of("prod", &matrix.apps[0].cells[0])));
    let long = Badge { label: "é".repeat(1_000), value: "x".repeat(1_000), tone: Tone::Bad };
    assert!(badge(&long).len() < 2_000);
}

#[test]
fn pages_stay_as_they_are() {
    let small = every_state();
    let facts = small.facts();
    for (name, page) in all_pages(&facts, &some_sources()) {
        if ["index", "app-stuck", "waiting"].contains(&name) {
            let lines = page.replace("><", ">\n<");
            let lines = html::ASSETS.iter().fold(lines, |lines, asset| lines.replace(&asset.path, "/static/ASSET"));
            insta::assert_snapshot!(name, lines);
        }
    }
}
