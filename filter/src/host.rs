//! The border to Envoy: every call out of the VM, every call into it, and the only `unsafe` of the filter.
//!
//! No call panics: what the host refuses becomes a [`HostError`], what it does not have becomes `None`.

#![allow(unsafe_code)]

use std::ptr::null_mut;

use gatewasm_routing::Outcome;
use proxy_wasm::types::{Action, BufferType, LogLevel, MapType, Status};

use crate::pairs::{self, Pair};
use crate::{plugin, stream};

/// The functions of the proxy-wasm ABI 0.2.1 that the filter calls. They return a number, not a `Status`: a host newer
/// than the SDK may know more of them, and an enum without the variant would be undefined behaviour.
mod abi {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_log(level: u32, message: *const u8, message_size: usize) -> u32;
        pub(super) fn proxy_get_log_level(return_level: *mut u32) -> u32;
        pub(super) fn proxy_get_buffer_bytes(
            kind: u32,
            start: usize,
            max_size: usize,
            return_data: *mut *mut u8,
            return_size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_header_map_pairs(
            map: u32,
            return_data: *mut *mut u8,
            return_size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            return_data: *mut *mut u8,
            return_size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_replace_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_add_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
        pub(super) fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            return_data: *mut *mut u8,
            return_size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_set_property(
            path: *const u8,
            path_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc_status: i32,
        ) -> u32;
        pub(super) fn proxy_set_effective_context(context: u32) -> u32;
        pub(super) fn proxy_get_current_time_nanoseconds(return_time: *mut u64) -> u32;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) fn random_get(buffer: *mut u8, size: usize) -> u16;
    }
}

/// A call that the host refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostError(u32);

impl std::fmt::Display for HostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "proxy-wasm status {}", self.0)
    }
}

fn check(status: u32) -> Result<(), HostError> {
    if status == Status::Ok as u32 { Ok(()) } else { Err(HostError(status)) }
}

/// The plugin configuration, `size` bytes. Readable only while Envoy is in [`gatewasm_on_configure`].
pub(crate) fn plugin_configuration(size: usize) -> Result<Vec<u8>, HostError> {
    let (mut data, mut length) = (null_mut(), 0);
    // SAFETY: both pointers are to locals that outlive the call; the host writes there and keeps neither.
    let status = unsafe {
        abi::proxy_get_buffer_bytes(BufferType::PluginConfiguration as u32, 0, size, &mut data, &mut length)
    };
    // An empty configuration is one that the host "does not find".
    if status == Status::NotFound as u32 {
        return Ok(Vec::new());
    }
    check(status)?;
    // SAFETY: on success the host has written what it got from the exported allocator and filled.
    Ok(unsafe { received(data, length) })
}

/// Takes ownership of bytes that the host has left in the VM's memory.
///
/// # Safety
/// `data` is null, or came from `proxy_wasm`'s exported allocator with exactly `length` bytes, all written, and is
/// nobody else's.
unsafe fn received(data: *mut u8, length: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: the allocator hands out boxed slices, whose capacity is their length; the rest is the caller's promise.
    unsafe { Vec::from_raw_parts(data, length, length) }
}

/// Headers that the host keeps, each while it calls for them: the request's in [`gatewasm_on_request_headers`], the
/// answer's in [`gatewasm_on_response_headers`], where the request's may be gone.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Headers {
    Request,
    Response,
}

impl Headers {
    fn map(self) -> u32 {
        match self {
            Self::Request => MapType::HttpRequestHeaders as u32,
            Self::Response => MapType::HttpResponseHeaders as u32,
        }
    }

    /// All of them in the host's serialised form ([`crate::pairs`]).
    pub(crate) fn all(self) -> Result<Vec<u8>, HostError> {
        let (mut data, mut length) = (null_mut(), 0);
        // SAFETY: both pointers are to locals that outlive the call; the host writes there and keeps neither.
        check(unsafe { abi::proxy_get_header_map_pairs(self.map(), &mut data, &mut length) })?;
        // SAFETY: on success the host has written what it got from the exported allocator and filled.
        Ok(unsafe { received(data, length) })
    }

