//! The scheduler that block bodies and feed entries share. It does not know what it fetches.
