//! What is refused, and by which reason.

use std::sync::Arc;

use super::super::forge::{Forge, Plan};
use super::super::{Era, EraStart, Params, Reason, header};
use super::{all_eras, byron_forge, find, forge, states, with_byte};
use crate::{Counts, Format, Hash, Header, Height, Position, Slot, Tip, format};

fn cardano(reason: Reason) -> format::Reason {
    format::Reason::Cardano(reason)
}

fn params(format: &Format) -> Params {
    match format {
        Format::Cardano(params) => (**params).clone(),
        Format::Native(_) => panic!("not a Cardano network"),
    }
}

#[test]
fn takes_a_made_chain_through_all_eras() {
    let forge = byron_forge();
    let format = forge.format();
    let blocks = all_eras(&forge);
    let mut state = format.genesis();
    let mut counts = Counts::default();
    for block in &blocks {
        assert_eq!(format.header(&block.header.wire).unwrap(), block.header);
        format.check_body(block).unwrap();
        counts += format.checks(&state, &block.header).run().unwrap();
        state = format.next(&state, &block.header).unwrap();
    }
    let expected =
        Counts { kes: 60, certificates: 66, vrf: 100, signatures: 6, boundaries: 2, nonces_unknown: 0 };
    assert_eq!(counts, expected);
    assert_eq!(state.next, Position(68));
    assert_eq!(state.tip.height, Height(66));
}

#[test]
fn says_where_the_nonce_is_unknown() {
    let forge = forge();
    let format = forge.format();
    let blocks = forge.chain(&format.genesis(), Era::Babbage, [1, 2, 3]);
    let midway = format.midway(blocks[1].header.tip(), Position(2));
    let counts = format.checks(&midway, &blocks[2].header).run().unwrap();
    assert_eq!(counts, Counts { kes: 1, certificates: 1, nonces_unknown: 1, ..Counts::default() });
    let after = format.next(&midway, &blocks[2].header).unwrap();
    let later = forge.format().checks(&after, &blocks[2].header).run().unwrap();
    assert_eq!(later.nonces_unknown, 1);
}

#[test]
fn refuses_a_header_after_another_parent() {
    let forge = forge();
    let format = forge.format();
    let blocks = forge.chain(&format.genesis(), Era::Conway, [1, 2, 3]);
    let states = states(format, &blocks);
    let expected = Some(blocks[0].header.id);
    let found = Some(blocks[1].header.id);
    let refused = format.next(&states[1], &blocks[2].header).unwrap_err();
    assert_eq!(refused, format::Reason::Previous { expected, found });
}

#[test]
fn refuses_slots_and_heights_out_of_order() {
    let forge = forge();
    let format = forge.format();
    let blocks = forge.chain(&format.genesis(), Era::Conway, [10, 20]);
    let states = states(format, &blocks);
    let moved = |change: &dyn Fn(&mut Header)| {
        let mut header = blocks[1].header.clone();
        change(&mut header);
        format.next(&states[1], &header).unwrap_err()
    };
    for slot in [0, 10] {
        let refused = moved(&|header| header.slot = Slot(slot));
        assert_eq!(refused, format::Reason::Slot { parent: Slot(10), found: Slot(slot) });
    }
    for height in [0, 2, u64::MAX] {
        let refused = moved(&|header| header.height = Height(height));
        assert_eq!(refused, format::Reason::Height { expected: Height(1), found: Height(height) });
    }
    let mut first = blocks[0].header.clone();
    first.height = Height(1);
    let refused = format.next(&format.genesis(), &first).unwrap_err();
    assert_eq!(refused, format::Reason::Height { expected: Height(0), found: Height(1) });
}

#[test]
fn a_parent_at_the_last_height_has_no_child() {
    let forge = forge();
    let format = forge.format();
    let block = &forge.chain(&format.genesis(), Era::Conway, [10])[0];
    let last = Tip { height: Height(u64::MAX), ..block.header.tip() };
    let child = Header { prev: Some(block.header.id), slot: Slot(11), ..block.header.clone() };
    let refused = format.next(&format.midway(last, Position(1)), &child).unwrap_err();
    assert!(matches!(refused, format::Reason::Height { .. }));
}

