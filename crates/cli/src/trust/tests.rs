//! A chain of one validator that hands over to another, and a node that shows it or lies.

use std::num::NonZeroU64;

use anabranch::chain::native::ballot::{self, Vote};
use anabranch::chain::native::{Builder, Key, State, Validator};
use anabranch::chain::{Slot, Tip};

use super::*;

fn key(n: u8) -> Key {
    Key::from_seed(&[n; 32])
}

fn set(n: u8) -> Validators {
    Validators::new([Validator { key: key(n).public(), weight: NonZeroU64::MIN }]).expect("a set")
}

fn params() -> Params {
    Params::solo("kv", 7, 0, key(1).public())
}

/// Six headers: the second announces that `to` is in force from the fifth on.
fn chain(to: u8) -> Vec<Header> {
    let params = params();
    let (mut tip, mut state) = (Tip::default(), State::genesis(&params));
    let mut headers = Vec::new();
    for height in 0..6 {
        let builder = Builder::start(&params, &tip, &state, Slot(height + 1));
        let change = Change { height: Height(4), validators: set(to) };
        let builder = if height == 1 { builder.change(change) } else { builder };
        let header = builder.finish(&key(if height < 4 { 1 } else { to })).header;
        state = state.next(&params, &header).expect("it fits");
        tip = header.tip();
        headers.push(header);
    }
    headers
}

fn certificate(header: &Header, by: u8) -> Certificate {
    let vote =
        Vote { kind: ballot::Kind::Precommit, height: header.height, round: 0, block: Some(header.id) };
    let signature = key(by).sign(&vote.signed_bytes(&params().chain()));
    Certificate::new(header.height, 0, header.id, &set(by), [(&key(by).public(), signature)])
}

/// What a node shows of the change: these headers, the last one certified by somebody.
fn shown(headers: &[Header], by: u8) -> CertifiedChanges {
    let certificate = certificate(headers.last().expect("some"), by);
    let change = CertifiedChange {
        headers: headers.iter().map(|header| hex::encode(&header.wire)).collect(),
        certificate: hex::encode(certificate.encode()),
    };
    CertifiedChanges { changes: vec![change], next: 6, more: false }
}

fn trust() -> Trust {
    Trust::genesis(&params()).expect("sound")
}

fn refused(page: &CertifiedChanges) -> Reason {
    let mut trust = trust();
    let refused = trust.follow(page).expect_err("it is not shown");
    assert!(!trust.knows(&read_fields(&chain(2)[5]).expect("a header")), "and nothing was believed");
    refused
}

#[test]
fn certified_changes_lead_from_the_genesis_to_the_validators_in_force() {
    let headers = chain(2);
    let newest = read_fields(&headers[5]).expect("a header");
    for last in [1, 2, 3] {
        let mut trust = trust();
        assert!(!trust.knows(&newest), "nothing was shown");
        trust.follow(&shown(&headers[1..=last], 1)).expect("it is shown");
        assert!(trust.knows(&newest) && trust.knows(&read_fields(&headers[3]).expect("a header")));
        assert_eq!(trust.verify(&certificate(&headers[5], 2)), Ok(()));
        assert!(trust.verify(&certificate(&headers[5], 1)).is_err(), "it has handed over");
        assert_eq!(trust.next(), 6);
    }
}

#[test]
fn a_change_that_nobody_certified_is_not_believed() {
    let headers = chain(2);
    // The new validator certifies itself.
    assert!(matches!(refused(&shown(&headers[1..3], 2)), Reason::Certificate(_)));
    assert_eq!(refused(&shown(&headers[1..5], 2)), Reason::Strangers);
    // A change to somebody else in place of the certified one.
    let others = chain(3);
    let mut page = shown(&headers[1..3], 1);
    page.changes[0].headers[0] = hex::encode(&others[1].wire);
    assert_eq!(refused(&page), Reason::Unlinked);
    page.changes[0].headers[1] = hex::encode(&others[2].wire);
    assert_eq!(refused(&page), Reason::Unlinked, "the certificate is another header's");
}

#[test]
fn what_shows_nothing_is_refused() {
    let headers = chain(2);
    assert_eq!(refused(&shown(&headers[2..4], 1)), Reason::NoChange);
    let mut page = shown(&headers[1..3], 1);
    page.changes[0].headers[0].truncate(40);
    assert_eq!(refused(&page), Reason::Unreadable);
    let endless = CertifiedChanges { changes: Vec::new(), next: 0, more: true };
    assert_eq!(refused(&endless), Reason::OutOfTurn);
    let mut trust = trust();
    trust.follow(&shown(&headers[1..3], 1)).expect("it is shown");
    assert_eq!(trust.follow(&shown(&headers[1..3], 1)), Err(Reason::OutOfTurn), "once is enough");
}
