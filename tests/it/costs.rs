//! What a cycle asks of the Git remote and the registry: no more than its promise.

use landfall::demo::git_http::RequestLog;

use crate::support::world::World;

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

#[test]
fn a_cycle_asks_each_question_once() {
    let world =
        World::setup().app("web", "1.0.0", &["dev", "prod"]).app("api", "1.0.0", &["dev", "prod"]).wired().start();
    let git = world.server.as_ref().unwrap().requests();
    let registry = &world.registry;
    let push = |tag: &str| {
        for app in ["acme/web", "acme/api"] {
            world.push(app, tag);
        }
    };
    let mut bot = world.in_process("landfall.yaml");
    push("1.0.0");
    assert!(world.cycle(&mut bot).unwrap().actions.is_empty());
    assert_eq!(asked(git), (1, 1, 0), "the first time");
    for tag in ["1.1.0", "1.2.0"] {
        push(tag);
        let before = registry.requests();
        let report = world.cycle(&mut bot).unwrap();
        assert_eq!((report.actions.len(), report.problems.len()), (3, 0), "{report:?}");
        assert!(!report.failed(), "{report:?}");
        // One listing to begin with, and one after each push of branches; branches of commits, branches of pull
        // requests, and the records of those.
        assert_eq!(asked(git), (3, 0, 3), "{tag}");
        // What is written at first is read once, too: whatever replaces it must run where it does.
        let first = if tag == "1.1.0" { 4 } else { 0 };
        assert_eq!(
            registry.requests() - before,
            6 + first,
            "each image: its list, the manifest of the tag, and its configuration"
        );
        for _ in 0..2 {
            let before = registry.log().len();
            assert!(world.cycle(&mut bot).unwrap().actions.is_empty());
            assert_eq!(asked(git), (1, 0, 0), "nothing to do after {tag}");
            let log = registry.log();
            let seen: Vec<_> = log[before..].iter().map(|seen| (seen.method.as_str(), seen.status)).collect();
            // Lists that have not changed, and tags that still stand for what the open pull requests say.
            assert_eq!(seen.iter().filter(|seen| **seen == ("GET", 304)).count(), 2, "{seen:?}");
            assert_eq!(seen.iter().filter(|seen| **seen == ("HEAD", 200)).count(), 2, "{seen:?}");
            assert_eq!(seen.len(), 4, "{seen:?}");
        }
    }
}
