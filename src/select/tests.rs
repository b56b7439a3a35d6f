//! Tables of what each order makes of tags, and properties that hold for all of them.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::number::{Decimal, compare_digits, compare_natural};
use super::range::RangeMatch;
use super::shape::Shape;
use super::version::ParsedVersion;
use super::*;

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

/// Entries of `tag` or `tag@2026-01-05T08:00:00Z`.
fn entries(listed: &[&str]) -> Vec<TagEntry> {
    let entry = |text: &&str| match text.split_once('@') {
        Some((name, time)) => TagEntry { tag: tag(name), created: Some(time.parse().unwrap()) },
        None => TagEntry { tag: tag(text), created: None },
    };
    listed.iter().map(entry).collect()
}

fn semver(range: &str) -> TagPolicy {
    TagPolicy::new(Order::Semver(VersionRange::parse(range).unwrap()))
}

fn filtered(policy: TagPolicy, pattern: &str, extract: Option<&str>) -> TagPolicy {
    TagPolicy { filter: Some(Filter::new(pattern, extract).unwrap()), ..policy }
}

fn run(policy: &TagPolicy, current: &str, listed: &[&str]) -> Selection {
    let current = (!current.is_empty()).then(|| tag(current));
    select(policy, current.as_ref(), &entries(listed))
}

/// The selected tag, `-` for none.
fn chosen(policy: &TagPolicy, current: &str, listed: &[&str]) -> String {
    run(policy, current, listed).selected.map_or("-".to_owned(), |selected| selected.tag.to_string())
}

fn reason(selection: &Selection, tag: &str) -> String {
    selection.rejected.iter().find(|it| it.tag == tag).map_or("(not rejected)".to_owned(), |it| it.reason.clone())
}

fn names(tags: &[Tag]) -> Vec<&str> {
    tags.iter().map(Tag::as_str).collect()
}

// ---- versions ------------------------------------------------------------------------------------------------------

#[test]
fn precedence_is_that_of_the_specification() {
    // Sections 11.2 and 11.4 of Semantic Versioning 2.0.0, then what it implies.
    let ascending = [
        "0.0.0-0",
        "0.0.0",
        "1.0.0-0",
        "1.0.0-2",
        "1.0.0-10",
        "1.0.0--",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "2.0.0",
        "2.1.0",
        "2.1.1",
        "2.1.9",
        "2.1.10",
        "99999999999999999999.0.0",
        "100000000000000000000.0.0",
        "100000000000000000000.0.1",
    ];
    for (low, left) in ascending.iter().enumerate() {
        for (high, right) in ascending.iter().enumerate() {
            let (a, b) = (ParsedVersion::parse(left).unwrap(), ParsedVersion::parse(right).unwrap());
            assert_eq!(a.cmp(&b), low.cmp(&high), "{left} and {right}");
        }
    }
}

#[test]
fn spellings_of_one_version_are_equal() {
    for (left, right) in [
        ("1.2.3", "v1.2.3"),
        ("1.2.3", "V1.2.3"),
        ("v2025.07.03", "2025.7.3"),
        ("1.2.3_build.5", "1.2.3"),
        ("1.2.3+build.5", "1.2.3_other"),
        ("1.2.3-rc.01", "1.2.3-rc.1"),
        ("1.2.3-rc.1_7", "1.2.3-rc.1"),
    ] {
        assert_eq!(ParsedVersion::parse(left).unwrap(), ParsedVersion::parse(right).unwrap(), "{left} and {right}");
    }
}

#[test]
fn what_is_no_version_says_why() {
    for (text, why) in [
        ("latest", "not a semantic version"),
        ("1", "not a semantic version (three parts)"),
        ("1.2", "not a semantic version (three parts)"),
        ("v1.2", "not a semantic version (three parts)"),
        ("917005", "not a semantic version (three parts)"),
        ("1.2.3.4", "not a semantic version (three parts)"),
        ("1.2-alpine", "not a semantic version (three parts)"),
        ("1.2.x", "not a semantic version"),
        ("1.2.", "not a semantic version"),
        ("1..2", "not a semantic version"),
        ("vv1.2.3", "not a semantic version"),
        ("v.1.2.3", "not a semantic version"),
        ("release-1.2.3", "not a semantic version"),
        ("main-1a2b3c4", "not a semantic version"),
        ("1.2.3rc1", "not a semantic version"),
    ] {
        assert_eq!(reason(&run(&semver("*"), "", &[text]), text), why, "{text}");
    }
    for text in ["1.2.3-", "1.2.3_", "1.2.3-a..b", "1.2.3-a.", "1.2.3-a_"] {
        assert!(ParsedVersion::parse(text).is_none(), "{text}");
    }
}

// ---- ranges --------------------------------------------------------------------------------------------------------

