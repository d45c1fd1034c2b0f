//! The control channel of links between peers: its messages, what hellos agree on, and the half that answers them.

use std::time::Duration;

use link::agreement::{Agreed, AgreedChannel, agree};
use link::channel::{self, Channel};
use link::control::{Hello, Message, Terms};
use link::outbound::{Batch, Config, Input, Outbound, Output};
use link::reason::Code;
use link::state::{Event, Lifecycle, State};
use link::{Mode, Time};

use crate::Target;

/// What a hello must name for more than its reading to be tried.
const NETWORK: [u8; 32] = [7; 32];

pub(crate) const CONTROL: Target = Target { name: "control", run, seeds };

/// Bodies of messages one behind the other, each behind a byte with its length.
fn run(input: &[u8]) {
    let mut outbound = open();
    let mut rest = input;
    let mut now = Duration::ZERO;
    while let Some((&length, tail)) = rest.split_first() {
        let (body, tail) = tail.split_at(tail.len().min(usize::from(length)));
        rest = tail;
        now += Duration::from_millis(u64::from(length));
        if let Ok(message) = Message::decode(body) {
            has_one_encoding(&message, body);
            if let Message::Hello(hello) = &message {
                agrees_on_what_works(hello);
            }
            answer(&mut outbound, Time { mono: now, wall: now }, message);
        }
    }
}

fn has_one_encoding(message: &Message, body: &[u8]) {
    let mut again = Vec::new();
    message.encode(&mut again);
    assert_eq!(again, body, "a {} has two encodings", message.name());
}

fn agrees_on_what_works(hello: &Hello) {
    let ours = channel::defaults();
    let Ok(agreed) = agree(&NETWORK, &ours, hello) else { return };
    for agreed in &*agreed.channels {
        let longest = channel::cost(agreed.peer_max_message_bytes);
        assert!(u64::from(agreed.peer_window_bytes) >= longest, "a message that never gets credit");
        assert!(ours.contains(&agreed.channel));
    }
}

/// Whatever the peer says, what is answered is bounded, and each end is said once.
fn answer(outbound: &mut Outbound, now: Time, message: Message) {
    let (was, mut out) = (outbound.life().state(), Vec::new());
    outbound.handle(now, Input::Control(message), &mut out);
    outbound.check_invariants();
    let ended = out.iter().filter(|output| matches!(output, Output::Closed(_))).count();
    assert_eq!(ended == 1, was == State::Open && outbound.life().state() == State::Closed);
    let mut batch = Batch::new();
    outbound.take(now, usize::MAX, &mut batch);
    assert!(batch.wire_bytes() <= 1_024, "a long answer to a short message");
}

fn open() -> Outbound {
    let mut life = Lifecycle::new(Time::default());
    for event in [Event::BearerUp, Event::Proven, Event::Allowed, Event::Agreed] {
        life.advance(Time::default(), event);
    }
    let terms = |channel: Channel| AgreedChannel {
        channel,
        peer_max_message_bytes: channel.max_message_bytes,
        peer_window_bytes: channel.window_bytes,
    };
    let channels = channel::defaults().into_iter().map(terms).collect();
    let agreed = Agreed { version: 1, agent: String::new(), channels };
    Outbound::new(Config::default(), Mode::Initiator, &agreed, life, Time::default())
}

fn seeds() -> Vec<Vec<u8>> {
    let terms = |channel: &Channel| Terms {
        channel: channel.number,
        max_message_bytes: channel.max_message_bytes,
        window_bytes: channel.window_bytes,
    };
    let channels = channel::defaults().iter().map(terms).collect();
    let hello = Hello { versions: vec![1, 2], network_id: NETWORK, channels, agent: "anabranch".to_owned() };
    let ping = Message::Ping { id: 1, sent_us: 1_700_000_000_000_000 };
    let pong = Message::Pong { id: 0, sent_us: 0, received_us: 1_700_000_000_000_000 };
    let credit = Message::Credit { channel: channel::SYNC, bytes: 70_000 };
    let close = Message::Close { code: Code::Stopping };
    let one = |message: &Message| {
        let mut body = Vec::new();
        message.encode(&mut body);
        [vec![body.len() as u8], body].concat()
    };
    let all = [ping.clone(), pong.clone(), credit.clone(), close.clone()];
    vec![
        one(&Message::Hello(hello)),
        one(&ping).repeat(20),
        one(&pong),
        one(&credit),
        all.iter().flat_map(one).collect(),
    ]
}
