// The demo's engine: libgyre as WebAssembly on its simulated kernel (demo/*.c), as one object with a few functions.
//
//   const engine = await openEngine("demo/gyre-demo.wasm");
//   engine.scenes()             [{name, title, program, words}]
//   engine.open(program, seed)  a list of tasks (demo/program.h), or "scene NAME"; throws a ProgramError with a line
//   engine.step(count = 1)      the snapshot after so many events more; at the end the last one again
//   engine.seek(event)          the snapshot after that event, forwards or backwards
//   engine.snapshot()           the present one
//   engine.source()             the C program beside it; snapshot.line counts its lines from 1
//   engine.trace()              all callbacks that ran so far, in order: "turn phase name"
//
// To go back is to run again from the start: the seed makes it the same. What the start costs (thousands of
// connections) is saved: the memory is kept as it was then, and now and then on the way.

export class ProgramError extends Error {
  constructor(message, line) {
    super(`line ${line}: ${message}`);
    this.name = "ProgramError";
    this.line = line;
    this.reason = message;
  }
}

const KEEP_EVERY = 500; // events,
const KEEP_AFTER_MS = 25; // or what takes so long to run again
const KEEP_BYTES = 160 << 20;
const AT_ONCE = 1000; // events between two looks at what is to be kept

const nothing = () => ({
  event: 0,
  turn: 0,
  now_ns: 0,
  phase: "outside",
  mode: "default",
  stack: [],
  queues: { pending: [], idle: [], prepare: [], poll: [], check: [], close: [], pool: [], away: [] },
  timers: [],
  kernel: { interest: [], ready: [] },
  log: "Nothing has run yet: main is about to begin.",
  line: 1,
  ran: "",
  workers: [],
  asks: 0,
  sleeps: 0,
  beside: false,
  ended: false,
  alive: 0,
});

async function bytesOf(source) {
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return source;
  const answer = await fetch(source);
  if (!answer.ok) throw new Error(`${source}: ${answer.status}`);
  return answer.arrayBuffer();
}

// What the C library asks of a system: it may write an assertion's text, and nothing else.
function wasi(memoryOf) {
  const text = new TextDecoder();
  return {
    fd_write(fd, vectors, count, written) {
      const view = new DataView(memoryOf().buffer);
      let bytes = 0;
      for (let i = 0; i < count; i++) {
        const at = view.getUint32(vectors + 8 * i, true);
        const len = view.getUint32(vectors + 8 * i + 4, true);
        console.error(text.decode(new Uint8Array(view.buffer, at, len)));
        bytes += len;
      }
      view.setUint32(written, bytes, true);
      return 0;
    },
    fd_close: () => 0,
    fd_seek: () => 70, // ESPIPE
    fd_fdstat_get: () => 8, // EBADF
    proc_exit(code) {
      throw new Error(`the engine ended with ${code}`);
    },
  };
}

export async function openEngine(source) {
  let c;
  const { instance } = await WebAssembly.instantiate(await bytesOf(source), {
    wasi_snapshot_preview1: wasi(() => c.memory),
  });
  c = instance.exports;
  c._initialize?.();

  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const text = (at) => {
    const bytes = new Uint8Array(c.memory.buffer);
    return at === 0 ? "" : decoder.decode(bytes.subarray(at, bytes.indexOf(0, at)));
  };
  const keep = () => new Uint8Array(c.memory.buffer).slice();
  // Memory never shrinks: what it has grown by is as fresh as it was before.
  const restore = (kept) => {
    const bytes = new Uint8Array(c.memory.buffer);
    bytes.set(kept);
    bytes.fill(0, kept.length);
  };

  const fresh = keep();
  let kept = []; // {event, memory}, the first one at event 0
  let now = nothing();
  let spentMs = 0; // since something was kept

  const scenes = () =>
    Array.from({ length: c.demo_scene_count() }, (_, i) => ({
      name: text(c.demo_scene_name(i)),
      title: text(c.demo_scene_title(i)),
      program: text(c.demo_scene_program(i)),
      words: text(c.demo_scene_words(i)),
    }));

  function programOf(given) {
    const name = /^\s*scene\s+(\S+)\s*$/.exec(given)?.[1];
    if (name === undefined) return given;
    const scene = scenes().find((each) => each.name === name);
    if (scene === undefined) throw new ProgramError(`there is no scene ${name}`, 1);
    return scene.program;
  }

  function open(given, seed = 1) {
    const bytes = encoder.encode(programOf(given));
    if (bytes.length >= c.demo_room_bytes() || bytes.includes(0))
      throw new ProgramError("the program is too long", 1);
    restore(fresh);
    const room = c.demo_room();
    new Uint8Array(c.memory.buffer).set(bytes, room);
    new Uint8Array(c.memory.buffer)[room + bytes.length] = 0;
    const line = c.demo_open(seed >>> 0);
    if (line !== 0) {
      const why = text(c.demo_why());
      if (kept.length > 0) rewind(now.event); // what was open stays so
      throw new ProgramError(why, line);
    }
    now = nothing();
    kept = [{ event: 0, memory: keep(), snapshot: now }];
    return now;
  }

  // When there are too many, every other one goes.
  function keepNow() {
    const last = kept[kept.length - 1];
    if (now.event <= last.event || (now.event < last.event + KEEP_EVERY && spentMs < KEEP_AFTER_MS)) return;
    spentMs = 0;
    if ((kept.length + 1) * c.memory.buffer.byteLength > KEEP_BYTES) kept = kept.filter((_, at) => at % 2 === 0);
    if ((kept.length + 1) * c.memory.buffer.byteLength <= KEEP_BYTES) kept.push({ event: now.event, memory: keep(), snapshot: now });
  }

  function go(count) {
    const before = now.event;
    const began = performance.now();
    const frame = c.demo_step(count);
    if (frame !== 0) now = JSON.parse(text(frame));
    spentMs += performance.now() - began;
    return now.event - before;
  }

  function step(count = 1) {
    while (count > 0 && !now.ended) {
      const part = Math.min(count, AT_ONCE);
      const start = now.event;
      if (go(part) < part && !now.ended) {
        rewind(start); // the end came on the way, and nobody drew it
        while (!now.ended && go(1) === 1);
      }
      keepNow();
      count -= part;
    }
    return now;
  }

  // To the last kept moment that is not after `event`, and on.
  function rewind(event) {
    const from = kept.findLast((each) => each.event <= event);
    restore(from.memory);
    now = from.snapshot;
    spentMs = 0;
    if (event > now.event) go(event - now.event);
  }

  function seek(event) {
    const to = Math.max(0, Math.trunc(event));
    if (to < now.event) rewind(to);
    return step(to - now.event);
  }

  return {
    scenes,
    open,
    step,
    seek,
    snapshot: () => now,
    source: () => text(c.demo_source()),
    trace: () => text(c.demo_order()).split("\n").slice(0, -1),
    memoryBytes: () => c.memory.buffer.byteLength,
  };
}