/// Range, versions inside, versions outside (prereleases that would need permission among them).
const RANGES: &[(&str, &[&str], &[&str])] = &[
    ("*", &["0.0.0", "9.9.9", "v1.2.3", "2025.07.03"], &["1.0.0-rc.1"]),
    ("x", &["0.0.0", "9.9.9"], &["1.0.0-rc.1"]),
    ("^1.2.3", &["1.2.3", "1.2.4", "1.9.0"], &["1.2.2", "2.0.0", "0.9.0", "1.3.0-rc.1", "2.0.0-rc.1"]),
    ("^1.2", &["1.2.0", "1.9.9"], &["1.1.9", "2.0.0"]),
    ("^1", &["1.0.0", "1.9.9"], &["0.9.9", "2.0.0"]),
    ("^0.2.3", &["0.2.3", "0.2.9"], &["0.2.2", "0.3.0", "1.0.0"]),
    ("^0.0.3", &["0.0.3"], &["0.0.2", "0.0.4", "0.1.0"]),
    ("^0.0", &["0.0.0", "0.0.9"], &["0.1.0"]),
    ("^0", &["0.0.0", "0.9.9"], &["1.0.0"]),
    ("^0.0.0", &["0.0.0"], &["0.0.1"]),
    ("^*", &["0.0.0", "7.0.0"], &[]),
    ("^1.x", &["1.0.0", "1.9.9"], &["2.0.0"]),
    ("~1.2.3", &["1.2.3", "1.2.9"], &["1.2.2", "1.3.0"]),
    ("~1.2", &["1.2.0", "1.2.9"], &["1.1.0", "1.3.0"]),
    ("~1", &["1.0.0", "1.9.9"], &["0.9.9", "2.0.0"]),
    ("~>1.2.3", &["1.2.3", "1.2.9"], &["1.3.0"]),
    ("~> 1.2", &["1.2.9"], &["1.3.0"]),
    ("1.2.3", &["1.2.3", "v1.2.3", "1.2.3_9"], &["1.2.4", "1.2.2"]),
    ("=1.2.3", &["1.2.3"], &["1.2.4"]),
    ("== 1.2.3", &["1.2.3"], &["1.2.4"]),
    ("v1.2.3", &["1.2.3"], &["1.2.4"]),
    ("1.2", &["1.2.0", "1.2.9"], &["1.3.0", "1.1.0"]),
    ("=1.2", &["1.2.0", "1.2.9"], &["1.3.0"]),
    ("1", &["1.0.0", "1.9.0"], &["2.0.0"]),
    ("1.x", &["1.0.0", "1.9.0"], &["2.0.0", "0.9.0"]),
    ("1.2.*", &["1.2.0", "1.2.9"], &["1.3.0"]),
    ("1.X.x", &["1.9.0"], &["2.0.0"]),
    (">1.2.3", &["1.2.4", "2.0.0"], &["1.2.3", "1.2.2"]),
    (">1.2", &["1.3.0", "2.0.0"], &["1.2.0", "1.2.9"]),
    (">1", &["2.0.0"], &["1.9.9"]),
    (">=1.2", &["1.2.0", "2.0.0"], &["1.1.9"]),
    (">= 1.2.0", &["1.2.0"], &["1.1.9"]),
    ("=>1.2.0", &["1.2.0"], &["1.1.9"]),
    ("<1.2.3", &["1.2.2", "0.0.1"], &["1.2.3", "1.2.4"]),
    ("<2", &["1.9.9"], &["2.0.0", "2.0.0-rc.1"]),
    ("<=1.4", &["1.4.9", "1.0.0"], &["1.5.0"]),
    ("=<1.4.0", &["1.4.0"], &["1.4.1"]),
    ("!=1.2.3", &["1.2.2", "1.2.4"], &["1.2.3"]),
    ("!= 1.2", &["1.3.0"], &["1.2.0", "1.2.9"]),
    (">=1.0 <2", &["1.0.0", "1.9.9"], &["0.9.9", "2.0.0"]),
    (">=1.0, <2", &["1.0.0", "1.9.9"], &["0.9.9", "2.0.0"]),
    (">=1.0,<2,!=1.5.0", &["1.0.0", "1.5.1"], &["1.5.0", "2.0.0"]),
    (">=1.0<2", &["1.0.0"], &["2.0.0"]),
    ("1.2 - 1.4", &["1.2.0", "1.4.9"], &["1.1.9", "1.5.0"]),
    ("1.2.3 - 1.4.5", &["1.2.3", "1.4.5"], &["1.2.2", "1.4.6"]),
    ("1.2.3 - 2", &["1.2.3", "2.9.9"], &["1.2.2", "3.0.0"]),
    ("v1.2 - v1.4", &["1.4.9"], &["1.5.0"]),
    ("1.x || 3.x", &["1.0.0", "3.1.0"], &["2.0.0", "4.0.0"]),
    ("1.x||>=2.5.0 <2.6.0||3", &["1.0.0", "2.5.5", "3.1.0"], &["2.0.0", "2.6.0"]),
    ("  ^1.2  ", &["1.2.0"], &["2.0.0"]),
    (">=2025.07", &["v2025.07.03", "2025.10.1"], &["2025.06.30"]),
    (">=99999999999999999999", &["100000000000000000000.0.0"], &["99999999999999999998.9.9"]),
    // A prerelease in a bound lets in the prereleases of those three numbers only.
    (">=1.2.3-beta.2", &["1.2.3-beta.2", "1.2.3-rc.1", "1.2.3", "1.9.0"], &["1.2.3-beta.1", "1.3.0-rc.1"]),
    ("^1.2.3-beta.2", &["1.2.3-beta.3", "1.5.0"], &["1.2.3-alpha", "1.5.0-rc.1", "2.0.0"]),
    ("~1.2.3-beta.2", &["1.2.3-beta.3", "1.2.9"], &["1.2.4-rc.1", "1.3.0"]),
    ("1.2.3-rc.1", &["1.2.3-rc.1"], &["1.2.3", "1.2.3-rc.2"]),
    ("1.0.0-rc.1 || ^2", &["1.0.0-rc.1", "2.1.0"], &["1.0.0-rc.2", "2.1.0-rc.1"]),
    ("!=1.2.3-rc.1", &["1.2.3"], &["1.2.3-rc.1", "1.2.3-rc.2"]),
    // `-0` in a lower bound lets in all; in an upper bound it only excludes.
    (">=1.0.0-0", &["1.0.0-alpha", "1.5.0-rc.1", "2.0.0"], &["0.9.0"]),
    (">=1.0.0-0 <2.0.0-0", &["1.5.0-rc.1"], &["2.0.0-rc.1", "2.0.0"]),
    (">=1.0.0 <2.0.0-0", &["1.5.0"], &["1.5.0-rc.1", "2.0.0-rc.1"]),
    ("^1.2-0", &["1.2.0-rc.1", "1.9.0-rc.1", "1.9.0"], &["2.0.0-rc.1"]),
    ("*-0", &["1.0.0-rc.1", "1.0.0"], &[]),
    ("1.x-0", &["1.0.0-rc.1", "1.0.0"], &["2.0.0-rc.1"]),
];

#[test]
fn ranges_mean_what_their_users_mean() {
    for (range, inside, outside) in RANGES {
        let parsed = VersionRange::parse(range).unwrap_or_else(|error| panic!("{range}: {error}"));
        let verdict = |text: &str| parsed.verdict(&ParsedVersion::parse(text).unwrap(), false);
        for text in *inside {
            assert_eq!(verdict(text), RangeMatch::Inside, "{text} in {range}");
        }
        for text in *outside {
            assert_ne!(verdict(text), RangeMatch::Inside, "{text} not in {range}");
        }
    }
}

#[test]
fn allowed_prereleases_stay_inside_the_bounds() {
    for (range, text, wanted) in [
        ("*", "1.0.0-rc.1", RangeMatch::Inside),
        ("^1.2", "1.2.0-rc.1", RangeMatch::Inside),
        ("^1.2", "2.0.0-rc.1", RangeMatch::Outside),
        ("~1.2", "1.3.0-rc.1", RangeMatch::Outside),
        ("1.x", "2.0.0-rc.1", RangeMatch::Outside),
        ("<2", "2.0.0-rc.1", RangeMatch::Outside),
        ("<2.0.0", "2.0.0-rc.1", RangeMatch::Inside),
        (">=1.0.0", "1.0.0-rc.1", RangeMatch::Outside),
        (">=1.0", "1.0.0-rc.1", RangeMatch::Inside),
        (">1", "2.0.0-rc.1", RangeMatch::Inside),
        ("1.2 - 1.4", "1.5.0-rc.1", RangeMatch::Outside),
    ] {
        let parsed = VersionRange::parse(range).unwrap();
        assert_eq!(parsed.verdict(&ParsedVersion::parse(text).unwrap(), true), wanted, "{text} in {range}");
    }
    let parsed = VersionRange::parse("^1").unwrap();
    assert_eq!(parsed.verdict(&ParsedVersion::parse("1.5.0-rc.1").unwrap(), false), RangeMatch::Prerelease);
}

#[test]
fn bad_ranges_point_at_the_place() {
    for (range, offset) in [
        ("", 0),
        ("  ", 0),
        ("latest", 0),
        (">=", 2),
        (">=1.2.3.4", 7),
        ("1.2.", 4),
        ("1.x.3", 4),
        ("^1.2 foo", 5),
        ("1.x ||", 6),
        ("|| 1.x", 0),
        ("1.x || || 2.x", 7),
        (">=1.0,", 6),
        ("1.x | 2.x", 4),
        ("1.2-1.4", 3),
        ("1.2.3-", 5),
        ("1.2.3-a..b", 5),
        ("1.2.3+", 6),
        ("1.2 -", 4),
        ("1.2 - ", 6),
        (">*", 0),
        ("<x", 0),
        ("!=*", 0),
        ("1.2.3é", 5),
        (">>1", 1),
    ] {
        let error = VersionRange::parse(range).expect_err(range);
        assert_eq!(error.offset, Some(offset), "{range}: {error}");
    }
    assert!(VersionRange::parse(&"1.x||".repeat(1000)).is_err());
}

// ---- semver policies -----------------------------------------------------------------------------------------------

#[test]
fn the_contracts_example() {
    let selection = run(&semver("*"), "1.2.3", &["latest", "1.2.3", "1.4.0", "1.3.1"]);
    assert_eq!(selection.selected, Some(Selected { tag: tag("1.4.0"), key: "1.4.0".into() }));
    assert_eq!(names(&selection.candidates), ["1.4.0", "1.3.1", "1.2.3"]);
    assert_eq!(selection.rejected, [Rejected { tag: "latest".into(), reason: "not a semantic version".into() }]);
    assert_eq!(selection.note, None);
}

