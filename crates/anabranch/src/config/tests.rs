//! What is refused, and what holds of the defaults.

use std::num::NonZeroUsize;

use super::*;

fn with_upstreams(addresses: &[&str]) -> Config {
    let mut config = Config::default();
    config.upstream.addresses = addresses.iter().map(|address| (*address).into()).collect();
    config
}

#[test]
fn the_defaults_are_sound_and_survive_a_round_trip() {
    let config = Config::default();
    config.validate().expect("sound");
    let text = toml::to_string(&config).expect("writes");
    assert_eq!(toml::from_str::<Config>(&text).expect("reads"), config);
}

#[test]
fn refuses_unknown_keys_at_every_depth() {
    for text in ["netwrok = 'preview'", "[upstream]\naddress = []", "[downstream]\nmax = 3", "[chian]"] {
        assert!(toml::from_str::<Config>(text).is_err(), "{text}");
    }
}

#[test]
fn refuses_zero_where_it_makes_no_sense() {
    assert!(toml::from_str::<Config>("[downstream]\nmax_clients = 0").is_err());
    assert!(toml::from_str::<Config>("[chain]\ndepth = 0").is_err());
}

#[test]
fn refuses_upstreams_that_cannot_be_dialled_or_counted() {
    assert!(matches!(with_upstreams(&["relay"]).validate(), Err(Error::Upstream { .. })));
    assert!(matches!(with_upstreams(&["relay:0"]).validate(), Err(Error::Upstream { .. })));
    assert!(matches!(with_upstreams(&["::1:3001"]).validate(), Err(Error::Upstream { .. })));
    assert!(matches!(with_upstreams(&["a:1", "a:1"]).validate(), Err(Error::TwiceUpstream { .. })));
    with_upstreams(&["a:1", "[::1]:3001", "10.0.0.1:3001"]).validate().expect("sound");
}

#[test]
fn more_than_half_must_agree_unless_told_otherwise() {
    let quorum = |count: usize| with_upstreams(&["a:1", "b:1", "c:1", "d:1"][..count]).upstream.quorum();
    assert_eq!([1, 2, 3, 4].map(quorum), [1, 2, 2, 3]);
    let mut config = with_upstreams(&["a:1"]);
    config.upstream.agree = NonZeroUsize::new(2);
    assert!(matches!(config.validate(), Err(Error::Agree { agree: 2, count: 1 })));
}

#[test]
fn refuses_an_admin_address_that_the_world_can_reach() {
    let mut config = Config::default();
    config.admin.listen = Some("0.0.0.0:9000".into());
    assert!(matches!(config.validate(), Err(Error::AdminAddress { .. })));
    for listen in ["127.0.0.1:90x", "localhost:9000", "admin"] {
        config.admin.listen = Some(listen.into());
        assert!(matches!(config.validate(), Err(Error::AdminListen { .. })), "{listen}");
    }
    for listen in ["127.0.0.1:9000", "[::1]:9000", "./admin", "/run/anabranch/admin"] {
        config.admin.listen = Some(listen.into());
        config.validate().expect(listen);
    }
    assert_eq!(
        Admin::default().address(Path::new("/var/lib/x")),
        AdminAddress::Unix("/var/lib/x/admin.sock".into())
    );
}

fn key(n: u8) -> PeerId {
    ::link::Identity::from_seed(&[n; 32]).peer_id()
}

fn with_peers(text: &str) -> Result<(), Error> {
    let text = text.replace("KEY1", &key(1).to_string()).replace("KEY2", &key(2).to_string());
    toml::from_str::<Config>(&format!("[peers]\n{text}")).expect(&text).validate()
}

#[test]
fn peers_survive_a_round_trip() {
    let text = format!(
        "[peers]\nlisten = ['0.0.0.0:4001', 'unix:/run/peers.sock']\ndial = ['{0}@relay:4001', '{1}@unix:/x']\n\
         pinned = ['{0}']\ndeny = []\nidentity = 'my.key'\n[link]\ncipher = 'chachapoly'\n",
        key(1),
        key(2)
    );
    let config: Config = toml::from_str(&text).expect("reads");
    config.validate().expect("sound");
    assert_eq!(
        (config.peers.listen.len(), config.peers.dial.len(), config.link.cipher),
        (2, 2, Cipher::ChaChaPoly)
    );
    let shown = toml::to_string(&config).expect("writes");
    assert_eq!(toml::from_str::<Config>(&shown).expect("reads again"), config);
}

#[test]
fn says_where_a_peer_does_not_parse() {
    for (text, part) in [
        ("dial = ['relay:4001']", "KEY@HOST:PORT"),
        ("dial = ['12@relay:4001']", "no key"),
        ("listen = ['relay:4001']", "no place to listen at"),
        ("deny = ['12']", "no key"),
    ] {
        let error = toml::from_str::<Config>(&format!("[peers]\n{text}")).expect_err(text).to_string();
        assert!(error.contains(part) && error.contains("line 2"), "{error}");
    }
}

