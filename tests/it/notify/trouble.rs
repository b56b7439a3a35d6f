//! Receivers that are dead, slow, busy, muted or somewhere else; and restarts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use landfall::model::{CauseCode, Fence, NotHeld, NoticeKind, State};
use landfall::notify::{Mute, Pace};
use serde_json::json;

use super::contracts::{anything, redirect};
use super::scene::{Scene, at, dead, landed, quick, row, sink, stuck, webhook};
use super::stub::{Answer, Seen, Stub, say};
use crate::support::process::PATIENCE;

fn kinds(stub: &Stub) -> Vec<String> {
    stub.seen().iter().map(|seen| seen.json()["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_dead_receiver_delays_nobody_and_is_told_the_present_when_it_is_back() {
    let (alive, dying) = (anything(), Stub::start(|_| say(503, "down")));
    let mut scene = Scene::new(vec![webhook("dying", &dying.url()), webhook("alive", &alive.url())]);
    scene.cycle(&[stuck("web"), stuck("api")]);
    alive.wait(2).await;
    dying.wait(3).await;
    let causes = [CauseCode::OutOfMemory, CauseCode::ConfigError, CauseCode::Quota, CauseCode::ImagePull];
    for (told, code) in causes.into_iter().enumerate() {
        scene.cycle(&[row("web", State::Stuck, Some(code)), landed("api")]);
        alive.wait(4 + told).await;
    }
    let tried = |scene: &Scene| scene.health("dying").failing.is_some_and(|failing| failing.attempts >= 3);
    scene.until("it was tried three times", tried).await;
    let health = scene.health("dying");
    let failing = health.failing.clone().unwrap();
    assert_eq!((failing.since, health.last_success, health.waiting), (at(60), None, 1), "{health:?}");
    assert!(failing.error.contains("503 (down)"), "{}", failing.error);
    assert!(health.oldest.is_some());
    assert!(scene.health("alive").failing.is_none());

    dying.forget();
    dying.answer(|_| say(200, ""));
    assert_eq!(scene.notifier.flush(PATIENCE).await, 0);
    let seen: Vec<_> = dying.seen().into_iter().filter(|seen| seen.json()["incident"]["app"] == "web").collect();
    let told = seen.last().unwrap().json();
    assert_eq!((&told["kind"], &told["incident"]["code"]), (&json!("raised"), &json!("image-pull")));
    assert!(dying.seen().iter().all(|seen| seen.json()["incident"]["app"] == "web"), "api came and went meanwhile");
    assert!(scene.health("dying").failing.is_none());
}

#[tokio::test]
async fn a_replica_that_does_not_hold_the_repository_tells_nothing_and_another_one_goes_on_where_it_was() {
    let stub = anything();
    let mut scene = Scene::new(vec![webhook("team", &stub.url())]);
    let held = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = Arc::clone(&held);
    scene.fence(Fence::new(move |_| match asked.load(std::sync::atomic::Ordering::SeqCst) {
        true => Ok(()),
        false => Err(NotHeld("another replica holds it".to_owned())),
    }));
    let hold = |now: bool| held.store(now, std::sync::atomic::Ordering::SeqCst);
    let rows = [stuck("web"), stuck("api")];
    scene.cycle(&rows);
    assert_eq!(scene.notifier.flush(PATIENCE).await, 2, "they wait");
    assert_eq!(kinds(&stub), Vec::<String>::new());
    hold(true);
    scene.look(&rows).await;
    assert_eq!(kinds(&stub), ["raised", "raised"]);
    // What it lost is not over because of that.
    hold(false);
    scene.notifier.firing(&[]);
    assert_eq!(scene.notifier.flush(PATIENCE).await, 0);
    let repository = scene.incidents.open()[0].incident.repository.clone();
    let told = scene.notifier.receivers().told(&repository);
    assert_eq!(told["team"].known.len(), 2);
    // Another one goes on with what the first one told: nothing again, and the end once.
    hold(true);
    scene.restart(BTreeMap::new());
    scene.notifier.adopt(&repository, &told, &scene.incidents.open());
    scene.look(&rows).await;
    assert_eq!(kinds(&stub).len(), 2);
    scene.look(&[landed("web"), stuck("api")]).await;
    let count = |kind: &str| kinds(&stub).iter().filter(|told| *told == kind).count();
    assert_eq!((count("raised"), count("resolved")), (2, 1), "{:?}", kinds(&stub));
}

#[tokio::test]
async fn nobody_listens_at_all() {
    let alive = anything();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gone = webhook("gone", &format!("http://127.0.0.1:{port}/secret-path"));
    let mut scene = Scene::new(vec![gone, webhook("alive", &alive.url())]);
    scene.cycle(&[stuck("web")]);
    alive.wait(1).await;
    assert_eq!(scene.notifier.flush(Duration::from_millis(200)).await, 1, "flush ends though one never does");
    scene.until("it fails", |scene| scene.health("gone").failing.is_some()).await;
    let error = scene.health("gone").failing.unwrap().error;
    assert!(error.contains("no answer") && error.contains("next:") && !error.contains("secret-path"), "{error}");
}

#[tokio::test]
async fn a_receiver_that_never_answers_holds_up_nobody() {
    let (alive, stalled) = (anything(), Stub::start(|_| Answer::Hang));
    let sinks = vec![webhook("stalled", &stalled.url()), webhook("alive", &alive.url())];
    let mut scene = Scene::paced(sinks, Pace { request: Duration::from_millis(200), ..quick() });
    scene.cycle(&[stuck("web")]);
    alive.wait(1).await;
    stalled.wait(2).await;
    assert!(scene.health("stalled").failing.unwrap().error.contains("took too long"));
}

#[tokio::test]
async fn a_receiver_that_asks_to_wait_is_left_alone() {
    let stub = Stub::start(|_| Answer::Say(429, vec![("retry-after", "3600".to_owned())], "slow down".to_owned()));
    let alive = anything();
    let mut scene = Scene::new(vec![webhook("busy", &stub.url()), webhook("alive", &alive.url())]);
    scene.cycle(&[stuck("web")]);
    stub.wait(1).await;
    scene.cycle(&[dead("web")]);
    alive.wait(2).await;
    // Without the header it would have been asked again many times by now: pauses are some milliseconds.
    let left = scene.notifier.flush(Duration::from_millis(300)).await;
    assert_eq!((left, stub.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let thief = anything();
    let stub = Stub::start(redirect(format!("{}/stolen", thief.url())));
    let mut scene = Scene::new(vec![webhook("moved", &stub.url())]);
    scene.cycle(&[stuck("web")]);
    stub.wait(2).await;
    assert_eq!(thief.seen().len(), 0);
    let error = scene.health("moved").failing.unwrap().error;
    assert!(error.contains("307") && error.contains("final address"), "{error}");
}

#[tokio::test]
async fn what_is_never_taken_is_given_up_and_counted() {
    let stub = Stub::start(|seen| if seen.json()["incident"]["app"] == "bad" { say(400, "no") } else { say(200, "") });
    let mut scene = Scene::new(vec![webhook("picky", &stub.url())]);
    scene.look(&[dead("bad"), stuck("web")]).await;
    scene.look(&[dead("bad"), stuck("web")]).await;
    assert_eq!(stub.seen().len(), 2, "once each, and the good one is not held up by the bad one");
    assert_eq!(scene.health("picky").rejected, 1);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let stub = Stub::start(|_| say(200, "x".repeat(5 << 20)));
    let mut scene = Scene::new(vec![webhook("chatty", &stub.url())]);
    scene.cycle(&[stuck("web")]);
    stub.wait(2).await;
    assert!(scene.health("chatty").failing.unwrap().error.contains("longer than 1 MiB"));
}

#[tokio::test]
async fn a_receiver_with_impossible_settings_fails_visibly() {
    let alive = anything();
    let mut broken = webhook("broken", "https://example.com");
    broken.ca_pem = Some(b"not a certificate".to_vec());
    let keys = "kind: webhook, webhookUrl: { env: URL }";
    let nowhere = sink("nowhere", keys, &[("URL", "ftp://example.com/x")]);
    let mut scene = Scene::new(vec![broken, nowhere, webhook("alive", &alive.url())]);
    scene.cycle(&[stuck("web")]);
    alive.wait(1).await;
    assert!(scene.health("broken").failing.unwrap().error.contains("CA file"));
    assert!(scene.health("nowhere").failing.unwrap().error.contains("not an http(s) URL"));
}

#[tokio::test]
async fn what_happens_in_a_mute_window_is_told_after_it() {
    let stub = anything();
    let until = Arc::new(Mutex::new(None::<Timestamp>));
    let window = Arc::clone(&until);
    let mut night = webhook("night", &stub.url());
    night.mute = Mute::from_fn(move |_| *window.lock().unwrap());
    let mut scene = Scene::new(vec![night]);
    scene.look(&[stuck("told-before")]).await;
    *until.lock().unwrap() = Some(at(10_000));
    let rows = [landed("told-before"), stuck("comes-and-goes"), stuck("stays")];
    scene.cycle(&rows);
    assert_eq!(scene.notifier.flush(Duration::from_secs(5)).await, 2);
    scene.cycle(&[landed("told-before"), landed("comes-and-goes"), dead("stays")]);
    assert_eq!(scene.notifier.flush(Duration::from_secs(5)).await, 1);
    assert_eq!(kinds(&stub), ["raised", "resolved"], "what is over is told even at night");
    assert_eq!(scene.health("night").muted_until, Some(at(10_000)));
    scene.pass(10_000);
    scene.look(&[landed("told-before"), landed("comes-and-goes"), dead("stays")]).await;
    assert_eq!(kinds(&stub), ["raised", "resolved", "raised"]);
    let last = stub.seen()[2].json();
    assert_eq!((&last["incident"]["app"], &last["incident"]["severity"]), (&json!("stays"), &json!("critical")));
}

#[tokio::test]
async fn a_restart_tells_nothing_twice_and_forgets_nothing() {
    let stub = anything();
    let mut scene = Scene::new(vec![webhook("hook", &stub.url())]);
    scene.look(&[stuck("web"), stuck("api")]).await;
    // It dies with something untold.
    stub.answer(|_| say(500, ""));
    scene.cycle(&[dead("web"), landed("api")]);
    stub.wait(3).await;
    let kept = serde_json::to_string(&scene.notifier.memory()).unwrap();
    scene.restart(serde_json::from_str(&kept).unwrap());
    stub.answer(|_| say(200, ""));
    stub.forget();
    scene.look(&[dead("web"), landed("api")]).await;
    let mut told: Vec<_> =
        stub.seen().iter().map(Seen::json).map(|n| format!("{} {}", n["incident"]["app"], n["kind"])).collect();
    told.sort();
    assert_eq!(told, ["\"api\" \"resolved\"", "\"web\" \"escalated\""]);
}

#[tokio::test]
async fn a_lost_memory_repeats_what_is_open_once() {
    let stub = anything();
    let mut scene = Scene::new(vec![webhook("hook", &stub.url())]);
    scene.look(&[stuck("web"), stuck("api")]).await;
    scene.restart(BTreeMap::new());
    stub.forget();
    // api is over in the very cycle that begins without memory.
    scene.look(&[stuck("web"), landed("api")]).await;
    scene.look(&[stuck("web"), landed("api")]).await;
    let mut told = kinds(&stub);
    told.sort();
    assert_eq!(told, ["raised", "resolved"]);
}

#[tokio::test]
async fn a_memory_of_what_is_long_over_is_cleared() {
    let stub = anything();
    let mut scene = Scene::new(vec![webhook("hook", &stub.url())]);
    scene.look(&[stuck("web")]).await;
    let kept = scene.notifier.memory();
    // The incidents' own store was lost, and the image landed while nobody looked.
    scene.restart(kept);
    scene.incidents = landfall::landing::incidents::Incidents::default();
    scene.look(&[landed("web")]).await;
    assert_eq!(kinds(&stub), ["raised", "resolved"]);
    assert_eq!(stub.seen()[1].json()["resolution"]["reason"], "cleared");
    scene.look(&[landed("web")]).await;
    assert_eq!(stub.seen().len(), 2);
}

#[tokio::test]
async fn a_storm_stays_bounded() {
    let stub = Stub::start(|_| say(503, ""));
    let mut scene = Scene::new(vec![webhook("dying", &stub.url())]);
    let rows: Vec<_> = (0..1_100).map(|n| stuck(&format!("app-{n}"))).collect();
    let told = scene.cycle(&rows);
    assert_eq!(told, vec![NoticeKind::Raised; 1_100]);
    let health = scene.health("dying");
    assert!(health.waiting <= 1_001 && health.dropped >= 99, "{health:?}");
    // What was dropped is offered again once there is room.
    stub.answer(|_| say(200, ""));
    for _ in 0..2 {
        scene.look(&rows).await;
    }
    let apps: std::collections::BTreeSet<_> =
        stub.seen().iter().map(|seen| seen.json()["incident"]["app"].to_string()).collect();
    assert_eq!(apps.len(), 1_100);
}

#[tokio::test]
async fn hostile_text_reaches_receivers_as_text() {
    let stub = anything();
    let mut hostile = stuck("web");
    let cause = hostile.landing.cause.as_mut().unwrap();
    cause.message = "<!channel> \u{1b}[2J\u{202e} \"}, {\"x\": @here <https://evil.example|ok>".to_owned();
    cause.evidence = vec!["```\n<script>alert(1)</script>".to_owned(); 3];
    let slack = super::scene::slack(&stub.url());
    let mut scene = Scene::paced(vec![slack, webhook("hook", &stub.url())], quick());
    scene.look(&[hostile]).await;
    for seen in stub.seen() {
        let body = String::from_utf8(seen.body.clone()).unwrap();
        assert!(!body.contains('\u{202e}') && !body.contains("\\u001b"), "{body}");
        if seen.path.starts_with("/services") {
            let text = seen.json()["blocks"][1]["text"]["text"].as_str().unwrap().to_owned();
            for wrong in ["<!channel>", "<https://evil", "@here", "<script>"] {
                assert!(!text.contains(wrong), "{wrong}: {text}");
            }
            assert_eq!(text.matches("```").count() % 2, 0, "{text}");
        } else {
            let text = seen.json()["text"].as_str().unwrap().to_owned();
            assert!(!text.contains("<!channel>") && !text.contains("<https://evil"), "{text}");
        }
    }
    assert_eq!(stub.seen().len(), 2);
}

#[tokio::test]
async fn a_fault_of_our_own_does_not_silence_a_receiver() {
    let stub = anything();
    let render = |notice: &landfall::model::Notice, now| {
        assert!(notice.incident.key.app != "cursed", "a fault");
        landfall::message::alert(notice, now)
    };
    let mut scene = Scene::rendered(vec![webhook("hook", &stub.url())], render);
    scene.look(&[dead("cursed"), stuck("web")]).await;
    assert_eq!(kinds(&stub), ["raised"]);
    let health = scene.health("hook");
    assert_eq!((health.rejected, health.waiting), (1, 0));
}
