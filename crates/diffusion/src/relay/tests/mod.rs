//! Tests of relay: the rules one by one, two nodes, and random worlds with peers that cheat.

mod codec;
mod getting;
mod giving;
mod hostile;
mod pair;
mod pooling;
mod rig;
mod single;
mod stages;
mod worlds;
