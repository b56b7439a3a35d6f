//! What policies declare, in files of every syntax: found, edited byte for byte, or refused with the reason.

use super::{check_with, path, version, with_digests};
use crate::model::{
    ClosedFiles, ImageTemplate, KeyPath, KeyPaths, KeyPlace, Matches, PathPattern, TextPattern, ValuePath,
};
use crate::overlay::{FileChange, OldDigest, PinEdit, PinIndex, edit_with, scan_with};

/// A declaration: a path, or a pattern between slashes, with `*` behind for every match.
fn declaration(files: &str, place: &str, image: &str) -> KeyPath {
    let pattern = place.strip_prefix("re:").map(|rest| (rest, Matches::One));
    let place = match pattern.or(place.strip_prefix("every:").map(|rest| (rest, Matches::Every))) {
        Some((pattern, matches)) => KeyPlace::Text(TextPattern::parse(pattern, matches).unwrap()),
        None => KeyPlace::Path(ValuePath::parse(place).unwrap()),
    };
    let files = vec![PathPattern::parse(files).unwrap()];
    let captures: Vec<&str> = files[0].captures().iter().map(String::as_str).collect();
    let image = (!image.is_empty()).then(|| ImageTemplate::parse(image, &captures).unwrap());
    let paths = vec![PathPattern::parse("**").unwrap()].into();
    KeyPath { paths, files, place, image, origin: "the policy `p` (p.yaml:3)".into() }
}

fn declared(files: &str, place: &str, image: &str) -> KeyPaths {
    KeyPaths::new(vec![declaration(files, place, image)])
}

/// The file with each pin set to a version.
fn set(declared: &KeyPaths, name: &str, text: &str, to: &str) -> Result<String, String> {
    let text = with_digests(text);
    let scan = scan_with(declared, &path(name), text.as_bytes());
    assert!(!scan.pins.is_empty(), "no pin in\n{text}\n{scan:#?}");
    let edits: Vec<_> = scan.pins.iter().map(|pin| PinEdit { pin, to: version(to), rename: None }).collect();
    let new = edit_with(&path(name), text.as_bytes(), &edits, OldDigest::Refuse).map_err(|error| error.to_string())?;
    let after = scan_with(declared, &path(name), &new);
    assert!(after.pins.iter().all(|pin| pin.version == version(to)), "{after:#?}");
    Ok(String::from_utf8(new).unwrap())
}

#[test]
fn what_a_cap_does_not_allow_to_be_declared_is_said_and_no_pin() {
    let closed =
        |glob: &str| ClosedFiles { paths: vec![PathPattern::parse(glob).unwrap()], cap: "landfall.yaml:9".into() };
    let text = "auth: enforce\nimage: acme/api:1.2.3\n";
    let said = "the policy `p` (p.yaml:3) declares `auth` here, which the cap at landfall.yaml:9 does not allow";
    for place in ["auth", "re:auth: (?P<tag>[a-z]+)"] {
        let open = declared("**", place, "acme/web");
        let pins = |all: &KeyPaths| scan_with(all, &path("prod/x.yaml"), text.as_bytes());
        assert_eq!(pins(&open).pins.len(), pins(&open.clone().closed_to(vec![closed("dev/**")])).pins.len());
        let scan = pins(&open.closed_to(vec![closed("dev/**"), closed("prod/**")]));
        assert!(!scan.pins.iter().any(|pin| pin.image == "acme/web"), "{scan:?}");
        let shown: Vec<String> = scan.skipped.iter().map(|skipped| skipped.reason.to_string()).collect();
        let words = said.replace("`auth`", &format!("`{}`", place.trim_start_matches("re:")));
        assert!(shown.iter().any(|shown| shown.contains(&words)), "{shown:?}");
    }
    // A file that is read for nothing else.
    let scan = scan_with(&declared("**", "re:(?P<tag>x)", "a").closed_to(vec![closed("**")]), &path("Makefile"), b"x");
    assert!(scan.pins.is_empty() && scan.skipped.len() == 1, "{scan:?}");
}

