//! Accepts connections within limits: how many there are, how long one lives, how slowly it may send its headers.
//!
//! Promise: clients that say nothing, send a byte a minute or never read what they asked for lose their connection, and
//! those of one address never take all places.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Maximum number of connections, and of those from one address: behind a proxy all have the same.
const PLACES: (usize, usize) = (512, 256);
/// Maximum time for the headers of a request, from the end of the one before: an idle connection ends with it.
const HEADERS: Duration = Duration::from_secs(10);
/// Maximum size of all headers of a request; there may be a hundred of them.
const HEADER_BYTES: usize = 32 << 10;
/// The size of the read buffer.
const BUFFER: usize = 64 << 10;
/// After this time a connection takes no further request: whoever goes on connects again.
const AGE: Duration = Duration::from_secs(300);
/// Maximum time for what has begun, when the server stops or a connection is too old.
const ENDING: Duration = Duration::from_secs(3);
/// Pause after an error of the operating system, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Who sent a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Serves a router until `stop`, and then what has begun.
pub(super) async fn serve(listener: TcpListener, router: &Router, stop: &CancellationToken) {
    let (tasks, places) = (TaskTracker::new(), Places::default());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Without a place it is closed at once: whoever waits would not know why.
                let Some(place) = places.take(peer.ip()) else { continue };
                let (router, stop) = (router.clone().layer(Extension(Peer(peer))), stop.clone());
                drop(tasks.spawn(async move {
                    connection(stream, router, &stop).await;
                    drop(place);
                }));
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    let _in_time = timeout(ENDING, tasks.wait()).await.is_ok();
}

async fn connection(stream: TcpStream, router: Router, stop: &CancellationToken) {
    // Answers are short and complete.
    stream.set_nodelay(true).ok();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_header_size(HEADER_BYTES)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        _ended = &mut connection => return,
        () = stop.cancelled() => {}
        () = sleep(AGE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _in_time = timeout(ENDING, connection).await.is_ok();
}

/// The places that are taken, by address.
#[derive(Debug, Clone, Default)]
struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place; it is free again when this is dropped.
#[derive(Debug)]
struct Place {
    of: IpAddr,
    places: Places,
}

impl Places {
    fn take(&self, of: IpAddr) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(&of).copied().unwrap_or_default();
        if all >= PLACES.0 || own >= PLACES.1 {
            return None;
        }
        taken.insert(of, own + 1);
        Some(Place { of, places: self.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_places_for_others_and_places_come_back() {
        let places = Places::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut taken: Vec<_> = std::iter::from_fn(|| places.take(one)).collect();
        assert_eq!(taken.len(), PLACES.1);
        let others: Vec<_> = std::iter::from_fn(|| places.take(other)).collect();
        assert_eq!(taken.len() + others.len(), PLACES.0);
        assert!(places.take(IpAddr::from([10, 0, 0, 3])).is_none());
        taken.pop();
        assert!(places.take(one).is_some());
        drop((taken, others));
        assert!(places.0.lock().unwrap().is_empty());
    }
}
