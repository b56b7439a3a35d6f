//! Rows and what is told of them, step by step.

use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::model::{
    Cause, CommitId, Counts, Declared, ImageName, Landing, Notice, Rung, Severity, Tag, UpdateId, Version,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap()).unwrap()
}

fn version(tag: &str) -> Version {
    Version { tag: Some(Tag::parse(tag).unwrap()), digest: None }
}

/// `web` 1.4.0 in prod on eu-1, declared at 0, to land within half an hour, in a state since `since`.
pub(super) fn row(state: State, since: u64) -> Tracked {
    Tracked {
        id: UpdateId::parse("0123456789abcdef").unwrap(),
        repository: "deploys".to_owned(),
        overlay: "apps/web/overlays/prod".to_owned(),
        app: "web".to_owned(),
        environment: Some("prod".to_owned()),
        policy: Some("prod".to_owned()),
        cluster: Some("eu-1".to_owned()),
        image: ImageName::parse("ghcr.io/acme/web").unwrap(),
        declared: Declared {
            version: version("1.4.0"),
            commit: Some(CommitId::parse(&"a".repeat(40)).unwrap()),
            since: Some(at(0)),
            by: None,
        },
        live: vec![version("1.3.0")],
        landing: Landing { state, rung: Some(Rung::Running), cause: None },
        since: Some(at(since)),
        deadline: Some(at(30 * MINUTE)),
        pull_request: None,
        notes: Vec::new(),
        flapping: false,
        thing: crate::model::TrackedThing::Image,
        unseen: false,
        affects: BTreeSet::new(),
    }
}

fn because(mut row: Tracked, code: CauseCode) -> Tracked {
    row.landing.cause = Some(Cause {
        code,
        blame: code.blame(),
        message: format!("it is {code}"),
        evidence: vec!["pod web-1".to_owned()],
        next: "look".to_owned(),
    });
    row
}

fn rung(mut row: Tracked, rung: Rung) -> Tracked {
    row.landing.rung = Some(rung);
    row
}

fn stuck(code: CauseCode, since: u64) -> Tracked {
    because(row(State::Stuck, since), code)
}

pub(super) fn rules() -> Rules {
    Rules::new(Duration::from_secs(MINUTE))
}

/// A history, step by step, with what each step told.
struct Story {
    incidents: Incidents,
    rules: Rules,
}

impl Story {
    fn new() -> Self {
        Self { incidents: Incidents::default(), rules: rules() }
    }

    fn told(&mut self, seconds: u64, rows: &[Tracked]) -> Vec<Notice> {
        let (next, notices) = step(&self.incidents, rows, &self.rules, at(seconds));
        let (again, repeated) = step(&next, rows, &self.rules, at(seconds));
        assert_eq!((&again, repeated), (&next, Vec::new()), "the same step made twice says something new");
        self.incidents = next;
        notices
    }

    /// What a step tells, in words: kind, severity, cause or resolution.
    fn step(&mut self, seconds: u64, rows: &[Tracked]) -> Vec<String> {
        self.told(seconds, rows).iter().map(words).collect()
    }

    fn restart(&mut self) {
        let kept = serde_json::to_string(&self.incidents.memory()).unwrap();
        self.incidents = Incidents::from(serde_json::from_str::<Memory>(&kept).unwrap());
    }
}

