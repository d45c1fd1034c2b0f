//! An application that does as it is told, and the pool that asks it: order, full queues, blocking, panics, the end.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chain::format::Detail;
use chain::native::{Builder, Key, Params, StateRoot};
use chain::{Format, Height, Slot};
use node::Ticket;

use super::*;

/// How long a test waits for what must come: far above what it takes.
const LONG: Duration = Duration::from_secs(60);

/// Transactions that start so make the application do what they say.
const BLOCK: u8 = b'b';
const PANIC: u8 = b'p';
const REJECT: u8 = b'r';
const IGNORE: u8 = b'i';

/// The state that it gives and takes.
const STATE: StateRoot = StateRoot { height: Height(9), root: Hash([9; 32]) };

/// What the application did.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Did {
    Delivered(u64),
    Together(Vec<u64>),
    Checked(u64, u64),
    Built(u64),
}

/// The application. The first byte of a block's or a question's only transaction tells it what to do.
struct Told {
    delivered: Mutex<u64>,
    did: Sender<Did>,
    /// It says here that it blocks, and goes on with the next item of `go_on`.
    blocks: Sender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Told {
    fn obey(&self, tx: &[u8]) {
        match tx.first() {
            Some(&BLOCK) => {
                self.blocks.send(()).expect("the test listens");
                // An error is the test's end.
                let _ = self.go_on.lock().expect("one waits at a time").recv();
            }
            Some(&PANIC) => panic!("as I was told"),
            _ => {}
        }
    }

    fn did(&self, what: Did) {
        // The test may have gone.
        let _ = self.did.send(what);
    }

    fn seen(&self) -> u64 {
        *self.delivered.lock().expect("not poisoned")
    }

    fn take_in(&self, block: &Block) -> Applied {
        for tx in transactions(block).expect("sound") {
            self.obey(&tx);
        }
        *self.delivered.lock().expect("not poisoned") += 1;
        Applied { tip: block.header.tip(), root: None, validators: None }
    }
}

impl Logic for Told {
    fn check_tx(&self, tx: &[u8]) -> Verdict {
        self.obey(tx);
        match tx.first() {
            Some(&REJECT) => Verdict::Reject { reason: "as I was told".into() },
            Some(&IGNORE) => Verdict::Ignore,
            _ => Verdict::Accept,
        }
    }

    fn check_block(&self, block: &Block) -> Verdict {
        for tx in transactions(block).expect("sound") {
            self.obey(&tx);
        }
        self.did(Did::Checked(block.header.height.0, self.seen()));
        Verdict::Accept
    }

    fn build(&self, _: Tip, _: u64, _: &[(Hash, Bytes)]) -> Vec<Hash> {
        self.did(Did::Built(self.seen()));
        vec![Hash([9; 32])]
    }

    fn applied(&self) -> Result<Applied, Failed> {
        panic!("I know not where I stand")
    }

    fn query(&self, question: &[u8]) -> Result<Bytes, Failed> {
        self.obey(question);
        Ok(Bytes::copy_from_slice(question))
    }

    fn snapshots(&self) -> Vec<StateRoot> {
        vec![STATE]
    }

    fn piece(&self, of: &StateRoot, name: &[u8]) -> Result<Option<Bytes>, Failed> {
        self.obey(name);
        Ok((*of == STATE).then(|| Bytes::from(vec![7; usize::from(name[0])])))
    }

    fn restore(&self, to: &StateRoot) -> Result<Option<Vec<Bytes>>, Failed> {
        Ok((*to == STATE).then(|| vec![Bytes::from_static(b"first")]))
    }

    fn restore_piece(&self, name: &[u8], piece: &[u8]) -> Result<Taken, Failed> {
        self.obey(name);
        let seen = self.seen().to_string().into();
        Ok(if piece == name { Taken::Right { more: vec![seen] } } else { Taken::Unasked })
    }

    fn deliver(&self, block: &Block) -> Result<Applied, Failed> {
        let applied = self.take_in(block);
        self.did(Did::Delivered(block.header.height.0));
        Ok(applied)
    }

