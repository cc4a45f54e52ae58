//! What the wasm filter offers to Envoy and asks of it, as an exact list: each callback that it exports is a call from
//! Envoy into the VM, for each request or each stream.

use gatewasm::filter_binary::WASM;
use walrus::{ExportItem, ImportKind, Module};

#[test]
fn the_filter_exports_four_callbacks_and_what_the_abi_needs() {
    let module = Module::from_buffer(WASM).unwrap();
    let mut exports: Vec<_> = module
        .exports
        .iter()
        .map(|export| match export.item {
            ExportItem::Function(_) => format!("function {}", export.name),
            ExportItem::Memory(_) => format!("memory {}", export.name),
            _ => format!("other {}", export.name),
        })
        .collect();
    exports.sort();
    let expected = [
        "function proxy_abi_version_0_2_1",
        "function proxy_on_configure",
        "function proxy_on_context_create",
        "function proxy_on_memory_allocate",
        "function proxy_on_request_headers",
        "function proxy_on_response_headers",
        "memory memory",
    ];
    assert_eq!(exports, expected);
}

#[test]
fn the_filter_asks_for_what_it_calls_and_nothing_else() {
    let module = Module::from_buffer(WASM).unwrap();
    let mut imports: Vec<_> = module
        .imports
        .iter()
        .map(|import| {
            assert!(matches!(import.kind, ImportKind::Function(_)), "{} is no function", import.name);
            format!("{}.{}", import.module, import.name)
        })
        .collect();
    imports.sort();
    let expected = [
        "env.proxy_add_header_map_value",
        "env.proxy_get_buffer_bytes",
        "env.proxy_get_current_time_nanoseconds",
        "env.proxy_get_header_map_pairs",
        "env.proxy_get_header_map_value",
        "env.proxy_get_log_level",
        "env.proxy_get_property",
        "env.proxy_log",
        "env.proxy_remove_header_map_value",
        "env.proxy_replace_header_map_value",
        "env.proxy_send_local_response",
        "env.proxy_set_effective_context",
        "env.proxy_set_property",
        "wasi_snapshot_preview1.random_get",
    ];
    assert_eq!(imports, expected);
}

/// So that it fits into a ConfigMap (Kubernetes takes 1 MiB of data in one).
#[test]
fn the_filter_is_smaller_than_a_mebibyte() {
    assert!(WASM.len() < 1 << 20, "{} bytes", WASM.len());
}

#[test]
fn the_filter_carries_no_debugging_sections() {
    let module = Module::from_buffer(WASM).unwrap();
    let sections: Vec<_> = module.customs.iter().map(|(_, section)| section.name().to_owned()).collect();
    assert!(sections.iter().all(|name| name == "target_features"), "{sections:?}");
}
