//! Lists and watches as requests, with limits on the size of an answer.
//!
//! [`kube::Api`] reads lists and lines of any length: a single excessive object or server would take all the memory of
//! the bot, and with it every other kind and cluster. Here a list is read item by item and a watch line by line, after
//! decompression. An item or line that is too large is reported for that object; a page that is too large is requested
//! again with fewer objects.

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, Limited};
use kube::Client;
use kube::api::{ApiResource, ListParams, WatchParams};
use kube::client::Body;
use kube::core::{ListMeta, Request, Status};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_util::bytes::BytesMut;
use tokio_util::codec::{Decoder, FramedRead};
use tokio_util::io::StreamReader;

use super::fault::ApiFault;
use super::page::{MAX_OBJECT, NoList, ObjectText, PageScanner};
use super::settings::Pace;
use super::trimmed::{Glance, TrimmedObject, parsed};
use super::watch::within;

/// If a request times out after more than this has arrived, it is worth retrying with fewer objects.
const SLOW_PAGE: usize = 1024 * 1024;
/// Maximum size of a page with one object, which is not kept if it is too large.
const MAX_SMALLEST_PAGE: usize = 256 * 1024 * 1024;
/// Maximum size of a refusal, or of a discovery document.
const MAX_WHOLE: usize = 4 * 1024 * 1024;

/// One kind on a server, in one namespace or in all.
pub(super) struct KindRequests {
    client: Client,
    resource: ApiResource,
    request: Request,
}

/// One page of a list.
pub(super) struct Page {
    pub(super) items: Vec<TrimmedObject>,
    /// The version of the list.
    pub(super) version: Option<String>,
    /// The position of the next page.
    pub(super) next: Option<String>,
    /// Whether a page with twice as many objects would fit too.
    pub(super) has_room: bool,
}

/// The result of requesting a page.
pub(super) enum Listed {
    Page(Page),
    /// It is too large: request fewer objects.
    TooLarge,
}

/// One change in a watch.
pub(super) enum Change {
    Is(TrimmedObject),
    Gone(TrimmedObject),
    /// Everything up to this version has been sent.
    Bookmark(String),
}

impl KindRequests {
    pub(super) fn new(client: Client, resource: &ApiResource, namespace: Option<&str>) -> Self {
        let ApiResource { group, api_version, plural, .. } = resource;
        let root = if group.is_empty() { "api" } else { "apis" };
        let within = namespace.map(|namespace| format!("namespaces/{namespace}/")).unwrap_or_default();
        let request = Request::new(format!("/{root}/{api_version}/{within}{plural}"));
        Self { client, resource: resource.clone(), request }
    }

    /// One page within these limits.
    pub(super) async fn list(&self, params: &ListParams, pace: &Pace) -> Result<Listed, ApiFault> {
        let mut size = 0;
        let page = within(pace.request, self.page(params, pace.page_bytes, &mut size)).await;
        // A page that was arriving too slowly will arrive in time with fewer objects.
        let slow = page.is_err() && size > SLOW_PAGE && params.limit != Some(1);
        if slow { Ok(Listed::TooLarge) } else { page }
    }

    async fn page(&self, params: &ListParams, most: usize, size: &mut usize) -> Result<Listed, ApiFault> {
        let request = self.request.list(params).map_err(|_| ApiFault::failed("the list request could not be built"))?;
        let of_one = params.limit == Some(1);
        let limit = if of_one { MAX_SMALLEST_PAGE } else { most };
        let mut body = send(&self.client, request).await?.into_data_stream();
        let (mut scanner, mut items) = (PageScanner::default(), Vec::new());
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(ApiFault::from)?;
            *size += piece.len();
            if *size > limit {
                return if of_one { Err(too_large("one object", limit)) } else { Ok(Listed::TooLarge) };
            }
            let item = |text: ObjectText<'_>| items.push(TrimmedObject::of_text(&self.resource, text));
            scanner
                .push(&piece, item)
                .map_err(|NoList| ApiFault::failed("the server's answer is not a list of objects"))?;
        }
        let Around { metadata } = serde_json::from_slice(scanner.around()).map_err(unreadable)?;
        let next = metadata.continue_.filter(|token| !token.is_empty());
        let version = metadata.resource_version.filter(|version| !version.is_empty());
        Ok(Listed::Page(Page { items, version, next, has_room: *size < most / 4 }))
    }

    /// The changes since a version. The stream ends when the server ends it or the connection breaks; everything
    /// received until then is complete.
    pub(super) async fn watch(
        &self,
        params: &WatchParams,
        version: &str,
    ) -> Result<impl Stream<Item = Result<Change, ApiFault>> + use<>, ApiFault> {
        let request = self
            .request
            .watch(params, version)
            .map_err(|_| ApiFault::failed("the watch request could not be built"))?;
        let body = send(&self.client, request).await?;
        let bytes = body.into_data_stream().map_err(std::io::Error::other);
        let lines = FramedRead::new(StreamReader::new(bytes), LineCodec::default());
        let resource = self.resource.clone();
        let lines = lines.scan((), |(), line| std::future::ready(line.ok()));
        Ok(lines.filter_map(move |line| std::future::ready(change(&resource, &line))))
    }
}

