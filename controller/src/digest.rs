//! Names that are made from content: the same for the same, and nothing that tells what it was.

use sha2::{Digest as _, Sha256};

/// 16 hexadecimal digits of the SHA-256 of `content`.
pub(crate) fn digits(content: impl AsRef<[u8]>) -> String {
    Sha256::digest(content).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
