//! Edits and the exact bytes that they leave.

use super::{all, digest, path, set, set_with, version, with_digests};
use crate::overlay::{EditError, OldDigest, PinEdit, edit, scan_file};

const KUSTOMIZATION: &str = "apps/web/kustomization.yaml";

/// Sets `image` in a file, and compares the whole result; the result must be a fixed point of scanning.
#[track_caller]
fn becomes(name: &str, before: &str, image: &str, to: &str, after: &str) {
    let result = set(name, before, image, to).unwrap();
    assert_eq!(result, with_digests(after));
    let again = set(name, &result, image, to).unwrap();
    assert_eq!(again, result, "the same edit twice changes nothing");
}

#[test]
fn bytes_change_only_where_the_version_is() {
    for (name, before, image, to, after) in [
        (KUSTOMIZATION, "images:\n- name: a\n  newTag: v1 # c\n", "a", "v2", "images:\n- name: a\n  newTag: v2 # c\n"),
        (
            KUSTOMIZATION,
            "images:\r\n- newTag: 'v1'   \r\n  name: a",
            "a",
            "v2",
            "images:\r\n- newTag: 'v2'   \r\n  name: a",
        ),
        (
            KUSTOMIZATION,
            "\u{feff}---\nimages: [{name: a,newTag: \"v1\"}]\n...\n",
            "a",
            "v2",
            "\u{feff}---\nimages: [{name: a,newTag: \"v2\"}]\n...\n",
        ),
        (
            "p.yaml",
            "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: a:1}, {image: 'a:2@@a@'}]}\n",
            "a",
            "3@b",
            "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: a:3@@b@}, {image: 'a:3@@b@'}]}\n",
        ),
        (
            "p.json",
            "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"spec\":{\"containers\":[{\"image\":\"ghcr.io\\/a\\/b:1\"}]}}",
            "ghcr.io/a/b",
            "2",
            "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"spec\":{\"containers\":[{\"image\":\"ghcr.io\\/a\\/b:2\"}]}}",
        ),
        ("values.yaml", "image:\n\trepository: x\n", "x", "", ""),
    ] {
        if to.is_empty() {
            continue;
        }
        becomes(name, before, image, to, after);
    }
}

#[test]
fn plain_scalars_are_quoted_only_where_yaml_would_misread_them() {
    let file = |tag: &str| format!("images:\n- name: a\n  newTag: {tag} # c\n");
    for (from, to, written) in [
        ("1.2.3", "1.2.4", "1.2.4"),
        ("1.10", "1.11", "\"1.11\""),
        ("v1", "0x1f", "\"0x1f\""),
        ("v1", "1e3", "\"1e3\""),
        ("v1", "null", "\"null\""),
        ("v1", "on", "\"on\""),
        ("v1", "2024-01-01", "\"2024-01-01\""),
        ("v1", "1_000", "\"1_000\""),
        ("'v1'", "1.10", "'1.10'"),
        ("\"v1\"", "1.10", "\"1.10\""),
        ("!!str 1.10", "1.11", "!!str \"1.11\""),
        // The same version again is no reason to touch a byte, even where quotes would have been wiser.
        ("1.10", "1.10", "1.10"),
    ] {
        becomes(KUSTOMIZATION, &file(from), "a", to, &file(written));
    }
}

#[test]
fn tag_and_digest_move_together() {
    for (before, to, after) in [
        ("image: {repository: a/b, tag: v1@@a@}", "v2@b", "image: {repository: a/b, tag: v2@@b@}"),
        (
            "image: {repository: a/b, tag: v1, digest: '@a@'}",
            "v2@b",
            "image: {repository: a/b, tag: v2, digest: '@b@'}",
        ),
        // A digest that is new goes into an empty `digest`, else behind the tag.
        (
            "image: {repository: a/b, tag: v1, digest: \"\"}",
            "v2@b",
            "image: {repository: a/b, tag: v2, digest: \"@b@\"}",
        ),
        (
            "image:\n  repository: a/b\n  tag: v1\n  digest: # c\n",
            "v2@b",
            "image:\n  repository: a/b\n  tag: v2\n  digest: @b@ # c\n",
        ),
        ("image: {repository: a/b, tag: v1, digest: null}", "v2", "image: {repository: a/b, tag: v2, digest: null}"),
        ("image: {repository: a/b, tag: 1.10}", "1.11@b", "image: {repository: a/b, tag: 1.11@@b@}"),
        ("image: a/b:v1", "v2@b", "image: a/b:v2@@b@"),
        // Where only a digest is written, only a digest is.
        ("image: a/b@@a@", "v2@b", "image: a/b@@b@"),
        ("image: {repository: a/b, digest: @a@}", "v2@b", "image: {repository: a/b, digest: @b@}"),
        ("image: {repository: a/b, tag: '', digest: @a@}", "@b", "image: {repository: a/b, tag: '', digest: @b@}"),
        (
            "image: {repository: a/b, tag: v1@@a@, digest: ''}",
            "v2@b",
            "image: {repository: a/b, tag: v2@@b@, digest: ''}",
        ),
    ] {
        becomes("values.yaml", before, "a/b", to, after);
    }
}

