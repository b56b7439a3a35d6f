//! What is shipped to watch the bot by: alert rules and the dashboard ask for metrics and labels that there are, and each
//! alert and cause has its section in the runbooks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use landfall::model::{CauseCode, FailureCode};
use serde_json::Value;

use crate::support::process::run;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap()
}

/// Each metric and its labels, as the program lists them.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let listed = run(Path::new("."), &["reference", "metrics", "-o", "json"]).ends(0).json();
    let labels = |metric: &Value| -> BTreeSet<String> {
        metric["labels"].as_array().unwrap().iter().map(|label| label[0].as_str().unwrap().to_owned()).collect()
    };
    let metrics = listed.as_array().unwrap().iter();
    let metrics = metrics.map(|metric| (format!("landfall_{}", metric["name"].as_str().unwrap()), labels(metric)));
    metrics.collect()
}

/// Whether a query asks only for what there is.
fn asks_for_what_there_is(query: &str, metrics: &BTreeMap<String, BTreeSet<String>>) -> Result<usize, String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut found, mut labels_of_all) = (0, BTreeSet::from(["le".to_owned()]));
    let mut rest = query;
    while let Some(at) = rest.find("landfall_") {
        rest = &rest[at..];
        let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        let labels = metrics.get(name).or_else(|| metrics.get(base)).ok_or(format!("no metric {name}"))?;
        if let Some(matchers) = after.strip_prefix('{') {
            let matchers = matchers.split('}').next().unwrap_or_default();
            for matcher in matchers.split("\", ").flat_map(|part| part.split(", ")) {
                let label: String = matcher.trim().chars().take_while(|c| word(*c)).collect();
                if !labels.contains(&label) {
                    return Err(format!("{name} has no label {label}"));
                }
            }
        }
        labels_of_all.extend(labels.iter().cloned());
        found += 1;
        rest = after;
    }
    for grouped in query.split("by (").skip(1) {
        let grouped = grouped.split(')').next().unwrap_or_default();
        if let Some(label) = grouped.split(", ").find(|label| !labels_of_all.contains(*label)) {
            return Err(format!("grouped by {label}, which nothing has"));
        }
    }
    Ok(found)
}

#[test]
fn the_check_of_queries_can_fail() {
    let metrics = metrics();
    let updates = &metrics["landfall_updates"];
    assert_eq!(
        updates.iter().map(String::as_str).collect::<Vec<_>>(),
        ["cluster", "environment", "repository", "state"]
    );
    for (query, good) in [
        ("sum by (host) (rate(landfall_http_requests_total{outcome!~\"ok|not-found\"}[5m]))", true),
        ("histogram_quantile(0.5, sum by (le) (rate(landfall_cycle_duration_seconds_bucket[5m])))", true),
        ("landfall_http_request_total", false),
        ("landfall_updates{repository=~\"a\", app=\"web\"}", false),
        ("sum by (app) (landfall_updates)", false),
    ] {
        assert_eq!(asks_for_what_there_is(query, &metrics).is_ok(), good, "{query}");
    }
}

#[test]
fn alerts_ask_for_what_there_is_and_have_their_runbook() {
    let (metrics, runbook) = (metrics(), read("docs/runbooks/alerts.md"));
    let rules = yaml("deploy/prometheus/landfall.rules.yaml");
    let played = read("deploy/prometheus/landfall.rules.test.yaml");
    let mut names = BTreeSet::new();
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        let asked = asks_for_what_there_is(rule["expr"].as_str().unwrap(), &metrics);
        assert!(asked.as_ref().is_ok_and(|found| *found > 0), "{name}: {asked:?}");
        assert!(runbook.contains(&format!("\n## {name}\n")), "docs/runbooks/alerts.md has no section {name}");
        let link = format!("docs/runbooks/alerts.md#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook"], link.as_str(), "{name}");
        assert!(["info", "warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        assert!(played.matches(&format!("alertname: {name}")).count() >= 2, "{name} is not played in both ways");
        names.insert(name.to_owned());
    }
    let sections = runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned);
    assert_eq!(sections.collect::<BTreeSet<_>>(), names, "sections of docs/runbooks/alerts.md");
}

#[test]
fn the_dashboard_asks_for_what_there_is_and_its_panels_do_not_overlap() {
    let metrics = metrics();
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/landfall.json")).unwrap();
    let (mut shown, mut taken, mut ids) = (String::new(), BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for (x, y) in (place("x")..place("x") + place("w"))
            .flat_map(|x| (place("y")..place("y") + place("h")).map(move |y| (x, y)))
        {
            assert!(x < 24 && taken.insert((x, y)), "{title} is over another panel at {x}, {y}");
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            let asked = asks_for_what_there_is(query, &metrics);
            assert!(asked.as_ref().is_ok_and(|found| *found > 0), "{title}: {asked:?}");
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            shown.push_str(query);
        }
        assert!(panel["type"] == "row" || panel["description"].as_str().is_some_and(|text| text.len() > 10), "{title}");
    }
    for name in metrics.keys().filter(|name| !name.contains("receiver_last_success")) {
        assert!(shown.contains(name.as_str()), "the dashboard does not show {name}");
    }
}

#[test]
fn each_code_has_its_section() {
    let page = read("docs/runbooks/causes.md");
    let sections: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    let word = |code: Value| code.as_str().unwrap().to_owned();
    let causes = CauseCode::ALL.iter().map(|code| word(serde_json::to_value(code).unwrap()));
    let failures = FailureCode::ALL.iter().map(|code| word(serde_json::to_value(code).unwrap()));
    let codes: BTreeSet<String> = causes.chain(failures).collect();
    assert_eq!(sections, codes, "the sections of docs/runbooks/causes.md and the codes");
    for section in page.split("\n### ").skip(1) {
        let text = section.split_once('\n').unwrap().1.trim();
        assert!(text.len() > 60, "{section}");
    }
}

/// A page has what the program makes of itself, up to line ends.
fn holds(page: &str, made: &str, how: &str) {
    assert!(read(page).contains(made.trim()), "{page} is not what the program makes: {how}");
}

#[test]
fn the_reference_is_made_from_the_program() {
    let made = |part: &str| run(Path::new("."), &["reference", part]).ends(0).stdout;
    holds("docs/reference/cli.md", &made("cli"), "landfall reference cli > docs/reference/cli.md");
    holds("docs/reference/metrics.md", &made("metrics"), "put the output of `landfall reference metrics` in its place");
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["man", "pages"]).ends(0);
    let names: BTreeSet<String> = fs::read_dir(folder.path().join("pages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let reference = read("docs/reference/cli.md");
    let commands: BTreeSet<String> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|name| format!("{}.1", name.replace(' ', "-")))
        .collect();
    assert_eq!(names, commands);
    let page = fs::read_to_string(folder.path().join("pages/landfall-plan.1")).unwrap();
    assert!(
        page.contains(".TH landfall-plan 1") && page.contains("\\-\\-diff") && page.contains(".SH SYNOPSIS"),
        "{page}"
    );
}
