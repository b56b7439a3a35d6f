//! Globs against paths and images.

use proptest::prelude::*;

use super::*;

fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap()
}

#[test]
fn patterns_match_what_they_say() {
    for (pattern, yes, no) in [
        ("apps/**", vec!["apps/a", "apps/a/b/c.yaml"], vec!["apps", "app/a", "x/apps/a"]),
        ("**", vec!["a", "a/b"], vec![]),
        ("**/prod/**", vec!["prod/a", "x/prod/a", "x/y/prod/z/a"], vec!["prod", "xprod/a", "x/prods/a"]),
        ("**/values.yaml", vec!["values.yaml", "a/b/values.yaml"], vec!["a/xvalues.yaml", "values.yaml/a"]),
        ("a/**/b", vec!["a/b", "a/x/b", "a/x/y/b"], vec!["ab", "a/xb", "b"]),
        ("apps/*/x.yaml", vec!["apps/web/x.yaml"], vec!["apps/x.yaml", "apps/a/b/x.yaml"]),
        ("a/v?.yaml", vec!["a/v1.yaml"], vec!["a/v.yaml", "a/v12.yaml", "a/v/.yaml"]),
        ("a/[a-c]x", vec!["a/ax", "a/cx"], vec!["a/dx", "a/x"]),
        ("a/[!a-c]x", vec!["a/dx"], vec!["a/ax", "a//x"]),
        ("a/[]-]x", vec!["a/]x", "a/-x"], vec!["a/ax"]),
        ("a[.-9]b", vec!["a1b", "a.b"], vec!["a/b"]),
        ("a/{dev,stag*}/b", vec!["a/dev/b", "a/staging/b"], vec!["a/prod/b", "a/devx/b"]),
        ("a/{x,{y,z}}", vec!["a/x", "a/y", "a/z"], vec!["a/{y", "a/w"]),
        (r"a/\*\{x", vec!["a/*{x"], vec!["a/b{x"]),
        ("a.b/(c)+|^$", vec!["a.b/(c)+|^$"], vec!["aXb/(c)+|^$", "a.b/cc"]),
        ("./a/b", vec!["a/b"], vec!["x/a/b"]),
        ("ä/*", vec!["ä/ö"], vec!["a/ö"]),
    ] {
        let parsed = PathPattern::parse(pattern).unwrap();
        for text in yes {
            assert!(parsed.matches(&path(text)).is_some(), "{pattern} should match {text}");
        }
        for text in no.into_iter().filter_map(|text| RepoPath::parse(text).ok()) {
            assert!(parsed.matches(&text).is_none(), "{pattern} should not match {text}");
        }
    }
}

#[test]
fn captures_and_overlays() {
    for (pattern, file, captures, overlay) in [
        ("apps/{app}/overlays/dev/**", "apps/web/overlays/dev/a/k.yaml", "app=web", "apps/web/overlays/dev"),
        ("apps/{app}/overlays/{env}/**", "apps/web/overlays/prod/k.yaml", "app=web env=prod", "apps/web/overlays/prod"),
        ("charts/{app}/values-{env}.yaml", "charts/web/values-dev.yaml", "app=web env=dev", "charts/web/values-dev"),
        ("**/values-{env}.yaml", "charts/web/values-dev.yaml", "env=dev", "charts/web/values-dev"),
        ("apps/{app}/x.yaml", "apps/web/x.yaml", "app=web", "apps/web"),
        ("**", "apps/web/x.yaml", "", "apps/web"),
        ("**", "x.yaml", "", ""),
        ("**/prod/**", "clusters/prod/web/x.yaml", "", "clusters/prod/web"),
        ("apps/**", "apps/web/dev/x.yaml", "", "apps/web/dev"),
        ("clusters/{env}/**", "clusters/dev/web/x.yaml", "env=dev", "clusters/dev/web"),
        ("apps/**/prod/**", "apps/web/prod/base/x.yaml", "", "apps/web/prod/base"),
        ("{app}-{env}/**", "web-api-prod/x.yaml", "app=web-api env=prod", "web-api-prod"),
        ("apps/{app}/{dev,test}/**", "apps/web/test/a/x.yaml", "app=web", "apps/web/test"),
        ("{env}.yaml", "dev.yaml", "env=dev", "dev"),
    ] {
        let found = PathPattern::parse(pattern).unwrap().matches(&path(file)).unwrap();
        let shown: Vec<String> = found.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!((shown.join(" ").as_str(), found.overlay.as_str()), (captures, overlay), "{pattern}");
    }
}