const TOML: &str = "# versions\ntitle = 'x' # 1.2.3\n[images.web]\ntag = \"1.2.3\" # keep\n[[jobs]]\nimage = 'acme/web:1.2.3'\n[[jobs]]\n\
                    image = \"acme/web:1.2.3@@a@\"\n[bad]\nnumber = 1.2\nlong = \"\"\"\n1.2.3\"\"\"\nescaped = \"1\\u002e2\"\n\
                    template = \"${TAG}\"\n";

#[test]
fn toml() {
    let tag = declared("**/*.toml", "images.web.tag", "acme/web");
    check_with(&tag, "a/v.toml", TOML, &["4:8 key-path images.web.tag acme/web 1.2.3"], &[]);
    assert_eq!(
        set(&tag, "v.toml", TOML, "1.10").unwrap(),
        with_digests(&TOML.replace("tag = \"1.2.3\"", "tag = \"1.10\""))
    );
    assert_eq!(
        set(&tag, "v.toml", TOML, "1.10@b").unwrap(),
        with_digests(&TOML.replace("tag = \"1.2.3\"", "tag = \"1.10@@b@\""))
    );
    let each = declared("**/*.toml", "jobs[*].image", "acme/web");
    check_with(
        &each,
        "v.toml",
        TOML,
        &["6:19 key-path jobs[0].image acme/web 1.2.3", "8:19 key-path jobs[1].image acme/web 1.2.3@a"],
        &[],
    );
    let both = TOML.replace("acme/web:1.2.3'", "acme/web:2.0.0@@b@'").replace("1.2.3@@a@", "2.0.0@@b@");
    assert_eq!(set(&each, "v.toml", TOML, "2.0.0@b").unwrap(), with_digests(&both));
    assert!(set(&each, "v.toml", TOML, "2.0.0").unwrap_err().contains("it is pinned by digest"));
    for (place, reason) in [
        (
            "images.api.tag",
            "file: `images.api.tag` matches nothing in this file; the policy `p` (p.yaml:3) declares it",
        ),
        ("images.web", "file: `images.web` matches nothing"),
        ("bad.number", "10: not a text"),
        ("bad.long", "11: written over several lines"),
        ("bad.escaped", "13: "),
        ("bad.template", "14: a template"),
        ("title", "2: no tag or digest"),
        ("/jobs/0/image", "6: the file names acme/web, but the policy x"),
    ] {
        let image = if place.starts_with('/') { "x" } else { "x/x" };
        let declared = declared("**/*.toml", place, if place == "title" { "x" } else { image });
        check_with(&declared, "v.toml", TOML, &[], &[reason]);
    }
    check_with(&tag, "v.toml", "[images\n", &[], &["1: not valid TOML: "]);
    check_with(&tag, "v.toml", &"[".repeat(100_000), &[], &["1: not valid TOML: "]);
    check_with(&tag, "v.toml", &format!("a = {}", "[".repeat(100_000)), &[], &["1: not valid TOML: "]);
}

const HCL: &str = "locals {\n  web = \"1.2.3\" # keep\n  sum = 1\n}\nresource \"docker_container\" \"web\" {\n  image = \"acme/web:1.2.3\"\n  \
                   port {\n    tag = \"1\"\n  }\n  port {\n    tag = \"2\"\n  }\n}\nmodule \"x\" {\n  images = {\n    web   = { tag = \
                   \"1.2.3\" }\n    \"a.b\" = [\"1.2.3\"]\n  }\n  tag  = \"v${local.web}\"\n  doc  = <<-EOT\n    1.2.3\n  EOT\n  fn   = \
                   upper(\"x\")\n  json = jsonencode([{ image = \"acme/web:1.2.3\" }])\n}\n";

