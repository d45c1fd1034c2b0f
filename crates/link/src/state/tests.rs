use std::time::Duration;

use super::*;
use crate::reason::Code;

fn at(ms: u64) -> Time {
    Time { mono: Duration::from_millis(ms), ..Time::default() }
}

/// One row per state, one column per event, in the order of their `ALL`; the state that follows, by its first two
/// letters, or a dot where the event cannot happen.
const TABLE: &str = "\
    opening        Cn At .. .. .. Er Cs .. ..
    connecting     .. At .. .. .. Er Cs .. ..
    authenticating .. .. Ad .. .. Er Cs .. ..
    authenticated  .. .. .. Co .. Er Cs .. ..
    connected      .. .. .. .. Op Er Cs .. ..
    open           .. .. .. .. .. Er Cs .. ..
    errored        .. .. .. .. .. .. .. Cs ..
    closing        .. .. .. .. .. .. .. .. Cd
    closed         .. .. .. .. .. .. .. .. ..";

fn short(state: Option<State>) -> &'static str {
    match state {
        None => "..",
        Some(State::Opening) => "On",
        Some(State::Connecting) => "Cn",
        Some(State::Authenticating) => "At",
        Some(State::Authenticated) => "Ad",
        Some(State::Connected) => "Co",
        Some(State::Open) => "Op",
        Some(State::Errored) => "Er",
        Some(State::Closing) => "Cs",
        Some(State::Closed) => "Cd",
    }
}

#[test]
fn every_state_and_event_is_as_in_the_table() {
    let rows: Vec<_> = TABLE.lines().collect();
    assert_eq!(rows.len(), State::ALL.len());
    for (state, row) in State::ALL.into_iter().zip(rows) {
        let mut expected = row.split_whitespace();
        assert_eq!(expected.next(), Some(state.name()));
        let found = Event::ALL.map(|event| short(state.after(event)));
        assert_eq!(expected.collect::<Vec<_>>(), found, "{state}");
    }
}

#[test]
fn no_transition_is_listed_twice() {
    let mut pairs: Vec<_> = TRANSITIONS.iter().map(|(from, event, _)| (*from, *event)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    assert_eq!(pairs.len(), TRANSITIONS.len());
}

#[test]
fn from_every_state_there_is_a_way_to_the_end_and_none_back() {
    for state in State::ALL {
        let mut now = state;
        for _ in 0..State::ALL.len() {
            let ends = [Event::Failed, Event::Flushing, Event::Done];
            now = ends.into_iter().find_map(|event| now.after(event)).unwrap_or(now);
        }
        assert_eq!(now, State::Closed, "from {state}");
        for event in Event::ALL {
            assert!(state.after(event).is_none_or(|next| next > state), "{state} goes back by {event:?}");
        }
    }
}

#[test]
fn the_documented_diagram_is_this_table() {
    let docs = include_str!("../../../../docs/link.md");
    let (_, rest) = docs.split_once("```mermaid\n").expect("a diagram in docs/link.md");
    let (drawn, _) = rest.split_once("```").expect("the end of the diagram in docs/link.md");
    assert_eq!(drawn, diagram(), "docs/link.md shows another table; put this in:\n{}", diagram());
}

#[test]
fn a_fault_passes_through_errored_and_keeps_the_first_reason() {
    let mut life = Lifecycle::new(at(0));
    life.advance(at(1), Event::BearerUp);
    assert!(life.end(at(2), Reason::HandshakeTimeout));
    assert!(!life.end(at(3), Reason::Dropped));
    assert_eq!((life.state(), life.since()), (State::Closing, at(2)));
    assert_eq!(life.reason(), Some(&Reason::HandshakeTimeout));
    assert_eq!(life.ended_in(), Some(State::Authenticating));
    life.advance(at(4), Event::Done);
    assert!(!life.end(at(5), Reason::Eof), "a closed link has ended");
    assert_eq!(life.reason(), Some(&Reason::HandshakeTimeout));
}

#[test]
#[should_panic(expected = "Agreed cannot happen while opening")]
fn what_cannot_happen_is_our_own_fault() {
    Lifecycle::new(at(0)).advance(at(1), Event::Agreed);
}

#[test]
fn decisions_are_no_faults() {
    assert!(Reason::HandshakeTimeout.is_fault());
    assert!(Reason::Eof.is_fault());
    assert!(!Reason::ByPeer(Code::Stopping).is_fault());
    assert!(!Reason::Dropped.is_fault());
}
