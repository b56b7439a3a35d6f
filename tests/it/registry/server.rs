//! A scripted HTTP server for faults that no real registry can be asked to show: one closure answers every request, in
//! bytes if need be, and everything that arrived is kept.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A field of a form that was posted.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let fields = url::form_urlencoded::parse(self.body.as_bytes());
        fields.into_owned().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }
}

/// What to do about a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A whole answer.
    Http { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// These bytes, and then the end of the connection.
    Raw(Vec<u8>),
    /// These bytes, and then nothing for ever.
    Stuck(Vec<u8>),
    /// The answer, but later.
    Later(Duration, Box<Reply>),
    /// The answer, once this is true.
    Held(watch::Receiver<bool>, Box<Reply>),
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self::Http { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self::new(200).header("content-type", "application/json").body(value.to_string())
    }

    pub(crate) fn tags(names: &[&str]) -> Self {
        Self::json(&serde_json::json!({ "name": "a", "tags": names }))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Http { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        if let Self::Http { body, .. } = &mut self {
            *body = bytes.into();
        }
        self
    }
}

type Script = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// A running server; it stops when dropped.
pub(crate) struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<Request>>,
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Server {
    /// Starts a server; the script gets each request and its number from 0.
    pub(crate) async fn start(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            now: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { addr, shared, task }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn host(&self) -> String {
        self.addr.to_string()
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.seen().into_iter().map(|request| request.target).collect()
    }

    /// The most requests that were being answered at the same time.
    pub(crate) fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await {
        let number = {
            let mut seen = shared.seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        let now = shared.now.fetch_add(1, Ordering::SeqCst) + 1;
        shared.peak.fetch_max(now, Ordering::SeqCst);
        let mut reply = (shared.script)(&request, number);
        while let Reply::Later(_, then) | Reply::Held(_, then) = &reply {
            match &reply {
                Reply::Later(pause, _) => tokio::time::sleep(*pause).await,
                Reply::Held(open, _) => drop(open.clone().wait_for(|open| *open).await.unwrap()),
                _ => {}
            }
            reply = Reply::clone(then);
        }
        shared.now.fetch_sub(1, Ordering::SeqCst);
        match reply {
            Reply::Http { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str("\r\n");
                let body = if request.method == "HEAD" { &[][..] } else { &body };
                if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(body).await.is_err() {
                    return;
                }
            }
            Reply::Raw(bytes) => {
                stream.write_all(&bytes).await.ok();
                return;
            }
            Reply::Stuck(bytes) => {
                stream.write_all(&bytes).await.ok();
                std::future::pending::<()>().await;
            }
            Reply::Later(..) | Reply::Held(..) => unreachable!(),
        }
    }
}

/// One request.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => buffer.extend_from_slice(&chunk[..count]),
        }
    };
    let head = String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let mut request = Request { method, target, headers, body: String::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    while buffer.len() < length {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => buffer.extend_from_slice(&chunk[..count]),
        }
    }
    request.body = String::from_utf8(buffer.drain(..length).collect()).unwrap();
    Some(request)
}