#[test]
fn semver_never_goes_back() {
    for (range, current, listed, wanted) in [
        // Older, deleted, or outside the range: the current tag stays.
        ("*", "2.0.0", &["1.0.0", "1.9.9"][..], "2.0.0"),
        ("*", "1.2.3", &["1.2.3", "1.2.2"], "1.2.3"),
        ("1.x", "2.0.0", &["1.9.0", "2.0.0"], "2.0.0"),
        ("=1.9.0", "2.0.0", &["1.9.0"], "2.0.0"),
        ("*", "v2025.07.10", &["v2025.07.03", "v2025.7.9"], "v2025.07.10"),
        // Moving and four-part tags say enough to compare.
        ("*", "1.2", &["1.1.9"], "1.2"),
        ("*", "1.2", &["1.1.9", "1.2.0"], "1.2.0"),
        ("6.x", "7", &["6.2.1"], "7"),
        ("6.x", "7-alpine", &["6.2.1"], "7-alpine"),
        ("*", "1.2.3.4", &["1.2.3"], "1.2.3.4"),
        ("*", "1.2.3.4", &["1.2.3", "1.2.4"], "1.2.4"),
        ("*", "release-1.9.0", &["1.2.0"], "release-1.9.0"),
        ("*", "release-1.9.0", &["1.10.0"], "1.10.0"),
        // Words, hashes, long numbers and dates do not; the policy names what is wanted.
        ("*", "latest", &["1.1.9", "1.2.0", "latest"], "1.2.0"),
        ("*", "main-1a2b3c4", &["0.1.0"], "0.1.0"),
        ("*", "917005", &["0.1.0"], "0.1.0"),
        ("*", "2024-01-15", &["0.1.0"], "0.1.0"),
        // Nothing qualifies: not "up to date".
        ("5.x", "1.2.3", &["1.2.3", "1.3.0"], "-"),
        ("*", "1.2.3", &["latest"], "-"),
        ("*", "1.2.3", &[], "-"),
        ("*", "", &[], "-"),
    ] {
        assert_eq!(chosen(&semver(range), current, listed), wanted, "{range} from {current} in {listed:?}");
    }
}

#[test]
fn a_current_prerelease_may_move_on() {
    for (current, listed, wanted) in [
        ("1.2.0-rc.1", &["1.2.0-rc.1", "1.2.0-rc.2", "1.3.0-rc.1"][..], "1.2.0-rc.2"),
        ("1.2.0-rc.1", &["1.2.0-rc.2", "1.2.0"], "1.2.0"),
        ("1.2.0-rc.1", &["1.2.0-rc.2", "1.2.1"], "1.2.1"),
        ("1.2.0-rc.2", &["1.2.0-rc.1", "1.2.0-rc.2", "1.1.0"], "1.2.0-rc.2"),
        ("1.2.0", &["1.2.0", "1.2.1-rc.1"], "1.2.0"),
        ("", &["1.2.1-rc.1"], "-"),
    ] {
        assert_eq!(chosen(&semver("*"), current, listed), wanted, "from {current} in {listed:?}");
    }
    let selection = run(&semver("*"), "1.2.0-rc.2", &["1.2.0-rc.1", "1.3.0-rc.1", "1.2.0-rc.2"]);
    assert_eq!(reason(&selection, "1.2.0-rc.1"), order::PRERELEASE);
    assert_eq!(reason(&selection, "1.3.0-rc.1"), order::PRERELEASE);
    let all = TagPolicy { prereleases: true, ..semver("*") };
    assert_eq!(chosen(&all, "1.2.0", &["1.2.0", "1.2.1-rc.1"]), "1.2.1-rc.1");
}

#[test]
fn ties_are_broken_the_same_way_every_time() {
    for (current, listed, wanted) in [
        ("v1.2.3", &["1.3.0", "v1.3.0"][..], "v1.3.0"),
        ("1.2.3", &["1.3.0", "v1.3.0"], "1.3.0"),
        ("", &["v1.3.0", "1.3.0"], "1.3.0"),
        ("v1.3.0", &["1.3.0"], "v1.3.0"),
        ("1.3.0_1", &["1.3.0_1", "1.3.0_2"], "1.3.0_1"),
        ("1.2.0_1", &["1.3.0_9", "1.3.0_10"], "1.3.0_10"),
        ("v1.2.3", &["1.4.0", "v1.3.0"], "1.4.0"),
    ] {
        assert_eq!(chosen(&semver("*"), current, listed), wanted, "from {current} in {listed:?}");
    }
    let selection = run(&semver("*"), "v1.3.0", &["1.3.0", "v1.3.0", "1.2.0", "1.4.0"]);
    assert_eq!(names(&selection.candidates), ["1.4.0", "v1.3.0"]);
    assert_eq!(names(&selection.behind), ["1.3.0", "1.2.0"]);
}

// ---- filter, extract, ignore ---------------------------------------------------------------------------------------

#[test]
fn filters_keep_and_extract() {
    let alpine = filtered(semver("*"), r"^(?P<version>\d+\.\d+\.\d+)-alpine$", Some("$version"));
    let selection = run(&alpine, "1.2.0-alpine", &["1.3.0", "1.3.0-alpine", "1.2.9-alpine", "1.9.0-slim"]);
    assert_eq!(selection.selected, Some(Selected { tag: tag("1.3.0-alpine"), key: "1.3.0".into() }));
    assert_eq!(reason(&selection, "1.3.0"), "does not match the filter");
    // Current tags that the filter passes over still hold back what is older, but not what is equal.
    assert_eq!(chosen(&alpine, "1.9.0", &["1.3.0-alpine"]), "1.9.0");
    assert_eq!(chosen(&alpine, "1.3.0", &["1.3.0-alpine"]), "1.3.0-alpine");
    assert_eq!(chosen(&alpine, "latest", &["1.3.0-alpine"]), "1.3.0-alpine");

    let build = filtered(
        TagPolicy::new(Order::Numerical(Direction::Ascending)),
        "^main-[a-f0-9]+-(?P<ts>[0-9]+)$",
        Some("$ts"),
    );
    let listed = ["main-1a2b3c4-99", "main-ffffff0-100", "dev-1a2b3c4-101"];
    assert_eq!(chosen(&build, "", &listed), "main-ffffff0-100");

    let joined = filtered(semver("*"), r"^r(\d+)_(\d+)", Some("${1}.$2.0"));
    let selection = run(&joined, "", &["r1_2", "r1_10", "r1"]);
    assert_eq!(selection.selected, Some(Selected { tag: tag("r1_10"), key: "1.10.0".into() }));

    let odd = filtered(semver("*"), "^(x?)(.*)$", Some("$1"));
    let selection = run(&odd, "", &["1.2.3", "x1"]);
    assert_eq!(reason(&selection, "1.2.3"), "the extracted key is empty");
    assert_eq!(reason(&selection, "x1"), "its key `x` is not a semantic version");
}

#[test]
fn two_tags_with_one_key_are_a_tie() {
    let policy = filtered(semver("*"), r"^(\d+\.\d+\.\d+)-r\d+$", Some("$1"));
    let listed = ["1.2.3-r9", "1.2.3-r10", "1.2.3-r1"];
    assert_eq!(chosen(&policy, "", &listed), "1.2.3-r10");
    assert_eq!(chosen(&policy, "1.2.3-r9", &listed), "1.2.3-r9");
}

