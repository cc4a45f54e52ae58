// The engine in wasm32, in Node's V8: one JSON line for each number of rules and spread of hosts, as main.rs does it
// natively. Usage: node engine.mjs gatewasm_bench.wasm
import { readFileSync } from "node:fs";

const SAMPLES = 9;
const SAMPLE_MS = 100;

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
for (const [hosts, spread] of [["one", 0], ["many", 1]]) {
  for (const rules of [10, 1000, 10000]) {
    const { prepare, decide } = new WebAssembly.Instance(module, {}).exports;
    const requests = prepare(rules, spread);
    const time = (rounds) => {
      const start = performance.now();
      decide(rounds);
      return performance.now() - start;
    };
    // V8 compiles what is hot a second time; the rounds that fill a sample warm it up.
    let rounds = 1;
    while (time(rounds) < SAMPLE_MS) rounds *= 2;
    const samples = Array.from({ length: SAMPLES }, () => time(rounds)).sort((a, b) => a - b);
    const ns = Math.round((samples[SAMPLES >> 1] * 1e6) / (rounds * requests));
    console.log(JSON.stringify({ engine: "wasm32", rules, hosts, ns }));
  }
}
