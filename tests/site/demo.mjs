// Drives the demo's page: every scene to its end and back, addresses, the browser's way back, keys, a phone's width,
// accessibility, what does not load, and what it weighs.
// usage: node demo.mjs URL FILE-URL     SHOTS=DIR keeps a picture of each scene, light and dark, and of a phone's
import { strict as assert } from "node:assert";
import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const url = process.argv[2];
const shots = process.env.SHOTS;
const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const faults = [];

async function openPage(options = {}) {
  const page = await browser.newPage({ viewport: { width: 1200, height: 1000 }, ...options });
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => {
    if (new URL(request.url()).host !== new URL(url).host) faults.push(`another host: ${request.url()}`);
  });
  return page;
}

async function visit(page, hash = "") {
  await page.goto("about:blank");
  await page.goto(url + hash);
  await page.waitForSelector("#demo[data-ready=true]");
}

// The same without a new page: as when the reader goes back to an address.
const go = (page, hash) =>
  page.evaluate((to) => {
    history.pushState(null, "", to);
    dispatchEvent(new PopStateEvent("popstate"));
  }, hash);

const part = (page, name) => page.locator(`#demo [data-part=${name}]`);
const event = (page) => page.locator("#demo").getAttribute("data-event").then(Number);

// ---- in the page ----

// All that shows the loop's state; what it is doing; and where the parts stand that may not move.
function installProbe() {
  const demo = document.querySelector("#demo");
  const one = (name) => demo.querySelector(`[data-part=${name}]`);
  const names = "log before event turn phase time answered rate each worst workers beside queued stack pending idle prepare poll check close heap interest ready pool away source";
  window.probe = {
    state: () =>
      [...names.split(" ").map((name) => one(name).innerHTML), ...[...demo.querySelectorAll(".phase")].map((each) => each.classList.contains("lit"))].join("\n"),
    click(name, times = 1) {
      for (let i = 0; i < times; i++) one(name).click();
    },
    toEnd(look = () => {}) {
      for (let i = 0; i < 100000 && demo.dataset.ended !== "true"; i++) {
        one("step").click();
        look();
      }
      return demo.dataset.ended;
    },
    places: () =>
      ["step", "log", "phase"].map((name) => Math.round(one(name).getBoundingClientRect().top)).join(" ") +
      [...demo.querySelectorAll(".phase, .box, .extra, .source")].map((each) => JSON.stringify([each.offsetTop, each.offsetHeight])).join(" "),
    // The running line is in sight, and one phase at most is lit: the one that is named.
    check() {
      const box = one("source").parentElement.getBoundingClientRect();
      const line = one("source").querySelector("[aria-current]")?.getBoundingClientRect();
      const lit = [...demo.querySelectorAll(".phase.lit")].map((each) => each.dataset.phase).join(" ");
      const named = one("phase").textContent.replace("outside the loop", "");
      if (line === undefined || line.top < box.top - 1 || line.bottom > box.bottom + 1) return "the running line is out of sight";
      if (lit !== named) return `lit is "${lit}", and the phase "${named}"`;
      return one("log").textContent.length > 20 ? "" : "there is no sentence";
    },
  };
}

async function probed(page, hash) {
  await visit(page, hash);
  await page.evaluate(installProbe);
}

const state = (page) => page.evaluate(() => window.probe.state());
const click = (page, name, times = 1) => page.evaluate(([which, count]) => window.probe.click(which, count), [name, times]);
const toEnd = (page) => page.evaluate(() => window.probe.toEnd());

// ---- what is shown ----