#[test]
fn hcl() {
    for (place, pin) in [
        ("locals.web", "2:10 key-path locals[0].web acme/web 1.2.3"),
        ("resource.docker_container.web.image", "6:21 key-path resource.docker_container.web.image acme/web 1.2.3"),
        (
            "resource.docker_container.web.port[1].tag",
            "11:12 key-path resource.docker_container.web.port[1].tag acme/web 2",
        ),
        ("module.x.images.web.tag", "16:22 key-path module.x.images.web.tag acme/web 1.2.3"),
        ("module.x.images[\"a.b\"][0]", "17:15 key-path module.x.images[\"a.b\"][0] acme/web 1.2.3"),
        ("module.x.json.*.image", "24:42 key-path module.x.json[0].image acme/web 1.2.3"),
    ] {
        let declared = declared("**/*.hcl", place, "acme/web");
        check_with(&declared, "main.hcl", HCL, &[pin], &[]);
        let (line, tag) = (pin.split(':').next().unwrap().parse::<usize>().unwrap(), pin.rsplit(' ').next().unwrap());
        let lines = HCL.lines().enumerate();
        let expected =
            lines.map(|(at, text)| if at + 1 == line { text.replace(tag, "2.0.0@@c@") } else { text.to_owned() });
        let expected = expected.collect::<Vec<_>>().join("\n") + "\n";
        // The first `2` of line 11 is the tag itself.
        assert_eq!(set(&declared, "main.hcl", HCL, "2.0.0@c").unwrap(), with_digests(&expected));
    }
    let ports = declared("**/*.hcl", "resource.docker_container.web.port.*.tag", "acme/web");
    assert_eq!(scan_with(&ports, &path("main.hcl"), HCL.as_bytes()).pins.len(), 2);
    for (place, reason) in [
        ("resource.docker_container.web.port.tag", "11: `resource.docker_container.web.port.tag` matches 2 times"),
        ("locals.sum", "3: not a text"),
        ("module.x.tag", "19: a template"),
        ("module.x.doc", "20: a heredoc"),
        ("module.x.fn", "23: an expression"),
        ("module.y.tag", "file: `module.y.tag` matches nothing"),
    ] {
        check_with(&declared("**/*.hcl", place, "acme/web"), "main.hcl", HCL, &[], &[reason]);
    }
    let web = declared("**", "locals.web", "acme/web");
    check_with(&web, "x.tfvars", "locals = {\n", &[], &["1: not valid HCL: "]);
    check_with(&web, "x.tf", &"a {\n".repeat(50_000), &[], &["65: not valid HCL: "]);
    check_with(&web, "x.hcl", &format!("a = {}", "[".repeat(50_000)), &[], &["1: not valid HCL: "]);
}

#[test]
fn yaml_and_json() {
    let image = declared("ci/*.{yml,json}", "jobs.*.container", "");
    let text = "jobs:\n  a:\n    container: acme/ci:1.2.3 # keep\n  b: {container: 'acme/ci:1.2.3'}\n";
    let pins = ["3:24 key-path jobs.a.container acme/ci 1.2.3", "4:27 key-path jobs.b.container acme/ci 1.2.3"];
    check_with(&image, "ci/x.yml", text, &pins, &[]);
    assert_eq!(set(&image, "ci/x.yml", text, "2.0.0").unwrap(), text.replace("1.2.3", "2.0.0"));
    check_with(
        &image,
        "ci/x.json",
        r#"{"jobs": {"a": {"container": "acme/ci:1"}}}"#,
        &["1:39 key-path jobs.a.container acme/ci 1"],
        &[],
    );
    let tag = declared("versions/{app}.yaml", "version", "ghcr.io/acme/{app}");
    check_with(&tag, "versions/web.yaml", "version: 1.10\n", &["1:10 key-path version ghcr.io/acme/web 1.10"], &[]);
    assert_eq!(set(&tag, "versions/web.yaml", "version: x\n", "1.10").unwrap(), "version: \"1.10\"\n", "still a text");
    for (text, reason) in [
        ("version: &v 1.2.3\nother: *v\n", "1: shared through the anchor"),
        ("version: *v\nx: &v 1\n", "not valid YAML"),
        ("x: &v 1.2.3\nversion: *v\n", "2: an alias"),
        ("version: '{{ .tag }}'\n", "1: a template"),
        ("version: |\n  1.2.3\n", "2: written over several"),
        ("version: {a: 1}\n", "1: "),
        ("other: 1\n", "file: `version` matches nothing"),
        ("version: 1\n---\nversion: 2\n", "3: `version` matches 2 times"),
        ("version: [1\n", "not valid YAML"),
        ("version: 1.2.3\nsops: {mac: x, lastmodified: y}\n", "file: encrypted with SOPS"),
    ] {
        let scan = scan_with(&tag, &path("versions/web.yaml"), text.as_bytes());
        assert!(scan.pins.is_empty(), "{text}");
        let said: Vec<_> = scan.skipped.iter().map(super::show_skip).collect();
        assert!(said.iter().any(|said| said.contains(reason)), "{text}: {said:?}");
    }
}

