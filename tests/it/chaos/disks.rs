//! The state folder on a full disk, read-only, and damaged in every place: it is a cache, and nothing is worse for it.

use std::fs;
use std::path::{Path, PathBuf};

use super::oracle::{converges, judge};
use super::{apply, apps, only_dev, started};
use crate::support::disk::Disk;
use crate::support::process::quiet;
use crate::support::world::World;

fn world() -> World {
    started(apps(&["web"]).policies(&only_dev()).no_forge(), &["web"])
}

#[test]
fn a_full_disk_is_said_and_costs_nothing_but_time() {
    let world = world();
    let Some(disk) = Disk::mount(world.path("disk"), "24m") else { return };
    let config = world.config("disk/state");
    // Full before anything is there.
    disk.fill();
    let ran = apply(&world, &config);
    assert_eq!(ran.code, Some(2), "{}", ran.text());
    assert!(ran.text().to_lowercase().contains("no space left"), "{}", ran.text());
    disk.free();
    apply(&world, &config).ends(0);
    // Full between two cycles: once with a commit to write, once with one to fetch as well.
    for (version, fetch) in [("1.1.0", false), ("1.2.0", true)] {
        world.push("acme/web", version);
        let before = world.tag("web", "dev");
        if fetch {
            let noise: String = (0..40_000).map(|_| fastrand::alphanumeric()).collect();
            world.write(&[("apps/web/overlays/dev/values.yaml", &format!("noise: {noise}\n"))]);
        }
        disk.fill();
        let ran = apply(&world, &config);
        assert_eq!(ran.code, Some(2), "{}", ran.text());
        assert!(ran.text().to_lowercase().contains("no space left"), "{}", ran.text());
        assert_eq!(world.tag("web", "dev"), before);
        disk.free();
        converges(&world, &config, 1);
        assert_eq!(world.tag("web", "dev"), version);
    }
    judge(&world, &[]);
}

#[test]
fn a_state_folder_that_cannot_be_written_is_said() {
    let world = world();
    // A file where a folder should be: refused to everybody, root included.
    fs::write(world.path("file"), "").unwrap();
    let ran = apply(&world, &world.config("file/state"));
    assert_eq!(ran.code, Some(2), "{}", ran.text());
    assert!(ran.stderr.contains("file/state"), "{}", ran.text());
    let Some(disk) = Disk::mount(world.path("disk"), "24m") else { return };
    let config = world.config("disk/state");
    apply(&world, &config).ends(0);
    world.push("acme/web", "1.1.0");
    disk.remount("ro");
    let ran = apply(&world, &config);
    assert_eq!(ran.code, Some(2), "{}", ran.text());
    assert!(ran.text().to_lowercase().contains("read-only"), "{}", ran.text());
    assert_eq!(world.tag("web", "dev"), "1.0.0");
    disk.remount("rw");
    converges(&world, &config, 1);
    assert_eq!(world.tag("web", "dev"), "1.1.0");
}

/// Every file below `dir` whose name ends so.
fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_str().unwrap().ends_with(end) {
            found.push(path);
        }
    }
    found
}

fn halve(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

type Damage = (&'static str, fn(&Path));

/// What may have happened to `state/` while nobody looked.
const DAMAGES: &[Damage] = &[
    ("garbage for a cache", |state| fs::write(state.join("cache.redb"), [0xa5; 70_000]).unwrap()),
    ("half a cache", |state| halve(&state.join("cache.redb"))),
    ("an empty cache", |state| fs::write(state.join("cache.redb"), "").unwrap()),
    ("no cache", |state| fs::remove_file(state.join("cache.redb")).unwrap()),
    ("a truncated pack", |state| files(state, ".pack").iter().for_each(|pack| halve(pack))),
    ("no pack", |state| files(state, ".pack").iter().for_each(|pack| fs::remove_file(pack).unwrap())),
    ("no index of a pack", |state| files(state, ".idx").iter().for_each(|index| fs::remove_file(index).unwrap())),
    ("locks", |state| {
        let git = state.join("repositories/deploys/mirror.git");
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        for name in ["refs/heads/main.lock", "packed-refs.lock", "index.lock", "HEAD.lock", "config.lock"] {
            fs::write(git.join(name), "").unwrap();
        }
    }),
    ("a ref to nowhere", |state| {
        let git = state.join("repositories/deploys/mirror.git");
        fs::write(git.join("refs/heads/main"), "1234567890123456789012345678901234567890\n").unwrap();
    }),
    ("no HEAD", |state| fs::remove_file(state.join("repositories/deploys/mirror.git/HEAD")).unwrap()),
    ("no mirror", |state| fs::remove_dir_all(state.join("repositories/deploys/mirror.git")).unwrap()),
    ("a file for a mirror", |state| {
        fs::remove_dir_all(state.join("repositories/deploys/mirror.git")).unwrap();
        fs::write(state.join("repositories/deploys/mirror.git"), "?").unwrap();
    }),
    ("remains of a mirror that was being made", |state| {
        let dir = state.join("repositories/deploys");
        fs::create_dir_all(dir.join("new.git/objects")).unwrap();
        fs::rename(dir.join("mirror.git"), dir.join("old.git")).unwrap();
    }),
    ("a folder for a cache", |state| {
        fs::remove_file(state.join("cache.redb")).unwrap();
        fs::create_dir(state.join("cache.redb")).unwrap();
    }),
    ("nothing at all", |state| fs::remove_dir_all(state).unwrap()),
];

#[test]
fn without_a_cache_the_program_goes_on_and_says_so() {
    let world = world();
    fs::create_dir_all(world.path("state/cache.redb")).unwrap();
    world.push("acme/web", "1.1.0");
    let ran = apply(&world, &world.config("state"));
    assert_eq!((ran.code, world.tag("web", "dev").as_str()), (Some(0), "1.1.0"), "{}", ran.text());
    assert!(ran.stderr.contains("cache.redb") && ran.stderr.contains("without a cache"), "{}", ran.text());
}

#[test]
fn the_state_folder_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = world();
    let state = world.path("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    apply(&world, &world.config("state")).ends(0);
    let open = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    let mut found = files(&state, "");
    found.push(state);
    assert!(found.len() > 5);
    for path in found {
        assert_eq!(open(&path), 0, "{}", path.display());
    }
}

#[test]
fn a_damaged_state_folder_is_mended() {
    let world = world();
    let config = world.config("state");
    apply(&world, &config).ends(0);
    for (number, (what, damage)) in DAMAGES.iter().enumerate() {
        // Something new to fetch, so that there is a pack, and something new to write.
        world.write(&[("NOTE.md", &format!("{what}\n"))]);
        assert_eq!(apply(&world, &config).code, Some(0), "before {what}");
        quiet(&world.path(""));
        damage(&world.path("state"));
        let version = format!("1.{}.0", number + 1);
        world.push("acme/web", &version);
        let ran = apply(&world, &config);
        assert_eq!(ran.code, Some(0), "{what}: {}", ran.text());
        assert_eq!(world.tag("web", "dev"), version, "{what}: {}", ran.text());
        if what.contains("garbage") || what.contains("half") {
            assert!(ran.stderr.contains("moved to"), "{what}: {}", ran.text());
        }
    }
    judge(&world, &[]);
    converges(&world, &config, 1);
}
