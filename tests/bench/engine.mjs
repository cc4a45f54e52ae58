// The engine in wasm32, in Node's V8: one JSON line for each figure, as main.rs does it natively.
// Usage: node engine.mjs gatewasm_bench.wasm
import { readFileSync } from "node:fs";

const SAMPLES = 9;
const SAMPLE_MS = 100;
const REAPPLIES = 50;
const PAGE = 64 * 1024;
const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const instance = () => new WebAssembly.Instance(module, {}).exports;
const print = (figure) => console.log(JSON.stringify({ engine: "wasm32", ...figure }));
const median = (samples) => samples.sort((a, b) => a - b)[samples.length >> 1];
const time = (work) => {
  const start = performance.now();
  work();
  return performance.now() - start;
};

const text = (vm, length) => new TextDecoder().decode(new Uint8Array(vm.memory.buffer, vm.input(), length));
const describer = instance();
const { workloads, documentRules } = JSON.parse(text(describer, describer.describe()));
decisions();
documents();

// Workloads take turns, so that a machine that is busy for a while is busy for all of them.
function decisions() {
  const runs = workloads.map((workload, place) => {
    const { prepare, decide } = instance();
    const requests = prepare(place);
    if (requests === 0) throw new Error(`no workload at ${place}`);
    // V8 compiles what is hot a second time; the rounds that fill a sample warm it up.
    let rounds = 1;
    while (time(() => decide(rounds)) < SAMPLE_MS) rounds *= 2;
    return { workload, decide, rounds, decisions: rounds * requests, samples: [] };
  });
  for (let i = 0; i < SAMPLES; i++) {
    for (const run of runs) run.samples.push((time(() => run.decide(run.rounds)) * 1e6) / run.decisions);
  }
  for (const { workload, samples } of runs) print({ figure: "decision", ...workload, ns: Math.round(median(samples)) });
}

function documents() {
  const author = instance();
  const length = author.make_document();
  const json = new Uint8Array(author.memory.buffer, author.input(), length).slice();
  const reader = instance();
  const write = (vm) => {
    const at = vm.allocate(length);
    // Not before: the memory may have grown.
    new Uint8Array(vm.memory.buffer, at, length).set(json);
  };
  write(reader);
  const [values, tables] = [[], []];
  const read = (how) => {
    const ms = time(() => reader.read_input(how));
    reader.forget();
    return ms;
  };
  for (let i = 0; i < SAMPLES + 3; i++) {
    const [value, table] = [read(0), read(1)];
    // The first readings are V8's to compile.
    if (i >= 3) values.push(value), tables.push(table);
  }
  // As Envoy's VM: it brings the bytes, and nothing else runs in there.
  const vm = instance();
  let retained = 0;
  const pages = [];
  for (let i = 0; i <= REAPPLIES; i++) {
    write(vm);
    retained = vm.apply();
    if (retained === 0) throw new Error("the document was refused");
    pages.push(vm.memory.buffer.byteLength / PAGE);
  }
  print({
    figure: "document",
    rules: documentRules,
    bytes: length,
    value_ms: Number(median(values).toFixed(2)),
    table_ms: Number(median(tables).toFixed(2)),
    retained,
    linear: pages.at(-1) * PAGE,
    // Bytes by which the linear memory grew in the later half.
    grown: (pages.at(-1) - pages.at(-1 - REAPPLIES / 2)) * PAGE,
  });
}