#[test]
fn a_declaration_comes_before_what_other_kinds_see() {
    let text = "image:\n  repository: acme/web\n  tag: 1.2.3\n";
    for place in ["image.tag", r"re:tag: (?P<tag>\S+)"] {
        let tag = declared("values.yaml", place, "acme/web");
        let scan = scan_with(&tag, &path("values.yaml"), text.as_bytes());
        assert_eq!((scan.pins.len(), scan.values.len(), scan.pins[0].kind.name), (1, 0, "key-path"), "{place}");
        assert_eq!(set(&tag, "values.yaml", text, "2.0.0").unwrap(), text.replace("1.2.3", "2.0.0"));
    }
    let all = |images: [&str; 2]| KeyPaths::new(images.map(|image| declaration("v.toml", "tag", image)).to_vec());
    check_with(&all(["a", "docker.io/library/a"]), "v.toml", "tag = \"1\"\n", &["1:8 key-path tag a 1"], &[]);
    check_with(&all(["a", "b"]), "v.toml", "tag = \"1\"\n", &["1:8 key-path tag a 1"], &["1: declared twice"]);
}

#[test]
fn what_the_file_itself_names_is_not_given_another_name() {
    let entry = "images:\n- name: acme/api\n  newTag: \"1.2.3\"\n";
    let values = "image:\n  repository: acme/api\n  tag: 1.2.3\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n      - image: acme/api:1.2.3\n";
    for (name, text, place) in [
        ("kustomization.yaml", entry, "images[0].newTag"),
        ("kustomization.yaml", entry, "re:newTag: \"(?P<tag>[^\"]+)"),
        ("values.yaml", values, "image.tag"),
        ("values.yaml", values, r"re:tag: (?P<tag>\S+)"),
        ("d.yaml", deployment, "spec.template.spec.containers[0].image"),
        ("d.yaml", deployment, r"re:image: acme/api:(?P<tag>\S+)"),
        ("main.tf", "locals {\n  api_image = \"acme/api:1.2.3\"\n}\n", r"re:acme/api:(?P<tag>[^\x22]+)"),
    ] {
        let scan = scan_with(&declared("**", place, "acme/web"), &path(name), text.as_bytes());
        let names: Vec<&str> = scan.pins.iter().chain(&scan.values).map(|pin| pin.image.as_str()).collect();
        assert_eq!(names, ["acme/api"], "{name} {place}");
        let said: Vec<String> = scan.skipped.iter().map(super::show_skip).collect();
        assert!(
            said.len() == 1 && said[0].contains("the file names acme/api, but the policy"),
            "{name} {place}: {said:?}"
        );
    }
    // Part of a value that is declared as a whole.
    let two = [declaration("f", r"re:TAG=(?P<tag>\S+)", "a"), declaration("f", r"re:TAG=1\.(?P<tag>\S+)", "a")];
    let key = r"/TAG=(?P<tag>\S+)/";
    check_with(
        &KeyPaths::new(two.to_vec()),
        "f",
        "TAG=1.2.3\n",
        &[&format!("1:5 key-path {key} a 1.2.3")],
        &["1: declared twice"],
    );
}

