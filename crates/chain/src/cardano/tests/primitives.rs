//! KES and VRF against published vectors, and counters against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::counters::Counters;
use super::super::{kes, vrf};

/// From the appendix of draft-irtf-cfrg-vrf-03 (ECVRF-ED25519-SHA512-Elligator2): key, input, proof, output.
const VRF_VECTORS: [[&str; 4]; 3] = [
    [
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "b6b4699f87d56126c9117a7da55bd0085246f4c56dbc95d20172612e9d38e8d7ca65e573a126ed88d4e30a46f80a6668\
         54d675cf3ba81de0de043c3774f061560f55edc256a787afe701677c0f602900",
        "5b49b554d05c0cd5a5325376b3387de59d924fd1e13ded44648ab33c21349a603f25b84ec5ed887995b33da5e3bfcb87\
         cd2f64521c4c62cf825cffabbe5d31cc",
    ],
    [
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "ae5b66bdf04b4c010bfe32b2fc126ead2107b697634f6f7337b9bff8785ee111200095ece87dde4dbe87343f6df3b107\
         d91798c8a7eb1245d3bb9c5aafb093358c13e6ae1111a55717e895fd15f99f07",
        "94f4487e1b2fec954309ef1289ecb2e15043a2461ecc7b2ae7d4470607ef82eb1cfa97d84991fe4a7bfdfd715606bc27\
         e2967a6c557cfb5875879b671740b7d8",
    ],
    [
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "dfa2cba34b611cc8c833a6ea83b8eb1bb5e2ef2dd1b0c481bc42ff36ae7847f6ab52b976cfd5def172fa412defde270c\
         8b8bdfbaae1c7ece17d9833b1bcf31064fff78ef493f820055b561ece45e1009",
        "2031837f582cd17a9af9e0c7ef5a6540e3453ed894b62c293686ca3c1e319dde9d0aa489a4b59a9594fc2328bc3deff3\
         c8a0929a369a72b1180a596e016b5ded",
    ],
];

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn proves_the_outputs_of_the_draft() {
    for [key, input, proof, output] in VRF_VECTORS {
        let key = unhex::<32>(key);
        let input = hex::decode(input).unwrap();
        let proof = unhex::<80>(proof);
        assert_eq!(vrf::verify(&key, &input, &proof), Some(unhex::<64>(output)));
        for byte in 0..80 {
            let mut forged = proof;
            forged[byte] ^= 1;
            assert_eq!(vrf::verify(&key, &input, &forged), None, "byte {byte}");
        }
        assert_eq!(vrf::verify(&key, b"another input", &proof), None);
    }
}

#[test]
fn refuses_keys_and_points_without_meaning() {
    let [_, input, proof, _] = VRF_VECTORS[0];
    let input = hex::decode(input).unwrap();
    let proof = unhex::<80>(proof);
    let mut neutral = [0; 32];
    neutral[0] = 1;
    assert_eq!(vrf::verify(&neutral, &input, &proof), None, "a key of small order");
    // y = p + 1, the neutral point again, written in a way that libsodium refuses.
    let mut uncanonical = [0xff; 32];
    uncanonical[0] = 0xee;
    uncanonical[31] = 0x7f;
    assert_eq!(vrf::verify(&uncanonical, &input, &proof), None);
    let key = unhex::<32>(VRF_VECTORS[0][0]);
    let mut response_beyond_the_order = proof;
    response_beyond_the_order[48..].fill(0xff);
    assert_eq!(vrf::verify(&key, &input, &response_beyond_the_order), None);
}

#[test]
fn a_kes_signature_is_good_for_its_period_alone() {
    let key = super::super::forge::Kes::new(&[5; 32]);
    for period in [0, 1, 31, 32, 63] {
        let signature = key.sign(period, b"header");
        for other in 0..kes::PERIODS + 2 {
            assert_eq!(kes::verify(&key.public(), other, b"header", &signature), other == period);
        }
        assert!(!kes::verify(&key.public(), period, b"other header", &signature));
        for byte in (0..kes::SIGNATURE_LEN).step_by(7) {
            let mut forged = signature;
            forged[byte] ^= 1;
            assert!(!kes::verify(&key.public(), period, b"header", &forged), "byte {byte}");
        }
    }
}

proptest! {
    /// Forks keep their own counters, however long they are.
    #[test]
    fn counters_are_a_map_per_fork(seen in prop::collection::vec((0..20_u8, 0..5_u64, any::<prop::sample::Index>()), 1..300)) {
        let mut forks = vec![(Counters::default(), BTreeMap::new())];
        for (pool, counter, fork) in seen {
            let (counters, plain) = &forks[fork.index(forks.len())];
            let pool = [pool; 28];
            let mut plain = plain.clone();
            plain.insert(pool, counter);
            forks.push((counters.with(pool, counter), plain));
        }
        for (counters, plain) in &forks {
            prop_assert_eq!(&counters.to_map(), plain);
            for pool in 0..21 {
                prop_assert_eq!(counters.get(&[pool; 28]), plain.get(&[pool; 28]).copied());
            }
        }
    }
}
