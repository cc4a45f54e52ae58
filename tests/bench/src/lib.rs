//! What a decision and a change of the config cost: one set of workloads, measured natively by `main.rs` and in wasm32
//! by `engine.mjs`, which reads the clock around the functions that are exported here.

mod allocator;
mod document;
mod random;
mod requests;
mod rules;

use std::cell::RefCell;

pub use allocator::{allocations, live};
pub use document::{Read, document, read_table, read_value};
pub use requests::{Ask, Workload};
pub use rules::Shape;

/// How often a measurement is repeated; the median counts.
pub const SAMPLES: usize = 9;

/// What is measured: the shape of the rules, their number, and which requests are asked.
pub const WORKLOADS: [(Shape, usize, Ask); 14] = [
    (Shape::OneHost, 10, Ask::Mixed),
    (Shape::OneHost, 1_000, Ask::Mixed),
    (Shape::OneHost, 10_000, Ask::Mixed),
    (Shape::OneHost, 100_000, Ask::Mixed),
    (Shape::ManyHosts, 10, Ask::Mixed),
    (Shape::ManyHosts, 1_000, Ask::Mixed),
    (Shape::ManyHosts, 10_000, Ask::Mixed),
    (Shape::ManyHosts, 100_000, Ask::Mixed),
    (Shape::Headers, 1_000, Ask::Hit),
    (Shape::Headers, 1_000, Ask::Miss),
    (Shape::Prefixed, 1_000, Ask::Hit),
    (Shape::Prefixed, 1_000, Ask::Miss),
    (Shape::Unprefixed, 1_000, Ask::Hit),
    (Shape::Unprefixed, 1_000, Ask::Miss),
];

/// Rules of the document that is read, kept and read again.
pub const DOCUMENT_RULES: usize = 10_000;

thread_local! {
    static WORKLOAD: RefCell<Option<Workload>> = const { RefCell::new(None) };
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static READ: RefCell<Read> = const { RefCell::new(Read::Nothing) };
}

/// Makes a description of what is measured, in JSON, as input. Returns its length.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn describe() -> usize {
    let workloads: Vec<_> = WORKLOADS
        .iter()
        .map(|(shape, rules, ask)| serde_json::json!({"shape": shape.name(), "rules": rules, "ask": ask.name()}))
        .collect();
    let description = serde_json::json!({"workloads": workloads, "documentRules": DOCUMENT_RULES});
    let json = description.to_string().into_bytes();
    let length = json.len();
    INPUT.set(json);
    length
}

/// Makes the workload of this place in [`WORKLOADS`]. Returns its number of requests; 0 where there is none.
// The names must survive in the module; the lint counts that as unsafe. None may be one of libc, which natively would be
// called in its place.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn prepare(place: u32) -> u32 {
    let workload =
        WORKLOADS.get(place as usize).map(|(shape, rules, ask)| Workload::new(*shape, *rules, *ask));
    let requests = workload.as_ref().map_or(0, Workload::len);
    WORKLOAD.set(workload);
    requests as u32
}

/// Decides every request of the workload `rounds` times. Returns how many were forwarded.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn decide(rounds: u32) -> u32 {
    WORKLOAD.with_borrow(|workload| workload.as_ref().map_or(0, |workload| workload.decide(rounds)))
}

/// Makes the document, as input. Returns its length.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn make_document() -> usize {
    let json = document(DOCUMENT_RULES);
    let length = json.len();
    INPUT.set(json);
    length
}

/// Makes room for an input of so many bytes. Returns where it is.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn allocate(length: usize) -> *mut u8 {
    INPUT.set(vec![0; length]);
    input()
}

/// Where the input is.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn input() -> *mut u8 {
    INPUT.with_borrow_mut(|input| input.as_mut_ptr())
}

/// Reads the input: as plain JSON (0), or as the filter does (1). What was read is kept until [`forget`].
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn read_input(how: u32) {
    let read = INPUT.with_borrow(|input| if how == 0 { read_value(input) } else { read_table(input) });
    READ.set(read);
}

/// Forgets what was read.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn forget() {
    READ.set(Read::Nothing);
}

/// Takes the input as the filter does: the table before is kept until the new one is there, the input goes. Returns
/// the bytes of the new table; 0 where it was refused.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn apply() -> usize {
    let json = INPUT.take();
    let before = live();
    let read = read_table(&json);
    let bytes = live().wrapping_sub(before);
    if matches!(read, Read::Table(_)) {
        READ.set(read);
        bytes
    } else {
        0
    }
}
