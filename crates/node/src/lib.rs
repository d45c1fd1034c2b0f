//! The Node: one sans-IO core that routes between the layers.
