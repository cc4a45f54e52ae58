//! What the binary carries inside it: the wasm filter.

mod filter;

fn main() -> anyhow::Result<()> {
    filter::build()
}
