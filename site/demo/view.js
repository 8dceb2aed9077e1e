// Draws a snapshot of the engine. Knows the elements of the page, and nothing of how the snapshot came to be.

const QUEUES = ["pending", "idle", "prepare", "poll", "check", "close"];

// What a thread for each connection takes: examples/thread_cost.c prints it.
const THREAD_BYTES = 35 * 1024;
const HANDLE_BYTES = 356;

const milliseconds = (ns) => (ns / 1e6).toLocaleString("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 });
const count = (number) => number.toLocaleString("en");
const bytes = (number) =>
  number < 1e6 ? `${count(Math.round(number / 1024))} KiB` : `${(number / 2 ** 20).toLocaleString("en", { maximumFractionDigits: 1 })} MiB`;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const counted = ({ name, count: many }) => (many > 1 ? `${count(many)} × ${name}` : name);

function chips(list, items, className = "chip") {
  list.replaceChildren(
    ...(items.length > 0
      ? items.map((item) => element("li", { class: className }, counted(item)))
      : [element("li", { class: "none" }, element("span", { "aria-hidden": "true" }, "–"), element("span", { class: "unseen" }, "none"))]),
  );
}

function bar(share, className = "") {
  const made = element("span", { class: `bar ${className}`, "aria-hidden": "true" }, element("span"));
  made.firstChild.style.width = `${Math.max(0.4, Math.min(100, share * 100))}%`;
  return made;
}

// The heap as rows: children of i stand at 4 i + 1 to 4 i + 4.
function drawHeap(list, timers) {
  const rows = [];
  for (let at = 0, width = 1; at < timers.length; at += width, width *= 4) rows.push(timers.slice(at, at + width));
  if (rows.length === 0) return chips(list, []);
  const chip = ({ name, deadline_ns, parent, stopped }) =>
    element(
      "span",
      { class: `chip${parent < 0 ? " first" : ""}${stopped ? " stopped" : ""}`, ...(stopped && { title: "stopped; it leaves the heap at its top" }) },
      name,
      " ",
      element("small", {}, `${(deadline_ns / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} ms`),
    );
  list.replaceChildren(...rows.map((row) => element("li", { class: "heap-row" }, ...row.map(chip))));
}

function drawWorkers(table, workers) {
  const most = Math.max(1, ...workers.map((each) => each.worst_ms));
  table.replaceChildren(
    ...workers.map(({ sockets, answered, worst_ms }, at) =>
      element(
        "tr",
        at === 0 ? { class: "this" } : {},
        element("th", { scope: "row" }, at === 0 ? "1, shown here" : `${at + 1}`),
        element("td", {}, count(sockets)),
        element("td", {}, count(answered)),
        element("td", {}, element("span", { class: "number" }, `${worst_ms} ms`), bar(worst_ms / most, worst_ms >= 20 ? "warm" : "")),
      ),
    ),
  );
}

// The same lines, served by the loop that runs here, and by a thread for each connection.
function drawBeside(table, { connections, answered, sleeps }) {
  const rows = [
    ["Threads", 1, connections, count],
    ["Memory for the connections", connections * HANDLE_BYTES, connections * THREAD_BYTES, bytes],
    ["Switches of the processor so far", 2 * sleeps, 2 * answered, count],
  ];
  table.replaceChildren(
    ...rows.map(([title, loop, threads, say]) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, title),
        ...[loop, threads].map((value, at) =>
          element("td", {}, element("span", { class: "number" }, say(value)), bar(value / Math.max(1, loop, threads), at === 1 ? "warm" : "")),
        ),
      ),
    ),
  );
}

// Enough of C to tell words of the language, comments and strings apart.
const C = /(\/\*.*?\*\/|\/\/.*$)|("(?:[^"\\]|\\.)*")|(^#\w+)|\b(static|void|int|const|for|if|else|return|char|while)\b/g;
const KINDS = ["comment", "string", "pre", "word"];

function codeLine(text) {
  const line = element("span", { class: "code-line" });
  let from = 0;
  for (const match of text.matchAll(C)) {
    const kind = KINDS[match.slice(1).findIndex((each) => each !== undefined)];
    line.append(text.slice(from, match.index), element("span", { class: `c-${kind}` }, match[0]));
    from = match.index + match[0].length;
  }
  line.append(text.slice(from) || (from === 0 ? " " : ""));
  return line;
}