#[test]
fn a_digest_new_to_kustomize_gets_a_key_of_its_own() {
    for (before, after) in [
        ("images:\n- name: a\n  newTag: v1 # c\nx: y\n", "images:\n- name: a\n  newTag: v2 # c\n  digest: @b@\nx: y\n"),
        (
            "images:\r\n  - newTag: \"v1\"\r\n    name: a\r\n",
            "images:\r\n  - newTag: \"v2\"\r\n    digest: @b@\r\n    name: a\r\n",
        ),
        ("images:\n- name: a\n  newTag: v1", "images:\n- name: a\n  newTag: v2\n  digest: @b@"),
        ("images: [{name: a, newTag: v1}]", "images: [{name: a, newTag: v2, digest: @b@}]"),
        (
            "{\"images\": [{\"newTag\": \"v1\", \"name\": \"a\"}]}",
            "{\"images\": [{\"newTag\": \"v2\", \"digest\": \"@b@\", \"name\": \"a\"}]}",
        ),
        (
            "images:\n- {\n    name: a,\n    newTag: v1\n  }\n",
            "images:\n- {\n    name: a,\n    newTag: v2, digest: @b@\n  }\n",
        ),
        (
            "images:\n- {\n    newTag: v1,\n    name: a\n  }\n",
            "images:\n- {\n    newTag: v2, digest: @b@,\n    name: a\n  }\n",
        ),
        ("images:\n- name: a\n  newTag: v1\n  digest: ''\n", "images:\n- name: a\n  newTag: v2\n  digest: '@b@'\n"),
    ] {
        becomes(KUSTOMIZATION, before, "a", "v2@b", after);
    }
}

#[test]
fn a_marked_entry_of_kustomize_form_keeps_its_digest_beside_the_tag() {
    let entry = |version: &str| format!("list:\n- name: a/b\n  newTag: {version}\n");
    let marked = |tag: &str| entry(&format!("{tag} # {{\"$imagepolicy\": \"f:a:tag\"}}"));
    becomes("any.yaml", &marked("v1"), "a/b", "v2@b", &format!("{}  digest: @b@\n", marked("v2")));
}

#[test]
fn values_inside_a_block_scalar() {
    let file = |tag: &str, job: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\r\nkind: Application\r\nspec:\r\n  source:\r\n    helm:\r\n      values: |-\r\n        # c\r\n        image:\r\n          \
             repository: a/b\r\n          tag: {tag} # d\r\n\r\n        job:\r\n          image: \"a/b:{job}\"  \r\n  other: 1\r\n"
        )
    };
    becomes("app.yaml", &file("v1", "v1"), "a/b", "v2", &file("v2", "v2"));
    becomes("app.yaml", &file("v1", "v1"), "a/b", "1.10", &file("\"1.10\"", "1.10"));
    becomes("app.yaml", &file("v1", "v1@@a@"), "a/b", "v2@b", &file("v2@@b@", "v2@@b@"));
}

#[test]
fn what_cannot_be_written_is_refused() {
    for (file, to, reason) in [
        ("image: a/b:v1@@a@", "v2", "pinned by digest"),
        ("image: {repository: a/b, tag: v1, digest: @a@}", "v2", "pinned by digest"),
        ("image: a/b@@a@", "v2", "pinned by digest"),
        ("image: a/b:v1", "@b", "a tag is written here"),
        ("image: {repository: a/b, tag: v1}", "@b", "a tag is written here"),
        ("image: a/b:v1", "", "no version to write"),
    ] {
        let error = set("values.yaml", file, "a/b", to).unwrap_err();
        assert!(error.contains(reason), "{file} {to}: {error}");
        assert!(error.starts_with("values.yaml:1: a/b: "), "{error}");
    }
}

#[test]
fn a_person_may_drop_a_digest() {
    for (before, to, after) in [
        ("image: a/b:v1@@a@", "v2", Some("image: a/b:v2")),
        ("image: a/b@@a@", "v2", Some("image: a/b:v2")),
        ("image: a/b:v1", "@b", Some("image: a/b@@b@")),
        ("image: a/b@@a@", "v2@b", Some("image: a/b:v2@@b@")),
        ("image: {repository: a/b, tag: v1@@a@}", "v2", Some("image: {repository: a/b, tag: v2}")),
        (
            "image: {repository: a/b, tag: v1, digest: '@a@'}",
            "v2",
            Some("image: {repository: a/b, tag: v2, digest: ''}"),
        ),
        (
            "image: {repository: a/b, tag: v1, digest: @a@}",
            "v2",
            Some("image: {repository: a/b, tag: v2, digest: \"\"}"),
        ),
        ("image: {repository: a/b, digest: @a@}", "v2", None),
        ("image: {repository: a/b, tag: v1}", "@b", None),
    ] {
        let result = set_with("values.yaml", before, "a/b", to, None, OldDigest::Drop);
        assert_eq!(result.ok(), after.map(with_digests), "{before} {to}");
    }
}

