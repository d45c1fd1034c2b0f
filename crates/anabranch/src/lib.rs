//! The front door of the library: what an application embeds.

pub mod downstream;