fn words(notice: &Notice) -> String {
    let what = match (&notice.resolution, notice.incident.code) {
        (Some(resolution), _) => resolution.as_str().to_owned(),
        (None, Some(code)) => code.to_string(),
        (None, None) => "-".to_owned(),
    };
    format!("{} {} {what}", notice.kind.as_str(), notice.incident.severity)
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_is_an_incident_and_how_bad() {
    use CauseCode as C;
    let none: &[&str] = &[];
    let dead = |row: Tracked| Tracked { live: Vec::new(), ..row };
    let unlimited = |row: Tracked| Tracked { deadline: None, ..row };
    let before_git = |row: Tracked| Tracked { cluster: None, ..rung(row, Rung::Committed) };
    let pending = || row(State::Pending, 0);
    let review = || because(rung(pending(), Rung::Merged), C::ReviewPending);
    let lost = || before_git(because(pending(), C::LostRace));
    for (name, row, now, expected) in [
        ("stuck: at once", stuck(C::ImageNotFound, 0), 1, &["raised error image-not-found"][..]),
        ("stuck without a reason", row(State::Stuck, 0), 1, &["raised error -"]),
        ("nothing of it runs", dead(stuck(C::CrashLoop, 0)), 1, &["raised critical crash-loop"]),
        (
            "not applied, so what runs says nothing",
            dead(rung(stuck(C::SyncFailed, 0), Rung::Applied)),
            1,
            &["raised error sync-failed"],
        ),
        ("pending in time", pending(), 30 * MINUTE - 1, none),
        ("pending at its deadline", pending(), 30 * MINUTE, &["raised warning -"]),
        ("pending for twice its time", pending(), HOUR, &["raised error -"]),
        ("pending without a deadline", unlimited(pending()), 90 * HOUR, none),
        ("review in time", review(), 10 * MINUTE, none),
        ("review past its deadline", review(), 31 * MINUTE, &["raised warning review-pending"]),
        ("review, people sleep", review(), 90 * HOUR, &["raised warning review-pending"]),
        ("races that were lost, cycle after cycle", lost(), 30 * MINUTE - 1, none),
        ("... past its deadline", lost(), 30 * MINUTE, &["raised warning lost-race"]),
        (
            "push refused before Git",
            before_git(because(pending(), C::PushRejected)),
            1,
            &["raised error push-rejected"],
        ),
        (
            "login refused before Git",
            before_git(because(pending(), C::Authentication)),
            1,
            &["raised error authentication"],
        ),
        (
            "merge conflict",
            because(rung(pending(), Rung::Merged), C::MergeConflict),
            1,
            &["raised warning merge-conflict"],
        ),
        ("drifted a moment", row(State::Drifted, 0), 4 * MINUTE, none),
        ("drifted", because(row(State::Drifted, 0), C::Drifted), 5 * MINUTE, &["raised warning drifted"]),
        ("shadowed a moment", row(State::Shadowed, 0), 14 * MINUTE, none),
        ("shadowed", because(row(State::Shadowed, 0), C::Shadowed), 15 * MINUTE, &["raised warning shadowed"]),
        ("orphan a moment", row(State::Orphan, 0), 9 * MINUTE, none),
        ("orphan", because(row(State::Orphan, 0), C::Orphan), 10 * MINUTE, &["raised warning orphan"]),
        ("unknown for two intervals", row(State::Unknown, 0), 2 * MINUTE, none),
        (
            "unknown for three intervals",
            because(row(State::Unknown, 0), C::Stale),
            3 * MINUTE,
            &["raised warning stale"],
        ),
        (
            "unknown because refused",
            because(row(State::Unknown, 0), C::Forbidden),
            3 * MINUTE,
            &["raised error forbidden"],
        ),
        ("paused: the clock stands still", unlimited(row(State::Paused, 0)), 23 * HOUR, none),
        (
            "paused and forgotten",
            unlimited(because(row(State::Paused, 0), C::Suspended)),
            24 * HOUR,
            &["raised info suspended"],
        ),
        (
            "rolled back, and nobody was told",
            because(row(State::RolledBack, 0), C::RolledBack),
            1,
            &["raised error rolled-back"],
        ),
        ("landed", row(State::Landed, 0), HOUR, none),
        ("superseded", row(State::Superseded, 0), HOUR, none),
        ("rejected by a person", row(State::Rejected, 0), 90 * HOUR, none),
        ("a clock ahead of ours", row(State::Unknown, 10 * MINUTE), 1, none),
    ] {
        assert_eq!(Story::new().step(now, &[row]), expected, "{name}");
    }
}

#[test]
fn raised_once_escalated_in_place_recalled_resolved() {
    let mut story = Story::new();
    let pull = |since| stuck(CauseCode::ImageNotFound, since);
    assert_eq!(story.step(10, &[pull(5)]), ["raised error image-not-found"]);
    assert_eq!(story.step(70, &[pull(5)]), [""; 0]);
    assert_eq!(story.step(130, &[stuck(CauseCode::CrashLoop, 100)]), ["escalated error crash-loop"]);
    // Causes that take turns are told once each.
    assert_eq!(story.step(190, &[pull(150)]), [""; 0]);
    assert_eq!(story.step(250, &[stuck(CauseCode::CrashLoop, 200)]), [""; 0]);
    let nothing_runs = Tracked { live: Vec::new(), ..stuck(CauseCode::CrashLoop, 200) };
    assert_eq!(story.step(310, &[nothing_runs]), ["escalated critical crash-loop"]);
    let reminder = story.told(310 + 4 * HOUR, &[stuck(CauseCode::CrashLoop, 200)]);
    assert_eq!(reminder.iter().map(words).collect::<Vec<_>>(), ["reminder critical crash-loop"]);
    assert_eq!(reminder[0].counts, Counts { overlays: 1, told: 4, suppressed: 2 });
    assert_eq!(reminder[0].incident.since, at(5), "since the first trouble");
    assert_eq!(story.step(311 + 4 * HOUR, &[stuck(CauseCode::CrashLoop, 200)]), [""; 0]);
    let over = story.told(6 * HOUR, &[row(State::Landed, 6 * HOUR)]);
    assert_eq!(over.iter().map(words).collect::<Vec<_>>(), ["resolved critical landed", "landed info -"]);
    assert_eq!(over[1].from, ["1.3.0"]);
    assert_eq!(over[1].duration(at(6 * HOUR)), Duration::from_secs(6 * HOUR), "from commit to running");
    assert!(story.incidents.open().is_empty());
}

#[test]
fn how_an_incident_ends() {
    let other = |cluster: Option<&str>, tag: &str| Tracked {
        cluster: cluster.map(str::to_owned),
        declared: Declared { version: version(tag), ..row(State::Pending, 0).declared },
        ..row(State::Pending, 100)
    };
    let before_git = || Tracked { cluster: None, ..rung(stuck(CauseCode::PushRejected, 0), Rung::Committed) };
    let moving = |since| row(State::Pending, since);
    type Case<'a> = (&'a str, Tracked, Vec<Tracked>, u64, &'a [&'a str]);
    let cases: Vec<Case<'_>> = vec![
        ("landed", stuck(CauseCode::CrashLoop, 0), vec![row(State::Landed, 100)], 100, &["landed"]),
        ("superseded row", stuck(CauseCode::CrashLoop, 0), vec![row(State::Superseded, 100)], 100, &["superseded"]),
        (
            "superseded by another key",
            stuck(CauseCode::CrashLoop, 0),
            vec![other(Some("eu-1"), "1.5.0")],
            100,
            &["superseded"],
        ),
        ("rolled back", stuck(CauseCode::CrashLoop, 0), vec![row(State::RolledBack, 100)], 100, &["rolled-back"]),
        ("rejected", stuck(CauseCode::MergeConflict, 0), vec![row(State::Rejected, 100)], 100, &["rejected"]),
        ("into Git", before_git(), vec![other(Some("eu-1"), "1.4.0")], 100, &["committed"]),
        ("before Git, superseded before Git", before_git(), vec![other(None, "1.5.0")], 100, &["superseded"]),
        ("moving only just", stuck(CauseCode::CrashLoop, 0), vec![moving(100)], 100, &[]),
        ("released", stuck(CauseCode::Suspended, 0), vec![moving(100)], 100 + 3 * MINUTE, &["released"]),
        ("late, so not released", stuck(CauseCode::CrashLoop, 0), vec![moving(100)], 30 * MINUTE, &[]),
        ("paused", stuck(CauseCode::CrashLoop, 0), vec![row(State::Paused, 100)], 5 * HOUR, &[]),
        ("missing only just", stuck(CauseCode::CrashLoop, 0), vec![], 100, &[]),
        (
            "another cluster's row is no successor",
            stuck(CauseCode::CrashLoop, 0),
            vec![other(Some("us-1"), "1.5.0")],
            100,
            &[],
        ),
    ];
    for (name, first, then, now, expected) in cases {
        let mut story = Story::new();
        assert_eq!(story.told(1, &[first])[0].kind, NoticeKind::Raised, "{name}");
        let told = story.told(now, &then);
        let ended: Vec<_> =
            told.iter().filter_map(|notice| notice.resolution.as_ref()).map(Resolution::as_str).collect();
        assert_eq!(ended, expected, "{name}");
        assert_eq!(story.incidents.open().is_empty(), !expected.is_empty(), "{name}");
    }
}

