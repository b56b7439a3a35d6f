//! A mirror is a cache: whatever is broken in it is made anew, and a full disk is said as what it is.

use std::fs;
use std::path::{Path, PathBuf};

use landfall::git::{GitError, Mirror, RefResult};

use super::support::{Folder, MAIN, change, fetched, forward, main_only, push_one, settings};
use crate::support::disk::Disk;
use crate::support::git::{file, try_git};

fn files_below(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, into) } else { into.push(path) }
    }
}

fn objects(git_dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    files_below(&git_dir.join("objects"), &mut files);
    files
}

fn overwrite(path: &Path, bytes: &[u8]) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "the file is ours")]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).unwrap();
    fs::write(path, bytes).unwrap();
}

/// What is done to a mirror's repository.
type Damage = (&'static str, fn(&Path));

const DAMAGES: &[Damage] = &[
    ("everything is gone", |dir| fs::remove_dir_all(dir).unwrap()),
    ("the configuration is garbage", |dir| overwrite(&dir.join("config"), b"[core\n\0")),
    ("the configuration names a program", |dir| {
        overwrite(&dir.join("config"), b"[core]\n\tbare = true\n\tsshCommand = touch /tmp/x\n");
    }),
    ("another store of objects is named", |dir| {
        fs::create_dir_all(dir.join("objects/info")).unwrap();
        fs::write(dir.join("objects/info/alternates"), "/tmp\n").unwrap();
    }),
    ("HEAD is empty", |dir| overwrite(&dir.join("HEAD"), b"")),
    ("a ref is garbage", |dir| overwrite(&dir.join(MAIN), b"zzz\n")),
    ("a ref leads nowhere", |dir| overwrite(&dir.join(MAIN), format!("{}\n", "1".repeat(40)).as_bytes())),
    ("all objects are gone", |dir| objects(dir).iter().for_each(|path| fs::remove_file(path).unwrap())),
    ("all objects are empty", |dir| objects(dir).iter().for_each(|path| overwrite(path, b""))),
    ("all objects are garbage", |dir| objects(dir).iter().for_each(|path| overwrite(path, b"garbage"))),
    ("a pack is truncated", |dir| {
        assert!(try_git(dir, &["repack", "-a", "-d", "-q"]).status.success());
        for pack in objects(dir).iter().filter(|path| path.extension().is_some_and(|e| e == "pack")) {
            let bytes = fs::read(pack).unwrap();
            overwrite(pack, &bytes[..bytes.len() / 2]);
        }
    }),
    ("locks are left", |dir| {
        fs::write(dir.join(format!("{MAIN}.lock")), "").unwrap();
        fs::write(dir.join("packed-refs.lock"), "").unwrap();
        fs::write(dir.join("objects/pack/tmp_pack_x"), "x").unwrap();
    }),
];

#[tokio::test]
async fn a_damaged_mirror_is_mended_when_it_is_opened() {
    for (what, damage) in DAMAGES {
        let folder = Folder::new();
        let remote = folder.remote("r.git");
        let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
        fetched(&mirror).await;
        let git_dir = mirror.git_dir();
        drop(mirror);
        damage(&git_dir);
        let theirs = folder.person_commits(&remote, "apps/api/dev.yaml", "b\n");

        let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
        assert_eq!(fetched(&mirror).await, theirs, "{what}");
        assert_eq!(mirror.changes(None, &theirs).unwrap().len(), 3, "{what}");
        let commit = mirror.commit(&change(&theirs, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
        assert_eq!(push_one(&mirror, forward(&theirs, &commit)).await, RefResult::Updated, "{what}");
        assert!(!git_dir.join("packed-refs.lock").exists(), "{what}");
    }
}

#[tokio::test]
async fn a_mirror_damaged_under_our_hands_is_mended_by_a_fetch() {
    for (what, damage) in DAMAGES {
        let folder = Folder::new();
        let remote = folder.remote("r.git");
        let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
        let base = fetched(&mirror).await;
        damage(&mirror.git_dir());
        let theirs = folder.person_commits(&remote, "apps/api/dev.yaml", "b\n");

        // Reading may fail, with a typed error; a cycle later, and it does not.
        if let Err(error) = mirror.changes(None, &base) {
            assert!(matches!(error, GitError::Damaged { .. } | GitError::UnknownCommit { .. }), "{what}: {error}");
        }
        mirror.fetch(&main_only()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        if let Err(error) = mirror.changes(None, &theirs) {
            assert!(matches!(error, GitError::Damaged { .. }), "{what}: {error}");
            mirror.fetch(&main_only()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        assert_eq!(mirror.tip(MAIN).unwrap().as_ref(), Some(&theirs), "{what}");
        assert_eq!(mirror.changes(None, &theirs).unwrap().len(), 3, "{what}");
        assert!(mirror.is_ancestor(&base, &theirs).unwrap(), "{what}");
    }
}

#[tokio::test]
async fn a_mirror_of_another_address_is_not_used() {
    let folder = Folder::new();
    let (one, two) = (folder.remote("one.git"), folder.remote("two.git"));
    let theirs = folder.person_commits(&one, "only/here.yaml", "x\n");
    let mirror = folder.mirror("m", one.to_str().unwrap()).await;
    assert_eq!(fetched(&mirror).await, theirs);
    drop(mirror);
    let mirror = folder.mirror("m", two.to_str().unwrap()).await;
    assert_eq!(mirror.tip(MAIN).unwrap(), None);
    assert_ne!(fetched(&mirror).await, theirs);
}

#[tokio::test]
async fn a_remote_that_is_broken_itself_is_no_reason_to_fetch_everything_again_and_again() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let broken = folder.person_commits(&remote, "apps/api/dev.yaml", "b\n");
    let object = remote.join("objects").join(&broken.as_str()[..2]).join(&broken.as_str()[2..]);
    let bytes = fs::read(&object).unwrap();
    overwrite(&object, b"garbage");
    mirror.fetch(&main_only()).await.unwrap_err();
    let kept = mirror.git_dir().join("kept");
    fs::write(&kept, "").unwrap();
    mirror.fetch(&main_only()).await.unwrap_err();
    assert!(kept.exists(), "made anew for nothing");
    overwrite(&object, &bytes);
    assert_eq!(fetched(&mirror).await, broken);
    assert!(mirror.is_ancestor(&base, &broken).unwrap());
}

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let folder = Folder::new();
    let small = folder.path("small");
    let Some(disk) = Disk::mount(small.clone(), "600k") else { return };
    let remote = folder.remote("r.git");
    let mirror = Mirror::open(&small.join("m"), settings(remote.to_str().unwrap())).await.unwrap();
    let base = fetched(&mirror).await;
    disk.fill();
    let theirs = folder.person_commits(&remote, "apps/api/dev.yaml", &"b\n".repeat(10_000));

    let error = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap_err();
    assert!(matches!(error, GitError::Disk { .. }), "{error}");
    let error = mirror.fetch(&main_only()).await.unwrap_err();
    assert!(matches!(error, GitError::Disk { .. }), "{error}");
    // What was there is still there.
    assert_eq!(mirror.tip(MAIN).unwrap().as_ref(), Some(&base));
    assert_eq!(mirror.read(&base, &file("apps/web/dev.yaml")).unwrap().unwrap(), b"tag: v1\n");

    disk.free();
    assert_eq!(fetched(&mirror).await, theirs);
    let commit = mirror.commit(&change(&theirs, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    assert_eq!(push_one(&mirror, forward(&theirs, &commit)).await, RefResult::Updated);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_said() {
    let folder = Folder::new();
    fs::write(folder.path("file"), "").unwrap();
    let error = Mirror::open(&folder.path("file").join("m"), settings("/srv/r.git")).await.unwrap_err();
    assert!(matches!(error, GitError::Disk { .. }), "{error}");
}