    fn deliver_all(&self, blocks: &[Block]) -> Result<Vec<Applied>, Failed> {
        let applied = blocks.iter().map(|block| self.take_in(block)).collect();
        self.did(Did::Together(blocks.iter().map(|block| block.header.height.0).collect()));
        Ok(applied)
    }
}

/// A pool with its application, and the test's ends of both.
struct Scene {
    pool: Option<Pool>,
    logic: std::sync::Weak<Told>,
    did: Receiver<Did>,
    blocks: Receiver<()>,
    go_on: Sender<()>,
    answers: Receiver<(Ticket, Answer)>,
}

impl Scene {
    fn new(config: Config) -> Self {
        let ((did_to, did), (blocks_to, blocks)) = (mpsc::channel(), mpsc::channel());
        let ((go_on, go_on_from), (answers_to, answers)) = (mpsc::channel(), mpsc::channel());
        let go_on_from = Mutex::new(go_on_from);
        let logic =
            Arc::new(Told { delivered: Mutex::new(0), did: did_to, blocks: blocks_to, go_on: go_on_from });
        let weak = Arc::downgrade(&logic);
        let pool = Pool::start(logic, config, move |ticket, answer| {
            // The test may have gone.
            let _ = answers_to.send((ticket, answer));
        });
        Self { pool: Some(pool.expect("threads")), logic: weak, did, blocks, go_on, answers }
    }

    /// Puts a question that there must be room for.
    fn ask(&self, ticket: u64, question: Question) {
        assert_eq!(self.try_ask(ticket, question), None);
    }

    fn try_ask(&self, ticket: u64, question: Question) -> Option<Answer> {
        self.pool.as_ref().expect("it runs").ask(Ticket(ticket), question)
    }

    fn answer(&self) -> (u64, Answer) {
        let (ticket, answer) = self.answers.recv_timeout(LONG).expect("an answer");
        (ticket.0, answer)
    }

    fn did(&self) -> Did {
        self.did.recv_timeout(LONG).expect("it does something")
    }

