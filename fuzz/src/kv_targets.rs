//! The `kv` application: its transactions, which anybody can submit, what readers ask of it, and its answers, proofs and
//! pieces of snapshots, which any node can come with.

use anabranch_cli::kv::{Answer, Electorate, Found, Part, Piece, Proof, Question};
use anabranch_cli::transaction::{Change, Transaction};
use chain::native::{Key, Params, read_fields};
use chain::{Hash, Height, Point, Slot, Tip};

use crate::Target;
use crate::made::NATIVE;

pub(crate) const KV_TRANSACTION: Target =
    Target { name: "kv_transaction", run: transaction, seeds: transaction_seeds };
pub(crate) const KV_PROOF: Target = Target { name: "kv_proof", run: proof, seeds: proof_seeds };
pub(crate) const KV_QUERY: Target = Target { name: "kv_query", run: query, seeds: query_seeds };

pub(crate) const KV_PIECE: Target = Target { name: "kv_piece", run: piece, seeds: piece_seeds };

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

/// The bytes as a question, and as an answer to one.
fn query(input: &[u8]) {
    if let Ok(question) = Question::decode(input) {
        assert_eq!(Question::decode(&question.encode()), Ok(question), "a question survives its encoding");
    }
    if let Ok(answer) = Answer::decode(input) {
        assert_eq!(Answer::decode(&answer.encode()).as_ref(), Ok(&answer), "an answer survives its encoding");
        if let Answer::Found(found) = answer {
            let header = read_fields(&NATIVE.blocks[0].header).expect("a made header is one");
            assert!(!found.is_shown_by(&header, "key"), "nobody finds a state by chance");
        }
    }
}

fn query_seeds() -> Vec<Vec<u8>> {
    let get = |height| Question::Get { key: "a key".to_owned(), height };
    let questions = [get(None), get(Some(Height(300))), Question::Validators];
    let tip = Tip { point: Point::Block(Slot(70_000), Hash([4; 32])), height: Height(300) };
    let proof = Proof { beside: vec![Hash([1; 32]); 3], other: Some((Hash([2; 32]), Hash([3; 32]))) };
    let there = Found { value: Some("a value".to_owned()), root: Hash([5; 32]), tip, proof };
    let proof = Proof { beside: Vec::new(), other: None };
    let nowhere = Found { value: None, root: Hash::default(), tip: Tip::default(), proof };
    let electorate = Electorate::genesis(&Params::solo("seed", 7, 0, [3; 32]));
    let answers = [
        Answer::Found(there),
        Answer::Found(nowhere),
        Answer::Gone { newest: Height(9) },
        Answer::Validators(electorate),
    ];
    questions.iter().map(Question::encode).chain(answers.iter().map(Answer::encode)).collect()
}

fn piece(input: &[u8]) {
    if let Ok(piece) = Piece::decode(input) {
        assert_eq!(piece.encode(), input, "a piece has one encoding");
    }
}

fn piece_seeds() -> Vec<Vec<u8>> {
    let parted = |left, right| Part::Parted(Box::new((left, right)));
    let whole = |at| Part::Whole(Hash([at; 32]));
    let deep =
        (0..8).fold(whole(1), |part, at| parted(part, if at % 2 == 0 { whole(at) } else { Part::Empty }));
    let entries = (0..5u8).map(|at| (vec![at; at.into()], vec![at; 30]));
    let pieces = [
        Piece::Entries(Vec::new()),
        Piece::Entries(entries.collect()),
        Piece::Nodes(parted(whole(1), Part::Empty)),
        Piece::Nodes(deep),
    ];
    pieces.iter().map(Piece::encode).collect()
}
