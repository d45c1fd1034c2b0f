//! Whether and how fast the chain moves: for the status alone, no decision rests on it.

use std::time::Duration;

use chain::{Height, Tip};

use crate::status::State;

/// Nothing new for so long while upstreams state more: an operator should know. A guess: longer than a
/// time-out of a range, its second try and a cool-off.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// Fewer blocks behind than this count as caught up: a server states its new tip before we have the body.
const NEAR: u64 = 2;

/// How the head moved.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// When something last moved.
    moved: Duration,
    /// Where the present sync began.
    from: Option<(Duration, Height)>,
}

impl Progress {
    /// A header or a body was accepted.
    pub(crate) fn moved(&mut self, now: Duration) {
        self.moved = now;
    }

    /// The head is at this height while upstreams state that one.
    pub(crate) fn look(&mut self, now: Duration, head: Height, claimed: Option<Height>) {
        match claimed {
            Some(claimed) if claimed.0 > head.0 + NEAR => {
                self.from.get_or_insert((now, head));
            }
            _ => self.from = None,
        }
    }

    /// The state of a node that follows and has upstreams.
    pub(crate) fn state(&self, now: Duration, head: Tip, claimed: Option<Tip>) -> State {
        let claimed = claimed.map_or(0, |tip| tip.height.0);
        let missing = claimed.saturating_sub(head.height.0);
        if missing <= NEAR {
            return State::CaughtUp;
        }
        let idle = now.saturating_sub(self.moved);
        if idle >= STALLED_AFTER {
            return State::Stalled { idle };
        }
        let percent = 100.0 * head.height.0 as f64 / claimed as f64;
        State::Syncing { percent, left: self.left(now, head.height, missing) }
    }

    fn left(&self, now: Duration, head: Height, missing: u64) -> Option<Duration> {
        let (since, from) = self.from?;
        let done = head.0.checked_sub(from.0).filter(|done| *done > 0)?;
        Duration::try_from_secs_f64((now.saturating_sub(since)).as_secs_f64() * missing as f64 / done as f64)
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip(height: u64) -> Tip {
        Tip { height: Height(height), ..Tip::default() }
    }

    #[test]
    fn says_how_long_a_sync_will_take() {
        let second = Duration::from_secs;
        let mut progress = Progress::default();
        progress.moved(second(10));
        progress.look(second(10), Height(100), Some(Height(1_100)));
        let state = progress.state(second(20), tip(350), Some(tip(1_100)));
        let State::Syncing { percent, left } = state else { panic!("{state:?}") };
        assert!((percent - 31.8).abs() < 0.1);
        assert_eq!(left, Some(second(30)), "250 in 10 s, 750 are missing");
    }

    #[test]
    fn is_stalled_when_upstreams_state_more_and_nothing_comes() {
        let mut progress = Progress::default();
        progress.moved(Duration::from_secs(10));
        let state = progress.state(Duration::from_secs(70), tip(1), Some(tip(9)));
        assert_eq!(state, State::Stalled { idle: Duration::from_secs(60) });
        assert_eq!(progress.state(Duration::from_secs(70), tip(8), Some(tip(9))), State::CaughtUp);
    }
}