    fn wait_until_it_blocks(&self) {
        self.blocks.recv_timeout(LONG).expect("it blocks");
    }
}

/// Blocks in a row, each with one transaction.
fn blocks(transactions: &[&str]) -> Vec<Block> {
    let key = Key::from_seed(&[1; 32]);
    let params = Arc::new(Params::solo("told", 7, 0, key.public()));
    let format = Format::Native(Arc::clone(&params));
    let mut state = format.genesis();
    let made = transactions.iter().zip(1..).map(|(tx, slot)| {
        let Detail::Native(native) = &state.detail else { unreachable!("it is native") };
        let mut builder = Builder::start(&params, &state.tip, native, Slot(slot));
        builder.add(Bytes::copy_from_slice(tx.as_bytes())).expect("it fits");
        let block = builder.finish(&key);
        state = format.next(&state, &block.header).expect("sound");
        block
    });
    made.collect()
}

fn check(tx: &[u8]) -> Question {
    Question::CheckTx { tx: Bytes::copy_from_slice(tx) }
}

fn build() -> Question {
    Question::Build { parent: Tip::default(), max_bytes: 1, candidates: Vec::new() }
}

fn deliver(block: &Block) -> Question {
    Question::Deliver { block: block.clone() }
}

fn one_by_one() -> Config {
    Config { max_delivered: std::num::NonZeroUsize::MIN, ..Config::default() }
}

#[test]
fn what_is_asked_after_a_delivery_sees_it() {
    let scene = Scene::new(Config::default());
    let blocks = blocks(&["x"; 30]);
    for (block, at) in blocks.iter().zip(0..) {
        scene.ask(at * 3, deliver(block));
        scene.ask(at * 3 + 1, Question::CheckBlock { block: block.clone() });
        scene.ask(at * 3 + 2, build());
    }
    for (block, at) in blocks.iter().zip(0..) {
        let (tip, height) = (block.header.tip(), block.header.height.0);
        let applied = Applied { tip, root: None, validators: None };
        assert_eq!(scene.answer(), (at * 3, Answer::Applied(applied)));
        assert_eq!(scene.answer(), (at * 3 + 1, Answer::Verdict(Verdict::Accept)));
        assert_eq!(scene.answer(), (at * 3 + 2, Answer::Built(vec![Hash([9; 32])])));
        assert_eq!(scene.did(), Did::Delivered(height));
        assert_eq!(scene.did(), Did::Checked(height, at + 1));
        assert_eq!(scene.did(), Did::Built(at + 1));
    }
}

#[test]
fn deliveries_that_wait_are_handed_over_together_within_the_bound() {
    let max_delivered = std::num::NonZeroUsize::new(3).expect("not 0");
    let scene = Scene::new(Config { max_delivered, ..Config::default() });
    let blocks = blocks(&["b", "x", "x", "x", "x", "x"]);
    for (block, at) in blocks.iter().zip(0..) {
        if at == 5 {
            scene.ask(100, build());
        }
        scene.ask(at, deliver(block));
        if at == 0 {
            scene.wait_until_it_blocks();
        }
    }
    scene.go_on.send(()).expect("it waits");
    let did: Vec<_> = (0..5).map(|_| scene.did()).collect();
    let built = Did::Built(5);
    assert_eq!(
        did,
        [Did::Delivered(0), Did::Together(vec![1, 2, 3]), Did::Delivered(4), built, Did::Delivered(5)]
    );
    let answered: Vec<_> = (0..7).map(|_| scene.answer().0).collect();
    assert_eq!(answered, [0, 1, 2, 3, 4, 100, 5]);
}

#[test]
fn a_blocked_delivery_holds_up_no_transaction() {
    let scene = Scene::new(Config::default());
    let blocks = blocks(&["b"]);
    scene.ask(0, deliver(&blocks[0]));
    scene.wait_until_it_blocks();
    for at in 1..=200 {
        scene.ask(at, check(b"x"));
        assert_eq!(scene.answer(), (at, Answer::Verdict(Verdict::Accept)));
    }
    scene.go_on.send(()).expect("it waits");
    assert!(matches!(scene.answer(), (0, Answer::Applied(_))));
}

fn piece(of: StateRoot, name: &[u8]) -> Question {
    Question::Snapshot(Snapshot::Piece { of, name: Bytes::copy_from_slice(name) })
}

#[test]
fn pieces_are_given_to_peers_while_a_delivery_is_blocked() {
    let scene = Scene::new(Config::default());
    let blocks = blocks(&["b"]);
    scene.ask(0, deliver(&blocks[0]));
    scene.wait_until_it_blocks();
    scene.ask(1, Question::Snapshot(Snapshot::Offered));
    assert_eq!(scene.answer(), (1, Answer::Snapshots(vec![STATE])));
    scene.ask(2, piece(STATE, &[200]));
    assert_eq!(scene.answer(), (2, Answer::Piece(Some(Bytes::from(vec![7; 200])))));
    scene.ask(3, piece(StateRoot { height: Height(8), ..STATE }, &[200]));
    assert_eq!(scene.answer(), (3, Answer::Piece(None)));
    scene.ask(4, piece(STATE, b"p"));
    let (4, Answer::Failed { reason }) = scene.answer() else { panic!("it panicked over this one") };
    assert!(!reason.is_empty());
    scene.go_on.send(()).expect("it waits");
    assert!(matches!(scene.answer(), (0, Answer::Applied(_))));
}

#[test]
fn a_state_is_put_together_in_the_order_of_deliveries() {
    // As those it waits as long as it must: half a state is of no use.
    let scene = Scene::new(Config { patience: Duration::ZERO, max_asked: 0, ..Config::default() });
    let blocks = blocks(&["x", "x"]);
    let ask = |ticket, about| scene.ask(ticket, Question::Snapshot(about));
    let take =
        |name: &[u8]| Snapshot::Take { name: Bytes::copy_from_slice(name), piece: Bytes::from_static(b"n") };
    scene.ask(0, deliver(&blocks[0]));
    ask(1, Snapshot::Restore { to: STATE });
    ask(2, take(b"n"));
    ask(3, take(b"another"));
    scene.ask(4, deliver(&blocks[1]));
    ask(5, take(b"n"));
    ask(6, Snapshot::Restored { tip: Tip::default() });
    assert!(matches!(scene.answer(), (0, Answer::Applied(_))));
    assert_eq!(scene.answer(), (1, Answer::Restoring(Some(vec![Bytes::from_static(b"first")]))));
    let seen = |count: &'static str| Answer::Taken(Taken::Right { more: vec![count.into()] });
    assert_eq!(scene.answer(), (2, seen("1")));
    assert_eq!(scene.answer(), (3, Answer::Taken(Taken::Unasked)));
    assert!(matches!(scene.answer(), (4, Answer::Applied(_))));
    assert_eq!(scene.answer(), (5, seen("2")));
    assert!(matches!(scene.answer(), (6, Answer::Failed { .. })), "unless it says otherwise it takes none");
    ask(7, Snapshot::Forget);
    assert_eq!(scene.answer(), (7, Answer::Restoring(None)));
}

#[test]
fn a_check_too_many_is_answered_at_once() {
    let check_threads = std::num::NonZeroUsize::MIN;
    let scene = Scene::new(Config { check_threads, max_checks: 3, max_check_bytes: 100, ..one_by_one() });
    let ignored = Some(Answer::Verdict(Verdict::Ignore));
    scene.ask(0, check(b"b"));
    scene.wait_until_it_blocks();
    (1..=3).for_each(|at| scene.ask(at, check(b"x")));
    assert_eq!(scene.try_ask(9, check(b"x")), ignored, "one too many");
    scene.go_on.send(()).expect("it waits");
    (0..4).for_each(|at| assert_eq!(scene.answer().0, at));

    scene.ask(5, check(b"b"));
    scene.wait_until_it_blocks();
    scene.ask(6, check(&[b'x'; 60]));
    assert_eq!(scene.try_ask(9, check(&[b'x'; 41])), ignored, "a byte too many");
    scene.ask(7, check(&[b'x'; 40]));
    scene.go_on.send(()).expect("it waits");
    (5..8).for_each(|at| assert_eq!(scene.answer().0, at));
}

#[test]
fn a_block_to_check_too_many_is_answered_at_once_and_deliveries_are_always_taken() {
    let scene = Scene::new(Config { max_asked: 2, ..one_by_one() });
    let blocks = blocks(&["b"].into_iter().chain(["x"; 500]).collect::<Vec<_>>());
    let check = |at: usize| Question::CheckBlock { block: blocks[at].clone() };
    scene.ask(0, check(0));
    scene.wait_until_it_blocks();
    scene.ask(1, build());
    scene.ask(2, check(1));
    assert_eq!(scene.try_ask(9, build()), Some(Answer::Built(Vec::new())));
    assert_eq!(scene.try_ask(9, check(1)), Some(Answer::Verdict(Verdict::Ignore)));
    blocks[1..].iter().zip(3..).for_each(|(block, at)| scene.ask(at, deliver(block)));
    assert_eq!(scene.try_ask(9, build()), Some(Answer::Built(Vec::new())));
    scene.go_on.send(()).expect("it waits");
    (0..503).for_each(|at| assert_eq!(scene.answer().0, at));
    scene.ask(600, build());
    scene.ask(601, check(1));
    assert_eq!([scene.answer().0, scene.answer().0], [600, 601], "there is room again");
}

#[test]
fn a_block_that_waited_too_long_is_not_asked_about_but_delivered() {
    let scene = Scene::new(Config { patience: Duration::ZERO, ..Config::default() });
    let blocks = blocks(&["p", "x"]);
    scene.ask(0, check(b"x"));
    assert_eq!(scene.answer(), (0, Answer::Verdict(Verdict::Accept)), "a transaction waits");
    scene.ask(1, Question::CheckBlock { block: blocks[0].clone() });
    assert_eq!(scene.answer(), (1, Answer::Verdict(Verdict::Ignore)));
    scene.ask(2, build());
    assert_eq!(scene.answer(), (2, Answer::Built(Vec::new())));
    scene.ask(3, deliver(&blocks[1]));
    assert!(matches!(scene.answer(), (3, Answer::Applied(_))));
    assert_eq!(scene.did(), Did::Delivered(1), "it was asked nothing else");
}

#[test]
fn a_panic_over_a_question_is_no_answer_and_the_threads_go_on() {
    let scene = Scene::new(Config::default());
    let blocks = blocks(&["p", "x"]);
    for at in 0..20 {
        scene.ask(at, check(b"p"));
        assert_eq!(scene.answer(), (at, Answer::Verdict(Verdict::Ignore)));
    }
    scene.ask(20, Question::CheckBlock { block: blocks[0].clone() });
    assert_eq!(scene.answer(), (20, Answer::Verdict(Verdict::Ignore)));
    scene.ask(21, deliver(&blocks[1]));
    assert!(matches!(scene.answer(), (21, Answer::Applied(_))));
}

#[test]
fn nothing_is_delivered_over_a_block_that_could_not_be() {
    let scene = Scene::new(one_by_one());
    let blocks = blocks(&["x", "p", "x"]);
    blocks.iter().zip(0..).for_each(|(block, at)| scene.ask(at, deliver(block)));
    scene.ask(3, build());
    scene.ask(4, Question::CheckBlock { block: blocks[2].clone() });
    assert!(matches!(scene.answer(), (0, Answer::Applied(_))));
    let failed = Answer::Failed { reason: "the application panicked: as I was told".into() };
    assert_eq!(scene.answer(), (1, failed.clone()));
    assert_eq!(scene.answer(), (2, failed));
    assert_eq!(scene.answer(), (3, Answer::Built(Vec::new())));
    assert_eq!(scene.answer(), (4, Answer::Verdict(Verdict::Ignore)));
    assert_eq!(scene.did(), Did::Delivered(0));
    assert!(scene.did.try_recv().is_err(), "it was asked nothing more");
}

/// Asks as a reader: the answer comes later.
fn query(scene: &Scene, question: &'static str) -> std::thread::JoinHandle<Result<Bytes, Unanswered>> {
    let queries = scene.pool.as_ref().expect("it runs").queries();
    std::thread::spawn(move || wait(queries.ask(question.into())))
}

fn wait<T>(asked: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(asked)
}

#[test]
fn readers_are_answered_beside_a_blocked_delivery_and_a_panic_is_a_refusal() {
    let scene = Scene::new(Config::default());
    scene.ask(0, deliver(&blocks(&["b"])[0]));
    scene.wait_until_it_blocks();
    let answer = |question| query(&scene, question).join().expect("no panic");
    assert_eq!(answer("what?"), Ok(Bytes::from("what?")));
    let reason = "the application panicked: as I was told".to_owned();
    assert_eq!(answer("p"), Err(Unanswered::Refused { reason }));
    assert_eq!(answer("and now?"), Ok(Bytes::from("and now?")));
}

#[test]
fn no_more_readers_wait_than_may_and_those_who_lost_patience_make_room() {
    let mut scene = Scene::new(Config { max_queries: 1, ..Config::default() });
    let first = query(&scene, "b");
    scene.wait_until_it_blocks();
    let queries = scene.pool.as_ref().expect("it runs").queries();
    wait(async {
        let mut impatient = std::pin::pin!(queries.ask("x".into()));
        let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(impatient.as_mut().poll(cx)));
        assert!(poll.await.is_pending(), "it waits");
        assert_eq!(queries.ask("y".into()).await, Err(Unanswered::Busy), "one too many");
    });
    wait(async {
        let mut last = std::pin::pin!(queries.ask("z".into()));
        let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(last.as_mut().poll(cx)));
        assert!(poll.await.is_pending(), "there is room again");
        scene.go_on.send(()).expect("it waits");
        assert_eq!(last.await, Ok(Bytes::from("z")));
    });
    assert_eq!(first.join().expect("no panic"), Ok(Bytes::from("b")));
    assert_eq!(scene.pool.take().expect("it runs").stop(), 0);
    assert_eq!(wait(queries.ask("late".into())), Err(Unanswered::Busy), "it has ended");
}

