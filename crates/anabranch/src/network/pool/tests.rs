use std::num::NonZeroUsize;

use link::Violation;
use rand::SeedableRng;

use super::*;
use crate::network::address::Address;

const US: PeerId = PeerId([5; 32]);
const SMALL: PeerId = PeerId([1; 32]);
const LARGE: PeerId = PeerId([9; 32]);

type Sockets = Arc<Pool<&'static str>>;

fn pool(change: impl FnOnce(&mut Config)) -> Sockets {
    gated(change, Arc::new(Everybody))
}

fn gated(change: impl FnOnce(&mut Config), gate: Arc<dyn Gate>) -> Sockets {
    let mut config = Config::new([0; 32]);
    change(&mut config);
    let rng = ChaCha20Rng::seed_from_u64(3);
    Pool::new(US, Arc::new(config), Duration::from_secs(5), Clock::start(), gate, rng)
}

fn accept(pool: &Sockets) -> Berth<&'static str> {
    let berth = pool.accept(Remote::Pipe).expect("a place");
    berth.bearer_up(None);
    berth
}

fn dial(pool: &Sockets, peer: PeerId) -> Berth<&'static str> {
    let berth = pool.dial(peer, Remote::Pipe).expect("a place");
    berth.dialling();
    berth.bearer_up(None);
    berth
}

fn accepted(pool: &Sockets, peer: PeerId, name: &'static str) -> Berth<&'static str> {
    let berth = accept(pool);
    assert_eq!(berth.proven(peer), Ok(()));
    assert_eq!(berth.open(name), Ok(None));
    berth
}

fn reasons(pool: &Sockets) -> Vec<&'static str> {
    pool.departed().recent.iter().map(|gone| gone.reason).collect()
}

#[tokio::test(start_paused = true)]
async fn a_place_is_counted_before_the_handshake_and_released_on_drop() {
    let pool = pool(|config| {
        config.caps.connections = NonZeroUsize::new(2).unwrap();
        config.caps.reserved = 0;
    });
    let (one, two) = (accept(&pool), accept(&pool));
    assert_eq!(pool.accept(Remote::Pipe).err(), Some(NoPlace::Full(Full::Connections)));
    assert_eq!(pool.counts(), (2, 2));
    assert_eq!((one.proven(SMALL), one.open("one")), (Ok(()), Ok(None)));
    assert_eq!(pool.counts(), (2, 1));
    drop(two);
    assert_eq!(pool.counts(), (1, 0));
    drop(one);
    assert_eq!((pool.counts(), pool.open_with(SMALL)), ((0, 0), None));
    assert_eq!(pool.departed().refused.full, 1);
}

#[tokio::test(start_paused = true)]
async fn one_connection_per_key_whatever_the_addresses() {
    let pool = pool(|_| ());
    let old = accepted(&pool, SMALL, "old");
    let new = accept(&pool);
    assert_eq!(new.proven(SMALL), Ok(()));
    assert_eq!(pool.open_with(SMALL), Some("old"), "it is not replaced before the new one is open");
    assert_eq!(new.open("new"), Ok(Some("old")));
    old.end(Reason::Duplicate, 0);
    drop(old);
    assert_eq!((pool.open_with(SMALL), pool.all_open()), (Some("new"), vec!["new"]));
}