#[test]
fn bad_filters_point_at_the_place() {
    for (pattern, extract, offset) in [
        ("(", None, Some(0)),
        ("a[", None, Some(1)),
        ("a{2,1}", None, Some(1)),
        (r"\d+(?=x)", None, Some(3)),
        ("(a{1000}){1000}", None, None),
        ("(a)", Some("$2"), Some(0)),
        ("(a)", Some("x$1x"), Some(1)),
        ("(a)", Some("$1$"), Some(2)),
        ("(a)", Some("${1"), Some(0)),
        ("(a)", Some("${}"), Some(0)),
        ("(a)", Some("a"), Some(0)),
        ("(a)", Some("$$"), Some(0)),
        ("(a)", Some(""), Some(0)),
        ("(?P<n>a)", Some("$m"), Some(0)),
    ] {
        let error = Filter::new(pattern, extract).unwrap_err();
        assert_eq!(error.offset, offset, "{pattern} {extract:?}: {error}");
        assert!(!error.message.contains('\n'), "{error}");
    }
    assert!(Filter::new(&"a".repeat(3000), None).is_err());
    assert_eq!(
        Filter::new("(?P<version>a)(b)", Some("$major")).unwrap_err().message,
        "the pattern has no group `major`; it has $version, $2"
    );
    assert!(IgnoreGlob::new("[").is_err());
    assert!(IgnoreGlob::new("").is_err());
}

#[test]
fn ignored_tags_and_attachments_are_never_candidates() {
    let ignore = ["*-rc*", "nightly-?", "{a,b}*"].map(|glob| IgnoreGlob::new(glob).unwrap());
    let policy = TagPolicy { ignore: ignore.to_vec(), ..TagPolicy::new(Order::Alphabetical(Direction::Ascending)) };
    let hex = "a".repeat(64);
    let (bare, sig) = (format!("sha256-{hex}"), format!("sha256-{hex}.sig"));
    let listed =
        ["1.0-rc1", "nightly-1", "apple", "1.0", &bare, &sig, "sha256-0a.att", "sha512-0a.sbom", "sha-1a2b3c4"];
    let selection = run(&policy, "", &listed);
    assert_eq!(names(&selection.candidates), ["sha-1a2b3c4", "1.0"]);
    assert_eq!(reason(&selection, "1.0-rc1"), "ignored by `*-rc*`");
    assert_eq!(reason(&selection, &sig), "a signature, attestation or SBOM");
}

// ---- the other orders ----------------------------------------------------------------------------------------------

#[test]
fn alphabetical_takes_the_last() {
    let ascending = TagPolicy::new(Order::Alphabetical(Direction::Ascending));
    let descending = TagPolicy::new(Order::Alphabetical(Direction::Descending));
    let listed = ["b", "a", "c"];
    assert_eq!(chosen(&ascending, "", &listed), "c");
    assert_eq!(chosen(&descending, "", &listed), "a");
    assert_eq!(chosen(&ascending, "d", &listed), "d");
    assert_eq!(chosen(&descending, "A", &listed), "A");
    assert_eq!(chosen(&descending, "b", &listed), "a");
    let extracted = filtered(ascending, r"^RELEASE\.(.*)$", Some("$1"));
    assert_eq!(chosen(&extracted, "latest", &["RELEASE.2024", "RELEASE.2025"]), "RELEASE.2025");
}

#[test]
fn numerical_is_exact() {
    let ascending = TagPolicy::new(Order::Numerical(Direction::Ascending));
    for (listed, wanted) in [
        (&["9", "10"][..], "10"),
        (&["1.9", "1.10"], "1.9"),
        // Neighbours that a 64-bit float merges.
        (&["9007199254740993", "9007199254740992"], "9007199254740993"),
        (&["0.1", "0.10000000000000000001"], "0.10000000000000000001"),
        (&["99999999999999999999999999999998", "99999999999999999999999999999999"], "99999999999999999999999999999999"),
        (&["20240115", "latest", "1e9", "0xff"], "20240115"),
    ] {
        assert_eq!(chosen(&ascending, "", listed), wanted, "{listed:?}");
    }
    assert_eq!(chosen(&TagPolicy::new(Order::Numerical(Direction::Descending)), "", &["9", "10"]), "9");
    assert_eq!(chosen(&ascending, "007", &["7", "6"]), "007", "leading zeros make no number newer");
    assert_eq!(reason(&run(&ascending, "", &["v1"]), "v1"), "not a decimal number");
    for (left, right, wanted) in [
        ("-1", "1", Ordering::Less),
        ("-2", "-1", Ordering::Less),
        ("-0", "0", Ordering::Equal),
        ("+1", "1.000", Ordering::Equal),
        ("-0.5", "-0.25", Ordering::Less),
        ("001.50", "1.5", Ordering::Equal),
    ] {
        assert_eq!(Decimal::parse(left).unwrap().cmp(&Decimal::parse(right).unwrap()), wanted, "{left} {right}");
    }
    for text in ["", "-", ".5", "5.", "1.2.3", "1e3", "inf", "NaN", "1_000", "--1"] {
        assert!(Decimal::parse(text).is_none(), "{text}");
    }
}

#[test]
fn newest_build_does_not_trust_what_it_does_not_know() {
    let policy = TagPolicy::new(Order::NewestBuild);
    let listed = ["a@2026-01-03T00:00:00Z", "b@2026-01-02T00:00:00Z", "c", "d@2026-01-01T00:00:00Z"];
    let selection = run(&policy, "b", &listed);
    let key = "2026-01-03T00:00:00Z".to_owned();
    assert_eq!(selection.selected, Some(Selected { tag: tag("a"), key }));
    assert_eq!(names(&selection.candidates), ["a", "b"]);
    assert_eq!(names(&selection.behind), ["d"]);
    assert_eq!(reason(&selection, "c"), "its creation time is unknown");
    for (current, wanted) in [("", "a"), ("a", "a"), ("c", "c"), ("gone", "gone")] {
        assert_eq!(chosen(&policy, current, &listed), wanted, "from {current}");
    }
    assert!(run(&policy, "gone", &listed).note.unwrap().contains("creation time"));
    // A current tag that the policy passes over does not hold it back, unless it is known to be newer.
    let main = filtered(policy.clone(), "^main-", None);
    let listed = ["main-1@2026-01-02T00:00:00Z", "latest@2026-01-02T00:00:00Z", "dev@2026-01-03T00:00:00Z"];
    for (current, wanted) in [("gone", "main-1"), ("latest", "main-1"), ("dev", "dev")] {
        assert_eq!(chosen(&main, current, &listed), wanted, "from {current}");
    }
    let all = entries(&["main-1", "main-2@2026-01-02T00:00:00Z", "dev", "sha256-0a.sig"]);
    let tags = || all.iter().map(|entry| entry.tag.borrowed());
    let needs_created = |policy: &TagPolicy| needs_created(policy, tags(), &|| false).unwrap();
    assert_eq!(needs_created(&main).iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["main-1", "main-2"]);
    assert!(needs_created(&semver("*")).is_empty());
    assert_eq!(chosen(&policy, "", &["c", "d"]), "-");
}

#[test]
fn digest_follows_the_current_tag() {
    let policy = TagPolicy::new(Order::Digest);
    for (current, listed, wanted) in [
        ("latest", &["1.0.0", "latest"][..], "latest"),
        ("main", &["1.0.0"], "main"),
        ("main", &[], "main"),
        ("", &["a"], "-"),
    ] {
        assert_eq!(chosen(&policy, current, listed), wanted, "{current} in {listed:?}");
    }
    let selection = run(&policy, "latest", &["1.0.0", "latest"]);
    assert_eq!(names(&selection.candidates), ["latest"]);
    assert_eq!(reason(&selection, "1.0.0"), "not the tag that is followed");
}

// ---- shapes --------------------------------------------------------------------------------------------------------

