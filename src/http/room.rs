//! Bodies of answers, and the memory that all of them take together.
//!
//! Promise: the bodies that are held at one time, of all edges, take about 80 MiB at most. A server that sends slowly, or without
//! end, keeps nobody else from reading: one host has but a share of the places, waiting for one ends with the request's own time,
//! and who holds a place that others wait for must send fast enough, or loses it. Either is told as that host's problem.
//!
//! Design: from [`ROOM`]'s first size on, a body holds a place of its class. Whoever grows out of one class waits for a place in the
//! next and gives the old one back only then, so that those who wait form no circle.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Broken, BrokenKind};

/// One class of bodies.
struct Class {
    /// A body with more bytes than this is in it, or in a higher one.
    above: usize,
    places: Semaphore,
    /// Most places of one host.
    share: usize,
    /// Who waits for a place.
    waiting: AtomicUsize,
}

impl Class {
    const fn new(above: usize, places: usize, share: usize) -> Self {
        Self { above, places: Semaphore::const_new(places), share, waiting: AtomicUsize::new(0) }
    }
}

/// Where bodies have their places.
struct Room([Class; 3]);

/// Of all edges. What is smaller has as many places as there are requests.
static ROOM: Room = Room([Class::new(64 << 10, 32, 8), Class::new(1 << 20, 2, 1), Class::new(8 << 20, 1, 1)]);

/// The places that one host may have, by class.
type Share = [Arc<Semaphore>; 3];

/// The shares of hosts that have or want a place.
static SHARES: LazyLock<Mutex<HashMap<String, Share>>> = LazyLock::new(Mutex::default);

/// A place that others wait for is kept by who sends at least so much in a second ...
const RATE: u64 = 1 << 20;
/// ... from this time on.
const GRACE: Duration = Duration::from_secs(5);
/// How long room is waited for: the time of a whole request.
const WAIT: Duration = Duration::from_secs(30);
/// How often it is looked whether others wait.
const LOOK: Duration = Duration::from_millis(250);

/// An answer's body. While it is held it takes up its place among the others of its size, so it is read and dropped before the next
/// thing is waited for.
#[derive(Debug, Default)]
pub struct Body {
    /// What was answered.
    pub bytes: Vec<u8>,
    place: Option<Place>,
}

impl From<Vec<u8>> for Body {
    /// One that is held in any case, and so takes up no place.
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, place: None }
    }
}

impl std::ops::Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A place in a class, one of the share of a host.
#[derive(Debug)]
struct Place {
    class: usize,
    since: Instant,
    /// How many bytes there were when it was taken.
    from: usize,
    _place: SemaphorePermit<'static>,
    _share: OwnedSemaphorePermit,
}

