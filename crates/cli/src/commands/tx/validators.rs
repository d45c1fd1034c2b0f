//! `tx validators`: a change of one validator, which travels as a file until a quorum has signed it.
//!
//! The file is the change as a person can read it. Who signs sees on standard output what is signed.

use std::path::Path;

use anabranch::chain::Format;
use anabranch::chain::Hash;
use anabranch::config::Config;
use anabranch::network_id::NetworkId;
use anabranch::peers::key_file;
use anabranch_cli::transaction::{Change, Transaction};
use serde::{Deserialize, Serialize};

use super::super::{key, kv};
use crate::args::TxValidators;
use crate::exit::{Failure, Kind};
use crate::output::Output;
use crate::settings;

/// The change, in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Letter {
    /// The validator's public key.
    validator: String,
    /// Its new weight; 0 takes it out.
    weight: u64,
    /// How many changes there were before.
    sequence: u64,
    /// Who agrees.
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    signer: String,
    signature: String,
}

pub(super) async fn run(command: &TxValidators, config: &Config, output: Output) -> Result<(), Failure> {
    match command {
        TxValidators::Propose { key, weight, output: file, .. } => {
            let sequence = kv::electorate(&settings::admin(config)?).await?.sequence;
            let change = Change { key: *key, weight: *weight, sequence, signatures: Vec::new() };
            write(file, &change, output)
        }
        TxValidators::Sign { file, .. } => {
            let mut change = read(file)?;
            change.sign(&chain(config)?, &signer(config)?);
            write(file, &change, output)
        }
        TxValidators::Send { file, .. } => {
            super::send(&Transaction::Validator(read(file)?), config, output).await
        }
    }
}

/// The chain that is signed for.
fn chain(config: &Config) -> Result<Hash, Failure> {
    let wrong = |error| Failure::new(Kind::Config, error);
    let network = NetworkId::find(&settings::network(config)?).map_err(wrong)?;
    match network.format {
        Format::Native(params) => Ok(params.chain()),
        Format::Cardano(_) => {
            Err(Failure::new(Kind::Config, format!("{} has no validators to change", network.name)))
        }
    }
}

/// The key to sign with.
fn signer(config: &Config) -> Result<anabranch::chain::native::Key, Failure> {
    key_file::read_validator(&settings::validator(config)?).map_err(key::in_the_way)
}

fn read(file: &Path) -> Result<Change, Failure> {
    let refused = |why: String| Failure::new(Kind::Failed, format!("{}: {why}", file.display()));
    let text = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
    let letter: Letter = serde_json::from_slice(&text)
        .map_err(|error| refused(format!("this is no change of validators: {error}")))?;
    letter.change().ok_or_else(|| refused("its keys or signatures are none".into()))
}

/// Writes the change down, for the next to sign, and says what it is.
fn write(file: &Path, change: &Change, output: Output) -> Result<(), Failure> {
    let letter = Letter::new(change);
    let mut text =
        serde_json::to_string_pretty(&letter).map_err(|error| Failure::new(Kind::Failed, error))?;
    text.push('\n');
    // Whole or not at all: signatures of others are in it.
    let beside = file.with_extension("new");
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, file));
    written
        .map_err(|error| Failure::new(Kind::Failed, format!("cannot write {}: {error}", file.display())))?;
    output.line(&letter, || letter.text())?;
    Ok(())
}

impl Letter {
    fn new(change: &Change) -> Self {
        let signatures = change.signatures.iter();
        let signature = |(signer, signature): &([u8; 32], [u8; 64])| Signature {
            signer: hex::encode(signer),
            signature: hex::encode(signature),
        };
        Self {
            validator: hex::encode(change.key),
            weight: change.weight,
            sequence: change.sequence,
            signatures: signatures.map(signature).collect(),
        }
    }

    /// `None` where its texts are no keys or signatures, or a key signs twice.
    fn change(&self) -> Option<Change> {
        fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
            hex::decode(text).ok()?.try_into().ok()
        }
        let pair = |it: &Signature| Some((bytes(&it.signer)?, bytes(&it.signature)?));
        let mut signatures =
            self.signatures.iter().map(pair).collect::<Option<Vec<([u8; 32], [u8; 64])>>>()?;
        signatures.sort_unstable();
        let is_double = signatures.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let (key, weight, sequence) = (bytes(&self.validator)?, self.weight, self.sequence);
        (!is_double).then_some(Change { key, weight, sequence, signatures })
    }

    fn text(&self) -> String {
        let Self { validator, weight, sequence, signatures } = self;
        let what = match weight {
            0 => format!("{validator} is no validator any more"),
            weight => format!("{validator} votes with a weight of {weight}"),
        };
        format!("change {sequence}: {what}; {} have signed it", signatures.len())
    }
}

#[cfg(test)]
mod tests {
    use anabranch::chain::native::Key;

    use super::*;

    #[test]
    fn a_change_in_a_file_is_the_change() {
        let mut change = Change { key: [7; 32], weight: 2, sequence: 5, signatures: Vec::new() };
        for seed in [9, 3, 4] {
            change.sign(&Hash([1; 32]), &Key::from_seed(&[seed; 32]));
        }
        let mut letter = Letter::new(&change);
        assert_eq!(letter.change(), Some(change.clone()));
        assert!(letter.text().ends_with("3 have signed it"), "{}", letter.text());
        letter.signatures.reverse();
        assert_eq!(letter.change(), Some(change), "in whichever order people add theirs");
        letter.signatures[0] = letter.signatures[1].clone();
        assert_eq!(letter.change(), None, "twice");
        letter.signatures.clear();
        letter.validator.pop();
        assert_eq!(letter.change(), None);
    }
}
