// Draws a snapshot of the engine. Knows the elements of the page, and nothing of how the snapshot came to be.

const PHASES = ["pending", "idle", "prepare", "poll", "check", "close", "timers"];
const QUEUES = [
  ["pending", "Pending", "put off or posted, and not run yet"],
  ["idle", "Idle", "hooks that run each turn"],
  ["poll", "Ready", "sockets that the kernel has reported"],
  ["check", "Check", "hooks after the wait"],
  ["close", "Closing", "close callbacks to come"],
  ["pool", "Pool", "in another thread"],
  ["away", "Elsewhere", "in another process"],
];

const milliseconds = (ns) => (ns / 1e6).toLocaleString("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 });

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const counted = ({ name, count }) => (count > 1 ? `${count.toLocaleString("en")} × ${name}` : name);

function chips(list, items, className) {
  list.replaceChildren(
    ...(items.length > 0
      ? items.map((item) => element("li", { class: className }, counted(item)))
      : [element("li", { class: "none" }, "none")]),
  );
}

function drawRing(ring, snapshot) {
  for (const phase of PHASES) ring.querySelector(`[data-phase=${phase}]`)?.classList.remove("lit");
  ring.querySelector(`[data-phase=${snapshot.phase}]`)?.classList.add("lit");
}

// The heap as rows: children of i stand at 4 i + 1 to 4 i + 4.
function drawHeap(list, timers) {
  const rows = [];
  let width = 1;
  for (let at = 0; at < timers.length; at += width, width *= 4) rows.push(timers.slice(at, at + width * 1));
  list.replaceChildren(
    ...(timers.length === 0
      ? [element("li", { class: "none" }, "none: nothing to wake for")]
      : rows.map((row) =>
          element(
            "li",
            { class: "heap-row" },
            ...row.map((timer) =>
              element(
                "span",
                { class: timer.parent < 0 ? "chip first" : "chip" },
                timer.name,
                " ",
                element("small", {}, `${milliseconds(timer.deadline_ns)} ms`),
              ),
            ),
          ),
        )),
  );
}

export function makeView(root) {
  const part = (name) => root.querySelector(`[data-part=${name}]`);
  const queues = part("queues");
  const lists = {};
  let lines = [];

  queues.replaceChildren(
    ...QUEUES.map(([name, title, what]) => {
      lists[name] = element("ul", { class: "chips", "aria-label": `${title}: ${what}` });
      return element("div", { class: "queue" }, element("h4", {}, title), element("p", {}, what), lists[name]);
    }),
  );

  // The C program, a line an element, so that the running one can be marked.
  function showSource(source) {
    lines = source.replace(/\n$/, "").split("\n").map((text) => element("span", { class: "code-line" }, text || " "));
    part("source").replaceChildren(...lines);
  }

  function markLine(number, quiet) {
    const line = lines[number - 1];
    for (const each of lines) each.removeAttribute("aria-current");
    if (line === undefined) return;
    line.setAttribute("aria-current", "step");
    const box = part("source").parentElement;
    const top = line.offsetTop - box.offsetTop;
    if (top < box.scrollTop || top > box.scrollTop + box.clientHeight - 40)
      box.scrollTo({ top: Math.max(0, top - box.clientHeight / 2), behavior: quiet ? "auto" : "smooth" });
  }

  function show(snapshot, { quiet = false } = {}) {
    drawRing(part("ring"), snapshot);
    part("log").textContent = snapshot.log;
    // What is played is heard at its end only.
    part("log").setAttribute("aria-live", quiet ? "off" : "polite");
    part("time").textContent = `${milliseconds(snapshot.now_ns)} ms`;
    part("turn").textContent = snapshot.turn;
    part("event").textContent = snapshot.event;
    part("phase").textContent = snapshot.phase === "outside" ? "outside the loop" : snapshot.phase;
    part("answered").textContent = snapshot.answered.toLocaleString("en");
    part("worst").textContent = `${snapshot.worst_ms} ms`;
    root.classList.toggle("has-crowd", snapshot.answered > 0);
    root.classList.toggle("is-slow", snapshot.worst_ms >= 20);
    part("stack").replaceChildren(
      ...[...snapshot.stack].reverse().map((name) => element("li", {}, element("code", {}, name))),
    );
    for (const [name] of QUEUES) chips(lists[name], snapshot.queues[name] ?? [], "chip");
    drawHeap(part("heap"), snapshot.timers);
    chips(part("interest"), snapshot.kernel.interest, "chip");
    chips(part("ready"), snapshot.kernel.ready, "chip ready");
    markLine(snapshot.line, quiet);
  }

  return { show, showSource, part };
}
