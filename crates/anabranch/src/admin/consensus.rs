//! `/consensus`, `/certified`, `/blocks` and how bodies go between peers: what concerns a chain with validators.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use chain::{Hash, Height};
use node::Command;
use serde::de::DeserializeOwned;

use super::{Api, silent};
use crate::status::{BlockOrder, Done, ModeOrder};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/consensus", get(status))
        .route("/certified", get(certified))
        .route("/certified/changes/{height}", get(certified_changes))
        .route("/blocks/blacklist", post(blacklist))
        .route("/blocks/allow", post(allow))
        .route("/peers/mode", post(mode))
}

async fn status(State(api): State<Api>) -> Response {
    match api.insight.consensus().await {
        Some(Some(consensus)) => Json(consensus).into_response(),
        Some(None) => {
            (StatusCode::NOT_FOUND, "this node takes no part in a chain that validators agree on\n")
                .into_response()
        }
        None => silent(),
    }
}

async fn certified(State(api): State<Api>) -> Response {
    match api.insight.certified().await {
        Ok(Some(certified)) => Json(certified).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "no block here has a certificate yet\n").into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn certified_changes(State(api): State<Api>, Path(height): Path<u64>) -> Response {
    match api.insight.certified_changes(Height(height)).await {
        Ok(page) => Json(page).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn blacklist(State(api): State<Api>, body: Bytes) -> Response {
    of_block(&api, &body, Command::Blacklist).await
}

async fn allow(State(api): State<Api>, body: Bytes) -> Response {
    of_block(&api, &body, Command::Allow).await
}

async fn of_block(api: &Api, body: &Bytes, command: fn(Hash) -> Command) -> Response {
    let BlockOrder { block } = match read(body) {
        Ok(order) => order,
        Err(refused) => return refused,
    };
    match block.parse() {
        Ok(hash) => order(api, command(hash)).await,
        Err(error) => (StatusCode::BAD_REQUEST, format!("`{block}` is no block: {error}\n")).into_response(),
    }
}

async fn mode(State(api): State<Api>, body: Bytes) -> Response {
    match read(&body) {
        Ok(ModeOrder { peer, mode }) => order(&api, Command::Mode(peer.key, mode.into())).await,
        Err(refused) => refused,
    }
}

async fn order(api: &Api, command: Command) -> Response {
    match api.insight.order(command).await {
        Some(Ok(done)) => Json(Done { done }).into_response(),
        Some(Err(why)) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{why}\n")).into_response(),
        None => silent(),
    }
}

#[expect(clippy::result_large_err, reason = "it is answered at once")]
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Response> {
    serde_json::from_slice(body)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response())
}
