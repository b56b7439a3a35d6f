//! A container registry in memory, on a loopback port.
//!
//! Promise: a real subset of the OCI distribution specification: push (uploads in one or several parts, manifests),
//! pull, paged tag lists with `Link`, deletion, and both kinds of login. Ordinary tools can push to it. It checks
//! digests and refuses manifests whose parts are missing, as real registries do, and it injects no faults.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use tokio_util::sync::CancellationToken;

use crate::model::{Digest, ImageName, Tag};

mod auth;
mod content;
mod image;
mod wire;

pub use auth::Auth;
pub use image::DemoImage;

use content::Content;

use super::serve::{listen, serve};

/// Maximum size of a blob or manifest.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// Number of requests kept in the log.
const LOG: usize = 10_000;

/// How the registry announces that there are more tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkStyle {
    /// `Link` with a path, as most registries do.
    #[default]
    Relative,
    /// `Link` with a full URL.
    Absolute,
    /// Not at all; the client must continue with `last`.
    Missing,
}

/// Options of the registry.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Maximum number of tags in one answer, whatever the client requests.
    pub page_size: usize,
    /// How it announces that there are more.
    pub links: LinkStyle,
    /// The login it requires.
    pub auth: Auth,
    /// Whether tag lists have an `ETag`.
    pub etags: bool,
    /// Whether it has the referrers API.
    pub referrers: bool,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self { page_size: 1000, links: LinkStyle::default(), auth: Auth::default(), etags: true, referrers: true }
    }
}

/// An answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The answer's status.
    pub status: u16,
    /// Whether it carried an `Authorization` header.
    pub authorization: bool,
}

/// A running registry; it stops when dropped.
#[derive(Debug)]
pub struct DemoRegistry {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Shared {
    options: RegistryOptions,
    host: String,
    world: Mutex<World>,
}

#[derive(Debug, Default)]
struct World {
    repositories: HashMap<String, Content>,
    uploads: HashMap<String, Vec<u8>>,
    started: u64,
    tokens: auth::DemoTokens,
    requests: u64,
    log: VecDeque<RegistryRequest>,
}

impl DemoRegistry {
    /// Starts a registry on a free port of 127.0.0.1, in the running tokio runtime.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(options: RegistryOptions) -> std::io::Result<Self> {
        let (listener, address) = listen().await?;
        let shared = Arc::new(Shared { options, host: address.to_string(), world: Mutex::default() });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        serve(listener, router, "registry", &stop);
        Ok(Self { address, shared, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The host as in image names, e.g. `127.0.0.1:34567`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.shared.host
    }

    /// Builds an image and pushes it under a tag, as if by another client. Returns its digest.
    ///
    /// # Errors
    /// When the repository's name is not valid.
    pub fn push_image(
        &self,
        repository: &str,
        tag: &Tag,
        image: &DemoImage,
    ) -> Result<Digest, crate::model::ImageError> {
        ImageName::parse(&format!("{}/{repository}", self.shared.host))?;
        let mut world = self.shared.lock();
        let content = world.repositories.entry(repository.to_owned()).or_default();
        let (media_type, bytes) = image.build(content);
        let digest = content.put_manifest(media_type, bytes);
        content.tag(tag, &digest);
        Digest::parse(&digest)
    }

    /// Pushes a blob, as if by another client. Returns its digest.
    pub fn push_blob(&self, repository: &str, bytes: Vec<u8>) -> String {
        self.shared.lock().repositories.entry(repository.to_owned()).or_default().put_blob(bytes.into())
    }

    /// Pushes a manifest of any kind, as if by another client, and under a tag if one is given. Returns its digest.
    pub fn push_manifest(&self, repository: &str, tag: Option<&Tag>, media_type: &str, bytes: Vec<u8>) -> String {
        let mut world = self.shared.lock();
        let content = world.repositories.entry(repository.to_owned()).or_default();
        let digest = content.put_manifest(media_type, bytes.into());
        if let Some(tag) = tag {
            content.tag(tag, &digest);
        }
        digest
    }

    /// Removes a tag. Returns whether it existed.
    pub fn delete_tag(&self, repository: &str, tag: &Tag) -> bool {
        let mut world = self.shared.lock();
        world.repositories.get_mut(repository).is_some_and(|content| content.delete(tag.as_str()))
    }

    /// The digest that a tag or digest refers to, if it exists here.
    #[must_use]
    pub fn resolve(&self, repository: &str, reference: &str) -> Option<String> {
        let world = self.shared.lock();
        world.repositories.get(repository)?.manifest(reference).map(|(digest, ..)| digest)
    }

    /// The number of requests answered so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.lock().requests
    }

    /// The last requests (up to 10,000), oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<RegistryRequest> {
        self.shared.lock().log.iter().cloned().collect()
    }
}

impl Drop for DemoRegistry {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or_else(|| head.uri.path().to_owned(), ToString::to_string);
    let response = match axum::body::to_bytes(body, MAX_BODY).await {
        Ok(body) => wire::respond(&shared, &head.method, &head.uri, &head.headers, body),
        Err(_) => wire::error(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
    };
    let mut world = shared.lock();
    world.requests += 1;
    if world.log.len() == LOG {
        world.log.pop_front();
    }
    world.log.push_back(RegistryRequest {
        method: head.method.to_string(),
        target,
        status: response.status().as_u16(),
        authorization: head.headers.contains_key(header::AUTHORIZATION),
    });
    response
}
