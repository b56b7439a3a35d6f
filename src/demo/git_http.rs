//! A Git server in this process: smart HTTP in front of `git http-backend`, like any web server.
//!
//! Promise: it serves real Git, with the hooks of its repositories, streaming in both directions; it listens only on
//! loopback. With a [`GitLogin`], every request needs it. A dropped server stops listening.
//!
//! Design: [`router`] turns a request into the variables of a CGI program and the program's output into an answer;
//! [`GitServer`] binds it to a port. Tests inject faults as layers around the router, so there are none in here.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use futures::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;
use tokio_util::io::ReaderStream;

use crate::git::Program;

/// Maximum number of requests in the log.
const MAX_LOG: usize = 10_000;
/// Maximum size of the program's headers and error text.
const MAX_HEAD: u64 = 64 << 10;

/// The user name and password that every request must bring.
#[derive(Debug, Clone)]
pub struct GitLogin {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: SecretString,
}

/// A request without its body: method, path with query, and the answer's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// For example `/deploys.git/info/refs?service=git-upload-pack`.
    pub path: String,
    /// The answer's status.
    pub status: u16,
}

/// The requests so far, newest last; only the last ten thousand are kept.
#[derive(Debug, Clone, Default)]
pub struct RequestLog(Arc<Mutex<VecDeque<GitRequest>>>);

impl RequestLog {
    /// A copy of the log.
    #[must_use]
    pub fn all(&self) -> Vec<GitRequest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Clears the log.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn push(&self, asked: GitRequest) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == MAX_LOG {
            log.pop_front();
        }
        log.push_back(asked);
    }
}

/// A running server; it stops when dropped.
#[derive(Debug)]
pub struct GitServer {
    address: SocketAddr,
    log: RequestLog,
    task: tokio::task::JoinHandle<()>,
}

impl GitServer {
    /// Serves every bare repository below `root` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(root: &Path, login: Option<GitLogin>) -> io::Result<Self> {
        let log = RequestLog::default();
        let router = router(root, login, log.clone());
        Self::serve(router, log).await
    }

    /// Serves a router: [`router`], possibly with layers around it.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn serve(router: Router, log: RequestLog) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the Git server has stopped");
            }
        });
        Ok(Self { address, log, task })
    }

    /// The address of the repository in the folder `name` below the root.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// The requests so far.
    #[must_use]
    pub fn requests(&self) -> &RequestLog {
        &self.log
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Server {
    root: PathBuf,
    /// The expected value of `Authorization`.
    expected: Option<Arc<SecretString>>,
    username: Option<String>,
    program: Program,
    log: RequestLog,
}

/// The server without a port.
pub fn router(root: &Path, login: Option<GitLogin>, log: RequestLog) -> Router {
    let expected = login.as_ref().map(|login| {
        let pair = format!("{}:{}", login.username, login.password.expose_secret());
        let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        Arc::new(SecretString::from(value))
    });
    let username = login.map(|login| login.username);
    let server = Server { root: root.to_owned(), expected, username, program: Program::inherited(), log };
    Router::new().fallback(answer).with_state(server)
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let method = request.method().as_str().to_owned();
    let response = if server.lets_in(request.headers()) {
        server.run(request).await.unwrap_or_else(|error| {
            tracing::warn!(path, %error, "git http-backend failed");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "git http-backend failed\n")
        })
    } else {
        let mut refused = plain(StatusCode::UNAUTHORIZED, "who are you?\n");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"git\""));
        refused
    };
    server.log.push(GitRequest { method, path, status: response.status().as_u16() });
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

impl Server {
    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        self.expected.as_ref().is_none_or(|expected| shown == Some(expected.expose_secret().as_bytes()))
    }

    async fn run(&self, request: Request) -> io::Result<Response> {
        let (parts, body) = request.into_parts();
        let mut child = self.program.http_backend(self.variables(&parts))?;
        if let Some(mut stdin) = child.stdin.take() {
            // Runs concurrently with reading the answer, because the program may write before it has read everything.
            // If the client disconnects, the pipe closes and the program sees a truncated request.
            tokio::spawn(async move {
                let mut body = body.into_data_stream();
                while let Some(Ok(chunk)) = body.next().await {
                    if stdin.write_all(&chunk).await.is_err() {
                        break;
                    }
                }
            });
        }
        let stderr = child.stderr.take();
        tokio::spawn(report(stderr));
        let Some(stdout) = child.stdout.take() else { return Err(io::Error::other("no pipe")) };
        reply(child, stdout).await
    }

    fn variables(&self, request: &http::request::Parts) -> Vec<(&'static str, OsString)> {
        let mut variables: Vec<(&'static str, OsString)> = vec![
            ("GIT_PROJECT_ROOT", self.root.clone().into()),
            ("GIT_HTTP_EXPORT_ALL", "1".into()),
            ("REQUEST_METHOD", request.method.as_str().into()),
            ("PATH_INFO", request.uri.path().into()),
            ("QUERY_STRING", request.uri.query().unwrap_or_default().into()),
            ("REMOTE_ADDR", "127.0.0.1".into()),
            ("REMOTE_USER", self.username.clone().unwrap_or_else(|| "anonymous".to_owned()).into()),
        ];
        for (header, variable) in [
            (header::CONTENT_TYPE, "CONTENT_TYPE"),
            (header::CONTENT_LENGTH, "CONTENT_LENGTH"),
            (header::CONTENT_ENCODING, "HTTP_CONTENT_ENCODING"),
            (HeaderName::from_static("git-protocol"), "GIT_PROTOCOL"),
        ] {
            if let Some(value) = request.headers.get(header).and_then(|value| value.to_str().ok()) {
                variables.push((variable, value.into()));
            }
        }
        variables
    }
}

/// A CGI answer: headers, an empty line, the body.
async fn reply(child: Child, stdout: impl AsyncRead + Unpin + Send + 'static) -> io::Result<Response> {
    let mut head = BufReader::new(stdout).take(MAX_HEAD);
    let mut response = Response::new(Body::empty());
    loop {
        let mut line = String::new();
        if head.read_line(&mut line).await? == 0 {
            return Err(io::Error::other("it ended within its headers"));
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other("a header without a colon"))?;
        if name.eq_ignore_ascii_case("status") {
            let code = value.split_whitespace().next().and_then(|code| code.parse().ok());
            *response.status_mut() = code.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        } else if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.trim().parse::<HeaderValue>()) {
            response.headers_mut().insert(name, value);
        }
    }
    // The process lives as long as somebody reads its output.
    let stream = ReaderStream::new(head.into_inner()).map(move |chunk| {
        let _running: &Child = &child;
        chunk
    });
    *response.body_mut() = Body::from_stream(stream);
    Ok(response)
}

async fn report(stderr: Option<impl AsyncRead + Unpin>) {
    let Some(mut stderr) = stderr else { return };
    let mut text = Vec::new();
    // If reading the error text fails, there is nowhere to report it.
    let _read = (&mut stderr).take(MAX_HEAD).read_to_end(&mut text).await;
    let _rest = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    if !text.is_empty() {
        tracing::debug!(text = %String::from_utf8_lossy(&text), "git http-backend says");
    }
}