/// The list without its items.
#[derive(Deserialize)]
struct Around {
    metadata: ListMeta,
}

/// Requests a document and reads it completely.
pub(super) async fn document<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, ApiFault> {
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(|_| ApiFault::failed("the discovery request could not be built"))?;
    let text = whole(send(client, request).await?).await?;
    serde_json::from_slice(&text).map_err(unreadable)
}

/// Sends a request, and reads the answer completely, whatever its status is.
pub(super) async fn answered(client: &Client, request: http::Request<Vec<u8>>) -> Result<(u16, Vec<u8>), ApiFault> {
    let (head, body) = client.send(request.map(Body::from)).await?.into_parts();
    Ok((head.status.as_u16(), whole(body).await?))
}

async fn send(client: &Client, request: http::Request<Vec<u8>>) -> Result<Body, ApiFault> {
    let mut request = request.map(Body::from);
    // From 1.37 on, the server compresses each change separately, which no client's decompression supports.
    if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
        let plain = http::HeaderValue::from_static("identity");
        request.headers_mut().insert(http::header::ACCEPT_ENCODING, plain);
    }
    let (head, body) = client.send(request).await?.into_parts();
    if !(head.status.is_client_error() || head.status.is_server_error()) {
        return Ok(body);
    }
    let said = whole(body).await?;
    Err(ApiFault::of_answer(head.status.as_u16(), &said))
}

/// A line of a watch.
enum Line {
    Whole(BytesMut),
    /// The beginning of a line that is too large.
    Cut(BytesMut),
}

/// Splits a watch into lines.
#[derive(Default)]
struct LineCodec {
    /// How much has been searched for the end of the line.
    searched: usize,
    /// Whether the rest of an oversized line is being skipped.
    passing: bool,
}

impl Decoder for LineCodec {
    type Item = Line;
    type Error = std::io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Line>, std::io::Error> {
        loop {
            let end = bytes[self.searched..].iter().position(|byte| *byte == b'\n').map(|at| self.searched + at);
            self.searched = if end.is_some() { 0 } else { bytes.len() };
            match end {
                Some(end) => {
                    let line = bytes.split_to(end + 1);
                    if !std::mem::take(&mut self.passing) {
                        return Ok(Some(Line::Whole(line)));
                    }
                }
                None if self.passing || bytes.len() > MAX_OBJECT => {
                    self.searched = 0;
                    let head = bytes.split();
                    if !std::mem::replace(&mut self.passing, true) {
                        return Ok(Some(Line::Cut(head)));
                    }
                }
                None => return Ok(None),
            }
            if bytes.is_empty() {
                return Ok(None);
            }
        }
    }

    /// A partial line, at which the connection broke, is dropped.
    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<Line>, std::io::Error> {
        let line = self.decode(bytes)?;
        if line.is_none() {
            bytes.clear();
        }
        Ok(line)
    }
}

/// Parses a line of a watch; `None` for an empty one.
fn change(resource: &ApiResource, line: &Line) -> Option<Result<Change, ApiFault>> {
    let text = match line {
        Line::Whole(line) if line.trim_ascii().is_empty() => return None,
        Line::Whole(line) => ObjectText::Whole(line),
        Line::Cut(line) => ObjectText::Cut(line),
    };
    let (kind, object) = match parsed(text) {
        Ok(value) => match (value["type"].as_str(), &value["object"]) {
            (Some("ERROR"), status) => return Some(Err(refusal(status))),
            // A refusal instead of a change: the server has already started to answer.
            (None, _) => return Some(Err(refusal(&value))),
            (Some(kind), object) => (kind.to_owned(), TrimmedObject::of(resource, object)),
        },
        Err(reason) => {
            let glance = Glance::at(text);
            (glance.change.clone(), TrimmedObject::unread(glance, reason))
        }
    };
    Some(match kind.as_str() {
        "ADDED" | "MODIFIED" => Ok(Change::Is(object)),
        "DELETED" => Ok(Change::Gone(object)),
        "BOOKMARK" => Ok(Change::Bookmark(object.version)),
        _ => Err(ApiFault::failed("the server sent a change that is not part of the Kubernetes watch protocol")),
    })
}

fn refusal(status: &serde_json::Value) -> ApiFault {
    Status::deserialize(status).map_or_else(unreadable, |status| ApiFault::of_status(&status))
}

/// A complete body within a limit.
async fn whole(body: Body) -> Result<Vec<u8>, ApiFault> {
    match Limited::new(body, MAX_WHOLE).collect().await {
        Ok(collected) => Ok(collected.to_bytes().to_vec()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large("one answer", MAX_WHOLE)),
        Err(error) => Err(ApiFault::from(kube::Error::Service(error))),
    }
}

fn unreadable(error: serde_json::Error) -> ApiFault {
    ApiFault::from(kube::Error::SerdeError(error))
}

fn too_large(what: &str, limit: usize) -> ApiFault {
    let limit = limit / 1024 / 1024;
    ApiFault::failed(format!("the server sent more than {limit} MiB as {what}, which is not read"))
}
