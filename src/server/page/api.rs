//! The JSON API: the views of the page, as they are. Its description is made from their types.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{Path, Query};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde::Serialize;

use crate::page::{self, ApiError, Facts, RowFilter};

use super::super::Site;
use super::respond::{PageAnswer, answer};
use super::{Asked, PolicyPlace};

pub(super) fn router() -> Router<Arc<Site>> {
    Router::new()
        .route("/api/v1/openapi.json", get(description))
        .route("/api/v1/apps", get(async |asked: Asked| listed(asked, page::matrix).await))
        .route("/api/v1/apps/{repository}/{app}", get(app))
        .route("/api/v1/updates", get(async |asked: Asked| listed(asked, page::updates).await))
        .route("/api/v1/waiting", get(async |asked: Asked| listed(asked, page::waits).await))
        .route("/api/v1/incidents", get(async |asked: Asked| listed(asked, page::incidents).await))
        .route("/api/v1/timeline", get(async |asked: Asked| listed(asked, page::timeline).await))
        .route("/api/v1/sources", get(async |asked: Asked| answer(asked, |_, sources| json(&sources())).await))
        .route("/api/v1/policy", get(policy))
}

static DESCRIPTION: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", page::openapi()));

async fn description(asked: Asked) -> Response {
    answer(asked, |_, _| PageAnswer { content_type: "application/json", ..PageAnswer::page(DESCRIPTION.clone()) }).await
}

async fn listed<T: Serialize + 'static>(asked: Asked, view: fn(&Facts<'_>, &RowFilter) -> T) -> Response {
    let filter = asked.filter();
    answer(asked, move |facts, _| match filter {
        Ok(filter) => json(&view(facts, &filter)),
        Err(message) => error(StatusCode::BAD_REQUEST, message),
    })
    .await
}

async fn app(Path((repository, app)): Path<(String, String)>, asked: Asked) -> Response {
    answer(asked, move |facts, _| match page::app_view(facts, &repository, &app) {
        Some(view) => json(&view),
        None => error(StatusCode::NOT_FOUND, format!("no app {app} is declared in a repository {repository}")),
    })
    .await
}

async fn policy(asked: Asked) -> Response {
    let place = Query::<PolicyPlace>::try_from_uri(&asked.uri).map(|Query(place)| place);
    answer(asked, move |facts, _| {
        let place = match place {
            Ok(place) => place,
            Err(message) => return error(StatusCode::BAD_REQUEST, message.to_string()),
        };
        match page::policy_view(facts, &place.repository, &place.path, place.image.as_deref()) {
            Ok(Some(view)) => json(&view),
            Ok(None) => error(StatusCode::NOT_FOUND, format!("there is no repository {}", place.repository)),
            Err(message) => error(StatusCode::BAD_REQUEST, message),
        }
    })
    .await
}

fn json(value: &impl Serialize) -> PageAnswer {
    match serde_json::to_string(value) {
        Ok(text) => PageAnswer { content_type: "application/json", ..PageAnswer::page(text) },
        Err(failed) => error(StatusCode::INTERNAL_SERVER_ERROR, failed.to_string()),
    }
}

fn error(status: StatusCode, error: String) -> PageAnswer {
    let text = serde_json::to_string(&ApiError { error }).unwrap_or_default();
    PageAnswer { status, content_type: "application/json", text }
}
