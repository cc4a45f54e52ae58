//! What the property tests share: a reading of the specification that knows no index, and configs and requests from
//! a small alphabet, so that they meet.

pub(crate) mod generate;
pub(crate) mod reference;