#[test]
fn the_shape_of_the_current_tag_decides() {
    let policy = TagPolicy::new(Order::Shape);
    for (current, listed, wanted) in [
        ("1.2.3", &["1.2.3", "1.10.0", "v2.0.0", "1.11", "2", "3.0.0-alpine", "2024.1.15"][..], "1.10.0"),
        ("v3.0.0", &["3.1.0", "v3.0.0"], "v3.0.0"),
        ("v3.0.0", &["3.1.0", "v3.0.1"], "v3.0.1"),
        ("1.2", &["1.3.0", "1.10", "2", "1.2"], "1.10"),
        ("1.2.3.4", &["1.2.3.10", "1.2.4"], "1.2.3.10"),
        ("1.2.3-alpine", &["1.2.4", "1.2.5-alpine", "1.2.6-slim", "1.2.7-alpine3.19"], "1.2.5-alpine"),
        ("1.2.3-alpine3.18", &["1.2.4-alpine3.18", "1.2.5-alpine3.19"], "1.2.4-alpine3.18"),
        ("3.12-jdk17", &["3.13-jdk17", "3.14-jdk21"], "3.13-jdk17"),
        // Rebuild counters move, releases of a distribution do not.
        ("1.2.3-debian-12-r3", &["1.2.3-debian-12-r24", "1.2.4-debian-11-r0"], "1.2.3-debian-12-r24"),
        ("1.2.3-debian-12-r24", &["1.2.3-debian-12-r9", "1.2.4-debian-12-r0"], "1.2.4-debian-12-r0"),
        ("1.2.3-9", &["1.2.3-10", "1.2.4"], "1.2.3-10"),
        ("5.14-ls9", &["5.14-ls10", "2021.12-ls1"], "5.14-ls10"),
        ("1.2.3-build.9", &["1.2.3-build.10"], "1.2.3-build.10"),
        ("release-1.2.3", &["release-1.3.0", "1.9.0", "stable-1.4.0"], "release-1.3.0"),
        ("app-v1.2.3", &["app-v1.3.0", "api-v2.0.0"], "app-v1.3.0"),
        ("k8s-1.2.3", &["k8s-1.3.0", "k9s-1.4.0"], "k8s-1.3.0"),
        ("x86_64-1.2.3", &["x86_64-1.3.0"], "x86_64-1.3.0"),
        ("2024-01-15", &["2024-02-01", "2025-01-01-debug", "20250101"], "2024-02-01"),
        ("2024-01-15-9", &["2024-01-15-10"], "2024-01-15-10"),
        ("20240115", &["20240201", "99999999", "917005"], "20240201"),
        ("917005", &["917006", "20240201"], "917006"),
        ("1899", &["1900", "1901"], "1901"),
        ("42", &["43", "99999999999999999999"], "99999999999999999999"),
        ("build42", &["build43", "build100"], "build100"),
        ("jammy-20240111", &["jammy-20240212", "noble-20250101"], "jammy-20240212"),
        (
            "RELEASE.2024-01-15T10-20-30Z",
            &["RELEASE.2024-01-15T10-20-31Z", "RELEASE.2024-02-01T00-00-00Z.hotfix.1"],
            "RELEASE.2024-01-15T10-20-31Z",
        ),
        // Prereleases by the same rule as versions, whichever way they are spelled.
        ("1.2.3", &["1.2.4-rc1", "1.2.4.dev1", "1.2.4b1"], "-"),
        ("1.2.0-rc9", &["1.2.0-rc10", "1.3.0-rc1"], "1.2.0-rc10"),
        ("1.2.0-rc9-alpine", &["1.2.0-alpine", "1.2.0"], "1.2.0-alpine"),
        ("1.2.0-beta.3", &["1.2.0-rc.1", "1.2.0-alpha.9"], "1.2.0-rc.1"),
        ("1.2.0rc1", &["1.2.0rc2", "1.2.0"], "1.2.0"),
        // Older or gone.
        ("1.2.3", &["1.2.2", "1.0.0"], "1.2.3"),
        ("1.2.3", &["latest"], "-"),
        ("1.2.3", &[], "-"),
        // No order.
        ("latest", &["latest", "1.2.3", "stable"], "latest"),
        ("latest", &["1.2.3"], "latest"),
        ("main-1a2b3c4", &["main-1a2b3c4", "main-ffffff0", "main-1234567"], "main-1a2b3c4"),
        ("main-1234567", &["main-1234567", "main-7654321", "main-ffffff0"], "main-1234567"),
        ("20240115-abc123", &["20240115-abc123", "20240116-def456"], "20240115-abc123"),
        ("1.2.3-5-g1234567", &["1.2.3-6-g7654321"], "1.2.3-5-g1234567"),
        ("pr-41", &["pr-41", "pr-42"], "pr-41"),
        ("gh-123", &["gh-123", "gh-124"], "gh-123"),
        ("feature-123", &["feature-123", "feature-124"], "feature-123"),
        ("hotfix-1.2.3", &["hotfix-1.2.3", "hotfix-1.2.4"], "hotfix-1.2.3"),
        ("renovate-postgres-17", &["renovate-postgres-17", "renovate-postgres-18"], "renovate-postgres-17"),
        ("alpine3.18", &["alpine3.19", "alpine3.18"], "alpine3.18"),
        ("latest", &[], "-"),
    ] {
        assert_eq!(chosen(&policy, current, listed), wanted, "from {current} in {listed:?}");
    }
}

#[test]
fn a_shape_that_differs_says_how() {
    let policy = TagPolicy::new(Order::Shape);
    let listed = ["1.3.0", "v1.3", "v1.3.0-alpine", "v1.3.0-rc.1", "app-1.3.0", "v2024.1.1", "main-1a2b3c4", "latest"];
    let selection = run(&policy, "v1.2.3", &listed);
    for (tag, why) in [
        ("1.3.0", "lacks the leading `v` of the current tag"),
        ("v1.3", "has 2 numbers; the current tag has 3"),
        ("v1.3.0-alpine", "has the suffix `-alpine`, which the current tag does not have"),
        ("v1.3.0-rc.1", order::PRERELEASE),
        ("app-1.3.0", "starts with `app-`, the current tag with `v`"),
        ("v2024.1.1", "its numbers are not written like those of the current tag"),
        ("main-1a2b3c4", "holds what looks like a commit hash, which has no order"),
        ("latest", "has no version, number or date to order by"),
    ] {
        assert_eq!(reason(&selection, tag), why, "{tag}");
    }
    assert!(selection.selected.is_none(), "nothing qualifies, the current tag is not listed");
    let selection = run(&policy, "latest", &["1.2.3", "stable"]);
    assert!(selection.rejected.iter().all(|it| !it.reason.is_empty()));
    assert_eq!(selection.rejected.len(), 2);
    assert!(selection.note.unwrap().contains("no version, number or date"));
}

#[test]
fn of_a_long_list_only_the_best_are_kept() {
    let tags: TagList = (0..5000).map(|number| tag(&format!("1.{}.{}", number % 71, number))).collect();
    let selection = best(&semver("*"), Some(&tag("1.0.0")), &tags, |_| None, (3, &|| false)).unwrap();
    // 69, 140, … 4968 have the greatest minor but one; 4970 is the last of the greatest.
    assert_eq!(names(&selection.candidates), ["1.70.4969", "1.70.4898", "1.70.4827"]);
    let nothing = best(&semver(">=2"), Some(&tag("1.0.0")), &tags, |_| None, (3, &|| false)).unwrap();
    assert_eq!(nothing.commonest, Some(("outside the range `>=2`".to_owned(), 5000)));
    assert_eq!(nothing.rejected, []);
    // Where the time for matching is over, there is no answer rather than that of some tags.
    let asked = std::cell::Cell::new(0);
    let over = || asked.replace(asked.get() + 1) == 3;
    assert_eq!(best(&semver("*"), None, &tags, |_| None, (3, &over)), Err(TimeIsOver));
    assert_eq!(asked.get(), 4);
}