#[test]
fn the_end_waits_for_what_is_being_done_and_lets_the_rest_go() {
    let mut scene = Scene::new(Config { grace: LONG, ..one_by_one() });
    let blocks = blocks(&["b", "x"]);
    blocks.iter().zip(0..).for_each(|(block, at)| scene.ask(at, deliver(block)));
    scene.wait_until_it_blocks();
    let pool = scene.pool.take().expect("it runs");
    let queues = pool.queues();
    let stopping = std::thread::spawn(move || pool.stop());
    while !queues.is_closed() {
        std::thread::yield_now();
    }
    scene.go_on.send(()).expect("it waits");
    assert_eq!(stopping.join().expect("no panic"), 0);
    assert!(scene.logic.upgrade().is_none(), "no thread holds the application any more");
    assert_eq!(scene.did(), Did::Delivered(0));
    assert!(scene.did.recv().is_err(), "the second was let go");
    assert!(scene.answers.recv().is_err(), "nobody is there for the answer");
}

#[test]
fn the_end_does_not_wait_for_ever_for_a_blocked_application() {
    let mut scene = Scene::new(Config { grace: Duration::from_millis(1), ..Config::default() });
    let blocks = blocks(&["b"]);
    scene.ask(0, deliver(&blocks[0]));
    scene.wait_until_it_blocks();
    let left = scene.pool.take().expect("it runs").stop();
    assert!(left >= 1, "the one that is blocked at least");
    assert!(scene.logic.upgrade().is_some());
    scene.go_on.send(()).expect("it waits");
    assert_eq!(scene.did(), Did::Delivered(0));
    assert!(scene.did.recv().is_err(), "the thread ended once it was let go");
    assert!(scene.answers.recv().is_err(), "nobody is there for the answer");
}

