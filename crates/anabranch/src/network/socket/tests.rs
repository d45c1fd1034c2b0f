use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use link::budget::Budget;
use link::channel::{self, BODIES, CONSENSUS, ECHO};
use link::inbound::{self, Rules};
use link::link::Link;
use link::message::Kind;
use link::outbound::Why;
use link::reason::{Code, Reason};
use link::session::{self, Security};
use link::state::State;
use link::{Identity, link as opening};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::handle::*;
use super::open::Opened;
use super::*;
use crate::network::clock::Clock;
use crate::network::status::Direction;

/// What a socket told.
#[derive(Debug)]
enum Told {
    Message(Delivery),
    Ending(Reason),
    Closed(Reason),
}

struct Recorder(mpsc::UnboundedSender<Told>);

impl Above for Recorder {
    fn on_message(&self, delivery: Delivery) {
        let _ = self.0.send(Told::Message(delivery));
    }

    fn on_ending(&self, _: &Arc<Socket>, reason: &Reason) {
        let _ = self.0.send(Told::Ending(reason.clone()));
    }

    fn on_closed(&self, _: &Arc<Socket>, reason: &Reason) {
        let _ = self.0.send(Told::Closed(reason.clone()));
    }
}

/// A socket with what it told.
struct Side {
    socket: Arc<Socket>,
    told: mpsc::UnboundedReceiver<Told>,
    tasks: TaskTracker,
    budget: Budget,
}

const NAMES: [u8; 2] = [1, 2];

fn identity(name: u8) -> Identity {
    Identity::from_seed(&[name; 32])
}

fn opening(bearer: Bearer, direction: Direction, budget: &Budget) -> Opening {
    let clock = Clock::start();
    let session = session::Config { network_id: [9; 32], security: Security::default() };
    let rules = Rules::new(inbound::Config::new(channel::defaults())).unwrap();
    let config = Arc::new(opening::Config::new(session, rules));
    let [dialler, acceptor] = NAMES;
    let link = match direction {
        Direction::Dialled => {
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let expected = Some(identity(acceptor).peer_id());
            Link::dial(clock.now(), config, &identity(dialler), expected, &mut rng)
        }
        Direction::Accepted => {
            let mut rng = ChaCha20Rng::seed_from_u64(2);
            Link::accept(clock.now(), config, &identity(acceptor), &mut rng)
        }
    };
    let config = Config::default();
    Opening { bearer, link, direction, budget: budget.clone(), floor_bytes: 64 << 10, config, clock }
}

fn budget() -> Budget {
    Budget::new(256 << 20)
}

fn start(opened: Opened, budget: Budget) -> Side {
    let (to, told) = mpsc::unbounded_channel();
    let (socket, tasks) = (opened.socket().clone(), TaskTracker::new());
    opened.start(Arc::new(Recorder(to)), Box::new(()), &tasks);
    tasks.close();
    Side { socket, told, tasks, budget }
}

async fn opened((near, far): (Bearer, Bearer)) -> [(Opened, Budget); 2] {
    let budgets = [budget(), budget()];
    let dial = open(opening(near, Direction::Dialled, &budgets[0]), |_| Ok(()));
    let accept = open(opening(far, Direction::Accepted, &budgets[1]), |_| Ok(()));
    let (dialled, accepted) = tokio::join!(dial, accept);
    let [ours, theirs] = budgets;
    let is_open = |opened: Result<Opened, Reason>| opened.unwrap_or_else(|reason| panic!("{reason}"));
    [(is_open(dialled), ours), (is_open(accepted), theirs)]
}

async fn pair(bearers: (Bearer, Bearer)) -> (Side, Side) {
    let [(dialled, ours), (accepted, theirs)] = opened(bearers).await;
    (start(dialled, ours), start(accepted, theirs))
}

async fn tcp() -> (Bearer, Bearer) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(dial, listener.accept());
    (Bearer::tcp(near.unwrap()).unwrap(), Bearer::tcp(far.unwrap().0).unwrap())
}

fn unix() -> (Bearer, Bearer) {
    let (near, far) = tokio::net::UnixStream::pair().unwrap();
    (Bearer::Unix(near), Bearer::Unix(far))
}

fn body(number: u32, length: usize) -> Bytes {
    let mut bytes = vec![number as u8; length];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes.into()
}

impl Side {
    async fn next(&mut self) -> Told {
        self.told.recv().await.expect("the socket has more to tell")
    }

