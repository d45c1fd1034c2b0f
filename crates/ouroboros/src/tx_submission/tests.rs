use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::arbitrary::{self, assert_canonical, assert_round_trip, hex};
use crate::codec::{List, Raw};
use crate::conversation::Speaker;
use crate::framing::Item;

#[test]
fn the_bytes_are_the_cddls() {
    let id = hex("82 06 42 aabb");
    let tx = hex("82 06 d818 41 00");
    let (raw_id, raw_tx) = ([Raw(&id)], [Raw(&tx)]);
    let ids = [IdAndSize { id: Raw(&id), size: 300 }];
    let table = [
        ("81 06", Message::Init),
        ("84 00 f5 00 0a", Message::RequestTxIds { blocking: true, acknowledged: 0, requested: 10 }),
        ("84 00 f4 02 03", Message::RequestTxIds { blocking: false, acknowledged: 2, requested: 3 }),
        ("82 01 9f 82 82 06 42 aabb 19012c ff", Message::ReplyTxIds { ids: List::new(&ids) }),
        ("82 01 9f ff", Message::ReplyTxIds { ids: List::new(&[]) }),
        ("82 02 9f 82 06 42 aabb ff", Message::RequestTxs { ids: List::new(&raw_id) }),
        ("82 03 9f 82 06 d818 41 00 ff", Message::ReplyTxs { txs: List::new(&raw_tx) }),
        ("81 04", Message::Done),
    ];
    for (text, message) in table {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(bytes, hex(text), "{message:?}");
        assert_eq!(Message::decode(&bytes), Ok(message));
    }
}

#[test]
fn refuses_what_is_no_message() {
    // Definite lists among them: the reference decodes none.
    for text in [
        "82 01 80",
        "82 02 80",
        "82 03 81 00",
        "84 00 f6 00 00",
        "84 00 f5 00 1a00010000",
        "81 05",
        "82 01 9f 81 00 ff",
        "82 01 9f",
    ] {
        assert!(Message::decode(&hex(text)).is_err(), "{text}");
    }
}

#[test]
fn moves_as_the_specification_says() {
    use State::*;
    let one = [IdAndSize { id: Raw(&[0]), size: 1 }];
    let request = |blocking| Message::RequestTxIds { blocking, acknowledged: 0, requested: 1 };
    let messages = [
        Message::Init,
        request(true),
        request(false),
        Message::RequestTxs { ids: List::new(&[]) },
        Message::ReplyTxIds { ids: List::new(&one) },
        Message::ReplyTxIds { ids: List::new(&[]) },
        Message::ReplyTxs { txs: List::new(&[]) },
        Message::Done,
    ];
    let table = [
        (Init, [Some(Idle), None, None, None, None, None, None, None]),
        (Idle, [None, Some(BlockingIds), Some(NonBlockingIds), Some(Txs), None, None, None, None]),
        (BlockingIds, [None, None, None, None, Some(Idle), None, None, Some(Done)]),
        (NonBlockingIds, [None, None, None, None, Some(Idle), Some(Idle), None, None]),
        (Txs, [None, None, None, None, None, None, Some(Idle), None]),
        (Done, [None; 8]),
    ];
    for (state, after) in table {
        assert_eq!(messages.each_ref().map(|message| state.after(message)), after, "{state:?}");
    }
}

fn items() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(arbitrary::item(), 0..12)
}

proptest! {
    #[test]
    fn every_message_comes_back(
        blocking in any::<bool>(),
        acknowledged in any::<u16>(),
        requested in any::<u16>(),
        items in items(),
        size in any::<u32>(),
    ) {
        let raws: Vec<Raw<'_>> = items.iter().map(|item| Raw(item)).collect();
        let ids: Vec<IdAndSize<'_>> = raws.iter().map(|id| IdAndSize { id: *id, size }).collect();
        assert_round_trip!(Message::RequestTxIds { blocking, acknowledged, requested });
        assert_round_trip!(Message::ReplyTxIds { ids: List::new(&ids) });
        assert_round_trip!(Message::RequestTxs { ids: List::new(&raws) });
        assert_round_trip!(Message::ReplyTxs { txs: List::new(&raws) });
    }

    #[test]
    fn damage_is_refused_or_harmless(
        bytes in arbitrary::damaged(items().prop_map(|items| {
            let ids: Vec<IdAndSize<'_>> =
                items.iter().map(|item| IdAndSize { id: Raw(item), size: 7 }).collect();
            let mut bytes = Vec::new();
            Message::ReplyTxIds { ids: List::new(&ids) }.encode(&mut bytes);
            bytes
        })),
    ) {
        assert_canonical!(bytes);
    }
}

