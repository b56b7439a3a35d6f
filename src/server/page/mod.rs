//! The page, its JSON and its badges.
//!
//! Promise: GET and HEAD alone; nobody reads anything who may not (`may_read`); rendering holds no lock and no cycle, and
//! takes bounded memory, however slowly an answer is read and however many ask.
//!
//! Design: [`publish`] makes a [`PageSnapshot`](snapshot::PageSnapshot) of what the bot has published whenever that changes; handlers render from the last
//! one, some at a time, on threads where blocking is allowed. [`live`] tells open pages what has changed.

mod api;
mod live;
mod respond;
mod snapshot;
mod sources;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, http};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde::Deserialize;

use crate::config::Audience;
use crate::page::{self, RowFilter, html};

use super::Site;
use super::listen::Peer;
use respond::{PageAnswer, answer};

pub(super) use live::publish;
pub(super) use respond::Desk;

/// The routes of the page.
pub(super) fn router() -> Router<Arc<Site>> {
    Router::new()
        .route("/", get(matrix))
        .route("/apps/{repository}/{app}", get(app))
        .route("/waiting", get(waiting))
        .route("/incidents", get(incidents))
        .route("/timeline", get(timeline))
        .route("/sources", get(sources))
        .route("/policy", get(policy))
        .route("/events", get(live::events))
        .route("/static/{file}", get(asset))
        .route("/badges/{repository}/{app}/{file}", get(badge))
        .merge(api::router())
}

/// What a handler needs to know of its request.
struct Asked {
    site: Arc<Site>,
    peer: Peer,
    headers: HeaderMap,
    uri: Uri,
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Asked
where
    Arc<Site>: axum::extract::FromRef<S>,
{
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut http::request::Parts, state: &S) -> Result<Self, StatusCode> {
        let peer = parts.extensions.get::<Peer>().copied().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let site = <Arc<Site> as axum::extract::FromRef<S>>::from_ref(state);
        Ok(Self { site, peer, headers: parts.headers.clone(), uri: parts.uri.clone() })
    }
}

impl Asked {
    /// The filter of the query; what cannot be read is no filter that anybody asked for.
    fn filter(&self) -> Result<RowFilter, String> {
        Query::try_from_uri(&self.uri).map(|Query(filter)| filter).map_err(|error| error.to_string())
    }
}

/// A page that is a list under a filter.
async fn listed(
    asked: Asked,
    render: impl FnOnce(&page::Facts<'_>, &RowFilter) -> String + Send + 'static,
) -> Response {
    let filter = asked.filter();
    answer(asked, move |facts, _| match filter {
        Ok(filter) => PageAnswer::page(render(facts, &filter)),
        Err(error) => PageAnswer {
            status: StatusCode::BAD_REQUEST,
            ..PageAnswer::page(html::error_page(facts, "The filter cannot be read", &error))
        },
    })
    .await
}

async fn matrix(asked: Asked) -> Response {
    listed(asked, |facts, filter| html::matrix_page(facts, &page::matrix(facts, filter), filter)).await
}

async fn waiting(asked: Asked) -> Response {
    listed(asked, |facts, filter| {
        // Only its banners are shown.
        let nothing = RowFilter { q: "\u{0}".to_owned(), ..RowFilter::default() };
        html::waits_page(facts, &page::matrix(facts, &nothing), &page::waits(facts, filter), filter)
    })
    .await
}

async fn incidents(asked: Asked) -> Response {
    listed(asked, |facts, filter| html::incidents_page(facts, &page::incidents(facts, filter), filter)).await
}

async fn timeline(asked: Asked) -> Response {
    listed(asked, |facts, filter| html::timeline_page(facts, &page::timeline(facts, filter), filter)).await
}

async fn sources(asked: Asked) -> Response {
    answer(asked, |facts, sources| PageAnswer::page(html::sources_page(facts, &sources()))).await
}

async fn app(Path((repository, app)): Path<(String, String)>, asked: Asked) -> Response {
    answer(asked, move |facts, _| match page::app_view(facts, &repository, &app) {
        Some(view) => PageAnswer::page(html::app_page(facts, &view)),
        None => not_found(facts, &format!("No app {app} is declared in a repository {repository}.")),
    })
    .await
}

fn not_found(facts: &page::Facts<'_>, message: &str) -> PageAnswer {
    PageAnswer {
        status: StatusCode::NOT_FOUND,
        ..PageAnswer::page(html::error_page(facts, "There is no such thing", message))
    }
}

/// The place whose policy is asked for.
#[derive(Debug, Deserialize)]
struct PolicyPlace {
    repository: String,
    path: String,
    image: Option<String>,
}

async fn policy(asked: Asked) -> Response {
    let place = Query::<PolicyPlace>::try_from_uri(&asked.uri).map(|Query(place)| place);
    answer(asked, move |facts, _| {
        let bad = |message: &str| {
            let page = html::error_page(facts, "The place cannot be read", message);
            PageAnswer { status: StatusCode::BAD_REQUEST, ..PageAnswer::page(page) }
        };
        let place = match place {
            Ok(place) => place,
            Err(error) => return bad(&error.to_string()),
        };
        match page::policy_view(facts, &place.repository, &place.path, place.image.as_deref()) {
            Ok(Some(view)) => PageAnswer::page(html::policy_page(facts, &view)),
            Ok(None) => not_found(facts, &format!("There is no repository {}.", place.repository)),
            Err(error) => bad(&error),
        }
    })
    .await
}

/// A file of the page: the same for everybody, and no secret.
async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let path = format!("/static/{file}");
    let Some(asset) = html::ASSETS.iter().find(|asset| asset.path == path) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let etag = format!("\"{file}\"");
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => asset.text.into_response(),
    };
    let set = response.headers_mut();
    respond::secure(set);
    set.insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    set.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    if let Ok(etag) = HeaderValue::try_from(etag) {
        set.insert(ETAG, etag);
    }
    response
}

/// A badge. One that does not exist says so, with status 404; pictures are shown whatever their status is.
async fn badge(
    State(site): State<Arc<Site>>,
    Extension(peer): Extension<Peer>,
    Path((repository, app, file)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let Some(environment) = file.strip_suffix(".svg").map(str::to_owned) else {
        return (StatusCode::NOT_FOUND, "a badge's address ends with .svg\n").into_response();
    };
    let public = site.shown().is_some_and(|shown| shown.badges == Audience::Public);
    let asked = Asked { site, peer, headers, uri: Uri::default() };
    let render = move |facts: &page::Facts<'_>, _: &dyn Fn() -> page::Sources| {
        let filter = RowFilter { repository, app, environment: environment.clone(), ..RowFilter::default() };
        let matrix = page::matrix(facts, &filter);
        let cell = matrix.apps.iter().flat_map(|app| &app.cells).next();
        let (status, badge) = match cell {
            Some(cell) => (StatusCode::OK, page::Badge::of(&environment, cell)),
            None => (StatusCode::NOT_FOUND, page::Badge::unknown(&environment)),
        };
        PageAnswer { status, text: page::badge(&badge), content_type: "image/svg+xml; charset=utf-8" }
    };
    match public {
        true => respond::answer_anybody(asked, render).await,
        false => answer(asked, render).await,
    }
}
