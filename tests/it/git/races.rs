//! Other writers, hooks and protected branches: nothing foreign is lost (G2), and every refusal is told apart.

use std::collections::BTreeSet;

use landfall::demo::git_http::GitServer;
use landfall::git::{Force, GitError, RefResult, RefUpdate, RefusalKind, create_bare};
use landfall::model::{BranchName, CommitId};

use super::faults::{Fault, faulty};
use super::support::{Folder, MAIN, change, fetched, forward, main_only, push_one};
use crate::support::git::{file, fsck, git, hook, program, rev, stamp, until};

#[tokio::test]
async fn a_lost_race_is_seen_and_changes_nothing() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let ours = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    let theirs = folder.person_commits(&remote, "apps/web/dev.yaml", "tag: v1-hotfix\n");

    let result = push_one(&mirror, forward(&base, &ours)).await;
    assert!(matches!(result, RefResult::LostRace { .. }), "{result:?}");
    assert_eq!(rev(&remote, MAIN), theirs);

    let tip = fetched(&mirror).await;
    assert_eq!(tip, theirs);
    let again = mirror.commit(&change(&tip, "apps/web/prod.yaml", "tag: v2\n")).unwrap();
    assert_eq!(push_one(&mirror, forward(&tip, &again)).await, RefResult::Updated);
    let text = mirror.read(&again, &file("apps/web/dev.yaml")).unwrap().unwrap();
    assert_eq!(text, b"tag: v1-hotfix\n");
}

#[tokio::test]
async fn twenty_writers_lose_no_commit() {
    let folder = Folder::new();
    let files: Vec<String> = (0..20).map(|number| format!("apps/a{number}/dev.yaml")).collect();
    let remote = folder.root().join("r.git");
    let contents: Vec<_> = files.iter().map(|path| (file(path), b"v1\n".to_vec())).collect();
    create_bare(&remote, &BranchName::parse("main").unwrap(), &contents, &stamp()).unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for (number, path) in files.iter().cloned().enumerate() {
        let mirror = folder.mirror(&format!("m{number}"), remote.to_str().unwrap()).await;
        writers.spawn(async move {
            for attempt in 1..=200 {
                let tip = fetched(&mirror).await;
                let commit = mirror.commit(&change(&tip, &path, "v2\n")).unwrap();
                match push_one(&mirror, forward(&tip, &commit)).await {
                    RefResult::Updated => return attempt,
                    RefResult::LostRace { .. } => {}
                    other => panic!("{path}: {other:?}"),
                }
            }
            panic!("{path}: never pushed")
        });
    }
    let attempts: Vec<i32> = writers.join_all().await;
    assert!(attempts.iter().any(|attempts| *attempts > 1), "no race was lost: the test tests nothing");
    fsck(&remote);
    let log = git(&remote, &["log", "--format=%s", "--no-merges", MAIN]);
    let bumps: BTreeSet<&str> = log.lines().filter(|line| line.starts_with("bump")).collect();
    assert_eq!((bumps.len(), log.lines().filter(|line| line.starts_with("bump")).count()), (20, 20), "{log}");
    for path in &files {
        assert_eq!(git(&remote, &["show", &format!("main:{path}")]), "v2");
    }
}

