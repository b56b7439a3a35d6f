//! Compose files and the `.env` beside them.

use super::{check, path, set, show, show_skip, version};
use crate::model::{ImageName, KeyPaths};
use crate::overlay::{FileChange, PinEdit, PinIndex, TreeScan, beside, edit, every_pin, variable_at};

const COMPOSE: &str = "compose.yaml";

#[test]
fn services_have_images() {
    let text = "name: x\nx-base: &base\n  restart: always\nservices:\n  web:\n    <<: *base\n    image: ghcr.io/acme/web:1.2.3 # keep\n  db: {image: 'postgres:16.1@@a@'}\n  \
                built:\n    build: .\n    image: acme/built:dev\n  none: {image: redis}\n  sh: { image: \"acme/sh:1\", command: \"run ghcr.io/x/y:1.0\" }\n";
    check(
        COMPOSE,
        text,
        &[
            "7:29 compose services.web.image ghcr.io/acme/web 1.2.3",
            "8:25 compose services.db.image postgres 16.1@a",
            "13:25 compose services.sh.image acme/sh 1",
        ],
        &["11: the image is built by this service", "12: no tag or digest"],
    );
    let expected = text.replace("web:1.2.3", "web:1.10").replace("@@a@", &format!("@{}", super::digest('a')));
    assert_eq!(set(COMPOSE, text, "ghcr.io/acme/web", "1.10").unwrap(), expected);
    for name in ["docker-compose.yml", "docker-compose.override.yaml", "compose.prod.yml", "docker-compose-dev.yml"] {
        check(name, "services: {a: {image: 'b:1'}}\n", &["1:26 compose services.a.image b 1"], &[]);
    }
    // Others are what they were: no services, another name, an object.
    for (name, text) in [("compose.yaml", "a: {image: 'b:1'}\n"), ("composer.yaml", "services: {a: {image: 'b:1'}}\n")]
    {
        let scan = super::scan_file(&path(name), text.as_bytes());
        assert_eq!((scan.pins.len(), scan.values.len()), (0, 1), "{name}");
    }
}

/// The pins and reasons of a tree of files.
fn tree(files: &[(&str, &str)]) -> TreeScan {
    let mut index = PinIndex::new();
    let file = |(name, text): &(&str, &str)| FileChange::File { path: path(name), bytes: text.as_bytes().to_vec() };
    index.update(files.iter().map(file).collect());
    index.pins(&|_| false)
}

fn shown(scan: &TreeScan) -> (Vec<String>, Vec<String>) {
    let pins = scan.pins.iter().map(|pin| format!("{} {}", pin.path, show(pin))).collect();
    (pins, scan.skipped.iter().map(|it| format!("{} {}", it.path, show_skip(it))).collect())
}

