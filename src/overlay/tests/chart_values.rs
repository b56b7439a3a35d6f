//! What changes in a chart, and which of its values a file sets.

use super::path;
use crate::model::{ChartFiles, ValueKey};
use crate::overlay::{chart_change, scan_file, set_among};

fn files(chart: &str, values: &str) -> ChartFiles {
    ChartFiles { chart: chart.to_owned(), values: values.to_owned() }
}

fn gone(from: &str, to: &str) -> Vec<String> {
    let change = chart_change(Some(&files("", from)), &files("", to));
    change.gone.iter().map(|keys| keys.join(".")).collect()
}

#[test]
fn keys_are_gone_where_their_mapping_has_others() {
    let from = "a: 1\nb: {c: 1, d: {e: 2}}\nf: [1]\ng: {}\nh: &x {i: 1}\nj: *x\n\"k.l\": 1\n";
    for (to, expected) in [
        (from, &[][..]),
        ("a: 1\n", &["b", "f", "g", "h", "j", "k.l"]),
        ("a: 1\nb: {c: 1, z: 1}\nf: x\ng: 1\nh: {}\nj: null\nk.l: 2\n", &["b.d"]),
        ("a: 1\nb: {c: 1, d: {}}\nf: {}\ng: 1\nh: {z: 1}\nj: {z: 1}\nk.l: 2\n", &["h.i", "j.i"]),
        // What has no keys at all says nothing of them.
        ("", &[]),
        ("{}\n", &[]),
        ("[1]\n", &[]),
        ("a: [\n", &[]),
    ] {
        assert_eq!(gone(from, to), expected, "{to}");
    }
    let deep = |depth: usize| format!("{}x: 1{}", "{a: {b: 1}, c: ".repeat(depth), "}".repeat(depth));
    assert!(gone(&"{a: ".repeat(200), "a: 1\n").is_empty());
    assert!(gone(&deep(40), "a: {b: 1}\n").len() <= 1);
    let many: String = (0..100_000).map(|number| format!("k{number}: 1\n")).collect();
    assert!(gone(&many, "a: 1\n").len() <= 2_000);
}

#[test]
fn what_a_chart_says_of_itself_is_short_and_on_one_line() {
    let chart = |more: &str| format!("name: web\nversion: 1.3.0\n{more}");
    let from = files(&chart("appVersion: 2.0\n"), "");
    let to = files(
        &chart(
            "appVersion: \"2.1\"\nhome: https://example.com/web\nsources: [https://git.example.com/web, https://other]\nannotations:\n  \
             artifacthub.io/changes: |\n    - kind: added\n      description: More | `of` it\n        and more\n    - Plain\n    - [1]\n",
        ),
        "",
    );
    let change = chart_change(Some(&from), &to);
    assert_eq!((change.app_version_from.as_deref(), change.app_version_to.as_deref()), (Some("2.0"), Some("2.1")));
    let links: Vec<(&str, &str)> = change.links.iter().map(|it| (it.what.as_str(), it.url.as_str())).collect();
    assert_eq!(links, [("home", "https://example.com/web"), ("source", "https://git.example.com/web")]);
    assert_eq!(change.changes, ["added: More | `of` it and more", "Plain"]);
    let change = chart_change(None, &to);
    assert_eq!((change.app_version_from, change.app_version_to.as_deref()), (None, Some("2.1")));
    for more in [
        "home: javascript:alert(1)\nsources: [file:///etc/passwd]\n".to_owned(),
        format!("appVersion: {0}\nhome: https://{0}\n", "x".repeat(400)),
        "appVersion: [1]\nhome: {}\nsources: 1\nannotations: {artifacthub.io/changes: 'x: ['}\n".to_owned(),
        "a: [\n".to_owned(),
    ] {
        let change = chart_change(None, &files(&chart(&more), ""));
        assert!(change.links.is_empty() && change.app_version_to.is_none() && change.changes.is_empty(), "{change:?}");
    }
    let many = format!("    - {}\n", "x".repeat(300)).repeat(100);
    let change = chart_change(None, &files(&chart(&format!("annotations:\n  artifacthub.io/changes: |\n{many}")), ""));
    assert_eq!((change.changes.len(), change.changes[0].chars().count()), (10, 201));
}

/// The keys that each pin of a chart in a file sets, of these.
fn set(name: &str, text: &str, values: Option<&str>) -> Vec<Vec<String>> {
    let keys: Vec<ValueKey> = [&["old"][..], &["image", "pullPolicy"], &["probes"]]
        .iter()
        .map(|keys| keys.iter().map(|key| (*key).to_owned()).collect())
        .collect();
    let pins = scan_file(&path(name), text.as_bytes()).pins.into_iter().filter(|pin| pin.kind.as_str() == "chart");
    let found: Vec<_> = pins.map(|pin| set_among(&keys, &pin, text, values)).collect();
    assert!(!found.is_empty(), "no chart in\n{text}");
    found
}

#[test]
fn values_are_found_where_the_chart_s_version_is() {
    let release = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: r}\nspec: {url: 'https://charts.example.com'}\n---\n\
                   apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\nspec:\n  chart: {spec: {chart: web, version: 1.2.3, sourceRef: {name: r}}}\n  \
                   values:\n    old: {}\n    image: {tag: 1, pullPolicy: Always}\n    probes: {live: {path: /}, ready: [1]}\n    new: 1\n";
    let both = ["image.pullPolicy", "old", "probes.live.path", "probes.ready"].map(str::to_owned).to_vec();
    assert_eq!(set("hr.yaml", release, None), [both]);
    let source = |chart: &str, helm: &str| {
        format!(
            "  - repoURL: https://charts.example.com\n    chart: {chart}\n    targetRevision: 1.2.3\n    helm: {helm}\n"
        )
    };
    let application = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  sources:\n{}{}{}",
        source(
            "web",
            "{valuesObject: {old: 1}, parameters: [{name: 'image.pullPolicy', value: x}, {name: 'probes[0].a', value: y}, {name: 'a\\.old', value: z}]}"
        ),
        source("api", "{values: 'old: {a: 1}'}"),
        source("db", "{values: 'other: 1'}"),
    );
    let expected = [vec!["image.pullPolicy", "old", "probes.a"], vec!["old.a"], vec![]];
    assert_eq!(set("app.yaml", &application, None), expected);
    let chart = "apiVersion: v2\nname: a\ndependencies:\n- {name: web, version: 1.2.3, repository: 'https://charts.example.com'}\n\
                 - {name: web, alias: front, version: 1.2.3, repository: 'https://charts.example.com'}\n";
    let values = "web: {old: 1}\nfront: {image: {pullPolicy: x}}\nold: 1\n";
    assert_eq!(set("Chart.yaml", chart, Some(values)), [vec!["old"], vec!["image.pullPolicy"]]);
    assert_eq!(set("Chart.yaml", chart, None), [Vec::<String>::new(), vec![]]);
    assert_eq!(set("Chart.yaml", chart, Some("a: [")), [Vec::<String>::new(), vec![]]);
}
