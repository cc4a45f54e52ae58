//! What the binary carries inside it: the wasm filter, and Envoy's descriptors.

mod descriptors;
mod filter;

fn main() -> anyhow::Result<()> {
    descriptors::write()?;
    filter::build()
}
