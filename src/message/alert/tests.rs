//! What an alert says, and what it must never say.

use super::*;
use crate::model::{CauseCode, Counts, Incident, IncidentKey, Links, Severity};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_600_000 + seconds).unwrap()
}

fn notice() -> Notice {
    Notice {
        kind: NoticeKind::Raised,
        at: at(120),
        incident: Incident {
            key: IncidentKey {
                environment: Some("prod".to_owned()),
                cluster: Some("eu-1".to_owned()),
                app: "web".to_owned(),
                image: "ghcr.io/acme/web".to_owned(),
                version: "1.4.0".to_owned(),
            },
            repository: "deploys".to_owned(),
            overlay: "apps/web/overlays/prod".to_owned(),
            policy: Some("prod".to_owned()),
            commit: Some("a".repeat(40)),
            state: State::Stuck,
            rung: Some(Rung::Running),
            code: Some(CauseCode::ImageNotFound),
            severity: Severity::Error,
            since: at(0),
            deadline: Some(at(60)),
            affects: std::collections::BTreeSet::new(),
        },
        resolution: None,
        from: vec!["1.3.0".to_owned()],
        cause: "the registry has no tag 1.4.0 (pod web/web-7d9f)".to_owned(),
        evidence: vec!["ErrImagePull: manifest unknown".to_owned()],
        next: "push ghcr.io/acme/web:1.4.0, or revert the commit".to_owned(),
        links: Links { pull_request: Some("https://github.com/acme/deploys/pull/7".to_owned()), ..Links::default() },
        counts: Counts { overlays: 1, told: 1, suppressed: 0 },
        oscillating: false,
        flapping: false,
    }
}

