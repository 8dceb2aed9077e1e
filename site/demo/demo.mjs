// The demo: one engine, what the reader wants of it, and a view. Events count from 0, before main has run.
import { openEngine, ProgramError } from "./engine.mjs";
import { readAddress, writeAddress } from "./address.mjs";
import { makeView } from "./view.mjs";

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
};

const root = document.querySelector("#demo");
const part = (name) => root.querySelector(`[data-part=${name}]`);
const stops = matchMedia("(prefers-reduced-motion: reduce)");

const engine = await openEngine(new URL("gyre-demo.wasm", import.meta.url));
const view = makeView(root);
const scenes = engine.scenes();
const state = { scene: null, program: "", seed: 1, furthest: 0, timer: null };

// ---- showing ----

function show(options) {
  const snapshot = engine.snapshot();
  state.furthest = Math.max(state.furthest, snapshot.event);
  view.show(snapshot, { quiet: state.timer !== null || stops.matches, ...options });
  const slider = part("slider");
  slider.max = state.furthest;
  slider.value = snapshot.event;
  slider.setAttribute("aria-valuetext", `event ${snapshot.event} of the ${state.furthest} seen so far`);
  for (const name of ["back", "turn-back", "reset"]) part(name).disabled = snapshot.event === 0;
  for (const name of ["step", "turn-step", "play"]) part(name).disabled = snapshot.ended;
  root.dataset.event = snapshot.event;
  root.dataset.ended = snapshot.ended;
  if (state.timer === null)
    history.replaceState(null, "", writeAddress({ ...state, event: snapshot.event }));
}

function open({ scene, program, seed = 1, event = 0 }) {
  const known = scenes.find((each) => each.name === scene) ?? (program === null || program === undefined ? scenes[0] : null);
  stop();
  try {
    engine.open(known?.program ?? program, seed);
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    part("error").textContent = error.message;
    part("program").setAttribute("aria-invalid", "true");
    return false;
  }
  Object.assign(state, { scene: known?.name ?? null, program: known?.program ?? program, seed, furthest: 0 });
  part("error").textContent = "";
  part("program").removeAttribute("aria-invalid");
  part("program").value = state.program;
  part("scene").value = state.scene ?? "";
  part("words").textContent = known?.words ?? "A scene of your own. Its address can be shared: it holds the whole scene.";
  view.showSource(engine.source());
  engine.seek(event);
  show();
  return true;
}

// ---- moving ----

const step = () => (engine.step(), show());
const back = () => (engine.seek(engine.snapshot().event - 1), show());

function turnStep() {
  const { turn } = engine.snapshot();
  while (!engine.snapshot().ended && engine.step().turn === turn);
  show();
}

function turnBack() {
  const { turn, event } = engine.snapshot();
  let at = event - 1;
  while (at > 0 && engine.seek(at).turn >= turn) at--;
  engine.seek(Math.max(0, at));
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

function play() {
  if (state.timer !== null) return stop();
  state.timer = setInterval(() => {
    engine.step();
    show();
    if (engine.snapshot().ended) stop();
  }, Number(part("speed").value));
  part("play").textContent = "Pause";
  part("play").setAttribute("aria-pressed", "true");
}

// ---- a scene of one's own ----

function numberFields() {
  const { numbers } = TASKS[part("kind").value];
  part("numbers").replaceChildren(
    ...numbers.map(([title, value], at) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "number", min: 0, max: 100000, value, id: `number-${at}` });
      label.append(title, input);
      return label;
    }),
  );
}

function addTask() {
  const kind = part("kind").value;
  const numbers = [...part("numbers").querySelectorAll("input")].map((input) => input.value || "0");
  const name = part("name").value.trim().replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, 19) || kind;
  if ((kind === "timer" || kind === "socket") && numbers[1] === "0") numbers.length = 1;
  const before = part("program").value.replace(/\s*$/, "");
  const program = `${before}${before === "" ? "" : "\n"}${kind} ${name}${numbers.map((each) => ` ${each}`).join("")}\n`;
  if (!open({ scene: null, program })) part("program").value = program;
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

part("scene").append(...scenes.map(({ name, title }) => new Option(title, name)), new Option("a scene of your own", ""));
part("kind").append(...Object.entries(TASKS).map(([kind, { title }]) => new Option(title, kind)));
numberFields();

const clicks = { step, back, reset, play, share, "turn-step": turnStep, "turn-back": turnBack, add: addTask };
for (const [name, act] of Object.entries(clicks)) part(name).addEventListener("click", act);
part("scene").addEventListener("change", () => {
  const name = part("scene").value;
  open(name === "" ? { scene: null, program: part("program").value } : { scene: name });
});
part("kind").addEventListener("change", numberFields);
part("run").addEventListener("click", () => open({ scene: null, program: part("program").value }));
part("slider").addEventListener("input", () => (stop(), engine.seek(Number(part("slider").value)), show({ quiet: true })));
part("slider").addEventListener("change", () => show());
part("speed").addEventListener("change", () => {
  if (state.timer === null) return;
  stop();
  play();
});
addEventListener("hashchange", () => open(readAddress(location.hash)));

const keys = { ArrowRight: step, ArrowLeft: back, ".": turnStep, ",": turnBack, Home: reset, p: play };
root.addEventListener("keydown", (event) => {
  const takesKeys = event.target.closest("input, textarea, select, pre");
  if (takesKeys || event.ctrlKey || event.metaKey || event.altKey || keys[event.key] === undefined) return;
  event.preventDefault();
  keys[event.key]();
});

if (!open(readAddress(location.hash))) open({ scene: scenes[0].name });
root.dataset.ready = "true";
