//! The admin API: HTTP on a Unix socket in the data directory, or on a loopback address.
//!
//! `GET /status /clients /departed /upstreams /peers /peers/departed /consensus /certified /inbox /config /metrics
//! /livez /readyz`, `/certified/changes/HEIGHT` and `/tx/ID`; `POST /tx` (the body is the transaction), `/query` (the body is for the application),
//! `/peers/add` and its like, `/peers/mode`, `/blocks/blacklist`, `/blocks/allow` and `/stop`. It answers from what the
//! engine, the server and the network say; it decides nothing.
//!
//! **Invariant:** what a browser sends for a foreign page is refused: any request with an `Origin`, and on a
//! loopback address any whose `Host` is not an address (a name may have been rebound).

mod consensus;
mod listener;
mod metrics;
mod peers;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

pub(crate) use listener::{Listener, bind};

use crate::config::Config;
use crate::logic::Unanswered;
use crate::runtime::Insight;
use crate::status::{Ready, Submitted};

/// The longest request body: one transaction. Above what any pool takes; the pool says its own limit.
const MAX_BODY_BYTES: usize = 1 << 20;

/// What the handlers answer from.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    /// The engine and the server.
    pub(crate) insight: Insight,
    /// The configuration in force.
    pub(crate) config: Arc<Config>,
    /// Stops the node.
    pub(crate) stop: CancellationToken,
}

/// Serves until `stopped`.
pub(crate) async fn serve(listener: Listener, api: Api, stopped: CancellationToken) -> std::io::Result<()> {
    let router = router(api);
    let ended = stopped.cancelled_owned();
    match listener {
        Listener::Unix(listener, _file) => axum::serve(listener, router).with_graceful_shutdown(ended).await,
        Listener::Tcp(listener) => axum::serve(listener, router).with_graceful_shutdown(ended).await,
    }
}

fn router(api: Api) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/clients", get(clients))
        .route("/upstreams", get(upstreams))
        .route("/departed", get(departed))
        .route("/inbox", get(inbox))
        .route("/config", get(config))
        .route("/metrics", get(metrics_text))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .merge(peers::routes())
        .merge(consensus::routes())
        .route("/tx", post(tx))
        .route("/tx/{id}", get(progress))
        .route("/query", post(query))
        .route("/stop", post(stop))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(refuse_foreign_pages))
        .with_state(api)
}

async fn refuse_foreign_pages(request: Request, next: Next) -> Response {
    if is_foreign(request.headers()) {
        return (StatusCode::FORBIDDEN, "not for web pages\n").into_response();
    }
    next.run(request).await
}

/// Whether a browser may have sent this for a page that is none of ours.
fn is_foreign(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_matches(['[', ']']);
    let is_known = ["", "anabranch", "localhost"].contains(&name) || name.parse::<IpAddr>().is_ok();
    headers.contains_key(header::ORIGIN) || !is_known
}

/// The engine did not answer: it is stopping or stuck.
fn silent() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the node's engine does not answer\n").into_response()
}

async fn status(State(api): State<Api>) -> Response {
    api.insight.status().await.map_or_else(silent, |status| Json(status).into_response())
}

async fn clients(State(api): State<Api>) -> Response {
    Json(api.insight.clients()).into_response()
}

async fn upstreams(State(api): State<Api>) -> Response {
    api.insight.upstreams().await.map_or_else(silent, |upstreams| Json(upstreams).into_response())
}

async fn departed(State(api): State<Api>) -> Response {
    Json(api.insight.departed()).into_response()
}

async fn inbox(State(api): State<Api>) -> Response {
    Json(api.insight.inbox()).into_response()
}

async fn config(State(api): State<Api>) -> Response {
    Json(&*api.config).into_response()
}

async fn metrics_text(State(api): State<Api>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match api.insight.snapshot().await {
        Some(snapshot) => ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics::text(&snapshot)).into_response(),
        None => silent(),
    }
}

async fn livez(State(api): State<Api>) -> Response {
    match api.insight.snapshot().await {
        Some(_) => "alive\n".into_response(),
        None => silent(),
    }
}

async fn readyz(State(api): State<Api>) -> Response {
    let Some(status) = api.insight.status().await else { return silent() };
    let ready = status.state.is_ready(status.upstreams.of);
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reason = format!("{}: {}", status.state.name(), status.reason);
    (code, Json(Ready { ready, reason })).into_response()
}

async fn tx(State(api): State<Api>, body: Bytes) -> Response {
    match api.insight.submit(body).await {
        Some(Ok(id)) => Json(Submitted { id: id.to_string() }).into_response(),
        Some(Err(refusal)) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{refusal}\n")).into_response(),
        None => silent(),
    }
}

async fn progress(State(api): State<Api>, Path(id): Path<String>) -> Response {
    let id = match id.parse() {
        Ok(id) => id,
        Err(error) => {
            return (StatusCode::BAD_REQUEST, format!("`{id}` is no transaction: {error}\n")).into_response();
        }
    };
    match api.insight.transaction(id).await {
        Some(Some(progress)) => Json(progress).into_response(),
        Some(None) => (StatusCode::NOT_FOUND, "nothing is known of it here\n").into_response(),
        None => silent(),
    }
}

async fn query(State(api): State<Api>, body: Bytes) -> Response {
    match api.insight.query(body).await {
        Ok(answer) => ([(header::CONTENT_TYPE, "application/octet-stream")], answer).into_response(),
        Err(why) => {
            let code = match why {
                Unanswered::Refused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
                Unanswered::Busy => StatusCode::SERVICE_UNAVAILABLE,
                Unanswered::None => StatusCode::NOT_FOUND,
            };
            (code, format!("{why}\n")).into_response()
        }
    }
}

async fn stop(State(api): State<Api>) -> Response {
    api.stop.cancel();
    (StatusCode::ACCEPTED, Json(serde_json::json!({ "stopping": true }))).into_response()
}