#[tokio::test]
async fn a_base_branch_is_never_rewritten_nor_deleted() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let first = rev(&remote, MAIN);
    let second = folder.person_commits(&remote, "apps/api/dev.yaml", "b\n");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    fetched(&mirror).await;
    let side = mirror.commit(&change(&first, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    let refused = |expected: Option<CommitId>, new: Option<CommitId>| {
        let mirror = mirror.clone();
        let update = RefUpdate { name: MAIN.to_owned(), expected, new, force: Force::No };
        async move {
            let error = mirror.push(&[update]).await.unwrap_err();
            assert!(matches!(error, GitError::Refused { .. }), "{error}");
        }
    };
    // The lease would hold in each of these, so Git itself would force them.
    refused(Some(second.clone()), Some(side.clone())).await;
    refused(Some(second.clone()), Some(first.clone())).await;
    refused(Some(second.clone()), None).await;
    assert_eq!(rev(&remote, MAIN), second);
    // Where the branch is expected not to exist, its existence is a lost race.
    let create = RefUpdate { name: MAIN.to_owned(), expected: None, new: Some(side.clone()), force: Force::No };
    assert!(matches!(push_one(&mirror, create).await, RefResult::LostRace { .. }));
    // A forward push on an old expectation is one, too.
    assert!(matches!(push_one(&mirror, forward(&first, &side)).await, RefResult::LostRace { .. }));
    assert_eq!(rev(&remote, MAIN), second);
}

#[tokio::test]
async fn a_branch_of_our_own_moves_with_a_lease_only() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let name = "refs/heads/landfall/prod";
    let update = |expected: Option<&CommitId>, new: Option<&CommitId>| RefUpdate {
        name: name.to_owned(),
        expected: expected.cloned(),
        new: new.cloned(),
        force: Force::WithLease,
    };
    let one = mirror.commit(&change(&base, "apps/web/prod.yaml", "tag: v2\n")).unwrap();
    let two = mirror.commit(&change(&base, "apps/web/prod.yaml", "tag: v3\n")).unwrap();
    assert_eq!(push_one(&mirror, update(None, Some(&one))).await, RefResult::Updated);
    assert_eq!(push_one(&mirror, update(Some(&one), Some(&two))).await, RefResult::Updated);
    // A person pushes to it: it is theirs now.
    git(&remote, &["update-ref", name, base.as_str()]);
    assert!(matches!(push_one(&mirror, update(Some(&two), Some(&one))).await, RefResult::LostRace { .. }));
    assert!(matches!(push_one(&mirror, update(Some(&two), None)).await, RefResult::LostRace { .. }));
    assert_eq!(rev(&remote, name), base);
    // Merged and deleted meanwhile: the same.
    git(&remote, &["update-ref", "-d", name]);
    assert!(matches!(push_one(&mirror, update(Some(&two), Some(&one))).await, RefResult::LostRace { .. }));
}

#[tokio::test]
async fn one_push_has_one_result_per_ref_and_an_atomic_one_is_all_or_nothing() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let server = GitServer::start(&folder.root(), None).await.unwrap();
    let mirror = folder.mirror("m", &server.url("r.git")).await;
    let base = fetched(&mirror).await;
    let commit = mirror.commit(&change(&base, "apps/web/prod.yaml", "tag: v2\n")).unwrap();
    let create = |name: &str| RefUpdate {
        name: format!("refs/heads/{name}"),
        expected: None,
        new: Some(commit.clone()),
        force: Force::WithLease,
    };
    git(&remote, &["branch", "taken", "main"]);
    let results = mirror.push_atomic(&[create("a"), create("taken"), create("b")]).await.unwrap();
    assert!(results.iter().all(|result| matches!(result, RefResult::LostRace { .. })), "{results:?}");
    assert!(!mirror.ls_remote().await.unwrap().contains_key("refs/heads/a"));

    let results = mirror.push(&[create("a"), create("taken"), create("b")]).await.unwrap();
    assert_eq!((&results[0], &results[2]), (&RefResult::Updated, &RefResult::Updated));
    assert!(matches!(results[1], RefResult::LostRace { .. }), "{results:?}");
}

#[tokio::test]
async fn a_hook_that_says_no_is_a_rejection_with_its_words() {
    let folder = Folder::new();
    for name in ["pre-receive", "update"] {
        let remote = folder.remote(&format!("{name}.git"));
        hook(&remote, name, r"printf '\033[31mcommits must be signed\033[0m\007\nby order of hunter2\n' >&2; exit 1");
        let server = GitServer::start(&folder.root(), None).await.unwrap();
        let settings = super::support::with_password(&server.url(&format!("{name}.git")), "hunter2");
        let mirror = landfall::git::Mirror::open(&folder.path(name), settings).await.unwrap();
        let base = fetched(&mirror).await;
        let commit = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
        let RefResult::Rejected { message, .. } = push_one(&mirror, forward(&base, &commit)).await else {
            panic!("not rejected")
        };
        assert!(message.contains("commits must be signed\nby order of ***"), "{message:?}");
        assert!(message.contains("hook declined"), "{message:?}");
        assert!(message.chars().all(|c| c == '\n' || !c.is_control()), "{message:?}");
        assert_eq!(rev(&remote, MAIN), base);
    }
}