async function weighsLittle() {
  const page = await openPage();
  const began = Date.now();
  await visit(page);
  const ready = Date.now() - began;
  await page.waitForLoadState("networkidle");
  const { bytes, interactive } = await page.evaluate(() => ({
    bytes: [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce((sum, each) => sum + each.decodedBodySize, 0),
    interactive: Math.round(performance.getEntriesByName("demo-ready")[0].startTime),
  }));
  assert.ok(bytes > 100000 && bytes <= 300000, `the page weighs ${bytes} bytes`);
  assert.ok(interactive < 5000, `interactive after ${interactive} ms`);
  console.log(`page with its .wasm: ${bytes} bytes (300000 allowed); interactive after ${interactive} ms (1000), ${ready} ms with the browser's own start`);
  await page.close();
}

async function stepsBackFast() {
  const page = await openPage();
  const tasks = ["idle spin 1000", ..."abcdefgh".split("").map((name) => `timer ${name} 0 1 1000`)];
  await visit(page, `#${new URLSearchParams({ program: tasks.join("\n"), event: 10000 })}`);
  assert.equal(await event(page), 10000);
  const times = await page.evaluate(() => {
    const demo = document.querySelector("#demo");
    const taken = [];
    for (let i = 0; i < 21; i++) {
      const began = performance.now();
      demo.querySelector("[data-part=back]").click();
      taken.push(performance.now() - began);
    }
    return taken;
  });
  assert.equal(await event(page), 9979);
  const worst = Math.max(...times);
  assert.ok(worst < 1000, `a step back took ${worst} ms`);
  console.log(`a step back from event 10000: ${times[0].toFixed(1)} ms, of 21 the longest ${worst.toFixed(1)} ms (100)`);
  await page.close();
}

async function everyScene() {
  const page = await openPage({ reducedMotion: "reduce" }); // code is scrolled at once
  await visit(page);
  const scenes = await part(page, "scene").locator("option").evaluateAll((options) => options.map((each) => each.value).filter(Boolean));
  assert.ok(scenes.length >= 15, `only ${scenes.length} scenes`);
  await probed(page);
  for (const scene of scenes) {
    await go(page, `#scene=${scene}`);
    const { ended, faulty, moved } = await page.evaluate(() => {
      const seen = { faulty: [], moved: new Set() };
      const ended = window.probe.toEnd(() => {
        const fault = window.probe.check();
        if (fault !== "") seen.faulty.push(fault);
        seen.moved.add(window.probe.places());
      });
      return { ended, faulty: seen.faulty, moved: [...seen.moved] };
    });
    assert.equal(ended, "true", scene);
    assert.deepEqual(faulty, [], scene);
    assert.equal(moved.length, 1, `${scene}: the page moves while it plays: ${moved.slice(0, 2).join(" / ")}`);
    const end = await state(page);
    const events = await event(page);
    const count = Math.min(10, events);
    await click(page, "back", count);
    assert.equal(await event(page), events - count, `${scene}: ten back`);
    await click(page, "step", count);
    assert.equal(await state(page), end, `${scene}: ten back and ten forward is another state`);
    await click(page, "back", Math.min(3, events));
    const shared = { address: new URL(page.url()).hash, state: await state(page) };
    await probed(page, shared.address);
    assert.equal(await state(page), shared.state, `${scene}: its address gives another state`);
    await click(page, "reset");
    assert.equal(await event(page), 0);
    await click(page, "turn-step", 2);
    const second = await event(page);
    await click(page, "turn-step");
    if ((await page.locator("#demo").getAttribute("data-ended")) !== "true") {
      await click(page, "turn-back");
      assert.equal(await event(page), second, `${scene}: a turn on and a turn back`);
    }
  }
  await page.close();
  return scenes;
}

async function sceneOfOnesOwn() {
  const page = await openPage();
  await probed(page);
  await page.locator("#demo details summary").click();
  await part(page, "program").fill("timer a 5\nsocket b 3\n");
  await part(page, "run").click();
  assert.equal(await toEnd(page), "true");
  for (const kind of await part(page, "kind").locator("option").evaluateAll((options) => options.map((each) => each.value))) {
    await part(page, "kind").selectOption(kind);
    await part(page, "add").click();
    assert.equal(await part(page, "error").innerText(), "", kind);
  }
  assert.equal(await toEnd(page), "true", "a task of each kind");
  await part(page, "kind").selectOption("slow");
  await part(page, "name").fill("my hog");
  await part(page, "add").click();
  assert.match(await part(page, "program").inputValue(), /slow my-hog 10 50\n$/);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await part(page, "share").click();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  await page.goto("about:blank");
  await page.goto(link);
  await page.waitForSelector("#demo[data-ready=true]");
  assert.match(await part(page, "source").innerText(), /my_hog_on_slow/);
  await page.locator("#demo details summary").click();
  await part(page, "program").fill("timer a\n");
  await part(page, "run").click();
  assert.match(await part(page, "error").innerText(), /line 1: timer takes 1 to 3 numbers/);
  await part(page, "step").click();
  assert.equal(await event(page), 1, "what was open goes on");
  await page.close();
}

// Addresses that say nothing, or nothing that can be run, open the first scene; a text is kept to be mended.
async function wrongAddresses() {
  const page = await openPage();
  const huge = Array.from({ length: 16 }, (_, i) => `timer t${i} 0 1 1000`).join("\n");
  const bad = ["#scene=none", "#program=%00", "#program=x%20y", "#event=-1", "#event=1e99", "#seed=x", "#seed=99999999999", "#%", "#program=%E0%A4%A", `#program=${"x".repeat(20000)}`];
  await visit(page, bad[0]);
  for (const hash of bad) {
    await go(page, hash);
    assert.match(await part(page, "log").innerText(), /main is about to begin/, hash.slice(0, 40));
  }
  await visit(page, "#program=slow%20a%201");
  assert.match(await part(page, "error").innerText(), /line 1: slow takes 2 numbers/);
  assert.equal(await part(page, "program").inputValue(), "slow a 1");
  await visit(page, `#${new URLSearchParams({ program: huge, event: 1e9 })}`);
  assert.equal(await page.locator("#demo").getAttribute("data-ended"), "true");
  await visit(page, "#modes");
  assert.equal(new URL(page.url()).hash, "#modes", "the name of a heading stays");
  await page.close();
}

async function wayBack() {
  const page = await openPage();
  await visit(page);
  await part(page, "scene").selectOption("timers");
  await part(page, "step").click();
  await part(page, "scene").selectOption("redis");
  await page.goBack();
  await page.waitForFunction(() => document.querySelector("#demo [data-part=scene]").value === "timers");
  assert.equal(await event(page), 1);
  await page.goForward();
  await page.waitForFunction(() => document.querySelector("#demo [data-part=scene]").value === "redis");
  await page.close();
}

async function keysOnly() {
  const page = await openPage({ reducedMotion: "reduce" });
  await visit(page);
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(() => document.activeElement?.dataset?.part === "step")) break;
  }
  assert.equal(await page.evaluate(() => document.activeElement.dataset.part), "step", "the buttons are reached by Tab");
  await page.keyboard.press("Enter");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  assert.equal(await event(page), 3);
  await page.keyboard.press("ArrowLeft");
  assert.equal(await event(page), 2);
  await page.keyboard.press(".");
  assert.ok((await event(page)) > 2);
  await page.keyboard.press(",");
  await page.keyboard.press("Home");
  assert.equal(await event(page), 0);
  await part(page, "speed").selectOption("40");
  await part(page, "step").focus();
  await page.keyboard.press("p");
  await page.waitForSelector("#demo[data-ended=true]");
  assert.equal(await page.evaluate(() => document.activeElement.dataset.part), "step", "the focus stays, also where there is no step more");
  await page.close();
}

