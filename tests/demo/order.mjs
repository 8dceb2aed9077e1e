// Compares the demo's order of callbacks, scene by scene, with native traces, and tries programs that are wrong.
// usage: node order.mjs ENGINE.mjs DEMO.wasm NATIVE.txt BY-HAND.txt SOURCES: writes each scene's C program into SOURCES
import { strict as assert } from "node:assert";
import { readFile, writeFile } from "node:fs/promises";

const [, , module, wasm, native, byHand, sources] = process.argv;
const { openEngine, ProgramError } = await import(module);
const engine = await openEngine(await readFile(wasm));

// "scene NAME" and the lines of it, as NAME -> lines.
async function tracesOf(path) {
  const traces = new Map();
  for (const line of (await readFile(path, "utf8")).trim().split("\n")) {
    const name = /^scene (\S+)$/.exec(line)?.[1];
    if (name !== undefined) traces.set(name, []);
    else [...traces.values()].at(-1).push(line);
  }
  return traces;
}

function demoTrace(program) {
  engine.open(program);
  while (!engine.step(7).ended);
  return engine.trace();
}

function firstDifference(name, demo, other) {
  const at = demo.findIndex((line, i) => line !== other[i]);
  if (at < 0 && demo.length === other.length) return;
  const where = at < 0 ? demo.length : at;
  assert.fail(`${name}: callback ${where + 1} is "${demo[where]}" in the demo, and "${other[where]}" natively`);
}

const scenes = engine.scenes();
let callbacks = 0;
for (const [name, lines] of [...(await tracesOf(native))]) {
  const scene = scenes.find((each) => each.name === name);
  firstDifference(name, demoTrace(scene.program), lines);
  callbacks += lines.length;
}
const hand = await tracesOf(byHand);
for (const [name, lines] of hand) firstDifference(`${name}, by hand`, demoTrace(`scene ${name}`), lines);
assert.ok(hand.size >= 5);
console.log(`${scenes.length} scenes, ${callbacks} callbacks: the demo's order is the native one; ${hand.size} of them also by hand`);

// Back is the same as never having gone on, wherever one stands.
const picture = () => JSON.stringify(engine.snapshot());
for (const { name, program } of scenes) {
  const pictures = [JSON.stringify(engine.open(program))];
  while (!engine.step().ended) pictures.push(picture());
  pictures.push(picture());
  for (let at = pictures.length - 1, hop = 1; at >= 0; at -= hop, hop = (hop * 2) % 13 || 1) {
    engine.seek(at);
    assert.equal(picture(), pictures[at], `${name}: event ${at} is another one on the way back`);
  }
}

// The programs that the page shows: of all scenes, and one with all kinds of tasks and awkward names.
const odd =
  "mode nowait 3 5\nsync int\ndefer loop\ntimer a-b 1 2 3\nidle while 1\ncheck compute 2\nclose main\nsocket on_close 1\n" +
  "crowd 3 1 2\nslow work 1 1\nslices s 1 2\npool p 1 1\nworker w 1 1\npost question 1\nflood f 1 9\n";
for (const { name, program } of [...scenes, { name: "odd", program: odd }]) {
  engine.open(program);
  await writeFile(`${sources}/${name}.c`, engine.source());
  const lines = engine.source().split("\n").length;
  while (!engine.step().ended) assert.ok(engine.snapshot().line >= 1 && engine.snapshot().line < lines);
}

// Wrong ones are refused with a line and a reason, and what was open goes on.
const wrong = [
  "timer", "timer a", "timer 1a 5", "timer a x", "timer a -1", "timer a 5 5 5 5", "timer a 99999999999999999999", "x", "mode", "mode now",
  "mode default 2", "mode once 0", "workers", "workers 0", "workers 99", "beside", "crowd 0 1 1", "crowd 1 0 1", "crowd 5001 1 1",
  "crowd 5000 1 10000", "timer a 5\ntimer a 6", "crowd 3000 9 9\ncrowd 1 9 9", "flood f 1 0", `timer ${"a".repeat(20)} 5`, "é",
  `timer ${"a".repeat(200)} 5`, "#".repeat(5000), "defer a\n".repeat(600), [..."abcdefghijklmnopq"].map((name) => `defer ${name}`).join("\n"), "a\0b",
];
engine.open("timer a 5\ntimer b 6\n");
engine.step(2);
const stays = picture();
for (const program of wrong) assert.throws(() => engine.open(program), (error) => error instanceof ProgramError && error.line >= 1 && error.reason !== "", program);
assert.equal(picture(), stays);
assert.equal(engine.step(100).ended, true);
for (const fine of ["", "# nothing\n\n", "mode once", "timer a 0 0 5", "slow a 0 0", "slices a 0 0", "pool a 0 0\npool b 0 9", "crowd 1 1 0", "post a 0"]) {
  engine.open(fine);
  assert.equal(engine.step(1e6).ended, true, fine);
}
console.log(`${wrong.length} wrong programs are refused`);
