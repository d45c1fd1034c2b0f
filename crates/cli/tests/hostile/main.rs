//! What real node-to-node servers were seen to get wrong, tried on the real program.
//!
//! The server is the program itself in a process of its own; the enemies are plain sockets on loopback; an honest
//! client follows the chain beside each attack, and its throughput and the server's memory are asserted
//! ([`scene::Scene::attack`]). [`EACH`] names all that must be tried, and a test compares it with what is there.

#![cfg(target_os = "linux")]

mod accepting;
mod parsing;
mod scene;
mod serving;
mod wire;

/// What went wrong elsewhere, and the test that it does not here.
const EACH: &[(&str, &str)] = &[
    (
        "handshake data compared for equality, so that a relay's normal proposal was refused",
        "greets_a_relay_whatever_else_it_proposes",
    ),
    (
        "the handshake run inside the accept loop: one silent client stops all accepts",
        "accepts_beside_clients_that_say_nothing",
    ),
    ("an error of accept ends the listener for ever", "accepts_again_after_running_out_of_descriptors"),
    ("malformed CBOR taken for incomplete: memory grows without end", "closes_on_malformed_cbor_at_once"),
    (
        "an endless FindIntersect decoded from its start at each segment: a core pinned",
        "an_endless_find_intersect_is_read_once_and_cut_off",
    ),
    (
        "unread data on one protocol stops keep-alive on another",
        "answers_keep_alive_while_other_protocols_are_stuck",
    ),
    (
        "one slow client stalls the announcement to all others",
        "clients_that_do_not_read_delay_no_announcement",
    ),
    (
        "announcement queues race the cursor: duplicates, or silence",
        "announces_each_block_once_to_clients_that_move_about",
    ),
    ("limits enforced only after the handshake", "limits_hold_before_the_handshake"),
    (
        "a client that reconnects is locked out by its own dying connection",
        "a_reconnecting_client_is_not_locked_out_by_its_dying_connections",
    ),
    ("headers re-encoded per client", "serves_all_clients_the_same_bytes"),
    ("each block loaded twice", "loads_each_block_once"),
    (
        "a broken rule of the mux does not end the connection",
        "closes_on_whatever_breaks_the_rules_of_the_mux",
    ),
];

#[test]
fn each_fault_seen_elsewhere_has_its_test() {
    let sources =
        [include_str!("accepting.rs"), include_str!("parsing.rs"), include_str!("serving.rs")].concat();
    for (fault, test) in EACH {
        assert!(sources.contains(&format!("#[test]\nfn {test}() {{")), "{fault}: `{test}` is missing");
    }
    let tests = sources.matches("#[test]").count();
    assert_eq!(tests, EACH.len(), "a test is not on the list");
}
