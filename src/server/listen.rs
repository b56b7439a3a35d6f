//! Accepts connections within limits: how many there are, how long one lives, how slowly it may send its headers.
//!
//! Promise: clients that say nothing, send a byte a minute or never read what they asked for lose their connection, and
//! those of one address never take all places. Those of many addresses keep nobody out either: the oldest gives way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
                // Without a place it is closed at once: whoever waits would not know why. So is one that gives way.
                let Some(place) = places.take(peer.ip()) else { continue };
                let (router, stop) = (router.clone().layer(Extension(Peer(peer))), stop.clone());
                drop(tasks.spawn(async move {
                    let gone = place.gone.clone();
                    tokio::select! {
                        () = connection(stream, router, &stop) => {}
                        () = gone.cancelled() => {}
                    }
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
        // A sender that hangs up has still sent what it sent: without this, what is being received would be dropped.
        .half_close(true)
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

/// The places that are taken, in the order in which they were.
#[derive(Debug, Clone, Default)]
struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    all: BTreeMap<u64, (IpAddr, CancellationToken)>,
}

/// A place; it is free again when this is dropped.
#[derive(Debug)]
struct Place {
    number: u64,
    /// Somebody else has it now.
    gone: CancellationToken,
    places: Places,
}

impl Places {
    /// A place for an address that has not too many. Where all are taken, the oldest of the address that has most of them
    /// gives way: a flood must not keep out the probes, upon whose failure the bot would be restarted.
    fn take(&self, of: IpAddr) -> Option<Place> {
        let mut taken = self.taken();
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (address, _) in taken.all.values() {
            *counts.entry(*address).or_default() += 1;
        }
        if counts.get(&of).is_some_and(|own| *own >= PLACES.1) {
            return None;
        }
        if taken.all.len() >= PLACES.0 {
            let first = taken.all.iter().min_by_key(|(_, (address, _))| Reverse(counts.get(address)));
            let (_, gone) = first.map(|(number, _)| *number).and_then(|number| taken.all.remove(&number))?;
            gone.cancel();
        }
        let (number, gone) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.all.insert(number, (of, gone.clone()));
        Some(Place { number, gone, places: self.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().all.remove(&self.number);
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
        taken.pop();
        assert!(places.take(one).is_some());
        drop((taken, places.take(other)));
        assert!(places.taken().all.is_empty());
    }

    #[test]
    fn where_all_are_taken_the_oldest_of_whoever_has_most_gives_way() {
        let places = Places::default();
        let (small, large) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let probe = IpAddr::from([10, 0, 0, 3]);
        let mut taken: Vec<_> = (1..PLACES.1).filter_map(|_| places.take(small)).collect();
        taken.extend(std::iter::from_fn(|| places.take(large)));
        taken.extend(places.take(probe));
        assert_eq!(places.taken().all.len(), PLACES.0);
        let next = places.take(probe).unwrap();
        let gone: Vec<_> = taken.iter().filter(|place| place.gone.is_cancelled()).map(|place| place.number).collect();
        assert_eq!((gone, next.gone.is_cancelled()), (vec![PLACES.1 as u64 - 1], false));
        assert_eq!(places.taken().all.len(), PLACES.0);
        drop(taken);
        assert_eq!(places.taken().all.len(), 1, "whoever gave way frees no second place");
    }
}