#[test]
fn refuses_an_earlier_era_and_one_that_begins_inside_an_epoch() {
    let forge = forge();
    let format = forge.format();
    let blocks = forge.chain(&format.genesis(), Era::Babbage, [10]);
    let state = &states(format, &blocks)[1];
    let plan = |era, slot| Plan { era, slot: Slot(slot), maker: 0, transactions: &[] };
    let earlier = forge.block(state, &plan(Era::Alonzo, 210));
    let refused = format.next(state, &earlier.header).unwrap_err();
    assert_eq!(refused, cardano(Reason::EraOrder { parent: Era::Babbage, found: Era::Alonzo }));
    let inside = forge.block(state, &plan(Era::Conway, 199));
    let refused = format.next(state, &inside.header).unwrap_err();
    assert_eq!(refused, cardano(Reason::EraInsideEpoch { found: Era::Conway, slot: Slot(199) }));
    let at_the_start = forge.block(state, &plan(Era::Conway, 200));
    assert!(format.next(state, &at_the_start.header).is_ok());
}

#[test]
fn refuses_a_header_that_announces_a_body_of_any_size() {
    let forge = forge();
    let format = forge.format();
    let genesis = format.genesis();
    let announced = |bytes: usize| {
        let transaction = vec![0; bytes];
        let plan =
            Plan { era: Era::Babbage, slot: Slot(10), maker: 0, transactions: &[transaction.as_slice()] };
        format.next(&genesis, &forge.block(&genesis, &plan).header).map(drop)
    };
    assert_eq!(announced(90_112), Ok(()));
    let refused = announced(200_000).unwrap_err();
    assert!(matches!(refused, format::Reason::Cardano(Reason::BodyTooLarge { stated: 200_000.. })));
}

#[test]
fn refuses_an_era_in_slots_that_are_not_its_own() {
    let forge = byron_forge();
    let format = forge.format();
    let genesis = format.genesis();
    let plan = Plan { era: Era::Shelley, slot: Slot(99), maker: 0, transactions: &[] };
    let refused = format.next(&genesis, &forge.block(&genesis, &plan).header).unwrap_err();
    assert_eq!(refused, cardano(Reason::EraSlot { found: Era::Shelley, slot: Slot(99) }));
}

#[test]
fn refuses_headers_and_bodies_of_an_era_that_is_not_the_slots() {
    let forge = forge();
    let genesis = forge.format().genesis();
    let block = forge.chain(&genesis, Era::Babbage, [250]).remove(0);
    let starts = [(Era::Alonzo, 0), (Era::Babbage, 1), (Era::Conway, 3)];
    let eras = starts.map(|(era, epoch)| EraStart { era, epoch }).to_vec();
    let params = Params { eras, ..params(forge.format()) };
    let allowed = |era, slot| params.allows(era, Slot(slot));
    assert!(allowed(Era::Alonzo, 199) && !allowed(Era::Babbage, 199));
    assert!(allowed(Era::Babbage, 200) && allowed(Era::Babbage, 599) && !allowed(Era::Conway, 599));
    assert!(allowed(Era::Conway, 600) && !allowed(Era::Babbage, 600) && !allowed(Era::Byron, 600));
    let format = Format::Cardano(Arc::new(params));
    assert!(format.next(&genesis, &block.header).is_ok());
    assert!(format.check_body(&block).is_ok());
    // Conway's headers and bodies have Babbage's shape: only the number in front differs.
    let mut raw = block.raw.to_vec();
    raw[1] = 7;
    let disguised = format.block(&raw.into()).unwrap();
    assert_eq!(disguised.header.id, block.header.id);
    let reason = cardano(Reason::EraSlot { found: Era::Conway, slot: Slot(250) });
    assert_eq!(format.next(&genesis, &disguised.header), Err(reason.clone()));
    assert_eq!(format.check_body(&disguised), Err(reason));
}