#[test]
fn a_variable_is_the_pin_where_env_sets_it() {
    let service = |image: &str| format!("services:\n  web:\n    image: {image}\n");
    for (image, env, expected) in [
        ("acme/web:${TAG}", Some("TAG=1.2.3\n"), Ok("a/.env 1:5 compose TAG acme/web 1.2.3")),
        ("acme/web:$TAG", Some("TAG=1.2.3\n"), Ok("a/.env 1:5 compose TAG acme/web 1.2.3")),
        (
            "'acme/web:${TAG:?missing}'",
            Some("# x\nexport TAG='1.2.3' # y\n"),
            Ok("a/.env 2:13 compose TAG acme/web 1.2.3"),
        ),
        ("acme/web:${TAG:-1.0.0}", Some("TAG=1.2.3\n"), Ok("a/.env 1:5 compose TAG acme/web 1.2.3")),
        ("acme/web:${TAG:-1.0.0}", Some("TAG=\n"), Ok("a/compose.yaml 3:28 compose services.web.image acme/web 1.0.0")),
        ("acme/web:${TAG:-1.0.0}", None, Ok("a/compose.yaml 3:28 compose services.web.image acme/web 1.0.0")),
        (
            "\"acme/web:${TAG-1.0.0}\"",
            Some("OTHER=1\n"),
            Ok("a/compose.yaml 3:28 compose services.web.image acme/web 1.0.0"),
        ),
        ("${IMAGE}", Some("IMAGE=acme/web:1.2.3\n"), Ok("a/.env 1:16 compose IMAGE acme/web 1.2.3")),
        (
            "${REG:-ghcr.io}/acme/web:1.2.3",
            None,
            Ok("a/compose.yaml 3:37 compose services.web.image ghcr.io/acme/web 1.2.3"),
        ),
        ("${REG}/web:${TAG}", Some("TAG=1\nTAG=2\nREG=acme\n"), Ok("a/.env 2:5 compose TAG acme/web 2")),
        ("acme/web:${TAG}", None, Err("a/compose.yaml 3: it needs the variable `TAG`")),
        ("acme/web:${TAG}", Some("TAG=${OTHER}\n"), Err("a/compose.yaml 3: a template")),
        ("acme/web:${TAG}", Some("TAG=\"1\n2\"\n"), Err("a/compose.yaml 3: written over several")),
        (
            "acme/web:${TAG}",
            Some("TAG=not a tag\n"),
            Err("a/compose.yaml 3: with the variable `TAG` it is no image with a version"),
        ),
        ("acme/web:v${TAG}", Some("TAG=1\n"), Err("a/compose.yaml 3: its tag is put together")),
        ("acme/web:${A:+x}", Some("A=1\n"), Err("a/compose.yaml 3: a template")),
        ("acme/web:${A:-${B}}", Some("A=1\n"), Err("a/compose.yaml 3: a template")),
        ("acme/web:$$TAG", None, Err("a/compose.yaml 3: a template")),
    ] {
        let text = service(image);
        let files: Vec<(&str, &str)> =
            std::iter::once(("a/compose.yaml", text.as_str())).chain(env.map(|env| ("a/.env", env))).collect();
        let (pins, skipped) = shown(&tree(&files));
        match expected {
            Ok(pin) => {
                assert_eq!((pins.as_slice(), skipped.as_slice()), (&[pin.to_owned()][..], &[][..]), "{image} {env:?}");
            }
            Err(reason) => {
                assert!(
                    pins.is_empty() && skipped.len() == 1 && skipped[0].starts_with(reason),
                    "{image} {env:?}: {pins:?} {skipped:?}"
                );
            }
        }
    }
}

#[test]
fn a_variable_of_several_images_is_none_of_them() {
    let two = "services:\n  a: {image: 'acme/a:${TAG}'}\n  b: {image: 'acme/b:${TAG}'}\n";
    let (pins, skipped) = shown(&tree(&[("compose.yaml", two), (".env", "TAG=1\n")]));
    assert!(
        pins.is_empty() && skipped.len() == 2 && skipped[0].contains("is the version of several images"),
        "{skipped:?}"
    );
    let same = two.replace("acme/b", "acme/a");
    let (pins, skipped) = shown(&tree(&[("compose.yaml", &same), (".env", "TAG=1\n")]));
    assert_eq!((pins.len(), skipped.len()), (1, 0));
    // Shared through an anchor: the variable's line is one place, the text is several.
    let merged = "x-base: &base { image: 'acme/a:${TAG}' }\nservices:\n  a: { <<: *base }\n  b: { <<: *base, restart: always }\n";
    let (pins, skipped) = shown(&tree(&[("compose.yaml", merged), (".env", "TAG=1\n")]));
    assert_eq!((pins, skipped), (vec![".env 1:5 compose TAG acme/a 1".to_owned()], Vec::new()));
    for text in [merged.replace("${TAG}", "${TAG:-1}"), merged.replace("${TAG}", "1")] {
        let (pins, skipped) = shown(&tree(&[("compose.yaml", &text)]));
        assert!(
            pins.is_empty() && skipped.len() == 1 && skipped[0].contains("shared through the anchor"),
            "{skipped:?}"
        );
    }
    // A file that Compose does not read by itself may be used with another environment.
    let (pins, skipped) = shown(&tree(&[("compose.prod.yaml", &same), (".env", "TAG=1\n")]));
    assert!(pins.is_empty() && skipped.len() == 2, "{pins:?} {skipped:?}");
    let ignored = tree(&[
        ("compose.yaml", "services: {a: {image: 'a:${TAG:-1}'}}\n"),
        (".env", "TAG=2\n"),
        (".landfallignore", ".env\n"),
    ]);
    assert!(ignored.pins.is_empty(), "what an unread file sets is not known: {ignored:?}");
}