#[test]
fn the_version_of_a_helm_release_s_chart_changes_in_place() {
    let source = "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: s}\nspec: {url: 'https://c.example.com'}\n";
    let release = |version: &str| {
        format!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  chart:\n    spec:\n      version: {version} # web\n      chart: web\n      sourceRef: {{name: s}}\n{source}"
        )
    };
    for (before, to, after) in
        [("1.2.3", "1.3.0", "1.3.0"), ("'1.2.3'", "1.3.0+up1", "'1.3.0+up1'"), ("\"v1.2.3\"", "v1.3.0", "\"v1.3.0\"")]
    {
        let edited = set("hr.yaml", &release(before), "https://c.example.com/web", to);
        assert_eq!(edited.unwrap(), release(after));
    }
}

#[test]
fn names_change_where_one_scalar_holds_them() {
    for (name, before, to, after) in [
        ("values.yaml", "image: ghcr.io/a/b:v1", "v2", Some("image: quay.io/c/d:v2")),
        (
            "values.yaml",
            "image: {repository: ghcr.io/a/b, tag: v1}",
            "v2",
            Some("image: {repository: quay.io/c/d, tag: v2}"),
        ),
        ("values.yaml", "image: {registry: ghcr.io, repository: a/b, tag: v1}", "v2", None),
        (
            KUSTOMIZATION,
            "images:\n- name: x\n  newName: ghcr.io/a/b\n  newTag: v1\n",
            "v2",
            Some("images:\n- name: x\n  newName: quay.io/c/d\n  newTag: v2\n"),
        ),
        (
            KUSTOMIZATION,
            "images:\n- name: ghcr.io/a/b\n  newTag: v1\n",
            "v2",
            Some("images:\n- name: ghcr.io/a/b\n  newTag: v2\n  newName: quay.io/c/d\n"),
        ),
        (
            "a.yaml",
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {kustomize: {images: ['x=ghcr.io/a/b:v1']}}}",
            "v2@b",
            Some(
                "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {kustomize: {images: ['x=quay.io/c/d:v2@@b@']}}}",
            ),
        ),
    ] {
        let result = set_with(name, before, "ghcr.io/a/b", to, Some("quay.io/c/d"), OldDigest::Refuse);
        assert_eq!(result.clone().ok(), after.map(with_digests), "{before} {result:?}");
    }
    let bad = set_with("values.yaml", "image: a/b:v1", "a/b", "v2", Some("NOT A NAME"), OldDigest::Refuse);
    assert!(bad.unwrap_err().contains("not an image reference"));
    let odd = set_with("values.yaml", "image: a/b:v1", "a/b", "v2", Some("[::1]:5000/b"), OldDigest::Refuse);
    assert_eq!(odd.unwrap(), "image: \"[::1]:5000/b:v2\"");
}

#[test]
fn pins_of_other_bytes_are_refused() {
    let file = path("values.yaml");
    let text = "image: {repository: a/b, tag: v1}\nother: x\n";
    let scan = scan_file(&file, text.as_bytes());
    let edits = [PinEdit { pin: &scan.values[0], to: version("v2"), rename: None }];
    for other in [
        "",
        "# moved\nimage: {repository: a/b, tag: v1}\nother: x\n",
        "image: {repository: a/b, tag: v9}\nother: x\n",
        "image: {repository: a/b, tag: äää}\nother: x\n",
        "image: {repository: a/b, tag: [v1}\nother: x\n",
        "image: 'repository: a/b, tag : v1 '\nother: x\n",
        "# image: {repository: a/b, tg: v1}\n",
    ] {
        let result = edit(&file, other.as_bytes(), &edits);
        assert!(matches!(result, Err(EditError::Moved { .. } | EditError::Unproven { .. })), "{other}: {result:?}");
    }
    assert!(matches!(edit(&path("other.yaml"), text.as_bytes(), &edits), Err(EditError::Moved { .. })));
    assert!(matches!(edit(&file, b"\xff", &edits), Err(EditError::Unreadable { .. })));
    let twice = [edits[0].clone(), PinEdit { to: version("v3"), ..edits[0].clone() }];
    assert!(matches!(edit(&file, text.as_bytes(), &twice), Err(EditError::Refused { .. })));
    let same = [edits[0].clone(), edits[0].clone()];
    assert!(edit(&file, text.as_bytes(), &same).is_ok());
    assert_eq!(edit(&file, text.as_bytes(), &[]).unwrap(), text.as_bytes());
}

#[test]
fn large_files_are_proved_in_parts() {
    let one = |n: usize, tag: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}}}\nspec:\n  containers:\n  - image: a/b:{tag}\n"
        )
    };
    let file = |tag: &str| (0..5_000).map(|n| one(n, tag)).collect::<String>();
    let (before, after) = (file("v1"), file("v2@@b@"));
    assert_eq!(set("big.yaml", &before, "a/b", "v2@b").unwrap(), with_digests(&after));
    let (pins, _) = all(&scan_file(&path("big.yaml"), before.as_bytes()));
    assert_eq!(pins.len(), 5_000);
    assert_eq!(digest('b').as_str().len(), 71);
}
