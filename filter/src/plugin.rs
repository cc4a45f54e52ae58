//! What the VM keeps between requests: the configuration in effect. Decides whether a new one is taken.
//!
//! It depends on the bytes of the configuration alone: Envoy asks one VM first whether they are acceptable, and has no
//! way back where the others then disagree.

use std::cell::RefCell;

use gatewasm_routing::{ConfigProblem, RouteTable};
use sha2::{Digest, Sha256};

use crate::host;
use crate::random::Generator;

/// A configuration in effect.
pub(crate) struct Plugin {
    /// The compiled rules.
    pub(crate) table: RouteTable,
    /// SHA-256 of the configuration's bytes, in hexadecimal.
    pub(crate) config: String,
    /// Random id of this VM, in hexadecimal. The same from one configuration to the next.
    pub(crate) vm: String,
    /// Draws the numbers by which weights choose.
    pub(crate) random: Generator,
}

thread_local! {
    /// One per VM, not per root context: a configuration replaces the one before at once, and a request needs no look-up.
    static CURRENT: RefCell<Option<Plugin>> = const { RefCell::new(None) };
}

/// Calls `use_it` with the configuration in effect, if there is one.
pub(crate) fn with_current<T>(use_it: impl FnOnce(Option<&Plugin>) -> T) -> T {
    CURRENT.with(|current| match current.try_borrow() {
        Ok(plugin) => use_it(plugin.as_ref()),
        Err(_) => use_it(None),
    })
}

/// Takes the plugin configuration of `size` bytes, or refuses it and keeps the one in effect.
pub(crate) fn on_configure(size: usize) -> bool {
    host::start_logging();
    let bytes = match host::plugin_configuration(size) {
        Ok(bytes) => bytes,
        Err(error) => {
            log::error!("cannot read the filter config: {error}");
            return false;
        }
    };
    let config = hexadecimal(&Sha256::digest(&bytes));
    match load(&bytes, &config) {
        Ok(()) => true,
        Err(problems) => {
            log::error!("filter config {config} refused: {problems}");
            false
        }
    }
}

fn load(bytes: &[u8], config: &str) -> Result<(), String> {
    let table = gatewasm_routing::parse(bytes)
        .map_err(|problem| problem.to_string())
        .and_then(|parsed| gatewasm_routing::compile(&parsed).map_err(|problems| list(&problems)))?;
    CURRENT.with(|current| {
        // Nothing else is on the stack of this VM while Envoy configures it.
        let mut current = current.try_borrow_mut().map_err(|_| "the configuration is in use".to_owned())?;
        let (vm, random) = match current.take() {
            Some(previous) => (previous.vm, previous.random),
            None => identity(),
        };
        let (listeners, rules) = (table.listener_count(), table.rule_count());
        log::info!("filter config {config} in VM {vm}: {listeners} listeners, {rules} rules");
        *current = Some(Plugin { table, config: config.to_owned(), vm, random });
        Ok(())
    })
}

/// The problems on one line.
fn list(problems: &[ConfigProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Id and generator of a new VM. Without randomness from the host the VM serves all the same: its id is then zero and
/// its weights follow the same sequence as another's, which is a flaw, but no reason to refuse the configuration in
/// one VM and not in the next.
fn identity() -> (String, Generator) {
    let seed = getrandom::u64().unwrap_or_else(|error| {
        log::error!("no randomness from the host: {error}");
        0
    });
    let generator = Generator::new(seed);
    (format!("{:016x}", generator.next()), generator)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