#[test]
fn a_row_that_is_gone_is_believed_gone_after_a_while_and_never_of_an_unread_repository() {
    let mut story = Story::new();
    assert_eq!(story.step(0, &[stuck(CauseCode::CrashLoop, 0)]).len(), 1);
    assert_eq!(story.step(60, &[]), [""; 0]);
    assert_eq!(story.step(120, &[stuck(CauseCode::CrashLoop, 0)]), [""; 0], "it was away, not over");
    story.rules.unread.insert("deploys".to_owned());
    assert_eq!(story.step(9 * HOUR, &[]), [""; 0]);
    assert_eq!(story.incidents.open().len(), 1);
    story.rules.unread.clear();
    assert_eq!(story.step(9 * HOUR + 1, &[]), [""; 0]);
    story.restart();
    assert_eq!(story.step(9 * HOUR + 181, &[]), ["resolved error gone"]);
    assert_eq!(story.step(12 * HOUR, &[]), [""; 0]);
    assert_eq!(story.incidents.memory().told, []);
}

#[test]
fn a_rollback_is_told_once_whether_or_not_an_incident_was_open() {
    let rolled_back = || because(row(State::RolledBack, 50), CauseCode::RolledBack);
    let mut story = Story::new();
    assert_eq!(story.step(60, &[rolled_back()]), ["raised error rolled-back"]);
    assert_eq!(story.step(120, &[rolled_back()]), [""; 0]);
    story.restart();
    assert_eq!(story.step(180, &[rolled_back()]), [""; 0]);
    let mut story = Story::new();
    assert_eq!(story.step(10, &[stuck(CauseCode::CrashLoop, 5)]), ["raised error crash-loop"]);
    assert_eq!(story.step(60, &[rolled_back()]), ["resolved error rolled-back"]);
    assert_eq!(story.step(120, &[rolled_back()]), [""; 0]);
    story.restart();
    assert_eq!(story.step(180, &[rolled_back()]), [""; 0]);
}

