//! What must be so once the faults have ended, and when all is quiet: progress, equal heads, nothing under way.

use std::time::Duration;

use super::check::Broken;
use super::config::Config;
use super::way::CHANNELS;
use super::world::{EPOCH, World};

/// How much sooner than at the end of its rest a validator may speak: clocks drift, and not all saw the last block at the
/// same moment.
const MARGIN: Duration = Duration::from_secs(1);

impl World {
    /// Who has not got further than all were when the faults ended: by two blocks, since one may have been decided.
    fn behind(&self) -> Vec<u32> {
        let has_got_on = |node: &u32| self.hosts[*node as usize].settled() >= self.over_at + 2;
        let is_measured = self.config.load.every.is_some();
        self.honest().filter(|node| is_measured && !has_got_on(node)).collect()
    }

    /// The faults ended long ago: everybody has what was irreversible then, and more.
    pub(super) fn check_progress(&self) -> Result<(), Broken> {
        let behind = self.behind();
        if behind.is_empty() {
            return Ok(());
        }
        let stand = behind.into_iter().take(8).map(|node| self.describe(node));
        let what = format!(
            "{} blocks were irreversible when the faults ended, {} are now; {}",
            self.over_at,
            self.checker.settled(),
            stand.collect::<Vec<_>>().join("; ")
        );
        Err(Broken::Stuck { what })
    }

    /// Whether there was no progress yet, or what was put in is not in the chain, or a block may be on its way.
    pub(super) fn is_under_way(&self, now: Duration) -> bool {
        if !self.behind().is_empty() {
            return true;
        }
        let has_waiting = |node: u32| {
            let host = &self.hosts[node as usize];
            let status = host.node.as_ref().map(|it| it.status(host.clock.read(now, EPOCH)));
            status.is_some_and(|status| status.pool > 0)
        };
        !self.is_between_blocks(now) || self.has_rest() && self.honest().any(has_waiting)
    }

    /// Whether a block did not come so lately that somebody may not know of it, nor so long ago that the next one, an empty
    /// one, may be on its way. Always, where blocks never rest.
    pub(super) fn is_between_blocks(&self, now: Duration) -> bool {
        let Config { rest, quiet, .. } = self.config;
        let since = now.saturating_sub(self.settled_at);
        !self.has_rest() || (quiet..rest.saturating_sub(MARGIN)).contains(&since)
    }

    /// Whether there is a time between two empty blocks in which all can come to rest.
    fn has_rest(&self) -> bool {
        self.config.rest >= self.config.quiet
    }

    /// The end: all is quiet (P2, P3, B1), and nothing was forgotten on the way.
    pub(super) fn check_rest(&self) -> Result<(), Broken> {
        if !self.has_rest() {
            return Ok(());
        }
        let at_rest = |what: String| Err(Broken::AtRest { what });
        let expected = self.checker.settled();
        let since = self.ended.saturating_sub(self.settled_at);
        if since < self.config.quiet {
            return at_rest(format!(
                "blocks come though there is nothing to say; the last one {since:.1?} ago"
            ));
        }
        for node in self.honest() {
            let host = &self.hosts[node as usize];
            let now = host.clock.read(self.schedule.now().mono, EPOCH);
            let Some(status) = host.node.as_ref().map(|it| it.status(now)) else {
                return at_rest(format!("node {node} does not run"));
            };
            if host.settled() != expected || status.head != status.irreversible {
                return at_rest(format!("{expected} blocks are irreversible; {}", self.describe(node)));
            }
            if status.pool > 0 {
                return at_rest(format!("transactions are left over; {}", self.describe(node)));
            }
            if status.wanted > 0 || status.verifying > 0 {
                return at_rest(format!("something is under way; {}", self.describe(node)));
            }
            if host.app.count() != expected {
                return at_rest(format!(
                    "the application of node {node} has {} of {expected} blocks",
                    host.app.count()
                ));
            }
        }
        self.check_links()
    }

    /// At rest every link between two that keep to the rules is open, with nothing on it, and all credit is back but
    /// for less than a lump.
    fn check_links(&self) -> Result<(), Broken> {
        for edge in &self.net.links {
            let [a, b] = edge.hosts;
            if !self.config.is_honest(a) || !self.config.is_honest(b) {
                continue;
            }
            let at_rest = |what: &str| Err(Broken::AtRest { what: format!("{a} and {b} {what}") });
            if edge.open != [true; 2] || edge.is_cut {
                return at_rest("are not linked");
            }
            for way in &edge.ways {
                if !way.is_idle() || way.untaken() > 0 {
                    return at_rest("have something under way, or not done with");
                }
                if let Some(channel) = way.short_of() {
                    return at_rest(&format!("do not grant credit back on channel {}", CHANNELS[channel]));
                }
            }
        }
        Ok(())
    }

    /// The nodes that keep to the rules.
    pub(super) fn honest(&self) -> impl Iterator<Item = u32> {
        (0..self.config.nodes).filter(|node| self.config.is_honest(*node))
    }

    /// Where a node stands, for a person.
    pub(super) fn describe(&self, node: u32) -> String {
        let host = &self.hosts[node as usize];
        let Some(it) = &host.node else { return format!("node {node} does not run") };
        let status = it.status(host.clock.read(self.schedule.now().mono, EPOCH));
        let (ranged, consensus) = status.member.map_or_else(Default::default, |member| {
            let it = member.consensus;
            let height = it.height.map_or(0, |height| height.0);
            let weights = format!("{} and {} of {} voted", it.prevotes, it.precommits, it.weight);
            (member.ranged, format!("{height}/{}, {weights}: {}", it.round, it.waiting))
        });
        format!(
            "node {node} is {}: {} settled, head {}, {} headers, {} wanted, {ranged} of them in ranges, {} verifying; {consensus}",
            status.state.name(),
            status.settled,
            status.head.height,
            status.headers,
            status.wanted,
            status.verifying,
        )
    }
}