// ---- what does not work ----

async function withoutEngine() {
  const page = await browser.newPage();
  await page.route("**/*.wasm", (route) => route.fulfill({ status: 404, body: "no" }));
  await page.goto(url);
  await page.waitForSelector("#demo[data-broken=true]");
  assert.match(await part(page, "broken").innerText(), /gyre-demo\.wasm.*could not be loaded.*make site/s);
  await page.close();
}

async function fromFile() {
  const page = await browser.newPage();
  await page.goto(process.argv[3]);
  await page.waitForSelector("#demo[data-broken=true]");
  assert.match(await part(page, "broken").innerText(), /make run/);
  await page.close();
}

// Any web server will do, one too that knows neither modules nor WebAssembly.
async function fromPlainServer() {
  const page = await openPage();
  await page.route("**/*.wasm", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, headers: { "content-type": "application/octet-stream" } });
  });
  await visit(page);
  const scripts = await page.evaluate(() => performance.getEntriesByType("resource").map((each) => each.name).filter((name) => /\.mjs$/.test(name)));
  assert.deepEqual(scripts, [], "names that some servers do not take for scripts");
  await page.close();
}

async function withoutScript() {
  const page = await openPage({ javaScriptEnabled: false });
  await page.goto(url);
  assert.ok(await page.locator("#demo noscript, #demo .error").first().isVisible());
  assert.ok(await page.locator("#demo .phase h4", { hasText: "poll" }).isVisible(), "the picture is there");
  assert.ok(!(await part(page, "step").isVisible()), "and no button that does nothing");
  await page.close();
}

