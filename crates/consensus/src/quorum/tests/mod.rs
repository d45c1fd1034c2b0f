//! Many validators in a world of their own, and one alone before a table of inputs.

mod agreement;
mod byzantine;
mod chaos;
mod codec;
mod crashes;
mod machine;
mod orders;
mod search;
mod world;
