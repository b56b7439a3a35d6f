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
        if seen.method != "POST" {
            return say(200, json!({}));
        }
        if let Some((status, message)) = refusal {
            return say(status, json!({ "message": message }));
        }
        let login = [seen.header("authorization"), seen.header("private-token")].concat();
        kept.lock().unwrap().push((seen.path.clone(), login, seen.json()));
        say(201, json!({}))
    });
    (stub, taken)
}

fn on(forge: &str) -> SinkSettings {
    with_landings(sink_on(forge, "landings", "kind: forge", &[("TOKEN", TOKEN)]))
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
