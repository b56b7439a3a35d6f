//! A branch's past, on histories made by plain Git: merges, squashes, reverts, force pushes, shallow remotes.

use std::fs;
use std::path::{Path, PathBuf};

use landfall::git::{
    Ancestry, AncestryGap, CameBy, FormerPin, GitError, History, HistoryLimits, Mirror, PinKey, TipMove, ValueAt,
    ValueOrigin,
};
use landfall::model::{BranchName, CommitId, Pin, RepoPath};
use landfall::overlay::scan_file;

use super::support::{Folder, fetched};
use crate::support::git::{file, git, rev};

const PATH: &str = "apps/web/kustomization.yaml";

fn kustomization(tag: &str) -> String {
    format!("images:\n- name: web\n  newName: ghcr.io/acme/web\n  newTag: {tag}\n")
}

/// A remote, a clone for people, and Landfall's mirror.
struct Scene {
    _folder: Folder,
    remote: PathBuf,
    work: PathBuf,
    mirror: Mirror,
}

impl Scene {
    async fn new() -> Self {
        let folder = Folder::new();
        let remote = folder.remote("r.git");
        let work = folder.clone_of(&remote, "work");
        let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
        Self { _folder: folder, remote, work, mirror }
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(&self.work, arguments)
    }

    /// Commits these texts as a person.
    fn commit(&mut self, author: &str, files: &[(&str, &str)]) -> CommitId {
        for (path, text) in files {
            fs::create_dir_all(self.work.join(path).parent().unwrap()).unwrap();
            fs::write(self.work.join(path), text).unwrap();
        }
        self.git(&["add", "-A"]);
        let author = format!("{author} <{author}@example.com>");
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "x", "--author", &author]);
        rev(&self.work, "HEAD")
    }

    fn tag(&mut self, author: &str, tag: &str) -> CommitId {
        self.commit(author, &[(PATH, &kustomization(tag))])
    }

    /// Pushes whatever `main` is in the clone, and follows it.
    async fn push(&self, history: &mut History) -> (CommitId, TipMove) {
        self.git(&["push", "--quiet", "--force", "origin", "HEAD:main"]);
        let tip = fetched(&self.mirror).await;
        let moved = history.follow(&self.mirror, &tip).unwrap();
        assert_eq!(history.tip().as_ref(), Some(&tip));
        (tip, moved)
    }

    fn merge(&self, branch: &str) -> CommitId {
        self.git(&["merge", "--quiet", "--no-ff", "-m", "merge", branch]);
        rev(&self.work, "HEAD")
    }

    fn contains(&self, history: &mut History, above: &CommitId, below: &CommitId) -> Ancestry {
        history.contains(&self.mirror, above, below).unwrap()
    }

    /// The pins of the working tree's file.
    fn pins(&self, path: &str) -> Vec<Pin> {
        pins_of(&self.work, path)
    }

    /// Where the value of the first pin comes from: who wrote it, in which commit, and the merge.
    fn origin(&self, history: &mut History) -> (String, CommitId, Option<CommitId>) {
        let pins = self.pins(PATH);
        let mut found = history.introduced(&self.mirror, &pins).unwrap();
        match found.remove(&PinKey::from(&pins[0])).unwrap() {
            ValueOrigin::Commit(it) => (it.wrote.author, it.wrote.commit, it.merge.map(|merge| merge.commit)),
            ValueOrigin::Older(than) => (format!("older than {}", than.author), than.commit, None),
        }
    }
}

fn pins_of(work: &Path, path: &str) -> Vec<Pin> {
    let path: RepoPath = file(path);
    scan_file(&path, &fs::read(work.join(path.as_str())).unwrap()).pins
}

