//! `landfall tags`: the program itself, offline, against the contract of CLI.md.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::process::{Ran, landfall};
use crate::support::world::World;

fn run(args: &[&str], stdin: impl Into<Vec<u8>>) -> Ran {
    Ran::of(landfall(Path::new("."), args), stdin)
}

/// `landfall tags --tags-file - -o json` with more arguments.
fn tags(args: &[&str], stdin: &str) -> Ran {
    run(&[&["tags", "--tags-file", "-", "-o", "json"], args].concat(), stdin)
}

fn selected(args: &[&str], stdin: &str) -> Value {
    tags(args, stdin).json()["selected"]["tag"].clone()
}

#[test]
fn the_answer_is_that_of_the_contract() {
    let ran = tags(&["--semver", "*", "--current", "1.2.3"], "1.2.3\n1.4.0\nlatest\n1.3.1\n");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let wanted = json!({
        "image": null,
        "current": "1.2.3",
        "selected": {"tag": "1.4.0", "digest": null, "key": "1.4.0"},
        "candidates": ["1.4.0", "1.3.1", "1.2.3"],
        "rejected": [{"tag": "latest", "reason": "not a semantic version"}]
    });
    assert_eq!(ran.json(), wanted);
    assert_eq!(ran.stderr, "");
    let yaml = run(&["tags", "--tags-file", "-", "-o", "yaml", "--semver", "*"], "1.0.0\n");
    assert!(yaml.stdout.contains("candidates:"), "{}", yaml.stdout);
    assert_eq!(run(&["select", "--tags-file", "-", "--semver", "*"], "1.0.0\n").code, Some(0));
}

#[test]
fn nothing_that_qualifies_is_a_negative_answer() {
    for (args, stdin) in [
        (&["--semver", "*"][..], ""),
        (&["--semver", "*"], "\n\n"),
        (&["--semver", "*"], "latest\n"),
        (&["--semver", "*", "--current", "1.0.0"], ""),
        (&["--semver", "5.x", "--current", "1.0.0"], "1.0.0\n1.1.0\n"),
    ] {
        let ran = tags(args, stdin);
        assert_eq!(ran.code, Some(1), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.json()["selected"], Value::Null);
    }
}

#[test]
fn each_policy_selects() {
    for (args, stdin, wanted) in [
        (&["--semver", "^1"][..], "1.0.0\n2.0.0\n1.9.0\n", "1.9.0"),
        (&["--semver", "*", "--prereleases"], "1.0.0\n1.1.0-rc.1\n", "1.1.0-rc.1"),
        (&["--semver", "*", "--current", "2.0.0"], "1.0.0\n", "2.0.0"),
        (&["--semver", "*", "--current", "v2025.07.03"], "v2025.07.10\nv2025.07.09\n", "v2025.07.10"),
        (&["--alphabetical", "asc"], "a\nc\nb\n", "c"),
        (&["--alphabetical", "desc"], "b\na\nc\n", "a"),
        (&["--numerical", "asc"], "9\n10\n1.5\n", "10"),
        (&["--numerical", "desc"], "9\n10\n", "9"),
        (&["--newest-build"], "a\t2026-01-01T00:00:00Z\nb\t2026-01-01T01:00:00+02:00\nc\n", "a"),
        (&["--digest", "--current", "main"], "1.0.0\n", "main"),
        (&["--current", "v1.2.3-alpine"], "v1.3.0\n1.4.0-alpine\nv1.2.9-alpine\n", "v1.2.9-alpine"),
        (&["--current", "latest"], "latest\n1.0.0\n", "latest"),
        (
            &["--numerical", "asc", "--filter", "^main-.*-(?P<ts>[0-9]+)$", "--extract", "$ts"],
            "main-a-9\nmain-b-10\n",
            "main-b-10",
        ),
        (
            &["--semver", "*", "--filter", "-alpine$", "--extract", "1.0.0$0", "--prereleases"],
            "1.0.0-alpine\n",
            "1.0.0-alpine",
        ),
        (&["--alphabetical", "asc", "--ignore", "*-rc*", "--ignore", "z?"], "a\nb-rc1\nzz\n", "a"),
    ] {
        assert_eq!(selected(args, stdin), wanted, "{args:?}");
    }
    let key = tags(&["--newest-build"], "a\t2026-01-01T01:00:00+02:00\n").json()["selected"]["key"].clone();
    assert_eq!(key, "2025-12-31T23:00:00Z");
    // Older tags are told after the current one, and never selected.
    let ran = tags(&["--semver", "*", "--current", "1.1.0"], "1.0.0\n1.1.0\n1.2.0\n");
    assert_eq!(ran.json()["candidates"], json!(["1.2.0", "1.1.0", "1.0.0"]));
}

