//! Parameters, nonces and the order of heads.

use std::cmp::Ordering;
use std::time::Duration;

use pallas_crypto::hash::Hasher;

use super::super::forge::Plan;
use super::super::header::{self, Parts};
use super::super::{Era, Nonce, Nonces, Params, ParamsError};
use super::{forge, states};
use crate::format::Detail;
use crate::{Hash, Header, Slot, State};

fn nonces(state: &State) -> Nonces {
    let Detail::Cardano(detail) = &state.detail else { panic!("not Cardano's") };
    *detail.nonces().unwrap()
}

fn combined(left: Nonce, right: Nonce) -> Nonce {
    Some(Hash(*Hasher::<256>::hash(&[left.unwrap().0, right.unwrap().0].concat())))
}

#[test]
fn built_in_networks_know_their_epochs_and_times() {
    let mainnet = Params::built_in("mainnet").unwrap();
    let preprod = Params::built_in("preprod").unwrap();
    let preview = Params::built_in("preview").unwrap();
    for params in [&mainnet, &preprod, &preview] {
        params.validate().unwrap();
        assert_eq!(Params::from_toml(&params.to_toml()).as_ref(), Ok(params));
    }
    assert_eq!(Params::built_in("nonesuch"), None);
    assert_eq!(mainnet.epoch(Slot(4_492_799)), 207);
    assert_eq!(mainnet.epoch(Slot(4_492_800)), 208);
    assert_eq!(mainnet.next_epoch_start(Slot(4_492_799)), Slot(4_492_800));
    assert_eq!(mainnet.next_epoch_start(Slot(4_492_800)), Slot(4_924_800));
    assert_eq!(mainnet.slot_start(Slot(4_492_800)), Duration::from_secs(1_596_059_091));
    assert_eq!(preprod.slot_start(Slot(86_400)), Duration::from_secs(1_655_769_600));
    assert_eq!(preprod.epoch(Slot(86_400)), 4);
    assert_eq!(preview.stability_window(), 25_920);
    assert_eq!(preview.randomness_window(), 34_560);
    for params in [&mainnet, &preprod, &preview] {
        for slot in [0, 1, 86_399, 86_400, 4_492_799, 4_492_800, 150_000_000].map(Slot) {
            assert_eq!(params.slot_at(params.slot_start(slot)), slot);
        }
        assert_eq!(params.slot_at(Duration::ZERO), Slot(0));
        assert!(params.slot_start(Slot(u64::MAX)) > params.slot_start(Slot(1 << 40)));
        assert_eq!(params.next_epoch_start(Slot(u64::MAX)), Slot(u64::MAX));
    }
}

#[test]
fn refuses_network_files_that_make_no_network() {
    let good = Params::built_in("preprod").unwrap();
    let zero = Params { epoch_length: 0, ..good.clone() };
    assert_eq!(Params::from_toml(&zero.to_toml()), Err(ParamsError::Zero { field: "epoch_length" }));
    let large = Params { security: u64::from(u32::MAX) + 1, ..good.clone() };
    assert_eq!(large.validate(), Err(ParamsError::TooLarge { field: "security" }));
    let crowded = Params { active_slots_numerator: 21, ..good.clone() };
    assert_eq!(crowded.validate(), Err(ParamsError::ActiveSlots));
    let mut disordered = good.clone();
    disordered.eras.swap(0, 1);
    assert_eq!(disordered.validate(), Err(ParamsError::Eras));
    let mut ragged = good.clone();
    ragged.byron.as_mut().unwrap().end_slot += 1;
    assert_eq!(ragged.validate(), Err(ParamsError::ByronEnd { epoch_length: 21_600 }));
    let unknown = format!("colour = \"blue\"\n{}", good.to_toml());
    assert!(
        matches!(Params::from_toml(&unknown), Err(ParamsError::Toml { text }) if text.contains("colour"))
    );
}

/// The rules of the nonces, written down a second time from the specification, over three epochs of each
/// kind: the window is 30 slots of 200 before Conway, 40 from then on.
#[test]
fn nonces_evolve_by_the_rules() {
    for (era, window) in [(Era::Alonzo, 30), (Era::Babbage, 30), (Era::Conway, 40)] {
        let forge = forge();
        let format = forge.format();
        let slots = [5, 159, 160, 169, 170, 199, 200, 365, 375, 402, 650];
        let blocks = forge.chain(&format.genesis(), era, slots);
        let first = Some(Hash([7; 32]));
        let (mut evolving, mut candidate, mut epoch) = (first, first, first);
        let (mut previous, mut previous_of_epoch, mut last) = (None, None, 0);
        for (block, state) in blocks.iter().zip(&states(format, &blocks)[1..]) {
            let slot = block.header.slot.0;
            if slot / 200 > last / 200 {
                epoch = previous_of_epoch.map_or(candidate, |_| combined(candidate, previous_of_epoch));
                previous_of_epoch = previous;
            }
            let (_, bytes) = header::unwrap(&block.header.wire).unwrap();
            let added = match Parts::decode(era, bytes).unwrap().vrf {
                header::Vrf::Two { nonce, .. } => *Hasher::<256>::hash(nonce.output),
                header::Vrf::One(proof) => {
                    *Hasher::<256>::hash(&*Hasher::<256>::hash(&[&b"N"[..], proof.output].concat()))
                }
            };
            evolving = combined(evolving, Some(Hash(added)));
            if slot % 200 + window < 200 {
                candidate = evolving;
            }
            (previous, last) = (block.header.prev, slot);
            let expected = Nonces { epoch, evolving, candidate, previous, previous_of_epoch };
            assert_eq!(nonces(state), expected, "{era:?}, slot {slot}");
        }
    }
}

