//! The repositories' own forges: what each of them is posted, in its own words.

use std::sync::{Arc, Mutex};

use landfall::notify::SinkSettings;
use serde_json::{Value, json};

use super::scene::{COMMIT, PULL, Scene, landed, pending, sink_on, stuck, with_landings};
use super::stub::{Stub, say};

const TOKEN: &str = "s3cretT0ken";

/// What a forge got: path, the login, JSON.
type Taken = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A forge that takes what it gets.
fn taker(refusal: Option<(u16, &'static str)>) -> (Stub, Taken) {
    let taken = Taken::default();
    let kept = Arc::clone(&taken);
    let stub = Stub::start(move |seen| {
        let deployment = seen.path.contains("/deployments");
        if seen.method != "POST" {
            return say(200, if deployment { json!([]) } else { json!({}) });
        }
        if let Some((status, message)) = refusal {
            return say(status, json!({ "message": message }));
        }
        if deployment {
            return say(201, json!({ "id": 1 }));
        }
        let login = [seen.header("authorization"), seen.header("private-token")].concat();
        kept.lock().unwrap().push((seen.path.clone(), login, seen.json()));
        say(201, json!({}))
    });
    (stub, taken)
}

fn on(forge: &str) -> SinkSettings {
    with(forge, "kind: forge")
}

fn with(forge: &str, keys: &str) -> SinkSettings {
    with_landings(sink_on(forge, "landings", keys, &[("TOKEN", TOKEN)]))
}

#[tokio::test]
async fn each_forge_is_told_in_its_own_words() {
    let name = "landfall/prod/eu-1";
    let basic = |login: &str| {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login))
    };
    for (keys, path, login, key, words) in [
        (
            "kind: github, apiUrl: 'URL', repository: acme/deploys",
            "/repos/acme/deploys/statuses/SHA",
            format!("Bearer {TOKEN}"),
            ("/context", name),
            ["failure", "success"],
        ),
        (
            "kind: gitlab, url: 'URL', repository: acme/deploys",
            "/api/v4/projects/acme%2Fdeploys/statuses/SHA",
            TOKEN.to_owned(),
            ("/name", name),
            ["failed", "success"],
        ),
        (
            "kind: gitea, url: 'URL', repository: acme/deploys",
            "/api/v1/repos/acme/deploys/statuses/SHA",
            format!("token {TOKEN}"),
            ("/context", name),
            ["failure", "success"],
        ),
        (
            "kind: forgejo, url: 'URL', repository: acme/deploys",
            "/api/v1/repos/acme/deploys/statuses/SHA",
            format!("token {TOKEN}"),
            ("/context", name),
            ["failure", "success"],
        ),
        (
            "kind: bitbucket, apiUrl: 'URL/2.0', repository: acme/deploys",
            "/2.0/repositories/acme/deploys/commit/SHA/statuses/build",
            format!("Bearer {TOKEN}"),
            ("/key", name),
            ["FAILED", "SUCCESSFUL"],
        ),
        (
            "kind: bitbucket, apiUrl: 'URL/2.0', repository: acme/deploys, email: bot@example.com",
            "/2.0/repositories/acme/deploys/commit/SHA/statuses/build",
            basic(&format!("bot@example.com:{TOKEN}")),
            ("/key", name),
            ["FAILED", "SUCCESSFUL"],
        ),
        (
            "kind: bitbucket-dc, url: 'URL', repository: OPS/deploys",
            "/rest/build-status/1.0/commits/SHA",
            format!("Bearer {TOKEN}"),
            ("/key", name),
            ["FAILED", "SUCCESSFUL"],
        ),
        (
            "kind: azure-devops, url: 'URL', repository: My Ops/deploys",
            "/My%20Ops/_apis/git/repositories/deploys/commits/SHA/statuses",
            basic(&format!(":{TOKEN}")),
            ("/context/name", "prod/eu-1"),
            ["failed", "succeeded"],
        ),
    ] {
        let (stub, taken) = taker(None);
        let forge = format!("{{ {}, token: {{ env: TOKEN }} }}", keys.replace("URL", &stub.url()));
        let mut scene = Scene::new(vec![on(&forge)]);
        scene.look(&[pending("web")]).await;
        scene.look(&[stuck("web")]).await;
        scene.look(&[stuck("web")]).await;
        scene.look(&[landed("web")]).await;
        let taken = taken.lock().unwrap();
        let states: Vec<&str> = taken.iter().map(|(_, _, body)| body["state"].as_str().unwrap()).collect();
        assert_eq!(states, words, "{keys}: each once");
        let (posted, by, body) = &taken[1];
        assert_eq!((posted, by), (&path.replace("SHA", COMMIT), &login), "{keys}");
        assert_eq!(body.pointer(key.0), Some(&json!(key.1)), "{keys}: {body}");
        assert_eq!(body["description"], "web 1.4.0: landed", "{keys}");
        let pages = ["url", "target_url", "targetUrl"].map(|key| body[key].as_str());
        assert_eq!(pages.into_iter().flatten().collect::<Vec<_>>(), [PULL], "{keys}");
    }
}

#[tokio::test]
async fn a_status_that_a_forge_refuses_is_left_out_and_a_token_that_it_refuses_is_a_failure() {
    for (status, message, failing) in
        [(400, "Cannot transition status via :enqueue from :pending", false), (403, "no", false), (401, TOKEN, true)]
    {
        let (stub, _) = taker(Some((status, message)));
        let forge =
            format!("{{ kind: gitlab, url: '{}', repository: acme/deploys, token: {{ env: TOKEN }} }}", stub.url());
        let mut scene = Scene::new(vec![on(&forge)]);
        if failing {
            // It is tried again and again.
            scene.cycle(&[stuck("web")]);
            stub.wait(3).await;
        } else {
            scene.look(&[stuck("web")]).await;
        }
        let health = scene.health("landings");
        assert_eq!(health.failing.is_some(), failing, "{status}: {health:?}");
        assert_eq!(health.left_out.is_some(), !failing, "{status}: {health:?}");
        assert!(!format!("{health:?}").contains(TOKEN), "{health:?}");
    }
}

