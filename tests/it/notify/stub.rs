//! A receiver on the loopback interface that remembers what it was sent and answers by a script.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use serde_json::Value;
use tokio::sync::watch;

use crate::support::process::PATIENCE;
use crate::support::server::Server;

/// One request as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: HashMap<String, String>,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What is answered.
pub(super) enum Answer {
    Say(u16, Vec<(&'static str, String)>, String),
    /// Nothing, for ever.
    Hang,
}

#[allow(clippy::needless_pass_by_value, reason = "answers are made where they are given")]
pub(super) fn say(status: u16, body: impl ToString) -> Answer {
    Answer::Say(status, Vec::new(), body.to_string())
}

type Script = Box<dyn FnMut(&Seen) -> Answer + Send>;

pub(super) struct Stub {
    server: Server,
    script: Arc<Mutex<Script>>,
    seen: watch::Sender<Vec<Seen>>,
}

impl Stub {
    pub(super) fn start(script: impl FnMut(&Seen) -> Answer + Send + 'static) -> Self {
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let seen = watch::Sender::new(Vec::new());
        let (answers, log) = (Arc::clone(&script), seen.clone());
        let server = Server::start(Router::new().fallback(move |request: Request| {
            let (answers, log) = (Arc::clone(&answers), log.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 1 << 22).await.unwrap().to_vec();
                let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
                let seen = Seen {
                    method: parts.method.to_string(),
                    path: parts.uri.path().to_owned(),
                    query: query.into_owned().collect(),
                    headers: parts.headers,
                    body,
                };
                let answer = (answers.lock().unwrap())(&seen);
                log.send_modify(|all| all.push(seen));
                match answer {
                    Answer::Hang => std::future::pending().await,
                    Answer::Say(status, headers, body) => {
                        let mut response = Response::builder().status(status);
                        for (name, value) in headers {
                            response = response.header(name, value);
                        }
                        response.body(Body::from(body)).unwrap()
                    }
                }
            }
        }));
        Self { server, script, seen }
    }

    pub(super) fn url(&self) -> String {
        self.server.origin.clone()
    }

    /// From now on it answers by another script.
    pub(super) fn answer(&self, script: impl FnMut(&Seen) -> Answer + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    pub(super) fn forget(&self) {
        self.seen.send_modify(Vec::clear);
    }

    /// Waits until this many requests have come.
    pub(super) async fn wait(&self, requests: usize) -> Vec<Seen> {
        let mut watch = self.seen.subscribe();
        let come = watch.wait_for(|seen| seen.len() >= requests);
        let come = tokio::time::timeout(PATIENCE, come).await;
        come.expect("it was not told").unwrap().to_vec()
    }
}
