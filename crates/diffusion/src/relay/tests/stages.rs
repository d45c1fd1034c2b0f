//! The transition table of an item: in each stage, each event.

use super::single::{Single, config, name};
use crate::relay::{Message, Stage, TRANSACTION, Verdict};

/// Where an item is, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Unknown,
    /// Offered, and nobody is asked: all who offered it owe something else.
    Wanted,
    Asked,
    At(Stage),
}
use Place::{Asked, At, Unknown, Wanted};
use Stage::{Expired, Ignored, Included, Judging, Late, Pooled, Rejected};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// A peer that can be asked offers it.
    Offer,
    /// Who was asked for it answers.
    Data,
    No,
    Submit,
    Include,
    Accept,
    Ignore,
    Reject,
    /// Two seconds: a lease, and the application's time.
    Wait,
    /// The peer that can be asked leaves.
    Leave,
}
use Event::{Accept, Data, Ignore, Include, Leave, No, Offer, Reject, Submit, Wait};

const N: u32 = 1;

fn place(single: &Single) -> Place {
    if let Some(stage) = single.stage(N) {
        return At(stage);
    }
    let status = single.state.status();
    match (status.wanted, status.asked) {
        (0, 0) => Unknown,
        (1, 0) => Wanted,
        (1, 1) => Asked,
        other => panic!("one item is offered: {other:?}"),
    }
}

/// A node with an item in this place. Peer 1 offers it where anybody does; peer 0 owes something and cannot be asked.
fn at(place: Place) -> Single {
    let mut single = Single::with_peers(config(), 2);
    single.offers(0, &[99]);
    single.include(&[99]);
    single.wait(config().lease);
    match place {
        Unknown => {}
        Wanted => {
            // It is asked, withdraws, and only peer 0 is left.
            single.offers(0, &[N]);
        }
        Asked => single.offers(1, &[N]),
        At(Judging) => {
            single.offers(1, &[N]);
            single.data(1, N);
        }
        At(Late) => {
            single = at(At(Judging));
            single.wait(config().judge_timeout);
        }
        At(Pooled) => single.bring(1, N),
        At(Included) => single.include(&[N]),
        At(Rejected) => {
            single = at(At(Judging));
            single.judged(N, Verdict::Reject);
        }
        At(Ignored) => {
            single = at(At(Judging));
            single.judged(N, Verdict::Ignore);
        }
        At(Expired) => {
            single = at(At(Pooled));
            single.wait(config().kinds[&TRANSACTION].lifetime);
        }
    }
    single
}

fn after(from: Place, event: Event) -> Place {
    let mut single = at(from);
    assert_eq!(place(&single), from, "the node is where it should be");
    match event {
        Offer => single.offers(1, &[N]),
        Data => single.data(1, N),
        No => single.hear(1, Message::No(vec![name(N)])),
        Submit => single.submit(N),
        Include => single.include(&[N]),
        Accept => single.judged(N, Verdict::Accept),
        Ignore => single.judged(N, Verdict::Ignore),
        Reject => single.judged(N, Verdict::Reject),
        Wait => single.wait(config().lease),
        Leave => single.give(crate::relay::Input::Left { peer: 1 }),
    }
    place(&single)
}

#[test]
fn each_stage_takes_each_event() {
    let events = [Offer, Data, No, Submit, Include, Accept, Ignore, Reject, Wait, Leave];
    let (judging, included, rejected) = (At(Judging), At(Included), At(Rejected));
    #[rustfmt::skip]
    let table = [
        //                Offer         Data          No            Submit        Include   Accept        Ignore        Reject        Wait          Leave
        (Unknown,       [ Asked,        Unknown,      Unknown,      judging,      included, Unknown,      Unknown,      Unknown,      Unknown,      Unknown ]),
        (Wanted,        [ Asked,        Wanted,       Wanted,       judging,      included, Wanted,       Wanted,       Wanted,       Wanted,       Wanted ]),
        (Asked,         [ Asked,        judging,      Unknown,      judging,      included, Asked,        Asked,        Asked,        Wanted,       Unknown ]),
        (judging,       [ judging,      judging,      judging,      judging,      included, At(Pooled),   At(Ignored),  rejected,     At(Late),     judging ]),
        (At(Late),      [ At(Late),     At(Late),     At(Late),     At(Late),     included, At(Pooled),   At(Ignored),  rejected,     At(Late),     At(Late) ]),
        (At(Pooled),    [ At(Pooled),   At(Pooled),   At(Pooled),   At(Pooled),   included, At(Pooled),   At(Pooled),   rejected,     At(Pooled),   At(Pooled) ]),
        (included,      [ included,     included,     included,     included,     included, included,     included,     included,     included,     included ]),
        (rejected,      [ rejected,     rejected,     rejected,     judging,      included, rejected,     rejected,     rejected,     rejected,     rejected ]),
        (At(Ignored),   [ At(Ignored),  At(Ignored),  At(Ignored),  judging,      included, At(Ignored),  At(Ignored),  At(Ignored),  At(Ignored),  At(Ignored) ]),
        (At(Expired),   [ At(Expired),  At(Expired),  At(Expired),  judging,      included, At(Expired),  At(Expired),  At(Expired),  At(Expired),  At(Expired) ]),
    ];
    for (from, to) in table {
        for (event, to) in events.into_iter().zip(to) {
            assert_eq!(after(from, event), to, "{from:?} on {event:?}");
        }
    }
}