#[tokio::test]
async fn a_server_that_protects_its_branches() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    git(&remote, &["config", "receive.denyDeletes", "true"]);
    git(&remote, &["config", "receive.denyNonFastForwards", "true"]);
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let one = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    let two = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v3\n")).unwrap();
    let update = |expected: Option<&CommitId>, new: Option<&CommitId>| RefUpdate {
        name: "refs/heads/landfall/x".to_owned(),
        expected: expected.cloned(),
        new: new.cloned(),
        force: Force::WithLease,
    };
    assert_eq!(push_one(&mirror, update(None, Some(&one))).await, RefResult::Updated);
    let result = push_one(&mirror, update(Some(&one), None)).await;
    assert!(matches!(&result, RefResult::Rejected { message, .. } if message.contains("deletion")), "{result:?}");
    // Worded like a race; asking again, which the caller does a bounded number of times, is the safe reading.
    let result = push_one(&mirror, update(Some(&one), Some(&two))).await;
    assert!(matches!(&result, RefResult::LostRace { .. } | RefResult::Rejected { .. }), "{result:?}");
    assert_eq!(rev(&remote, "refs/heads/landfall/x"), one);
}

#[tokio::test]
async fn a_race_is_told_by_the_ref_whatever_the_hook_says() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let theirs = folder.person_commits(&remote, "apps/api/dev.yaml", "b\n");
    let base = rev(&remote, "main~1");
    git(&remote, &["update-ref", MAIN, base.as_str()]);
    // While we push, somebody else's push comes through; the words say something else.
    hook(
        &remote,
        "pre-receive",
        &format!("unset GIT_QUARANTINE_PATH; git update-ref {MAIN} {theirs}; echo bad weather >&2; exit 1"),
    );
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let ours = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    let result = push_one(&mirror, forward(&base, &ours)).await;
    assert!(matches!(result, RefResult::LostRace { .. }), "{result:?}");
}

#[tokio::test]
async fn a_push_whose_answer_is_lost_is_unknown_and_the_remote_tells() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let server = faulty(&folder.root(), None, "/git-receive-pack", 0, Fault::DropReply).await;
    let mirror = folder.mirror("m", &server.url("r.git")).await;
    let base = fetched(&mirror).await;
    let commit = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    let error = mirror.push(&[forward(&base, &commit)]).await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }) && error.is_transient(), "{error}");
    assert_eq!(mirror.ls_remote().await.unwrap()[MAIN], commit);
    fsck(&remote);
    // Adopted: the next fetch brings the ref, and the same push again is nothing.
    assert_eq!(fetched(&mirror).await, commit);
}

#[tokio::test]
async fn a_push_that_is_broken_off_leaves_the_mirror_usable() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let (started, go) = (folder.path("started"), folder.path("go"));
    let wait = format!(
        "touch '{}'; while test ! -e '{}'; do read -t 1 x < /dev/zero || sleep 0.02; done",
        started.display(),
        go.display()
    );
    hook(&remote, "pre-receive", &wait.replace("read -t 1 x < /dev/zero || ", ""));
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let commit = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    let pushing = tokio::spawn({
        let (mirror, update) = (mirror.clone(), forward(&base, &commit));
        async move { mirror.push(&[update]).await }
    });
    until("the hook runs", || started.exists()).await;
    pushing.abort();
    assert!(pushing.await.unwrap_err().is_cancelled());
    let address = remote.display().to_string();
    let alive =
        || crate::support::git::command_lines().iter().any(|line| line.contains("push") && line.contains(&address));
    until("the pushing process is gone", || !alive()).await;
    std::fs::write(&go, "").unwrap();

    // Either outcome is possible; the remote says which, and the mirror goes on.
    let tip = fetched(&mirror).await;
    assert!(tip == base || tip == commit, "{tip}");
    program(&remote.join("hooks/pre-receive"), "exit 0");
    let again = mirror.commit(&change(&tip, "apps/web/prod.yaml", "tag: v2\n")).unwrap();
    assert_eq!(push_one(&mirror, forward(&tip, &again)).await, RefResult::Updated);
    fsck(&remote);
}

#[tokio::test]
async fn odd_updates_are_refused_before_anything_is_sent() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    for name in ["main", "refs/tags/v1", "refs/heads/-x", "refs/heads/a:refs/heads/main", "+refs/heads/main", "HEAD"] {
        let update =
            RefUpdate { name: name.to_owned(), expected: None, new: Some(base.clone()), force: Force::WithLease };
        let error = mirror.push(&[update]).await.unwrap_err();
        assert!(matches!(error, GitError::Refused { .. }), "{name}: {error}");
        let error = mirror.fetch(&[name.to_owned()]).await.unwrap_err();
        assert!(matches!(error, GitError::Refused { .. }), "{name}: {error}");
    }
    let update = forward(&base, &base);
    let error = mirror.push(&[update.clone(), update]).await.unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
    let unknown = CommitId::parse(&"1".repeat(40)).unwrap();
    let error = mirror.push(&[forward(&base, &unknown)]).await.unwrap_err();
    assert!(matches!(error, GitError::UnknownCommit { .. }), "{error}");
    let error = mirror.push(&[forward(&unknown, &base)]).await.unwrap_err();
    assert!(matches!(error, GitError::UnknownCommit { .. }), "{error}");
    mirror.fetch(&main_only()).await.unwrap();
    assert_eq!(mirror.push(&[]).await.unwrap(), []);
}

