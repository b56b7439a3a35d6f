//! prism between the client and the stub: every request and every answer is held against GitHub's OpenAPI description.
//!
//! One prism serves the whole test process. Behind it stands one server that knows every state and finds the right one by
//! the owner's name or the repository's id, so that tests stay apart. `tests/install` installs what is needed.

#![allow(clippy::disallowed_methods, reason = "tests start processes and read the environment")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};

use super::forge_stub::{ForgeState, ForgeStub};
use super::server::Server;

type States = Arc<Mutex<BTreeMap<String, ForgeState>>>;

struct Prism {
    url: String,
    states: States,
    _hub: Server,
}

/// A stub behind prism; `None`, said aloud, where prism is not installed and not required.
pub(crate) fn stub() -> Option<ForgeStub> {
    static PRISM: OnceLock<Option<Prism>> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let prism = PRISM.get_or_init(start).as_ref()?;
    let owner = format!("acme-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let state = ForgeState::new(&owner, "deploys");
    let mut states = prism.states.lock().unwrap_or_else(PoisonError::into_inner);
    states.insert(state.id().to_string(), state.clone());
    states.insert(owner, state.clone());
    Some(ForgeStub::behind(state, &prism.url))
}

fn start() -> Option<Prism> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.cache");
    let program = cache.join("node/node_modules/.bin/prism");
    let description = cache.join("node/github-openapi.json");
    if !program.exists() || !description.exists() {
        super::skip("prism is not installed (tests/install): GitHub's OpenAPI description is not checked");
        return None;
    }
    let states = States::default();
    let known = states.clone();
    let hub = Server::start(Router::new().fallback(move |request| dispatch(known.clone(), request)));
    // The shell ends prism when this process ends, however it ends: then the pipe to its standard input closes.
    let script = r#""$@" <&- & child=$!; cat >/dev/null; kill $child"#;
    let mut child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(program)
        .arg("proxy")
        .arg(description)
        .args([hub.origin.as_str(), "--errors", "--host", "127.0.0.1", "--port", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // Reads on after the line that matters: a full pipe would stop prism.
        for line in output.lines().map_while(Result::ok) {
            if let Some((_, url)) = line.split_once("Prism is listening on ") {
                drop(tell.send(url.trim().to_owned()));
            } else if line.to_lowercase().contains("violation") {
                eprintln!("prism: {line}");
            }
        }
    });
    let begun = Instant::now();
    let url = told.recv_timeout(Duration::from_secs(60)).expect("prism did not start within a minute");
    eprintln!("prism started in {:?}", begun.elapsed());
    // Not waited for: it lives as long as this process, whose end closes its standard input.
    std::mem::forget(child);
    Some(Prism { url, states, _hub: hub })
}

async fn dispatch(states: States, request: Request) -> Response {
    let key = request.uri().path().split('/').nth(2).unwrap_or_default().to_owned();
    let state = states.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    match state {
        Some(state) => state.serve(request, String::new()).await,
        None => http::StatusCode::NOT_FOUND.into_response(),
    }
}
