//! What the VM keeps between requests: its configurations. Decides whether a new one is taken, and which one a request
//! belongs to.
//!
//! Whether a configuration is taken depends on its bytes alone: Envoy asks one VM first, and has no way back where the
//! others then disagree.
//!
//! Envoy makes a root context for each configuration and keeps it as long as a request lasts that began under it. When
//! a configuration comes back while its root context is there (somebody undoes a change, and a WebSocket from before is
//! open), Envoy goes on with that root context and configures nothing. So the configuration last brought need not be
//! the one in effect: the root context of the request says which one is.

use std::cell::{Cell, OnceCell, RefCell};

use gatewasm_routing::{ConfigProblem, RouteTable};
use sha2::{Digest, Sha256};

use crate::host;
use crate::random::Generator;

/// A configuration.
pub(crate) struct Plugin {
    /// Its root context.
    root: u32,
    /// The compiled rules.
    pub(crate) table: RouteTable,
    /// SHA-256 of the configuration's bytes, in hexadecimal.
    pub(crate) config: String,
}

/// What is this VM's own, whatever its configuration.
pub(crate) struct Vm {
    /// Random id, in hexadecimal.
    pub(crate) id: String,
    /// Draws the numbers by which weights choose.
    pub(crate) random: Generator,
}

thread_local! {
    /// Oldest first: those that Envoy may still send requests to, the last few at most unless requests last very long.
    static PLUGINS: RefCell<Vec<Plugin>> = const { RefCell::new(Vec::new()) };
    /// The request whose context was made last, and its root context. Envoy makes it right before it hands over the
    /// headers, so that there is nothing to look up and nothing to forget.
    static STREAM: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
    static VM: OnceCell<Vm> = const { OnceCell::new() };
}

/// Calls `work` with this VM.
pub(crate) fn with_vm<T>(work: impl FnOnce(&Vm) -> T) -> T {
    VM.with(|vm| work(vm.get_or_init(Vm::new)))
}

/// Remembers under which root context a request begins.
pub(crate) fn on_stream(context: u32, root: u32) {
    STREAM.set((context, root));
}

/// Calls `work` with the configuration that the request `context` belongs to, if there is one.
pub(crate) fn with_plugin_of<T>(context: u32, work: impl FnOnce(Option<&Plugin>) -> T) -> T {
    let (last, root) = STREAM.get();
    PLUGINS.with(|plugins| match plugins.try_borrow() {
        Ok(plugins) if last == context => work(plugins.iter().rev().find(|plugin| plugin.root == root)),
        _ => work(None),
    })
}

/// Takes the plugin configuration of `size` bytes for the root context, or refuses it.
pub(crate) fn on_configure(root: u32, size: usize) -> bool {
    host::start_logging();
    let bytes = match host::plugin_configuration(size) {
        Ok(bytes) => bytes,
        Err(error) => {
            log::error!("cannot read the filter config: {error}");
            return false;
        }
    };
    let config = hexadecimal(&Sha256::digest(&bytes));
    match load(root, &bytes, &config) {
        Ok(()) => true,
        Err(problems) => {
            log::error!("filter config {config} refused: {problems}");
            false
        }
    }
}

fn load(root: u32, bytes: &[u8], config: &str) -> Result<(), String> {
    let table = gatewasm_routing::parse(bytes)
        .map_err(|problem| problem.to_string())
        .and_then(|parsed| gatewasm_routing::compile(&parsed).map_err(|problems| list(&problems)))?;
    let (listeners, rules) = (table.listener_count(), table.rule_count());
    PLUGINS.with(|plugins| {
        // No request is on the stack of this VM while Envoy configures it.
        let mut plugins = plugins.try_borrow_mut().map_err(|_| "the VM is in use".to_owned())?;
        let known: Vec<u32> =
            plugins.iter().map(|plugin| plugin.root).filter(|known| *known != root).collect();
        let alive = host::still_alive(&known, root);
        plugins.retain(|plugin| alive.contains(&plugin.root));
        plugins.push(Plugin { root, table, config: config.to_owned() });
        Ok::<_, String>(())
    })?;
    with_vm(|vm| log::info!("filter config {config} in VM {}: {listeners} listeners, {rules} rules", vm.id));
    Ok(())
}

/// The problems on one line.
fn list(problems: &[ConfigProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Vm {
    /// Without randomness from the host the VM serves all the same: its weights then follow the same sequence as
    /// another's, which is a flaw, but no reason to refuse a configuration in one VM and not in the next.
    fn new() -> Self {
        let seed = getrandom::u64().unwrap_or_else(|error| {
            log::error!("no randomness from the host: {error}");
            0
        });
        let random = Generator::new(seed);
        Self { id: format!("{:016x}", random.next()), random }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