#[test]
fn a_line_of_env_is_edited_and_found_again() {
    let compose = "services: {a: {image: 'acme/a:${TAG:-0}'}, b: {image: 'acme/b:${B:-1.0}'}}\n";
    let env = "# versions\r\nexport TAG = \"1.2.3\" # TAG=1.2.3\r\nSECRET='1.2.3'\r\n";
    let scan = tree(&[("x/compose.yaml", compose), ("x/.env", env)]);
    let [in_env, here] = scan.pins.as_slice() else { panic!("{scan:?}") };
    let new =
        edit(&path("x/.env"), env.as_bytes(), &[PinEdit { pin: in_env, to: version("1.10@a"), rename: None }]).unwrap();
    assert_eq!(
        String::from_utf8(new.clone()).unwrap(),
        env.replacen("1.2.3", &format!("1.10@{}", super::digest('a')), 1)
    );
    let new_here =
        edit(&path("x/compose.yaml"), compose.as_bytes(), &[PinEdit { pin: here, to: version("2.0"), rename: None }])
            .unwrap();
    assert_eq!(String::from_utf8(new_here).unwrap(), compose.replace("1.0", "2.0"));
    // As a commit's proof and a history read it.
    let others = [(path("x/compose.yaml"), compose.as_bytes().to_vec())];
    assert!(beside(&path("x/.env")).contains(&others[0].0) && beside(&path("x/a.yaml")).is_empty());
    let again = every_pin(&KeyPaths::default(), &path("x/.env"), &new, &others);
    assert_eq!(
        again.iter().map(|pin| (pin.key.as_str(), pin.version.clone())).collect::<Vec<_>>(),
        [("TAG", version("1.10@a"))]
    );
    assert!(every_pin(&KeyPaths::default(), &path("x/.env"), &new, &[]).is_empty());
    let image = ImageName::parse("acme/a").unwrap();
    assert_eq!(variable_at(&path("x/.env"), &new, "TAG", &image), Some(version("1.10@a")));
    assert!(
        !format!("{:?}", super::scan_file(&path(".env"), env.as_bytes())).contains("1.2.3"),
        "values may be secrets"
    );
}

#[test]
fn a_value_that_makes_no_image_is_not_shown_and_a_line_used_elsewhere_is_shared() {
    let service = |name: &str, image: &str| format!("  {name}:\n    image: {image}\n");
    let env = ("a/.env", "TAG=1.2.3\nDB_PASSWORD=hunter2!secret pass\n");
    let secret = format!("services:\n{}", service("db", "'acme/db:${DB_PASSWORD}'"));
    let (pins, skipped) = shown(&tree(&[env, ("a/compose.yaml", &secret)]));
    assert!(pins.is_empty() && skipped.len() == 1 && skipped[0].contains("`DB_PASSWORD`"), "{pins:?} {skipped:?}");
    assert!(!format!("{skipped:?}").contains("hunter2"), "{skipped:?}");
    // The line is more than the version of one image: in the same file, and in another.
    let both = format!("services:\n{}{}", service("web", "acme/web:${TAG}"), service("api", "acme/api:${TAG}-alpine"));
    let (pins, skipped) = shown(&tree(&[env, ("a/compose.yaml", &both)]));
    assert!(pins.is_empty() && skipped.iter().any(|it| it.contains("several images")), "{pins:?} {skipped:?}");
    let web = format!("services:\n{}", service("web", "acme/web:${TAG}"));
    let api = format!("services:\n{}", service("api", "acme/api:${TAG}"));
    let (pins, skipped) = shown(&tree(&[env, ("a/compose.yaml", &web), ("a/compose.prod.yaml", &api)]));
    assert!(pins.is_empty() && skipped.iter().any(|it| it.contains("several images")), "{pins:?} {skipped:?}");
    assert!(skipped.iter().any(|it| it.contains("in a/.env: it is updated there")), "{skipped:?}");
    let (pins, _) = shown(&tree(&[env, ("a/compose.yaml", &web), ("a/compose.prod.yaml", &web)]));
    assert_eq!(pins.len(), 1, "{pins:?}");
}