#[test]
fn a_version_that_would_not_be_read_as_a_text_is_not_written_without_quotes() {
    let pattern = r"re:tag\x22?\s*[:=]\s*(?P<tag>[\w.]+)";
    for (name, text, to) in [
        ("a.yaml", "tag: 1.2.3\n", "1.10"),
        ("a.yaml", "tag: 1.2.3\n", "1e3"),
        ("a.yaml", "tag: 1.2\n", "1.10"),
        ("a.json", "{\"tag\": 1.2}\n", "9.9.9"),
        ("a.toml", "tag = 1.2\n", "1.10"),
        ("a.hcl", "tag = 1.2\n", "1.10"),
        ("a.hcl", "tag = 1.2 + 3\n", "1.10"),
    ] {
        let error = set(&declared("**", pattern, "acme/web"), name, text, to).unwrap_err();
        assert!(
            error.contains("in line 1 would not be read as a text; write the value there in quotes"),
            "{name}: {error}"
        );
    }
    let web = declared("**", r"re:web:(?P<tag>[\w.]+)", "acme/web");
    for (name, text) in [
        ("a.yaml", "run: docker run acme/web:1.2.3 x\n"),
        ("a.yaml", "image: acme/web:1.2.3\n"),
        ("a.hcl", "x = format(\"%s/web:1.2.3\", var.y)\n"),
        ("a.hcl", "x = \"${var.y}/web:1.2.3\"\n"),
    ] {
        assert_eq!(set(&web, name, text, "1.10").unwrap(), text.replace("1.2.3", "1.10"), "{name}");
    }
}

#[test]
fn in_json_a_version_is_quoted() {
    for (name, text, place) in [
        ("a.json", "{\"img\":{\"d\":1.2}}", "img.*"),
        ("a.yaml", "{\"img\":{\"d\":1.2}}", "img.d"),
        ("kustomization.yaml", "{\"images\":[{\"name\":\"acme/web\",\"newTag\":1.2}]}", "images[0].newTag"),
    ] {
        let new = set(&declared("**", place, "acme/web"), name, text, "9.9.9").unwrap();
        assert_eq!(new, text.replace("1.2", "\"9.9.9\""));
    }
}

#[test]
fn what_may_be_a_secret_is_not_shown() {
    let secret = "apiVersion: v1\nkind: Secret\nstringData:\n  tag: 1.2.3\n  ref: acme/web:1.2.3\n  password: hunter2\n  key: 'S3cr:t/Value hunter2'\n";
    let hidden = "no version of the image that the policy declares; the value is not shown";
    for (text, first) in
        [(secret.to_owned(), 0), (format!("a: 1\n---\n{secret}"), 2), (format!("{{{{ if .x }}}}\n{secret}"), 1)]
    {
        for (place, line, pins) in [
            ("stringData.tag", 4, 1),
            ("stringData.ref", 5, 1),
            ("stringData.password", 6, 0),
            ("stringData.key", 7, 0),
            (r"re:password: (?P<tag>.+)", 6, 0),
            (r"re:key: (?P<tag>.+)", 7, 0),
            (r"re:(?P<image>key): (?P<tag>.+)", 7, 0),
        ] {
            if first == 1 && !place.starts_with("re:") {
                continue;
            }
            let scan = scan_with(&declared("**", place, "acme/web"), &path("s.yaml"), text.as_bytes());
            let said: Vec<String> = scan.skipped.iter().map(super::show_skip).collect();
            assert_eq!(scan.pins.len(), pins, "{place}: {said:?}");
            assert!(!said.iter().any(|said| said.contains("hunter2")), "{said:?}");
            let reason = format!("{}: {hidden}", line + first);
            assert_eq!(said.iter().any(|said| said.starts_with(&reason)), pins == 0, "{place}: {said:?}");
        }
    }
    let variable = |value: &str, skips: &[&str]| {
        let text = format!("KEY={value}\n");
        let pin = format!("1:5 key-path /KEY=(?P<tag>.+)/ acme/web {value}");
        let pins = if skips.is_empty() { vec![pin.as_str()] } else { Vec::new() };
        check_with(&declared(".env", "re:KEY=(?P<tag>.+)", "acme/web"), ".env", &text, &pins, skips);
    };
    variable("main", &[]);
    variable("hunter2 x!", &[&format!("1: {hidden}")]);
}

