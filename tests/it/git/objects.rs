//! Trees, contents, history and merges, on repositories made by plain Git, the odd ones included.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use landfall::git::{
    Blob, EditComparison, Force, GitError, MAX_BLOB, MergeOutcome, Mirror, NewCommit, NewFiles, NewTree, RefResult,
    RefUpdate, TreeBudget, TreeChange, TreeEntry, TreePath, create_bare,
};
use landfall::model::{BranchName, CommitId, RepoPath};

use super::support::{Folder, MAIN, change, fetched, forward, push_one};
use crate::support::git::{command, file, fsck, git, rev, stamp, try_git};

/// Runs git with this on its standard input.
fn git_with_input(dir: &Path, arguments: &[&str], input: &[u8]) -> String {
    let mut child =
        command("git").current_dir(dir).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Puts a commit with this tree on `main`: mode, type, id and name of each entry, in `mktree` form.
fn commit_entries(remote: &Path, entries: &[(&str, &str, &str, &[u8])]) -> CommitId {
    let mut input = Vec::new();
    for (mode, kind, id, name) in entries {
        input.extend_from_slice(format!("{mode} {kind} {id}\t").as_bytes());
        input.extend_from_slice(name);
        input.push(0);
    }
    let tree = git_with_input(remote, &["mktree", "-z", "--missing"], &input);
    commit_tree(remote, &tree)
}

fn commit_tree(remote: &Path, tree: &str) -> CommitId {
    let commit = git(remote, &["commit-tree", "-m", "odd", tree]);
    git(remote, &["update-ref", MAIN, &commit]);
    CommitId::parse(&commit).unwrap()
}

fn blob(remote: &Path, text: &str) -> String {
    git_with_input(remote, &["hash-object", "-w", "--stdin"], text.as_bytes())
}

fn shown(change: &TreeChange) -> (String, Option<&'static str>) {
    let kind = change.now.map(|now| match now {
        TreeEntry::File { executable: false, .. } => "file",
        TreeEntry::File { executable: true, .. } => "program",
        TreeEntry::Symlink => "symlink",
        TreeEntry::Submodule => "submodule",
        TreeEntry::Folder => "folder",
    });
    let path = match &change.path {
        TreePath::Usable(path) => path.to_string(),
        TreePath::Odd { shown, reason } => format!("{shown} ({reason})"),
    };
    (path, kind)
}

fn all(mirror: &Mirror, from: Option<&CommitId>, to: &CommitId) -> Vec<(String, Option<&'static str>)> {
    mirror.changes(from, to).unwrap().iter().map(shown).collect()
}

fn listed<'a>(list: &[(&'a str, Option<&'a str>)]) -> Vec<(String, Option<&'a str>)> {
    list.iter().map(|(path, kind)| ((*path).to_owned(), *kind)).collect()
}

#[tokio::test]
async fn changes_are_those_of_git_diff() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let clone = folder.clone_of(&remote, "clone");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let first = fetched(&mirror).await;
    assert_eq!(
        all(&mirror, None, &first),
        listed(&[
            ("apps/api/dev.yaml", Some("file")),
            ("apps/web/dev.yaml", Some("file")),
            ("apps/web/prod.yaml", Some("file"))
        ])
    );
    assert_eq!(all(&mirror, Some(&first), &first), []);

    let script = "rm apps/web/prod.yaml && mv apps/api apps/web/prod.yaml && echo x > new && chmod +x apps/web/dev.yaml \
        && ln -s new link && git add -A && git -c user.name=a -c user.email=b commit -qm x && git push -q origin HEAD:main";
    assert!(command("sh").current_dir(&clone).args(["-c", script]).status().unwrap().success());
    let second = fetched(&mirror).await;
    assert_eq!(
        all(&mirror, Some(&first), &second),
        listed(&[
            ("apps/api/dev.yaml", None),
            ("apps/web/dev.yaml", Some("program")),
            ("apps/web/prod.yaml", None),
            ("apps/web/prod.yaml/dev.yaml", Some("file")),
            ("link", Some("symlink")),
            ("new", Some("file")),
        ])
    );
    // And back: the file takes the folder's place.
    assert_eq!(
        all(&mirror, Some(&second), &first),
        listed(&[
            ("apps/api/dev.yaml", Some("file")),
            ("apps/web/dev.yaml", Some("file")),
            ("apps/web/prod.yaml", Some("file")),
            ("apps/web/prod.yaml/dev.yaml", None),
            ("link", None),
            ("new", None),
        ])
    );
}

