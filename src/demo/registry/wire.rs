//! The server side of the distribution specification: turns one request into one answer.

use std::collections::HashMap;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::content::digest_of;
use super::{LinkStyle, MAX_BODY, Shared, auth, image};
use crate::model::Tag;

/// A request and its parsed path.
struct Call<'a> {
    shared: &'a Shared,
    method: &'a Method,
    headers: &'a HeaderMap,
    query: HashMap<String, String>,
    name: &'a str,
}

pub(super) fn respond(
    shared: &Shared,
    method: &Method,
    uri: &axum::http::Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let pairs = || url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned();
    let path = uri.path();
    if path == "/token" {
        let scopes = pairs().filter(|(key, _)| key == "scope").map(|(_, scope)| scope).collect();
        return auth::issue(&shared.options.auth, &mut shared.lock().tokens, headers, scopes);
    }
    let Some(rest) = path.strip_prefix("/v2/") else { return error(StatusCode::NOT_FOUND, "NOT_FOUND") };
    let (name, kind, what) = split(rest);
    let push = !matches!(*method, Method::GET | Method::HEAD);
    if let Err(refusal) = auth::check(&shared.options.auth, &shared.lock().tokens, &shared.host, headers, name, push) {
        return *refusal;
    }
    let call = Call { shared, method, headers, query: pairs().collect(), name };
    match kind {
        Kind::Base => axum::Json(json!({})).into_response(),
        Kind::Tags => call.tags(),
        Kind::Manifest => call.manifest(what, body),
        Kind::Blob => call.blob(what),
        Kind::Referrers if shared.options.referrers => call.referrers(what),
        Kind::Upload => call.upload(what, &body),
        Kind::Referrers | Kind::Unknown => error(StatusCode::NOT_FOUND, "NOT_FOUND"),
    }
}

/// What a path below `/v2/` refers to.
enum Kind {
    Base,
    Tags,
    Manifest,
    Blob,
    Upload,
    Referrers,
    Unknown,
}

/// The repository, kind and reference of a path; repositories may have any number of slashes.
fn split(rest: &str) -> (&str, Kind, &str) {
    if rest.is_empty() {
        return ("", Kind::Base, "");
    }
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return (name, Kind::Tags, "");
    }
    for (word, kind) in [
        ("/blobs/uploads/", Kind::Upload),
        ("/manifests/", Kind::Manifest),
        ("/blobs/", Kind::Blob),
        ("/referrers/", Kind::Referrers),
    ] {
        if let Some(at) = rest.rfind(word) {
            return (&rest[..at], kind, &rest[at + word.len()..]);
        }
    }
    ("", Kind::Unknown, "")
}

