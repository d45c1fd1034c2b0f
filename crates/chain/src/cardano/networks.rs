//! The networks that are built in. Numbers and hashes are those of the published genesis files.

use super::era::Era;
use super::params::{Byron, EraStart, ExtraEntropy, Params};
use crate::Hash;

/// The federation of mainnet's Byron years.
const MAINNET_ISSUERS: [&str; 7] = [
    "50733161fdafb6c8cb6fae0e25bdf9555105b3678efb08f1775b9e90de4f5c77\
     bcc8cefff8d9011cb278b28fddc86d9bab099656d77a7856c7619108cbf65752",
    "0bdb1f5ef3d994037593f2266255f134a564658bb2df814b3b9cefb96da34fa9\
     c888591c85b770fd36726d5f3d991c668828affc7bbe0872fd699136e664d9d8",
    "9a6fa343c8c6c36de1a3556feb411bfdf8708d5af88de8626d0fc6bfa4eebb6d\
     99ab83d90d66531ad9122d3f9cb4bc9d05b26448672532a68da796f9328431fd",
    "26566e86fc6b9b177c8480e275b2b112b573f6d073f9deea53b8d99c4ed976b3\
     35b2b3842f0e380001f090bc923caa9691ed9115e286da9421e2745c7acc87f1",
    "d2965c869901231798c5d02d39fca2a79aa47c3e854921b5855c82fd14708915\
     17e1fa771655ec8cad13ecf6e5719adc5392fc057e1703d5f583311e837462f1",
    "993a8f056d2d3e50b0ac60139f10df8f8123d5f7c4817b40dac2b5dd8aa94a82\
     e8536832e6312ddfc0787d7b5310c815655ada4fdbcf6b12297d4458eccc2dfb",
    "1bc97a2fe02c297880ce8ecfd997fe4c1ec09ee10feeee9f686760166b05281d\
     6283468ffd93becb0c956ccddd642df9b1244c915911185fa49355f6f22bfab9",
];

/// The network that counts.
pub(super) fn mainnet() -> Params {
    Params {
        name: "mainnet".into(),
        magic: 764_824_073,
        system_start_s: 1_506_203_091,
        security: 2_160,
        active_slots_numerator: 1,
        active_slots_denominator: 20,
        slot_length_ms: 1_000,
        epoch_length: 432_000,
        slots_per_kes_period: 129_600,
        max_kes_evolutions: 62,
        shelley_genesis: hash("1a3be38bcbb7911969283716ad7aa550250226b76a61fc51cc9a9a35d9276d81"),
        byron: Some(Byron {
            genesis: hash("5f20df933584822601f9e3f8c024eb5eb252fe8cefb24d1317dc3d432e940ebb"),
            slot_length_ms: 20_000,
            end_slot: 4_492_800,
            issuers: MAINNET_ISSUERS.iter().map(|key| issuer(key)).collect(),
        }),
        eras: eras(&[
            (Era::Shelley, 208),
            (Era::Allegra, 236),
            (Era::Mary, 251),
            (Era::Alonzo, 290),
            (Era::Babbage, 365),
            (Era::Conway, 507),
        ]),
        extra_entropy: vec![ExtraEntropy {
            epoch: 259,
            nonce: hash("d982e06fd33e7440b43cefad529b7ecafbaa255e38178ad4189a37e4ce9bf1fa"),
        }],
    }
}

/// The test network that is most like mainnet.
pub(super) fn preprod() -> Params {
    Params {
        name: "preprod".into(),
        magic: 1,
        system_start_s: 1_654_041_600,
        shelley_genesis: hash("162d29c4e1cf6b8a84f2d692e67a3ac6bc7851bc3e6e4afe64d15778bed8bd86"),
        byron: Some(Byron {
            genesis: hash("d4b8de7a11d929a323373cbab6c1a9bdc931beffff11db111cf9d57356ee1937"),
            slot_length_ms: 20_000,
            end_slot: 86_400,
            issuers: Vec::new(),
        }),
        eras: eras(&[
            (Era::Shelley, 4),
            (Era::Allegra, 5),
            (Era::Mary, 6),
            (Era::Alonzo, 7),
            (Era::Babbage, 12),
            (Era::Conway, 163),
        ]),
        extra_entropy: Vec::new(),
        ..mainnet()
    }
}

/// The test network that tries new things; it began in Alonzo.
pub(super) fn preview() -> Params {
    Params {
        name: "preview".into(),
        magic: 2,
        system_start_s: 1_666_656_000,
        security: 432,
        epoch_length: 86_400,
        shelley_genesis: hash("363498d1024f84bb39d3fa9593ce391483cb40d479b87233f868d6e57c3a400d"),
        byron: None,
        eras: eras(&[(Era::Alonzo, 0), (Era::Babbage, 3), (Era::Conway, 646)]),
        extra_entropy: Vec::new(),
        ..mainnet()
    }
}

fn eras(starts: &[(Era, u64)]) -> Vec<EraStart> {
    starts.iter().map(|&(era, epoch)| EraStart { era, epoch }).collect()
}

fn hash(text: &str) -> Hash {
    text.parse().expect("a built-in hash has 64 digits")
}

fn issuer(text: &str) -> [u8; 64] {
    let mut key = [0; 64];
    hex::decode_to_slice(text, &mut key).expect("a built-in key has 128 digits");
    key
}