#[tokio::test]
async fn ancestry_is_that_of_git() {
    let mut scene = Scene::new().await;
    let mut history = History::new();
    let mut commits = vec![scene.tag("ann", "v1")];
    for round in 0..4 {
        let branch = format!("side{round}");
        scene.git(&["checkout", "--quiet", "-b", &branch]);
        commits.push(scene.commit("bob", &[(&format!("b{round}"), "x")]));
        commits.push(scene.commit("bob", &[(&format!("c{round}"), "x")]));
        scene.git(&["checkout", "--quiet", "main"]);
        commits.push(scene.commit("ann", &[(&format!("a{round}"), "x")]));
        if round != 2 {
            commits.push(scene.merge(&branch));
        }
        // Also what was read piece by piece must agree.
        scene.git(&["push", "--quiet", "origin", "side0"]);
        scene.push(&mut history).await;
    }
    scene.git(&["push", "--quiet", "origin", "side2"]);
    scene.mirror.fetch(&["refs/heads/side2".to_owned()]).await.unwrap();
    for above in &commits {
        for below in &commits {
            let judge = crate::support::git::try_git(
                &scene.work,
                &["merge-base", "--is-ancestor", below.as_str(), above.as_str()],
            );
            let expected = if judge.status.success() { Ancestry::Contains } else { Ancestry::DoesNot };
            assert_eq!(scene.contains(&mut history, above, below), expected, "{below} in {above}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_unknown() {
    let mut scene = Scene::new().await;
    let mut history = History::new();
    let known = scene.tag("ann", "v1");
    scene.push(&mut history).await;
    let nowhere = CommitId::parse(&"ab".repeat(20)).unwrap();
    assert_eq!(scene.contains(&mut history, &nowhere, &known), Ancestry::Unknown(AncestryGap::Revision));
    assert_eq!(scene.contains(&mut history, &known, &nowhere), Ancestry::Unknown(AncestryGap::Commit));
    let pin = PinKey::from(&scene.pins(PATH)[0]);
    assert_eq!(history.value_at(&scene.mirror, &nowhere, &pin).unwrap(), ValueAt::UnknownRevision);
    let error = history.follow(&scene.mirror, &nowhere).unwrap_err();
    assert!(matches!(error, GitError::UnknownCommit { .. }), "{error}");
}

#[tokio::test]
async fn a_shallow_remote_never_says_no() {
    let mut scene = Scene::new().await;
    let mut history = History::new();
    let old = scene.tag("ann", "v1");
    let middle = scene.tag("ann", "v2");
    let new = scene.commit("ann", &[("x", "1")]);
    scene.push(&mut history).await;
    let shallow = scene._folder.path("shallow.git");
    let url = format!("file://{}", scene.remote.display());
    git(&scene._folder.path(""), &["clone", "--quiet", "--bare", "--depth", "2", &url, shallow.to_str().unwrap()]);
    // A mirror of Landfall's own is never shallow by its fetches; one that a person prepared may be.
    let mirror = scene._folder.mirror("m2", scene.remote.to_str().unwrap()).await;
    let objects = mirror.git_dir().join("objects/pack");
    for entry in fs::read_dir(shallow.join("objects/pack")).unwrap().flatten() {
        fs::copy(entry.path(), objects.join(entry.file_name())).unwrap();
    }
    let mut cut = History::new();
    cut.follow(&mirror, &new).unwrap();
    assert_eq!(cut.contains(&mirror, &new, &middle).unwrap(), Ancestry::Contains);
    assert_eq!(cut.contains(&mirror, &new, &old).unwrap(), Ancestry::Unknown(AncestryGap::Commit));
    let pins = scene.pins(PATH);
    let found = cut.introduced(&mirror, &pins).unwrap();
    assert!(matches!(&found[&PinKey::from(&pins[0])], ValueOrigin::Older(than) if than.commit == middle), "{found:?}");
    // The whole one knows.
    assert_eq!(scene.contains(&mut history, &new, &old), Ancestry::Contains);
}

#[tokio::test]
async fn a_history_longer_than_is_kept_never_says_no() {
    let mut scene = Scene::new().await;
    let commits: Vec<CommitId> = (0..8).map(|n| scene.tag("ann", &format!("v{n}"))).collect();
    let mut history = History::with_limits(HistoryLimits { commits: 3, walked: 100 });
    scene.push(&mut history).await;
    assert_eq!(scene.contains(&mut history, &commits[7], &commits[6]), Ancestry::Contains);
    assert_eq!(scene.contains(&mut history, &commits[7], &commits[0]), Ancestry::Unknown(AncestryGap::History));
    for n in 8..20 {
        let before = rev(&scene.work, "HEAD");
        let tip = scene.tag("ann", &format!("v{n}"));
        scene.push(&mut history).await;
        assert_eq!(scene.contains(&mut history, &tip, &before), Ancestry::Contains, "what is new comes in");
    }
}

#[tokio::test]
async fn a_force_push_is_followed() {
    let mut scene = Scene::new().await;
    let mut history = History::new();
    let first = scene.tag("ann", "v1");
    assert_eq!(scene.push(&mut history).await.1, TipMove::Anew);
    let gone = scene.tag("ann", "v2");
    assert_eq!(scene.push(&mut history).await.1, TipMove::Forward(1));
    assert_eq!(scene.push(&mut history).await.1, TipMove::Same);
    scene.git(&["reset", "--quiet", "--hard", first.as_str()]);
    let other = scene.tag("eve", "v3");
    assert_eq!(scene.push(&mut history).await.1, TipMove::Anew);
    assert_eq!(scene.contains(&mut history, &other, &gone), Ancestry::DoesNot);
    assert_eq!(scene.contains(&mut history, &gone, &first), Ancestry::Contains, "a controller may still be there");
    assert_eq!(scene.origin(&mut history), ("eve".to_owned(), other, None));
    // And back to a commit that is on the line: everything after it is undone.
    scene.git(&["reset", "--quiet", "--hard", first.as_str()]);
    assert_eq!(scene.push(&mut history).await.1, TipMove::Anew);
    assert_eq!(scene.origin(&mut history), ("ann".to_owned(), first, None));
}

#[tokio::test]
async fn values_come_from_the_tree_of_the_revision() {
    let mut scene = Scene::new().await;
    let mut history = History::new();
    let none = rev(&scene.work, "HEAD");
    let plain = scene.tag("ann", "v1");
    let moved =
        scene.commit("ann", &[(PATH, &format!("images:\n- name: side\n  newTag: s1\n{}", &kustomization("v2")[8..]))]);
    let twice = scene.commit("ann", &[(PATH, "images:\n- {name: a, newName: ghcr.io/acme/web, newTag: v3}\n- {name: x, newTag: v1}\n- {name: b, newName: ghcr.io/acme/web, newTag: v4}\n")]);
    let other = scene.commit("ann", &[(PATH, "images:\n- {name: web, newName: ghcr.io/acme/other, newTag: v5}\n")]);
    let broken = scene.commit("ann", &[(PATH, "images: [")]);
    let empty = scene.commit("ann", &[(PATH, "resources: []\n")]);
    scene.push(&mut history).await;
    scene.git(&["checkout", "--quiet", plain.as_str()]);
    let pin = PinKey::from(&scene.pins(PATH)[0]);
    let mut shown = |revision: &CommitId, pin: &PinKey| match history.value_at(&scene.mirror, revision, pin).unwrap() {
        ValueAt::Declared(name, version) => format!("{}:{version}", name.short()),
        ValueAt::Unreadable(_) => "unreadable".to_owned(),
        other => format!("{other:?}"),
    };
    let elsewhere = PinKey { key: "images[7].newTag".to_owned(), ..pin.clone() };
    for (what, revision, pin, expected) in [
        ("no such file yet", &none, &pin, "NoFile"),
        ("in its place", &plain, &pin, "web:v1"),
        ("moved down its list", &moved, &pin, "web:v2"),
        ("twice, and once in its place", &twice, &pin, "web:v3"),
        ("twice, and never in its place", &twice, &elsewhere, "Ambiguous"),
        ("another image in its place", &other, &pin, "other:v5"),
        ("a file that cannot be read", &broken, &pin, "unreadable"),
        ("gone from the file", &empty, &pin, "NoPin"),
    ] {
        assert_eq!(shown(revision, pin), expected, "{what}");
    }
}

#[tokio::test]
async fn the_commit_that_brought_a_value_is_named() {
    let mut scene = Scene::new().await;
    let mut history = History::new();
    let plain = scene.tag("ann", "v1");
    scene.commit("bob", &[("README.md", "x")]);
    scene.push(&mut history).await;
    assert_eq!(scene.origin(&mut history), ("ann".to_owned(), plain.clone(), None), "not the tip");

    scene.commit("cy", &[(PATH, &format!("# a comment\n{}", kustomization("v1")))]);
    scene.push(&mut history).await;
    assert_eq!(scene.origin(&mut history), ("ann".to_owned(), plain.clone(), None), "the same value, written anew");

    let grown = format!("images:\n- name: first\n  newTag: v0\n{}", &kustomization("v1")[8..]);
    scene.commit("di", &[(PATH, &grown)]);
    scene.push(&mut history).await;
    let pins = scene.pins(PATH);
    let found = history.introduced(&scene.mirror, &pins).unwrap();
    let authors: Vec<_> = pins
        .iter()
        .map(|pin| match &found[&PinKey::from(pin)] {
            ValueOrigin::Commit(it) => it.wrote.author.as_str(),
            ValueOrigin::Older(_) => "older",
        })
        .collect();
    assert_eq!(authors, ["di", "ann"], "the same value, further down its list");

    scene.tag("dee", "v2");
    let revert = scene.tag("eve", "v1");
    scene.push(&mut history).await;
    assert_eq!(scene.origin(&mut history), ("eve".to_owned(), revert, None), "a revert counts as itself");

    scene.git(&["checkout", "--quiet", "-b", "side"]);
    let wrote = scene.tag("flo", "v3");
    scene.commit("gus", &[("later", "x")]);
    scene.git(&["checkout", "--quiet", "main"]);
    scene.commit("hal", &[("meanwhile", "x")]);
    let merge = scene.merge("side");
    scene.commit("ida", &[("after", "x")]);
    scene.push(&mut history).await;
    assert_eq!(scene.origin(&mut history), ("flo".to_owned(), wrote.clone(), Some(merge.clone())), "a merge");
    assert_eq!(history.arrived(&scene.mirror, &wrote).unwrap(), Some(merge));

    scene.git(&["checkout", "--quiet", "-b", "squashed"]);
    scene.tag("jo", "v4-rc");
    scene.tag("jo", "v4");
    scene.git(&["checkout", "--quiet", "main"]);
    scene.git(&["merge", "--quiet", "--squash", "squashed"]);
    let squash = scene.commit("kim", &[]);
    scene.push(&mut history).await;
    assert_eq!(scene.origin(&mut history), ("kim".to_owned(), squash, None), "a squash");

    // What was found step by step is what one walk finds.
    let mut anew = History::new();
    anew.follow(&scene.mirror, &history.tip().unwrap()).unwrap();
    assert_eq!(scene.origin(&mut anew), scene.origin(&mut history));
}

#[tokio::test]
async fn one_walk_answers_for_all_pins_and_a_later_one_goes_on() {
    let mut scene = Scene::new().await;
    let mut history = History::with_limits(HistoryLimits { commits: 1_000, walked: 6 });
    let path = |n: usize| format!("apps/a{n}/kustomization.yaml");
    let first: Vec<CommitId> =
        (0..5).map(|n| scene.commit(&format!("p{n}"), &[(&path(n), &kustomization("v1"))])).collect();
    scene.push(&mut history).await;
    let all = |scene: &Scene| (0..5).flat_map(|n| scene.pins(&path(n))).collect::<Vec<_>>();
    let authors = |history: &mut History, scene: &Scene| {
        let found = history.introduced(&scene.mirror, &all(scene)).unwrap();
        let mut authors: Vec<String> = found
            .iter()
            .map(|(key, origin)| match origin {
                ValueOrigin::Commit(it) => format!("{} {}", key.path.parent(), it.arrived().author),
                ValueOrigin::Older(_) => format!("{} older", key.path.parent()),
            })
            .collect();
        authors.sort();
        authors
    };
    let expected = |changed: &[(usize, &str)]| {
        let author =
            |n: usize| changed.iter().find(|(at, _)| *at == n).map_or(format!("p{n}"), |(_, by)| (*by).to_owned());
        (0..5).map(|n| format!("apps/a{n} {}", author(n))).collect::<Vec<_>>()
    };
    assert_eq!(authors(&mut history, &scene), expected(&[]));
    // Twelve commits later, six of them read by each of two walks: what was known is still known.
    for n in 0..12 {
        scene.commit("noise", &[("README.md", &n.to_string())]);
        if n == 3 {
            scene.commit("new", &[(&path(3), &kustomization("v2"))]);
        }
        if n % 4 == 3 {
            scene.push(&mut history).await;
            assert_eq!(authors(&mut history, &scene), expected(&[(3, "new")]));
        }
    }
    let mut anew = History::with_limits(HistoryLimits { commits: 1_000, walked: 6 });
    anew.follow(&scene.mirror, &history.tip().unwrap()).unwrap();
    let older: Vec<String> = (0..5).map(|n| format!("apps/a{n} older")).collect();
    assert_eq!(authors(&mut anew, &scene), older, "beyond what one walk reads, it says so");
    let tip = history.tip().unwrap();
    assert_eq!(scene.contains(&mut history, &tip, &first[0]), Ancestry::Contains);
}

#[tokio::test]
async fn odd_trees_are_walked() {
    let mut scene = Scene::new().await;
    let mut history = History::new();
    // A file, then a folder of the same name, then the file again; and neighbours that sort around it.
    fs::remove_dir_all(scene.work.join("apps/web")).unwrap();
    scene.commit("ann", &[("apps/web", "x"), ("apps/web-2/k.yaml", "x"), ("apps/web.yaml", "x")]);
    fs::remove_file(scene.work.join("apps/web")).unwrap();
    let folder = scene.tag("bob", "v1");
    fs::remove_dir_all(scene.work.join("apps/web")).unwrap();
    scene.commit("cy", &[("apps/web", "x")]);
    fs::remove_file(scene.work.join("apps/web")).unwrap();
    let again = scene.tag("dee", "v1");
    scene.push(&mut history).await;
    assert_eq!(scene.origin(&mut history), ("dee".to_owned(), again, None));
    assert_eq!(history.arrived(&scene.mirror, &folder).unwrap(), Some(folder));
}

#[tokio::test]
async fn a_moved_file_is_followed_to_where_its_value_was_decided() {
    let mut scene = Scene::new().await;
    let mut history = History::new();
    scene.commit("ann", &[(PATH, &kustomization("v1")), ("apps/shop/kustomization.yaml", &kustomization("v1"))]);
    scene.tag("bob", "v2");
    let revert = scene.tag("eve", "v1");
    scene.push(&mut history).await;
    let former = |history: &mut History, scene: &Scene, path: &str| -> Vec<(String, String)> {
        let pins = scene.pins(path);
        let found = history.introduced(&scene.mirror, &pins).unwrap();
        let mut chains = history.former(&scene.mirror, &pins, &found).unwrap();
        let told = |FormerPin { key, origin }: FormerPin| match origin {
            ValueOrigin::Commit(it) => (format!("{} {}", key.path, key.name), it.wrote.author),
            ValueOrigin::Older(_) => (key.path.to_string(), "older".to_owned()),
        };
        chains.remove(&PinKey::from(&pins[0])).unwrap_or_default().into_iter().map(told).collect()
    };
    assert_eq!(former(&mut history, &scene, PATH), []);

    scene.git(&["mv", "apps", "services"]);
    scene.commit("fay", &[]);
    scene.push(&mut history).await;
    let was = |path: &str, by: &str| (format!("{path} ghcr.io/acme/web"), by.to_owned());
    let moved = "services/web/kustomization.yaml";
    assert_eq!(
        former(&mut history, &scene, moved),
        [was(PATH, "eve")],
        "and not the one beside it, though it is equal"
    );

    // Moved again, and changed by the same commit.
    scene.git(&["mv", "services/web", "web"]);
    let changed = format!("# moved\n{}", kustomization("v1"));
    scene.commit("gus", &[("web/kustomization.yaml", &changed)]);
    scene.push(&mut history).await;
    assert_eq!(former(&mut history, &scene, "web/kustomization.yaml"), [was(moved, "fay"), was(PATH, "eve")]);

    // The same tag from a mirror.
    let mirrored = changed.replace("ghcr.io/acme", "mirror.example.com/acme");
    scene.commit("hal", &[("web/kustomization.yaml", &mirrored)]);
    scene.push(&mut history).await;
    let chain = [was("web/kustomization.yaml", "gus"), was(moved, "fay"), was(PATH, "eve")];
    assert_eq!(former(&mut history, &scene, "web/kustomization.yaml"), chain);
    // What was found step by step is what is found at once.
    let mut anew = History::new();
    anew.follow(&scene.mirror, &history.tip().unwrap()).unwrap();
    assert_eq!(former(&mut anew, &scene, "web/kustomization.yaml"), chain);

    // A copy has no past of its own; neither has another image, or another tag.
    scene.commit("ida", &[("copy/kustomization.yaml", &mirrored)]);
    scene.git(&["mv", "services/shop", "shop"]);
    scene.commit("jo", &[("shop/kustomization.yaml", &kustomization("v9"))]);
    scene.push(&mut history).await;
    for path in ["copy/kustomization.yaml", "shop/kustomization.yaml"] {
        assert_eq!(former(&mut history, &scene, path), [], "{path}");
    }
    // Once what it was copied from is gone, it was moved: in two steps.
    scene.commit("kim", &[("edge/kustomization.yaml", &mirrored)]);
    scene.push(&mut history).await;
    assert_eq!(former(&mut history, &scene, "edge/kustomization.yaml"), []);
    scene.git(&["rm", "--quiet", "copy/kustomization.yaml"]);
    scene.commit("lou", &[]);
    scene.push(&mut history).await;
    let copied = [was("copy/kustomization.yaml", "ida").0.replace("ghcr.io", "mirror.example.com")];
    let told = former(&mut history, &scene, "edge/kustomization.yaml");
    assert_eq!(told.iter().map(|(place, _)| place.clone()).collect::<Vec<_>>(), copied);
    let mut anew = History::new();
    anew.follow(&scene.mirror, &history.tip().unwrap()).unwrap();
    assert_eq!(former(&mut anew, &scene, "edge/kustomization.yaml"), told);
    let web = scene.pins("web/kustomization.yaml");
    let found = history.introduced(&scene.mirror, &web).unwrap();
    let last = history.former(&scene.mirror, &web, &found).unwrap().remove(&PinKey::from(&web[0])).unwrap().pop();
    let ValueOrigin::Commit(it) = last.unwrap().origin else { panic!("known") };
    assert_eq!(it.wrote.commit, revert);
}

/// Commits these histories, in the language of `git fast-import`.
fn import(remote: &Path, stream: &str) {
    let file = remote.join("stream");
    fs::write(&file, stream).unwrap();
    git(remote, &["-c", "alias.load=!git fast-import --quiet --force < stream", "load"]);
}

fn imported(branch: &str, author: &str, from: &str, changes: &str) -> String {
    format!(
        "commit refs/heads/{branch}\ncommitter {author} <p@example.com> 1500000000 +0000\ndata 1\nx\n{from}{changes}\n"
    )
}

fn written(path: &str, text: &str) -> String {
    format!("M 100644 inline {path}\ndata {}\n{text}\n", text.len())
}

#[tokio::test]
async fn who_wrote_a_value_is_found_behind_a_merge_however_much_it_brings() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mut stream = imported("main", "ann", "", &written(PATH, &kustomization("v1")));
    stream.push_str(&imported("side", "bob", "from refs/heads/main\n", &written(PATH, &kustomization("v2"))));
    for n in 0..1100 {
        stream.push_str(&imported("side", "cy", "", &written("n", &n.to_string())));
    }
    let merged = format!("merge refs/heads/side\n{}", written(PATH, &kustomization("v2")));
    stream.push_str(&imported("main", "dee", "", &merged));
    import(&remote, &stream);
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let tip = fetched(&mirror).await;
    let path = RepoPath::parse(PATH).unwrap();
    let pins = scan_file(&path, &mirror.read(&tip, &path).unwrap().unwrap()).pins;
    let origin = |mut history: History| {
        history.follow(&mirror, &tip).unwrap();
        match history.introduced(&mirror, &pins).unwrap().into_values().next().unwrap() {
            ValueOrigin::Commit(by) => (by.wrote.author, by.merge.map(|merge| merge.author)),
            ValueOrigin::Older(_) => ("older".to_owned(), None),
        }
    };
    assert_eq!(origin(History::new()), ("bob".to_owned(), Some("dee".to_owned())));
    // Whoever has not read it all does not name whom it stopped at.
    for limits in [HistoryLimits { commits: 5_000, walked: 500 }, HistoryLimits { commits: 500, walked: 5_000 }] {
        assert_eq!(origin(History::with_limits(limits)), ("older".to_owned(), None), "{limits:?}");
    }
}

#[tokio::test]
async fn moves_are_followed_however_many_there_are() {
    let mut scene = Scene::new().await;
    let place = |n: usize| format!("p{n}/kustomization.yaml");
    let decoy = |n: usize| (format!("far/{n}/kustomization.yaml"), kustomization(&format!("v9.{n}")));
    let decoys: Vec<_> = (0..60).map(decoy).collect();
    let copied: Vec<_> =
        (0..60).map(|n| (format!("copied/{n}/kustomization.yaml"), kustomization(&format!("v5.{n}")))).collect();
    let files = |all: &[(String, String)]| {
        for (path, text) in all {
            fs::create_dir_all(scene.work.join(path).parent().unwrap()).unwrap();
            fs::write(scene.work.join(path), text).unwrap();
        }
    };
    files(&decoys);
    files(&copied);
    scene.commit("ann", &[("odd/old-name.yaml", &container("v3")), (&place(0), &kustomization("v1"))]);
    // Each move by its own commit, and each copy, too.
    for n in 1..=25 {
        scene.git(&["mv", &format!("p{}", n - 1), &format!("p{n}")]);
        scene.commit("bob", &[]);
    }
    for (n, (path, text)) in copied.iter().enumerate() {
        scene.commit("cy", &[(&path.replace("copied", "copies"), text), ("n", &n.to_string())]);
    }
    // The original has another name, and is changed by the commit that removes many that are nearer.
    scene.git(&["rm", "--quiet", "-r", "far", "odd", "copied"]);
    scene.commit("dee", &[("far/new/pod.yaml", &format!("# moved\n{}", container("v3")))]);
    let mut history = History::new();
    scene.push(&mut history).await;
    let mut former = |pins: &[Pin]| -> Vec<Vec<String>> {
        let found = history.introduced(&scene.mirror, pins).unwrap();
        let mut chains = history.former(&scene.mirror, pins, &found).unwrap();
        let mut chain = |pin: &Pin| chains.remove(&PinKey::from(pin)).unwrap_or_default();
        pins.iter().map(|pin| chain(pin).into_iter().map(|former| former.key.path.to_string()).collect()).collect()
    };
    let moved: Vec<String> = (0..25).rev().map(place).collect();
    assert_eq!(former(&scene.pins(&place(25))), [moved]);
    assert_eq!(former(&scene.pins("far/new/pod.yaml")), [["odd/old-name.yaml"]]);
    let copies: Vec<Pin> = copied.iter().flat_map(|(path, _)| scene.pins(&path.replace("copied", "copies"))).collect();
    let originals: Vec<Vec<String>> = copied.iter().map(|(path, _)| vec![path.clone()]).collect();
    assert_eq!(former(&copies), originals);
}

fn container(tag: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nspec: {{containers: [{{image: 'ghcr.io/acme/web:{tag}'}}]}}\n")
}

/// Twelve hundred commits on `main` of the remote, of which the middle one moves the tag, and a merge at the end.
fn long(remote: &Path) {
    let mut stream = String::new();
    for n in 1..=1200 {
        let text = kustomization(if n < 600 { "1.0.0" } else { "2.0.0" });
        stream.push_str(&format!(
            "commit refs/heads/main\nmark :{n}\ncommitter P{n} <p@example.com> {} +0000\ndata 1\nx\n",
            1_500_000_000 + n * 60
        ));
        if n > 1 {
            stream.push_str(&format!("from :{}\n", n - 1));
        }
        stream.push_str(&format!("M 100644 inline {PATH}\ndata {}\n{text}\n", text.len()));
        stream.push_str(&format!("M 100644 inline n\ndata {}\n{n}\n", n.to_string().len()));
    }
    import(remote, &stream);
}

#[tokio::test]
async fn a_long_history_is_kept_for_the_next_process_and_read_again_where_it_is_damaged() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    long(&remote);
    let url = remote.to_str().unwrap().to_owned();
    let mirror = folder.mirror("m", &url).await;
    let tip = fetched(&mirror).await;
    let read = |revision: &CommitId| {
        scan_file(
            &RepoPath::parse(PATH).unwrap(),
            &mirror.read(revision, &RepoPath::parse(PATH).unwrap()).unwrap().unwrap(),
        )
        .pins
    };
    let pins = read(&tip);
    let asked = |history: &mut History| {
        history.follow(&mirror, &tip).unwrap();
        let found = history.introduced(&mirror, &pins).unwrap();
        let first = rev(&remote, "main~1199");
        assert_eq!(history.contains(&mirror, &tip, &first).unwrap(), Ancestry::Contains);
        assert_eq!(history.contains(&mirror, &first, &tip).unwrap(), Ancestry::DoesNot);
        let ValueOrigin::Commit(by) = found.into_values().next().unwrap() else { panic!("it is cut") };
        assert_eq!((by.wrote.author.as_str(), by.wrote.commit), ("P600", rev(&remote, "main~600")));
    };
    let mut cold = History::open(&mirror, "main");
    assert_eq!(cold.commits(), 0);
    asked(&mut cold);
    cold.keep(&mirror, "main");
    let mut warm = History::open(&mirror, "main");
    assert_eq!(warm.commits(), 1200, "another process has it all");
    asked(&mut warm);
    assert_eq!(History::open(&mirror, "other").commits(), 0, "for another branch it is nothing");

    let past = folder.path("m").join("past");
    let file = fs::read_dir(&past).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&file).unwrap();
    for at in [0, 9, 50, whole.len() / 2, whole.len() - 1] {
        let mut bent = whole.clone();
        bent[at] ^= 1;
        fs::write(&file, bent).unwrap();
        let mut again = History::open(&mirror, "main");
        assert_eq!(again.commits(), 0, "byte {at}");
        asked(&mut again);
    }
    fs::write(&file, &whole[..100]).unwrap();
    assert_eq!(History::open(&mirror, "main").commits(), 0);

    // A branch that was rewritten: what is known of the old line is said of the old line alone.
    fs::write(&file, &whole).unwrap();
    git(&remote, &["update-ref", "refs/heads/main", "main~700"]);
    let back = fetched(&mirror).await;
    let mut rewritten = History::open(&mirror, "main");
    assert_eq!(rewritten.follow(&mirror, &back).unwrap(), TipMove::Anew);
    assert_eq!(rewritten.contains(&mirror, &back, &tip).unwrap(), Ancestry::DoesNot);
    let found = rewritten.introduced(&mirror, &read(&back)).unwrap();
    let ValueOrigin::Commit(by) = found.into_values().next().unwrap() else { panic!("it is cut") };
    assert_eq!(by.wrote.author, "P1");
}