export function makeView(root) {
  const part = (name) => root.querySelector(`[data-part=${name}]`);
  const phases = [...root.querySelectorAll("[data-phase]")];
  let lines = [];
  let connections = 0;

  // What a program has is seen before it runs: so that nothing moves when it does.
  function showProgram(program, source) {
    const has = (pattern) => pattern.test(program);
    lines = source.replace(/\n$/, "").split("\n").map(codeLine);
    part("source").replaceChildren(...lines);
    part("source").parentElement.scrollTop = 0;
    root.classList.toggle("has-crowd", has(/^\s*crowd\s/m));
    root.classList.toggle("has-workers", has(/^\s*workers\s+[2-9]/m));
    root.classList.toggle("has-beside", has(/^\s*beside\s/m));
    root.classList.toggle("has-flood", has(/^\s*flood\s/m));
    connections = [...program.matchAll(/^\s*crowd\s+(\d+)/gm)].reduce((sum, [, many]) => sum + Number(many), 0);
  }

  function markLine(number, smooth) {
    const line = lines[number - 1];
    for (const each of lines) each.removeAttribute("aria-current");
    if (line === undefined) return;
    line.setAttribute("aria-current", "step");
    const box = part("source").parentElement;
    const top = line.offsetTop;
    if (top < box.scrollTop + 20 || top > box.scrollTop + box.clientHeight - 60)
      box.scrollTo({ top: Math.max(0, top - box.clientHeight / 2), behavior: smooth ? "smooth" : "instant" });
  }

  function showFacts(snapshot) {
    const [first = { answered: 0, worst_ms: 0 }] = snapshot.workers;
    part("time").textContent = `${milliseconds(snapshot.now_ns)} ms`;
    part("turn").textContent = count(snapshot.turn);
    part("event").textContent = count(snapshot.event);
    part("answered").textContent = count(first.answered);
    part("rate").textContent = count(snapshot.now_ns > 0 ? Math.round((first.answered * 1e9) / snapshot.now_ns) : 0);
    part("each").textContent = count(snapshot.asks > 0 ? Math.round(first.answered / snapshot.asks) : 0);
    part("worst").textContent = `${first.worst_ms} ms`;
    root.classList.toggle("is-slow", first.worst_ms >= 20);
    drawWorkers(part("workers"), snapshot.workers);
    drawBeside(part("beside"), { connections, answered: first.answered, sleeps: snapshot.sleeps });
  }

  function showQueued({ bytes: queued = 0, high = 12288, low = 4096 } = {}) {
    const most = 20480;
    part("queued").textContent = `${count(queued / 1024)} KiB`;
    part("meter").style.setProperty("--full", `${Math.min(100, (100 * queued) / most)}%`);
    part("meter").style.setProperty("--low", `${(100 * low) / most}%`);
    part("meter").style.setProperty("--high", `${(100 * high) / most}%`);
    part("meter").classList.toggle("over", queued > high);
  }

  function showLog(snapshot, before, quiet) {
    part("before").replaceChildren(...before.map((text) => element("li", {}, text)));
    part("log").textContent = snapshot.log;
    // What is played is heard at its end only.
    part("log").setAttribute("aria-live", quiet ? "off" : "polite");
  }

  // `before`: the sentences of the events before this one.
  function show(snapshot, { before = [], quiet = false, smooth = false } = {}) {
    for (const each of phases) {
      const isLit = each.dataset.phase === snapshot.phase;
      each.classList.toggle("lit", isLit);
      if (isLit) each.setAttribute("aria-current", "step");
      else each.removeAttribute("aria-current");
    }
    part("phase").textContent = snapshot.phase === "outside" ? "outside the loop" : snapshot.phase;
    showLog(snapshot, before, quiet);
    showFacts(snapshot);
    showQueued(snapshot.queued);
    part("stack").replaceChildren(...[...snapshot.stack].reverse().map((name) => element("li", {}, element("code", {}, name))));
    for (const name of QUEUES) chips(part(name), snapshot.queues[name] ?? []);
    drawHeap(part("heap"), snapshot.timers);
    chips(part("interest"), snapshot.kernel.interest);
    chips(part("ready"), snapshot.kernel.ready, "chip ready");
    chips(part("pool"), snapshot.queues.pool, "chip away");
    chips(part("away"), snapshot.queues.away, "chip away");
    markLine(snapshot.line, smooth);
  }

  return { show, showProgram, part };
}
