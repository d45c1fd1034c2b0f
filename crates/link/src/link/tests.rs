use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::state::Stage;
use super::*;
use crate::agreement::Disagreement;
use crate::budget::Budget;
use crate::channel;
use crate::control::{Hello, Message};
use crate::inbound;
use crate::message::{Head, Kind};
use crate::reason::Code;
use crate::segment::{HEADER_BYTES, Header};
use crate::session::{Cipher, Security};
use crate::state::State;
use crate::violation::Violation;
use crate::{Identity, Mode, Time};

const NETWORK: [u8; 32] = [9; 32];
const SECURITIES: [Security; 3] =
    [Security::Plain, Security::Noise(Cipher::Aes256Gcm), Security::Noise(Cipher::ChaChaPoly)];

fn at(ms: u64) -> Time {
    Time { mono: Duration::from_millis(ms), wall: Duration::from_millis(1_700_000_000_000 + ms) }
}

fn config(security: Security) -> Config {
    let rules = Rules::new(inbound::Config::new(channel::defaults())).unwrap();
    Config::new(session::Config { network_id: NETWORK, security }, rules)
}

fn identity(seed: u8) -> Identity {
    Identity::from_seed(&[seed; 32])
}

/// One side, and what it said.
struct Side {
    link: Link,
    outputs: Vec<Output>,
    /// What the peer is still to read.
    wire: Vec<u8>,
}

impl Side {
    fn dial(config: Config) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut link =
            Link::dial(at(0), Arc::new(config), &identity(1), Some(identity(2).peer_id()), &mut rng);
        link.handle(at(0), Input::Dialling, &mut Vec::new());
        link.handle(at(0), Input::BearerUp, &mut Vec::new());
        Self::new(link)
    }

    fn accept(config: Config) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut link = Link::accept(at(0), Arc::new(config), &identity(2), &mut rng);
        link.handle(at(0), Input::BearerUp, &mut Vec::new());
        Self::new(link)
    }

    fn new(link: Link) -> Self {
        let mut side = Self { link, outputs: Vec::new(), wire: Vec::new() };
        side.link.transmit(&mut side.wire);
        side
    }

    fn handle(&mut self, now: Time, input: Input<'_, '_>) {
        self.link.handle(now, input, &mut self.outputs);
        self.link.transmit(&mut self.wire);
        if self.link.life().state() == State::Closing {
            self.link.handle(now, Input::Flushed, &mut self.outputs);
        }
    }

    /// Reads these bytes; what it leaves of them.
    fn receive(&mut self, now: Time, bytes: &[u8]) -> usize {
        let mut bytes = bytes.to_vec();
        let mut input = &mut bytes[..];
        self.handle(now, Input::Received(&mut input));
        input.len()
    }

    fn state(&self) -> State {
        self.link.life().state()
    }

    /// Why it ended; it must have.
    fn ended(&self) -> Reason {
        assert_eq!(self.state(), State::Closed);
        match self.outputs.last() {
            Some(Output::Closed(reason)) => reason.clone(),
            other => panic!("the last output is {other:?}"),
        }
    }

    fn split(self, now: Time) -> Halves {
        let share = Budget::new(1 << 24).share(1 << 16).unwrap();
        self.link.split(now, share)
    }
}

/// Both sides.
struct Pair {
    a: Side,
    b: Side,
}

impl Pair {
    fn new(a: Config, b: Config) -> Self {
        Self { a: Side::dial(a), b: Side::accept(b) }
    }

    fn same(security: Security) -> Self {
        Self::new(config(security), config(security))
    }

    /// Carries bytes in pieces of these lengths until none are left, letting everybody in.
    fn run(&mut self, cuts: &[usize]) {
        let mut cuts = cuts.iter().cycle();
        loop {
            let (to_b, to_a) = (std::mem::take(&mut self.a.wire), std::mem::take(&mut self.b.wire));
            if to_a.is_empty() && to_b.is_empty() {
                return;
            }
            carry(&mut self.b, to_b, &mut cuts);
            carry(&mut self.a, to_a, &mut cuts);
        }
    }
}