#[test]
fn back_and_forth_is_told_as_such() {
    let mut story = Story::new();
    let mut told = Vec::new();
    for flip in 0..20 {
        let since = flip * 2 * MINUTE;
        told.extend(story.step(since, &[stuck(CauseCode::CrashLoop, since)]));
        told.extend(story.step(since + MINUTE, &[row(State::Landed, since + MINUTE)]));
    }
    let pair = ["raised error crash-loop", "resolved error landed"];
    let expected =
        [&pair[..1], &["resolved error landed", "landed info -"], &pair, &pair[..1], &["escalated error crash-loop"]];
    assert_eq!(told, expected.concat());
    let open = story.incidents.open();
    assert!(open[0].oscillating, "{open:?}");
    let landed = 39 * MINUTE;
    assert_eq!(story.step(landed + 29 * MINUTE, &[row(State::Landed, landed)]), [""; 0]);
    assert_eq!(story.step(landed + 30 * MINUTE, &[row(State::Landed, landed)]), ["resolved error landed"]);
}

#[test]
fn a_pause_keeps_an_incident_open_and_silent() {
    let mut story = Story::new();
    assert_eq!(story.step(0, &[stuck(CauseCode::CrashLoop, 0)]).len(), 1);
    let paused = || because(Tracked { deadline: None, ..row(State::Paused, MINUTE) }, CauseCode::Suspended);
    for hour in 1..24 {
        assert_eq!(story.step(hour * HOUR, &[paused()]), [""; 0], "after {hour} h");
    }
    assert_eq!(story.step(25 * HOUR, &[paused()]), ["escalated error suspended"]);
}

#[test]
fn landings_are_told_once_and_old_ones_not_at_all() {
    let mut story = Story::new();
    assert_eq!(story.step(0, &[row(State::Landed, 0)]), [""; 0], "landed before anybody looked");
    assert_eq!(story.step(HOUR, &[stuck(CauseCode::CrashLoop, HOUR)]).len(), 1);
    assert_eq!(
        story.step(2 * HOUR, &[row(State::Landed, 2 * HOUR)]),
        ["resolved error landed"],
        "a recovery is no landing"
    );
    let mut story = Story::new();
    assert_eq!(story.step(0, &[row(State::Pending, 0)]), [""; 0]);
    story.restart();
    assert_eq!(story.step(60, &[row(State::Landed, 30)]), ["landed info -"], "while nobody looked");
    story.restart();
    assert_eq!(story.step(120, &[row(State::Landed, 119)]), [""; 0]);
}

