//! The `kv` application: its transactions, which anybody can submit, and its proofs, which any node can answer with.

use anabranch_cli::kv::Proof;
use anabranch_cli::transaction::{Change, Transaction};
use chain::Hash;
use chain::native::Key;

use crate::Target;

pub(crate) const KV_TRANSACTION: Target =
    Target { name: "kv_transaction", run: transaction, seeds: transaction_seeds };
pub(crate) const KV_PROOF: Target = Target { name: "kv_proof", run: proof, seeds: proof_seeds };

fn transaction(input: &[u8]) {
    if let Ok(transaction) = Transaction::decode(input) {
        assert_eq!(transaction.encode(), input, "a transaction has one encoding");
        let _ = transaction.check_size();
    }
}

fn transaction_seeds() -> Vec<Vec<u8>> {
    let mut change = Change { key: [1; 32], weight: 5, sequence: 300, signatures: Vec::new() };
    (1..=3).for_each(|seed| change.sign(&Hash([7; 32]), &Key::from_seed(&[seed; 32])));
    let (key, value) = ("a key".to_owned(), "a value longer than twenty-three bytes".to_owned());
    let transactions = [
        Transaction::put("", ""),
        Transaction::Put { key: key.clone(), value, salt: Some(1 << 40) },
        Transaction::Delete { key: key.clone(), salt: None },
        Transaction::Delete { key, salt: Some(3) },
        Transaction::Validator(Change { signatures: Vec::new(), ..change.clone() }),
        Transaction::Validator(change),
    ];
    transactions.iter().map(Transaction::encode).collect()
}

fn proof(input: &[u8]) {
    if let Ok(proof) = Proof::decode(input) {
        assert_eq!(proof.encode(), input, "a proof has one encoding");
        for value in [None, Some(b"value".as_slice())] {
            assert!(!proof.is_valid(&Hash([1; 32]), b"key", value), "nobody finds a proof by chance");
        }
    }
}

fn proof_seeds() -> Vec<Vec<u8>> {
    let hash = |at| Hash([at; 32]);
    let proofs = [
        Proof { beside: Vec::new(), other: None },
        Proof { beside: (0..20).map(hash).collect(), other: None },
        Proof { beside: (0..7).map(hash).collect(), other: Some((hash(8), hash(9))) },
    ];
    proofs.iter().map(Proof::encode).collect()
}