#[test]
fn a_panic_over_where_it_stands_is_a_failure() {
    let scene = Scene::new(Config::default());
    let logic = scene.logic.upgrade().expect("there");
    let failed = applied(&*logic).expect_err("it panics");
    assert_eq!(failed.reason, "the application panicked: I know not where I stand");
}

#[test]
fn unless_it_says_otherwise_a_block_is_as_good_as_its_worst_transaction() {
    struct Plain(Arc<Told>);
    impl Logic for Plain {
        fn check_tx(&self, tx: &[u8]) -> Verdict {
            self.0.check_tx(tx)
        }
        fn applied(&self) -> Result<Applied, Failed> {
            Err(std::io::Error::other("nowhere").into())
        }
        fn deliver(&self, _: &Block) -> Result<Applied, Failed> {
            Err(Failed::new("never"))
        }
    }
    let scene = Scene::new(Config::default());
    let plain = Plain(scene.logic.upgrade().expect("there"));
    assert_eq!(applied(&plain), Err(Failed::new("nowhere")));
    assert_eq!(plain.query(b"?"), Err(Failed::new("this application answers no questions")));
    let rejected = Verdict::Reject { reason: "as I was told".into() };
    let verdict = |all: &[&[u8]]| {
        let key = Key::from_seed(&[1; 32]);
        let params = Params::solo("told", 7, 0, key.public());
        let state = chain::native::State::genesis(&params);
        let mut builder = Builder::start(&params, &Tip::default(), &state, Slot(1));
        all.iter().for_each(|tx| builder.add(Bytes::copy_from_slice(tx)).expect("it fits"));
        let block = builder.finish(&key);
        assert_eq!(block.header.height, Height(0));
        plain.check_block(&block)
    };
    assert_eq!(verdict(&[]), Verdict::Accept);
    assert_eq!(verdict(&[b"x", b"y"]), Verdict::Accept);
    assert_eq!(verdict(&[b"x", b"i", b"y"]), Verdict::Ignore);
    for bad in [[b"r", b"x", b"i"], [b"i", b"r", b"x"], [b"x", b"i", b"r"]] {
        assert_eq!(verdict(&bad.map(|tx| tx.as_slice())), rejected);
    }

    let candidates = ["x", "i", "yyyyyyyyyyyyyyyyyyyy", "r", "z"].into_iter().zip(0..);
    let candidates: Vec<_> = candidates.map(|(tx, at)| (Hash([at; 32]), Bytes::from(tx))).collect();
    let built = |max_bytes| plain.build(Tip::default(), max_bytes, &candidates);
    assert_eq!(built(1_000), [0, 2, 4].map(|at| Hash([at; 32])));
    assert_eq!(built(12), [0, 4].map(|at| Hash([at; 32])));
    assert_eq!(built(11), [Hash([0; 32])]);
    assert_eq!(built(5), []);
}
