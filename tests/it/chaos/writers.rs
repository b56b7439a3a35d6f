//! Many writers at once: people who push all the time, and a second instance of the bot.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use landfall::daemon::{ActionFailureCode, Step};

use super::oracle::{converges, judge};
use super::{apply, apps, merge_open_pull, only_dev, started};
use crate::support::git::{git, try_git};
use crate::support::process::{Ran, Running, Target};
use crate::support::trip::{Point, Reply, When, Where};
use crate::support::world::{DEV_PROD, Setup, World};

/// How often each of the people pushes.
const PUSHES: usize = 3;

/// One person: changes a file of their own or another line of an overlay, and pushes until it is taken.
fn person(world: &World, number: usize, pushed: &Mutex<Vec<String>>) {
    let work = world.path(&format!("person-{number}"));
    git(&world.path(""), &["clone", "--quiet", world.bare().to_str().unwrap(), work.to_str().unwrap()]);
    let mut random = fastrand::Rng::with_seed(number as u64);
    for round in 0..PUSHES {
        std::thread::sleep(Duration::from_millis(random.u64(0..2000)));
        loop {
            git(&work, &["fetch", "--quiet", "origin", "main"]);
            git(&work, &["reset", "--quiet", "--hard", "FETCH_HEAD"]);
            change(&work, number, round);
            git(&work, &["add", "-A"]);
            git(&work, &["commit", "--quiet", "-m", "by a person"]);
            if try_git(&work, &["push", "--quiet", "origin", "HEAD:refs/heads/main"]).status.success() {
                pushed.lock().unwrap().push(git(&work, &["rev-parse", "HEAD"]));
                break;
            }
        }
    }
}

fn change(work: &Path, number: usize, round: usize) {
    if number.is_multiple_of(2) {
        fs::create_dir_all(work.join("notes")).unwrap();
        return fs::write(work.join(format!("notes/{number}.txt")), format!("{round}\n")).unwrap();
    }
    let app = ["web", "api", "worker"][number % 3];
    let path = work.join(format!("apps/{app}/overlays/dev/kustomization.yaml"));
    let text = fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|line| {
        if line.contains("count:") {
            format!("  - {{ name: {app}, count: {} }}", number * 100 + round + 3)
        } else {
            line.to_owned()
        }
    });
    let text: Vec<String> = lines.collect();
    fs::write(&path, text.join("\n") + "\n").unwrap();
}

#[test]
fn twenty_people_push_while_the_bot_does() {
    let names = ["web", "api", "worker"];
    // Without a forge, so only dev moves.
    let world = started(apps(&names).policies(&only_dev()).no_forge(), &names);
    let config = world.config("state");
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let push = Point::on(Where::Git, "GET", "service=git-receive-pack", When::Before);
    world.wire.set(push, 0, usize::MAX, move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Reply::GoesOn
    });
    let pushed = Mutex::new(Vec::new());
    let mut bot = world.in_process(&config);
    let (mut landed, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let people: Vec<_> = (0..20)
            .map(|number| {
                scope.spawn({
                    let (world, pushed) = (&world, &pushed);
                    move || person(world, number, pushed)
                })
            })
            .collect();
        let mut version = 0;
        while !people.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            version += 1;
            for app in ["web", "api", "worker"] {
                world.push(&format!("acme/{app}"), &format!("1.{version}.0"));
            }
            let report = world.cycle(&mut bot).unwrap();
            assert!(!report.actions.is_empty(), "{report:?}");
            for action in &report.actions {
                match &action.step {
                    Step::Done(done) => landed += usize::from(done.verified),
                    Step::Failed(failure) => {
                        assert_eq!(failure.code, ActionFailureCode::LostRace, "{failure:?}");
                        refused += 1;
                    }
                    Step::Planned { .. } => panic!("{report:?}"),
                }
            }
        }
    });
    let (pushed, tries) = (pushed.into_inner().unwrap(), tries.load(Ordering::Relaxed));
    eprintln!(
        "people pushed {} commits; the bot landed {landed}, gave up {refused} times, pushed {tries} times",
        pushed.len()
    );
    assert_eq!(pushed.len(), 20 * PUSHES);
    assert!(tries > landed, "no race was lost: the test tests nothing");
    drop(bot);
    judge(&world, &pushed);
    converges(&world, &config, 3);
    judge(&world, &pushed);
}

