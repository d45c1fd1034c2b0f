//! `/peers`: the links with other nodes, and what operators say about these.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::json;

use super::{Api, silent};
use crate::runtime::{Order, Peering, Refusal};
use crate::status::PeerOrder;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/peers", get(list))
        .route("/peers/departed", get(departed))
        .route("/peers/add", post(async |State(api), body| obey(&api, Order::Add, body).await))
        .route("/peers/pin", post(async |State(api), body| obey(&api, Order::Pin, body).await))
        .route("/peers/unpin", post(async |State(api), body| obey(&api, Order::Unpin, body).await))
        .route("/peers/drop", post(async |State(api), body| obey(&api, Order::Drop, body).await))
        .route("/peers/ban", post(async |State(api), body| obey(&api, Order::Ban, body).await))
        .route("/peers/unban", post(async |State(api), body| obey(&api, Order::Unban, body).await))
}

async fn list(State(api): State<Api>) -> Response {
    let Peering { network, .. } = &api.insight.peering;
    let Some(chains) = api.insight.peer_chains().await else { return silent() };
    let banned: Vec<String> = network.banned().iter().map(ToString::to_string).collect();
    Json(json!({
        "peer": network.peer_id().to_string(),
        "sockets": network.peers(),
        "known": network.known(),
        "banned": banned,
        "chains": chains,
        "totals": network.totals(),
    }))
    .into_response()
}

async fn departed(State(api): State<Api>) -> Response {
    Json(api.insight.peering.network.departed()).into_response()
}

async fn obey(api: &Api, order: Order, body: Bytes) -> Response {
    let PeerOrder { peer } = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let name = peer.to_string();
    match api.insight.peering.obey(order, peer).await {
        Ok(()) => Json(json!({ "peer": name })).into_response(),
        Err(refusal) => {
            let code = match refusal {
                Refusal::OurselvesMeant { .. } | Refusal::NoAddress { .. } => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
                Refusal::Banned { .. } => StatusCode::CONFLICT,
                Refusal::Network(_) => StatusCode::INSUFFICIENT_STORAGE,
                Refusal::Book(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (code, format!("{refusal}\n")).into_response()
        }
    }
}