#[test]
fn a_version_that_comes_back_lands_anew() {
    let by = |commit: &str, row: Tracked| {
        let declared = Declared { commit: Some(CommitId::parse(&commit.repeat(40)).unwrap()), ..row.declared };
        Tracked { declared, ..row }
    };
    let mut story = Story::new();
    assert_eq!(story.step(0, &[by("a", row(State::Pending, 0))]), [""; 0]);
    assert_eq!(story.step(60, &[by("a", row(State::Landed, 60))]), ["landed info -"]);
    assert_eq!(story.step(120, &[by("a", row(State::Pending, 120))]), [""; 0]);
    assert_eq!(story.step(180, &[by("a", row(State::Landed, 180))]), [""; 0], "a pod was moved");
    assert_eq!(story.step(240, &[by("b", row(State::Pending, 240))]), [""; 0]);
    assert_eq!(story.step(300, &[by("b", row(State::Landed, 300))]), ["landed info -"], "a rollback");
}

#[test]
fn a_landing_says_what_ran_before_even_where_nothing_ran_in_between() {
    let mut story = Story::new();
    assert_eq!(story.step(0, &[row(State::Pending, 0)]), [""; 0]);
    let nothing_runs = Tracked { live: Vec::new(), ..stuck(CauseCode::CrashLoop, 60) };
    assert_eq!(story.step(60, &[nothing_runs]).len(), 1);
    let told = story.told(120, &[Tracked { live: vec![version("1.4.0")], ..row(State::Landed, 120) }]);
    let landed = told.iter().find(|notice| notice.kind == NoticeKind::Landed).unwrap();
    assert_eq!(landed.from, ["1.3.0"]);
    // The same where it was paused before anybody saw it move.
    let mut story = Story::new();
    assert_eq!(story.step(0, &[row(State::Paused, 0)]), [""; 0]);
    let told = story.told(60, &[Tracked { live: vec![version("1.4.0")], ..row(State::Landed, 60) }]);
    assert_eq!((told[0].kind, &told[0].from[..]), (NoticeKind::Landed, &["1.3.0".to_owned()][..]));
}

#[test]
fn the_worst_row_speaks_for_its_key() {
    let second = |row: Tracked| Tracked { overlay: "apps/web/overlays/prod-b".to_owned(), ..row };
    for rows in [
        vec![row(State::Landed, 0), second(stuck(CauseCode::CrashLoop, 0))],
        vec![second(stuck(CauseCode::CrashLoop, 0)), row(State::Landed, 0)],
    ] {
        let mut story = Story::new();
        let told = story.told(1, &rows);
        assert_eq!(told[0].incident.overlay, "apps/web/overlays/prod-b");
        assert_eq!(told[0].counts.overlays, 2);
        let later = story.step(HOUR, &[row(State::Landed, 0), second(row(State::Pending, HOUR))]);
        assert!(!later.iter().any(|told| told.starts_with("resolved")), "one of two has landed: {later:?}");
    }
}

#[test]
fn hostile_texts_are_one_bounded_line_each() {
    let mut hostile = stuck(CauseCode::SyncFailed, 0);
    let cause = hostile.landing.cause.as_mut().unwrap();
    cause.message = format!("a\u{1b}[2J\r\nb\u{202e}{}", "x".repeat(10_000));
    cause.evidence = vec!["line\nline".to_owned(); 50];
    hostile.app = "we\nb".to_owned();
    hostile.pull_request = Some("javascript:alert(1)".to_owned());
    let told = Story::new().told(1, &[hostile]);
    let json = serde_json::to_string(&told).unwrap();
    assert!(!json.contains("\\n") && !json.contains("\\u00") && !json.contains('\u{202e}'), "{json}");
    assert!(json.len() < 4_000 && !json.contains("javascript"), "{json}");
    assert_eq!(told[0].evidence.last().unwrap(), "… and 45 more");
}

#[test]
fn links_are_made_where_the_rules_know_how() {
    let mut story = Story::new();
    story.rules.commit_urls.insert("deploys".to_owned(), "https://git.example.com/acme/deploys/commit/".to_owned());
    story.rules.runbook = Some("https://wiki.example.com/landfall#{code}".to_owned());
    let told = story.told(1, &[stuck(CauseCode::CrashLoop, 0)]);
    assert_eq!(
        told[0].links.commit.as_deref(),
        Some(&*format!("https://git.example.com/acme/deploys/commit/{}", "a".repeat(40)))
    );
    assert_eq!(told[0].links.runbook.as_deref(), Some("https://wiki.example.com/landfall#crash-loop"));
    assert_eq!(told[0].incident.severity, Severity::Error);
}

