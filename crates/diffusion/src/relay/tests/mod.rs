//! Tests of relay: the rules one by one, two nodes, and random worlds with peers that cheat.

mod codec;
mod hostile;
mod pair;
mod rig;
mod rules;
mod single;
mod stages;
mod worlds;