/// Both run at once, round after round, whichever state folder the second has.
fn two_instances(forge: fn(Setup) -> Setup, second: &str) {
    let world = started(forge(apps(&["web", "api"])), &["web", "api"]);
    let (one, two) = (world.config("one"), world.config(second));
    for round in 1..=4 {
        world.push("acme/web", &format!("1.{round}.0"));
        world.push("acme/api", &format!("1.{round}.1"));
        let running = [&one, &two].map(|config| world.start(&["--config", config, "-o", "json", "apply"]));
        let ran = running.map(Running::finish);
        for ran in &ran {
            // Also where both have one state folder: each finds its mirror as it left it.
            assert!(!ran.stderr.contains("recreated"), "{}", ran.text());
        }
        for ran in ran {
            let report = ran.report();
            let errors = report["actions"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|action| action["result"]["error"]["code"].as_str());
            let codes: Vec<&str> = errors.collect();
            // Who loses the branch of a pull request says so; nothing else may go wrong.
            assert!(codes.iter().all(|code| *code == "lost-race"), "{}", ran.text());
            assert_eq!(report["problems"], serde_json::json!([]), "{}", ran.text());
            assert_eq!(ran.code, Some(if codes.is_empty() { 0 } else { 2 }), "{}", ran.text());
        }
        assert_eq!(world.tag("web", "dev"), format!("1.{round}.0"));
    }
    judge(&world, &[]);
    converges(&world, &one, 4);
    converges(&world, &two, 4);
    judge(&world, &[]);
}

#[test]
fn two_instances_with_one_state_folder() {
    two_instances(|setup| setup, "one");
}

#[test]
fn two_instances_with_a_state_folder_each() {
    two_instances(|setup| setup, "two");
}

#[test]
fn two_instances_and_github() {
    two_instances(|setup| setup.github(""), "two");
}

/// Where an instance is frozen: it has decided, and has not written.
const FREEZES: &[Point] = &[
    Point::on(Where::Registry, "GET", "/tags/list", When::After),
    Point::on(Where::Registry, "GET", "/manifests/", When::After),
    Point::on(Where::Git, "GET", "service=git-receive-pack", When::After),
    Point::on(Where::Forge, "GET", "head=", When::After),
    Point::on(Where::Forge, "POST", "/pulls", When::Before),
];

/// Freezes one instance at a point, lets `meanwhile` happen, and thaws it.
fn frozen(world: &World, point: Point, skip: usize, meanwhile: impl FnOnce()) -> Ran {
    let config = world.config("frozen");
    let (told, frozen) = std::sync::mpsc::channel();
    let target = Arc::new(std::sync::OnceLock::<Target>::new());
    let who = target.clone();
    world.wire.set(point, skip, 1, move || {
        who.wait().freeze();
        told.send(()).unwrap();
        Reply::GoesOn
    });
    let running = world.start(&["--config", &config, "-o", "json", "apply"]);
    target.set(running.target()).ok();
    frozen.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("never came to {point}"));
    meanwhile();
    running.target().thaw();
    running.finish()
}

fn frozen_everywhere(forge: fn(Setup) -> Setup) {
    let world = started(forge(apps(&["web"])), &["web"]);
    let other = world.config("other");
    let points = FREEZES.iter().filter(|point| point.server != Where::Forge || world.github.is_some());
    for (number, point) in points.enumerate() {
        world.push("acme/web", &format!("1.{}.0", number * 2 + 1));
        let newest = format!("1.{}.0", number * 2 + 2);
        let ran = frozen(&world, *point, 0, || {
            world.push("acme/web", &newest);
            let other = apply(&world, &other);
            assert_eq!(other.code, Some(0), "{}", other.text());
        });
        assert!(matches!(ran.code, Some(0 | 2)), "{point}: {}", ran.text());
        assert_eq!(world.tag("web", "dev"), newest, "{point}: {}", ran.text());
        judge(&world, &[]);
        if world.github.is_some() {
            merge_open_pull(&world);
        }
    }
    converges(&world, &other, 2);
    judge(&world, &[]);
}

#[test]
fn a_frozen_instance_wakes_up_after_another_has_written() {
    frozen_everywhere(|setup| setup);
}

#[test]
fn a_frozen_instance_wakes_up_with_github() {
    frozen_everywhere(|setup| setup.github(""));
}

/// The pull request that the frozen one is about to open has been opened, merged and cleaned away by then.
#[test]
fn a_frozen_instance_does_not_reopen_what_was_merged() {
    for same in [true, false] {
        let world = started(apps(&["web"]).github(""), &["web"]);
        let other = world.config("other");
        world.push("acme/web", "1.1.0");
        // Dev first, so that only the pull request is left to do.
        world.write(&[(".landfall/policies.yaml", &DEV_PROD.replace("write: commit", "write: never"))]);
        let point = Point::on(Where::Git, "GET", "service=git-receive-pack", When::Before);
        let ran = frozen(&world, point, 0, || {
            if !same {
                world.push("acme/web", "1.2.0");
            }
            let other = apply(&world, &other);
            assert_eq!(other.code, Some(0), "{}", other.text());
            merge_open_pull(&world);
        });
        assert!(matches!(ran.code, Some(0 | 2)), "{}", ran.text());
        judge(&world, &[]);
        let open = world.github().pulls().into_iter().filter(|pull| pull.state == "open").count();
        assert_eq!(open, 0, "{}", ran.text());
        assert_eq!(world.tag("web", "prod"), if same { "1.1.0" } else { "1.2.0" });
        converges(&world, &other, 1);
    }
}