#[test]
fn refuses_peers_that_are_wanted_and_refused() {
    assert!(matches!(with_peers("dial = ['KEY1@a:1', 'KEY1@b:1']"), Err(Error::TwicePeer { .. })));
    for list in ["dial = ['KEY1@a:1']", "pinned = ['KEY1']", "allow = ['KEY1']"] {
        let denied = with_peers(&format!("{list}\ndeny = ['KEY1']"));
        assert!(matches!(denied, Err(Error::Denied { .. })), "{list}");
    }
    let left_out = with_peers("dial = ['KEY1@a:1']\nallow = ['KEY2']");
    assert!(matches!(left_out, Err(Error::NotAllowed { list: "peers.dial", .. })));
    with_peers("dial = ['KEY1@a:1']\nallow = ['KEY1', 'KEY2']").expect("sound");
}

#[test]
fn refuses_limits_that_contradict_each_other() {
    assert!(matches!(with_peers("reserved = 513"), Err(Error::Reserved { reserved: 513, all: 512 })));
    assert!(matches!(with_peers("first_pause_ms = 300001"), Err(Error::Order { .. })));
    let link = |text: &str| toml::from_str::<Config>(&format!("[link]\n{text}")).expect(text).validate();
    assert!(matches!(link("ping_interval_ms = 75000"), Err(Error::Order { .. })));
    assert!(matches!(link("min_unsent_bytes = 200000"), Err(Error::Order { .. })));
    assert!(matches!(link("max_held_bytes = 1000000"), Err(Error::Floors { .. })));
    assert!(matches!(link("floor_bytes = 1000"), Err(Error::Floor { found: 1000, .. })));
    assert!(matches!(link("read_bytes = 4096"), Err(Error::ReadBytes { found: 4096 })));
    link("strikes = 0").expect("off");
    for much in ["strikes = 1000000", "ping_burst = 1000000", "read_bytes = 1000000000"] {
        assert!(matches!(link(much), Err(Error::TooMuch { .. })), "{much}");
    }
    assert!(matches!(link("[link.channels.body]\nshare = 1"), Err(Error::Channel { .. })));
    assert!(matches!(link("[link.channels.bodies]\nwindow_bytes = 1"), Err(Error::Channels(_))));
}

#[test]
fn refuses_times_and_bounds_of_validators_that_contradict_each_other() {
    let check = |text: &str| toml::from_str::<Config>(text).expect(text).validate();
    for text in [
        "[consensus]\npropose_least_ms = 60001",
        "[consensus]\nvote_most_ms = 499",
        "[sync]\nbody_timeout_min_ms = 10001",
        "[sync]\nrange_timeout_max_ms = 1999",
        "[sync]\nheaders_ahead = 16384",
        "[sync]\nheaders_per_peer = 2047",
        "[sync]\nheaders_per_producer = 2047",
        "[relay]\nfirst_ids = 257",
        "[relay]\nreoffer_first_ms = 300001",
    ] {
        assert!(matches!(check(text), Err(Error::Order { .. })), "{text}");
    }
    for found in [100, 401] {
        let refused = check(&format!("[consensus]\ngrowth_percent = {found}"));
        assert!(matches!(refused, Err(Error::Growth { found: said }) if said == found));
    }
    assert!(matches!(check("[relay]\nasked_ids = 257"), Err(Error::TooMuch { .. })));
    check("[relay]\nopen_offers = 0").expect("it pulls none");
    check("[consensus]\nrest_ms = 0\nkey = 'my.key'").expect("sound");
    assert!(toml::from_str::<Config>("[pool]\nmax_count = 0").is_err());
}

#[test]
fn a_channel_keeps_what_is_not_set_of_it() {
    let text = "[link.channels.echo]\nshare = 7\nmessage_timeout_ms = 5";
    let config: Config = toml::from_str(text).expect("reads");
    config.validate().expect("sound");
    let (channels, defaults) = (config.link.channels(), ::link::channel::defaults());
    let at = defaults.iter().position(|channel| channel.name == "echo").expect("it is there");
    for (place, (channel, default)) in channels.iter().zip(&defaults).enumerate() {
        assert!(place == at || channel == default, "{channel:?}");
    }
    let (echo, default) = (channels[at], defaults[at]);
    assert_eq!((echo.name, echo.share, echo.deadline.as_millis()), ("echo", 7, 5));
    assert_eq!(
        (echo.max_message_bytes, echo.window_bytes),
        (default.max_message_bytes, default.window_bytes)
    );
}