#[test]
fn policies_are_no_images() {
    let text = "policies:\n- name: a\n  keyPaths:\n  - {files: [x], path: a.tag, image: ghcr.io/acme/web}\n  - {files: [x], path: b, image: ghcr.io/acme/web:1.2.3}\n";
    for name in [".landfall/policies.yaml", "policies/web.yaml", "deploy/.landfall/x/web.yml"] {
        let mut index = PinIndex::with(KeyPaths::default());
        index.update(vec![FileChange::File { path: path(name), bytes: text.as_bytes().to_vec() }]);
        let found = index.pins(&|_| false);
        assert!(found.pins.is_empty() && found.skipped.is_empty(), "{name}: {:?}", found.skipped);
    }
}

#[test]
fn twenty_thousand_declared_values_are_found_at_once() {
    let lines = |line: &str| line.repeat(20_000);
    let yaml = format!("a:\n{}", lines("- 1.2.3\n"));
    let toml = format!("a = [\n{}]\n", lines("\"1.2.3\",\n"));
    for (name, text, place) in
        [("f", lines("1.2.3\n"), "every:^(?P<tag>.+)$"), ("a.yaml", yaml, "a.*"), ("a.toml", toml, "a.*")]
    {
        let declared = KeyPaths::new(vec![declaration("**", place, "acme/web"); 3]);
        let scan = scan_with(&declared, &path(name), text.as_bytes());
        assert_eq!((scan.pins.len(), scan.skipped.len()), (20_000, 0), "{name}");
    }
}

