//! Running out of file descriptors: a test of its own process, since the limit is the process's.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use anabranch::link::{Identity, Protocol, channel};
use anabranch::network::{Address, Config, Listener, Network, Open, PeerAddress, Sink};
use anabranch::peers::Listen;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far above what anything here takes; only a fault waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

fn node(number: u8) -> (Network, Sink) {
    let at = Listen::Tcp("127.0.0.1:0".parse().expect("an address"));
    let listener = Listener::bind(&at).expect("a port");
    let rng = ChaCha20Rng::seed_from_u64(number.into());
    let identity = Identity::from_seed(&[number; 32]);
    let config = Config::new([1; 32]);
    Network::start(config, identity, Arc::new(Open), vec![listener], rng).expect("it starts")
}

#[tokio::test]
async fn accepting_goes_on_after_its_errors() {
    const SYNC: Protocol = channel::SYNC;
    let ((a, _a), (b, mut sink)) = (node(1), node(2));
    let Address::Tcp { port, .. } = b.local_addrs()[0].clone() else { panic!("it listens at a port") };
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    // Made beforehand: once there are no descriptors, the listener must not find one that this socket was to have.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(200), maximum: limit.maximum })
        .expect("it can be lowered");
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    assert!(hoard.len() > 50, "the limit is what stops it");
    socket.connect(&address.into()).expect("the kernel accepts");
    socket.set_nonblocking(true).expect("it can be");
    let mut waiting = TcpStream::from_std(socket.into()).expect("a socket");
    waiting.write_all(&[0xff; 64]).await.expect("the kernel takes it");
    // The time that it takes to see so is the listener's to run into its error.
    let refused = tokio::time::timeout(Duration::from_millis(100), waiting.read(&mut [0; 1])).await;
    assert!(refused.is_err(), "there is no descriptor to serve it with");
    hoard.clear();
    // It is served now: what it says is no handshake.
    let end = tokio::time::timeout(PATIENCE, waiting.read_to_end(&mut Vec::new())).await;
    end.expect("it is served").unwrap_or(0);
    let address = Address::Tcp { host: "127.0.0.1".into(), port };
    a.connect(&PeerAddress { key: b.peer_id(), address }).await.expect("it accepts");
    a.send(b.peer_id(), SYNC, "hello".into()).await.expect("it is sent");
    let delivery = tokio::time::timeout(PATIENCE, sink.next()).await.expect("it arrives").expect("it runs");
    assert_eq!(&delivery.body[..], b"hello");
    a.stop().await;
    b.stop().await;
}