#[tokio::test(start_paused = true)]
async fn of_two_made_at_once_the_smaller_keys_stays_in_every_order() {
    for (peer, ours_stays) in [(SMALL, false), (LARGE, true)] {
        for ours_first in [true, false] {
            let pool = pool(|_| ());
            let (ours, theirs) = (dial(&pool, peer), accept(&pool));
            let (winner, loser) = if ours_stays { (&ours, &theirs) } else { (&theirs, &ours) };
            if ours_first == ours_stays {
                assert_eq!(winner.proven(peer), Ok(()));
                assert_eq!(loser.proven(peer), Err(Reason::Duplicate));
                assert_eq!(winner.open("winner"), Ok(None));
            } else {
                // The loser may have opened, or open even after the winner did.
                assert_eq!(loser.proven(peer), Ok(()));
                assert_eq!(winner.proven(peer), Ok(()));
                assert_eq!(winner.open("winner"), Ok(None));
                assert_eq!(loser.open("loser"), Err(Reason::Duplicate));
            }
            assert_eq!(pool.open_with(peer), Some("winner"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_comes_back_is_not_locked_out_by_its_dying_connection() {
    let pool = pool(|_| ());
    let dying = dial(&pool, LARGE);
    assert_eq!((dying.proven(LARGE), dying.open("dying")), (Ok(()), Ok(None)));
    tokio::time::advance(Duration::from_secs(6)).await;
    let back = accept(&pool);
    assert_eq!((back.proven(LARGE), back.open("back")), (Ok(()), Ok(Some("dying"))));
}

#[tokio::test(start_paused = true)]
async fn nothing_changes_before_a_key_is_proven() {
    let pool = pool(|_| ());
    assert!(pool.add(LARGE, Some(Address::Unix("peer".into())), None).is_ok());
    let open = accepted(&pool, LARGE, "open");
    for _ in 0..50 {
        let nobody = accept(&pool);
        nobody.end(Reason::Violation(Violation::Strikes { count: 16 }), 16);
    }
    assert_eq!(pool.open_with(LARGE), Some("open"));
    assert!(pool.lock().peers.cooled_until(LARGE).is_none());
    drop(open);
    assert_eq!(reasons(&pool).len(), 51);
}

#[tokio::test(start_paused = true)]
async fn hook_ban_and_cool_off_are_asked_once_the_key_is_proven() {
    let lists = Lists { deny: [LARGE].into(), ..Lists::default() };
    let pool = gated(|_| (), Arc::new(lists));
    assert_eq!(accept(&pool).proven(LARGE), Err(Reason::NotAllowed));
    let faulty = accepted(&pool, SMALL, "faulty");
    faulty.end(Reason::Violation(Violation::Strikes { count: 16 }), 16);
    drop(faulty);
    assert_eq!(accept(&pool).proven(SMALL), Err(Reason::CoolingOff));
    tokio::time::advance(Duration::from_secs(601)).await;
    let pending = accept(&pool);
    assert_eq!(pending.proven(SMALL), Ok(()));
    assert_eq!(pool.ban(SMALL), Ok((true, vec![])));
    assert_eq!(pending.open("pending"), Err(Reason::Banned));
    assert_eq!(accept(&pool).proven(SMALL), Err(Reason::Banned));
    assert!(pool.unban(SMALL));
    assert_eq!(accept(&pool).proven(SMALL), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_pinned_peer_finds_a_place_when_all_others_are_taken() {
    let pool = pool(|config| {
        config.caps.connections = NonZeroUsize::new(3).unwrap();
        config.caps.reserved = 1;
    });
    assert!(pool.add(SMALL, None, Some(true)).is_ok());
    let (_one, _two) = (accepted(&pool, LARGE, "one"), accepted(&pool, PeerId([8; 32]), "two"));
    assert_eq!(accept(&pool).proven(PeerId([7; 32])), Err(Reason::NoPlace));
    let _pinned = accepted(&pool, SMALL, "pinned");
    assert_eq!(pool.accept(Remote::Pipe).err(), Some(NoPlace::Full(Full::Connections)));
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_loses_its_place_to_a_newcomer() {
    let pool = pool(|config| {
        config.caps.connections = NonZeroUsize::new(3).unwrap();
        config.caps.reserved = 1;
    });
    let (silent, proven, last) = (accept(&pool), accept(&pool), accept(&pool));
    assert_eq!(proven.proven(LARGE), Ok(()));
    assert_eq!(pool.accept(Remote::Pipe).err(), Some(NoPlace::Full(Full::Connections)), "they are new");
    tokio::time::advance(Duration::from_secs(1)).await;
    let newcomer = accept(&pool);
    silent.evicted().await;
    assert_eq!(silent.proven(SMALL), Err(Reason::NoPlace), "it is too late");
    assert_eq!(pool.counts(), (3, 3));
    drop(silent);
    assert_eq!((pool.counts(), reasons(&pool)), ((3, 3), vec!["no_place"]));
    assert_eq!((newcomer.proven(SMALL), newcomer.open("newcomer")), (Ok(()), Ok(None)));
    // Then the last silent one; whoever has proven a key stays, open or not.
    let _other = accept(&pool);
    last.evicted().await;
    assert_eq!(pool.accept(Remote::Pipe).err(), Some(NoPlace::Full(Full::Connections)));
    assert_eq!(proven.open("proven"), Ok(None));
    drop((last, proven, newcomer));
    assert_eq!(pool.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_tries_too_often_gets_nobodys_place() {
    let pool = pool(|config| {
        config.caps.connections = NonZeroUsize::new(1).unwrap();
        config.caps.reserved = 0;
    });
    let from = |host: u8| Remote::Ip(([10, 0, 0, host], 1).into());
    let silent = pool.accept(from(1)).unwrap();
    silent.bearer_up(None);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(pool.accept(from(1)).err(), Some(NoPlace::Tries(tries::TooMany::Address)));
    assert_eq!((pool.counts(), pool.departed().refused.too_many_tries), ((1, 1), 1));
    assert_eq!(silent.proven(SMALL), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn one_address_evicts_only_its_own() {
    let pool = pool(|config| config.caps.per_address = NonZeroUsize::new(1).unwrap());
    let from = |host: u8| Remote::Ip(([127, 0, 0, host], 1).into());
    let (one, two) = (pool.accept(from(1)).unwrap(), pool.accept(from(2)).unwrap());
    tokio::time::advance(Duration::from_secs(1)).await;
    let again = pool.accept(from(2)).unwrap();
    two.evicted().await;
    assert_eq!(pool.counts(), (2, 2));
    drop((one, two, again));
    assert_eq!(pool.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn failed_dials_leave_nothing_behind_but_their_pause() {
    let pool = pool(|_| ());
    let address = Address::Unix("peer".into());
    assert!(pool.add(LARGE, Some(address.clone()), None).is_ok());
    let token = pool.begin(LARGE).expect("to be dialled");
    assert!(pool.begin(LARGE).is_none(), "one task dials a peer");
    for _ in 0..40 {
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(pool.next(LARGE, &token), Next::Dial(address.clone()));
        let berth = pool.dial(LARGE, Remote::Pipe).expect("a place");
        berth.dialling();
        berth.end(Reason::DialTimeout, 0);
        pool.failed(LARGE, &token, &Reason::DialTimeout);
    }
    assert_eq!(pool.counts(), (0, 0));
    assert_eq!(pool.next(LARGE, &token), Next::Stop, "it is given up");
    assert!(pool.known()[0].given_up && pool.begin(LARGE).is_none());
    assert!(pool.add(LARGE, None, Some(true)).is_ok());
    let token = pool.begin(LARGE).expect("it is pinned now");
    for _ in 0..100 {
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(pool.next(LARGE, &token), Next::Dial(address.clone()));
        pool.failed(LARGE, &token, &Reason::DialTimeout);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_given_up_because_there_is_no_place_here() {
    let pool = pool(|_| ());
    assert!(pool.add(LARGE, Some(Address::Unix("peer".into())), None).is_ok());
    let token = pool.begin(LARGE).expect("to be dialled");
    for _ in 0..100 {
        pool.failed(LARGE, &token, &Reason::NoPlace);
    }
    assert!(!pool.known()[0].given_up);
    pool.failed(LARGE, &token, &Reason::DialTimeout);
    assert!(pool.known()[0].given_up);
}

#[tokio::test(start_paused = true)]
async fn who_is_dropped_or_banned_is_dialled_no_more() {
    let pool = pool(|_| ());
    let address = Some(Address::Unix("peer".into()));
    assert!(pool.add(LARGE, address.clone(), None).is_ok());
    let token = pool.begin(LARGE).expect("to be dialled");
    assert!(pool.ban(LARGE).is_ok());
    assert!(token.is_cancelled() && pool.begin(LARGE).is_none());
    assert_eq!(pool.next(LARGE, &token), Next::Stop);
    assert!(pool.unban(LARGE));
    let token = pool.begin(LARGE).expect("to be dialled again");
    assert_eq!(pool.forget(LARGE), (true, vec![]));
    assert!(token.is_cancelled() && pool.begin(LARGE).is_none());
}

#[tokio::test(start_paused = true)]
async fn who_is_connected_is_not_dialled_and_is_again_once_that_is_over() {
    let pool = pool(|_| ());
    assert!(pool.add(LARGE, Some(Address::Unix("peer".into())), None).is_ok());
    let token = pool.begin(LARGE).expect("to be dialled");
    let open = accepted(&pool, LARGE, "open");
    assert_eq!(pool.next(LARGE, &token), Next::Stop);
    tokio::time::advance(Duration::from_secs(61)).await;
    drop(open);
    let token = pool.begin(LARGE).expect("to be dialled");
    let Next::Wait(at) = pool.next(LARGE, &token) else { panic!("it waits a little") };
    assert!(at <= pool.clock.now().mono + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn one_task_dials_a_peer_though_its_connection_ended_at_once() {
    let pool = pool(|_| ());
    assert!(pool.add(LARGE, Some(Address::Unix("peer".into())), None).is_ok());
    let token = pool.begin(LARGE).expect("to be dialled");
    let berth = dial(&pool, LARGE);
    assert_eq!((berth.proven(LARGE), berth.open("open")), (Ok(()), Ok(None)));
    // The task that dialled has not looked yet.
    berth.end(Reason::Eof, 0);
    drop(berth);
    assert!(pool.begin(LARGE).is_none(), "it dials on");
    assert!(matches!(pool.next(LARGE, &token), Next::Wait(_)));
    assert!(pool.begin(LARGE).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_pin_moves_who_is_connected_to_a_reserved_place_and_its_end_moves_it_back() {
    let pool = pool(|config| {
        config.caps.connections = NonZeroUsize::new(2).unwrap();
        config.caps.reserved = 1;
    });
    let _first = accepted(&pool, SMALL, "first");
    let stranger = || {
        let berth = pool.accept(Remote::Pipe).ok()?;
        berth.bearer_up(None);
        (berth.proven(LARGE) == Ok(())).then_some(berth)
    };
    assert!(stranger().is_none(), "the ordinary place is taken, and the other is for the pinned");
    pool.add(SMALL, None, Some(true)).expect("there is room");
    let second = stranger().expect("the ordinary place is free now");
    assert!(pool.unpin(SMALL), "it keeps its place, since there is no other");
    drop(second);
    assert!(!pool.unpin(SMALL));
    assert!(stranger().is_none(), "it went back to the ordinary place when that was free");
}
