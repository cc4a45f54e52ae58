//! All that is said with the API server.

mod agents;