#[tokio::test]
async fn what_stands_oddly_in_a_tree_is_reported_and_refused() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let text = blob(&remote, "tag: v1\n");
    let link = blob(&remote, "../../etc/passwd");
    let inner = git_with_input(&remote, &["mktree", "-z"], format!("100644 blob {text}\tx.yaml\0").as_bytes());
    let submodule = "1".repeat(40);
    let hostile = format!("040000 tree {inner}\t..\0040000 tree {inner}\t.GIT\0100644 blob {text}\ty.yaml\0");
    let hostile = git_with_input(&remote, &["mktree", "-z"], hostile.as_bytes());
    let tip = commit_entries(
        &remote,
        &[
            ("040000", "tree", &hostile, b"hostile"),
            ("120000", "blob", &link, b"link"),
            ("100644", "blob", &text, b"new\nline.yaml"),
            ("100644", "blob", &text, b"not-utf8-\xff.yaml"),
            ("040000", "tree", &inner, b"ok"),
            ("100755", "blob", &text, b"program.yaml"),
            ("160000", "commit", &submodule, b"sub"),
            ("100644", "blob", &text, "ünï.yaml".as_bytes()),
        ],
    );
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    assert_eq!(fetched(&mirror).await, tip);
    let expected = [
        ("hostile/y.yaml", Some("file")),
        ("link", Some("symlink")),
        ("ok/x.yaml", Some("file")),
        ("program.yaml", Some("program")),
        ("sub", Some("submodule")),
        ("ünï.yaml", Some("file")),
        ("hostile/.. (it has a . or .. component)", Some("folder")),
        ("hostile/.GIT (it is inside .git)", Some("folder")),
        ("new\\nline.yaml (it has a control character)", Some("file")),
        ("not-utf8-\\xff.yaml (it is not UTF-8)", Some("file")),
    ];
    assert_eq!(all(&mirror, None, &tip), listed(&expected));

    for (path, part) in [
        ("link", "is a symbolic link"),
        ("link/passwd", "`link` on its path is a symbolic link"),
        ("sub", "is a submodule"),
        ("sub/x", "`sub` on its path is a submodule"),
        ("ok", "is a folder"),
        ("ok/x.yaml/y", "`ok/x.yaml` on its path is a file"),
        ("ok/none.yaml", "no such file"),
        ("hostile/y.yaml", "invalid filename"),
    ] {
        let error = mirror.commit(&change(&tip, path, "x")).unwrap_err();
        assert!(matches!(error, GitError::Refused { .. }) && error.to_string().contains(part), "{path}: {error}");
    }
    // Files that come and go are held to the same; only where nothing stands may one come.
    for (path, part) in
        [("link", "symbolic link"), ("link/new", "symbolic link"), ("sub/new", "submodule"), ("ok", "folder")]
    {
        for (put, remove) in [(vec![(file(path), b"x".to_vec())], Vec::new()), (Vec::new(), vec![file(path)])] {
            let error = mirror.commit_files(&files(&tip, put, remove)).unwrap_err();
            assert!(matches!(error, GitError::Refused { .. }) && error.to_string().contains(part), "{path}: {error}");
        }
    }
    assert_eq!(mirror.entry(&tip, &file("link")).unwrap(), Some(TreeEntry::Symlink));
    assert_eq!(mirror.entry(&tip, &file("link/x")).unwrap(), None);
    assert_eq!(mirror.read(&tip, &file("link")).unwrap(), None);
    assert_eq!(mirror.entry(&tip, &file("sub")).unwrap(), Some(TreeEntry::Submodule));
    assert_eq!(mirror.entry(&tip, &file("ok")).unwrap(), Some(TreeEntry::Folder));

    // A commit beside them changes the one file, keeps its mode, and leaves the rest as it is.
    let commit = mirror.commit(&change(&tip, "program.yaml", "tag: v2\n")).unwrap();
    git(&remote, &["config", "receive.fsckObjects", "false"]);
    assert_eq!(push_one(&mirror, forward(&tip, &commit)).await, landfall::git::RefResult::Updated);
    let changed = git(&remote, &["diff-tree", "-r", "--no-renames", tip.as_str(), commit.as_str()]);
    assert_eq!(changed.lines().count(), 1, "{changed}");
    assert!(changed.starts_with(":100755 100755") && changed.ends_with("M\tprogram.yaml"), "{changed}");
}

