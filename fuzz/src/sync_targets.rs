//! The sync channel between peers, and their messages about snapshots.

use bytes::Bytes;
use chain::native::StateRoot;
use chain::{Hash, Height, Point, Slot, Tip};
use diffusion::pieces;
use diffusion::sync::bodies::Producer;
use diffusion::sync::{Fin, Hello, Message};

use crate::Target;

pub(crate) const SYNC: Target = Target { name: "sync", run, seeds };

pub(crate) const PIECES: Target = Target { name: "pieces", run: run_pieces, seeds: piece_seeds };

/// What can be read has one encoding.
fn run(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    if let Ok(message) = Message::decode(&bytes) {
        assert_eq!(message.to_bytes(), bytes, "a {} has two encodings", message.name());
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let point = |slot| Point::Block(Slot(slot), Hash([slot as u8; 32]));
    let tip = Tip { point: point(3), height: Height(2) };
    let locator = vec![point(70_000), point(300), point(3)];
    let messages = [
        Message::Hello(Hello { locator, lib: tip, oldest: Tip::default() }),
        Message::Header(Bytes::from(vec![7; 300])),
        Message::Fin(Fin { tip, certificate: Bytes::from(vec![9; 100]) }),
        Message::Want { id: Hash([1; 32]), follow: true },
        Message::No { id: Hash([1; 32]) },
        Message::Stop { producer: Producer([2; 32]) },
        Message::Range {
            from: Point::Block(Slot(1), Hash([1; 32])),
            to: Point::Block(Slot(2), Hash([2; 32])),
        },
        Message::Pushes { producer: Producer([2; 32]) },
    ];
    messages.iter().map(|message| message.to_bytes().to_vec()).collect()
}

fn run_pieces(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    if let Ok(message) = pieces::Message::decode(&bytes) {
        assert_eq!(message.to_bytes(), bytes, "a message about snapshots has two encodings");
    }
}

fn piece_seeds() -> Vec<Vec<u8>> {
    let state = |height| StateRoot { height: Height(height), root: Hash([height as u8; 32]) };
    let messages = [
        pieces::Message::Offer(Vec::new()),
        pieces::Message::Offer(vec![state(70_000), state(999)]),
        pieces::Message::Ask { of: state(999), name: Bytes::from_static(&[0, 8, 7]) },
        pieces::Message::Piece(Bytes::new()),
        pieces::Message::Piece(Bytes::from(vec![7; 300])),
        pieces::Message::Wish,
    ];
    messages.iter().map(|message| message.to_bytes().to_vec()).collect()
}
