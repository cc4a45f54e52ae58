//! The request table on the engine, natively: for each case the decision and its explanation.

#[test]
fn every_case_holds_natively() {
    let result = gatewasm_tests::requests::run();
    assert!(result.is_ok(), "{}", result.unwrap_err());
}