fn files(parent: &CommitId, put: Vec<(RepoPath, Vec<u8>)>, remove: Vec<RepoPath>) -> NewFiles {
    NewFiles { parent: parent.clone(), put, remove, message: "files".to_owned(), stamp: stamp() }
}

#[tokio::test]
async fn files_come_and_go() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let one = |path: &str, text: &str| vec![(file(path), text.as_bytes().to_vec())];
    let added = mirror.commit_files(&files(&base, one("new/deep/a.yaml", "a"), Vec::new())).unwrap();
    assert_eq!(all(&mirror, Some(&base), &added), listed(&[("new/deep/a.yaml", Some("file"))]));
    let both = mirror.commit_files(&files(&added, one("b.yaml", "b"), vec![file("new/deep/a.yaml")])).unwrap();
    assert_eq!(all(&mirror, Some(&base), &both), listed(&[("b.yaml", Some("file"))]), "the folders are gone, too");
    let replaced = mirror.commit_files(&files(&both, one("b.yaml", "c"), Vec::new())).unwrap();
    assert_eq!(mirror.read(&replaced, &file("b.yaml")).unwrap().unwrap(), b"c");
    // One that only says something is a commit as well.
    let said = mirror.commit_files(&files(&replaced, Vec::new(), Vec::new())).unwrap();
    assert!(said != replaced && all(&mirror, Some(&replaced), &said).is_empty());
    assert_eq!(push_one(&mirror, forward(&base, &said)).await, landfall::git::RefResult::Updated);
    for (put, remove, part) in [
        (one("b.yaml", "x"), vec![file("b.yaml")], "twice"),
        (Vec::new(), vec![file("none.yaml")], "no such file"),
        (one("b.yaml/x", "x"), Vec::new(), "on its path is a file"),
    ] {
        let error = mirror.commit_files(&files(&said, put, remove)).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    fsck(&remote);
}

#[tokio::test]
async fn commits_that_make_no_sense_are_refused() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let good = change(&base, "apps/web/dev.yaml", "tag: v2\n");
    let mut cases = Vec::new();
    let mut case = |part: &'static str, edit: fn(&mut landfall::git::NewCommit)| {
        let mut new = good.clone();
        edit(&mut new);
        cases.push((part, new));
    };
    case("change nothing", |new| new.files[0].1 = b"tag: v1\n".to_vec());
    case("change nothing", |new| new.files.clear());
    case("twice", |new| new.files.push(new.files[0].clone()));
    case("message", |new| new.message = " \n".to_owned());
    case("message", |new| new.message = "a\0b".to_owned());
    case("line break", |new| new.author.name = "a\nparent 1".to_owned());
    case("line break", |new| new.committer.email = "a> b <c".to_owned());
    case("empty", |new| new.author.name = String::new());
    case("1970", |new| new.time = jiff::Timestamp::from_second(-1).unwrap());
    case("not in the mirror", |new| new.parents = vec![CommitId::parse(&"1".repeat(40)).unwrap()]);
    case("not in the mirror", |new| new.base = CommitId::parse(&"1".repeat(40)).unwrap());
    for (part, new) in cases {
        let error = mirror.commit(&new).unwrap_err();
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    // The same decision made twice is the same commit.
    assert_eq!(mirror.commit(&good).unwrap(), mirror.commit(&good).unwrap());

    let tree = |files: &[&str]| NewTree {
        parents: Vec::new(),
        files: files.iter().map(|path| (file(path), b"x".to_vec())).collect(),
        message: "m".to_owned(),
        stamp: stamp(),
    };
    for files in [&["a", "a"][..], &["a", "a/b"], &["a/b/c", "a/b"]] {
        let error = mirror.commit_tree(&tree(files)).unwrap_err();
        assert!(error.to_string().contains("twice"), "{files:?}: {error}");
    }
}

