//! What is known of a Gateway's data plane, and what may be said of it in status. Pure: pods and their reports come in,
//! times come in, conditions go out.

mod complete;
mod programmed;

pub use complete::{complete, complete_listener_set};
pub use programmed::{Delivered, Judgement, Pod, SILENCE, Unprogrammed, judge};
