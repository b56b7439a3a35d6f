//! What a cycle asks of the Git remote and the registry: no more than its promise.

use std::path::Path;

use landfall::config::{self, Environment};
use landfall::daemon::{self, Bot, Clock};
use landfall::demo::git_http::{GitServer, RequestLog};
use landfall::demo::registry::{DemoImage, DemoRegistry, RegistryOptions};
use landfall::git::create_bare;
use landfall::model::{BranchName, Tag};

use crate::git::support::Folder;
use crate::support::git::{file, stamp};

const POLICIES: &str = r#"
policies:
  - { name: dev, paths: ["dev/**"], environment: dev, write: commit, tags: { semver: "*" } }
  - { name: prod, paths: ["prod/**"], environment: prod, write: pull-request, tags: { semver: "*" } }
"#;

/// Listings of branches, fetches and pushes since the last call.
fn asked(log: &RequestLog) -> (usize, usize, usize) {
    let all = log.all();
    log.clear();
    let count = |end: &str| all.iter().filter(|asked| asked.path.ends_with(end)).count();
    let conversations = count("info/refs?service=git-upload-pack");
    // A listing posts once, a fetch twice.
    let fetches = count("/git-upload-pack") - conversations;
    (conversations - fetches, fetches, count("/git-receive-pack"))
}

async fn bot(folder: &Path, git: &str, registry: &str) -> Bot {
    let text = format!(
        "stateDir: state\nrepositories:\n  - {{ name: deploys, url: '{git}', branch: main, forge: {{ kind: local }}, policies: {{ \
         path: .landfall }} }}\nregistries:\n  - {{ host: '{registry}', plainHttp: true }}\n"
    );
    std::fs::write(folder.join("landfall.yaml"), text).unwrap();
    let loaded = config::load(&folder.join("landfall.yaml")).unwrap();
    daemon::bot(&loaded.settings, &Environment::from_fn(|_| None), Clock::system()).await.unwrap()
}

#[tokio::test]
async fn a_cycle_asks_each_question_once() {
    let folder = Folder::new();
    let registry = DemoRegistry::start(RegistryOptions::default()).await.unwrap();
    let push = |tag: &str| {
        for app in ["acme/web", "acme/api"] {
            let image = DemoImage::new(stamp().time);
            registry.push_image(app, &Tag::parse(tag).unwrap(), &image).unwrap();
        }
    };
    let overlay = |app: &str| format!("images:\n  - name: {}/acme/{app}\n    newTag: 1.0.0\n", registry.host());
    let mut files = vec![(file(".landfall/policies.yaml"), POLICIES.as_bytes().to_vec())];
    for (folder, app) in [("dev", "web"), ("dev", "api"), ("prod", "web"), ("prod", "api")] {
        files.push((file(&format!("{folder}/{app}/kustomization.yaml")), overlay(app).into_bytes()));
    }
    create_bare(&folder.root().join("r.git"), &BranchName::parse("main").unwrap(), &files, &stamp()).unwrap();
    let git = GitServer::start(&folder.root(), None).await.unwrap();
    let mut bot = bot(&folder.path(""), &git.url("r.git"), registry.host()).await;

    push("1.0.0");
    assert!(bot.apply().await[0].actions.is_empty());
    assert_eq!(asked(git.requests()), (1, 1, 0), "the first time");
    for tag in ["1.1.0", "1.2.0"] {
        push(tag);
        let before = registry.requests();
        let report = bot.apply().await.remove(0);
        assert_eq!((report.actions.len(), report.problems.len()), (3, 0), "{report:?}");
        assert!(!report.failed(), "{report:?}");
        // One listing to begin with, and one after each push of branches; branches of commits, branches of pull
        // requests, and the records of those.
        assert_eq!(asked(git.requests()), (3, 0, 3), "{tag}");
        assert_eq!(
            registry.requests() - before,
            6,
            "each image: its list, the manifest of the tag, and its configuration"
        );
        for _ in 0..2 {
            let before = registry.log().len();
            assert!(bot.apply().await[0].actions.is_empty());
            assert_eq!(asked(git.requests()), (1, 0, 0), "nothing to do after {tag}");
            let log = registry.log();
            let seen: Vec<_> = log[before..].iter().map(|seen| (seen.method.as_str(), seen.status)).collect();
            // Lists that have not changed, and tags that still stand for what the open pull requests say.
            assert_eq!(seen.iter().filter(|seen| **seen == ("GET", 304)).count(), 2, "{seen:?}");
            assert_eq!(seen.iter().filter(|seen| **seen == ("HEAD", 200)).count(), 2, "{seen:?}");
            assert_eq!(seen.len(), 4, "{seen:?}");
        }
    }
}