#[tokio::test]
async fn contents_come_in_order_and_large_ones_stay_out() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let clone = folder.clone_of(&remote, "clone");
    for number in 0..1200 {
        fs::write(clone.join(format!("f{number:04}")), format!("{number}")).unwrap();
    }
    fs::write(clone.join("huge"), vec![b'x'; usize::try_from(MAX_BLOB).unwrap() + 1]).unwrap();
    git(&clone, &["add", "-A"]);
    git(&clone, &["commit", "-qm", "many"]);
    git(&clone, &["push", "-q", "origin", "HEAD:main"]);
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let tip = fetched(&mirror).await;
    let ids: Vec<_> = mirror
        .changes(None, &tip)
        .unwrap()
        .into_iter()
        .filter_map(|change| match change.now {
            Some(TreeEntry::File { id, .. }) => Some((change.path.to_string(), id)),
            _ => None,
        })
        .collect();
    let bodies = mirror.read_blobs(&ids.iter().map(|(_, id)| *id).collect::<Vec<_>>()).unwrap();
    assert_eq!(bodies.len(), ids.len());
    for ((path, _), body) in ids.iter().zip(bodies) {
        match path.strip_prefix('f').map(str::parse::<u32>) {
            Some(Ok(number)) => assert_eq!(body, Blob::Body(number.to_string().into_bytes())),
            _ if path == "huge" => assert_eq!(body, Blob::TooLarge(MAX_BLOB + 1)),
            _ => {}
        }
    }
    let error = mirror.read(&tip, &file("huge")).unwrap_err();
    assert!(error.to_string().contains("16777217 bytes"), "{error}");
}

#[tokio::test]
async fn a_tree_that_grows_without_end_is_an_error() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    // Ten folders of ten folders of …: 10^12 files out of a dozen objects.
    let mut entry = format!("100644 blob {}", blob(&remote, "x"));
    for _ in 0..12 {
        let input: String = (0..10).map(|number| format!("{entry}\tf{number}\0")).collect();
        entry = format!("040000 tree {}", git_with_input(&remote, &["mktree", "-z"], input.as_bytes()));
    }
    let tip = commit_tree(&remote, entry.rsplit_once(' ').unwrap().1);
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    assert_eq!(fetched(&mirror).await, tip);
    let error = mirror.changes(None, &tip).unwrap_err();
    assert!(error.to_string().contains("more than 500000 entries"), "{error}");
    // What one commit of the bot may change is far less, and is known sooner.
    let error = mirror.changes_within(None, &tip, TreeBudget::COMMIT).unwrap_err();
    assert!(error.to_string().contains("more than 50000 entries"), "{error}");
}

#[tokio::test]
async fn a_commit_is_the_bots_own_only_where_tree_and_parents_are_what_it_would_have_made() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let planned = change(&base, "apps/web/prod.yaml", "tag: v2\n");
    let own = mirror.commit(&planned).unwrap();
    let compare = |commit: &CommitId| mirror.compare_with_edits(commit, &base, &planned.files).unwrap();
    assert_eq!(compare(&own), EditComparison::Same);
    // Another time, name and message are no difference: they prove nothing.
    let stranger = NewCommit { message: "mine".to_owned(), ..planned.clone() };
    assert_eq!(compare(&mirror.commit(&stranger).unwrap()), EditComparison::Same);

    let mut more = planned.clone();
    more.files.push((file("apps/web/dev.yaml"), b"command: evil\n".to_vec()));
    assert_eq!(compare(&mirror.commit(&more).unwrap()), EditComparison::OtherTree);
    let other = change(&base, "apps/web/prod.yaml", "tag: v3\n");
    assert_eq!(compare(&mirror.commit(&other).unwrap()), EditComparison::OtherTree);
    let added = NewFiles {
        parent: base.clone(),
        put: vec![planned.files[0].clone(), (file("new.yaml"), b"a\n".to_vec())],
        remove: Vec::new(),
        message: "x".to_owned(),
        stamp: stamp(),
    };
    assert_eq!(compare(&mirror.commit_files(&added).unwrap()), EditComparison::OtherTree);

    // The right tree on top of a stranger's commit, and on a second parent.
    let below = mirror.commit(&change(&base, "apps/api/dev.yaml", "evil\n")).unwrap();
    let two = NewCommit { parents: vec![base.clone(), below.clone()], ..planned.clone() };
    assert_eq!(compare(&mirror.commit(&two).unwrap()), EditComparison::OtherParents);
    let on_top = NewCommit { parents: vec![below], ..planned.clone() };
    assert_eq!(compare(&mirror.commit(&on_top).unwrap()), EditComparison::OtherParents);
    // Edits that cannot be made there were not made there.
    let gone = [(file("gone.yaml"), b"x".to_vec())];
    assert_eq!(mirror.compare_with_edits(&own, &base, &gone).unwrap(), EditComparison::OtherTree);
}