fn carry<'a>(side: &mut Side, bytes: Vec<u8>, cuts: &mut impl Iterator<Item = &'a usize>) {
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
        side.receive(at(0), piece);
        if side.state() == State::Authenticated {
            side.handle(at(0), Input::Allowed);
        }
        rest = tail;
    }
}

#[test]
fn two_links_open_and_agree() {
    for security in SECURITIES {
        let mut pair = Pair::same(security);
        pair.run(&[usize::MAX]);
        assert_eq!((pair.a.state(), pair.b.state()), (State::Open, State::Open));
        let authenticated = Output::Authenticated { peer: identity(2).peer_id() };
        assert_eq!(pair.a.outputs, [authenticated, Output::Open]);
        let (a, b) = (pair.a.split(at(1)), pair.b.split(at(1)));
        assert_eq!((a.peer, b.peer), (identity(2).peer_id(), identity(1).peer_id()));
        assert_eq!(a.agreed, b.agreed);
        assert_eq!(a.agreed.channels.len(), channel::defaults().len());
        assert_eq!(a.agreed.agent, config(security).agent);
    }
}

#[test]
fn agrees_on_the_channels_that_both_have_and_on_each_others_terms() {
    let mut few = channel::defaults();
    few.retain(|channel| channel.number == channel::SYNC || channel.number == channel::ECHO);
    few[0].max_message_bytes = 1_000;
    few[0].window_bytes = 3_000;
    let rules = Rules::new(inbound::Config::new(few)).unwrap();
    let b = Config { rules, ..config(Security::Plain) };
    let mut pair = Pair::new(config(Security::Plain), b);
    pair.run(&[usize::MAX]);
    let agreed = pair.a.split(at(1)).agreed;
    let numbers: Vec<_> = agreed.channels.iter().map(|agreed| agreed.channel.number).collect();
    assert_eq!(numbers, [channel::SYNC, channel::ECHO]);
    let terms = (agreed.channels[0].peer_max_message_bytes, agreed.channels[0].peer_window_bytes);
    assert_eq!(terms, (1_000, 3_000));
}

#[test]
fn nothing_is_said_before_the_hook_has_decided() {
    let mut pair = Pair::same(Security::default());
    for _ in 0..2 {
        let to_b = std::mem::take(&mut pair.a.wire);
        pair.b.receive(at(0), &to_b);
        let to_a = std::mem::take(&mut pair.b.wire);
        pair.a.receive(at(0), &to_a);
    }
    // The dialling side is a message ahead, and has said no more than that.
    assert_eq!((pair.a.state(), pair.b.state()), (State::Authenticated, State::Authenticated));
    assert!(pair.a.wire.is_empty() && pair.b.wire.is_empty());
    pair.a.handle(at(0), Input::Allowed);
    assert_eq!(pair.a.state(), State::Connected);
    let hello = std::mem::take(&mut pair.a.wire);
    pair.b.receive(at(0), &hello);
    assert_eq!(pair.b.state(), State::Authenticated, "a hello is kept until the hook has decided");
    pair.b.handle(at(0), Input::Allowed);
    assert_eq!(pair.b.state(), State::Open);
}

#[test]
fn a_peer_that_is_not_welcome_is_told_so() {
    let mut pair = Pair::same(Security::default());
    for _ in 0..2 {
        let to_b = std::mem::take(&mut pair.a.wire);
        pair.b.receive(at(0), &to_b);
        let to_a = std::mem::take(&mut pair.b.wire);
        pair.a.receive(at(0), &to_a);
    }
    pair.a.handle(at(0), Input::Allowed);
    pair.b.handle(at(0), Input::Close(Reason::Banned));
    assert_eq!(pair.b.ended(), Reason::Banned);
    assert_eq!(pair.b.link.life().ended_in(), Some(State::Authenticated));
    let last = std::mem::take(&mut pair.b.wire);
    pair.a.receive(at(0), &last);
    assert_eq!(pair.a.ended(), Reason::ByPeer(Code::Banned));
    // The hook of the other side may answer when all is over.
    pair.b.handle(at(0), Input::Allowed);
    assert_eq!(pair.b.ended(), Reason::Banned);
}