#[test]
fn a_pattern_that_would_take_much_memory_is_refused() {
    // Compiled to regular expressions, such patterns of a repository took gigabytes.
    let sizes = ["a", "?", "{a}", "**/*.{yaml,yml}"].map(|text| PathPattern::parse(text).unwrap().program.bytes());
    assert!(sizes.iter().all(|bytes| *bytes < 1_000), "{sizes:?}");
    assert!(PathPattern::parse(&"?".repeat(1_000)).unwrap().program.bytes() < 20_000);
    assert!(PathPattern::parse(&"*a".repeat(500)).unwrap_err().reason.contains("too complex"));
    assert!(PathPattern::parse(&"a".repeat(MAX_PATTERN + 1)).unwrap_err().reason.contains("longer than"));
}

#[test]
fn only_a_segment_with_a_name_in_it_names_files() {
    for (pattern, names) in [
        ("charts/web/values-{env}.yaml", true),
        ("charts/*/values-*.yaml", true),
        ("**/values.yaml", true),
        ("envs/{env}.yaml", true),
        ("apps/**", false),
        ("apps/*", false),
        ("apps/*.yaml", false),
        ("apps/?.yaml", false),
    ] {
        assert_eq!(PathPattern::parse(pattern).unwrap().names_files(), names, "{pattern}");
    }
}

#[test]
fn images_match_by_their_normalised_and_their_short_name() {
    for (pattern, image, matches) in [
        ("registry.example.com/**", "registry.example.com/acme/web", true),
        ("registry.example.com/*", "registry.example.com/acme/web", false),
        ("registry.example.com:5000/**", "registry.example.com:5000/acme/web", true),
        ("registry.example.com:5000/**", "registry.example.com/acme/web", false),
        ("nginx", "nginx", true),
        ("library/nginx", "docker.io/library/nginx", true),
        ("docker.io/**", "acme/web", true),
        ("acme/*", "acme/web", true),
        ("acme/*", "ghcr.io/acme/web", false),
        ("nginx", "ghcr.io/nginx", false),
        ("**", "ghcr.io/acme/web", true),
        ("ghcr.io/{acme,umbrella}/*", "ghcr.io/umbrella/x", true),
    ] {
        let image = ImageName::parse(image).unwrap();
        assert_eq!(ImagePattern::parse(pattern).unwrap().matches(&image), matches, "{pattern} {image}");
    }
}

proptest! {
    /// Whatever is written, parsing ends in a pattern or a reason, and matching in an answer.
    #[test]
    fn no_pattern_panics(pattern in r"[a-c*?\[\]{},!^/\\.\-ä]{0,24}", file in "[a-c/.ä]{1,16}") {
        if let (Ok(pattern), Ok(file)) = (PathPattern::parse(&pattern), RepoPath::parse(&file)) {
            drop(pattern.matches(&file));
        }
        drop(ImagePattern::parse(&pattern));
    }

    /// Text without special characters matches itself and nothing else.
    #[test]
    fn plain_text_is_literal(text in "[a-z(|)+^$.]{1,8}(/[a-z(|)+^$.]{1,8}){0,3}", other in "[a-z(|)+^$./]{1,20}") {
        if let (Ok(pattern), Ok(itself)) = (PathPattern::parse(&text), RepoPath::parse(&text)) {
            prop_assert!(pattern.matches(&itself).is_some());
            if let Ok(path) = RepoPath::parse(&other) {
                prop_assert_eq!(pattern.matches(&path).is_some(), other == text);
            }
        }
    }
}

