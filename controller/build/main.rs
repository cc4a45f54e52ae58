//! What is made at build time, one part per file.

mod descriptors;

fn main() -> anyhow::Result<()> {
    descriptors::write()
}
