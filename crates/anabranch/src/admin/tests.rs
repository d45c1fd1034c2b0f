//! Who may ask, and who may not.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::{Listener, bind, is_foreign};
use crate::config::AdminAddress;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs.iter();
    pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

#[test]
fn a_page_of_another_site_may_not_ask() {
    assert!(is_foreign(&headers(&[("host", "127.0.0.1:9090"), ("origin", "https://evil.example")])));
    assert!(is_foreign(&headers(&[("host", "localhost"), ("origin", "null")])));
    assert!(is_foreign(&headers(&[("host", "rebound.evil.example:9090")])), "a name that was rebound");
}

#[test]
fn programs_on_this_machine_may_ask() {
    for host in ["127.0.0.1:9090", "127.0.0.1", "localhost:9090", "[::1]:9090", "[::1]", "anabranch", ""] {
        let mut asked = HeaderMap::new();
        asked.insert("host", host.parse().expect("a value"));
        assert!(!is_foreign(&asked), "{host}");
    }
    assert!(!is_foreign(&HeaderMap::new()));
}

async fn bind_at(path: &Path) -> std::io::Result<Listener> {
    bind(&AdminAddress::Unix(path.to_owned())).await
}

#[tokio::test]
async fn its_owner_alone_may_use_the_socket_and_it_goes_with_the_listener() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("admin.sock");
    let listener = bind_at(&path).await.expect("bound");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_dead_process_leaves_a_socket_that_is_replaced_and_nothing_else_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    assert!(path.exists() && UnixStream::connect(&path).is_err(), "a dead socket");
    let alive = bind_at(&path).await.expect("replaced");
    let second = bind_at(&path).await.expect_err("somebody answers there");
    assert_eq!(second.kind(), std::io::ErrorKind::AddrInUse);
    drop(alive);
    std::fs::write(&path, "a letter").expect("written");
    assert!(bind_at(&path).await.is_err());
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "a letter");
}
