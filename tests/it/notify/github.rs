//! GitHub: statuses, deployments and one comment, against a stub with GitHub's limits and refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use landfall::model::{CauseCode, State, Tag, Version};
use landfall::notify::SinkSettings;
use serde_json::{Value, json};

use super::scene::{COMMIT, PULL, Scene, dead, landed, pending, row, sink_at, stuck, with_landings};
use super::stub::{Answer, Seen, Stub, say};

const TOKEN: &str = "ghp_s3cretT0ken";

/// acme/deploys, as far as alerts touch it.
#[derive(Default)]
struct Hub {
    statuses: Vec<Value>,
    deployments: Vec<(String, String)>,
    deployment_statuses: Vec<(usize, Value)>,
    comments: Vec<(u64, String)>,
    /// Paths that contain one of these are answered so.
    refuse: Vec<(&'static str, u16, &'static str)>,
    next_comment: u64,
}

impl Hub {
    fn answer(&mut self, seen: &Seen) -> Answer {
        if seen.header("authorization") != format!("Bearer {TOKEN}") {
            return say(401, json!({ "message": "Bad credentials" }));
        }
        let invalid = |message: &str| say(422, json!({ "message": message, "status": "422" }));
        if let Some((_, status, message)) = self.refuse.iter().find(|(part, ..)| seen.path.contains(part)) {
            return say(*status, json!({ "message": message }));
        }
        let Some(path) = seen.path.strip_prefix("/repos/acme/deploys") else {
            return say(404, json!({ "message": "Not Found" }));
        };
        let body = || seen.json();
        let long = |body: &Value| body["description"].as_str().is_some_and(|text| text.chars().count() > 140);
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (seen.method.as_str(), parts.as_slice()) {
            ("GET", [] | [""]) => say(200, json!({ "permissions": { "push": true } })),
            ("POST", ["statuses", sha]) => {
                let status = body();
                let known = ["error", "failure", "pending", "success"].map(|state| json!(state));
                if *sha != COMMIT {
                    return invalid("No commit found for SHA");
                }
                if !known.contains(&status["state"]) || long(&status) {
                    return invalid("Validation Failed");
                }
                if self.statuses.iter().filter(|other| other["context"] == status["context"]).count() >= 1_000 {
                    return invalid("This SHA and context has reached the maximum number of statuses.");
                }
                self.statuses.push(status);
                say(201, json!({ "id": 1 }))
            }
            ("GET", ["deployments"]) => {
                let wanted = (seen.query["sha"].clone(), seen.query["environment"].clone());
                let found = self.deployments.iter().position(|other| *other == wanted);
                say(200, json!(found.map(|id| json!({ "id": id })).into_iter().collect::<Vec<_>>()))
            }
            ("POST", ["deployments"]) if body()["ref"].as_str().unwrap().starts_with("00000000") => {
                invalid("No ref found for: 0000000000000000000000000000000000000000")
            }
            ("POST", ["deployments"]) => {
                let made = body();
                assert_eq!((&made["auto_merge"], &made["required_contexts"]), (&json!(false), &json!([])));
                let text = |key: &str| made[key].as_str().unwrap().to_owned();
                self.deployments.push((text("ref"), text("environment")));
                say(201, json!({ "id": self.deployments.len() - 1 }))
            }
            ("POST", ["deployments", id, "statuses"]) => {
                let status = body();
                let known = ["error", "failure", "inactive", "in_progress", "queued", "pending", "success"];
                if !known.iter().any(|state| status["state"] == *state) || long(&status) {
                    return invalid("Validation Failed");
                }
                self.deployment_statuses.push((id.parse().unwrap(), status));
                say(201, json!({ "id": 1 }))
            }
            ("GET", ["issues", "7", "comments"]) => {
                let all: Vec<_> = self.comments.iter().map(|(id, body)| json!({ "id": id, "body": body })).collect();
                say(200, json!(all))
            }
            ("POST", ["issues", "7", "comments"]) => {
                self.next_comment += 1;
                self.comments.push((self.next_comment, body()["body"].as_str().unwrap().to_owned()));
                say(201, json!({ "id": self.next_comment }))
            }
            ("PATCH", ["issues", "comments", id]) => {
                let id: u64 = id.parse().unwrap();
                match self.comments.iter_mut().find(|(other, _)| *other == id) {
                    Some((_, text)) => {
                        body()["body"].as_str().unwrap().clone_into(text);
                        say(200, json!({ "id": id }))
                    }
                    None => say(404, json!({ "message": "Not Found" })),
                }
            }
            _ => say(404, json!({ "message": "Not Found" })),
        }
    }

