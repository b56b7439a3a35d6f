//! The cache on real files: what it keeps, what it forgets, and what damage does to it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use landfall::model::{Digest, ImageName, Listing, Manifest, Tag, TagRef, Validators};
use landfall::store::{Entry, Store, StoreError};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn image(name: &str) -> ImageName {
    ImageName::parse(name).unwrap()
}

fn tag(name: &str) -> Tag {
    Tag::parse(name).unwrap()
}

fn listing(tags: &[&str], second: i64) -> Listing {
    let tags = tags.iter().map(|name| tag(name)).collect();
    Listing { tags: Arc::new(tags), dropped: 2, at: at(second) }
}

fn manifest(created: Option<i64>) -> Manifest {
    Manifest {
        images: Vec::new(),
        digest: Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap(),
        platforms: vec!["linux/amd64".to_owned()],
        created: created.map(at),
        artifact: None,
        annotations: BTreeMap::from([("org.opencontainers.image.source".to_owned(), "https://x".to_owned())]),
    }
}

fn ages(store: &Store, name: &str) -> Vec<(String, Option<i64>)> {
    let (listing, _) = store.listing(&image(name)).unwrap();
    let age = |tag: TagRef<'_>| listing.tags.appeared(&tag.to_tag()).map(Timestamp::as_second);
    listing.tags.iter().map(|tag| (tag.to_string(), age(tag))).collect()
}

fn pairs(expected: &[(&str, Option<i64>)]) -> Vec<(String, Option<i64>)> {
    expected.iter().map(|(name, age)| ((*name).to_owned(), *age)).collect()
}

#[test]
fn listings_come_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/cache.redb");
    let asked = Validators { etag: Some("\"x\"".to_owned()), last_modified: None };
    {
        let store = Store::open(&path).unwrap();
        assert_eq!(store.listing(&image("r.example.com/a")), None);
        store.put_listing(&image("r.example.com/a"), &listing(&["v2", "v1"], 100), Some(&asked)).unwrap();
        store.put_listing(&image("r.example.com/b"), &listing(&[], 100), None).unwrap();
    }
    let store = Store::open(&path).unwrap();
    assert_eq!(store.note(), None);
    assert_eq!(store.listing(&image("r.example.com/a")), Some((listing(&["v2", "v1"], 100), Some(asked))));
    assert_eq!(store.listing(&image("r.example.com/b")), Some((listing(&[], 100), None)));
    assert_eq!(store.listing(&image("r.example.com/c")), None);
}

#[test]
fn only_tags_after_the_first_listing_have_an_age() {
    let store = Store::in_memory().unwrap();
    let name = "r.example.com/a";
    store.put_listing(&image(name), &listing(&["v1"], 100), None).unwrap();
    assert_eq!(ages(&store, name), pairs(&[("v1", None)]));
    store.put_listing(&image(name), &listing(&["v1", "v2"], 200), None).unwrap();
    // Seen again later: the age does not change.
    store.put_listing(&image(name), &listing(&["v1", "v2", "v3"], 300), None).unwrap();
    store.put_listing(&image(name), &listing(&["v1", "v2", "v3"], 400), None).unwrap();
    assert_eq!(ages(&store, name), pairs(&[("v1", None), ("v2", Some(200)), ("v3", Some(300))]));
    // A tag that vanishes and returns is new when it returns; another image's tags are its own.
    store.put_listing(&image("r.example.com/ab"), &listing(&["v2"], 450), None).unwrap();
    store.put_listing(&image(name), &listing(&["v1", "v3"], 500), None).unwrap();
    store.put_listing(&image(name), &listing(&["v1", "v2", "v3"], 600), None).unwrap();
    assert_eq!(ages(&store, name), pairs(&[("v1", None), ("v2", Some(600)), ("v3", Some(300))]));
    assert_eq!(ages(&store, "r.example.com/ab"), pairs(&[("v2", None)]));
}

#[test]
fn a_manifest_does_not_change_when_its_tag_appeared() {
    let store = Store::in_memory().unwrap();
    let name = "r.example.com/a";
    store.put_listing(&image(name), &listing(&["v1"], 100), None).unwrap();
    store.put_listing(&image(name), &listing(&["v1", "v2", "v3"], 200), None).unwrap();
    store.put_manifest(&image(name), &tag("v1"), &manifest(Some(50)), at(210)).unwrap();
    store.put_manifest(&image(name), &tag("v2"), &manifest(Some(60)), at(210)).unwrap();
    store.put_manifest(&image(name), &tag("v3"), &manifest(None), at(210)).unwrap();
    assert_eq!(ages(&store, name), pairs(&[("v1", None), ("v2", Some(200)), ("v3", Some(200))]));
    assert_eq!(store.manifest(&image(name), &tag("v2")), Some((manifest(Some(60)), at(210))));
    // What vanishes from the listing vanishes here.
    store.put_listing(&image(name), &listing(&["v1"], 300), None).unwrap();
    assert_eq!(store.manifest(&image(name), &tag("v2")), None);
}

#[test]
fn a_tag_that_appeared_under_a_clock_ahead_is_older_than_what_comes_once_it_is_right() {
    let store = Store::in_memory().unwrap();
    let name = "r.example.com/a";
    let times =
        [(&["v1"][..], 100), (&["v1", "v2"], 900_000), (&["a", "v1", "v2"], 900_060), (&["a", "v1", "v2", "v3"], 200)];
    for (tags, second) in times {
        store.put_listing(&image(name), &listing(tags, second), None).unwrap();
    }
    // Each in its order, all of them before what comes now.
    assert_eq!(ages(&store, name), pairs(&[("a", Some(199)), ("v1", None), ("v2", Some(198)), ("v3", Some(200))]));
}