#[test]
fn mistakes_are_usage_errors_that_show_the_place() {
    let caret = "error: --semver: a version has three parts\n  |\n  | >=1.2.3.4\n  |        ^\n";
    for (args, message) in [
        (&["tags", "--tags-file", "-"][..], "neither a tag policy nor --current"),
        (&["tags", "--semver", "*"], "required"),
        (&["tags", "--tags-file", "-", "example.com/a", "--semver", "*"], "cannot be used with"),
        (&["tags", "--tags-file", "-", "--semver", "*", "--digest"], "cannot be used with"),
        (&["tags", "--tags-file", "-", "--digest"], "--digest follows the current tag"),
        (&["tags", "--tags-file", "-", "--alphabetical", "up"], "invalid value 'up'"),
        (&["tags", "--tags-file", "-", "--extract", "$1", "--semver", "*"], "--filter"),
        (
            &["tags", "--tags-file", "-", "--semver", "*", "--filter", "(", "--extract", "$1"],
            "--filter: not a regular expression: unclosed group\n  |\n  | (\n  | ^\n",
        ),
        (
            &["tags", "--tags-file", "-", "--semver", "*", "--filter", "(a)", "--extract", "x$n"],
            "--extract: the pattern has no group `n`; it has $1\n  |\n  | x$n\n  |  ^\n",
        ),
        (
            &["tags", "--tags-file", "-", "--newest-build", "--filter", "(a)", "--extract", "$1"],
            "does not order by name",
        ),
        (&["tags", "--tags-file", "-", "--semver", "*", "--ignore", "["], "--ignore: not a glob"),
        (&["tags", "--tags-file", "-", "--semver", ">=1.2.3.4"], caret),
        (&["tags", "--tags-file", "-", "--semver", ""], "the range is empty"),
        (&["tags", "--tags-file", "-", "--current", "a b"], "--current is not a tag"),
        (&["tags", "--tags-file", "/nonexistent/tags", "--semver", "*"], "cannot read /nonexistent/tags"),
        (&["tags", "--tags-file", "/", "--semver", "*"], "cannot read /"),
    ] {
        let ran = run(args, "1.0.0\n");
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stdout);
        assert!(ran.stderr.contains(message), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{args:?}");
    }
}

#[test]
fn files_of_other_systems_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let from =
        |path: &PathBuf| run(&["tags", "--newest-build", "-o", "json", "--tags-file", path.to_str().unwrap()], "");
    let windows = file("crlf", b"\xef\xbb\xbfa\t2026-01-01T00:00:00Z\r\n\r\nb\t2026-01-02T00:00:00Z\r\nc\t\r\nd");
    assert_eq!(from(&windows).json()["candidates"], json!(["b", "a"]));
    let ran = from(&file("wide", b"\xff\xfea\0\n\0"));
    assert!(ran.code == Some(2) && ran.stderr.contains("UTF-16"), "{}", ran.stderr);
    let ran = from(&file("time", b"a\n\nbc\tyesterday\n"));
    assert!(ran.code == Some(2) && ran.stderr.contains("time:3:4: not an RFC 3339 time"), "{}", ran.stderr);
    assert!(ran.stderr.contains("yesterday"), "{}", ran.stderr);
}

#[test]
fn names_outside_the_grammar_are_told() {
    let long = "a".repeat(129);
    let ran = run(
        &["tags", "--tags-file", "-", "-o", "json", "--alphabetical", "asc"],
        [b"ok\n.a\na b\n\xff\n".as_slice(), long.as_bytes(), b"\n\x1b[31m\n"].concat(),
    );
    assert_eq!(ran.code, Some(0));
    let json = ran.json();
    assert_eq!(json["candidates"], json!(["ok"]));
    assert_eq!(json["rejected"].as_array().unwrap().len(), 5);
    assert!(
        json["rejected"].as_array().unwrap().iter().all(|it| it["reason"].as_str().unwrap().starts_with("not a tag: "))
    );
    let ran = run(&["tags", "--tags-file", "-", "--alphabetical", "asc"], "\u{1b}[31m\n");
    assert!(!ran.stdout.contains('\u{1b}'), "a terminal must not be steered by a tag: {:?}", ran.stdout);
}

