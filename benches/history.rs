//! What ties cost: `cargo bench --bench history`.
//!
//! Prints one figure a line. The limits of the design: a history of 100,000 commits is read for the first time within 3 s,
//! and by the next process within 50 ms; an ancestor check in it stays below 1 ms, the reading of the history included, where
//! ten thousand are asked; an index of 20,000 objects is built in 100 ms,
//! and one lookup takes microseconds.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and a bench that fails may panic")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use landfall::cluster::object::read;
use landfall::git::{Ancestry, GitCredentials, History, Mirror, PinKey, RemoteSettings, RemoteUrl, TipMove};
use landfall::landing::watchers::{Coverage, FoundWatchers, RepositoryAddresses, WatchedFile, WatcherIndex, watchers};
use landfall::model::observation::Object;
use landfall::model::{BranchName, CommitId, RepoPath};
use landfall::overlay::{FileChange, PinIndex as Files, scan_file};

const COMMITS: usize = 100_000;
/// Overlays of the repository, and Applications of the cluster.
const APPS: usize = 2_000;
const OBJECTS: usize = 20_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(history());
    ties();
}

#[allow(clippy::disallowed_methods, reason = "the bench makes its repository with the plain git")]
fn git(dir: &Path, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("git");
    let child = child.current_dir(dir).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn kustomization(n: usize) -> String {
    format!("resources: [../../base]\nimages:\n- name: web\n  newName: ghcr.io/acme/web\n  newTag: v{n}\n")
}

/// A monorepo: every commit bumps one of 2,000 overlays; every tenth is a merge of a branch with one commit.
fn stream() -> Vec<u8> {
    let mut text = String::new();
    let commit = |text: &mut String, branch: &str, mark: usize, from: &[usize], n: usize| {
        let file = kustomization(n);
        write!(
            text,
            "commit refs/heads/{branch}\nmark :{mark}\ncommitter P <p@example.com> {} +0000\ndata 1\nx\n",
            1_500_000_000 + mark * 60
        )
        .unwrap();
        for (at, parent) in from.iter().enumerate() {
            writeln!(text, "{} :{parent}", if at == 0 { "from" } else { "merge" }).unwrap();
        }
        write!(
            text,
            "M 100644 inline apps/g{}/a{}/prod/kustomization.yaml\ndata {}\n{file}\n",
            n % APPS % 50,
            n % APPS,
            file.len()
        )
        .unwrap();
    };
    commit(&mut text, "main", 1, &[], 0);
    let (mut tip, mut mark) = (1, 1);
    while mark < COMMITS {
        if mark % 10 == 8 {
            commit(&mut text, "side", mark + 1, &[tip], mark);
            commit(&mut text, "main", mark + 2, &[tip, mark + 1], mark);
            mark += 2;
        } else {
            mark += 1;
            commit(&mut text, "main", mark, &[tip], mark);
        }
        tip = mark;
    }
    text.into_bytes()
}

async fn history() {
    let dir = tempfile::tempdir().unwrap();
    let remote = dir.path().join("r.git");
    git(dir.path(), &["init", "--quiet", "--bare", "-b", "main", remote.to_str().unwrap()], b"");
    git(&remote, &["fast-import", "--quiet"], &stream());
    let settings = RemoteSettings {
        url: RemoteUrl::parse(remote.to_str().unwrap()).unwrap(),
        credentials: GitCredentials::None,
        ca_file: None,
        client_certificate: None,
        timeout: Duration::from_secs(120),
    };
    let mirror = Mirror::open(&dir.path().join("m"), settings).await.unwrap();
    mirror.fetch(&["refs/heads/main".to_owned()]).await.unwrap();
    let tip = mirror.tip("refs/heads/main").unwrap().unwrap();
    let all = git(&remote, &["rev-list", "main"], b"");
    let all: Vec<CommitId> = all.lines().map(|line| CommitId::parse(line).unwrap()).collect();

    let main = BranchName::parse("main").unwrap();
    let ledger =
        timed(|| assert_eq!(mirror.marked(&tip, None, (&main, "Landfall-"), usize::MAX).unwrap().read, all.len()));
    println!("the ledger's reading of {} commits: {ledger:?}", all.len());
    let mut history = History::new();
    let read = timed(|| assert_eq!(history.follow(&mirror, &tip).unwrap(), TipMove::Anew));
    println!("history of {} commits, read once: {read:?}", all.len());
    let (mut count, mut contained) = (0_u32, 0);
    let asked = timed(|| {
        for (n, above) in all.iter().enumerate().step_by(997) {
            for below in all.iter().skip(n % 31).step_by(991) {
                contained += usize::from(history.contains(&mirror, above, below).unwrap() == Ancestry::Contains);
                count += 1;
            }
        }
    });
    assert!(contained > 0);
    println!(
        "{count} ancestor checks at random: {:?} each, {:?} with the reading",
        asked / count,
        (asked + read) / count
    );
    let pins: Vec<_> = mirror
        .changes(None, &tip)
        .unwrap()
        .into_iter()
        .filter_map(|change| RepoPath::parse(&change.path.to_string()).ok())
        .flat_map(|path| scan_file(&path, &mirror.read(&tip, &path).unwrap().unwrap()).pins)
        .collect();
    let mut found = 0;
    let walk = timed(|| found = history.introduced(&mirror, &pins).unwrap().len());
    println!("where {found} values come from, first walk: {walk:?}");
    let again = timed(|| found = history.introduced(&mirror, &pins).unwrap().len());
    println!("where {found} values come from, nothing new: {again:?}");

    let kept = timed(|| history.keep(&mirror, "main"));
    println!("kept for the next process: {kept:?}");
    let warm = timed(|| {
        let mut history = History::open(&mirror, "main");
        history.follow(&mirror, &tip).unwrap();
        assert_eq!(history.introduced(&mirror, &pins).unwrap().len(), found);
    });
    println!("the next process: history and where {found} values come from: {warm:?}");
    let keys: Vec<PinKey> = pins.iter().map(PinKey::from).collect();
    let mut changes = 0;
    for what in ["read once", "the next process"] {
        let took = timed(|| changes = mirror.value_changes(&tip, &keys, "main").unwrap().len());
        println!("{changes} changes of {} pins, {what}: {took:?}", keys.len());
    }
    let warm = timed(|| assert_eq!(mirror.marked(&tip, Some(&tip), (&main, "Landfall-"), usize::MAX).unwrap().read, 0));
    println!("the next process: the ledger's reading: {warm:?}");
}

fn ties() {
    let mut files = Files::new();
    let base = FileChange::File {
        path: RepoPath::parse("base/kustomization.yaml").unwrap(),
        bytes: b"resources: [d.yaml]".to_vec(),
    };
    files.update(vec![base]);
    let change = |n: usize| FileChange::File {
        path: RepoPath::parse(&format!("apps/a{n}/overlays/prod/kustomization.yaml")).unwrap(),
        bytes: kustomization(n).into_bytes(),
    };
    files.update((0..APPS).map(change).collect());
    let objects: Vec<Object> = (0..OBJECTS).map(object).collect();
    let mut index = None;
    let built = timed(|| index = Some(WatcherIndex::build(&objects, &Coverage::complete())));
    let index = index.unwrap();
    println!("index of {OBJECTS} objects, {APPS} of them Applications: {built:?}");
    let repository = RepositoryAddresses::new(["git@github.com:acme/deploys.git"], None);
    let branch = BranchName::parse("main").unwrap();
    let ask = |path: &RepoPath| {
        let place = WatchedFile {
            repository: &repository,
            branch: &branch,
            path,
            document: 0,
            tree: files.reach(),
            source_ignore: "",
        };
        watchers(&place, &index)
    };
    let paths: Vec<RepoPath> =
        (0..APPS).map(|n| RepoPath::parse(&format!("apps/a{n}/overlays/prod/kustomization.yaml")).unwrap()).collect();
    let all = timed(|| assert!(paths.iter().all(|path| matches!(ask(path), FoundWatchers::By { .. }))));
    println!("one lookup: {:?}", all / u32::try_from(APPS).unwrap());
    let nobody =
        timed(|| assert!(matches!(ask(&RepoPath::parse("elsewhere/x.yaml").unwrap()), FoundWatchers::Orphan { .. })));
    println!("one lookup that finds nobody: {nobody:?}");
}

/// Applications, then what they manage.
fn object(n: usize) -> Object {
    let value = if n < APPS {
        serde_json::json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": format!("a{n}"), "namespace": "argocd"},
            "spec": {"source": {"repoURL": "https://github.com/acme/deploys", "targetRevision": "main",
                "path": format!("apps/a{n}/overlays/prod")}}})
    } else {
        serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{n}"), "namespace": "web"}})
    };
    read(&value).unwrap()
}

fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}