#[tokio::test]
async fn many_files_of_one_folder_are_found_and_edited_in_one_pass() {
    let folder = Folder::new();
    let remote = folder.root().join("many.git");
    let path = |number: usize| file(&format!("apps/a{number:05}/prod.yaml"));
    let contents: Vec<_> = (0..20_000).map(|number| (path(number), b"tag: v1\n".to_vec())).collect();
    create_bare(&remote, &BranchName::parse("main").unwrap(), &contents, &stamp()).unwrap();
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let commit = |count: usize| {
        let files: Vec<_> = (0..count).map(|number| (path(number), b"tag: v2\n".to_vec())).collect();
        let begin = std::time::Instant::now();
        (mirror.commit(&NewCommit { files, ..change(&base, "x", "") }).unwrap(), begin.elapsed())
    };
    let (few, (commit, many)) = (commit(2_000).1, commit(20_000));
    // Ten times as much; in quadratic time it would be a hundred times.
    assert!(many < few * 40 + std::time::Duration::from_secs(2), "{many:?} after {few:?}");
    let paths: Vec<RepoPath> = (0..20_000).map(path).collect();
    let entries =
        mirror.entries(&commit, paths.iter().chain([&file("apps/none"), &file("apps/a00001/prod.yaml/x")])).unwrap();
    assert_eq!(entries.len(), 20_000);
    assert_eq!(Some(entries[&path(7)]), mirror.entry(&commit, &path(7)).unwrap());
}

/// Puts this very commit object on `main`, whatever is wrong with it.
fn commit_literally(remote: &Path, text: &str) -> CommitId {
    let id = git_with_input(remote, &["hash-object", "-t", "commit", "-w", "--literally", "--stdin"], text.as_bytes());
    git(remote, &["update-ref", MAIN, &id]);
    CommitId::parse(&id).unwrap()
}

/// Only lines where Git looks for parents make some: whoever may push a commit may put any header into it.
#[tokio::test]
async fn a_commit_has_the_parents_that_git_says_it_has() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let (tree, main) = (git(&remote, &["rev-parse", "main^{tree}"]), rev(&remote, MAIN));
    let who = "Ada <ada@example.com> 1700000000 +0000";
    let hidden =
        commit_literally(&remote, &format!("tree {tree}\nparent {main}\nauthor {who}\ncommitter {who}\n\nhidden\n"));
    let missing = "1".repeat(40);
    for more in [
        format!("committer {who}\nparent {hidden}"),
        format!("committer {who}\nparent {missing}"),
        format!("committer {who}\nx-note y\nparent {hidden}\nauthor Eve <eve@example.com> 1 +0000"),
        format!("committer {who}\nencoding UTF-8\nparent {hidden}\ncommitter Eve <eve@example.com> 1 +0000"),
        format!("committer {who}\ngpgsig x\n parent {hidden}"),
    ] {
        let tip = commit_literally(&remote, &format!("tree {tree}\nparent {main}\nauthor {who}\n{more}\n\nx\n"));
        let mirror = folder.mirror(&format!("m{tip}"), remote.to_str().unwrap()).await;
        assert_eq!(fetched(&mirror).await, tip, "{more}");
        let entry = mirror.log(&tip, None, 1).unwrap().remove(0);
        let said = git(&remote, &["rev-list", "--parents", "-n1", tip.as_str()]);
        let parents: Vec<&str> = entry.parents.iter().map(CommitId::as_str).collect();
        assert_eq!(parents, said.split(' ').skip(1).collect::<Vec<_>>(), "{more}");
        assert_eq!((entry.author.name.as_str(), entry.committer.name.as_str()), ("Ada", "Ada"), "{more}");
        assert!(!mirror.is_ancestor(&hidden, &tip).unwrap_or(false), "{more}");
    }
}

