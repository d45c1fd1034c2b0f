//! What a peer may do to a node, tried on the real program over loopback.
//!
//! The victim is the program itself in a process of its own. The enemies speak the link's wire with a few hundred
//! lines of their own (`snow` for the session), so that everything wrong can be said and no mistake is shared with the
//! product. While each attack runs, an honest peer's throughput and the victim's resident memory are asserted
//! ([`scene::Scene::attack`]), and each ends with a reason in the victim's status. [`EACH`] names all attacks, and a test
//! compares it with what is there.

#![cfg(target_os = "linux")]

mod control;
mod crowd;
mod dialling;
mod frames;
mod greeting;
mod lies;
mod messages;
mod noise;
mod peer;
mod scene;
mod soak;
mod victim;
mod wire;

/// Each attack, and the test that makes it.
const EACH: &[(&str, &str)] = &[
    ("a handshake that comes a byte at a time", "slow_handshake"),
    ("connections that say nothing, or stop in the middle of the handshake", "half_open"),
    ("bytes of noise instead of a handshake", "bytes_of_noise"),
    ("bytes of noise after the handshake", "noise_after_the_handshake"),
    ("nonces that were used, left out, or belong to another link", "nonce_forgery"),
    ("more than anybody can use, on all channels at once", "flood"),
    ("a peer that never reads", "never_reads"),
    ("a message that never ends", "endless_message"),
    ("frames of no length", "zero_length_frames"),
    ("both sides dial at once", "simultaneous_dial"),
    ("thousands of handshakes", "thousands_of_handshakes"),
    ("more handshakes at once than there are places", "handshakes_at_once"),
    ("replies that nobody asked for", "reply_without_a_request"),
    ("pings without end", "ping_flood"),
    ("more than the credit allows", "credit_overrun"),
    ("credit that overflows", "credit_that_overflows"),
    ("channels that do not exist", "unknown_channels"),
    ("frames that are too long", "over_long_frames"),
    ("a first frame that is too long", "over_long_greeting"),
    ("a handshake that was recorded and is said again", "replayed_handshake"),
    ("another network, version, cipher or magic", "wrong_network"),
    ("a key without its proof", "stolen_key"),
    ("ephemeral keys of small order", "points_of_small_order"),
    ("a hello that lies", "hello_that_lies"),
    ("messages on channels that were not agreed on", "channels_not_agreed_on"),
    ("hello again and again, or never", "hello_again_and_again"),
    ("control messages that cannot be read", "control_that_cannot_be_read"),
    ("a close, and talking on", "close_and_go_on"),
    ("a name that plays with the operator's terminal", "agent_with_a_terminal_in_it"),
    ("segments with wrong headers", "bad_segments"),
    ("messages in segments of a byte", "tiny_segments"),
    ("messages on all channels, cut and mixed", "interleaved_messages"),
    ("messages without a body, thousands in a segment", "empty_messages"),
    ("messages longer than the limit, up to 4 GB", "over_long_message"),
    ("messages of no known kind", "unknown_kinds"),
    ("all places taken by a crowd", "places_taken"),
    ("all places taken by who says nothing", "silent_crowd"),
    ("one key on very many connections", "one_key_again_and_again"),
    ("a peer that comes back before its old connection is dead", "locked_out_by_its_own_dying_connection"),
    ("peers whose machine died", "machine_that_died"),
    ("who was thrown out comes back at once", "cooling_off"),
    ("who is banned comes back", "banned"),
    ("no descriptors left", "out_of_descriptors"),
    ("a stop in the middle of it", "stop_under_attack"),
    ("a listener with another key", "listener_of_another_key"),
    ("a listener that says nothing, nonsense, or refuses", "listener_that_is_evil"),
    ("a listener that closes at once, so that one dials without end", "dials_without_end"),
    ("very many links that come and go", "soak"),
];

#[test]
fn each_attack_is_made() {
    let sources = [
        include_str!("crowd.rs"),
        include_str!("dialling.rs"),
        include_str!("frames.rs"),
        include_str!("greeting.rs"),
        include_str!("lies.rs"),
        include_str!("messages.rs"),
        include_str!("soak.rs"),
    ]
    .concat();
    for (attack, test) in EACH {
        assert!(sources.contains(&format!("#[test]\nfn {test}() {{")), "{attack}: `{test}` is missing");
    }
    let tests = sources.matches("#[test]").count();
    assert_eq!(tests, EACH.len(), "a test is not on the list");
}