    async fn message(&mut self) -> Delivery {
        match self.next().await {
            Told::Message(delivery) => delivery,
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// Waits for the end, which must come next, and sees that nothing is left.
    async fn end(mut self) -> Reason {
        let Told::Ending(reason) = self.next().await else { panic!("not an end") };
        let Told::Closed(last) = self.next().await else { panic!("more after the end") };
        assert_eq!(reason, last);
        self.tasks.wait().await;
        assert_eq!(self.socket.figures().life.state(), State::Closed);
        assert!(self.told.try_recv().is_err(), "something was told after the end");
        drop(self.socket);
        assert_eq!(self.budget.used_bytes(), 0);
        reason
    }
}

#[tokio::test]
async fn messages_arrive_whole_and_in_order_over_every_bearer() {
    for bearers in [tcp().await, unix(), Bearer::pipe(4_096)] {
        let (near, mut far) = pair(bearers).await;
        let lengths = [4, 100, 12_288, 65_536, 1_000_000];
        let socket = near.socket.clone();
        let sending = tokio::spawn(async move {
            for number in 0..50 {
                let body = body(number, lengths[number as usize % lengths.len()]);
                socket.send(BODIES, Kind::Note, body).await.unwrap();
            }
        });
        for number in 0..50 {
            let Delivery { channel, kind, body: got, permit } = far.message().await;
            assert_eq!((channel, kind), (BODIES, Kind::Note));
            assert!(got == body(number, got.len()), "message {number} is not what was sent");
            assert_eq!(u64::from(permit.bytes()), channel::cost(got.len() as u32));
        }
        sending.await.unwrap();
        near.socket.flushed().await;
        assert_eq!(near.tasks.len(), 2, "a read and a write routine");
        near.socket.close(Reason::Dropped);
        assert_eq!(near.end().await, Reason::Dropped);
        assert_eq!(far.end().await, Reason::ByPeer(Code::Dropped));
    }
}

#[tokio::test]
async fn a_channel_that_is_not_taken_stops_and_the_others_go_on() {
    let (near, mut far) = pair(Bearer::pipe(64 << 10)).await;
    let socket = near.socket.clone();
    let sending = tokio::spawn(async move {
        for number in 0..400 {
            socket.send(ECHO, Kind::Note, body(number, 60_000)).await.unwrap();
        }
    });
    let echo = channel::defaults().into_iter().find(|channel| channel.number == ECHO).unwrap();
    let window = echo.window_bytes;
    let mut held = Vec::new();
    while held.len() < (window / 60_073) as usize {
        held.push(far.message().await);
    }
    // The window is full: what comes now is of another channel.
    near.socket.send(CONSENSUS, Kind::Note, body(7, 100)).await.unwrap();
    assert_eq!(far.message().await.channel, CONSENSUS);
    assert!(!sending.is_finished());
    let mut count = held.len();
    held.clear();
    while count < 400 {
        assert_eq!(far.message().await.channel, ECHO);
        count += 1;
    }
    sending.await.unwrap();
    let figures = far.socket.figures();
    assert_eq!(figures.strikes, 0, "{:?}", figures.violations);
}

#[tokio::test]
async fn what_is_urgent_overtakes_what_is_bulk() {
    let (near, mut far) = pair(Bearer::pipe(16 << 10)).await;
    for number in 0..2 {
        near.socket.send(BODIES, Kind::Note, body(number, 2_000_000)).await.unwrap();
    }
    near.socket.send(CONSENSUS, Kind::Request(5), body(2, 100)).await.unwrap();
    let first = far.message().await;
    assert_eq!((first.channel, first.kind), (CONSENSUS, Kind::Request(5)));
    assert_eq!(far.message().await.body.len(), 2_000_000);
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_comes_back() {
    let (near, far) = pair(Bearer::pipe(4_096)).await;
    let too_long = body(0, 70_000);
    let unsent = near.socket.try_send(ECHO, Kind::Note, too_long.clone()).unwrap_err();
    assert_eq!(unsent.body, too_long);
    assert!(matches!(unsent.why, Why::TooLong { limit: 65_536, .. }));
    let mut sent = 0;
    let full = loop {
        match near.socket.try_send(BODIES, Kind::Note, body(sent, 1_000_000)) {
            Ok(()) => sent += 1,
            Err(unsent) => break unsent,
        }
    };
    assert!(matches!(full.why, Why::Full { .. }), "{full}");
    near.socket.close(Reason::Dropped);
    let closed = near.socket.send(ECHO, Kind::Note, body(0, 10)).await.unwrap_err();
    assert_eq!(closed.why, Why::Ending);
    drop(far);
}

#[tokio::test]
async fn who_waits_for_room_hears_of_the_end() {
    let [(near, ours), (far, _)] = opened(Bearer::pipe(1_024)).await;
    let near = start(near, ours);
    let sending = near.socket.clone();
    let waits = tokio::spawn(async move {
        loop {
            if let Err(unsent) = sending.send(BODIES, Kind::Note, body(0, 1_000_000)).await {
                return unsent.why;
            }
        }
    });
    // The far end is there and reads nothing.
    near.socket.close(Reason::Stopping);
    assert_eq!(waits.await.unwrap(), Why::Ending);
    drop(far);
}

#[tokio::test]
async fn the_end_of_the_bearer_ends_both_routines() {
    for bearers in [tcp().await, unix(), Bearer::pipe(4_096)] {
        let [(near, ours), (far, _)] = opened(bearers).await;
        let near = start(near, ours);
        drop(far);
        let reason = near.end().await;
        // What was still being written decides which of the routines sees it first.
        assert!(matches!(reason, Reason::Eof | Reason::WriteFailed(_) | Reason::ReadFailed(_)), "{reason:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_given_up_after_the_write_stall() {
    let [(near, ours), (far, _)] = opened(Bearer::pipe(1_024)).await;
    let began = tokio::time::Instant::now();
    let near = start(near, ours);
    near.socket.send(BODIES, Kind::Note, body(0, 100_000)).await.unwrap();
    assert_eq!(near.end().await, Reason::WriteStall);
    let lasted = began.elapsed();
    assert!(lasted >= Duration::from_secs(20) && lasted <= Duration::from_secs(22), "{lasted:?}");
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_dead_after_75_seconds() {
    let [(near, ours), (far, _)] = opened(Bearer::pipe(64 << 10)).await;
    let began = tokio::time::Instant::now();
    let near = start(near, ours);
    assert_eq!(near.end().await, Reason::Silent);
    let lasted = began.elapsed();
    assert!(lasted >= Duration::from_secs(75) && lasted <= Duration::from_secs(77), "{lasted:?}");
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn idle_peers_keep_each_other_alive() {
    let (mut near, mut far) = pair(Bearer::pipe(64 << 10)).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    let hour = tokio::time::timeout(Duration::from_secs(3_600), async {
        tokio::select! {
            told = near.next() => told,
            told = far.next() => told,
        }
    });
    assert!(hour.await.is_err(), "something happened on an idle link");
    let ping = near.socket.figures().ping.expect("pongs came");
    assert!(ping.pongs >= 100, "{ping:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_goes_nowhere_ends_at_its_deadline() {
    let (near, _silent) = Bearer::pipe(4_096);
    let budget = budget();
    let failed = open(opening(near, Direction::Accepted, &budget), |_| Ok(())).await;
    assert_eq!(failed.err(), Some(Reason::HandshakeTimeout));
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test]
async fn a_peer_that_the_hook_refuses_is_told_so() {
    let (near, far) = Bearer::pipe(4_096);
    let budget = budget();
    let dial = open(opening(near, Direction::Dialled, &budget), |_| Ok(()));
    let refuse = |peer| {
        assert_eq!(peer, identity(NAMES[0]).peer_id());
        Err(Reason::NotAllowed)
    };
    let accept = open(opening(far, Direction::Accepted, &budget), refuse);
    let (dialled, accepted) = tokio::join!(dial, accept);
    assert_eq!(accepted.err(), Some(Reason::NotAllowed));
    assert_eq!(dialled.err(), Some(Reason::ByPeer(Code::NotAllowed)));
}

#[tokio::test]
async fn a_link_without_a_part_of_the_budget_does_not_open() {
    let (near, far) = Bearer::pipe(4_096);
    let (none, some) = (Budget::new(1_000), budget());
    let dial = open(opening(near, Direction::Dialled, &none), |_| Ok(()));
    let accept = open(opening(far, Direction::Accepted, &some), |_| Ok(()));
    let (dialled, _) = tokio::join!(dial, accept);
    assert_eq!(dialled.err(), Some(Reason::NoPlace));
}

#[tokio::test]
async fn who_stops_says_so_and_both_ends_are_over() {
    let (near, far) = pair(tcp().await).await;
    far.socket.close(Reason::Stopping);
    assert_eq!(near.end().await, Reason::ByPeer(Code::Stopping));
    assert_eq!(far.end().await, Reason::Stopping);
}

#[tokio::test]
async fn what_is_given_back_after_the_end_harms_nobody() {
    let (near, mut far) = pair(Bearer::pipe(4_096)).await;
    near.socket.send(ECHO, Kind::Note, body(0, 60_000)).await.unwrap();
    let Delivery { permit, body, .. } = far.message().await;
    near.socket.close(Reason::Dropped);
    let told = far.next().await;
    assert!(matches!(told, Told::Ending(Reason::ByPeer(Code::Dropped))), "{told:?}");
    far.tasks.wait().await;
    let used = far.budget.used_bytes();
    assert!(used >= 60_000, "what the application holds still counts: {used}");
    drop((permit, body));
    drop(far.socket);
    assert_eq!(far.budget.used_bytes(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the sizes, the pace and the pipe: each channel's messages come once, whole, in their order.
    #[test]
    fn nothing_is_lost_or_mixed_up(
        lengths in prop::collection::vec((0usize..4, 4usize..40_000), 1..60),
        pipe in 1usize..50_000,
        seed in any::<u8>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let channels = [CONSENSUS, channel::SYNC, BODIES, ECHO];
            let (near, mut far) = pair(Bearer::pipe(pipe)).await;
            let count = lengths.len();
            let socket = near.socket.clone();
            let sent = lengths.clone();
            let sending = tokio::spawn(async move {
                for (number, (channel, length)) in (0u32..).zip(sent) {
                    socket.send(channels[channel], Kind::Note, body(number, length)).await.unwrap();
                }
            });
            let mut next = [0u32; 4];
            let mut held = Vec::new();
            for _ in 0..count {
                let delivery = far.message().await;
                let at = channels.iter().position(|channel| *channel == delivery.channel).unwrap();
                let number = u32::from_be_bytes(*delivery.body.first_chunk().unwrap());
                let (channel, length) = lengths[number as usize];
                assert_eq!(channel, at);
                assert!(delivery.body == body(number, length), "message {number} came changed");
                assert!(number >= next[at], "message {number} came twice or late");
                next[at] = number + 1;
                held.push(delivery.permit);
                if held.len() > usize::from(seed % 4) {
                    held.clear();
                }
            }
            sending.await.unwrap();
            near.socket.inbound().check_invariants();
            near.socket.half().outbound.check_invariants();
            far.socket.inbound().check_invariants();
        });
    }
}

#[test]
fn the_settings_are_those_of_the_specification() {
    let config = Config::default();
    assert_eq!(config.write_stall, Duration::from_secs(20));
    assert_eq!(config.pace.min_bytes, NonZeroU32::new(16 << 10).unwrap());
    assert_eq!(config.pace.max_bytes, NonZeroU32::new(128 << 10).unwrap());
}

/// The runtime lays tasks out in steps of 128 bytes and needs 112 of its own: each of these is two steps and not three.
#[test]
fn a_sockets_tasks_are_small() {
    assert!(size_of::<read::Routine>() <= 144, "reading: {}", size_of::<read::Routine>());
    assert!(size_of::<write::Routine>() <= 144, "writing: {}", size_of::<write::Routine>());
}

#[tokio::test(start_paused = true)]
async fn who_opens_a_link_and_does_not_take_our_hello_is_not_waited_for_for_ever() {
    let (near, mut far) = tokio::io::duplex(100);
    let budget = budget();
    let Opening { mut link, clock, .. } = opening(Bearer::pipe(1).0, Direction::Dialled, &budget);
    let dialler = async {
        let mut outputs = Vec::new();
        link.handle(clock.now(), opening::Input::BearerUp, &mut outputs);
        while link.peer().is_none() {
            let mut out = Vec::new();
            link.transmit(&mut out);
            far.write_all(&out).await.unwrap();
            let mut buffer = [0; 100];
            let got = far.read(&mut buffer).await.unwrap();
            link.handle(clock.now(), opening::Input::Received(&mut &mut buffer[..got]), &mut outputs);
        }
        link.handle(clock.now(), opening::Input::Allowed, &mut outputs);
        let mut out = Vec::new();
        link.transmit(&mut out);
        far.write_all(&out).await.unwrap();
        // And it reads nothing more.
        std::future::pending::<()>().await
    };
    let accept = open(opening(Bearer::Pipe(near), Direction::Accepted, &budget), |_| Ok(()));
    let opened = tokio::select! {
        opened = tokio::time::timeout(Duration::from_secs(3_600), accept) => opened,
        () = dialler => unreachable!("it waits"),
    };
    assert_eq!(opened.expect("it ends").err(), Some(Reason::HandshakeTimeout));
}
