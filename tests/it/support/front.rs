//! A proxy before a registry that answers some requests itself, as a sick registry would.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;

use super::github_stub::Server;

/// Requests whose path contains the text are answered with this status.
type Fault = Option<(String, u16)>;

/// A running proxy; it ends when dropped.
pub(crate) struct Front {
    fault: Arc<Mutex<Fault>>,
    server: Server,
}

impl Front {
    /// A proxy before the registry at `host`.
    pub(crate) fn start(host: &str) -> Self {
        // Installed already, perhaps, by another test of this process.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let fault: Arc<Mutex<Fault>> = Arc::default();
        let (met, upstream) = (Arc::clone(&fault), format!("http://{host}"));
        #[allow(clippy::disallowed_methods, reason = "a test's own client")]
        let client = reqwest::Client::new();
        let server = Server::start(Router::new().fallback(move |request: Request| {
            let (met, upstream, client) = (Arc::clone(&met), upstream.clone(), client.clone());
            async move {
                let path = request.uri().path_and_query().unwrap().to_string();
                let fault = met.lock().unwrap().clone();
                match fault {
                    Some((part, status)) if path.contains(&part) => {
                        Response::builder().status(status).body(Body::from("no")).unwrap()
                    }
                    _ => forward(&client, &format!("{upstream}{path}"), request).await,
                }
            }
        }));
        Self { fault, server }
    }

    /// Where it listens, as images name it.
    pub(crate) fn host(&self) -> String {
        self.server.origin.trim_start_matches("http://").to_owned()
    }

    /// From now on requests with this in their path are answered with this status.
    pub(crate) fn fail(&self, part: &str, status: u16) {
        *self.fault.lock().unwrap() = Some((part.to_owned(), status));
    }

    /// All is well again.
    pub(crate) fn heal(&self) {
        *self.fault.lock().unwrap() = None;
    }
}

async fn forward(client: &reqwest::Client, url: &str, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 24).await.unwrap();
    let mut headers = parts.headers;
    headers.remove("host");
    let answer = client.request(parts.method, url).headers(headers).body(body).send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    *response.headers_mut().unwrap() = answer.headers().clone();
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}