#[test]
fn an_alarm_names_thing_place_cause_and_next_step() {
    insta::assert_snapshot!(alert(&notice(), at(130)).plain, @r"
    prod/eu-1: web 1.3.0 → 1.4.0 is stuck before running: image-not-found
    Image: ghcr.io/acme/web 1.3.0 → 1.4.0
    Where: prod/eu-1, apps/web/overlays/prod of deploys
    Cause: the registry has no tag 1.4.0 (pod web/web-7d9f)
    Since: 2026-01-05T08:00:00Z (2m 10s)
    Deadline: 2026-01-05T08:01:00Z (late by 1m 10s)
    Next: push ghcr.io/acme/web:1.4.0, or revert the commit
      > ErrImagePull: manifest unknown
    pull request: https://github.com/acme/deploys/pull/7
    ");
    let page = include_str!("../../../docs/how-to/alerts.md");
    assert!(page.contains(&alert(&notice(), at(130)).plain), "docs/how-to/alerts.md shows another alert");
    insta::assert_snapshot!(alert(&notice(), at(130)).markdown, @r"
    **raised** `prod/eu-1: web 1.3.0 → 1.4.0 is stuck before running: image-not-found`

    - Image: `ghcr.io/acme/web 1.3.0 → 1.4.0`
    - Where: `prod/eu-1, apps/web/overlays/prod of deploys`
    - Cause: `the registry has no tag 1.4.0 (pod web/web-7d9f)`
    - Since: `2026-01-05T08:00:00Z (2m 10s)`
    - Deadline: `2026-01-05T08:01:00Z (late by 1m 10s)`
    - Next: `push ghcr.io/acme/web:1.4.0, or revert the commit`

    ```text
    ErrImagePull: manifest unknown
    ```

    [pull request](https://github.com/acme/deploys/pull/7)
    ");
    insta::assert_snapshot!(alert(&notice(), at(130)).slack, @r"
    *Image:* ghcr.io/acme/web 1.3.0 → 1.4.0
    *Where:* prod/eu-1, apps/web/overlays/prod of deploys
    *Cause:* the registry has no tag 1.4.0 (pod web/web-7d9f)
    *Since:* 2026-01-05T08:00:00Z (2m 10s)
    *Deadline:* 2026-01-05T08:01:00Z (late by 1m 10s)
    *Next:* push ghcr.io/acme/web:1.4.0, or revert the commit
    <https://github.com/acme/deploys/pull/7|pull request>
    ```ErrImagePull: manifest unknown```
    ");
}

#[test]
fn titles() {
    let with = |kind, resolution: Option<Resolution>| {
        let notice = Notice { kind, resolution, ..notice() };
        alert(&notice, at(7_500)).title
    };
    let state = |state, rung| {
        let mut notice = notice();
        (notice.incident.state, notice.incident.rung, notice.incident.code) = (state, rung, None);
        alert(&notice, at(7_500)).title
    };
    let fought_over = || {
        let mut notice = notice();
        (notice.incident.state, notice.incident.rung, notice.incident.code) = (State::Drifted, None, None);
        notice.flapping = true;
        notice
    };
    let none = || Notice { from: Vec::new(), ..notice() };
    for (title, expected) in [
        (
            with(NoticeKind::Reminder, None),
            "prod/eu-1: web 1.3.0 → 1.4.0 still stuck before running after 2h 5m: image-not-found",
        ),
        (with(NoticeKind::Resolved, Some(Resolution::Landed)), "prod/eu-1: web 1.3.0 → 1.4.0 has landed"),
        (
            with(NoticeKind::Resolved, Some(Resolution::Superseded { by: Some("1.5.0".to_owned()) })),
            "prod/eu-1: web 1.3.0 → 1.4.0 is over: superseded by 1.5.0",
        ),
        (with(NoticeKind::Landed, None), "prod/eu-1: web 1.3.0 → 1.4.0 landed after 2m"),
        (with(NoticeKind::Test, None), "test message from Landfall: this receiver works"),
        (state(State::Pending, Some(Rung::Merged)), "prod/eu-1: web 1.3.0 → 1.4.0 is late before its merge"),
        (state(State::Pending, None), "prod/eu-1: web 1.3.0 → 1.4.0 is late"),
        (state(State::Drifted, None), "prod/eu-1: web 1.3.0 → 1.4.0 is changed by hand in the cluster"),
        (
            alert(&fought_over(), at(0)).title,
            "prod/eu-1: web 1.3.0 → 1.4.0 is flapping in the cluster: two writers fight over it",
        ),
        (state(State::Paused, None), "prod/eu-1: web 1.3.0 → 1.4.0 is paused"),
        (alert(&none(), at(0)).title, "prod/eu-1: web 1.4.0 is stuck before running: image-not-found"),
        (
            alert(&Notice { oscillating: true, ..notice() }, at(0)).title,
            "prod/eu-1: web 1.3.0 → 1.4.0 keeps alternating between landing and failing: image-not-found",
        ),
    ] {
        assert_eq!(title, expected);
    }
}

#[test]
fn every_alarm_has_a_cause_and_a_next_step() {
    let states = [
        State::Pending,
        State::Stuck,
        State::Drifted,
        State::Shadowed,
        State::Orphan,
        State::Paused,
        State::Unknown,
        State::RolledBack,
    ];
    let rungs = [
        Some(Rung::Committed),
        Some(Rung::Merged),
        Some(Rung::Fetched),
        Some(Rung::Applied),
        Some(Rung::RolledOut),
        Some(Rung::Running),
        None,
    ];
    for state in states {
        for rung in rungs {
            let mut notice = Notice { cause: String::new(), next: String::new(), evidence: Vec::new(), ..notice() };
            (notice.incident.state, notice.incident.rung, notice.incident.code) = (state, rung, None);
            let texts = alert(&notice, at(0));
            for word in ["Cause: ", "Next: "] {
                let line = texts
                    .plain
                    .lines()
                    .find(|line| line.starts_with(word))
                    .unwrap_or_else(|| panic!("{state} {rung:?}"));
                assert!(line.len() > word.len() + 5, "{line}");
            }
        }
    }
}

/// What a cluster may say, and what of it must not reach a reader as it is.
const HOSTILE: [(&str, &str, &str); 9] = [
    // text, never in Slack, never in plain text
    ("<!here> wake up", "<!here>", "<!here>"),
    ("<!channel>", "<!channel>", "<!channel>"),
    ("<@U012AB3CD>", "<@U012", "<@U012"),
    ("<https://evil.example|log in>", "<https://evil", "<https://evil"),
    ("@channel and @here", "@channel", "@channel"),
    ("ping @acme/sre now", "@acme", "@acme"),
    ("*bold* _it_ ~no~", "*bold*", "\u{0}"),
    ("``` out of the block", "``` out", "\u{0}"),
    ("a & b &lt;!here&gt;", "a & b", "\u{0}"),
];

#[test]
fn hostile_text_is_harmless_everywhere() {
    for (text, slack, plain) in HOSTILE {
        for place in 0..3 {
            let mut notice = notice();
            match place {
                0 => notice.cause = text.to_owned(),
                1 => notice.evidence = vec![text.to_owned()],
                _ => notice.incident.key.app = text.to_owned(),
            }
            let texts = alert(&notice.clean(), at(0));
            assert!(!texts.slack.contains(slack), "{text}: {}", texts.slack);
            assert!(!texts.plain.contains(plain) && !texts.title.contains(plain), "{text}: {}", texts.plain);
        }
    }
}

#[test]
fn markdown_keeps_foreign_text_in_code() {
    for text in [
        "`",
        "``",
        "a ``` b",
        "</code><img src=x>",
        "[x](https://evil.example)",
        "@acme/sre fixes #1",
        "~~~",
        "![x](y)",
    ] {
        let mut notice = notice();
        notice.cause = text.to_owned();
        notice.evidence = vec![text.to_owned(), "````".to_owned()];
        let markdown = alert(&notice.clean(), at(0)).markdown;
        let cause = markdown.lines().find_map(|line| line.strip_prefix("- Cause: ")).unwrap();
        let ticks = cause.bytes().take_while(|b| *b == b'`').count();
        let inner = &cause[ticks..cause.len() - ticks];
        assert!(ticks > longest_run(inner, '`') && inner.trim_matches(' ') == text, "{cause}");
        let fence: String =
            markdown.lines().find(|line| line.ends_with("text")).unwrap().trim_end_matches("text").to_owned();
        assert!(fence.len() > 4 && markdown.matches(&format!("\n{fence}\n")).count() == 1, "{markdown}");
    }
}

#[test]
fn long_texts_stay_within_the_limits_of_receivers() {
    let mut notice = notice();
    notice.cause = "&".repeat(10_000);
    notice.next = "<".repeat(10_000);
    notice.evidence = vec!["&<>".repeat(1_000); 100];
    notice.incident.key.app = "x".repeat(10_000);
    notice.links.runbook = Some(format!("https://wiki.example.com/{}", "a".repeat(1_900)));
    let texts = alert(&notice.clean(), at(0));
    assert!(texts.title.chars().count() <= 145, "{}", texts.title);
    assert!(texts.slack.chars().count() <= 3_000);
    assert!(texts.slack.matches('<').count() == texts.slack.matches('>').count(), "half a link");
    assert!(!texts.slack.split('&').skip(1).any(|rest| !["amp;", "lt;", "gt;"].iter().any(|e| rest.starts_with(e))));
}

#[test]
fn durations_read_well() {
    for (seconds, text) in [(0, "0s"), (8, "8s"), (250, "4m 10s"), (3_600, "1h"), (7_500, "2h 5m"), (273_600, "3d 4h")]
    {
        assert_eq!(duration(Duration::from_secs(seconds)), text);
    }
}
