//! Envoy's serialised form of a header map, read in place: no header is copied, no byte needs to be UTF-8.
//!
//! proxy-wasm ABI 0.2.1: a `u32` with the number of pairs, for each pair the `u32` lengths of name and value, then for
//! each pair the name, a NUL, the value, a NUL; little endian.

/// One header: name and value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Bytes before the lengths.
const COUNT: usize = 4;
/// Bytes of the two lengths of a pair.
const LENGTHS: usize = 8;

/// The pairs of a serialised map, in the host's order; `None` where the bytes are not such a map.
pub fn parse(map: &[u8]) -> Option<Vec<Pair<'_>>> {
    // A map without a pair may be handed over as no bytes at all.
    if map.is_empty() {
        return Some(Vec::new());
    }
    let (count, rest) = take_u32(map)?;
    let (lengths, mut data) = rest.split_at_checked(count.checked_mul(LENGTHS)?)?;
    let mut pairs = Vec::with_capacity(count);
    for lengths in lengths.chunks_exact(LENGTHS) {
        let (name_length, lengths) = take_u32(lengths)?;
        let (value_length, _) = take_u32(lengths)?;
        let (name, rest) = take_terminated(data, name_length)?;
        let (value, rest) = take_terminated(rest, value_length)?;
        pairs.push((name, value));
        data = rest;
    }
    Some(pairs)
}

/// The serialised form of `pairs`.
pub fn serialise(pairs: &[Pair<'_>]) -> Vec<u8> {
    // No map of the filter's comes near 4 GiB; a length that did not fit would be refused by the host as malformed.
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut map = u32::try_from(pairs.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    for (name, value) in pairs {
        map.extend(length(name));
        map.extend(length(value));
    }
    for (name, value) in pairs {
        map.extend([name, b"\0".as_slice(), value, b"\0"].concat());
    }
    map
}

fn take_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<COUNT>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

/// `length` bytes and the NUL behind them, which is not part of them.
fn take_terminated(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    Some((taken, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back_as_they_were() {
        let pairs: [Pair<'_>; 5] =
            [(b":path", b"/a?b"), (b"x", b""), (b"", b"x"), (b"x", b"\xa1\xff"), (b"nul", b"a\0b")];
        assert_eq!(parse(&serialise(&pairs)).unwrap(), pairs);
    }

    #[test]
    fn no_pairs() {
        assert_eq!(parse(&serialise(&[])).unwrap(), []);
        assert_eq!(parse(b"").unwrap(), []);
    }

    #[test]
    fn a_map_cut_short_anywhere_is_refused() {
        let map = serialise(&[(b"a", b"b"), (b"host", b"example.com")]);
        for length in 1..map.len() {
            assert_eq!(parse(&map[..length]), None, "{length} bytes of {}", map.len());
        }
    }

    #[test]
    fn lengths_beyond_the_map_are_refused() {
        assert_eq!(parse(&u32::MAX.to_le_bytes()), None);
        let mut map = serialise(&[(b"a", b"b")]);
        map[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(parse(&map), None);
    }
}
