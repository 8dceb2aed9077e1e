// The demo: one engine, what the reader wants of it, and a view. Events count from 0, before main has run.
import { openEngine, ProgramError } from "./engine.js";
import { readAddress, writeAddress } from "./address.js";
import { makeView } from "./view.js";

const TASKS = {
  sync: { title: "synchronous code", numbers: [] },
  defer: { title: "deferred work", numbers: [] },
  timer: { title: "timer", numbers: [["after ms", 10], ["then every ms (0: once)", 0], ["times", 3]] },
  socket: { title: "readable socket", numbers: [["at ms", 5], ["then every ms (0: once)", 0], ["times", 3]] },
  idle: { title: "idle hook", numbers: [["turns", 3]] },
  check: { title: "check hook", numbers: [["turns", 3]] },
  close: { title: "close", numbers: [] },
  slow: { title: "slow computation", numbers: [["at ms", 10], ["for ms", 50]] },
  slices: { title: "computation in slices", numbers: [["at ms", 10], ["for ms", 20]] },
  pool: { title: "computation in the pool", numbers: [["at ms", 10], ["for ms", 50]] },
  worker: { title: "computation in another process", numbers: [["at ms", 10], ["for ms", 50]] },
  post: { title: "message from another thread", numbers: [["at ms", 10]] },
  flood: { title: "stream to a slow reader", numbers: [["at ms", 2], ["KiB", 64]] },
};
const BEFORE = 2; // sentences that stay in sight

const root = document.querySelector("#demo");
const part = (name) => root.querySelector(`[data-part=${name}]`);
const still = matchMedia("(prefers-reduced-motion: reduce)");

// ---- when it cannot run ----

function broken(message) {
  part("broken").textContent = message;
  part("broken").hidden = false;
  root.classList.add("is-broken");
  root.dataset.broken = "true";
}

// What missing.js said, when it took longer than it waits.
function mended() {
  part("broken").hidden = true;
  root.classList.remove("is-broken");
  delete root.dataset.broken;
}

async function load() {
  try {
    return await openEngine(new URL("gyre-demo.wasm", import.meta.url));
  } catch (error) {
    broken(
      `The demo's engine, demo/gyre-demo.wasm, could not be loaded (${error.message}). “make site” builds it, with Debian's packages clang, lld, wasi-libc and libclang-rt-14-dev-wasm32.`,
    );
    throw error;
  }
}

const engine = await load().catch(() => null);
if (engine !== null) {
  mended();
  start();
}