impl Call<'_> {
    fn tags(&self) -> Response {
        let options = &self.shared.options;
        let wanted = self.query.get("n").map_or(Ok(options.page_size), |n| n.parse());
        let Ok(wanted) = wanted else { return error(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID") };
        let n = wanted.min(options.page_size);
        let world = self.shared.lock();
        let Some(content) = world.repositories.get(self.name) else {
            return error(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
        };
        let (tags, more) = content.tags(self.query.get("last").map(String::as_str), n);
        let body = json!({ "name": self.name, "tags": tags }).to_string();
        let mut response = Response::builder().header(header::CONTENT_TYPE, "application/json");
        if let (true, Some(last)) = (more, tags.last()) {
            let path = format!("/v2/{}/tags/list?last={last}&n={n}", self.name);
            response = match options.links {
                LinkStyle::Relative => response.header(header::LINK, format!("<{path}>; rel=\"next\"")),
                LinkStyle::Absolute => {
                    response.header(header::LINK, format!("<http://{}{path}>; rel=\"next\"", self.shared.host))
                }
                LinkStyle::Missing => response,
            };
        }
        if options.etags {
            let etag = format!("\"{}\"", &digest_of(body.as_bytes())[7..39]);
            if self.headers.get(header::IF_NONE_MATCH).is_some_and(|sent| sent.as_bytes() == etag.as_bytes()) {
                return finish(response.status(StatusCode::NOT_MODIFIED).header(header::ETAG, etag), Body::empty());
            }
            response = response.header(header::ETAG, etag);
        }
        finish(response, body.into())
    }

    fn manifest(&self, reference: &str, body: Bytes) -> Response {
        match *self.method {
            Method::GET | Method::HEAD => {
                let world = self.shared.lock();
                let found = world.repositories.get(self.name).and_then(|content| content.manifest(reference));
                drop(world);
                // As in docker-registry: a manifest whose type the client does not accept does not exist.
                match found.filter(|(_, media_type, _)| accepts(self.headers, media_type)) {
                    None => error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
                    Some((digest, media_type, bytes)) => self.content(&media_type, &digest, bytes),
                }
            }
            Method::PUT => self.put_manifest(reference, body),
            Method::DELETE => {
                let mut world = self.shared.lock();
                let known = world.repositories.get_mut(self.name).is_some_and(|content| content.delete(reference));
                if known {
                    StatusCode::ACCEPTED.into_response()
                } else {
                    error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN")
                }
            }
            _ => error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
        }
    }

    /// What refers to a manifest, as an index; whether that one exists does not matter.
    fn referrers(&self, digest: &str) -> Response {
        let world = self.shared.lock();
        let manifests = world.repositories.get(self.name).map(|content| content.referrers(digest)).unwrap_or_default();
        drop(world);
        let index = json!({ "schemaVersion": 2, "mediaType": image::INDEX, "manifests": manifests });
        let response = Response::builder().header(header::CONTENT_TYPE, image::INDEX);
        finish(response, index.to_string().into())
    }

    fn put_manifest(&self, reference: &str, body: Bytes) -> Response {
        let media_type =
            self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or(image::MANIFEST);
        let digest = digest_of(&body);
        let tag = Tag::parse(reference).ok();
        if tag.is_none() && reference != digest {
            return error(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
        }
        let mut world = self.shared.lock();
        let content = world.repositories.entry(self.name.to_owned()).or_default();
        match content.missing(&body) {
            None => return error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
            Some(missing) if !missing.is_empty() => return error(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN"),
            Some(_) => {}
        }
        content.put_manifest(media_type, body);
        if let Some(tag) = tag {
            content.tag(&tag, &digest);
        }
        created(format!("/v2/{}/manifests/{digest}", self.name), &digest)
    }

    fn blob(&self, digest: &str) -> Response {
        let blob = self.shared.lock().repositories.get(self.name).and_then(|content| content.blob(digest));
        match (blob, self.method) {
            (Some(bytes), &(Method::GET | Method::HEAD)) => self.content("application/octet-stream", digest, bytes),
            (None, _) => error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            (Some(_), _) => error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
        }
    }

    /// Uploads: `POST` starts one (or does everything with `?digest=`), `PATCH` appends, `PUT ?digest=` finishes.
    fn upload(&self, id: &str, body: &[u8]) -> Response {
        let mut world = self.shared.lock();
        let world = &mut *world;
        let digest = self.query.get("digest");
        match (self.method, digest) {
            (&Method::POST, None) => {
                world.started += 1;
                let id = format!("upload-{}", world.started);
                world.uploads.insert(id.clone(), body.to_vec());
                self.accepted(&id, body.len())
            }
            (&Method::PATCH, _) => {
                let Some(upload) = world.uploads.get_mut(id) else { return upload_unknown() };
                if upload.len() + body.len() > MAX_BODY {
                    return error(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID");
                }
                upload.extend_from_slice(body);
                let length = upload.len();
                self.accepted(id, length)
            }
            (&Method::POST | &Method::PUT, Some(digest)) => {
                let begun = if *self.method == Method::POST { Some(Vec::new()) } else { world.uploads.remove(id) };
                let Some(mut bytes) = begun else { return upload_unknown() };
                bytes.extend_from_slice(body);
                if digest_of(&bytes) != *digest {
                    return error(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
                }
                world.repositories.entry(self.name.to_owned()).or_default().put_blob(bytes.into());
                created(format!("/v2/{}/blobs/{digest}", self.name), digest)
            }
            (&Method::DELETE, _) => match world.uploads.remove(id) {
                Some(_) => StatusCode::NO_CONTENT.into_response(),
                None => upload_unknown(),
            },
            _ => error(StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
        }
    }

    fn accepted(&self, id: &str, length: usize) -> Response {
        let headers = [
            (header::LOCATION, format!("/v2/{}/blobs/uploads/{id}", self.name)),
            (header::RANGE, format!("0-{}", length.saturating_sub(1))),
        ];
        (StatusCode::ACCEPTED, headers).into_response()
    }

    fn content(&self, media_type: &str, digest: &str, bytes: Bytes) -> Response {
        let response = Response::builder()
            .header(header::CONTENT_TYPE, media_type)
            .header(header::CONTENT_LENGTH, bytes.len())
            .header("docker-content-digest", digest);
        finish(response, if *self.method == Method::HEAD { Body::empty() } else { bytes.into() })
    }
}

fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut sent = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    sent.peek().is_none()
        || sent.any(|value| {
            value.split(',').any(|one| {
                let one = one.split(';').next().unwrap_or(one).trim();
                one == media_type || one == "*/*"
            })
        })
}

fn created(location: String, digest: &str) -> Response {
    let headers = [(header::LOCATION.as_str(), location), ("docker-content-digest", digest.to_owned())];
    (StatusCode::CREATED, headers).into_response()
}

fn upload_unknown() -> Response {
    error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN")
}

pub(super) fn error(status: StatusCode, code: &str) -> Response {
    (status, axum::Json(json!({ "errors": [{ "code": code, "message": code }] }))).into_response()
}

fn finish(response: axum::http::response::Builder, body: Body) -> Response {
    // Only an invalid header makes this fail, and all of ours are plain.
    response.body(body).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