#[tokio::test]
async fn messages_with_a_text_are_found_in_one_reading() {
    let mut scene = Scene::new().await;
    let mut history = History::new();
    for (nth, message) in ["one", "two\n\nLandfall-Update: x\n", "three"].iter().enumerate() {
        scene.tag("ann", &format!("1.{nth}.0"));
        scene.git(&["commit", "--quiet", "--amend", "-m", message]);
    }
    let (tip, _) = scene.push(&mut history).await;
    let main = BranchName::parse("main").unwrap();
    let log = scene.mirror.marked(&tip, None, (&main, "Landfall-"), 100).unwrap();
    let whole = scene.mirror.log(&tip, None, 100).unwrap();
    assert_eq!((log.read, log.marked.len()), (whole.len(), 1));
    assert_eq!(scene.mirror.log_of(&[log.marked[0].id.clone()], 1).unwrap()[0], whole[1]);
    let all: Vec<_> = whole.iter().map(|entry| entry.id.clone()).collect();
    let two = whole[0].message.len() + whole[1].message.len();
    for (bytes, count) in [(0, 1), (two - 1, 1), (two, 2), (usize::MAX, whole.len())] {
        assert_eq!(scene.mirror.log_of(&all, bytes).unwrap(), whole[..count], "{bytes}");
    }
    assert_eq!((&log.marked[0].came, log.marked[0].at), (&CameBy::Itself, whole[1].time));
    let newer = scene.mirror.marked(&tip, Some(&whole[1].id), (&main, "Landfall-"), 100).unwrap();
    assert_eq!((newer.read, newer.marked.len()), (1, 0));
}

