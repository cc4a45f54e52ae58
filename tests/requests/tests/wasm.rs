//! The request table on the engine in wasm32, under Node:
//! `CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner
//! cargo test --target wasm32-unknown-unknown -p gatewasm-request-table --test wasm`.
#![cfg(target_arch = "wasm32")]

use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
fn every_case_holds_in_wasm32() {
    let result = gatewasm_request_table::run();
    assert!(result.is_ok(), "{}", result.unwrap_err());
}