#[test]
fn passes_on_the_canonical_envelope_alone() {
    let forge = forge();
    let format = forge.format();
    let header = forge.chain(&format.genesis(), Era::Conway, [5]).remove(0).header;
    let long_era = [&[0x82, 0x18, 0x06], &header.wire[2..]].concat();
    assert_eq!(format.header(&long_era.into()).unwrap(), header);
    let byron = byron_forge();
    let first = byron.chain(&byron.format().genesis(), Era::Byron, [5]).remove(0).header;
    let open = [&[0x9f], &first.wire[1..], &[0xff]].concat();
    assert_eq!(byron.format().header(&open.into()).unwrap(), first);
    let open = [&[0x9f], &header.wire[1..], &[0xff]].concat();
    assert_eq!(format.header(&open.into()).unwrap(), header);
}

#[test]
fn a_boundary_block_shares_height_and_slot() {
    let forge = byron_forge();
    let format = forge.format();
    let blocks = all_eras(&forge);
    let boundary = &blocks[4].header;
    assert!(boundary.boundary);
    assert_eq!(boundary.height, blocks[3].header.height);
    assert_eq!(boundary.slot, blocks[5].header.slot);
    assert_eq!(blocks[0].header.prev, None);
    let state = states(format, &blocks)[5].clone();
    let twice = Header { prev: state.tip.point.hash(), ..boundary.clone() };
    assert!(matches!(format.next(&state, &twice), Err(format::Reason::Slot { .. })));
    let late = Header { slot: Slot(61), ..boundary.clone() };
    let refused = format.next(&states(format, &blocks)[4], &late).unwrap_err();
    assert_eq!(refused, cardano(Reason::Boundary { slot: Slot(61) }));
}

/// Every part of a header that is signed or proven, changed in one bit, must be noticed.
#[test]
fn refuses_every_forged_part() {
    let forge = forge();
    let format = forge.format();
    for era in [Era::Alonzo, Era::Conway] {
        let header = forge.chain(&format.genesis(), era, [5]).remove(0).header;
        let (_, bytes) = header::unwrap(&header.wire).unwrap();
        let parts = header::Parts::decode(era, bytes).unwrap();
        let key = parts.issuer.to_vec();
        let cases: [(&[u8], Reason); 6] = [
            (&key, Reason::CertificateSignature),
            (parts.certificate.signature, Reason::CertificateSignature),
            (parts.certificate.hot_key, Reason::CertificateSignature),
            (&parts.signature[..], Reason::KesSignature),
            (&parts.signature[384..], Reason::KesSignature),
            (&parts.block_hash.0, Reason::KesSignature),
        ];
        for (part, reason) in cases {
            let forged = with_byte(format, &header, find(&header, part), 1).unwrap();
            let refused = format.checks(&format.genesis(), &forged).run().unwrap_err();
            assert_eq!(refused, cardano(reason), "{era:?}");
        }
    }
}

/// The hot key signs whatever it is given: so proofs are forged by a pool that signs them rightly, here by a
/// chain on another nonce.
#[test]
fn refuses_a_proof_for_another_nonce() {
    let forge = forge();
    let ours = forge.format();
    let other = Params { shelley_genesis: Hash([9; 32]), ..params(ours) };
    let other = Format::Cardano(Arc::new(other));
    for era in [Era::Shelley, Era::Babbage] {
        let header = forge.chain(&ours.genesis(), era, [5]).remove(0).header;
        assert!(ours.checks(&ours.genesis(), &header).run().is_ok());
        let refused = other.checks(&other.genesis(), &header).run().unwrap_err();
        assert_eq!(refused, cardano(Reason::VrfProof));
    }
}

#[test]
fn refuses_certificates_out_of_their_time() {
    let forge = forge();
    let format = forge.format();
    // Slot 619 lies in period 61, the last of the first certificate; slot 620 needs the second.
    let blocks = forge.chain(&format.genesis(), Era::Conway, [619, 620]);
    let judged = |params: Params, header: &Header| {
        let format = Format::Cardano(Arc::new(params));
        format.checks(&format.genesis(), header).run().unwrap_err()
    };
    let short = Params { max_kes_evolutions: 61, ..params(format) };
    let refused = judged(short, &blocks[0].header);
    assert_eq!(refused, cardano(Reason::CertificateExpired { start: 0, period: 61 }));
    let slow = Params { slots_per_kes_period: 11, ..params(format) };
    let refused = judged(slow, &blocks[1].header);
    assert_eq!(refused, cardano(Reason::CertificateNotYet { start: 62, period: 56 }));
}