#[test]
fn an_unchanged_listing_is_as_old_as_its_last_confirmation() {
    let store = Store::in_memory().unwrap();
    let name = image("r.example.com/a");
    let entries = [
        Entry::Listing { image: name.clone(), listing: listing(&["v1"], 100), validators: None },
        Entry::Unchanged { image: name.clone(), at: at(160) },
        Entry::Unchanged { image: image("r.example.com/never"), at: at(160) },
    ];
    store.write(&entries).unwrap();
    assert_eq!(store.listing(&name), Some((listing(&["v1"], 160), None)));
    assert_eq!(store.listing(&image("r.example.com/never")), None);
}

#[test]
fn a_second_opener_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.redb");
    let first = Store::open(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Busy { .. })));
    drop(first);
    assert!(Store::open(&path).is_ok());
}

#[test]
fn damage_moves_the_file_aside_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.redb");
    let name = image("r.example.com/a");
    Store::open(&path).unwrap().put_listing(&name, &listing(&["v1"], 100), None).unwrap();
    let good = fs::read(&path).unwrap();
    let mut flipped = good.clone();
    for byte in &mut flipped[..320] {
        *byte ^= 0x5a;
    }
    let truncated = good[..good.len() / 2].to_vec();
    for (what, bytes) in [
        ("garbage", vec![7; 5000]),
        ("a short file", b"hello".to_vec()),
        ("flipped", flipped),
        ("truncated", truncated),
    ] {
        fs::write(&path, &bytes).unwrap();
        let store = Store::open(&path).unwrap();
        assert!(store.note().is_some_and(|note| note.contains("cache.redb.broken")), "{what}: {:?}", store.note());
        assert_eq!(fs::read(folder.path().join("cache.redb.broken")).unwrap(), bytes, "{what}");
        assert_eq!(store.listing(&name), None, "{what}");
        store.put_listing(&name, &listing(&["v1"], 100), None).unwrap();
        assert!(store.listing(&name).is_some(), "{what}");
    }
}

#[test]
fn damage_anywhere_never_stops_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.redb");
    let name = image("r.example.com/a");
    let tags: Vec<String> = (0..2000).map(|n| format!("v{n}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    Store::open(&path).unwrap().put_listing(&name, &listing(&tags, 100), None).unwrap();
    let good = fs::read(&path).unwrap();
    for step in 0..30 {
        let mut bytes = good.clone();
        let start = step * good.len() / 30;
        let end = (start + 4096).min(bytes.len());
        bytes[start..end].fill(0xff);
        fs::write(&path, &bytes).unwrap();
        let outcome = std::panic::catch_unwind(|| {
            let store = Store::open(&path).unwrap();
            let known = store.listing(&name);
            let written = store.put_listing(&name, &listing(&["v9"], 200), None).is_ok();
            (known.map(|(listing, _)| listing), written)
        });
        let (known, _) = outcome.unwrap_or_else(|_| panic!("a panic with damage at {start}"));
        assert!(known.is_none_or(|known| known == listing(&tags, 100)), "a listing with holes, damage at {start}");
    }
}

#[test]
fn what_cannot_be_decoded_is_as_if_it_were_not_there() {
    const LISTINGS: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("listings-1");
    const MANIFESTS: redb::TableDefinition<'_, (&str, &str), &[u8]> = redb::TableDefinition::new("manifests-1");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.redb");
    let name = image("r.example.com/a");
    {
        let database = redb::Database::create(&path).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(LISTINGS).unwrap().insert("r.example.com/a", &b"{}\nv1"[..]).unwrap();
        write.open_table(MANIFESTS).unwrap().insert(("r.example.com/a", "v1"), &b"[1]"[..]).unwrap();
        write.commit().unwrap();
    }
    let store = Store::open(&path).unwrap();
    assert_eq!(store.listing(&name), None);
    assert_eq!(store.manifest(&name, &tag("v1")), None);
    // The next listing counts as the first one.
    store.put_listing(&name, &listing(&["v1", "v2"], 100), None).unwrap();
    assert_eq!(ages(&store, "r.example.com/a"), pairs(&[("v1", None), ("v2", None)]));
}

#[test]
fn a_path_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    let error = Store::open(&folder.path().join("file/cache.redb")).unwrap_err();
    assert!(error.to_string().contains("file/cache.redb"), "{error}");
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
}

#[test]
fn images_that_nothing_names_are_forgotten_after_a_while() {
    let store = Store::in_memory().unwrap();
    let (web, old) = (image("r.example.com/web"), image("r.example.com/webs"));
    for name in [&web, &old] {
        store.put_listing(name, &listing(&["v1"], 100), None).unwrap();
        store.put_listing(name, &listing(&["v1", "v2"], 200), None).unwrap();
    }
    let at = |days: i64| Timestamp::from_second(1_000_000 + days * 86_400).unwrap();
    let month = SignedDuration::from_hours(30 * 24);
    let both = [web.clone(), old.clone()].into();
    store.forget(&both, at(0), month).unwrap();
    let one = [web.clone()].into();
    for day in [1, 15, 30] {
        store.forget(&one, at(day), month).unwrap();
        assert!(store.listing(&old).is_some(), "day {day}");
    }
    store.forget(&one, at(32), month).unwrap();
    assert_eq!(store.listing(&old), None);
    assert_eq!(store.listing(&web).map(|(listing, _)| listing.tags.len()), Some(2), "what is named stays");
    assert_eq!(ages(&store, "r.example.com/web")[1].1, Some(200));
    // What comes back counts as new.
    store.put_listing(&old, &listing(&["v1", "v3"], 300), None).unwrap();
    assert_eq!(ages(&store, "r.example.com/webs"), pairs(&[("v1", None), ("v3", None)]));
}