/// A GitLab with deployments, which takes no change to what is, and lists them oldest first unless asked.
fn gitlab() -> (Stub, Arc<Mutex<Vec<Value>>>) {
    let all = Arc::new(Mutex::new(Vec::<Value>::new()));
    let kept = Arc::clone(&all);
    let stub = Stub::start(move |seen| {
        let mut kept = kept.lock().unwrap();
        let Some((_, below)) = seen.path.split_once("/api/v4/projects/acme%2Fdeploys/deployments") else {
            return say(201, json!({}));
        };
        match (seen.method.as_str(), below.strip_prefix('/').map(|id| id.parse::<usize>().unwrap())) {
            ("GET", None) => {
                assert_eq!(seen.query["sort"], "desc");
                let of = kept.iter().rev().filter(|it| it["environment"] == seen.query["environment"].as_str());
                say(200, json!(of.collect::<Vec<_>>()))
            }
            ("POST", None) => {
                let mut made = seen.json();
                made["id"] = json!(kept.len());
                kept.push(made.clone());
                say(201, made)
            }
            ("PUT", Some(id)) if kept[id]["status"] != seen.json()["status"] => {
                kept[id]["status"] = seen.json()["status"].clone();
                say(200, &kept[id])
            }
            ("PUT", Some(_)) => say(400, json!({ "message": "status cannot transition" })),
            other => panic!("{other:?}"),
        }
    });
    (stub, all)
}

#[tokio::test]
async fn a_landing_is_one_deployment_on_gitlab_whoever_made_it() {
    let (stub, all) = gitlab();
    let forge = format!("{{ kind: gitlab, url: '{}', repository: acme/deploys, token: {{ env: TOKEN }} }}", stub.url());
    let mut scene = Scene::new(vec![on(&forge)]);
    scene.look(&[pending("web")]).await;
    scene.look(&[stuck("web")]).await;
    scene.look(&[stuck("web")]).await;
    let made = json!({
        "id": 0, "environment": "prod/eu-1", "sha": COMMIT, "ref": "main", "tag": false, "status": "failed",
    });
    assert_eq!(*all.lock().unwrap(), [made]);
    scene.look(&[landed("web")]).await;
    assert_eq!(all.lock().unwrap()[0]["status"], "success");
    // Another process knows nothing of it.
    let mut scene = Scene::new(vec![on(&forge)]);
    scene.look(&[stuck("web")]).await;
    assert_eq!(all.lock().unwrap()[0]["status"], "failed");
    scene.look(&[landed("web")]).await;
    let mut scene = Scene::new(vec![on(&forge)]);
    scene.look(&[pending("web")]).await;
    scene.look(&[landed("web")]).await;
    assert!(scene.health("landings").left_out.is_none(), "{:?}", scene.health("landings"));
    let states: Vec<Value> = all.lock().unwrap().iter().map(|it| it["status"].clone()).collect();
    assert_eq!(states, ["success"]);
    // Nobody has to want them.
    all.lock().unwrap().clear();
    let mut scene = Scene::new(vec![with(&forge, "kind: forge, deployments: false")]);
    scene.look(&[stuck("web")]).await;
    assert_eq!(all.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn bitbucket_data_center_is_told_of_deployments_by_a_key_that_stays() {
    let posted = Arc::new(Mutex::new(Vec::<(String, Value)>::new()));
    let kept = Arc::clone(&posted);
    let stub = Stub::start(move |seen| {
        if seen.path.ends_with("/deployments") {
            kept.lock().unwrap().push((seen.path.clone(), seen.json()));
        }
        say(204, "")
    });
    let forge =
        format!("{{ kind: bitbucket-dc, url: '{}', repository: OPS/deploys, token: {{ env: TOKEN }} }}", stub.url());
    let mut scene = Scene::new(vec![on(&forge)]);
    scene.look(&[stuck("web")]).await;
    scene.look(&[landed("web")]).await;
    let posted = posted.lock().unwrap();
    let states: Vec<&str> = posted.iter().map(|(_, body)| body["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["FAILED", "SUCCESSFUL"]);
    for (path, body) in posted.iter() {
        assert_eq!(*path, format!("/rest/api/1.0/projects/OPS/repos/deploys/commits/{COMMIT}/deployments"));
        assert_eq!(
            (&body["key"], &body["deploymentSequenceNumber"]),
            (&json!(format!("landfall-{COMMIT}")), &json!(1))
        );
        assert_eq!(body["environment"]["key"], "prod/eu-1", "{body}");
    }
}

#[test]
fn check_says_where_there_are_no_deployments() {
    let said = |forge: &str, keys: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("landfall.yaml");
        let hosted = "url: https://x.example.com, repository: a/b, token: { env: T }";
        let text = format!(
            "repositories:\n  - {{ name: deploys, url: https://x.example.com/a/b.git, forge: {{ kind: {forge}, {hosted} }} }}\nnotify: [{{ name: landings, kind: forge{keys} }}]\n"
        );
        std::fs::write(&path, text).unwrap();
        let loaded = landfall::config::load(&path).unwrap();
        loaded.diagnostics.iter().map(|warning| warning.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(said("gitlab", ", deployments: true"), Vec::<String>::new());
    assert_eq!(said("gitea", ""), Vec::<String>::new());
    assert_eq!(
        said("gitea", ", deployments: true"),
        ["the forge of repository `deploys` has no deployments of others"]
    );
}