/// Somebody waits, until this is dropped.
struct Waiting(&'static AtomicUsize);

impl Waiting {
    fn at(class: &'static Class) -> Self {
        class.waiting.fetch_add(1, Ordering::Relaxed);
        Self(&class.waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    /// How many sizes a body of so many bytes exceeds.
    fn class_of(&self, bytes: usize) -> usize {
        self.0.iter().take_while(|class| bytes > class.above).count()
    }

    /// Waits for a place in a class (from 1), first among the host's own, then among all.
    async fn place(&'static self, host: &str, class: usize, from: usize) -> Option<Place> {
        let number = class.checked_sub(1)?;
        let here = self.0.get(number)?;
        let share = self.share(host).get(number).map(Arc::clone)?;
        // The semaphores are never closed; were one, its bodies would only take up no room.
        let share = share.acquire_owned().await.ok()?;
        let waiting = Waiting::at(here);
        let place = here.places.acquire().await.ok()?;
        drop(waiting);
        Some(Place { class, since: Instant::now(), from, _place: place, _share: share })
    }

    fn share(&self, host: &str) -> Share {
        let mut shares = SHARES.lock().unwrap_or_else(PoisonError::into_inner);
        shares.retain(|_, share| share.iter().any(|places| Arc::strong_count(places) > 1));
        let made = || self.0.each_ref().map(|class| Arc::new(Semaphore::new(class.share)));
        shares.entry(host.to_owned()).or_insert_with(made).clone()
    }
}

impl Room {
    /// Waits for a place for something of so many bytes, of which so many have arrived, if it has outgrown the one that it has. The
    /// class of a new place.
    async fn outgrown(
        &'static self,
        place: &mut Option<Place>,
        host: &str,
        (bytes, arrived): (usize, usize),
    ) -> Option<usize> {
        let class = self.class_of(bytes);
        if class <= place.as_ref().map_or(0, |place| place.class) {
            return None;
        }
        *place = self.place(host, class, arrived).await;
        Some(class)
    }
}

/// Ends when others wait for a place and its sender is too slow for them.
async fn called_back(place: Option<&Place>, arrived: usize) {
    let Some(Place { class, since, from, .. }) = place else { return std::future::pending().await };
    let Some(class) = ROOM.0.get(class - 1) else { return std::future::pending().await };
    let seconds = (arrived - from) as u64 / RATE;
    sleep_until(*since + GRACE + Duration::from_secs(seconds)).await;
    while class.waiting.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(LOOK).await;
    }
}

impl Body {
    /// Waits for room for so many more bytes, of at most `limit` in all.
    async fn grow(&mut self, host: &str, more: usize, limit: usize) {
        let sizes = (self.bytes.len() + more, self.bytes.len());
        if let Some(class) = ROOM.outgrown(&mut self.place, host, sizes).await {
            // At once: what grows bit by bit is held twice each time that it moves.
            let most = ROOM.0.get(class).map_or(limit, |next| limit.min(next.above));
            self.bytes.reserve_exact(most.saturating_sub(self.bytes.len()));
        }
    }

    /// Ends when others wait for its place and its sender is too slow for them.
    async fn called_back(&self) {
        called_back(self.place.as_ref(), self.bytes.len()).await;
    }
}

/// Reads an answer's body, after decompression at most `limit` bytes.
///
/// # Errors
/// When it is longer, breaks off, or came too slowly for those who waited for its place; and when there was no room in time.
pub async fn read(mut response: Response, limit: u64) -> Result<Body, Broken> {
    let host = super::origin(response.url());
    let mut body = Body::default();
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = response.chunk() => chunk?,
            () = body.called_back() => return Err(slow(body.place.as_ref(), body.bytes.len())),
        };
        let Some(chunk) = chunk else { return Ok(body) };
        if (body.bytes.len() + chunk.len()) as u64 > limit {
            return Err(too_long(limit));
        }
        let room = body.grow(&host, chunk.len(), usize::try_from(limit).unwrap_or(usize::MAX));
        if timeout(WAIT, room).await.is_err() {
            return Err(no_room(body.bytes.len()));
        }
        body.bytes.extend_from_slice(&chunk);
    }
}

/// What is read of an answer that is no success: its message is a bonus.
const MAX_ERROR: u64 = 64 << 10;

/// Reads the body of an answer that is no success. If that is long or breaks off, there is none: the status says enough.
pub async fn read_error(response: Response) -> Body {
    read(response, MAX_ERROR).await.unwrap_or_default()
}

/// Reads an answer's body, after decompression at most `limit` bytes, and hands each part on as it arrives. `take` says how many bytes it
/// holds of all parts so far, which take up room as those of a body do.
///
/// # Errors
/// As for [`read`]; and what `take` says of a part.
pub async fn stream<E: From<Broken>>(
    mut response: Response,
    limit: u64,
    mut take: impl FnMut(&[u8]) -> Result<usize, E>,
) -> Result<(), E> {
    let host = super::origin(response.url());
    let (mut place, mut arrived) = (None, 0);
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = response.chunk() => chunk.map_err(Broken::from)?,
            () = called_back(place.as_ref(), arrived) => return Err(slow(place.as_ref(), arrived).into()),
        };
        let Some(chunk) = chunk else { return Ok(()) };
        arrived += chunk.len();
        if arrived as u64 > limit {
            return Err(too_long(limit).into());
        }
        let held = take(&chunk)?;
        if timeout(WAIT, ROOM.outgrown(&mut place, &host, (held, arrived))).await.is_err() {
            return Err(no_room(held).into());
        }
    }
}