#[test]
fn a_stranger_is_refused_before_it_is_known() {
    let mut b = Side::accept(config(Security::default()));
    b.handle(at(0), Input::Close(Reason::NoPlace));
    assert_eq!(b.ended(), Reason::NoPlace);
    let mut a = Side::dial(config(Security::default()));
    a.receive(at(0), &b.wire);
    assert_eq!(a.ended(), Reason::Refused(Code::Busy));
    assert!(a.outputs.iter().all(|output| matches!(output, Output::Closed(_))), "nobody was authenticated");
}

#[test]
fn a_refusal_is_heard_by_a_side_that_knows_the_peer_already() {
    let mut pair = Pair::same(Security::default());
    let to_b = std::mem::take(&mut pair.a.wire);
    pair.b.receive(at(0), &to_b);
    let to_a = std::mem::take(&mut pair.b.wire);
    pair.a.receive(at(0), &to_a);
    assert_eq!((pair.a.state(), pair.b.state()), (State::Authenticated, State::Authenticating));
    pair.b.handle(at(0), Input::Close(Reason::Stopping));
    let refusal = std::mem::take(&mut pair.b.wire);
    pair.a.receive(at(0), &refusal);
    assert_eq!(pair.a.ended(), Reason::Refused(Code::Stopping));
}

#[test]
fn what_does_not_fit_in_the_first_message_is_said_by_its_name() {
    let other = session::Config { network_id: [8; 32], security: Security::default() };
    let mut pair =
        Pair::new(config(Security::default()), Config { session: other, ..config(Security::Plain) });
    pair.run(&[usize::MAX]);
    let violation = session::Violation::WrongNetwork { theirs: NETWORK };
    assert_eq!(pair.b.ended(), Reason::Violation(Violation::Session(violation)));
    assert_eq!(pair.a.ended(), Reason::Refused(Code::OtherNetwork));
}

#[test]
fn noise_before_the_handshake_closes_without_a_word() {
    let mut b = Side::accept(config(Security::default()));
    b.receive(at(0), b"GET / HTTP/1.1\r\nHost: somebody\r\n\r\n");
    assert!(matches!(b.ended(), Reason::Violation(Violation::Frame(_))));
    assert!(b.wire.is_empty());
}

/// Both sides authenticated, the first one allowed; what seals for it.
fn until_connected() -> (Side, Sealer) {
    let mut pair = Pair::same(Security::default());
    for _ in 0..2 {
        let to_b = std::mem::take(&mut pair.a.wire);
        pair.b.receive(at(0), &to_b);
        let to_a = std::mem::take(&mut pair.b.wire);
        pair.a.receive(at(0), &to_a);
    }
    pair.b.handle(at(0), Input::Allowed);
    pair.b.wire.clear();
    match pair.a.link.stage {
        Stage::Session(session) => (pair.b, session.sealer),
        stage => panic!("not authenticated: {stage:?}"),
    }
}

/// Why a link ended that got these messages, each in a frame of its own, instead of a proper hello.
fn after(messages: &[Message]) -> Reason {
    let (mut b, mut sealer) = until_connected();
    let mut wire = Vec::new();
    for message in messages {
        hello::seal(at(0), Mode::Initiator, message, &mut sealer, &mut wire).unwrap();
    }
    b.receive(at(0), &wire);
    b.ended()
}

fn lie(change: impl FnOnce(&mut Hello)) -> Reason {
    let Message::Hello(mut hello) = hello::ours(NETWORK, &channel::defaults(), "a liar") else {
        unreachable!()
    };
    change(&mut hello);
    after(&[Message::Hello(hello)])
}

#[test]
fn a_hello_that_lies_closes_with_its_reason() {
    let id = [1; 32];
    assert_eq!(lie(|hello| hello.network_id = id), Disagreement::OtherNetwork { id }.into());
    assert_eq!(lie(|hello| hello.versions = vec![2, 7]), Disagreement::NoVersion { highest: 7 }.into());
    let window = Disagreement::Window { channel: channel::SYNC };
    assert_eq!(lie(|hello| hello.channels[2].window_bytes = (4 << 20) + 72), window.into());
    assert_eq!(lie(|hello| hello.channels[2].max_message_bytes = u32::MAX), window.into());
    assert!(matches!(
        lie(|hello| hello.agent = "\n".to_owned()),
        Reason::Disagreed(Disagreement::Undecodable(_))
    ));
}