#[test]
fn people_get_a_table_with_reasons() {
    let ran =
        run(&["tags", "--tags-file", "-", "--semver", "*", "--current", "1.1.0"], "1.0.0\n1.1.0\n1.2.0\nlatest\n");
    let wanted = "\
selected 1.2.0

CANDIDATE
1.2.0      selected
1.1.0      current
1.0.0      not newer than the current tag

REJECTED  REASON
latest    not a semantic version
";
    let trimmed: Vec<&str> = ran.stdout.lines().map(str::trim).collect();
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (got, want): (Vec<_>, Vec<_>) =
        (trimmed.iter().map(|l| squeezed(l)).collect(), wanted.lines().map(squeezed).collect());
    assert_eq!(got, want, "{}", ran.stdout);
    let ran = run(&["tags", "--tags-file", "-", "--semver", "*"], "latest\n");
    assert!(ran.code == Some(1) && ran.stdout.contains("selected nothing"), "{}", ran.stdout);
}

#[test]
fn very_long_lists_are_cut_and_counted() {
    let mut list = String::new();
    for number in 0..15_000 {
        list.push_str(&format!("1.0.{number}\nx{number}\n"));
    }
    let json = tags(&["--semver", "*"], &list).json();
    assert_eq!(json["selected"]["tag"], "1.0.14999");
    assert_eq!(json["candidates"][0], "1.0.14999");
    assert_eq!(json["candidates"].as_array().unwrap().len(), 10_000);
    assert_eq!((&json["candidatesCount"], &json["rejectedCount"]), (&json!(15_000), &json!(15_000)));
    let table = run(&["tags", "--tags-file", "-", "--semver", "*"], list).stdout;
    assert!(table.contains("… and 14950 more"), "{table}");
    assert!(table.lines().count() < 120);
}

#[test]
fn the_tag_of_the_image_is_the_current_one() {
    let world = World::web().start();
    world.push_all("acme/web", &["v1.2.3", "v1.4.0", "2.0.0"]);
    let image = world.text("REG/acme/web:v1.2.3");
    // Its shape decides, without any option.
    let answer = world.landfall(&["tags", &image, "-o", "json"]).ends(0).json();
    assert_eq!((&answer["current"], &answer["selected"]["tag"]), (&"v1.2.3".into(), &"v1.4.0".into()));
    let answer = world.landfall(&["tags", &image, "--current", "v1.4.0", "-o", "json"]).ends(0).json();
    assert_eq!(answer["selected"]["tag"], "v1.4.0");
}

/// Names that nobody has configured are asked for at the proxy that the operator names, wherever that is; what no registry may be
/// is not.
#[test]
fn a_proxy_may_have_a_name_that_leads_to_a_private_address() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listens = proxy.local_addr().unwrap();
    let address = format!("http://localhost:{}", listens.port());
    let asked = std::thread::spawn(move || {
        let mut asked = Vec::new();
        while let Ok((mut stream, _)) = proxy.accept() {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut std::io::BufReader::new(&stream), &mut line).unwrap();
            if line.starts_with("END") {
                break;
            }
            asked.push(line.split_whitespace().nth(1).unwrap_or_default().to_owned());
            // Who asks may be gone by now.
            drop(std::io::Write::write_all(&mut stream, b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"));
        }
        asked
    });
    let folder = tempfile::tempdir().unwrap();
    let tags = |image: &str| {
        let mut program = landfall(folder.path(), &["tags", image, "--semver", "*"]);
        program.env("HTTPS_PROXY", &address);
        Ran::of(program, "")
    };
    let refused = tags("registry.invalid/acme/web").ends(2).text();
    assert!(!refused.contains("private or local address"), "{refused}");
    for image in ["10.0.0.1/acme/web", "169.254.169.254/acme/web", "localhost/acme/web", "a.localhost/acme/web"] {
        tags(image).ends(2);
    }
    std::io::Write::write_all(&mut std::net::TcpStream::connect(listens).unwrap(), b"END\r\n").unwrap();
    let mut asked = asked.join().unwrap();
    asked.dedup();
    assert_eq!(asked, ["registry.invalid:443"]);
}