fn too_long(limit: u64) -> Broken {
    let text = format!("the answer is longer than {}, the limit for this request", size(limit));
    Broken { kind: BrokenKind::TooLong, text }
}

fn no_room(bytes: usize) -> Broken {
    let text = format!(
        "its answer takes up more than {}, and for {} s there was no room for more of it: answers so long are \
         read one after the other, and this host has but a share of the places",
        size(bytes as u64),
        WAIT.as_secs()
    );
    Broken { kind: BrokenKind::NoRoom, text }
}

fn slow(place: Option<&Place>, arrived: usize) -> Broken {
    let taken = place.map_or(Duration::ZERO, |place| place.since.elapsed());
    let text = format!(
        "its answer came so slowly ({} in {} s) that others waited for the memory that it takes up",
        size(arrived as u64),
        taken.as_secs()
    );
    Broken { kind: BrokenKind::NoRoom, text }
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0 => "nothing".to_owned(),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(host: &'static str, bytes: usize) -> Body {
        let mut body = Body::default();
        body.grow(host, bytes, 32 << 20).await;
        body
    }

    async fn waits(host: &'static str, bytes: usize) -> bool {
        timeout(Duration::ZERO, body(host, bytes)).await.is_err()
    }

    /// One test, since there is one room.
    #[tokio::test]
    async fn bodies_of_a_size_have_so_many_places_together_and_a_host_its_share_of_them() {
        let largest = body("a", 9 << 20).await;
        assert!(waits("b", 32 << 20).await, "one place for the largest");
        // What is smaller does not wait for it.
        let mut medium = body("a", 2 << 20).await;
        assert!(waits("a", 2 << 20).await, "one of two is its share");
        let other = body("b", 2 << 20).await;
        assert!(waits("c", 2 << 20).await && !waits("c", 512 << 10).await && !waits("c", 10).await);
        drop(largest);
        medium.bytes = vec![0; 2 << 20];
        medium.grow("a", 7 << 20, 32 << 20).await;
        assert!(!waits("c", 2 << 20).await, "who grew has given the old place back");
        assert!(waits("c", 9 << 20).await);
        drop((medium, other));
        let few: Vec<Body> = futures::future::join_all((0..8).map(|_| body("a", 512 << 10))).await;
        assert!(waits("a", 512 << 10).await && !waits("b", 512 << 10).await);
        drop(few);
        // Who holds a place keeps it, however slow, until others wait for it and the time of grace is over.
        let mut slow = body("a", 9 << 20).await;
        let called = async |body: &Body| timeout(2 * LOOK, body.called_back()).await.is_ok();
        let early = |body: &mut Body, seconds| {
            body.place.as_mut().unwrap().since = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        };
        early(&mut slow, 60);
        assert!(!called(&slow).await, "nobody waits");
        let waiting = tokio::spawn(body("b", 9 << 20));
        while ROOM.0[2].waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(called(&slow).await);
        early(&mut slow, 1);
        assert!(!called(&slow).await, "it has not had its time yet");
        early(&mut slow, 20);
        slow.bytes = vec![0; 20 << 20];
        assert!(!called(&slow).await, "it sends a mebibyte in a second");
        drop(slow);
        drop(waiting.await.unwrap());
        assert!(!waits("c", 9 << 20).await);
        // What is read as it arrives takes up what is held of it, however much has arrived.
        let (mut place, mut other) = (None, None);
        let arrived = 50 << 20;
        assert_eq!(ROOM.outgrown(&mut place, "a", (10, arrived)).await, None);
        assert_eq!(ROOM.outgrown(&mut place, "a", (9 << 20, arrived)).await, Some(3));
        assert!(timeout(Duration::ZERO, ROOM.outgrown(&mut other, "b", (9 << 20, arrived))).await.is_err());
        drop(place);
        assert_eq!(ROOM.outgrown(&mut other, "b", (9 << 20, arrived)).await, Some(3));
    }
}