#[test]
fn entropy_from_outside_enters_its_epoch_alone() {
    use super::super::ExtraEntropy;
    use super::super::forge::{Forge, small_network};
    let entropy = ExtraEntropy { epoch: 1, nonce: Hash([3; 32]) };
    let params = Params { byron: None, extra_entropy: vec![entropy], ..small_network() };
    let with = Forge::new(params, [1; 32], 3);
    let without = forge();
    let blocks = without.chain(&without.format().genesis(), Era::Alonzo, [5, 100, 205]);
    let (with, without) = (states(with.format(), &blocks), states(without.format(), &blocks));
    assert_eq!(with[2], without[2]);
    assert_eq!(nonces(&with[3]).epoch, combined(nonces(&without[3]).epoch, Some(Hash([3; 32]))));
}

/// Mainnet's epoch 259, whose nonce is public: the one time that entropy came from outside.
#[test]
fn reaches_the_nonce_of_mainnets_epoch_259() {
    let nonce = |text: &str| Some(text.parse::<Hash>().unwrap());
    let mainnet = Params::built_in("mainnet").unwrap();
    let end_of_258 = Nonces {
        epoch: None,
        evolving: None,
        candidate: nonce("d1340a9c1491f0face38d41fd5c82953d0eb48320d65e952414a0c5ebaf87587"),
        previous: nonce("00000000000000000000000000000000000000000000000000000000000000ff"),
        previous_of_epoch: nonce("ee91d679b0a6ce3015b894c575c799e971efac35c7a8cbdc2b3f579005e69abd"),
    };
    let start = Slot(4_492_800 + 51 * 432_000);
    assert_eq!((mainnet.epoch(start), mainnet.allows(Era::Mary, start)), (259, true));
    let entered = end_of_258.enter_epoch(&mainnet, Era::Mary, start);
    let expected = nonce("0022cfa563a5328c4fb5c8017121329e964c26ade5d167b1bd9b2ec967772b60");
    assert_eq!((entered.epoch, entered.previous_of_epoch), (expected, end_of_258.previous));
}

/// Two heads of the same height in these slots by these makers.
fn heads(era: Era, slots: [u64; 2], makers: [usize; 2]) -> [Header; 2] {
    let forge = forge();
    let genesis = forge.format().genesis();
    [0, 1].map(|at| {
        let plan = Plan { era, slot: Slot(slots[at]), maker: makers[at], transactions: &[] };
        forge.block(&genesis, &plan).header
    })
}

fn lottery(header: &Header, era: Era) -> [u8; 64] {
    let (_, bytes) = header::unwrap(&header.wire).unwrap();
    *Parts::decode(era, bytes).unwrap().vrf.leader_output()
}

#[test]
fn the_longer_chain_wins_then_the_lower_lottery() {
    let forge = forge();
    let format = forge.format();
    let chain = forge.chain(&format.genesis(), Era::Conway, [1, 2]);
    assert_eq!(format.prefer(&chain[1].header, &chain[0].header), Ordering::Greater);
    assert_eq!(format.prefer(&chain[0].header, &chain[1].header), Ordering::Less);
    assert_eq!(format.prefer(&chain[0].header, &chain[0].header), Ordering::Equal);
    for (era, slots) in [(Era::Alonzo, [1, 90]), (Era::Babbage, [1, 90]), (Era::Conway, [1, 6])] {
        let [a, b] = heads(era, slots, [0, 1]);
        let expected = lottery(&b, era).cmp(&lottery(&a, era));
        assert_eq!(format.prefer(&a, &b), expected, "{era:?}");
        assert_eq!(format.prefer(&b, &a), expected.reverse());
        assert_ne!(expected, Ordering::Equal);
    }
}

#[test]
fn from_conway_on_distant_slots_hold_no_lottery() {
    let [a, b] = heads(Era::Conway, [1, 7], [0, 1]);
    assert_eq!(forge().format().prefer(&a, &b), Ordering::Equal);
}

#[test]
fn of_one_makers_two_the_newer_certificate_wins() {
    let forge = forge();
    let genesis = forge.format().genesis();
    let renewed = super::super::forge::Forge::new(
        Params { byron: None, max_kes_evolutions: 31, ..super::super::forge::small_network() },
        [1; 32],
        3,
    );
    let plan = Plan { era: Era::Conway, slot: Slot(400), maker: 0, transactions: &[] };
    let (old, new) = (forge.block(&genesis, &plan).header, renewed.block(&genesis, &plan).header);
    assert_eq!(lottery(&old, Era::Conway), lottery(&new, Era::Conway));
    assert_eq!(forge.format().prefer(&new, &old), Ordering::Greater);
    assert_eq!(forge.format().prefer(&old, &new), Ordering::Less);
}
