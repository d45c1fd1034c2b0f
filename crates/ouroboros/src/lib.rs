//! Cardano's node-to-node mini-protocols, both roles, byte-exact, without IO.

pub mod framing;
