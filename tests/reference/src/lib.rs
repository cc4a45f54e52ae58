//! A second implementation of the routing rules: slow, obvious, and independent.
//!
//! It is written from the text of the Gateway API (`apis/v1`), `docs/filter-config.md`, the decision records, RFC 9110
//! and the Fetch standard, and must not be written from the engine: whoever changes it reads those and not
//! `routing/src` (but for the JSON contract, `config.rs`). Where the two differ, the text decides which is wrong.
//!
//! Both are asked the same [`Question`]s about generated rule sets, and both answers become an [`Outcome`], which says
//! no more than what can be seen from outside: where the request goes and how it arrives there, or what is answered.

pub mod cors;
pub mod engine;
pub mod generate;
pub mod hosts;
pub mod matching;
pub mod outcome;
pub mod rank;
pub mod reference;
pub mod run;
pub mod shrink;
pub mod urls;

pub use outcome::{Outcome, Question};
pub use reference::{Expressions, Reference};
