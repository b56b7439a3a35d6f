//! Events about one object, requested when it fails: a cluster has too many of them to watch.

use kube::api::{ApiResource, ListParams};

use super::client::ApiClient;
use super::fault::ApiFault;
use super::kind::rule;
use super::requests::{KindRequests, Listed};
use super::settings::Pace;
use super::watch::within;
use crate::model::observation::{Body, Event, Object};

/// Maximum number of events read for one object; the API server merges repeated ones.
const MAX_EVENTS: u32 = 100;

/// Why events could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventsError {
    /// RBAC does not permit reading them.
    #[error("not permitted to list events; add this rule to the role of the bot's account:\n{rule}")]
    Forbidden {
        /// The RBAC rule to add, as YAML.
        rule: String,
    },
    /// The server could not be reached or did not answer properly.
    #[error("events of {object} cannot be read: {message}")]
    Failed {
        /// The object.
        object: String,
        /// What went wrong.
        message: String,
    },
}

/// The RBAC rule needed for reading events. They are not watched.
#[must_use]
pub fn events_rule() -> String {
    rule("", "events", &["get", "list"])
}

/// The events about this object, newest last.
pub(super) async fn about(client: &ApiClient, object: &Object, pace: &Pace) -> Result<Vec<Event>, EventsError> {
    let resource = ApiResource {
        group: String::new(),
        version: "v1".to_owned(),
        api_version: "v1".to_owned(),
        kind: "Event".to_owned(),
        plural: "events".to_owned(),
    };
    let list = async {
        let api = KindRequests::new(client.client().await?, &resource, object.namespace.as_deref());
        match api.list(&ListParams::default().fields(&selector(object)).limit(MAX_EVENTS), pace).await? {
            Listed::Page(page) => Ok(page.items),
            Listed::TooLarge => Err(ApiFault::failed("they are too large to read")),
        }
    };
    match within(pace.request, list).await {
        Ok(items) => {
            let events = items.into_iter().filter_map(|item| match item.object.ok()?.body {
                Body::Event(event) => Some(*event),
                _ => None,
            });
            let mut events: Vec<Event> = events.collect();
            events.sort_by_key(|event| event.last_seen);
            Ok(events)
        }
        Err(ApiFault::Forbidden) => Err(EventsError::Forbidden { rule: events_rule() }),
        Err(fault) => {
            if let ApiFault::Unauthorized(_) = fault {
                client.renew();
            }
            let message = match fault {
                ApiFault::Failed { message, .. } | ApiFault::Unauthorized(message) => message,
                _ => "the server does not serve them".to_owned(),
            };
            Err(EventsError::Failed { object: object.label(), message })
        }
    }
}

/// By UID if it is known: a new object with the same name has nothing to do with the old one's events.
fn selector(object: &Object) -> String {
    match &object.uid {
        Some(uid) => format!("involvedObject.uid={uid}"),
        None => format!("involvedObject.kind={},involvedObject.name={}", object.kind, object.name),
    }
}