/// What the initiator says to a request, or why it is a fault of the responder's.
fn ask(initiator: &mut Initiator, request: Message<'_>) -> Result<Vec<u8>, crate::Violation> {
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    initiator.on_message(Duration::ZERO, &Item::Borrowed(&bytes))?;
    Ok(said(initiator))
}

fn said(initiator: &mut Initiator) -> Vec<u8> {
    let mut out = Vec::new();
    initiator.outbox().fill(usize::MAX, &mut out);
    out
}

fn started(offers: u8) -> Initiator {
    let mut initiator = Initiator::new();
    initiator.start();
    assert_eq!(said(&mut initiator), hex("81 06"));
    (0..offers).for_each(|n| assert!(initiator.offer(offer(n))));
    initiator
}

fn offer(n: u8) -> Offered {
    Offered { id: Bytes::from(vec![0x41, n]), tx: Bytes::from(vec![0x42, n, n]) }
}

fn ids(blocking: bool, acknowledged: u16, requested: u16) -> Message<'static> {
    Message::RequestTxIds { blocking, acknowledged, requested }
}

#[test]
fn offers_ids_and_gives_transactions_until_they_are_acknowledged() {
    let mut initiator = started(3);
    assert_eq!(ask(&mut initiator, ids(true, 0, 2)).unwrap(), hex("82 01 9f 82 4100 03 82 4101 03 ff"));
    let wanted = [Raw(&[0x41, 1]), Raw(&[0x41, 0])];
    let txs = ask(&mut initiator, Message::RequestTxs { ids: List::new(&wanted) });
    assert_eq!(txs.unwrap(), hex("82 03 9f 42 0101 42 0000 ff"));
    assert_eq!(ask(&mut initiator, ids(false, 1, 5)).unwrap(), hex("82 01 9f 82 4102 03 ff"));
    let gone = ask(&mut initiator, Message::RequestTxs { ids: List::new(&wanted) });
    assert_eq!(gone, Err(Violation::NotOffered.into()));
}

#[test]
fn a_blocking_question_waits_for_the_next_offer() {
    let mut initiator = started(0);
    assert_eq!(ask(&mut initiator, ids(true, 0, 1)).unwrap(), []);
    assert!(initiator.offer(offer(9)));
    assert_eq!(said(&mut initiator), hex("82 01 9f 82 4109 03 ff"));
    assert_eq!(ask(&mut initiator, ids(true, 1, 1)).unwrap(), []);
    initiator.done();
    assert_eq!(said(&mut initiator), hex("81 04"));
}

#[test]
fn holds_the_responder_to_the_window() {
    let table = [
        (ids(true, 1, 1), Violation::AcknowledgedTooMany { acknowledged: 1, unacknowledged: 0 }),
        (ids(true, 0, 11), Violation::RequestedTooMany { requested: 11, unacknowledged: 0 }),
        (ids(true, 0, 0), Violation::RequestedNothing),
        (ids(false, 0, 0), Violation::RequestedNothing),
        (ids(false, 0, 1), Violation::WrongKind { blocking: false, unacknowledged: 0 }),
    ];
    for (request, fault) in table {
        assert_eq!(ask(&mut started(3), request), Err(fault.into()), "{request:?}");
    }
    let mut initiator = started(3);
    ask(&mut initiator, ids(true, 0, 2)).unwrap();
    let blocking = ask(&mut initiator.clone(), ids(true, 1, 1));
    assert_eq!(blocking, Err(Violation::WrongKind { blocking: true, unacknowledged: 1 }.into()));
    let twice = [Raw(&[0x41, 0]), Raw(&[0x41, 0])];
    let twice = ask(&mut initiator, Message::RequestTxs { ids: List::new(&twice) });
    assert_eq!(twice, Err(Violation::NotOffered.into()));
}

