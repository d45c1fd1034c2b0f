//! What a link carries and how long it waits.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use crate::agreement::{Agreed, AgreedChannel};
use crate::channel::{self, CONTROL, CONTROL_MAX_BYTES, Channel, Lane};
use crate::mux::Limit;
use crate::strikes;

/// The settings of the inbound half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What we take besides control, and in which measure; see [`channel::validate`].
    pub channels: Vec<Channel>,
    /// How many faults are too many.
    pub strikes: strikes::Config,
    /// How long one frame may take from its first byte to its last.
    pub frame_deadline: Duration,
    /// How long the peer may be silent.
    pub silence: Duration,
}

impl Config {
    /// The settings for these channels: strikes and silence from the specification's table of limits; for a frame what
    /// Cardano gives a segment (30 s).
    pub fn new(channels: Vec<Channel>) -> Self {
        Self {
            channels,
            strikes: strikes::Config::default(),
            frame_deadline: Duration::from_secs(30),
            silence: Duration::from_secs(75),
        }
    }
}

/// Settings that were checked. All links of a process share them.
#[derive(Debug, PartialEq, Eq)]
pub struct Rules {
    config: Config,
    channels: Box<[Channel]>,
    limits: Arc<[Limit]>,
    /// What is agreed on with a peer that is set as we are.
    usual: Arc<[AgreedChannel]>,
}

impl Rules {
    /// Checks the settings.
    ///
    /// # Errors
    /// When links could not work with them.
    pub fn new(config: Config) -> Result<Arc<Self>, channel::Error> {
        channel::validate(&config.channels)?;
        let channels: Box<[Channel]> =
            iter::once(CONTROL_CHANNEL).chain(config.channels.iter().copied()).collect();
        let limits = channels.iter().map(limit).collect();
        let usual = config.channels.iter().map(usual).collect();
        Ok(Arc::new(Self { config, channels, limits, usual }))
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// All channels, control first.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// The same terms; all links of the process share the usual ones.
    pub(crate) fn share(&self, agreed: Agreed) -> Agreed {
        let is_usual = agreed.channels == self.usual;
        if is_usual { Agreed { channels: self.usual.clone(), ..agreed } } else { agreed }
    }

    /// What a demux goes by whose link has agreed on these channels.
    pub(super) fn limits(&self, agreed: &Agreed) -> Arc<[Limit]> {
        let has = |number| {
            number == CONTROL || agreed.channels.iter().any(|agreed| agreed.channel.number == number)
        };
        if self.limits.iter().all(|limit| has(limit.protocol)) {
            return self.limits.clone();
        }
        self.limits.iter().filter(|limit| has(limit.protocol)).copied().collect()
    }
}

/// The channel that every link has. It has no credit: what comes on it is dealt with at once.
const CONTROL_CHANNEL: Channel = Channel {
    number: CONTROL,
    name: "control",
    lane: Lane::Control,
    share: 1,
    max_message_bytes: CONTROL_MAX_BYTES,
    window_bytes: u32::MAX,
    // A guess: more than any line needs that carries a link.
    deadline: Duration::from_secs(30),
};

fn limit(channel: &Channel) -> Limit {
    Limit { protocol: channel.number, ingress_bytes: channel.window_bytes }
}

fn usual(channel: &Channel) -> AgreedChannel {
    let Channel { max_message_bytes, window_bytes, .. } = *channel;
    AgreedChannel {
        channel: *channel,
        peer_max_message_bytes: max_message_bytes,
        peer_window_bytes: window_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_share_the_usual_terms_and_keep_others_to_themselves() {
        let rules = Rules::new(Config::new(channel::defaults())).expect("the defaults make sense");
        let agreed = |take: usize| Agreed {
            version: 1,
            agent: String::new(),
            channels: channel::defaults().iter().take(take).map(usual).collect(),
        };
        let (all, few) = (agreed(usize::MAX), agreed(2));
        assert!(Arc::ptr_eq(&rules.share(all.clone()).channels, &rules.share(all.clone()).channels));
        assert_eq!(rules.share(all.clone()), all);
        assert_eq!(rules.share(few.clone()), few);
    }
}
