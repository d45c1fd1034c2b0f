//! Tests of routing: the rules one by one, two nodes, and random worlds with liars.

mod codec;
mod hostile;
mod parcels;
mod rig;
mod ways;
mod worlds;
