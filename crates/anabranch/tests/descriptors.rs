//! Running out of file descriptors: a test of its own process, since the limit is the process's.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anabranch::chain::{Format, View, cardano};
use anabranch::downstream::{Config, Handle, Inbox, Server};
use anabranch::store::{self, Store, files::memory};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::sync::watch;

/// A proposal of version 14 for magic 2, in its segment.
const PROPOSE: [u8; 17] = [0, 0, 0, 0, 0, 0, 0, 9, 0x82, 0x00, 0xa1, 0x0e, 0x84, 0x02, 0xf5, 0x00, 0xf4];
/// Far above what anything here takes; only a fault waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

fn serve() -> (Handle, watch::Sender<Arc<View>>, Store<memory::Files>) {
    let params = cardano::Params::built_in("preview").expect("preview is built in");
    let format = Format::Cardano(Arc::new(params));
    let config = store::Config::default();
    let (store, _) = Store::open(memory::Files::new(1), &format, &config).expect("an empty store");
    let (publish, views) = watch::channel(Arc::new(View::empty()));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let inbox = Arc::<Inbox>::default();
    let handle = Server::start(vec![listener], Config::new(2), views, store.reader(), inbox);
    (handle.expect("it listens"), publish, store)
}

fn shake_hands(mut client: &TcpStream) {
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(&PROPOSE).expect("the server takes it");
    let mut answer = [0; 10];
    client.read_exact(&mut answer).expect("the server answers");
    assert_eq!(answer[8..], [0x83, 0x01], "the version is accepted");
}

/// Nobody can be served now; the time that it takes to see so is the server's to run into its error.
fn assert_unanswered(mut client: &TcpStream) {
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = client.read(&mut [0; 1]).expect_err("there is no descriptor to serve it with");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
}

#[test]
fn a_server_that_ran_out_of_descriptors_accepts_again_once_there_are_some() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let (handle, _publish, _store) = serve();
    let address = handle.local_addr().unwrap();
    let first = TcpStream::connect(address).unwrap();
    shake_hands(&first);
    // Made beforehand: once there are no descriptors, the server must not find one that a client was to have.
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let clients = [socket(), socket(), socket()];

    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(200), maximum: limit.maximum }).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }
    assert!(hoard.len() > 50, "the limit is what stops it");
    let waiting = clients.map(|client| {
        client.connect(&address.into()).expect("the kernel accepts");
        TcpStream::from(client)
    });
    assert_unanswered(&waiting[0]);
    hoard.clear();
    waiting.iter().for_each(shake_hands);
    shake_hands(&TcpStream::connect(address).unwrap());
}
