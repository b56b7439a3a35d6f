//! Mirrors that leave large files where they are until they are read.

use landfall::demo::git_http::GitServer;
use landfall::git::{BlobId, History, Mirror, PinKey, RefResult, TreeEntry, ValueOrigin};
use landfall::model::CommitId;
use landfall::overlay::scan_file;

use super::support::{Folder, change, fetched, forward, push_one, settings};
use crate::support::git::{file, fsck, git};

const LARGE: &str = "apps/web/large.yaml";

/// A text of some 300 kB that does not compress to less than half.
fn large(seed: u64) -> String {
    let mut state = seed;
    let mut line = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("# {state:016x}\n")
    };
    (0..16_000).map(|_| line()).collect()
}

/// How many objects of its history the mirror has not.
fn missing(mirror: &Mirror) -> usize {
    let listed = git(&mirror.git_dir(), &["rev-list", "--objects", "--all", "--missing=print"]);
    listed.lines().filter(|line| line.starts_with('?')).count()
}

fn blob(mirror: &Mirror, commit: &CommitId) -> BlobId {
    match mirror.entry(commit, &file(LARGE)).unwrap() {
        Some(TreeEntry::File { id, .. }) => id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_files_are_fetched_when_they_are_read_and_all_at_once() {
    for filters in [true, false] {
        let folder = Folder::new();
        let remote = folder.remote("r.git");
        git(&remote, &["config", "uploadpack.allowFilter", if filters { "true" } else { "false" }]);
        let commits: Vec<CommitId> = (0..6).map(|seed| folder.person_commits(&remote, LARGE, &large(seed))).collect();
        let server = GitServer::start(&folder.root(), None).await.unwrap();
        let mirror = Mirror::open(&folder.path("mirror"), settings(&server.url("r.git"))).await.unwrap();
        let base = fetched(&mirror).await;
        assert_eq!(missing(&mirror), if filters { 6 } else { 0 }, "a server that knows no filter sends everything");

        server.requests().clear();
        assert_eq!(mirror.read(&base, &file(LARGE)).unwrap().unwrap(), large(5).into_bytes());
        let old: Vec<BlobId> = commits[..3].iter().map(|commit| blob(&mirror, commit)).collect();
        assert_eq!(mirror.blob_sizes(&old).unwrap(), [large(0).len() as u64; 3]);
        assert_eq!(mirror.read_blobs(&old).unwrap().len(), 3);
        assert_eq!(fetches(&server), if filters { 2 } else { 0 }, "one conversation for one file, and one for three");
        assert_eq!(missing(&mirror), if filters { 2 } else { 0 });

        // The bot goes on as with a whole mirror.
        let commit = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
        assert_eq!(push_one(&mirror, forward(&base, &commit)).await, RefResult::Updated);
        fsck(&remote);
        drop(mirror);
        let mirror = Mirror::open(&folder.path("mirror"), settings(&server.url("r.git"))).await.unwrap();
        let theirs = folder.person_commits(&remote, LARGE, &large(7));
        assert_eq!(fetched(&mirror).await, theirs);
        assert_eq!(missing(&mirror), if filters { 3 } else { 0 }, "it was not made anew");

        // What cannot be fetched is an error of the remote, and no damage.
        drop(server);
        let read = mirror.read(&theirs, &file(LARGE));
        match filters {
            true => assert!(!matches!(read.unwrap_err(), landfall::git::GitError::Damaged { .. })),
            false => assert!(read.unwrap().is_some()),
        }
        assert_eq!(mirror.read(&theirs, &file("apps/web/dev.yaml")).unwrap().unwrap(), b"tag: v2\n");
    }
}

/// How many conversations about objects the server had.
fn fetches(server: &GitServer) -> usize {
    server.requests().all().iter().filter(|asked| asked.path.contains("info/refs")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_over_old_large_files_fetches_them_in_a_few_conversations() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    git(&remote, &["config", "uploadpack.allowFilter", "true"]);
    let text = |tag: u64| {
        let bulk = large(tag).lines().take(4_000).collect::<Vec<_>>().join("\n");
        format!("image:\n  repository: ghcr.io/acme/web\n  tag: 1.0.{tag}\n{bulk}\n")
    };
    let path = "apps/web/values.yaml";
    // The last two commits change other things of the file.
    let commits: Vec<CommitId> =
        (0..40).map(|n: u64| folder.person_commits(&remote, path, &format!("{}# {n}\n", text(n.min(37))))).collect();
    let pins = scan_file(&file(path), text(37).as_bytes()).values;
    assert_eq!(pins.len(), 1, "{pins:?}");
    let key = PinKey::from(&pins[0]);
    let server = GitServer::start(&folder.root(), None).await.unwrap();
    let open = async |name: &str| {
        let mirror = Mirror::open(&folder.path(name), settings(&server.url("r.git"))).await.unwrap();
        let tip = fetched(&mirror).await;
        assert_eq!(missing(&mirror), 40);
        server.requests().clear();
        (mirror, tip)
    };

    let (mirror, tip) = open("whole").await;
    let changes = mirror.value_changes(&tip, std::slice::from_ref(&key), "main").unwrap();
    let arrived: Vec<&CommitId> = changes.iter().map(|change| &change.arrived).collect();
    assert_eq!(arrived, commits[..38].iter().rev().collect::<Vec<_>>(), "every change of the tag, newest first");
    assert_eq!((missing(&mirror), fetches(&server)), (0, 3), "one for the tip, then eight files, then the rest");

    let (mirror, tip) = open("end").await;
    let mut history = History::new();
    history.follow(&mirror, &tip).unwrap();
    let found = history.introduced(&mirror, &pins).unwrap();
    let ValueOrigin::Commit(by) = &found[&key] else { panic!("{found:?}") };
    assert_eq!(by.wrote.commit, commits[37]);
    assert_eq!((missing(&mirror), fetches(&server)), (32, 1), "it ends after three, and asked for eight at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_walk_would_read_later_is_no_fault_of_what_it_reads_now() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    git(&remote, &["config", "uploadpack.allowFilter", "true"]);
    let path = "apps/web/values.yaml";
    let text = |tag: u64| {
        let bulk = large(tag).lines().take(4_000).collect::<Vec<_>>().join("\n");
        format!("image:\n  repository: ghcr.io/acme/web\n  tag: 1.0.{tag}\n{bulk}\n")
    };
    let commits: Vec<CommitId> = (0..10).map(|n: u64| folder.person_commits(&remote, path, &text(n))).collect();
    let server = GitServer::start(&folder.root(), None).await.unwrap();
    let mirror = Mirror::open(&folder.path("mirror"), settings(&server.url("r.git"))).await.unwrap();
    let tip = fetched(&mirror).await;
    let pins = scan_file(&file(path), text(9).as_bytes()).values;
    // A file of an old commit that the server no longer has.
    let id = git(&remote, &["rev-parse", &format!("{}:{path}", commits[4])]);
    std::fs::remove_file(remote.join(format!("objects/{}/{}", &id[..2], &id[2..]))).unwrap();
    let mut history = History::new();
    history.follow(&mirror, &tip).unwrap();
    let found = history.introduced(&mirror, &pins).unwrap();
    let ValueOrigin::Commit(by) = &found[&PinKey::from(&pins[0])] else { panic!("{found:?}") };
    assert_eq!(by.wrote.commit, commits[9]);
}