// ---- for everybody ----

async function accessible() {
  for (const [colorScheme, some] of [["light", ["receptionist", "workers", "threads"]], ["dark", ["timers", "backpressure", "process"]]]) {
    const page = await openPage({ colorScheme });
    await visit(page);
    await page.evaluate(axe);
    for (const scene of some) {
      await go(page, `#scene=${scene}&event=8`);
      const found = await page.evaluate(() => window.axe.run());
      const serious = found.violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], `${scene}, ${colorScheme}`);
    }
    await page.close();
  }
}

// A phone, and a window between: nothing is wider than it, cut off, or moves.
async function narrow(scenes, width) {
  const page = await openPage({ viewport: { width, height: 740 }, reducedMotion: "reduce" });
  await probed(page);
  for (const scene of scenes) {
    await go(page, `#scene=${scene}`);
    const moved = await page.evaluate(() => {
      const places = new Set();
      for (let i = 0; i < 25; i++) {
        window.probe.click("step");
        places.add(window.probe.places());
      }
      return [...places];
    });
    assert.equal(moved.length, 1, `${scene}, ${width} wide: the page moves while it plays: ${moved.slice(0, 2).join(" / ")}`);
    await go(page, `#scene=${scene}&event=9`);
    const { taken, cut } = await page.evaluate(() => ({
      taken: document.scrollingElement.scrollWidth,
      cut: [...document.querySelectorAll("#demo :is(button, .chip, .stack li, .facts dd)")].filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.textContent),
    }));
    assert.ok(taken <= width, `${scene}: ${taken} px wide`);
    assert.deepEqual(cut, [], `${scene}: cut off`);
  }
  await page.close();
}

async function pictures(scenes) {
  mkdirSync(shots, { recursive: true });
  for (const [name, options] of [["light", {}], ["dark", { colorScheme: "dark" }], ["phone", { viewport: { width: 360, height: 740 } }]]) {
    const page = await openPage(options);
    await probed(page);
    for (const scene of scenes) {
      await go(page, `#scene=${scene}`);
      await toEnd(page);
      await click(page, "back", 4);
      await page.evaluate(() => scrollTo(0, 0));
      await page.locator("#demo").screenshot({ path: `${shots}/${scene}-${name}.png` });
    }
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: `${shots}/page-${name}.png`, fullPage: true });
    await page.close();
  }
}

async function everythingElse() {
  await sceneOfOnesOwn();
  await wrongAddresses();
  await wayBack();
  await keysOnly();
  await withoutEngine();
  await withoutScript();
  await fromFile();
  await fromPlainServer();
  await accessible();
}

const began = Date.now();
await weighsLittle();
await stepsBackFast();
const [scenes] = await Promise.all([everyScene(), everythingElse()]);
await narrow(scenes, 360);
await narrow(scenes, 1000);
if (shots) await pictures(scenes);
assert.deepEqual(faults, []);
await browser.close();
console.log(`${scenes.length} scenes played, in ${Math.round((Date.now() - began) / 1000)} s: no fault`);
