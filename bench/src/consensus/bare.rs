//! The floor of agreeing: a block goes to three others, is written and synced, and there are three round trips.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Figures, VALIDATORS};

/// A vote: a signature and what it is of.
const VOTE_BYTES: usize = 120;

/// Round trips of a block: the proposal and two votes.
const ROUND_TRIPS: usize = 3;

/// Makes blocks of so many bytes for a while.
pub(super) fn run(
    dir: Option<&Path>,
    block_bytes: usize,
    transactions: usize,
    time: Duration,
) -> anyhow::Result<Figures> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let mut others = Vec::new();
    for _ in 1..VALIDATORS {
        let stream = TcpStream::connect(address)?;
        let (other, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        other.set_nodelay(true)?;
        // It ends with its connection.
        std::thread::spawn(move || answer(other, block_bytes));
        others.push(stream);
    }
    let dir = dir.map_or_else(tempfile::tempdir, tempfile::tempdir_in)?;
    let file = File::create(dir.path().join("blocks"))?;
    let block = vec![1; block_bytes];
    let (mut took, mut at, began) = (Vec::new(), 0, Instant::now());
    while began.elapsed() < time {
        let start = Instant::now();
        others.iter_mut().try_for_each(|other| other.write_all(&block))?;
        file.write_all_at(&block, at)?;
        file.sync_data()?;
        at += block_bytes as u64;
        let mut vote = [0; VOTE_BYTES];
        for trip in 0..ROUND_TRIPS {
            if trip > 0 {
                others.iter_mut().try_for_each(|other| other.write_all(&vote))?;
            }
            others.iter_mut().try_for_each(|other| other.read_exact(&mut vote))?;
        }
        took.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let blocks = took.len();
    // All transactions of a block take what it takes.
    let times = took.into_iter().flat_map(|ms| std::iter::repeat_n(ms, transactions)).collect();
    Figures::new(times, blocks, began.elapsed())
}

/// Takes a block and votes, and answers each with a vote.
fn answer(mut stream: TcpStream, block_bytes: usize) -> std::io::Result<()> {
    let (mut block, mut vote) = (vec![0; block_bytes], [0; VOTE_BYTES]);
    loop {
        stream.read_exact(&mut block)?;
        stream.write_all(&vote)?;
        for _ in 1..ROUND_TRIPS {
            stream.read_exact(&mut vote)?;
            stream.write_all(&vote)?;
        }
    }
}