#[test]
fn duplicates_count_once() {
    let listed = ["a@2026-01-01T00:00:00Z", "b@2026-01-02T00:00:00Z", "a", "a@2026-01-03T00:00:00Z"];
    let selection = run(&TagPolicy::new(Order::NewestBuild), "", &listed);
    assert_eq!(names(&selection.candidates), ["a", "b"]);
    assert!(selection.rejected.is_empty());
}

#[test]
fn policies_are_equal_by_what_is_written() {
    let policy =
        || TagPolicy { ignore: vec![IgnoreGlob::new("a*").unwrap()], ..filtered(semver("^1"), "(a)", Some("$1")) };
    assert_eq!(policy(), policy());
    assert_ne!(policy(), TagPolicy { filter: Some(Filter::new("(a)", None).unwrap()), ..policy() });
    assert_ne!(policy(), TagPolicy { ignore: vec![IgnoreGlob::new("b*").unwrap()], ..policy() });
    assert!(format!("{:?}", policy()).contains("a*"));
}

// ---- properties ----------------------------------------------------------------------------------------------------

/// Tags of the kinds that registries hold, close enough together that ties and near misses are common.
fn any_tag() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "v?[0-2]\\.[0-3]\\.[0-3](-(rc|beta)\\.[0-2])?(-alpine|_[0-2])?",
        2 => "(v|release-|main-)?[0-9]{1,3}(\\.[0-9]{1,2})?",
        2 => "1\\.[0-2]\\.0-debian-1[12]-r[0-9]{1,2}",
        1 => "202[0-5]-0[1-9]-1[0-9]",
        1 => "(main-)?[0-9a-f]{7}",
        1 => "latest|main|sha256-[0-9a-f]{4}(\\.sig)?",
        1 => "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}",
    ]
}

fn any_listing() -> impl Strategy<Value = Vec<TagEntry>> {
    let entry = (any_tag(), proptest::option::of(0_i64..5)).prop_map(|(text, second)| TagEntry {
        tag: tag(&text),
        created: second.map(|second| Timestamp::from_second(second).unwrap()),
    });
    proptest::collection::vec(entry, 0..24)
}

fn any_policy() -> impl Strategy<Value = TagPolicy> {
    let order = prop_oneof![
        4 => proptest::sample::select(RANGES.iter().map(|(range, ..)| *range).collect::<Vec<_>>())
            .prop_map(|range| Order::Semver(VersionRange::parse(range).unwrap())),
        1 => Just(Order::Alphabetical(Direction::Ascending)),
        1 => Just(Order::Alphabetical(Direction::Descending)),
        1 => Just(Order::Numerical(Direction::Ascending)),
        1 => Just(Order::Numerical(Direction::Descending)),
        1 => Just(Order::NewestBuild),
        1 => Just(Order::Digest),
        4 => Just(Order::Shape),
    ];
    let filter = proptest::option::of(proptest::sample::select(vec![
        ("^v?(?P<version>[0-9.]+)", Some("$version")),
        ("[0-9]", None),
        ("^main-(.*)$", Some("$1")),
    ]));
    let ignore = proptest::sample::select(vec![None, Some("*-alpine")]);
    (order, filter, ignore, any::<bool>()).prop_map(|(order, filter, ignore, prereleases)| TagPolicy {
        order,
        filter: filter.map(|(pattern, extract)| Filter::new(pattern, extract).unwrap()),
        ignore: ignore.into_iter().map(|glob| IgnoreGlob::new(glob).unwrap()).collect(),
        prereleases,
    })
}

proptest! {
    #[test]
    fn the_best_are_the_first_of_all(policy in any_policy(), current in proptest::option::of(any_tag()), listing in any_listing(), count in 1_usize..5) {
        let current = current.as_deref().map(tag);
        let all = select(&policy, current.as_ref(), &listing);
        let tags: TagList = listing.iter().map(|entry| entry.tag.clone()).collect();
        let created = |tag: TagRef<'_>| listing.iter().filter(|entry| tag == entry.tag).filter_map(|entry| entry.created).max();
        let best = best(&policy, current.as_ref(), &tags, created, (count, &|| false)).unwrap();
        prop_assert_eq!(&best.selected, &all.selected);
        prop_assert_eq!(&best.note, &all.note);
        prop_assert_eq!(&best.commonest, &all.commonest);
        prop_assert_eq!(&best.candidates[..], &all.candidates[..count.min(all.candidates.len())]);
        prop_assert_eq!(best.rejected, []);
    }

    #[test]
    fn every_tag_is_accounted_for_once(policy in any_policy(), current in proptest::option::of(any_tag()), listing in any_listing()) {
        let current = current.as_deref().map(tag);
        let selection = select(&policy, current.as_ref(), &listing);
        let mut listed: Vec<String> = listing.iter().map(|entry| entry.tag.to_string()).collect();
        listed.sort();
        listed.dedup();
        let tags = selection.candidates.iter().chain(&selection.behind).map(Tag::to_string);
        let mut told: Vec<String> = tags.chain(selection.rejected.iter().map(|it| it.tag.clone())).collect();
        told.sort();
        prop_assert_eq!(listed, told);
        prop_assert!(selection.rejected.iter().all(|it| !it.reason.is_empty()));
    }

    #[test]
    fn the_listings_order_does_not_matter(policy in any_policy(), current in proptest::option::of(any_tag()), listing in any_listing(), turn in 0_usize..24) {
        let current = current.as_deref().map(tag);
        let selection = select(&policy, current.as_ref(), &listing);
        let mut other = listing.clone();
        other.reverse();
        other.rotate_left(turn.min(listing.len()));
        prop_assert_eq!(selection, select(&policy, current.as_ref(), &other));
    }

    #[test]
    fn what_is_selected_is_the_first_candidate_or_the_current_tag(policy in any_policy(), current in proptest::option::of(any_tag()), listing in any_listing()) {
        let current = current.as_deref().map(tag);
        let selection = select(&policy, current.as_ref(), &listing);
        let selected = selection.selected.map(|selected| selected.tag);
        match selection.candidates.first() {
            Some(best) => prop_assert_eq!(selected.as_ref(), Some(best)),
            None => prop_assert!(selected.is_none() || selected == current),
        }
        if listing.is_empty() && policy.order != Order::Digest {
            prop_assert_eq!(selected, None);
        }
    }

    #[test]
    fn nothing_older_than_the_current_tag_is_a_candidate(policy in any_policy(), current in any_tag(), listing in any_listing()) {
        let now = tag(&current);
        let selection = select(&policy, Some(&now), &listing);
        let time = |tag: &Tag| listing.iter().filter(|entry| entry.tag == *tag).filter_map(|entry| entry.created).max();
        let plain = policy.filter.is_none() && policy.ignore.is_empty();
        for candidate in &selection.candidates {
            let (old, new) = (current.as_str(), candidate.as_str());
            let older = match &policy.order {
                Order::Semver(_) if plain => ParsedVersion::parse(old).is_some_and(|now| ParsedVersion::parse(new).unwrap() < now),
                Order::Alphabetical(Direction::Ascending) if plain => new < old,
                Order::Alphabetical(Direction::Descending) if plain => new > old,
                Order::Numerical(Direction::Ascending) if plain => Decimal::parse(old).is_some_and(|now| Decimal::parse(new).unwrap() < now),
                Order::NewestBuild => time(&now).is_some_and(|now| time(candidate).unwrap() < now),
                Order::Shape if plain => Shape::of(old).is_ok_and(|now| Shape::of(new).unwrap() < now),
                Order::Digest => new != old,
                _ => false,
            };
            prop_assert!(!older, "{} after {}", new, old);
        }
    }

    #[test]
    fn choosing_again_changes_nothing(policy in any_policy(), current in proptest::option::of(any_tag()), listing in any_listing()) {
        // What was selected, written and read back must not be replaced: no flapping.
        let current = current.as_deref().map(tag);
        let Some(first) = select(&policy, current.as_ref(), &listing).selected else { return Ok(()) };
        let second = select(&policy, Some(&first.tag), &listing).selected.map(|selected| selected.tag);
        if let Some(second) = second {
            prop_assert_eq!(first.tag, second);
        }
    }

    #[test]
    fn small_numbers_agree_with_machine_arithmetic(left in -2000_i64..2000, right in -2000_i64..2000) {
        let (a, b) = (left.to_string(), right.to_string());
        prop_assert_eq!(Decimal::parse(&a).unwrap().cmp(&Decimal::parse(&b).unwrap()), left.cmp(&right));
        let decimal = |value: i64| format!("{}{}.{:02}", if value < 0 { "-" } else { "" }, value.abs() / 100, value.abs() % 100);
        let (a, b) = (decimal(left), decimal(right));
        prop_assert_eq!(Decimal::parse(&a).unwrap().cmp(&Decimal::parse(&b).unwrap()), left.cmp(&right));
        let (left, right) = (left.unsigned_abs(), right.unsigned_abs());
        prop_assert_eq!(compare_digits(&format!("00{left}"), &right.to_string()), left.cmp(&right));
    }

    #[test]
    fn natural_order_is_total(a in any_tag(), b in any_tag(), c in any_tag()) {
        prop_assert_eq!(compare_natural(&a, &b), compare_natural(&b, &a).reverse());
        prop_assert_eq!(compare_natural(&a, &b) == Ordering::Equal, a == b);
        if compare_natural(&a, &b).is_le() && compare_natural(&b, &c).is_le() {
            prop_assert!(compare_natural(&a, &c).is_le());
        }
    }

    #[test]
    fn versions_order_totally(a in any_tag(), b in any_tag(), c in any_tag()) {
        let (Some(x), Some(y), Some(z)) = (ParsedVersion::parse(&a), ParsedVersion::parse(&b), ParsedVersion::parse(&c)) else { return Ok(()) };
        prop_assert_eq!(x.cmp(&y), y.cmp(&x).reverse());
        if x <= y && y <= z {
            prop_assert!(x <= z);
        }
    }

    #[test]
    fn nothing_written_in_a_policy_panics(text in "\\PC{0,40}", more in "[v0-9xX*.<>=!~^|, +_a-]{0,30}") {
        for text in [&text, &more] {
            if let Err(error) = VersionRange::parse(text) {
                prop_assert!(error.offset.is_none_or(|at| text.is_char_boundary(at)), "{} at {:?}", text, error.offset);
            }
            drop(Filter::new(text, Some(&more)));
            drop(Filter::new("(a)(?P<b>c)", Some(text)));
            drop(IgnoreGlob::new(text));
            drop(Shape::of(text));
            let _: Option<ParsedVersion<'_>> = ParsedVersion::loose(text);
        }
    }
}

