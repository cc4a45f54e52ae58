//! Tools that the drivers share.