#[test]
fn the_first_message_must_be_a_hello_or_a_farewell() {
    let ping = Message::Ping { id: 1, sent_us: 1 };
    assert_eq!(after(std::slice::from_ref(&ping)), Disagreement::NotHello.into());
    assert_eq!(after(&[Message::Close { code: Code::Stopping }]), Reason::ByPeer(Code::Stopping));
}

#[test]
fn a_hello_must_be_alone_on_the_control_channel() {
    let hello = hello::ours(NETWORK, &channel::defaults(), "a");
    let mut body = Vec::new();
    hello.encode(&mut body);
    let head = |length: usize| Head { kind: Kind::Note, length: length as u32 }.encode();
    let header =
        |protocol, mode, length| Header { sent_us: 0, mode, protocol, length: length as u16 }.encode();
    let whole = [&head(body.len())[..], &body].concat();
    let refused = |header: [u8; HEADER_BYTES], payload: &[u8]| {
        let (mut b, mut sealer) = until_connected();
        let mut wire = Vec::new();
        sealer.seal(header, [payload], &mut wire).unwrap();
        b.receive(at(0), &wire);
        b.ended()
    };
    let (control, ours) = (channel::CONTROL, Mode::Initiator);
    let length = whole.len();
    let not_hello: Reason = Disagreement::NotHello.into();
    assert_eq!(refused(header(channel::SYNC, ours, length), &whole), not_hello);
    assert_eq!(refused(header(control, Mode::Responder, length), &whole), not_hello);
    assert_eq!(refused(header(control, ours, length - 1), &whole), not_hello);
    assert_eq!(refused(header(control, ours, length - 1), &whole[..length - 1]), not_hello);
    assert_eq!(refused(header(control, ours, 3), b"abc"), not_hello);
    let followed = [&whole[..], &head(0)].concat();
    assert_eq!(refused(header(control, ours, followed.len()), &followed), not_hello);
}

#[test]
fn nothing_may_follow_a_hello_before_it_is_answered() {
    let mut pair = Pair::same(Security::default());
    for _ in 0..2 {
        let to_b = std::mem::take(&mut pair.a.wire);
        pair.b.receive(at(0), &to_b);
        let to_a = std::mem::take(&mut pair.b.wire);
        pair.a.receive(at(0), &to_a);
    }
    let Stage::Session(session) = &mut pair.a.link.stage else { panic!("not authenticated") };
    let mut wire = Vec::new();
    let hello = hello::ours(NETWORK, &channel::defaults(), "a");
    for _ in 0..2 {
        hello::seal(at(0), Mode::Initiator, &hello, &mut session.sealer, &mut wire).unwrap();
    }
    pair.b.receive(at(0), &wire);
    assert_eq!(pair.b.ended(), Disagreement::Early.into());
}

#[test]
fn what_follows_the_last_hello_is_left_for_the_half_that_receives() {
    let mut pair = Pair::same(Security::default());
    let to_b = std::mem::take(&mut pair.a.wire);
    pair.b.receive(at(0), &to_b);
    let to_a = std::mem::take(&mut pair.b.wire);
    pair.a.receive(at(0), &to_a);
    pair.a.handle(at(0), Input::Allowed);
    let to_b = std::mem::take(&mut pair.a.wire);
    pair.b.receive(at(0), &to_b);
    pair.b.handle(at(0), Input::Allowed);
    let mut to_a = std::mem::take(&mut pair.b.wire);
    let mut b = pair.b.split(at(0));
    let mut batch = outbound::Batch::new();
    b.outbound.take(at(0), usize::MAX, &mut batch);
    let (before, mut sealed) = (to_a.len(), Vec::new());
    batch.seal(&mut b.sealer, &mut sealed).unwrap();
    to_a.append(&mut sealed);
    assert!(to_a.len() > before, "an open link pings at once");
    assert_eq!(pair.a.receive(at(0), &to_a), to_a.len() - before);
    let mut a = pair.a.split(at(0));
    let mut out = Vec::new();
    a.inbound.handle(at(0), inbound::Input::Received(&mut to_a[before..]), &mut out);
    assert!(matches!(out[..], [inbound::Output::Control(Message::Ping { .. })]), "{out:?}");
}

