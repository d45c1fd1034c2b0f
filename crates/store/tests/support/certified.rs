//! A chain with validators that change, and a certificate of each block.

use std::num::NonZeroU64;
use std::sync::Arc;

use bytes::Bytes;
use chain::native::ballot::{Kind, Vote};
use chain::native::{Builder, Certificate, Change, Key, Params, Validator, Validators};
use chain::{Block, Format, Height, Position, Slot, State};
use store::files::memory;
use store::{Certified, Config, Error, Recovered, Scan, Store};

/// How many blocks lie between the announcement of a change and its effect.
const DELAY: u64 = 3;

pub(crate) struct Chain {
    pub(crate) format: Format,
    pub(crate) blocks: Vec<Block>,
    /// The state before the first block, and after each.
    pub(crate) states: Vec<State>,
    pub(crate) certificates: Vec<Bytes>,
}

impl Chain {
    /// So many blocks, of which those at `changes` announce other validators.
    pub(crate) fn new(blocks: usize, changes: &[usize]) -> Self {
        let sets: Vec<Vec<Key>> =
            (0..=changes.len()).map(|set| (0..4).map(|n| key(set, n)).collect()).collect();
        let keys: Vec<&Key> = sets.iter().flatten().collect();
        let mut params = Params::solo("certified", 7, 1_000, [0; 32]);
        params.validators = members(&sets[0]);
        let format = Format::Native(Arc::new(params.clone()));
        let mut chain =
            Self { states: vec![format.genesis()], format, blocks: Vec::new(), certificates: Vec::new() };
        for number in 0..blocks {
            let parent = chain.states.last().expect("genesis");
            let native = parent.native().expect("a native chain");
            let height = Height(number as u64);
            let (validators, _) = native.validators_at(height);
            let producer = validators.proposer(height, 0).key;
            let mut builder = Builder::start(&params, &parent.tip, native, Slot(2 * number as u64 + 1));
            builder.add(Bytes::from(vec![7; 5 + 13 * (number % 5)])).expect("it fits");
            if let Some(at) = changes.iter().position(|change| *change == number) {
                let validators = Validators::new(members(&sets[at + 1])).expect("a set");
                builder = builder.change(Change { height: Height(height.0 + DELAY), validators });
            }
            let signer = |public: &[u8; 32]| *keys.iter().find(|key| key.public() == *public).expect("known");
            let block = builder.finish(signer(&producer));
            let certificate = certify(&params, &block, &validators, signer);
            chain.states.push(chain.format.next(parent, &block.header).expect("our own"));
            chain.blocks.push(block);
            chain.certificates.push(certificate);
        }
        chain
    }

    pub(crate) fn open(
        &self,
        files: &memory::Files,
        scan: Scan,
    ) -> Result<(Store<memory::Files>, Recovered), Error> {
        Store::open(files.clone(), &self.format, &Config { scan, ..crate::support::small() })
    }

    /// Settles the blocks up to before `end`, the last with its certificate if that is wanted.
    pub(crate) fn settle(
        &self,
        store: &mut Store<memory::Files>,
        end: usize,
        certified: bool,
    ) -> Result<(), Error> {
        store.settle(&self.blocks[store.settled() as usize..end])?;
        store.note_state(&self.states[end]);
        match certified {
            true => store.certify(&self.states[end], &self.certificates[end - 1]),
            false => Ok(()),
        }
    }

    /// The certificate of a block.
    pub(crate) fn certified(&self, position: usize) -> Certified {
        let certificate = self.certificates[position].clone();
        Certified { position: Position(position as u64), id: self.blocks[position].header.id, certificate }
    }
}

fn key(set: usize, member: usize) -> Key {
    Key::from_seed(&[(10 * set + member) as u8; 32])
}

fn members(keys: &[Key]) -> Vec<Validator> {
    keys.iter().map(|key| Validator { key: key.public(), weight: NonZeroU64::MIN }).collect()
}

fn certify<'a>(
    params: &Params,
    block: &Block,
    validators: &Validators,
    signer: impl Fn(&[u8; 32]) -> &'a Key,
) -> Bytes {
    let header = &block.header;
    let vote = Vote { kind: Kind::Precommit, height: header.height, round: 0, block: Some(header.id) };
    let bytes = vote.signed_bytes(&params.chain());
    let signed: Vec<_> = validators.members()[..3]
        .iter()
        .map(|member| (&member.key, signer(&member.key).sign(&bytes)))
        .collect();
    Certificate::new(header.height, 0, header.id, validators, signed).encode()
}