/// The bot's own branch from `expected` to `new`.
fn own(name: &str, expected: Option<&CommitId>, new: &CommitId) -> RefUpdate {
    let name = format!("refs/heads/{name}");
    RefUpdate { name, expected: expected.cloned(), new: Some(new.clone()), force: Force::WithLease }
}

#[tokio::test]
async fn what_the_remote_will_not_have_is_a_refusal_in_its_own_words_and_no_lost_race() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let one = mirror.commit(&change(&base, "apps/web/prod.yaml", "tag: v2\n")).unwrap();
    let two = mirror.commit(&change(&base, "apps/web/prod.yaml", "tag: v3\n")).unwrap();
    let refused = async |update: RefUpdate| match push_one(&mirror, update).await {
        RefResult::Rejected { kind, message } => (kind, message),
        other => panic!("{other:?}"),
    };

    git(&remote, &["branch", "landfall", "main"]);
    let (kind, message) = refused(own("landfall/prod", None, &one)).await;
    assert_eq!(kind, RefusalKind::NameConflict { with: "refs/heads/landfall".to_owned() });
    assert!(message.contains("rename or delete it"), "{message}");
    git(&remote, &["branch", "-D", "landfall"]);

    assert_eq!(push_one(&mirror, own("landfall/prod", None, &one)).await, RefResult::Updated);
    // Nothing of this says that the branch may not be rewritten.
    let lock = "touch refs/heads/landfall/prod.lock";
    for (script, said) in [("echo 'no tags of today'; exit 1", "no tags of today"), (lock, "prod.lock")] {
        hook(&remote, "update", script);
        let (kind, message) = refused(own("landfall/prod", Some(&one), &two)).await;
        assert_eq!(kind, RefusalKind::Other, "{message}");
        assert!(message.contains(said), "{message}");
    }
    std::fs::remove_file(remote.join("refs/heads/landfall/prod.lock")).unwrap();
    hook(&remote, "update", "echo 'GitLab: You are not allowed to force push code to a protected branch.'; exit 1");
    let (kind, message) = refused(own("landfall/prod", Some(&one), &two)).await;
    assert_eq!(kind, RefusalKind::Rewrite, "{message}");
    hook(&remote, "update", "exit 0");
    git(&remote, &["config", "receive.denyNonFastForwards", "true"]);
    let (kind, message) = refused(own("landfall/prod", Some(&one), &two)).await;
    assert_eq!(kind, RefusalKind::Rewrite, "{message}");
    assert!(message.contains("non-fast-forward"), "{message}");

    git(&remote, &["config", "receive.denyDeletes", "true"]);
    let delete = RefUpdate { new: None, ..own("landfall/prod", Some(&one), &two) };
    assert_eq!(refused(delete).await.0, RefusalKind::Deletion);
    assert_eq!(rev(&remote, "refs/heads/landfall/prod"), one);
}

#[tokio::test]
async fn a_lock_is_waited_for_and_one_that_stays_is_a_refusal() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let commit = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    let tries = || std::fs::read_to_string(remote.join("tries")).map_or(0, |text| text.lines().count());

    // Another push holds the lock during the first try, and has let go of it before the second.
    let script = "echo x >> tries; if [ $(wc -l < tries) = 1 ]; then touch refs/heads/main.lock; else rm -f refs/heads/main.lock; fi";
    hook(&remote, "update", script);
    assert_eq!(push_one(&mirror, forward(&base, &commit)).await, RefResult::Updated);
    assert_eq!((tries(), rev(&remote, MAIN)), (2, commit.clone()));

    // One that a crashed process left.
    hook(&remote, "update", "echo x >> tries; touch refs/heads/main.lock");
    std::fs::remove_file(remote.join("tries")).unwrap();
    let next = mirror.commit(&change(&commit, "apps/web/dev.yaml", "tag: v3\n")).unwrap();
    let result = push_one(&mirror, forward(&commit, &next)).await;
    let RefResult::Rejected { kind: RefusalKind::Other, message } = &result else { panic!("{result:?}") };
    assert!(message.contains("main.lock"), "{message}");
    assert_eq!((tries(), rev(&remote, MAIN)), (3, commit));
}