#[test]
fn every_wait_has_its_end() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut link = Link::dial(at(0), Arc::new(config(Security::Plain)), &identity(1), None, &mut rng);
    let mut out = Vec::new();
    assert_eq!(link.next_deadline(), None, "nothing has begun");
    link.handle(at(0), Input::Dialling, &mut out);
    link.handle(at(9_999), Input::Tick, &mut out);
    assert_eq!((link.next_deadline(), out.len()), (Some(Duration::from_secs(10)), 0));
    link.handle(at(10_000), Input::Tick, &mut out);
    assert_eq!(out, [Output::Closed(Reason::DialTimeout)]);

    let mut silent = Side::accept(config(Security::Plain));
    silent.handle(at(4_999), Input::Tick);
    assert_eq!(silent.state(), State::Authenticating);
    silent.handle(at(5_000), Input::Tick);
    assert_eq!(silent.ended(), Reason::HandshakeTimeout);

    // A slow hook and a hello that does not come count as well.
    let (mut b, _) = until_connected();
    b.handle(at(5_000), Input::Tick);
    assert_eq!(b.ended(), Reason::HandshakeTimeout);
    assert_eq!(b.link.life().ended_in(), Some(State::Connected));
}

#[test]
fn an_end_that_cannot_be_written_takes_a_second() {
    let (b, _) = until_connected();
    let mut link = b.link;
    let mut out = Vec::new();
    link.handle(at(100), Input::Close(Reason::Stopping), &mut out);
    // Nobody transmits; another reason changes nothing.
    link.handle(at(200), Input::Flushed, &mut out);
    link.handle(at(300), Input::Close(Reason::Dropped), &mut out);
    assert_eq!(
        (link.life().state(), link.next_deadline()),
        (State::Closing, Some(Duration::from_millis(1_100)))
    );
    link.handle(at(1_100), Input::Tick, &mut out);
    assert_eq!(out, [Output::Closed(Reason::Stopping)]);
    assert_eq!(link.next_deadline(), None);
}

#[test]
fn an_end_that_nobody_can_hear_takes_no_time() {
    let (mut b, _) = until_connected();
    b.link.handle(at(100), Input::Close(Reason::Eof), &mut b.outputs);
    assert_eq!(b.ended(), Reason::Eof);
}

proptest! {
    #[test]
    fn no_cut_of_the_bytes_matters(security in 0usize..3, cuts in prop::collection::vec(1usize..200, 1..60)) {
        let mut pair = Pair::same(SECURITIES[security]);
        pair.run(&cuts);
        prop_assert_eq!((pair.a.state(), pair.b.state()), (State::Open, State::Open));
    }

    /// A byte changed on the way never opens a link between two peers that do not agree; encrypted, it closes both.
    #[test]
    fn a_changed_byte_closes(which in 0usize..4, at_byte in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut pair = Pair::same(Security::default());
        let mut left = which;
        for turn in 0..6 {
            let (from, to) = if turn % 2 == 0 { (&mut pair.a, &mut pair.b) } else { (&mut pair.b, &mut pair.a) };
            let mut bytes = std::mem::take(&mut from.wire);
            if left == 0 && !bytes.is_empty() {
                let at = at_byte.index(bytes.len());
                bytes[at] ^= flip;
            }
            left = left.wrapping_sub(usize::from(!bytes.is_empty()));
            to.receive(at(0), &bytes);
            if to.state() == State::Authenticated {
                to.handle(at(0), Input::Allowed);
            }
        }
        for side in [&mut pair.a, &mut pair.b] {
            side.handle(at(5_000), Input::Tick);
        }
        let states = (pair.a.state(), pair.b.state());
        prop_assert!(states != (State::Open, State::Open), "{states:?}");
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..3_000), length in any::<bool>()) {
        let mut bytes = bytes;
        if length && bytes.len() > 2 {
            let inside = (bytes.len() - 2).min(1_024) as u16;
            bytes[..2].copy_from_slice(&inside.to_be_bytes());
        }
        let mut b = Side::accept(config(Security::default()));
        b.receive(at(0), &bytes);
        prop_assert!(b.outputs.iter().all(|output| matches!(output, Output::Closed(_))));
    }
}