/// Cases after public reports: tags, the current one, what is selected, and a word of the note where the choice needs one.
#[test]
fn what_public_reports_broke() {
    for (tags, current, selected, note) in [
        (&["v1.30.4-k3s1", "v1.30.6-k3s2"][..], "v1.30.4-k3s1", "v1.30.6-k3s2", ""),
        (&["v1.30.4-rke2r1", "v1.30.4-rke2r3"], "v1.30.4-rke2r1", "v1.30.4-rke2r3", ""),
        (&["1.29.1-eksbuild.1", "1.29.1-eksbuild.2"], "1.29.1-eksbuild.1", "1.29.1-eksbuild.2", ""),
        (&["17.3.1-ce.0", "17.4.0-ce.1"], "17.3.1-ce.0", "17.4.0-ce.1", ""),
        (&["9.4-1214.1726694543", "9.4-1227.1726800000"], "9.4-1214.1726694543", "9.4-1227.1726800000", ""),
        (&["5.1.4", "5.2.3", "20.04.1"], "5.1.4", "5.2.3", ""),
        (&["5.1.4", "5.2.3", "20.04.1", "20.10.1", "21.1.0"], "5.1.4", "5.2.3", ""),
        (&["20.04.1", "20.10.2", "5.2.3"], "20.04.1", "20.10.2", ""),
        (&["v2025.07.03", "v2025.10.01"], "v2025.07.03", "v2025.10.01", ""),
        (
            &["18-jammy-full-v0.13.4", "18-jammy-full-v0.14.0", "20-jammy-full-v0.13.4"],
            "18-jammy-full-v0.13.4",
            "18-jammy-full-v0.13.4",
            "two versions",
        ),
        (&["17-vectorchord0.4.3", "18-vectorchord0.4.3"], "17-vectorchord0.4.3", "17-vectorchord0.4.3", "two versions"),
        (&["16-3.4", "17-3.4", "16-3.5"], "16-3.4", "16-3.4", "two versions"),
        (&["18-alpine3.19", "20-alpine3.19"], "18-alpine3.19", "20-alpine3.19", ""),
        (&["0.1.0-unstable0001", "0.1.0-unstable0002"], "0.1.0-unstable0001", "0.1.0-unstable0001", "looks newer"),
        (
            &["4.5.2-4.8.1-ubuntu22.04", "4.5.3-4.8.2-ubuntu22.04"],
            "4.5.2-4.8.1-ubuntu22.04",
            "4.5.2-4.8.1-ubuntu22.04",
            "looks newer",
        ),
        (&["1.27.1-alpine3.19", "1.28.0-alpine3.20"], "1.27.1-alpine3.19", "1.27.1-alpine3.19", "looks newer"),
        // A newer platform of the same version is a choice of its own.
        (&["1.27.1-alpine3.19", "1.27.1-alpine3.20"], "1.27.1-alpine3.19", "1.27.1-alpine3.19", ""),
        // Whatever keeps a greater version away, it is said.
        (&["1.27.1", "1.28.0-debug"], "1.27.1", "1.27.1", "looks newer"),
        (&["9.4-1214.1726694543", "9.5-1731517889"], "9.4-1214.1726694543", "9.4-1214.1726694543", "looks newer"),
        (&["16.4-bookworm", "17.0-trixie"], "16.4-bookworm", "16.4-bookworm", "looks newer"),
        (&["jammy-20240808", "jammy-20240911.1"], "jammy-20240808", "jammy-20240808", "looks newer"),
        (&["v1.2.3", "1.3.0"], "v1.2.3", "v1.2.3", "looks newer"),
        (&["1.2.3", "v1.3.0"], "1.2.3", "1.2.3", "looks newer"),
        (&["2.10.0-alpine", "2.11.0"], "2.10.0-alpine", "2.10.0-alpine", "looks newer"),
        (&["3.19", "3.20.1"], "3.19", "3.19", "looks newer"),
        (&["2024.9.1", "2024.10.01"], "2024.9.1", "2024.9.1", "looks newer"),
        (
            &["2019-CU18-ubuntu-20.04", "2019-CU27-ubuntu-20.04"],
            "2019-CU18-ubuntu-20.04",
            "2019-CU18-ubuntu-20.04",
            "looks newer",
        ),
        // Another scheme, a floating tag, a prerelease or a hash is nothing newer, and neither is the same version elsewhere.
        (&["1.2.3", "20240101", "2", "latest"], "1.2.3", "1.2.3", ""),
        (&["1.2.3", "1.3.0-rc1", "1.2.3-alpine", "v1.2.3", "1234567"], "1.2.3", "1.2.3", ""),
        (&["3", "3.20.1"], "3", "3", ""),
        (&["1.0.0-rc9", "1.0.0-rc10"], "1.0.0-rc9", "1.0.0-rc10", ""),
    ] {
        let selection = run(&TagPolicy::new(Order::Shape), current, tags);
        let said = selection.note.clone().unwrap_or_default();
        assert_eq!(selection.selected.map(|it| it.tag.to_string()).as_deref(), Some(selected), "{current}: {said}");
        assert_eq!(said.is_empty(), note.is_empty(), "{current}: {said}");
        assert!(said.contains(note), "{current}: {said}");
    }
    for (tags, current) in [
        (&["7.2.3-alpine", "7.2.4-alpine"][..], "7.2.3-alpine"),
        (&["1.0.0-rc9", "1.0.0-rc10"], "1.0.0-rc9"),
        // Another base system is another image.
        (&["7.2.4-alpine", "7.4.0-alpine", "7.4.0"], "7.2.4-alpine"),
        (&["7.2.4-alpine3.19", "7.4.0-alpine3.20", "7.4.0", "7.5.0-bookworm"], "7.2.4-alpine3.19"),
    ] {
        let selection = run(&TagPolicy::new(Order::Semver(VersionRange::parse("*").unwrap())), current, tags);
        assert_eq!(selection.selected.unwrap().tag.as_str(), current);
        assert!(selection.note.unwrap().contains("looks newer"), "{current}");
    }
}

