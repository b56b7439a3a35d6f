//! Faults around the in-process Git server, as layers of its router.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use http::StatusCode;
use landfall::demo::git_http::{GitLogin, GitServer, RequestLog, router};

/// What happens to a request that the fault is about.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It is carried out, and the connection breaks before the answer.
    DropReply,
    /// It is answered with this status and not carried out.
    Status(u16),
    /// It is sent elsewhere.
    Redirect(String),
}

/// A server whose requests containing `part` meet the fault, after `after` of them went well.
pub(crate) async fn faulty(
    root: &Path,
    login: Option<GitLogin>,
    part: &'static str,
    after: usize,
    fault: Fault,
) -> GitServer {
    let log = RequestLog::default();
    let seen = Arc::new(AtomicUsize::new(0));
    let layer = middleware::from_fn(move |request: Request, next: Next| {
        let (seen, fault) = (seen.clone(), fault.clone());
        async move {
            let path = request.uri().path_and_query().map_or("", |path| path.as_str()).to_owned();
            if !path.contains(part) || seen.fetch_add(1, Ordering::SeqCst) < after {
                return next.run(request).await;
            }
            meet(&fault, &path, request, next).await
        }
    });
    GitServer::serve(router(root, login, log.clone()).layer(layer), log).await.unwrap()
}

/// A server whose `/old.git` has moved to `/new.git`.
pub(crate) async fn renamed(root: &Path, login: GitLogin) -> GitServer {
    let log = RequestLog::default();
    let layer = middleware::from_fn(|request: Request, next: Next| async move {
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        let Some(rest) = path.strip_prefix("/old.git").map(str::to_owned) else { return next.run(request).await };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        response.headers_mut().insert("location", format!("/new.git{rest}").parse().unwrap());
        response
    });
    GitServer::serve(router(root, Some(login), log.clone()).layer(layer), log).await.unwrap()
}

async fn meet(fault: &Fault, path: &str, request: Request, next: Next) -> Response {
    match fault {
        Fault::DropReply => {
            let response = next.run(request).await;
            // Reading the whole answer first: the server's work is done, and nobody hears of it.
            axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            let broken = futures::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("cut")) });
            Response::new(Body::from_stream(broken))
        }
        Fault::Status(status) => {
            let mut response = Response::new(Body::from("no"));
            *response.status_mut() = StatusCode::from_u16(*status).unwrap();
            response
        }
        Fault::Redirect(to) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
            response.headers_mut().insert("location", format!("{to}{path}").parse().unwrap());
            response
        }
    }
}
