//! The configuration of a member in the words of the node and of the application's threads.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use chain::native::Key;
use consensus::quorum::{self, Bounds};
use diffusion::relay;
use link::PeerId;
use node::{member, pool};

use crate::config::{self, Config};
use crate::logic;

/// What the node keeps to.
pub(super) fn settings(config: &Config, key: Option<Key>, peer_id: PeerId) -> member::Config {
    let (sync, application) = (&config.sync, &config.application);
    let mut settings = member::Config::new(key, peer_id);
    settings.quorum = times(&config.consensus);
    settings.sync.parked_fins = size(sync.parked_finality);
    settings.bodies.wants = size(sync.wants);
    settings.bodies.announcers = size(sync.announcers);
    settings.bodies.parked = size(sync.parked);
    settings.bodies.early_bytes = size(sync.early_bytes);
    settings.bodies.timeout_min = ms(sync.body_timeout_min_ms);
    settings.bodies.timeout_max = ms(sync.body_timeout_max_ms);
    settings.bodies.least_bytes_per_s = sync.least_bytes_per_s;
    settings.ranges.window_items = sync.window_blocks;
    settings.ranges.window_bytes = sync.window_bytes;
    settings.ranges.timeout_min = ms(sync.range_timeout_min_ms);
    settings.ranges.timeout_max = ms(sync.range_timeout_max_ms);
    settings.pool = waiting(&config.pool);
    settings.tree.max_headers = size(sync.max_headers);
    // Undecided siblings are branches of their own.
    settings.tree.max_branches = size(sync.max_headers);
    settings.tree.max_bytes = bytes(sync.max_bytes);
    settings.headers_ahead = sync.headers_ahead;
    settings.headers_per_peer = sync.headers_per_peer;
    settings.headers_per_producer = sync.headers_per_producer;
    settings.near = sync.near;
    settings.snapshots = sync.snapshots;
    settings.snapshot_worth = sync.snapshot_worth;
    settings.snapshot_wait = ms(sync.snapshot_wait_ms);
    settings.snapshot_tries = sync.snapshot_tries;
    settings.pieces.patience = ms(sync.piece_timeout_ms);
    settings.pieces.lonely = settings.snapshot_wait;
    settings.pieces.stalled = settings.snapshot_wait * 10;
    settings.loaded_headers = size(sync.loaded_headers);
    relay(&config.relay, &mut settings.relay);
    settings.relay.judge_timeout = ms(application.check_timeout_ms);
    // No more questions than wait for the application without being turned away.
    settings.relay.max_judging = size(application.max_checks).get();
    settings.relay.judging_bytes = bytes(application.max_check_bytes).get();
    settings.deliveries = application.deliveries;
    settings.delivery_bytes = bytes(application.delivery_bytes);
    settings
}

/// How the application is asked.
pub(super) fn asking(config: &config::Application) -> logic::Config {
    logic::Config {
        check_threads: size(config.check_threads),
        max_checks: size(config.max_checks).get(),
        max_check_bytes: bytes(config.max_check_bytes).get(),
        max_delivered: size(config.max_delivered),
        patience: ms(config.patience_ms),
        grace: ms(config.grace_ms),
        ..logic::Config::default()
    }
}

fn times(config: &config::Consensus) -> quorum::Config {
    quorum::Config {
        propose: Bounds { least: ms(config.propose_least_ms), most: ms(config.propose_most_ms) },
        vote: Bounds { least: ms(config.vote_least_ms), most: ms(config.vote_most_ms) },
        growth_percent: config.growth_percent.get(),
        repeat: ms(config.repeat_ms),
        rest: Duration::from_millis(config.rest_ms),
    }
}

fn relay(config: &config::Relay, settings: &mut relay::Config) {
    settings.open_offers = config.open_offers;
    settings.asked_ids = size(config.asked_ids);
    settings.first_ids = size(config.first_ids);
    settings.asked_bytes = size(config.asked_bytes).get();
    settings.lease = ms(config.lease_ms);
    settings.patience = ms(config.patience_ms);
    settings.max_judging = size(config.max_judging).get();
    settings.judging_bytes = size(config.judging_bytes).get();
    settings.offer_delay = Duration::from_millis(config.offer_delay_ms);
    settings.reoffer_first = ms(config.reoffer_first_ms);
    settings.reoffer_max = ms(config.reoffer_max_ms);
    settings.ignored_for = Duration::from_millis(config.ignored_for_ms);
    settings.max_seen = size(config.max_seen).get();
    settings.max_bad = size(config.max_bad).get();
    settings.bad_burst = config.bad_burst.get();
    settings.bad_pace = ms(config.bad_pace_ms);
}

fn waiting(config: &config::Pool) -> pool::Config {
    pool::Config {
        max_count: size(config.max_count).get(),
        max_bytes: bytes(config.max_bytes).get(),
        max_tx_bytes: size(config.max_tx_bytes).get(),
    }
}

fn ms(ms: NonZeroU64) -> Duration {
    Duration::from_millis(ms.get())
}

fn size(number: NonZeroU32) -> NonZeroUsize {
    NonZeroUsize::try_from(number).unwrap_or(NonZeroUsize::MAX)
}

fn bytes(number: NonZeroU64) -> NonZeroUsize {
    NonZeroUsize::try_from(number).unwrap_or(NonZeroUsize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A default is written down where operators see it and where embedders do: it must be the same, but for the pause
    /// of a chain with nothing to say, which a test has no use for.
    #[test]
    fn a_default_configuration_gives_the_defaults_of_node_and_application() {
        let (config, us) = (Config::default(), PeerId([1; 32]));
        let ours = settings(&config, None, us);
        let mut theirs = member::Config::new(None, us);
        theirs.quorum.rest = ours.quorum.rest;
        assert_eq!(format!("{ours:#?}"), format!("{theirs:#?}"));
        assert_eq!(asking(&config.application), logic::Config::default());
    }
}