#[test]
fn a_tag_that_the_policy_passes_over_is_adopted_only_where_an_order_says_so() {
    let filtered = |order: Order, filter: &str, extract: Option<&str>| TagPolicy {
        filter: Some(Filter::new(filter, extract).unwrap()),
        ..TagPolicy::new(order)
    };
    let ascending = Order::Alphabetical(Direction::Ascending);
    let semver = || Order::Semver(VersionRange::parse("*").unwrap());
    for (policy, current, adopts) in [
        (filtered(ascending.clone(), "^prod-", None), "pr-1207-abc", true),
        (filtered(ascending, "^prod-", None), "prod-100-abc", false),
        (filtered(Order::Numerical(Direction::Ascending), "^prod-(\\d+)-", Some("$1")), "pr-1207-abc", true),
        (filtered(Order::NewestBuild, "^prod-", None), "pr-1207-abc", true),
        (filtered(semver(), "^v(.*)$", Some("$1")), "latest", true),
        (filtered(semver(), "^v(.*)$", Some("$1")), "1.0.0", false),
    ] {
        let selection = run(&policy, current, &["prod-100-abc", "prod-120-def", "v1.4.0", current]);
        let moved = selection.selected.as_ref().is_some_and(|it| it.tag.as_str() != current);
        assert_eq!(selection.adopts && moved, adopts && moved, "{current} {selection:?}");
        assert_eq!(selection.adopts, adopts, "{current} {selection:?}");
        assert_eq!(passes_over(&policy, &Tag::parse(current).unwrap()), adopts, "{current}: known without a listing");
    }
}

/// Versions of a chart.
const CHART_VERSIONS: [&str; 22] = [
    "0.0.3",
    "0.0.4",
    "0.1.0",
    "0.2.3",
    "0.2.9",
    "0.3.0",
    "1.0.0-rc.1",
    "1.0.0",
    "1.2.0-rc.1",
    "1.2.0",
    "1.2.3",
    "1.2.4-beta.2",
    "1.2.4",
    "1.2.9",
    "1.3.0-alpha.1",
    "1.3.0",
    "1.4.0",
    "1.10.2+up3.1.0",
    "2.0.0-rc.1",
    "2.0.0",
    "2.1.0",
    "3.0.0-alpha.1",
];

/// What Masterminds/semver 3.5.0 selects among them, which Helm 4.3 reads ranges with.
const GREATEST: &[(&str, Option<&str>)] = &[
    ("*", Some("2.1.0")),
    ("x", Some("2.1.0")),
    ("1", Some("1.10.2+up3.1.0")),
    ("1.x", Some("1.10.2+up3.1.0")),
    ("1.2", Some("1.2.9")),
    ("1.2.x", Some("1.2.9")),
    ("1.*", Some("1.10.2+up3.1.0")),
    ("v1.2", Some("1.2.9")),
    ("~1", Some("1.10.2+up3.1.0")),
    ("~1.2", Some("1.2.9")),
    ("~1.2.3", Some("1.2.9")),
    ("~>1.2", Some("1.2.9")),
    ("^1", Some("1.10.2+up3.1.0")),
    ("^1.2", Some("1.10.2+up3.1.0")),
    ("^1.2.4", Some("1.10.2+up3.1.0")),
    ("^0", Some("0.3.0")),
    ("^0.2", Some("0.2.9")),
    ("^0.2.3", Some("0.2.9")),
    ("^0.0.3", Some("0.0.3")),
    ("~0.0.3", Some("0.0.4")),
    ("0.x", Some("0.3.0")),
    ("=1.2.3", Some("1.2.3")),
    (">=1 <2", Some("1.10.2+up3.1.0")),
    (">=1, <2", Some("1.10.2+up3.1.0")),
    (">=1.0.0 <1.3.0", Some("1.2.9")),
    (">1.2", Some("2.1.0")),
    ("<=1.2", Some("1.2.9")),
    ("<1.3", Some("1.2.9")),
    ("<2", Some("1.10.2+up3.1.0")),
    (">=1.2.3", Some("2.1.0")),
    ("!=2.1.0", Some("2.0.0")),
    ("1.2 - 1.4", Some("1.4.0")),
    ("1.2.3 - 1.4.0", Some("1.4.0")),
    ("^1.2 || ^2.0", Some("2.1.0")),
    (">=1.0.0-0", Some("3.0.0-alpha.1")),
    ("*-0", Some("3.0.0-alpha.1")),
    (">=1.0.0-0 <2", Some("2.0.0-rc.1")),
    ("^1.0.0-0", Some("1.10.2+up3.1.0")),
    ("~1.2.0-0", Some("1.2.9")),
    ("<2.0.0-0", Some("1.10.2+up3.1.0")),
    (">=1.2.4-beta.1", Some("3.0.0-alpha.1")),
    (">=1.2.4-beta.1 <1.3", Some("1.3.0-alpha.1")),
    ("1.x-0", Some("1.10.2+up3.1.0")),
    ("1.2-0", Some("1.2.9")),
    ("<=2-0", Some("2.1.0")),
    (">=3", None),
    ("9.x", None),
    ("1.3.0-alpha.1 - 2", Some("2.1.0")),
    (">=1.2.0-rc.1 <1.2.1", Some("1.2.0")),
    ("^2.0.0-0 || ^0.2", Some("2.1.0")),
    ("!=1.2", Some("2.1.0")),
    (">= 1.2.3 < 1.3", Some("1.2.9")),
];

#[test]
fn a_chart_s_range_is_read_as_helm_reads_it() {
    let entries: Vec<TagEntry> =
        CHART_VERSIONS.iter().map(|text| TagEntry { tag: Tag::parse(text).unwrap(), created: None }).collect();
    let greatest = |range: VersionRange| {
        let selection = select(&TagPolicy::new(Order::Semver(range)), None, &entries);
        selection.selected.map(|selected| selected.tag.to_string())
    };
    for (range, expected) in GREATEST {
        assert_eq!(greatest(VersionRange::of_chart(range).unwrap()).as_deref(), *expected, "{range}");
    }
    for (range, within, prereleases, expected) in [
        ("1.x", "^1.2 <1.4", false, Some("1.3.0")),
        ("*-0", "^1.0", false, Some("1.10.2+up3.1.0")),
        ("*-0", "<1.3.0", false, Some("1.2.9")),
        ("*-0", ">=1.3.0-alpha.1 <1.3.0", true, Some("1.3.0-alpha.1")),
        ("1.x", "^2", false, None),
    ] {
        let both = VersionRange::of_chart(range).unwrap().within(VersionRange::parse(within).unwrap(), prereleases);
        assert_eq!(greatest(both).as_deref(), expected, "{range} within {within}");
    }
}