    fn said(&self) -> Vec<String> {
        self.statuses
            .iter()
            .map(|status| {
                let text = |key: &str| status[key].as_str().unwrap();
                format!("{} {}: {}", text("context"), text("state"), text("description"))
            })
            .collect()
    }

    fn deployed(&self) -> Vec<&str> {
        self.deployment_statuses.iter().map(|(_, status)| status["state"].as_str().unwrap()).collect()
    }
}

fn hub() -> (Stub, Arc<Mutex<Hub>>) {
    let hub = Arc::new(Mutex::new(Hub::default()));
    let world = Arc::clone(&hub);
    (Stub::start(move |seen| world.lock().unwrap().answer(seen)), hub)
}

fn github(stub: &Stub, token: &str) -> SinkSettings {
    with_landings(sink_at(&stub.url(), "github", "kind: github", &[("TOKEN", token)]))
}

#[tokio::test]
async fn a_commit_is_well_only_where_all_of_it_is() {
    let (stub, hub) = hub();
    let mut scene = Scene::new(vec![github(&stub, TOKEN)]);
    scene.look(&[pending("web"), pending("api")]).await;
    scene.look(&[stuck("web"), stuck("api")]).await;
    scene.look(&[landed("web"), stuck("api")]).await;
    scene.look(&[landed("web"), landed("api")]).await;
    let hub = hub.lock().unwrap();
    assert_eq!(
        hub.said(),
        [
            "landfall/prod/eu-1 failure: api 1.4.0: crash-loop: api says crash-loop",
            "landfall/prod/eu-1 failure: 2 of this commit: web 1.4.0: crash-loop: web says crash-loop",
            // web has landed, but api has not.
            "landfall/prod/eu-1 failure: api 1.4.0: crash-loop: api says crash-loop",
            "landfall/prod/eu-1 success: api 1.4.0: landed",
        ]
    );
    assert_eq!(hub.deployed(), ["failure", "failure", "failure", "success"]);
    assert_eq!(hub.deployments, [(COMMIT.to_owned(), "prod/eu-1".to_owned())], "one deployment for all of it");
    assert_eq!(hub.deployment_statuses[0].1["log_url"], PULL);
}

