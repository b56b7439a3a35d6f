//! Many pull requests of one repository: a few requests for all of them, and the same judgement as one by one.

use std::time::Duration;

use landfall::forge::{GitHub, GitHubSettings};
use landfall::model::{BranchName, CommitId};
use serde_json::json;

use crate::support::forge_stub::{ForgeStub, Speech, TOKEN};
use crate::support::world::{DEV_PROD, Setup, World};

const COUNT: u64 = 500;

fn github(stub: &ForgeStub) -> GitHub {
    GitHub::new(GitHubSettings {
        api_url: stub.url(),
        owner: "acme".to_owned(),
        repository: "deploys".to_owned(),
        token: TOKEN.into(),
        ca_pem: None,
        timeout: Duration::from_secs(60),
    })
    .unwrap()
}

/// Five hundred open pull requests, each with another tip; all of them approved, by who may and by who may not.
fn five_hundred() -> ForgeStub {
    let stub = ForgeStub::start();
    stub.heads(|branch| {
        let number: u64 = branch.rsplit('-').next()?.parse().ok()?;
        Some(format!("{number:040x}"))
    });
    stub.right("cy", "read");
    for number in 1..=COUNT {
        let branch = format!("landfall/prod/app-{number}");
        assert_eq!(stub.open(&branch, "main", None), number);
        stub.pushed_by(&branch, if number % 10 == 0 { "ann" } else { "landfall-bot" });
        stub.review(number, "ann", "APPROVED");
        stub.review(number, if number % 3 == 0 { "ben" } else { "cy" }, "APPROVED");
        stub.status(&branch, "ci/lint", if number % 7 == 0 { "failure" } else { "success" });
        stub.run(&branch, "build", "completed", Some("failure"));
        stub.run(&branch, "build", "completed", Some("success"));
    }
    // One has more reviews than are asked for at once.
    for _ in 0..60 {
        stub.review(17, "ben", "COMMENTED");
    }
    stub
}

#[tokio::test]
async fn five_hundred_are_listed_and_judged_within_twenty_requests() {
    let stub = five_hundred();
    let github = github(&stub);
    let open = github.open_pulls("landfall/").await.unwrap();
    let (numbers, heads): (Vec<u64>, Vec<BranchName>) =
        open.iter().map(|pull| (pull.number, pull.head.clone())).unzip();
    let base = BranchName::parse("main").unwrap();
    let past = github.past(&heads, &base).await.unwrap();
    let judged = github.judged(&numbers).await.unwrap();
    let asked = stub.asked();
    assert_eq!((open.len(), past.len(), judged.len()), (500, 500, 500));
    assert!(asked.len() <= 20, "{} requests: {asked:?}", asked.len());
    for (at, pull) in open.iter().enumerate() {
        assert_eq!(past[at], (pull.head.clone(), vec![pull.clone()]));
    }
    // The same as one by one, wherever something is said.
    for number in [1, 3, 7, 10, 17, 30, 499] {
        let told = judged.iter().find(|judged| judged.number == number).unwrap();
        let tip = CommitId::parse(&format!("{number:040x}")).unwrap();
        assert_eq!(told.tip, tip);
        assert_eq!(told.checks.as_ref(), Some(&github.checks(&tip).await.unwrap()), "{number}");
        let reviews = github.reviews(number).await.unwrap();
        match number {
            17 => assert_eq!(told.reviews, None, "it has more reviews"),
            _ => assert_eq!(told.reviews.as_ref(), Some(&reviews), "{number}"),
        }
        assert_eq!(told.behind, Some(false));
        let by_ann = reviews.approvals(&[tip]).contains(&"ann");
        assert_eq!(by_ann, number % 10 != 0, "who pushed it cannot approve it");
    }
}

#[tokio::test]
async fn a_push_that_nobody_tells_of_leaves_its_approval_to_a_single_question() {
    let stub = five_hundred();
    let github = github(&stub);
    let numbers: Vec<u64> = (1..=20).collect();
    stub.forget_push("landfall/prod/app-5");
    let judged = github.judged(&numbers).await.unwrap();
    for judged in judged {
        assert_eq!(judged.reviews.is_none(), matches!(judged.number, 5 | 17), "{}", judged.number);
    }
}

/// Six apps whose pull requests merge once ann has approved them and the check has passed.
fn six() -> World {
    let merged =
        "write: pull-request\n    pullRequest: { automerge: true, approvals: 1, checks: [build], labels: [a, b] }";
    let setup = World::setup().policies(&DEV_PROD.replace("write: pull-request", merged));
    let apps = ["a", "b", "c", "d", "e", "f"];
    let with = |setup: Setup, app: &&str| setup.app(app, "1.2.3", &["prod"]);
    let world = apps.iter().fold(setup, with).github("").start();
    for app in apps {
        world.push_all(&format!("acme/{app}"), &["1.2.3", "1.3.0"]);
    }
    world.apply();
    for pull in world.github().pulls() {
        world.github().pushed_by(&pull.head, "landfall-bot");
        world.github().review(pull.number, "ann", "APPROVED");
        world.github().run(
            &pull.head,
            "build",
            "completed",
            Some(if pull.number == 1 { "failure" } else { "success" }),
        );
    }
    world.github().forget();
    world
}

#[test]
fn a_cycle_asks_of_many_at_once_and_where_it_may_not_one_by_one() {
    for graphql in [true, false] {
        let world = six();
        if !graphql {
            world.github().without_graphql();
        }
        let plan = world.plan();
        let asked = world.github().asked();
        let merges = plan["actions"].as_array().unwrap().iter().filter(|action| action["kind"] == "merge").count();
        assert_eq!(merges, 5, "{plan:#}");
        let count = |part: &str| asked.iter().filter(|asked| asked.contains(part)).count();
        let single = ["/reviews", "check-runs", "/status", "permission"].iter().map(|part| count(part)).sum::<usize>();
        assert_eq!(single == 0, graphql, "{asked:?}");
        if graphql {
            assert!(asked.len() <= 8, "{asked:?}");
        }
        assert_eq!(plan["problems"], json!([]), "{plan:#}");
    }
}

/// Where a forge tells of one branch at a time only, the lists of what is open and what was closed say enough for a plan.
#[test]
fn a_plan_of_very_many_asks_no_forge_about_each() {
    let apps: Vec<String> = (0..35).map(|at| format!("app{at}")).collect();
    for speech in [Speech::GitLab, Speech::Gitea] {
        let with = |setup: Setup, app: &String| setup.app(app, "1.2.3", &["prod"]);
        let world = apps.iter().fold(World::setup(), with).hosted(speech).start();
        for app in &apps {
            world.push_all(&format!("acme/{app}"), &["1.2.3", "1.3.0"]);
        }
        world.apply();
        assert_eq!(world.github().pulls().len(), 35);
        world.github().close(7);
        world.github().forget();
        let plan = world.plan();
        assert_eq!((&plan["actions"], &plan["problems"]), (&json!([]), &json!([])), "{plan:#}");
        let rejected = plan["holds"].as_array().unwrap().iter().filter(|hold| hold["gate"] == "hold").count();
        let asked = world.github().asked();
        assert!(asked.len() <= 10, "{speech:?}: {} requests: {asked:?}", asked.len());
        assert_eq!(rejected, 1, "what a person closed stays closed: {plan:#}");
    }
}
