//! One kind of condition per file: how it is read from the config, and when a request meets it.

pub(crate) mod grpc;
pub(crate) mod header;
pub(crate) mod host;
pub(crate) mod method;
pub(crate) mod path;
pub(crate) mod query;
pub(crate) mod value;
