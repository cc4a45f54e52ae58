//! The token of a session: what stands in it, and the seal by which it is known to be from here and for this rule.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// The first byte of a token says what it has.
const UNDATED: u8 = 1;
const DATED: u8 = 2;
/// Bytes of HMAC-SHA-256 that a token carries.
const SEAL: usize = 16;
/// Longest token that is looked at. One of ours has about 50 characters.
const MAX_TOKEN: usize = 160;
/// The longest address of IPv6 in brackets, with a port.
const MAX_ENDPOINT: usize = 53;

/// Stands for a cluster within a rule: the beginning of the SHA-256 of its name.
pub(super) type Tag = [u8; 6];

/// What sessions are sealed with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Key([u8; 32]);

/// Seals the tokens of one rule: what another has sealed does not open.
#[derive(Debug)]
pub(super) struct Seal(Hmac<Sha256>);

/// What stands in a token.
pub(super) struct Token {
    /// When the session began, in seconds since the epoch.
    pub(super) created: Option<u32>,
    pub(super) cluster: Tag,
    pub(super) endpoint: Box<str>,
}

impl Key {
    /// The key of a config. Without one it is known to everybody.
    pub(crate) fn new(text: Option<&str>) -> Self {
        Self(Sha256::digest(text.unwrap_or_default()).into())
    }

    /// The seal of whoever has this `identity`.
    pub(super) fn derive(&self, identity: &str) -> Seal {
        let own = keyed(&self.0).chain_update(identity).finalize().into_bytes();
        Seal(keyed(&own))
    }
}

/// HMAC pads a short key with zeros (RFC 2104, 2).
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    <Hmac<Sha256> as KeyInit>::new(&block)
}

pub(super) fn tag(cluster: &str) -> Tag {
    let digest: [u8; 32] = Sha256::digest(cluster).into();
    digest.first_chunk().copied().unwrap_or_default()
}

impl Seal {
    /// What stands in a token, if it has this seal.
    pub(super) fn open(&self, token: &[u8]) -> Option<Token> {
        let bytes = match token.len() {
            0..=MAX_TOKEN => URL_SAFE_NO_PAD.decode(token).ok()?,
            _ => return None,
        };
        let (sealed, seal) = bytes.split_last_chunk::<SEAL>()?;
        // In constant time: how much of a guess was right is nobody's business.
        self.0.clone().chain_update(sealed).verify_truncated_left(seal).ok()?;
        let (created, rest) = match sealed.split_first()? {
            (&UNDATED, rest) => (None, rest),
            (&DATED, rest) => {
                let (created, rest) = rest.split_first_chunk()?;
                (Some(u32::from_be_bytes(*created)), rest)
            }
            _ => return None,
        };
        let (cluster, endpoint) = rest.split_first_chunk()?;
        let endpoint = std::str::from_utf8(endpoint).ok().filter(|text| is_endpoint(text))?;
        Some(Token { created, cluster: *cluster, endpoint: endpoint.into() })
    }

    /// A token for this endpoint of the cluster, dated where `created` is given.
    pub(super) fn close(&self, created: Option<u64>, cluster: Tag, endpoint: &str) -> String {
        let mut bytes = Vec::with_capacity(MAX_TOKEN);
        match created {
            None => bytes.push(UNDATED),
            Some(created) => {
                bytes.push(DATED);
                // Enough until 2106; then sessions last longer than they should.
                bytes.extend(u32::try_from(created).unwrap_or(u32::MAX).to_be_bytes());
            }
        }
        bytes.extend(cluster);
        bytes.extend(endpoint.bytes());
        let seal = self.0.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend(seal.iter().take(SEAL));
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// Envoy's name of an endpoint: `10.0.0.1:8080`, `[::1]:8080`. What looks like one and is none, Envoy does not find.
pub(super) fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = match inner {
        Some(inner) => inner.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'),
        None => host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'),
    };
    host && text.len() <= MAX_ENDPOINT && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}
