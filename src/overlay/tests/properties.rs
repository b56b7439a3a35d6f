//! Properties over generated files and over arbitrary bytes.

use proptest::prelude::*;

use super::{path, version};
use crate::model::{Pin, Version};
use crate::overlay::{FileChange, PinEdit, PinIndex, edit, scan_file};

/// A generated file and its name.
#[derive(Debug, Clone)]
struct Sample {
    name: &'static str,
    text: String,
}

fn tag() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,2}",
        "v?[0-9]\\.[0-9]{1,2}",
        "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,12}",
        prop::sample::select(vec![
            "1.10",
            "0x1f",
            "1e3",
            "null",
            "on",
            "2024-01-01",
            "0o7",
            "1_000",
            "y",
            "0123",
            "latest"
        ])
        .prop_map(str::to_owned),
    ]
}

fn any_version() -> impl Strategy<Value = Version> {
    (tag(), prop::option::of(prop::sample::select(vec!["a", "b", "c"])))
        .prop_map(|(tag, digest)| version(&digest.map_or_else(|| tag.clone(), |digest| format!("{tag}@{digest}"))))
}

fn quoted(text: &str, style: u8) -> String {
    match style % 3 {
        // A plain null is no tag.
        0 if !text.eq_ignore_ascii_case("null") => text.to_owned(),
        1 => format!("'{text}'"),
        _ => format!("\"{text}\""),
    }
}

/// One place of every kind that the finders know, in a random dress.
fn place() -> impl Strategy<Value = (u8, String, u8, String, String)> {
    let noise = prop::sample::select(vec!["", " # a comment: 'with' \"marks\"", "   ", "\t# ä {x}", "  #"]);
    let extra = prop::sample::select(vec![
        "",
        "x: 1.10\n",
        "# ü\n\n",
        "y: [a, 'b', {c: d}]\n",
        "z: |\n  image: q:1\n   more\n",
        "\n",
    ]);
    (0_u8..4, tag(), any::<u8>(), noise.prop_map(str::to_owned), extra.prop_map(str::to_owned))
}

fn sample() -> impl Strategy<Value = Sample> {
    let shape = (prop::collection::vec(place(), 1..5), prop::bool::ANY, prop::bool::ANY, prop::bool::ANY, 0_u8..3);
    shape.prop_map(|(places, crlf, bom, last_newline, kind)| {
        let (name, mut text) = match kind {
            0 => ("a/kustomization.yaml", kustomization(&places)),
            1 => ("a/values.yaml", values(&places)),
            _ => ("a/objects.yaml", objects(&places)),
        };
        if !last_newline {
            text.truncate(text.trim_end().len());
        }
        if crlf {
            text = text.replace('\n', "\r\n");
        }
        Sample { name, text: if bom { format!("\u{feff}{text}") } else { text } }
    })
}

type Places = [(u8, String, u8, String, String)];

fn kustomization(places: &Places) -> String {
    let mut text = String::from("# head\nimages:\n");
    for (shape, tag, style, noise, _) in places {
        let tag = quoted(tag, *style);
        text.push_str(&match shape {
            0 => format!("- name: acme/web\n  newTag: {tag}{noise}\n"),
            1 => format!("  # c\n- newTag:   {tag}{noise}\n  newName: acme/web\n  name: x\n"),
            2 => format!("- {{name: acme/web, newTag: {tag}}}{noise}\n"),
            _ => format!("- \"name\" : acme/web\n  \"newTag\" : {tag}{noise}\n  digest: ''\n"),
        });
    }
    text
}

fn values(places: &Places) -> String {
    let mut text = String::new();
    for (n, (shape, tag, style, noise, extra)) in places.iter().enumerate() {
        text.push_str(&match shape {
            0 => format!("p{n}:\n  image:\n    repository: acme/web\n    tag: {}{noise}\n", quoted(tag, *style)),
            1 => format!("p{n}: {{image: {}}}{noise}\n", quoted(&format!("acme/web:{tag}"), *style)),
            2 => format!(
                "p{n}: {{sideImage: {{repository: acme/web, tag: {}, digest: \"\"}}}}{noise}\n",
                quoted(tag, *style)
            ),
            _ => format!("p{n}:\n- repository: 'acme/web'\n  tag: {}{noise}\n", quoted(tag, *style)),
        });
        text.push_str(
            &extra.replace("x:", &format!("x{n}:")).replace("y:", &format!("y{n}:")).replace("z:", &format!("z{n}:")),
        );
    }
    text
}

fn objects(places: &Places) -> String {
    let mut text = String::new();
    for (shape, tag, style, noise, _) in places {
        let reference = quoted(&format!("acme/web:{tag}"), *style);
        text.push_str("---\n");
        text.push_str(&match shape {
            0 => format!("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: {reference}{noise}\n"),
            1 => format!("{{apiVersion: v1, kind: Pod, spec: {{containers: [{{image: {reference}}}]}}}}{noise}\n"),
            2 => format!(
                "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source:\n    helm:\n      values: |\n        # c\n\n        \
                 image: {reference}{}\n", noise.replace('\t', " ")
            ),
            _ => format!("apiVersion: v1\nkind: X\nx: {reference} # {{\"$imagepolicy\": \"a:b\"}}\n"),
        });
    }
    text
}

