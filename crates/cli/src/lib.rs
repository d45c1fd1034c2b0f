//! What the program brings along beside its commands: the application `kv` and what it takes to believe a node's word of it,
//! as a library for those who test, fuzz or measure it. An embedder of `anabranch` needs none of this.

pub mod kv;
pub mod transaction;
pub mod trust;
