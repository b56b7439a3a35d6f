//! Lists and watches as requests, with a bound on what one answer may hold.
//!
//! kube's own [`kube::Api::watch`] reads lines of any length, and its `list` bodies of any: an object or a server gone mad
//! would take the memory of the bot, and with it every other kind and cluster. Here each line of a watch and each page of a
//! list is read up to a limit, after decompression; more is a fault of that kind, which says so.

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::api::{ApiResource, ListParams, ObjectList, WatchEvent, WatchParams};
use kube::client::Body;
use kube::core::{Request, Status};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::io::StreamReader;

use super::fault::ApiFault;
use super::trimmed::TrimmedObject;

/// Most bytes of one change. etcd takes 1.5 MiB of an object, unless somebody has raised that.
const MAX_LINE: usize = 8 * 1024 * 1024;
/// Most bytes of one page of a list.
const MAX_PAGE: usize = 128 * 1024 * 1024;
/// Most bytes of a refusal.
const MAX_REFUSAL: usize = 64 * 1024;

/// One kind at a server, in one namespace or in all.
pub(super) struct KindRequests {
    client: Client,
    request: Request,
}

impl KindRequests {
    pub(super) fn new(client: Client, resource: &ApiResource, namespace: Option<&str>) -> Self {
        use kube::Resource as _;
        Self { client, request: Request::new(TrimmedObject::url_path(resource, namespace)) }
    }

    /// One page.
    pub(super) async fn list(&self, params: &ListParams) -> Result<ObjectList<TrimmedObject>, ApiFault> {
        let request = self.request.list(params).map_err(|_| ApiFault::failed("the list could not be asked for"))?;
        let body = self.send(request).await?;
        let page = whole(body, MAX_PAGE).await?;
        serde_json::from_slice(&page).map_err(|error| ApiFault::from(kube::Error::SerdeError(error)))
    }

    /// The changes from a version on. The stream ends where the server ends it or the connection breaks: what came until
    /// then is whole.
    pub(super) async fn watch(
        &self,
        params: &WatchParams,
        version: &str,
    ) -> Result<impl Stream<Item = Result<WatchEvent<TrimmedObject>, ApiFault>> + use<>, ApiFault> {
        let request =
            self.request.watch(params, version).map_err(|_| ApiFault::failed("the watch could not be asked for"))?;
        let body = self.send(request).await?;
        let bytes = body.into_data_stream().map_err(std::io::Error::other);
        let lines = FramedRead::new(StreamReader::new(bytes), LinesCodec::new_with_max_length(MAX_LINE));
        Ok(futures::stream::unfold(lines, |mut lines| async {
            loop {
                let event = match lines.next().await? {
                    Ok(line) => event(&line),
                    Err(LinesCodecError::MaxLineLengthExceeded) => Some(Err(too_large("one change", MAX_LINE))),
                    Err(LinesCodecError::Io(_)) => return None,
                };
                if let Some(event) = event {
                    return Some((event, lines));
                }
            }
        }))
    }

    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<Body, ApiFault> {
        let mut request = request.map(Body::from);
        // From 1.37 on the server compresses each change by itself, which no client's decompression reads on.
        if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
            let plain = http::HeaderValue::from_static("identity");
            request.headers_mut().insert(http::header::ACCEPT_ENCODING, plain);
        }
        let (head, body) = self.client.send(request).await?.into_parts();
        if !(head.status.is_client_error() || head.status.is_server_error()) {
            return Ok(body);
        }
        let said = whole(body, MAX_REFUSAL).await?;
        let status = serde_json::from_slice::<Status>(&said).unwrap_or_else(|_| {
            // A proxy's page, or the plain text of a path that is not there.
            let text = String::from_utf8_lossy(&said);
            Status::failure(text.trim(), "").with_code(head.status.as_u16())
        });
        Err(ApiFault::of_status(&status))
    }
}

/// One line of a watch; `None` for half a line, at which the connection broke.
fn event(line: &str) -> Option<Result<WatchEvent<TrimmedObject>, ApiFault>> {
    match serde_json::from_str(line) {
        Ok(event) => Some(Ok(event)),
        Err(error) if error.is_eof() => None,
        Err(error) => Some(Err(match serde_json::from_str::<Status>(line) {
            Ok(status) => ApiFault::of_status(&status),
            Err(_) => ApiFault::from(kube::Error::SerdeError(error)),
        })),
    }
}

/// A whole body within a limit.
async fn whole(body: Body, limit: usize) -> Result<Vec<u8>, ApiFault> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes().to_vec()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large("one answer", limit)),
        Err(error) => Err(ApiFault::from(kube::Error::Service(error))),
    }
}

fn too_large(what: &str, limit: usize) -> ApiFault {
    let limit = limit / 1024 / 1024;
    ApiFault::failed(format!(
        "the server sent more than {limit} MiB as {what}, which is not read: make the object smaller, or look for what fills it"
    ))
}
