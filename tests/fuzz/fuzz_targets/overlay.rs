//! The YAML editor under arbitrary bytes.
//!
//! The first byte chooses the file's name, the rest is the file. Whatever it is: a scan ends without a panic, and an
//! edit of what it found is refused or gives a file in which a new scan finds the same places with the new version.

#![no_main]
#![allow(dead_code, unreachable_pub, reason = "modules of the library are taken in as sources")]

#[path = "../../../src/model/mod.rs"]
pub mod model;
#[path = "../../../src/overlay/mod.rs"]
pub mod overlay;

use libfuzzer_sys::fuzz_target;

use model::{Digest, Pin, RepoPath, Tag, Version};
use overlay::{OldDigest, PinEdit, edit, edit_with, scan_file};

const NAMES: [&str; 4] = ["apps/web/kustomization.yaml", "values.yaml", "objects.yaml", "objects.json"];

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let path = RepoPath::parse(NAMES[usize::from(*first) % NAMES.len()]).unwrap();
    let scan = scan_file(&path, bytes);
    let pins: Vec<Pin> = scan.pins.into_iter().chain(scan.values).collect();
    let digest = Digest::parse(&format!("sha256:{}", "b".repeat(64))).unwrap();
    let tagged = Version { tag: Some(Tag::parse("1.10").unwrap()), digest: None };
    let both = Version { tag: tagged.tag.clone(), digest: Some(digest) };
    one(&path, bytes, &pins, &both);
    one(&path, bytes, &pins, &tagged);
    for pin in &pins {
        // What a person may ask for is refused or done, but never panics.
        let edits = [PinEdit { pin, to: tagged.clone(), rename: Some("registry.example.com/new") }];
        let _ = edit_with(&path, bytes, &edits, OldDigest::Drop);
        // The same version again changes no byte.
        let same = [PinEdit { pin, to: pin.version.clone(), rename: None }];
        assert_eq!(edit(&path, bytes, &same).expect("what is written can be written"), bytes);
    }
});

fn one(path: &RepoPath, bytes: &[u8], pins: &[Pin], to: &Version) {
    for pin in pins {
        let edits = [PinEdit { pin, to: to.clone(), rename: None }];
        let Ok(edited) = edit(path, bytes, &edits) else { continue };
        let after = scan_file(path, &edited);
        let found = after.pins.iter().chain(&after.values).find(|other| other.key == pin.key);
        let found = found.expect("an edited pin is still one");
        assert_eq!((&found.name, found.kind), (&pin.name, pin.kind));
        let digest_only = pin.version.tag.is_none();
        assert!(found.version.digest == to.digest && (digest_only || found.version.tag == to.tag), "{found:?}");
        let others = |pins: &mut dyn Iterator<Item = &Pin>| {
            pins.filter(|other| other.key != pin.key)
                .map(|pin| (pin.key.clone(), pin.version.clone()))
                .collect::<Vec<(String, Version)>>()
        };
        assert_eq!(others(&mut pins.iter()), others(&mut after.pins.iter().chain(&after.values)));
    }
}