/// What a pattern is as a regular expression: the meaning that it is documented to have.
mod reference {
    use std::collections::BTreeMap;

    pub(super) fn compiled(pattern: &str) -> regex::Regex {
        let segments: Vec<&str> = pattern.split('/').collect();
        let last = segments.len() - 1;
        let anchored = last > 0 && segments.iter().position(|segment| *segment == "**") == Some(last);
        let mut regex = String::from(if anchored { "^(?P<__anchor>" } else { "^" });
        for (index, one) in segments.iter().enumerate() {
            match (*one == "**", index == last) {
                (true, true) => regex += ".+",
                (true, false) => regex += "(?:.+/)?",
                (false, at_end) => {
                    regex += &segment(one);
                    regex += if anchored && index + 1 == last { ")" } else { "" };
                    regex += if at_end { "" } else { "/" };
                }
            }
        }
        regex += "$";
        regex::RegexBuilder::new(&regex).dot_matches_new_line(true).build().unwrap()
    }

    pub(super) fn matches(regex: &regex::Regex, path: &str) -> Option<BTreeMap<String, String>> {
        let found = regex.captures(path)?;
        let names = regex.capture_names().flatten();
        let text = |name: &str| Some((name.to_owned(), found.name(name)?.as_str().to_owned()));
        Some(names.filter_map(text).collect())
    }

    /// Of the pieces that the test below puts together.
    fn segment(text: &str) -> String {
        let (mut regex, mut chars, mut depth) = (String::new(), text.chars().peekable(), 0);
        while let Some(c) = chars.next() {
            match c {
                '*' => regex += "[^/]*",
                '?' => regex += "[^/]",
                '[' => {
                    let except = chars.next_if_eq(&'!').is_some();
                    let members: String = chars.by_ref().take_while(|c| *c != ']').collect();
                    regex += &if except { format!("[^/{members}]") } else { format!("[{members}--[/]]") };
                }
                '{' if chars.peek().is_some_and(char::is_ascii_uppercase) => {
                    let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                    regex += &format!("(?P<{name}>[^/]+)");
                }
                '{' => {
                    depth += 1;
                    regex += "(?:";
                }
                ',' if depth > 0 => regex.push('|'),
                '}' => {
                    depth -= 1;
                    regex.push(')');
                }
                c => regex += &regex::escape(c.encode_utf8(&mut [0; 4])),
            }
        }
        regex
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Matches and captures are those of the regular expression.
    #[test]
    fn patterns_are_matched_as_greedy_regular_expressions(
        segments in prop::collection::vec(
            prop_oneof![
                2 => Just("**".to_owned()),
                8 => "(a|b|-|ä|\\*b|a\\*|\\?|\\[ab\\]|\\[!a\\]|\\[\\.-b\\]|\\{a,bb\\}|\\{a,\\{b,a\\*\\},\\?b\\}|\\{A\\}|\\{B\\}){1,4}",
            ],
            1..5,
        ),
        paths in prop::collection::vec("(a|b|-|ä|/){1,12}", 12),
    ) {
        let text = segments.join("/");
        // Two wildcards in a row are no segment's, and a name is captured once.
        if let Ok(pattern) = PathPattern::parse(&text) {
            let regex = reference::compiled(&text);
            for path in paths.iter().filter_map(|path| RepoPath::parse(path).ok()) {
                let found = pattern.matches(&path).map(|found| {
                    let anchor = found.anchor.map(|anchor| ("__anchor".to_owned(), anchor));
                    found.values.into_iter().chain(anchor).collect()
                });
                prop_assert_eq!(found, reference::matches(&regex, path.as_str()), "{} of {}", text, path);
            }
        }
    }
}