#[test]
fn counters_neither_fall_nor_leap() {
    let forge = forge();
    let format = forge.format();
    let genesis = format.genesis();
    // The maker renews every 620 slots: counters 0, 1, 2.
    let plan = |era, slot| Plan { era, slot: Slot(slot), maker: 0, transactions: &[] };
    for (era, leaps) in [(Era::Alonzo, true), (Era::Babbage, false)] {
        let leap = forge.block(&genesis, &plan(era, 1_300));
        let judged = format.next(&genesis, &leap.header);
        assert_eq!(judged.is_ok(), leaps, "{era:?}");
        if let Err(refused) = judged {
            assert_eq!(refused, cardano(Reason::CounterTooLarge { seen: 0, found: 2 }));
        }
        let one = format.next(&genesis, &forge.block(&genesis, &plan(era, 700)).header).unwrap();
        let two = format.next(&one, &forge.block(&one, &plan(era, 1_300)).header).unwrap();
        // The same pool with a certificate that lasts longer: still its first.
        let lasting = Params { slots_per_kes_period: 22, ..params(format) };
        let early = Forge::new(lasting, [1; 32], 3).block(&two, &plan(era, 1_320));
        let refused = format.next(&two, &early.header).unwrap_err();
        assert_eq!(refused, cardano(Reason::CounterTooSmall { seen: 2, found: 0 }));
    }
}

#[test]
fn refuses_bodies_that_are_not_their_headers() {
    let forge = byron_forge();
    let format = forge.format();
    let genesis = format.genesis();
    for era in [Era::Byron, Era::Shelley, Era::Alonzo, Era::Conway] {
        let slot = if era == Era::Byron { Slot(5) } else { Slot(105) };
        let made = |content: &[u8]| {
            forge
                .block(&genesis, &Plan { era, slot, maker: 0, transactions: &[content, b"second", b"third"] })
        };
        let (ours, other) = (made(b"one"), made(b"two"));
        format.check_body(&ours).unwrap();
        let at = ours.raw.windows(3).position(|window| window == b"one").unwrap();
        let mut swapped = ours.raw.to_vec();
        swapped[at..at + 3].copy_from_slice(b"two");
        let swapped = format.block(&swapped.into()).unwrap();
        assert_eq!(swapped.header.id, ours.header.id);
        assert_ne!(swapped.header.id, other.header.id);
        let refused = format.check_body(&swapped).unwrap_err();
        assert!(matches!(refused, format::Reason::Cardano(Reason::BodyHash { .. })), "{era:?}: {refused}");
        let mut longer = ours.raw.to_vec();
        longer.push(0x80);
        let refused = format.check_body(&format.block(&longer.into()).unwrap()).unwrap_err();
        assert!(matches!(refused, format::Reason::Cardano(Reason::Decode(_))), "{era:?}: {refused}");
    }
}

#[test]
fn refuses_forged_byron_headers() {
    let forge = byron_forge();
    let format = forge.format();
    let genesis = format.genesis();
    let header = forge.chain(&genesis, Era::Byron, [5]).remove(0).header;
    let run = |format: &Format, header: &Header| format.checks(&format.genesis(), header).run().unwrap_err();
    let length = header.wire.len();
    let forged = with_byte(format, &header, length - 12, 1).unwrap();
    assert_eq!(run(format, &forged), cardano(Reason::BlockSignature));
    // Extra data, the header's signature (64 bytes and a head of 2), then the delegation's.
    let forged = with_byte(format, &header, length - 10 - 66 - 1, 1).unwrap();
    assert_eq!(run(format, &forged), cardano(Reason::DelegationSignature));
    let stranger = Forge::new(params(format), [2; 32], 3);
    assert_eq!(run(stranger.format(), &header), cardano(Reason::UnknownIssuer));
    let elsewhere = Format::Cardano(Arc::new(Params { magic: 43, ..params(format) }));
    assert_eq!(run(&elsewhere, &header), cardano(Reason::Magic { expected: 43, found: 42 }));
}
