//! Bytes as the host might hand them over, read as a header map: never a panic, nothing outside of the bytes, and
//! what was read is written to a map that reads the same.

#![no_main]

#[path = "../../../filter/src/pairs.rs"]
mod pairs;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(pairs) = pairs::parse(bytes) else { return };
    let read: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(read <= bytes.len(), "{read} bytes read of {}", bytes.len());
    let written = pairs::serialise(&pairs);
    assert_eq!(pairs::parse(&written).as_ref(), Some(&pairs));
});
