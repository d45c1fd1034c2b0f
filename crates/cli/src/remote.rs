//! Asking a running node over its admin API: HTTP on a Unix socket or a loopback address.

use std::io;
use std::time::Duration;

use anabranch::config::AdminAddress;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::exit::{Failure, Kind};

/// How long an answer may take. A guess: the node answers from memory.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer taken, in bytes: the list of 16,384 clients has about 8 MB.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Asks and reads the answer as JSON.
///
/// # Errors
/// When no node answers, or when it refuses.
pub(crate) async fn get<T: DeserializeOwned>(address: &AdminAddress, path: &str) -> Result<T, Failure> {
    decode(&ask(address, Method::GET, path, Bytes::new()).await?)
}

/// Hands `body` over and reads the answer as JSON.
///
/// # Errors
/// When no node answers, or when it refuses.
pub(crate) async fn post<T: DeserializeOwned>(
    address: &AdminAddress,
    path: &str,
    body: Bytes,
) -> Result<T, Failure> {
    decode(&ask(address, Method::POST, path, body).await?)
}

/// Hands `body` over and gives the answer as it is.
///
/// # Errors
/// When no node answers, or when it refuses.
pub(crate) async fn exchange_bytes(
    address: &AdminAddress,
    path: &str,
    body: Bytes,
) -> Result<Bytes, Failure> {
    ask(address, Method::POST, path, body).await
}

async fn ask(address: &AdminAddress, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
    let asked = async {
        match address {
            AdminAddress::Unix(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(|error| absent(address, &error))?;
                exchange(stream, method, path, body).await
            }
            AdminAddress::Tcp(tcp) => {
                let stream = TcpStream::connect(tcp).await.map_err(|error| absent(address, &error))?;
                exchange(stream, method, path, body).await
            }
        }
    };
    let (status, answer) = tokio::time::timeout(TIMEOUT, asked).await.map_err(|_| {
        Failure::new(Kind::NotRunning, format!("the node at {address} did not answer in {TIMEOUT:?}"))
    })??;
    if status.is_success() {
        return Ok(answer);
    }
    let text = String::from_utf8_lossy(&answer);
    Err(Failure::new(Kind::Failed, format!("the node refused: {}", text.trim())))
}

async fn exchange<S>(
    stream: S,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| Failure::new(Kind::NotRunning, format!("the node hung up: {error}"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "anabranch")
        .body(Full::new(body))
        .map_err(|error| Failure::new(Kind::Failed, error))?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(|error| {
            Failure::new(Kind::NotRunning, format!("the node's answer broke off: {error}"))
        })?;
        Ok((status, body.to_bytes()))
    };
    tokio::pin!(answered);
    tokio::pin!(connection);
    tokio::select! {
        answer = &mut answered => answer,
        ended = &mut connection => match ended {
            Ok(()) => answered.await,
            Err(error) => Err(broken(error)),
        },
    }
}

fn decode<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer)
        .map_err(|error| Failure::new(Kind::Failed, format!("the node's answer cannot be read: {error}")))
}

fn absent(address: &AdminAddress, error: &io::Error) -> Failure {
    Failure::new(Kind::NotRunning, format!("no node answers at {address}: {error}"))
        .hint("start one with `anabranch run` or `anabranch devnet`, or say which with --data-dir or --admin")
}
