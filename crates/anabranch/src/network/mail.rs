//! What waits for whoever drives the network: which links opened and closed, what changed on them, and what came.
//!
//! It has no bound of its own and needs none. Of messages a peer can have no more in it than its windows, and all of them
//! together no more than the byte budget; a link has one place in it however much changes, and one that ended without
//! having been seen is forgotten unless it left a message.
//!
//! **Invariant:** nothing of a link comes out before it has joined and after it has left. Of two links with one peer the
//! one that opened first leaves before the other joins.

use std::collections::{BTreeMap, VecDeque};

use super::fair::{Fair, Way};
use link::PeerId;

/// Links `L` and the messages `D` that came over them.
#[derive(Debug)]
pub(super) struct Mail<L, D> {
    waiting: Fair<(u64, D)>,
    links: BTreeMap<u64, Entry<L, D>>,
    /// The links with each peer, in the order in which they opened.
    peers: BTreeMap<PeerId, VecDeque<u64>>,
    /// The links that have something to tell, each once.
    news: VecDeque<u64>,
}

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<L, D> {
    /// A link opened.
    Joined(L),
    /// Something changed on it.
    Changed(L, Changes),
    /// It closed.
    Left(PeerId),
    /// A message came.
    Message(D),
}

/// What changed on a link since that was told last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// A round trip was measured.
    pub(super) rtt: bool,
    /// There is more room.
    pub(super) room: bool,
    /// Its peer was given a reserved place, or lost it.
    pub(super) pinned: bool,
}

#[derive(Debug)]
struct Entry<L, D> {
    peer: PeerId,
    link: L,
    phase: Phase<D>,
    has_ended: bool,
    changes: Changes,
    /// Whether it is among the news.
    is_news: bool,
}

#[derive(Debug)]
enum Phase<D> {
    /// It has not joined yet. These came over it.
    Untold(Vec<(Way, D)>),
    /// It has joined. So many of its messages wait.
    Told(usize),
}

impl<L, D> Default for Mail<L, D> {
    fn default() -> Self {
        Self {
            waiting: Fair::default(),
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            news: VecDeque::new(),
        }
    }
}

impl<L: Clone, D> Mail<L, D> {
    /// A link opened; with it, every earlier one with its peer is over.
    pub(super) fn open(&mut self, id: u64, peer: PeerId, link: L) {
        let earlier: Vec<u64> = self.peers.get(&peer).into_iter().flatten().copied().collect();
        earlier.into_iter().for_each(|id| self.end(id));
        let phase = Phase::Untold(Vec::new());
        let changes = Changes::default();
        self.links.insert(id, Entry { peer, link, phase, has_ended: false, changes, is_news: false });
        self.peers.entry(peer).or_default().push_back(id);
        self.tell(id);
    }

    /// The end of a link has begun.
    pub(super) fn end(&mut self, id: u64) {
        let Some(entry) = self.links.get_mut(&id) else { return };
        entry.has_ended = true;
        match &entry.phase {
            Phase::Untold(early) if early.is_empty() => _ = self.forget(id),
            Phase::Untold(_) => {}
            Phase::Told(_) => self.tell(id),
        }
    }

    /// Something changed on a link.
    pub(super) fn change(&mut self, id: u64, changes: Changes) {
        let Some(entry) = self.links.get_mut(&id) else { return };
        entry.changes.rtt |= changes.rtt;
        entry.changes.room |= changes.room;
        entry.changes.pinned |= changes.pinned;
        self.tell(id);
    }

    /// Puts a message behind those of its channel and its link. Comes back where the link has left already.
    pub(super) fn put(&mut self, id: u64, way: Way, message: D) -> Option<D> {
        match self.links.get_mut(&id).map(|entry| &mut entry.phase) {
            None => return Some(message),
            Some(Phase::Untold(early)) => early.push((way, message)),
            Some(Phase::Told(waiting)) => {
                *waiting += 1;
                self.waiting.push(way, id, (id, message));
            }
        }
        None
    }

    /// Takes what is next: news of links, then messages of the urgent lanes, then of each link and each of its channels in turn.
    pub(super) fn pop(&mut self) -> Option<Item<L, D>> {
        while let Some(id) = self.news.pop_front() {
            if let Some(news) = self.news_of(id) {
                return Some(news);
            }
        }
        let (id, message) = self.waiting.pop()?;
        if let Some(entry) = self.links.get_mut(&id)
            && let Phase::Told(waiting) = &mut entry.phase
        {
            *waiting -= 1;
            if entry.has_ended && *waiting == 0 {
                self.tell(id);
            }
        }
        Some(Item::Message(message))
    }