#[test]
fn any_text() {
    let tags = declared("image-tags/{env}/{app}", r"re:\A(?P<tag>\S+)\s*\z", "ghcr.io/acme/{app}");
    let name = "image-tags/dev/web";
    for text in ["1.2.3\n", "1.2.3", "1.2.3\r\n"] {
        let pin = r"1:1 key-path /\A(?P<tag>\S+)\s*\z/ ghcr.io/acme/web 1.2.3";
        check_with(&tags, name, text, &[pin], &[]);
        assert_eq!(set(&tags, name, text, "1.10").unwrap(), text.replace("1.2.3", "1.10"));
    }
    check_with(&tags, name, "1.2.3\n1.2.4\n", &[], &["file: `"]);
    check_with(&tags, name, "${TAG}\n", &[], &["1: a template"]);
    check_with(&tags, "image-tags/dev/WEB", "1.2.3\n", &[], &["1: `ghcr.io/acme/WEB` is not"]);
    let from = declared("**/Dockerfile", r"every:^FROM (?P<image>acme/\S+?):(?P<tag>[^\s@]+)(?:@(?P<digest>\S+))?", "");
    let text =
        "# syntax=docker/dockerfile:1\r\nFROM acme/go:1.2.3 AS build\r\nFROM acme/base:1.2.3@@a@\r\nFROM scratch\r\n";
    let key = r"/^FROM (?P<image>acme/\S+?):(?P<tag>[^\s@]+)(?:@(?P<digest>\S+))?/";
    let (first, second) =
        (format!("2:14 key-path {key}[0] acme/go 1.2.3"), format!("3:16 key-path {key}[1] acme/base 1.2.3@a"));
    check_with(&from, "x/Dockerfile", text, &[&first, &second], &[]);
    let expected = text.replace(":1.2.3 AS", ":2.0.0@@b@ AS").replace("1.2.3@@a@", "2.0.0@@b@");
    assert_eq!(set(&from, "Dockerfile", text, "2.0.0@b").unwrap(), with_digests(&expected));
    let once = declared("**/Dockerfile", r"re:^FROM acme/\w+:(?P<tag>\S+)", "acme/go");
    check_with(&once, "Dockerfile", text, &[], &["3: `^FROM acme/\\\\w+:(?P<tag>\\\\S+)` matches 2 times"]);
    check_with(
        &declared("Dockerfile", "FROM", "a"),
        "Dockerfile",
        "FROM a:1\n",
        &[],
        &["file: there are no keys in a file"],
    );
    // In YAML and HCL, too, wherever it is: in a comment, a script, a chart's template.
    let script = declared("**", r"re:acme/ci:(?P<tag>[\w.]+)", "acme/ci");
    for (name, text) in [
        ("a.yaml", "run: |\n  docker run acme/ci:1.2.3 x\n"),
        ("a.yaml", "x: 1 # acme/ci:1.2.3\n"),
        ("t/a.yaml", "{{- if .x }}\nimage: acme/ci:1.2.3\n{{- end }}\n"),
        ("a.tf", "x = <<EOT\n  docker run acme/ci:1.2.3\nEOT\ny = \"${1}\"\n"),
        ("a.toml", "x = \"\"\"\nacme/ci:1.2.3\"\"\"\n"),
        ("a.toml", "broken ] acme/ci:1.2.3\n"),
    ] {
        assert_eq!(set(&script, name, text, "2.0.0").unwrap(), text.replace("1.2.3", "2.0.0"), "{name}");
    }
    let secret = "TAG=1\nX=ENC[AES256_GCM,data:x]\n";
    check_with(&declared("e", "re:TAG=(?P<tag>.+)", "a"), "e", secret, &[], &["file: encrypted with SOPS"]);
}

#[test]
fn an_edit_after_which_the_pattern_would_match_otherwise_is_given_up() {
    for (pattern, text, to) in [
        (r"re:^TAG=(?P<tag>[\d.]+)$", "TAG=1.2.3\n", "v2"),
        (r"re:^TAG=(?P<tag>[a-z0-9]+)", "TAG=abc\n", "abc-1"),
        (r"every:(?P<tag>x\d|y\d)", "x1 y2\n", "z3"),
    ] {
        let declared = declared("f", pattern, "acme/web");
        let error = set(&declared, "f", text, to).unwrap_err();
        assert!(error.contains("would no longer find the same places"), "{error}");
    }
}

#[test]
fn pins_of_yaml_and_of_a_text_in_one_file_move_together() {
    let script = declared("k/kustomization.yaml", r"every:# (?P<tag>[\d.]+)$", "acme/web");
    let text = "# 1.2.3\nimages:\n- name: acme/web\n  newTag: \"1.2.3\" # 1.2.3\n";
    assert_eq!(set(&script, "k/kustomization.yaml", text, "1.10.100").unwrap(), text.replace("1.2.3", "1.10.100"));
}

#[test]
fn an_index_reads_what_is_declared() {
    let tags = declared("tags/{app}", r"re:^(?P<tag>\S+)$", "acme/{app}");
    let mut index = PinIndex::with(tags);
    let file = |name: &str| FileChange::File { path: path(name), bytes: b"1.2.3\n".to_vec() };
    index.update(vec![file("tags/web"), file("other/web")]);
    assert_eq!(index.pins(&|_| false).pins.len(), 1);
    index.update(vec![FileChange::File { path: path(".landfallignore"), bytes: b"tags/\n".to_vec() }]);
    assert!(index.pins(&|_| false).pins.is_empty());
}
