//! `seeds FOLDER`: writes the request table as inputs of the targets, so that a run begins with everything that the
//! table knows: `FOLDER/config` has its configs, `FOLDER/request` its cases.

use std::path::Path;

use gatewasm_fuzz::incoming::Incoming;
use gatewasm_fuzz::of_config;
use gatewasm_request_table::tables;
// Every binary here is instrumented, and needs what it calls.
use libfuzzer_sys as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: seeds FOLDER")?;
    let write = |target: &str, name: &str, bytes: &[u8]| -> std::io::Result<()> {
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)
    };
    for (number, table) in tables()?.iter().enumerate() {
        write("config", &format!("table-{}", table.file), &serde_json::to_vec(&table.config)?)?;
        // Fuzzers like small inputs: each listener with one of its routes as well.
        for (index, listener) in table.config.listeners.iter().enumerate() {
            for (place, route) in listener.routes.iter().enumerate() {
                let mut config = table.config.clone();
                config.listeners = vec![listener.clone()];
                config.listeners[0].routes = vec![route.clone()];
                let name = format!("table-{}-{index}-{place}", table.file);
                write("config", &name, &serde_json::to_vec(&config)?)?;
            }
        }
        let entries = of_config::entries(&table.config);
        for case in &table.cases {
            let entry = entries.iter().position(|entry| *entry == case.entry).unwrap_or(entries.len() - 1);
            let incoming = Incoming::of_case(number, entry, case);
            write("request", &format!("table-{}-{}", table.file, case.name), &incoming.write())?;
        }
    }
    Ok(())
}