    /// The peers of whom messages wait.
    pub(super) fn unread(&self) -> impl Iterator<Item = PeerId> {
        let waits = |entry: &&Entry<L, D>| matches!(entry.phase, Phase::Told(waiting) if waiting > 0);
        self.links.values().filter(waits).map(|entry| entry.peer)
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        let early = self.links.values().map(|entry| match &entry.phase {
            Phase::Untold(early) => early.len(),
            Phase::Told(_) => 0,
        });
        self.waiting.len() + early.sum::<usize>()
    }

    fn tell(&mut self, id: u64) {
        if let Some(entry) = self.links.get_mut(&id)
            && !std::mem::replace(&mut entry.is_news, true)
        {
            self.news.push_back(id);
        }
    }

    fn news_of(&mut self, id: u64) -> Option<Item<L, D>> {
        let Self { links, peers, waiting: mail, .. } = self;
        let entry = links.get_mut(&id)?;
        entry.is_news = false;
        match &mut entry.phase {
            // It is told when the one before it has left.
            Phase::Untold(_) if peers[&entry.peer].front() != Some(&id) => None,
            Phase::Untold(early) => {
                let early = std::mem::take(early);
                entry.phase = Phase::Told(early.len());
                // Who is told of it sees it as it is.
                entry.changes = Changes::default();
                early.into_iter().for_each(|(way, message)| mail.push(way, id, (id, message)));
                Some(Item::Joined(entry.link.clone()))
            }
            Phase::Told(waiting) if entry.has_ended => {
                // Else it leaves behind the last of them.
                if *waiting == 0 { self.forget(id).map(Item::Left) } else { None }
            }
            Phase::Told(_) => {
                let changes = std::mem::take(&mut entry.changes);
                (changes != Changes::default()).then(|| Item::Changed(entry.link.clone(), changes))
            }
        }
    }

    /// Takes a link out, and lets the next one with its peer join.
    fn forget(&mut self, id: u64) -> Option<PeerId> {
        let peer = self.links.remove(&id)?.peer;
        let ids = self.peers.get_mut(&peer)?;
        ids.retain(|other| *other != id);
        match ids.front().copied() {
            Some(next) => self.tell(next),
            None => _ = self.peers.remove(&peer),
        }
        Some(peer)
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        let mut of_peers: Vec<u64> = self.peers.values().flatten().copied().collect();
        of_peers.sort_unstable();
        assert!(of_peers.iter().eq(self.links.keys()), "each link is its peer's");
        assert!(self.peers.values().all(|ids| !ids.is_empty()), "nothing is held for who has no link");
        let told = self.links.values().filter_map(|entry| match entry.phase {
            Phase::Told(waiting) => Some(waiting),
            Phase::Untold(_) => None,
        });
        assert_eq!(told.sum::<usize>(), self.waiting.len(), "what waits is a link's that has joined");
        for ids in self.peers.values() {
            let untold = |id: &u64| matches!(self.links[id].phase, Phase::Untold(_));
            assert!(ids.iter().skip(1).all(untold), "one link of a peer at a time");
            let ended = ids.iter().rev().skip(1).all(|id| self.links[id].has_ended);
            assert!(ended, "a newer link ends those before it");
            let left_something = |id: &u64| {
                let entry = &self.links[id];
                !matches!(&entry.phase, Phase::Untold(early) if entry.has_ended && early.is_empty())
            };
            assert!(ids.iter().all(left_something), "who ended unseen and silent is forgotten");
        }
    }
}

#[cfg(test)]
mod tests {
    use link::Protocol;
    use link::channel::Lane;
    use proptest::prelude::*;

    use super::*;

    const PEER: PeerId = PeerId([1; 32]);

    fn way(lane: Lane) -> Way {
        Way { lane, channel: Protocol(7) }
    }

    fn all<L: Clone, D>(mail: &mut Mail<L, D>) -> Vec<Item<L, D>> {
        std::iter::from_fn(|| mail.pop()).collect()
    }

