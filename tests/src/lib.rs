//! Tools that the drivers share: where the real parts are, a backend that echoes, clients, and processes that end
//! with their test.

pub mod certificate;
pub mod cli;
pub mod client;
pub mod connection;
pub mod differential;
pub mod exact;
pub mod fast_clock;
pub mod golden;
pub mod grpc;
pub mod hostile;
pub mod http2;
pub mod http3;
pub mod load;
pub mod mount;
pub mod pod;
pub mod process;
pub mod running;
pub mod served;
pub mod standalone;
pub mod stream;
pub mod suite;
pub mod tls_backend;
pub mod tools;
pub mod until;
pub mod validate;

pub use gatewasm_echo as echo;
pub use gatewasm_request_table as requests;
