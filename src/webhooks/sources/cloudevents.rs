//! CloudEvents 1.0 of any type. Source: "CloudEvents" and "HTTP Protocol Binding".
//!
//! - structured mode has everything in the body; in binary mode attributes are headers (`ce-type`, `ce-id`, `ce-source`)
//!   and the body is the data
//! - the data names images and repositories as [`super::generic`] says

use serde_json::Value;

use crate::webhooks::body::{Told, UnknownShape, text};
use crate::webhooks::scheme::{RequestHead, Scheme};

use super::Sender;
use super::generic::{SIGNED, named};

pub(super) struct CloudEvents;

impl Sender for CloudEvents {
    const SCHEMES: &'static [Scheme] = &[SIGNED, Scheme::Header("authorization")];

    fn read(head: RequestHead<'_>, body: &Value) -> Told {
        event_type(head, body).ok_or(UnknownShape)?;
        named(data(head, body))
    }

    fn delivery(head: RequestHead<'_>, body: &Value) -> Option<String> {
        id(head, body)
    }
}

/// An event's type.
pub(super) fn event_type<'a>(head: RequestHead<'a>, body: &'a Value) -> Option<&'a str> {
    Some(head.header("ce-type")).filter(|kind| !kind.is_empty()).or_else(|| text(body, "/type"))
}

/// An event's id, which is unique together with its source.
pub(super) fn id(head: RequestHead<'_>, body: &Value) -> Option<String> {
    let attribute =
        |header, path| Some(head.header(header)).filter(|value| !value.is_empty()).or_else(|| text(body, path));
    let (id, source) = (attribute("ce-id", "/id")?, attribute("ce-source", "/source")?);
    Some(format!("{source} {id}"))
}

fn data<'a>(head: RequestHead<'_>, body: &'a Value) -> &'a Value {
    match head.header("ce-type").is_empty() {
        true => body.get("data").unwrap_or(&Value::Null),
        false => body,
    }
}
