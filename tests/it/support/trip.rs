//! Tripwires: something happens when the n-th request of a kind comes in, or has been carried out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;

/// Which server a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    Git,
    Registry,
    Forge,
}

/// Before a request is carried out, or after, when only its answer is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// A kind of request, by method (any where it is empty) and a part of its path and query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) server: Where,
    pub(crate) method: &'static str,
    pub(crate) part: &'static str,
    pub(crate) when: When,
}

impl Point {
    pub(crate) const fn on(server: Where, method: &'static str, part: &'static str, when: When) -> Self {
        Self { server, method, part, when }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {} {}", self.when, self.server, self.method, self.part)
    }
}

type Act = Box<dyn FnMut() -> Reply + Send>;

/// What becomes of the request that met the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The server goes on, whether or not anybody still listens.
    GoesOn,
    /// The connection breaks.
    Broken,
    /// Nothing comes until [`Tripwire::clear`], and then the connection breaks.
    Silence,
    /// An error with this status.
    Status(u16),
}

struct Trip {
    point: Point,
    skip: usize,
    times: usize,
    act: Act,
}

/// The trips that are set. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Tripwire(Arc<Wire>);

#[derive(Default)]
struct Wire {
    trips: Mutex<Vec<Trip>>,
    cleared: tokio::sync::Notify,
}

impl Tripwire {
    /// After `skip` requests of this kind, `times` of them call `act`.
    pub(crate) fn set(&self, point: Point, skip: usize, times: usize, act: impl FnMut() -> Reply + Send + 'static) {
        self.lock().push(Trip { point, skip, times, act: Box::new(act) });
    }

    /// From now on, and until [`Tripwire::clear`], the registry answers requests with this in their path with this status.
    pub(crate) fn fail(&self, part: &'static str, status: u16) {
        self.clear();
        let point = Point::on(Where::Registry, "", part, When::Before);
        self.set(point, 0, usize::MAX, move || Reply::Status(status));
    }

    /// Takes all trips away.
    pub(crate) fn clear(&self) {
        self.lock().clear();
        self.0.cleared.notify_waiters();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Trip>> {
        self.0.trips.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meet(&self, server: Where, when: When, method: &str, target: &str) -> Reply {
        let fits = |trip: &&mut Trip| {
            let point = &trip.point;
            (point.server, point.when) == (server, when)
                && (point.method.is_empty() || point.method == method)
                && target.contains(point.part)
        };
        let mut reply = Reply::GoesOn;
        for trip in self.lock().iter_mut().filter(fits) {
            if trip.skip > 0 {
                trip.skip -= 1;
            } else if trip.times > 0 {
                trip.times -= 1;
                reply = (trip.act)();
            }
        }
        reply
    }

    /// The routes with the wire around them.
    pub(crate) fn around(&self, server: Where, routes: Router) -> Router {
        let wire = self.clone();
        routes.layer(middleware::from_fn(move |request: Request, next: Next| {
            let wire = wire.clone();
            async move { wire.pass(server, request, next).await }
        }))
    }

    async fn pass(&self, server: Where, request: Request, next: Next) -> Response {
        let method = request.method().as_str().to_owned();
        let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        match self.meet(server, When::Before, &method, &target) {
            Reply::GoesOn => {}
            reply => return self.refuse(reply).await,
        }
        // In a task of its own: a server that has taken a request carries it out also when the client has died.
        let work = tokio::spawn(async move {
            let (parts, body) = next.run(request).await.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
            Response::from_parts(parts, Body::from(body))
        });
        let response = work.await.unwrap();
        match self.meet(server, When::After, &method, &target) {
            Reply::GoesOn => response,
            reply => self.refuse(reply).await,
        }
    }

    async fn refuse(&self, reply: Reply) -> Response {
        match reply {
            Reply::Status(status) => return Response::builder().status(status).body(Body::from("no")).unwrap(),
            Reply::Silence => self.0.cleared.notified().await,
            Reply::GoesOn | Reply::Broken => {}
        }
        let broken = futures::stream::once(async { Err::<Vec<u8>, _>(std::io::Error::other("cut")) });
        Response::new(Body::from_stream(broken))
    }
}

/// Hands every request on to `to`.
pub(crate) fn proxy(to: String) -> Router {
    // Installed already, perhaps, by another test of this process.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    #[allow(clippy::disallowed_methods, reason = "a test's proxy is not one of the edges")]
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Router::new().fallback(move |request: Request| forward(client.clone(), to.clone(), request))
}

async fn forward(client: reqwest::Client, to: String, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
    let target = format!("{to}{}", parts.uri.path_and_query().map_or("/", |path| path.as_str()));
    parts.headers.remove("host");
    let answer = client.request(parts.method, target).headers(parts.headers).body(body).send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    *response.headers_mut().unwrap() = answer.headers().clone();
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}