function start() {
  const view = makeView(root);
  const scenes = engine.scenes();
  const state = { scene: null, program: "", seed: 1, furthest: 0, timer: null, isNew: false, seen: new Map() };

  // ---- showing ----

  const see = (snapshot) => state.seen.set(snapshot.event, { log: snapshot.log, turn: snapshot.turn });

  // What has been seen of an event; else it is gone through again.
  function seen(event) {
    if (!state.seen.has(event)) {
      const { event: present } = engine.snapshot();
      for (see(engine.seek(Math.max(0, event - BEFORE))); engine.snapshot().event < event; ) see(engine.step());
      engine.seek(present);
    }
    return state.seen.get(event);
  }

  function before(event) {
    const logs = [];
    for (let at = Math.max(0, event - BEFORE); at < event; at++) logs.push(seen(at).log);
    return logs;
  }

  function enable(name, isEnabled) {
    part(name).setAttribute("aria-disabled", String(!isEnabled));
  }

  function show(options) {
    const snapshot = engine.snapshot();
    see(snapshot);
    state.furthest = Math.max(state.furthest, snapshot.event);
    view.show(snapshot, { before: before(snapshot.event), quiet: state.timer !== null, smooth: state.timer === null && !still.matches, ...options });
    const slider = part("slider");
    slider.max = state.furthest;
    slider.value = snapshot.event;
    slider.setAttribute("aria-valuetext", `event ${snapshot.event} of the ${state.furthest} seen so far`);
    for (const name of ["back", "turn-back", "reset"]) enable(name, snapshot.event > 0);
    for (const name of ["step", "turn-step"]) enable(name, !snapshot.ended);
    root.dataset.event = snapshot.event;
    root.dataset.ended = snapshot.ended;
    if (state.timer === null) noteAddress(snapshot.event);
  }

  // The page as it opens needs none.
  function noteAddress(event) {
    const isPlain = state.scene === scenes[0].name && state.seed === 1 && event === 0 && !location.hash.includes("=");
    if (state.isNew) history.pushState(null, "", writeAddress({ ...state, event }));
    else if (!isPlain) history.replaceState(null, "", writeAddress({ ...state, event }));
  }

  function complain(message) {
    part("error").textContent = message;
    if (message === "") part("program").removeAttribute("aria-invalid");
    else part("program").setAttribute("aria-invalid", "true");
  }

  // False when the program says nothing that can be run: what was open stays so.
  function open({ scene, program, seed = 1, event = 0 }) {
    const known = scenes.find((each) => each.name === scene) ?? (typeof program === "string" ? undefined : scenes[0]);
    stop();
    try {
      engine.open(known?.program ?? program, seed);
    } catch (error) {
      if (!(error instanceof ProgramError)) throw error;
      complain(error.message);
      return false;
    }
    Object.assign(state, { scene: known?.name ?? null, program: known?.program ?? program, seed, furthest: 0, seen: new Map() });
    complain("");
    part("program").value = state.program;
    part("scene").value = state.scene ?? "";
    part("words").textContent = known?.words ?? "A scene of your own. Its address holds all of it: whoever opens it sees the same.";
    view.showProgram(state.program, engine.source());
    engine.seek(event);
    show({ smooth: false });
    return true;
  }

  // A scene that the reader has chosen: the browser's way back leads to the one before.
  function visit(what) {
    stop();
    state.isNew = true;
    const isOpen = open(what);
    state.isNew = false;
    return isOpen;
  }

  // An address may be anybody's: one that says nothing opens the first scene, and its text is kept to be mended.
  function openAddress() {
    const address = readAddress(location.hash);
    if (address === null) return;
    if (open(address)) return;
    const message = part("error").textContent;
    open({ scene: scenes[0].name });
    part("own").open = true;
    part("program").value = address.program ?? "";
    complain(message);
  }

  // ---- moving ----

  const step = () => (engine.step(), show());
  const back = () => (engine.seek(engine.snapshot().event - 1), show());

  function turnStep() {
    const { turn } = engine.snapshot();
    while (!engine.snapshot().ended && engine.step().turn === turn) see(engine.snapshot());
    show();
  }

  // To the first event of this turn, or of the one before.
  function turnBack() {
    let at = engine.snapshot().event - 1;
    if (at < 0) return;
    const { turn } = seen(at);
    while (at > 0 && seen(at - 1).turn === turn) at--;
    engine.seek(at);
    show();
  }

  const reset = () => (engine.seek(0), show());

  function stop() {
    if (state.timer === null) return;
    clearInterval(state.timer);
    state.timer = null;
    part("play").textContent = "Play";
    part("play").setAttribute("aria-pressed", "false");
    show();
  }

  function tick() {
    engine.step();
    show();
    if (engine.snapshot().ended) stop();
  }

  function play() {
    if (state.timer !== null) return stop();
    if (engine.snapshot().ended) engine.seek(0);
    state.timer = setInterval(guarded(tick), Number(part("speed").value));
    part("play").textContent = "Pause";
    part("play").setAttribute("aria-pressed", "true");
  }

  // ---- a scene of one's own ----

  function numberFields() {
    const { numbers } = TASKS[part("kind").value];
    part("numbers").replaceChildren(
      ...numbers.map(([title, value]) => {
        const label = document.createElement("label");
        label.append(title, Object.assign(document.createElement("input"), { type: "number", min: 0, max: 100000, value }));
        return label;
      }),
    );
  }

  // The name that was given, as the engine wants it, or the first free one.
  function nameOf(kind, program) {
    const given = part("name").value.trim().replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^[0-9-]+/, "").slice(0, 19);
    if (given !== "") return given;
    const taken = new Set([...program.matchAll(/^\s*\w+\s+(\S+)/gm)].map(([, name]) => name));
    let name = kind;
    for (let i = 2; taken.has(name); i++) name = `${kind}${i}`;
    return name;
  }

  function addTask() {
    const kind = part("kind").value;
    const numbers = [...part("numbers").querySelectorAll("input")].map((input) => input.value || "0");
    const earlier = part("program").value.replace(/\s*$/, "");
    if ((kind === "timer" || kind === "socket") && numbers[1] === "0") numbers.length = 1;
    const line = [kind, nameOf(kind, earlier), ...numbers].join(" ");
    const program = `${earlier}${earlier === "" ? "" : "\n"}${line}\n`;
    if (!visit({ program })) part("program").value = program;
  }

  async function share() {
    const link = location.href;
    try {
      await navigator.clipboard.writeText(link);
      part("shared").textContent = "The address is in the clipboard.";
    } catch {
      part("shared").textContent = link;
    }
  }

  // ---- the controls ----

  // A fault of the engine is said, and ends the demo: its memory is no more to be trusted.
  function guarded(act) {
    return (...given) => {
      if (root.classList.contains("is-broken")) return undefined;
      try {
        return act(...given);
      } catch (error) {
        clearInterval(state.timer);
        broken(`The demo's engine has stopped (${error.message}). Reload the page to go on.`);
        throw error;
      }
    };
  }

  const on = (name, event, act) => part(name).addEventListener(event, guarded(act));
  const clicks = { step, back, reset, play, share, "turn-step": turnStep, "turn-back": turnBack, add: addTask };
  const keys = { ArrowRight: step, ArrowLeft: back, ".": turnStep, ",": turnBack, Home: reset, p: play };

  part("scene").append(...scenes.map(({ name, title }) => new Option(title, name)), new Option("A scene of your own", ""));
  part("kind").append(...Object.entries(TASKS).map(([kind, { title }]) => new Option(title, kind)));
  numberFields();
  for (const [name, act] of Object.entries(clicks)) {
    on(name, "click", () => {
      if (name !== "play") stop();
      if (part(name).getAttribute("aria-disabled") !== "true") act();
    });
  }
  on("scene", "change", () => {
    const name = part("scene").value;
    if (name === "") part("own").open = true;
    visit(name === "" ? { program: part("program").value } : { scene: name });
  });
  on("kind", "change", numberFields);
  on("run", "click", () => visit({ program: part("program").value }));
  on("slider", "input", () => (stop(), engine.seek(Number(part("slider").value)), show({ quiet: true })));
  on("slider", "change", () => show());
  on("speed", "change", () => {
    if (state.timer === null) return;
    stop();
    play();
  });
  addEventListener("popstate", guarded(openAddress));
  root.addEventListener("keydown", (event) => {
    const takesKeys = event.target.closest("input, textarea, select, pre");
    if (takesKeys || event.ctrlKey || event.metaKey || event.altKey || keys[event.key] === undefined) return;
    event.preventDefault();
    if (event.key !== "p") stop();
    guarded(keys[event.key])();
  });

  guarded(openAddress)();
  if (state.scene === null && state.program === "") open({ scene: scenes[0].name });
  root.dataset.ready = "true";
  performance.mark("demo-ready");
}