    /// The value of the header `name`, if it is there and not empty.
    pub(crate) fn get(self, name: &str) -> Option<Vec<u8>> {
        let (mut data, mut length) = (null_mut(), 0);
        // SAFETY: the host reads the name during the call; the other pointers are to locals that outlive it, and the
        // host writes there and keeps neither.
        check(unsafe {
            abi::proxy_get_header_map_value(self.map(), name.as_ptr(), name.len(), &mut data, &mut length)
        })
        .ok()?;
        // SAFETY: on success the host has written what it got from the exported allocator and filled.
        let value = unsafe { received(data, length) };
        (!value.is_empty()).then_some(value)
    }

    /// Gives the header `name` this one value, whatever it had before.
    pub(crate) fn replace(self, name: &str, value: &[u8]) -> Result<(), HostError> {
        // SAFETY: the host reads name and value during the call and copies them.
        check(unsafe {
            abi::proxy_replace_header_map_value(
                self.map(),
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        })
    }

    /// Adds a line to what the header `name` has.
    pub(crate) fn add(self, name: &str, value: &[u8]) -> Result<(), HostError> {
        // SAFETY: the host reads name and value during the call and copies them.
        check(unsafe {
            abi::proxy_add_header_map_value(
                self.map(),
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        })
    }

    /// Takes away the header `name`, if it is there.
    pub(crate) fn remove(self, name: &[u8]) -> Result<(), HostError> {
        // SAFETY: the host reads the name during the call.
        check(unsafe { abi::proxy_remove_header_map_value(self.map(), name.as_ptr(), name.len()) })
    }
}

/// Leaves `value` in the stream's filter state as `wasm.<name>`, for the access log.
pub(crate) fn set_filter_state(name: &str, value: &str) -> Result<(), HostError> {
    // SAFETY: the host reads the two strings during the call and copies them.
    check(unsafe { abi::proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// What Envoy has noted about the request whose answer it brings (`response.flags`); nothing of it is a backend's to
/// say. Where it does not tell, a backend has answered.
pub(crate) fn outcome() -> Outcome {
    const FLAGS: &[u8] = b"response\0flags";
    /// No healthy endpoint (`UH`), or no connection to the one that was chosen (`UF`).
    const UNREACHABLE: u64 = 0x2 | 0x20;
    let (mut data, mut length) = (null_mut(), 0);
    // SAFETY: the host reads the path during the call; the other pointers are to locals that outlive it, and the host
    // writes there and keeps neither.
    let status = unsafe { abi::proxy_get_property(FLAGS.as_ptr(), FLAGS.len(), &mut data, &mut length) };
    if check(status).is_err() {
        return Outcome::Answered;
    }
    // SAFETY: on success the host has written what it got from the exported allocator and filled.
    let bytes = unsafe { received(data, length) };
    match bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) {
        None | Some(0) => Outcome::Answered,
        Some(flags) if flags & UNREACHABLE != 0 => Outcome::Unreachable,
        Some(_) => Outcome::Failed,
    }
}

/// Seconds since the epoch; 0 where the host does not say.
pub(crate) fn now() -> u64 {
    const SECOND: u64 = 1_000_000_000;
    let mut time = 0;
    // SAFETY: the pointer is to a local that outlives the call.
    match check(unsafe { abi::proxy_get_current_time_nanoseconds(&mut time) }) {
        Ok(()) => time.checked_div(SECOND).unwrap_or_default(),
        Err(_) => 0,
    }
}

/// Answers the request from here. `details` becomes Envoy's `%RESPONSE_CODE_DETAILS%`. Where the request is gRPC, the
/// answer is one of gRPC, with `grpc_status`, or with one that Envoy derives from the HTTP status, and the body is its
/// message.
pub(crate) fn respond(
    status: u16,
    grpc_status: Option<u32>,
    details: &str,
    headers: &[Pair<'_>],
    body: &str,
) -> Result<(), HostError> {
    const NO_GRPC_STATUS: i32 = -1;
    let grpc_status = grpc_status.and_then(|status| i32::try_from(status).ok()).unwrap_or(NO_GRPC_STATUS);
    let headers = pairs::serialise(headers);
    // SAFETY: the host reads the strings and the headers during the call and copies them.
    check(unsafe {
        abi::proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status,
        )
    })
}

/// Which of the `contexts` the host still has. Only within a call of the host's for the context `current`.
pub(crate) fn still_alive(contexts: &[u32], current: u32) -> Vec<u32> {
    // SAFETY: no pointers. The host refuses a context that it does not have.
    let exists = |context: u32| check(unsafe { abi::proxy_set_effective_context(context) }).is_ok();
    let alive = contexts.iter().copied().filter(|context| exists(*context)).collect();
    // Back to the context that the host is calling for.
    exists(current);
    alive
}

fn write_log(level: LogLevel, message: &str) {
    // SAFETY: the host reads the message during the call and copies it.
    // A log line that the host does not take is lost: there is no other place to say so.
    let _lost = unsafe { abi::proxy_log(level as u32, message.as_ptr(), message.len()) };
}

/// Hands the lines of the `log` crate to Envoy's log.
struct Logger;

static LOGGER: Logger = Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            write_log(host_level(record.level()), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

fn host_level(level: log::Level) -> LogLevel {
    match level {
        log::Level::Error => LogLevel::Error,
        log::Level::Warn => LogLevel::Warn,
        log::Level::Info => LogLevel::Info,
        log::Level::Debug => LogLevel::Debug,
        log::Level::Trace => LogLevel::Trace,
    }
}

/// Prepares `log`, and Envoy's log line for a panic, should there ever be one. Once per VM; repeating it is harmless.
pub(crate) fn start_logging() {
    // Refused where the logger is already set, which is then this one.
    if log::set_logger(&LOGGER).is_ok() {
        std::panic::set_hook(Box::new(|panic| write_log(LogLevel::Critical, &panic.to_string())));
    }
    let mut level = LogLevel::Info as u32;
    // SAFETY: the pointer is to a local that outlives the call.
    if check(unsafe { abi::proxy_get_log_level(&mut level) }).is_err() {
        level = LogLevel::Info as u32;
    }
    log::set_max_level(match level {
        0 => log::LevelFilter::Trace,
        1 => log::LevelFilter::Debug,
        2 => log::LevelFilter::Info,
        3 => log::LevelFilter::Warn,
        4 => log::LevelFilter::Error,
        _ => log::LevelFilter::Off,
    });
}

/// The source of `getrandom` in this VM (its "custom" backend): the host's random bytes.
///
/// # Safety
/// `buffer` is valid for writes of `size` bytes; `getrandom` calls it so.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(buffer: *mut u8, size: usize) -> Result<(), getrandom::Error> {
    // SAFETY: the caller's promise is what the host needs.
    match unsafe { abi::random_get(buffer, size) } {
        0 => Ok(()),
        _ => Err(getrandom::Error::UNEXPECTED),
    }
}

/// Envoy makes a root context for a configuration (`parent` 0), or a context for a request under a root context;
/// exported as `proxy_on_context_create` after linking.
#[unsafe(no_mangle)]
extern "C" fn gatewasm_on_context_create(context: u32, parent: u32) {
    if parent != 0 {
        plugin::on_stream(context, parent);
        stream::on_begin(context);
    }
}

/// Envoy brings a configuration; exported as `proxy_on_configure` after linking. 0 refuses it.
#[unsafe(no_mangle)]
extern "C" fn gatewasm_on_configure(root: u32, size: usize) -> u32 {
    u32::from(plugin::on_configure(root, size))
}

/// Envoy brings a request; exported as `proxy_on_request_headers` after linking.
#[unsafe(no_mangle)]
extern "C" fn gatewasm_on_request_headers(context: u32, _headers: u32, _end_of_stream: u32) -> u32 {
    match stream::on_request_headers(context) {
        stream::Next::Continue => Action::Continue as u32,
        stream::Next::Answered => Action::Pause as u32,
    }
}

/// Envoy brings an answer, a backend's, the filter's or its own; exported as `proxy_on_response_headers` after linking.
#[unsafe(no_mangle)]
extern "C" fn gatewasm_on_response_headers(context: u32, _headers: u32, _end_of_stream: u32) -> u32 {
    stream::on_response_headers(context);
    Action::Continue as u32
}
