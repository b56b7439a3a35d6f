//! Error responses with the messages and the form of a real API server.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::quirk::Verb;

/// A `Status` object.
pub(super) fn object(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code
    })
}

pub(super) fn failure(code: u16, reason: &str, message: &str) -> Response {
    json_answer(code, &object(code, reason, message), &[])
}

/// The answer for a path where nothing is served: plain text, not a `Status`.
pub(super) fn no_such_page() -> Response {
    answer(404, "text/plain; charset=utf-8", "404 page not found\n", &[])
}

pub(super) fn forbidden(verb: Verb, plural: &str, group: &str, namespace: Option<&str>) -> Response {
    let scope =
        namespace.map_or_else(|| "at the cluster scope".to_owned(), |name| format!("in the namespace \"{name}\""));
    let resource = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
    let verb = verb.as_str();
    let message = format!(
        "{resource} is forbidden: User \"system:serviceaccount:landfall:landfall\" cannot {verb} resource \"{plural}\" \
         in API group \"{group}\" {scope}"
    );
    failure(403, "Forbidden", &message)
}

pub(super) fn too_many(seconds: u32) -> Response {
    let mut status = object(429, "TooManyRequests", "the server has received too many requests, try again later");
    status["details"] = json!({ "retryAfterSeconds": seconds });
    json_answer(429, &status, &[("retry-after", seconds.to_string())])
}

pub(super) fn too_old() -> Value {
    object(410, "Expired", "too old resource version")
}

pub(super) fn json_answer(code: u16, body: &Value, headers: &[(&str, String)]) -> Response {
    answer(code, "application/json", body.to_string(), headers)
}

pub(super) fn answer(code: u16, content_type: &str, body: impl Into<Body>, headers: &[(&str, String)]) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let pairs = headers.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in pairs.chain([(header::CONTENT_TYPE.as_str(), content_type)]) {
        if let (Ok(name), Ok(value)) = (name.parse::<header::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
