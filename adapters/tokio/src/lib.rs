//! everlink on tokio.