#[test]
fn what_mends_by_itself_pages_nobody_before_it_has_lasted() {
    // It had landed; its deadline begins with the pod that went.
    let waiting = |code, since| Tracked { deadline: Some(at(HOUR)), ..stuck(code, since) };
    for code in [
        CauseCode::Unschedulable,
        CauseCode::ImagePull,
        CauseCode::ConfigError,
        CauseCode::Quota,
        CauseCode::Dependency,
    ] {
        let mut story = Story::new();
        assert_eq!(story.step(0, &[row(State::Landed, 0)]), [] as [&str; 0]);
        assert_eq!(story.step(10, &[waiting(code, 10)]), [] as [&str; 0], "{code}");
        assert_eq!(story.step(30, &[waiting(code, 10)]), [] as [&str; 0], "{code}");
        assert_eq!(story.step(40, &[row(State::Landed, 40)]), [] as [&str; 0], "{code}");
        assert_eq!(story.step(50, &[waiting(code, 50)]), [] as [&str; 0], "{code}");
        assert_eq!(story.step(110, &[waiting(code, 50)]).len(), 1, "it lasts: {code}");
    }
    // A tag that is not there will not come by itself.
    assert_eq!(Story::new().step(10, &[waiting(CauseCode::ImageNotFound, 10)]).len(), 1);
    // What is late is late.
    assert_eq!(Story::new().step(HOUR + 1, &[waiting(CauseCode::Unschedulable, HOUR)]).len(), 1);
}

#[test]
fn one_fault_of_the_platform_over_many_apps_is_one_incident_that_lists_them() {
    let held = |app: &str, code: CauseCode, message: &str| {
        let mut row = Tracked { app: app.to_owned(), deadline: Some(at(HOUR)), ..rung(stuck(code, 0), Rung::Applied) };
        let cause = row.landing.cause.as_mut().unwrap();
        (cause.blame, cause.message) = (crate::model::Blame::Platform, message.to_owned());
        row
    };
    let says = |app: &str, code, message: &str| held(app, code, &message.replace("APP", app));
    let node = "Pod web/APP-1 is marked not ready: its node node-7 no longer reports";
    let webhook = "Application argocd/APP: Internal error: failed calling webhook \"mutate.acme.io\": no endpoints";
    for (code, message, thing) in [
        (CauseCode::Dependency, webhook, "admission webhook mutate.acme.io"),
        (CauseCode::NotReady, node, "node node-7"),
        (
            CauseCode::Quota,
            "ReplicaSet web/APP-7: pods \"APP-7\" is forbidden: exceeded quota: compute, requested: cpu=1",
            "quota web/compute",
        ),
        (
            CauseCode::ConfigError,
            "Pod web/APP: driver name ebs.csi.aws.com not found in the list of registered CSI drivers",
            "CSI driver ebs.csi.aws.com",
        ),
        (CauseCode::ImagePull, "Pod web/APP cannot pull its image: 503 service unavailable", "registry ghcr.io"),
        (
            CauseCode::FetchFailed,
            "GitRepository flux-system/deploys: could not resolve host",
            "GitRepository flux-system/deploys",
        ),
    ] {
        let all = || ["api", "jobs", "web"].map(|app| says(app, code, message));
        let mut story = Story::new();
        drop(story.told(0, &all()));
        let told = story.told(61, &all());
        let mut told: Vec<&Notice> = told.iter().chain(story.incidents.open()).collect();
        told.dedup_by_key(|notice| notice.incident.key.clone());
        assert_eq!(told.len(), 1, "{code}: {told:#?}");
        assert_eq!(told[0].incident.key.app, thing);
        assert_eq!(told[0].evidence[0], "3 apps are affected: api in prod, jobs in prod, web in prod");
        // It ends with the fault, and nothing is said of what Git declares.
        let landed = || ["api", "jobs", "web"].map(|app| Tracked { app: app.to_owned(), ..row(State::Landed, 90) });
        drop(story.told(90, &landed()));
        assert_eq!(story.step(HOUR, &landed()), ["resolved error cleared"], "{code}");
        // Two are told one by one.
        let mut story = Story::new();
        drop(story.told(0, &all()[1..]));
        let two = story.told(61, &all()[1..]);
        assert!(two.iter().all(|notice| notice.incident.key.app != thing), "{two:#?}");
    }
}