    #[test]
    fn what_came_before_the_end_comes_out_before_it() {
        let mut mail = Mail::default();
        mail.open(1, PEER, "a");
        assert_eq!(mail.put(1, way(Lane::Bulk), 1), None);
        mail.end(1);
        assert_eq!(mail.put(1, way(Lane::Consensus), 2), None);
        let out = [Item::Joined("a"), Item::Message(2), Item::Message(1), Item::Left(PEER)];
        assert_eq!(all(&mut mail), out);
        assert_eq!(mail.put(1, way(Lane::Bulk), 3), Some(3), "it has left");
    }

    #[test]
    fn a_link_that_is_replaced_leaves_before_the_new_one_joins() {
        let mut mail = Mail::default();
        mail.open(1, PEER, "a");
        mail.put(1, way(Lane::Bulk), 1);
        assert_eq!(mail.pop(), Some(Item::Joined("a")));
        mail.open(2, PEER, "b");
        mail.put(2, way(Lane::Consensus), 2);
        mail.change(2, Changes { rtt: true, ..Changes::default() });
        assert!(mail.unread().eq([PEER]), "a message of the link that it was told of waits");
        let out = [Item::Message(1), Item::Left(PEER), Item::Joined("b"), Item::Message(2)];
        assert_eq!(all(&mut mail), out);
        assert_eq!(mail.unread().next(), None);
    }

    #[test]
    fn a_link_that_ended_unseen_and_silent_is_forgotten() {
        let mut mail = Mail::<_, u8>::default();
        for id in 0..100 {
            mail.open(id, PEER, "a");
        }
        mail.end(99);
        assert_eq!(all(&mut mail), []);
        assert!(mail.links.is_empty() && mail.peers.is_empty());
    }

    #[test]
    fn changes_are_told_once_together() {
        let mut mail = Mail::<_, u8>::default();
        mail.open(1, PEER, "a");
        assert_eq!(mail.pop(), Some(Item::Joined("a")));
        for (rtt, room) in [(true, false), (false, true), (true, false)] {
            mail.change(1, Changes { rtt, room, pinned: rtt });
        }
        assert_eq!(all(&mut mail), [Item::Changed("a", Changes { rtt: true, room: true, pinned: true })]);
    }

    proptest! {
        /// Whatever happens in whatever order: each link joins, is said things of, and leaves, one after the other; and
        /// of a link that was not replaced before it was seen, no message is lost.
        #[test]
        fn nothing_of_a_link_is_told_out_of_its_time(
            steps in prop::collection::vec((0u8..10, 0u8..3, 0u64..40), 1..300),
        ) {
            let mut mail = Mail::default();
            let (mut next, mut open) = (0, BTreeMap::<PeerId, u64>::new());
            let mut here = BTreeMap::<PeerId, u64>::new();
            let (mut sent, mut got) = (Vec::new(), Vec::new());
            let mut take = |item: Item<(PeerId, u64), (PeerId, u64, usize)>| match item {
                Item::Joined((peer, id)) => assert!(here.insert(peer, id).is_none(), "one at a time"),
                Item::Changed((peer, id), _) => assert_eq!(here.get(&peer), Some(&id)),
                Item::Left(peer) => assert!(here.remove(&peer).is_some(), "who left was there"),
                Item::Message((peer, id, number)) => {
                    assert_eq!(here.get(&peer), Some(&id), "its link is there");
                    got.push((id, number));
                }
            };
            for (number, (action, peer, pick)) in steps.into_iter().enumerate() {
                let peer = PeerId([peer; 32]);
                let some = open.get(&peer).copied().unwrap_or(pick);
                match action {
                    0 => {
                        next += 1;
                        mail.open(next, peer, (peer, next));
                        open.insert(peer, next);
                    }
                    1 => {
                        mail.end(some);
                        open.retain(|_, id| *id != some);
                    }
                    2 => mail.change(some, Changes { rtt: true, room: pick % 2 == 0, pinned: false }),
                    3..6 => {
                        let lane = [Lane::Consensus, Lane::Routing, Lane::Bulk][(pick % 3) as usize];
                        if open.get(&peer) == Some(&some) {
                            prop_assert!(mail.put(some, way(lane), (peer, some, number)).is_none(), "it is open");
                            sent.push((some, number));
                        }
                    }
                    _ => mail.pop().into_iter().for_each(&mut take),
                }
                mail.check_invariants();
            }
            open.values().for_each(|id| mail.end(*id));
            all(&mut mail).into_iter().for_each(&mut take);
            mail.check_invariants();
            prop_assert!(mail.links.is_empty() && here.is_empty());
            sent.sort_unstable();
            got.sort_unstable();
            prop_assert_eq!(sent, got);
        }
    }
}