#[tokio::test]
async fn the_flaws_of_old_histories_do_not_make_a_repository_unusable() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let tree = git(&remote, &["rev-parse", "main^{tree}"]);
    let good = "Ada <ada@example.com> 1700000000 +0000";
    let mut tip = rev(&remote, MAIN);
    for (author, name, email, time) in [
        ("Ada 1700000001 +0000", "Ada 1700000001 +0000", "", 0),
        ("Ada <ada@example.com 1700000001 +0000", "Ada", "ada@example.com 1700000001 +0000", 0),
        ("<ada@example.com> 1700000001 +0000", "", "ada@example.com", 1_700_000_001),
        ("Ada <ada@example.com> 01700000002 +0000", "Ada", "ada@example.com", 1_700_000_002),
        ("Ada <ada@example.com> 1700000003 +051800", "Ada", "ada@example.com", 1_700_000_003),
        ("Ada <ada@example.com>", "Ada", "ada@example.com", 0),
        ("Ada <ada@example.com> 99999999999999999999 +0000", "Ada", "ada@example.com", 0),
    ] {
        let text = format!("tree {tree}\nparent {tip}\nauthor {author}\ncommitter {author}\n\nold\n");
        tip = commit_literally(&remote, &text);
        let mirror = folder.mirror(&format!("m{tip}"), remote.to_str().unwrap()).await;
        assert_eq!(fetched(&mirror).await, tip, "{author}");
        let log = mirror.log(&tip, None, 100).unwrap_or_else(|error| panic!("{author}: {error}"));
        assert_eq!((log[0].author.name.as_str(), log[0].author.email.as_str()), (name, email), "{author}");
        assert_eq!(log[0].time.as_second(), time, "{author}");
        assert!(mirror.is_ancestor(log[0].parents.first().unwrap(), &tip).unwrap(), "{author}");
        let commit = mirror.commit(&change(&tip, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
        let name = format!("refs/heads/landfall/{}", &tip.as_str()[..8]);
        let push = RefUpdate { name, expected: None, new: Some(commit), force: Force::WithLease };
        assert_eq!(push_one(&mirror, push).await, RefResult::Updated, "{author}");
    }
    let text = format!("tree {tree}\nparent {tip}\nauthor {good}\ncommitter {good}\n\nx\n");
    let tree_of = |first: &str, second: &str| {
        let blob = blob(&remote, "x");
        let raw: Vec<u8> = (0..40).step_by(2).map(|at| u8::from_str_radix(&blob[at..at + 2], 16).unwrap()).collect();
        let entries = [first.as_bytes(), &raw, second.as_bytes(), &raw].concat();
        git_with_input(&remote, &["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &entries)
    };
    // A name that a tree has twice.
    let twice = commit_literally(&remote, &text.replace(&tree, &tree_of("100644 a\0", "100644 a\0")));
    let mirror = folder.mirror("twice", remote.to_str().unwrap()).await;
    assert_eq!(fetched(&mirror).await, twice);
    // What makes an object say two things is refused as before.
    let unsorted = tree_of("100644 b\0", "100644 a\0");
    commit_literally(&remote, &text.replace(&tree, &unsorted));
    let mirror = folder.mirror("unsorted", remote.to_str().unwrap()).await;
    assert!(mirror.fetch(&[MAIN.to_owned()]).await.is_err());
}

#[tokio::test]
async fn a_shallow_remote_is_read_as_far_as_it_goes() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    folder.person_commits(&remote, "apps/web/dev.yaml", "tag: v2\n");
    let tip = folder.person_commits(&remote, "apps/web/dev.yaml", "tag: v3\n");
    let shallow = folder.root().join("shallow.git");
    let url = format!("file://{}", remote.display());
    git(&folder.root(), &["clone", "--quiet", "--bare", "--depth", "2", &url, shallow.to_str().unwrap()]);
    let mirror = folder.mirror("m", shallow.to_str().unwrap()).await;
    assert_eq!(fetched(&mirror).await, tip);
    let log = mirror.log(&tip, None, 100).unwrap();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(mirror.is_ancestor(&log[1].id, &tip).unwrap());
    let commit = mirror.commit(&change(&tip, "apps/web/dev.yaml", "tag: v4\n")).unwrap();
    assert_eq!(push_one(&mirror, forward(&tip, &commit)).await, RefResult::Updated);
}

#[tokio::test]
async fn folders_nested_without_end_do_not_end_the_process() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mut input = format!("commit {MAIN}\ncommitter A <a@b> 1800000000 +0000\ndata 1\nx\n");
    let deep = vec!["d"; 3000].join("/");
    input.push_str(&format!("M 644 inline {deep}/f\ndata 1\nx\n"));
    git_with_input(&remote, &["fast-import", "--quiet", "--force"], input.as_bytes());
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let tip = fetched(&mirror).await;
    let changes = mirror.changes(None, &tip).unwrap();
    assert_eq!(changes.len(), 1, "reported once, where the path is too long: {}", changes.len());
}

#[tokio::test]
async fn history_is_that_of_git_log() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let clone = folder.clone_of(&remote, "clone");
    let script = "export GIT_AUTHOR_NAME='Ann <x' GIT_AUTHOR_EMAIL=ann@example.com GIT_COMMITTER_NAME=Cy GIT_COMMITTER_EMAIL=c
        one() { echo $1 > $1; git add -A; GIT_COMMITTER_DATE=\"@$2 +0100\" GIT_AUTHOR_DATE='@1 +0000' git commit -qm \"$1\n\nbody $1\"; }
        one a 1800000000; git checkout -qb side; one b 1800000001; git checkout -q main; one c 1700000000; one d 1800000002
        GIT_COMMITTER_DATE='@1800000003 +0000' git merge -q --no-edit side; git push -q origin main";
    assert!(command("sh").current_dir(&clone).args(["-ec", script]).status().unwrap().success());
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let tip = fetched(&mirror).await;
    let subjects = |known: Option<&CommitId>, limit| -> Vec<String> {
        let log = mirror.log(&tip, known, limit).unwrap();
        log.iter().map(|entry| entry.message.lines().next().unwrap().to_owned()).collect()
    };
    let expected: Vec<String> = git(&remote, &["log", "--format=%s", MAIN]).lines().map(str::to_owned).collect();
    assert_eq!(subjects(None, 100), expected);
    assert_eq!(subjects(None, 2), expected[..2]);
    // The skewed clock of `c` hides nothing and shows nothing twice.
    for known in ["main", "main~1", "side", "main~2", "main~3", "main~4"] {
        git(&clone, &["fetch", "-q", "origin"]);
        let known = rev(&clone, known);
        let expected = git(&clone, &["log", "--format=%s", "main", &format!("^{known}")]);
        assert_eq!(subjects(Some(&known), 100), expected.lines().collect::<Vec<_>>(), "{known}");
    }
    let unknown = CommitId::parse(&"1".repeat(40)).unwrap();
    assert_eq!(subjects(Some(&unknown), 100), expected);
    assert!(matches!(mirror.log(&unknown, None, 1).unwrap_err(), GitError::UnknownCommit { .. }));

    let log = mirror.log(&tip, None, 100).unwrap();
    let entry = log.iter().find(|entry| entry.message.starts_with('b')).unwrap();
    assert_eq!((entry.author.email.as_str(), entry.committer.name.as_str()), ("ann@example.com", "Cy"));
    assert_eq!(entry.time.as_second(), 1_800_000_001);
    assert_eq!(entry.message, "b\n\nbody b\n");
    assert_eq!(log[0].parents.len(), 2);

    let side = rev(&clone, "side");
    let main = rev(&clone, "main~1");
    assert!(mirror.is_ancestor(&side, &tip).unwrap() && mirror.is_ancestor(&tip, &tip).unwrap());
    assert!(!mirror.is_ancestor(&side, &main).unwrap() && !mirror.is_ancestor(&tip, &main).unwrap());
    assert!(mirror.is_ancestor(&rev(&clone, "main~3"), &main).unwrap());
    assert!(matches!(mirror.is_ancestor(&unknown, &tip).unwrap_err(), GitError::UnknownCommit { .. }));
}

/// A known merge of very many commits, each newer than what was pushed on top of it, waits in the queue as a whole.
#[tokio::test]
async fn a_merge_of_very_many_commits_is_walked_in_no_more_than_their_number() {
    const PARENTS: usize = 16_000;
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mut input = String::new();
    for n in 2..PARENTS + 2 {
        input += &format!("commit refs/heads/x\nmark :{n}\ncommitter p <p@x> 4070908800 +0000\n");
        input += &format!("data 5\n{n:05}\nreset refs/heads/x\n\n");
    }
    let marks = folder.path("marks");
    git_with_input(
        &remote,
        &["fast-import", "--quiet", &format!("--export-marks={}", marks.display())],
        input.as_bytes(),
    );
    let marks = fs::read_to_string(marks).unwrap();
    let parents: Vec<&str> = marks.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(parents.len(), PARENTS);
    let tree = git(&remote, &["rev-parse", "main^{tree}"]);
    let commit = |parents: &[&str], time: u64| {
        let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let by = format!("p <p@x> {time} +0000");
        let text = format!("tree {tree}\n{parents}author {by}\ncommitter {by}\n\nx\n");
        git_with_input(&remote, &["hash-object", "-t", "commit", "-w", "--stdin"], text.as_bytes())
    };
    let merge = commit(&parents, 1_700_000_001);
    let above = commit(&[&merge], 1);
    git(&remote, &["update-ref", MAIN, &above]);
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let tip = fetched(&mirror).await;
    let known = CommitId::parse(&merge).unwrap();
    let begun = std::time::Instant::now();
    let log = mirror.log(&tip, Some(&known), 100).unwrap();
    // Looking through the queue for each took more than a minute.
    let took = begun.elapsed();
    assert_eq!(log.iter().map(|entry| &entry.id).collect::<Vec<_>>(), [&tip]);
    assert!(took.as_secs() < 15, "{took:?}");
}

#[tokio::test]
async fn merges_are_those_of_git_or_a_list_of_conflicts() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let ours = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    let theirs = mirror.commit(&change(&base, "apps/web/prod.yaml", "tag: v2\n")).unwrap();
    let clash = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v3\n")).unwrap();

    let MergeOutcome::Merged(merged) = mirror.merge(&ours, &theirs, "MergeOutcome pull request 1", &stamp()).unwrap()
    else {
        panic!("not merged")
    };
    assert_eq!(push_one(&mirror, forward(&base, &merged)).await, landfall::git::RefResult::Updated);
    fsck(&remote);
    assert_eq!(git(&remote, &["show", "main:apps/web/dev.yaml"]), "tag: v2");
    assert_eq!(git(&remote, &["show", "main:apps/web/prod.yaml"]), "tag: v2");
    assert_eq!(git(&remote, &["rev-parse", "main^1", "main^2"]), format!("{ours}\n{theirs}"));
    let judge = git(&remote, &["merge-tree", "--write-tree", ours.as_str(), theirs.as_str()]);
    assert_eq!(judge, git(&remote, &["rev-parse", "main^{tree}"]));

    let conflict = mirror.merge(&ours, &clash, "m", &stamp()).unwrap();
    assert_eq!(conflict, MergeOutcome::Conflict(vec!["apps/web/dev.yaml".to_owned()]));
    assert_eq!(mirror.merge(&merged, &theirs, "m", &stamp()).unwrap(), MergeOutcome::AlreadyMerged);
    // A base that has not moved: still a merge commit, so that the history says what happened.
    let MergeOutcome::Merged(forward) = mirror.merge(&base, &clash, "m", &stamp()).unwrap() else {
        panic!("not merged")
    };
    assert_eq!(mirror.read(&forward, &file("apps/web/dev.yaml")).unwrap().unwrap(), b"tag: v3\n");

    let tree = NewTree {
        parents: Vec::new(),
        files: vec![(RepoPath::parse("x").unwrap(), b"x".to_vec())],
        message: "m".to_owned(),
        stamp: stamp(),
    };
    let stranger = mirror.commit_tree(&tree).unwrap();
    let error = mirror.merge(&ours, &stranger, "m", &stamp()).unwrap_err();
    assert!(error.to_string().contains("nothing in common"), "{error}");
}

#[tokio::test]
async fn a_deleted_file_against_a_changed_one_is_a_conflict() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let clone = folder.clone_of(&remote, "clone");
    git(&clone, &["rm", "-q", "apps/web/dev.yaml"]);
    git(&clone, &["commit", "-qm", "gone"]);
    git(&clone, &["push", "-q", "origin", "HEAD:main"]);
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let gone = fetched(&mirror).await;
    let bump = mirror.commit(&change(&rev(&clone, "HEAD~1"), "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    let merged = mirror.merge(&gone, &bump, "m", &stamp()).unwrap();
    assert_eq!(merged, MergeOutcome::Conflict(vec!["apps/web/dev.yaml".to_owned()]));
    assert!(
        try_git(&mirror.git_dir(), &["merge-base", "--is-ancestor", bump.as_str(), gone.as_str()]).status.code()
            == Some(1)
    );
}