#[test]
fn bounds_what_is_on_offer() {
    let mut initiator = started(0);
    let big = Offered { id: Bytes::from_static(&[1]), tx: Bytes::from(vec![0; MAX_OFFERED_BYTES]) };
    assert!(initiator.offer(big));
    assert!(!initiator.offer(offer(1)));
    ask(&mut initiator, ids(true, 0, 1)).unwrap();
    ask(&mut initiator, ids(true, 1, 1)).unwrap();
    assert!(initiator.offer(offer(1)), "the acknowledged one made room");
}

/// Passes messages between the two sides until neither has anything to say; collects what the responder took.
fn converse(
    initiator: &mut Initiator,
    responder: &mut Responder,
    wants: impl Fn(&[u8]) -> bool,
    took: &mut Vec<(Option<Bytes>, Bytes)>,
) {
    loop {
        let answer = said(initiator);
        let mut request = Vec::new();
        if !answer.is_empty() {
            let message = Message::decode(&answer).unwrap();
            responder.on_message(&message).unwrap();
        }
        while let Some(ask) = responder.take_ask() {
            match ask {
                Ask::Room => responder.on_room(),
                Ask::Wanted(ids) => {
                    responder.on_wanted(&ids.iter().map(|offer| wants(&offer.id)).collect::<Vec<_>>());
                }
                Ask::Took(txs) => took.extend(txs),
            }
        }
        responder.fill(Duration::ZERO, &mut request);
        if request.is_empty() {
            return;
        }
        initiator.on_message(Duration::ZERO, &Item::Borrowed(&request)).unwrap();
    }
}

/// A responder that waits for ids.
fn waiting() -> Responder {
    let mut responder = Responder::default();
    responder.on_message(&Message::Init).unwrap();
    assert_eq!(responder.take_ask(), Some(Ask::Room));
    responder.on_room();
    responder.fill(Duration::ZERO, &mut Vec::new());
    responder
}

fn reply_ids(responder: &mut Responder, id: &[u8], size: u32) -> Result<(), crate::Violation> {
    let ids = [IdAndSize { id: Raw(id), size }];
    responder.on_message(&Message::ReplyTxIds { ids: List::new(&ids) })
}

#[test]
fn refuses_an_id_that_would_fill_memory() {
    let long = vec![0; 200];
    assert_eq!(reply_ids(&mut waiting(), &long, 10), Err(Violation::IdTooLong { bytes: 200 }.into()));
    assert_eq!(reply_ids(&mut waiting(), &long[..36], 10), Ok(()));
}

#[test]
fn refuses_a_transaction_longer_than_may_be_announced() {
    let answer = |bytes: usize| {
        let mut responder = waiting();
        reply_ids(&mut responder, &[1], 10).unwrap();
        responder.take_ask();
        responder.on_wanted(&[true]);
        responder.fill(Duration::ZERO, &mut Vec::new());
        let tx = vec![0; bytes];
        responder.on_message(&Message::ReplyTxs { txs: List::new(&[Raw(&tx)]) })
    };
    assert_eq!(answer(70_000), Err(Violation::TxTooLong { bytes: 70_000 }.into()));
    assert_eq!(answer(65_536), Ok(()));
}

proptest! {
    #[test]
    fn the_responder_takes_what_it_wants_of_all_that_is_offered(
        batches in prop::collection::vec(0u8..30, 1..8),
        modulus in 1u8..5,
    ) {
        let (mut initiator, mut responder) = (Initiator::new(), Responder::default());
        initiator.start();
        let wants = |id: &[u8]| id[1].is_multiple_of(modulus);
        let (mut took, mut expected, mut next) = (Vec::new(), Vec::new(), 0u8);
        converse(&mut initiator, &mut responder, wants, &mut took);
        for batch in batches {
            for n in next..next + batch {
                prop_assert!(initiator.offer(offer(n)));
                expected.extend(Some(offer(n)).filter(|offer| wants(&offer.id)));
            }
            next += batch;
            converse(&mut initiator, &mut responder, wants, &mut took);
            prop_assert_eq!(initiator.state(), State::BlockingIds, "it waits for the next offer");
        }
        let took: Vec<_> = took.into_iter().map(|(id, tx)| Offered { id: id.unwrap(), tx }).collect();
        prop_assert_eq!(took, expected);
    }
}
