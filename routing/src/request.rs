//! A request as the routing decision sees it: borrowed bytes, nothing parsed yet.

/// The parts of a request that rules can match.
///
/// All are bytes, because a client may send anything; nothing here needs to be UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `:method`, as received.
    pub method: &'a [u8],
    /// `:authority` or Host, as received: any case, perhaps with a port or a trailing dot.
    pub authority: &'a [u8],
    /// `:path` after Envoy's normalisation, with the query string.
    pub path: &'a [u8],
    /// Every header as (name, value), names in lower case as Envoy hands them out, repeated ones repeated.
    /// Pseudo-headers may be among them and are ignored.
    pub headers: &'a [(&'a [u8], &'a [u8])],
}