#[tokio::test]
async fn every_change_of_a_value_is_found_again_by_whoever_comes_later() {
    let mut scene = Scene::new().await;
    let mut history = History::new();
    let first = scene.tag("ann", "1.0.0");
    scene.commit("ann", &[("other", "1")]);
    let pins: Vec<PinKey> = scene.pins(PATH).iter().map(PinKey::from).collect();
    // Newest first: what stood there before and since, and the commit of the line.
    let told = |scene: &Scene, tip: &CommitId, kept: &str| -> Vec<(String, String, CommitId)> {
        let changes = scene.mirror.value_changes(tip, &pins, kept).unwrap();
        let version = |version: Option<&landfall::model::Version>| version.map_or("-".to_owned(), ToString::to_string);
        changes.iter().map(|it| (version(it.from.as_ref()), version(Some(&it.to)), it.arrived.clone())).collect()
    };
    let wanted = |changes: &[(&str, &str, &CommitId)]| -> Vec<(String, String, CommitId)> {
        changes.iter().map(|(from, to, at)| ((*from).to_owned(), (*to).to_owned(), (*at).clone())).collect()
    };
    let (tip, _) = scene.push(&mut history).await;
    let all = [("-", "1.0.0", &first)];
    assert_eq!(told(&scene, &tip, "main"), wanted(&all));

    scene.git(&["checkout", "--quiet", "-b", "side"]);
    scene.tag("bob", "1.1.0");
    scene.tag("bob", "1.2.0");
    scene.git(&["checkout", "--quiet", "main"]);
    let merge = scene.merge("side");
    let back = scene.tag("ann", "1.0.0");
    let (tip, _) = scene.push(&mut history).await;
    let all = [("1.2.0", "1.0.0", &back), ("1.0.0", "1.2.0", &merge), ("-", "1.0.0", &first)];
    assert_eq!(told(&scene, &tip, "main"), wanted(&all), "what was kept, and what is new");
    assert_eq!(told(&scene, &tip, "main"), wanted(&all), "nothing is new");
    assert_eq!(told(&scene, &tip, "fresh"), wanted(&all));

    // Rewritten: nothing of the old line is told.
    scene.git(&["reset", "--quiet", "--hard", &first.to_string()]);
    let gone = scene.commit("ann", &[(PATH, "images: []\n")]);
    let again = scene.tag("ann", "3.0.0");
    let (tip, _) = scene.push(&mut history).await;
    let all = [("-", "3.0.0", &again), ("-", "1.0.0", &first)];
    assert_eq!(told(&scene, &tip, "main"), wanted(&all));
    assert_eq!(told(&scene, &gone, "main"), wanted(&all[1..]), "an older tip is asked for");
}