/// An app that waits for a node, as others may.
fn on_node(app: &str, state: State, since: Option<u64>) -> Tracked {
    let mut row = because(row(state, 0), CauseCode::NotReady);
    let cause = row.landing.cause.as_mut().unwrap();
    cause.blame = crate::model::Blame::Platform;
    cause.message = format!("Pod web/{app}-1 is marked not ready: its node node-7 no longer reports");
    Tracked { app: app.to_owned(), since: since.map(at), deadline: None, ..row }
}

#[test]
fn a_fault_is_as_bad_as_the_worst_that_it_holds_up_and_as_old_as_the_oldest() {
    for (oldest, since) in [(Some(0), 0), (None, 50)] {
        let mut rows = [
            on_node("api", State::Unknown, oldest),
            Tracked { live: Vec::new(), ..on_node("jobs", State::Stuck, Some(60)) },
            on_node("web", State::Stuck, Some(50)),
        ];
        for _ in 0..3 {
            rows.rotate_left(1);
            let mut story = Story::new();
            let told = story.told(60, &rows);
            assert_eq!(told.iter().map(words).collect::<Vec<_>>(), ["raised critical not-ready"], "{oldest:?}");
            assert_eq!(told[0].incident.since, at(since));
        }
    }
}

#[test]
fn what_was_told_before_its_fault_held_up_many_keeps_its_reminders_and_its_end() {
    let held = || ["api", "jobs", "web"].map(|app| on_node(app, State::Stuck, Some(0)));
    let mut story = Story::new();
    assert_eq!(story.step(0, &held()[1..]), ["raised error not-ready"; 2]);
    let fault = story.told(60, &held());
    assert_eq!(fault.iter().map(|notice| notice.incident.key.app.as_str()).collect::<Vec<_>>(), ["node node-7"]);
    story.restart();
    assert_eq!(story.step(4 * HOUR, &held()), ["reminder error not-ready"; 2]);
    let landed = || ["api", "jobs", "web"].map(|app| Tracked { app: app.to_owned(), ..row(State::Landed, 4 * HOUR) });
    let mut ends = |seconds| {
        let told = story.step(seconds, &landed());
        told.into_iter().filter(|told| told.starts_with("resolved")).collect::<Vec<_>>()
    };
    assert_eq!(ends(4 * HOUR + 60), ["resolved error landed"; 2]);
    assert_eq!(ends(5 * HOUR), ["resolved error cleared"]);
}

#[test]
fn controllers_that_come_back_raise_no_alarm_by_their_return() {
    let away = || because(row(State::Unknown, 10), CauseCode::Stale);
    let late = || Tracked { since: Some(at(HOUR)), ..stuck(CauseCode::NotReady, 0) };
    let mut story = Story::new();
    assert_eq!(story.step(0, &[row(State::Pending, 0)]), [] as [&str; 0]);
    assert_eq!(story.step(10, &[away()]), [] as [&str; 0]);
    assert_eq!(story.step(10 * MINUTE, &[away()]), ["raised warning stale"]);
    // Its deadline is over by then.
    assert_eq!(story.step(HOUR, &[late()]), [] as [&str; 0]);
    assert_eq!(story.step(HOUR + 2 * MINUTE, &[late()]), [] as [&str; 0]);
    assert_eq!(story.step(HOUR + 3 * MINUTE, &[late()]), ["escalated error not-ready"]);
}

#[test]
fn what_is_unknown_with_its_cluster_raises_and_ends_nothing() {
    let mut story = Story::new();
    assert_eq!(story.step(10, &[stuck(CauseCode::CrashLoop, 10)]).len(), 1);
    let unseen = Tracked { unseen: true, ..because(row(State::Unknown, 20), CauseCode::Stale) };
    for seconds in [20, HOUR, 3 * HOUR] {
        assert_eq!(story.step(seconds, std::slice::from_ref(&unseen)), [] as [&str; 0]);
    }
    assert_eq!(story.incidents.open().len(), 1);
}