/// All pins of a file, values included.
fn pins(name: &str, text: &[u8]) -> Vec<Pin> {
    let scan = scan_file(&path(name), text);
    let mut pins: Vec<Pin> = scan.pins.into_iter().chain(scan.values).collect();
    pins.sort_by_key(|pin| (pin.line, pin.column));
    pins
}

fn set_all(name: &str, text: &[u8], pins: &[Pin], to: impl Fn(usize) -> Version) -> Result<Vec<u8>, String> {
    let edits: Vec<_> = pins.iter().enumerate().map(|(n, pin)| PinEdit { pin, to: to(n), rename: None }).collect();
    edit(&path(name), text, &edits).map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Every generated place is found; an edit is read back by a new scan; lines and their number stay.
    #[test]
    fn an_edit_writes_what_it_says(sample in sample(), to in any_version()) {
        let before = pins(sample.name, sample.text.as_bytes());
        let places = sample.text.matches("acme/web").count();
        prop_assert_eq!(before.len(), places, "{}", sample.text);
        let after = set_all(sample.name, sample.text.as_bytes(), &before, |_| to.clone());
        let after = after.map_err(|error| TestCaseError::fail(format!("{error}\n{}", sample.text)))?;
        let again = pins(sample.name, &after);
        prop_assert_eq!(again.len(), before.len());
        for (was, is) in before.iter().zip(&again) {
            prop_assert_eq!(&is.version, &to, "{}", String::from_utf8_lossy(&after));
            prop_assert_eq!((&is.key, &is.image, is.kind), (&was.key, &was.image, was.kind));
        }
    }

    /// With tags only, everything outside the scalars is byte-identical, and going back gives the original where no
    /// quotes had to be added.
    #[test]
    fn an_edit_leaves_everything_else(sample in sample(), to in tag()) {
        let text = sample.text.as_bytes();
        let before = pins(sample.name, text);
        let after = set_all(sample.name, text, &before, |_| version(&to)).map_err(TestCaseError::fail)?;
        let again = pins(sample.name, &after);
        // Cut the scalars out of both texts: what remains is the same.
        prop_assert_eq!(without_scalars(text, &before), without_scalars(&after, &again));
        let back = set_all(sample.name, &after, &again, |n| before[n].version.clone()).map_err(TestCaseError::fail)?;
        let quoted = after.iter().filter(|b| **b == b'"').count() != text.iter().filter(|b| **b == b'"').count();
        if !quoted {
            let added = back.iter().filter(|b| **b == b'"').count() != text.iter().filter(|b| **b == b'"').count();
            prop_assert!(added || back == text, "{}\n{}", sample.text, String::from_utf8_lossy(&back));
        }
    }

    /// Whatever the bytes, a scan ends, and what it finds can be edited or is refused.
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for name in ["kustomization.yaml", "values.yaml", "x.json"] {
            let found = pins(name, &bytes);
            drop(set_all(name, &bytes, &found, |_| version("v1@a")));
        }
    }

    /// The same for texts made of the words and marks that YAML and the finders care about.
    #[test]
    fn arbitrary_yaml_never_panics(words in prop::collection::vec(prop::sample::select(vec![
        "image", "images", "tag", "name", "newTag", "digest", "repository", ": ", ":", "- ", "\n", "\n  ", "\n    ", "a:1", "v1", "\"", "'",
        "{", "}", "[", "]", ", ", "&a ", "*a", "<<: ", "|", ">", "# ", "# {\"$imagepolicy\": \"a:b:tag\"}", "---\n", "\r", "\t", "!x ", "? ",
        "apiVersion: v1\nkind: Pod\n", "containers", "{{", "}}", "\u{feff}", "ä", "sha256:",
    ]), 0..60)) {
        let text = words.concat();
        for name in ["kustomization.yaml", "values.yaml", "x.yaml"] {
            let found = pins(name, text.as_bytes());
            if let Ok(after) = set_all(name, text.as_bytes(), &found, |_| version("v1@a")) {
                prop_assert!(found.is_empty() || !after.is_empty());
            }
        }
        let mut index = PinIndex::new();
        index.update(vec![FileChange::File { path: path("values.yaml"), bytes: text.into_bytes() }]);
        drop(index.pins(&|_| true));
    }
}

/// The text without the scalars of pins.
fn without_scalars(text: &[u8], pins: &[Pin]) -> Vec<u8> {
    let mut spans = Vec::new();
    for pin in pins {
        spans.extend(pin.location.spans());
    }
    spans.sort();
    let (mut rest, mut at) = (Vec::new(), 0);
    for span in spans {
        rest.extend_from_slice(&text[at..span.start]);
        at = span.end;
    }
    rest.extend_from_slice(&text[at..]);
    rest
}
