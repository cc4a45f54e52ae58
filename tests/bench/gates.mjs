// Judges the figures of one run: a line for each gate, and exit code 1 where one fails.
// Usage: bench-engine and engine.mjs, into: node gates.mjs
import { readFileSync } from "node:fs";

const figures = readFileSync(0, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
const ENGINES = ["wasm32", "native"];
// Nanoseconds in wasm32 on a quiet machine, by number of rules: what to aim for, not a gate.
const TARGETS = { 10: 150, 1000: 180, 10000: 300, 100000: 1200 };
// How much more a decision may cost than one among ten rules.
const FACTORS = { 10000: 2.5, 100000: 10 };
const SPECIAL_FACTOR = 30;
const COMPILE_FACTOR = 2;
const BYTES_PER_RULE = 400;
const LINEAR_BYTES_PER_RULE = 2048;

let failed = 0;
const find = (wanted) => {
  const found = figures.find((figure) => Object.entries(wanted).every(([key, value]) => figure[key] === value));
  if (!found) throw new Error(`no figure ${JSON.stringify(wanted)}`);
  return found;
};
const gate = (what, value, bound) => {
  const passed = value <= bound;
  failed += passed ? 0 : 1;
  console.log(`${passed ? "pass" : "FAIL"}  ${what}: ${value}, at most ${bound}`);
};

const decisions = (engine) => figures.filter((figure) => figure.figure === "decision" && figure.engine === engine);
console.log("ns for a decision: wasm32, native, target");
for (const { shape, rules, ask, ns } of decisions("wasm32")) {
  const native = find({ engine: "native", figure: "decision", shape, rules, ask }).ns;
  const target = ask === "mixed" ? TARGETS[rules] : "-";
  console.log(`      ${`${shape}, ${rules} rules, ${ask}`.padEnd(50)}${[ns, native, target].map((n) => String(n).padStart(8)).join("")}`);
}

// The gates are for wasm32, which is what runs in Envoy.
for (const { shape, rules, ask, ns } of decisions("wasm32")) {
  const special = ask !== "mixed";
  const ten = find({ engine: "wasm32", figure: "decision", shape: special ? "one host" : shape, rules: 10, ask: "mixed" }).ns;
  const bound = special ? SPECIAL_FACTOR : FACTORS[rules];
  if (bound) gate(`wasm32, ${shape}, ${rules} rules, ${ask}: times a decision among 10`, Number((ns / ten).toFixed(2)), bound);
}
for (const engine of ENGINES) {
  const { rules, bytes, value_ms, table_ms, retained, linear, grown } = find({ engine, figure: "document" });
  console.log(`      ${engine}, document of ${rules} rules, ${bytes} bytes: Value ${value_ms} ms, parse and compile ${table_ms} ms`);
  gate(`${engine}, parse and compile: times serde_json into a Value`, Number((table_ms / value_ms).toFixed(2)), COMPILE_FACTOR);
  gate(`${engine}, retained table: bytes per rule`, Math.round(retained / rules), BYTES_PER_RULE);
  if (linear === undefined) continue;
  gate(`${engine}, linear memory after 50 re-applies: bytes per rule`, Math.round(linear / rules), LINEAR_BYTES_PER_RULE);
  gate(`${engine}, its growth in the last 25: bytes`, grown, 0);
}
console.log(failed === 0 ? "all gates passed" : `${failed} gates failed`);
process.exitCode = failed === 0 ? 0 : 1;
