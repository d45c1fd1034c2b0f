//! Tests against programs that we did not write. They are in `tests/`: this library is empty.
