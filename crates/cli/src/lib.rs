//! What the program brings along beside its commands: the application `kv`, as a library for those who test, fuzz or
//! measure it. An embedder of `anabranch` needs none of this.

pub mod kv;
pub mod transaction;