#[tokio::test]
async fn each_place_has_its_own_status() {
    let (stub, hub) = hub();
    let mut scene = Scene::new(vec![github(&stub, TOKEN)]);
    let elsewhere = || landfall::model::Tracked { cluster: Some("us-1".to_owned()), ..pending("web") };
    scene.look(&[pending("web"), elsewhere()]).await;
    let over_there = landfall::model::Tracked { cluster: Some("us-1".to_owned()), ..landed("web") };
    scene.look(&[stuck("web"), over_there]).await;
    let hub = hub.lock().unwrap();
    let contexts: BTreeSet<_> = hub.said().iter().map(|said| said.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(
        contexts.iter().map(String::as_str).collect::<Vec<_>>(),
        ["landfall/prod/eu-1 failure", "landfall/prod/us-1 success"]
    );
    assert_eq!(hub.deployments.len(), 2);
}

#[tokio::test]
async fn an_end_that_is_no_landing_is_no_success() {
    let (stub, hub) = hub();
    let mut scene = Scene::new(vec![github(&stub, TOKEN)]);
    scene.look(&[stuck("web")]).await;
    let mut next = pending("web");
    next.declared.version = Version { tag: Some(Tag::parse("1.5.0").unwrap()), digest: None };
    next.declared.commit = None;
    scene.look(&[next]).await;
    let hub = hub.lock().unwrap();
    assert_eq!(hub.said()[1], "landfall/prod/eu-1 error: web 1.4.0: superseded by 1.5.0");
    assert_eq!(hub.deployed(), ["failure", "inactive"]);
}

#[tokio::test]
async fn one_comment_is_kept_up_to_date() {
    let (stub, hub) = hub();
    hub.lock().unwrap().comments.push((900, "LGTM <!-- landfall: alerts -->".to_owned()));
    hub.lock().unwrap().next_comment = 900;
    let mut scene = Scene::new(vec![github(&stub, TOKEN)]);
    scene.look(&[pending("ok")]).await;
    scene.look(&[landed("ok")]).await;
    {
        let hub = hub.lock().unwrap();
        assert_eq!(hub.comments.len(), 2, "a landing is told where it was reviewed");
        assert!(hub.comments[1].1.contains("ok") && hub.comments[1].1.contains("landed"), "{}", hub.comments[1].1);
    }
    scene.look(&[stuck("web")]).await;
    scene.look(&[dead("web"), stuck("api")]).await;
    {
        let hub = hub.lock().unwrap();
        assert_eq!(hub.comments.len(), 2);
        let text = &hub.comments[1].1;
        assert!(
            text.starts_with("<!-- landfall: alerts -->") && text.contains("web 1.3.0") && text.contains("api 1.3.0")
        );
    }
    // Without its memory it finds the comment and the deployment again, and a deleted comment is made anew.
    scene.restart(BTreeMap::new());
    scene.look(&[dead("web"), stuck("api")]).await;
    {
        let hub = hub.lock().unwrap();
        assert_eq!((hub.comments.len(), hub.deployments.len()), (2, 1));
    }
    hub.lock().unwrap().comments.pop();
    scene.look(&[landed("web"), stuck("api")]).await;
    let hub = hub.lock().unwrap();
    assert_eq!(hub.comments.len(), 2);
    assert!(hub.comments[1].1.contains("landed after"), "{}", hub.comments[1].1);
}

#[tokio::test]
async fn a_thousand_statuses_are_the_limit_and_do_not_keep_the_rest_from_being_told() {
    let (stub, hub) = hub();
    let full = json!({ "context": "landfall/prod/eu-1", "state": "failure", "description": "x" });
    hub.lock().unwrap().statuses = vec![full; 1_000];
    let mut scene = Scene::new(vec![github(&stub, TOKEN)]);
    scene.look(&[stuck("web")]).await;
    let health = scene.health("github");
    assert!(health.failing.is_none() && health.last_success.is_some());
    assert!(health.left_out.unwrap().contains("maximum number of statuses"));
    let hub = hub.lock().unwrap();
    assert_eq!((hub.statuses.len(), hub.deployed(), hub.comments.len()), (1_000, vec!["failure"], 1));
}

#[tokio::test]
async fn a_missing_permission_leaves_out_one_part_and_a_bad_token_all() {
    let (stub, hub) = hub();
    hub.lock().unwrap().refuse = vec![("/deployments", 403, "Resource not accessible by integration")];
    let mut scene = Scene::new(vec![github(&stub, TOKEN)]);
    scene.look(&[stuck("web")]).await;
    let left_out = scene.health("github").left_out.unwrap();
    assert!(left_out.contains("not accessible") && left_out.contains("next:"), "{left_out}");
    {
        let hub = hub.lock().unwrap();
        assert_eq!((hub.statuses.len(), hub.comments.len()), (1, 1));
    }

    stub.forget();
    let mut scene = Scene::new(vec![github(&stub, "ghp_0ther")]);
    scene.cycle(&[stuck("web")]);
    stub.wait(3).await;
    let health = scene.health("github");
    assert!(health.failing.unwrap().error.contains("Bad credentials"));
    assert_eq!(health.waiting, 1);
}

#[tokio::test]
async fn what_concerns_no_repository_of_ours_is_not_told() {
    let (stub, _hub) = hub();
    let mut scene = Scene::new(vec![github(&stub, TOKEN)]);
    let other = landfall::model::Tracked {
        repository: "elsewhere".to_owned(),
        ..row("web", State::Stuck, Some(CauseCode::CrashLoop))
    };
    scene.look(&[other]).await;
    assert_eq!(stub.seen().len(), 0);
    assert!(scene.health("github").failing.is_none());
}
