// Drives the demo's page: every scene to its end and back, addresses, keys, a phone's width, accessibility.
// usage: node demo.mjs URL     SHOTS=DIR keeps a picture of each scene, light and dark, and of a phone's
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

const part = (page, name) => page.locator(`#demo [data-part=${name}]`);
const event = (page) => page.locator("#demo").getAttribute("data-event").then(Number);
// All that shows the loop's state.
const state = (page) =>
  page.evaluate(() =>
    ["ring", "log", "event", "turn", "phase", "time", "stack", "heap", "interest", "ready", "queues", "source"]
      .map((name) => document.querySelector(`#demo [data-part=${name}]`).outerHTML.replace(/ (aria-live="\w+"|class="")/g, ""))
      .join("\n"),
  );
const click = (page, name, times = 1) =>
  page.evaluate(
    ([which, count]) => {
      for (let i = 0; i < count; i++) document.querySelector(`#demo [data-part=${which}]`).click();
    },
    [name, times],
  );
const toEnd = (page) =>
  page.evaluate(() => {
    const demo = document.querySelector("#demo");
    for (let i = 0; i < 100000 && demo.dataset.ended !== "true"; i++) demo.querySelector("[data-part=step]").click();
    return demo.dataset.ended;
  });

async function everyScene() {
  const page = await openPage();
  await visit(page);
  const scenes = await part(page, "scene").locator("option").evaluateAll((options) => options.map((each) => each.value).filter(Boolean));
  assert.ok(scenes.length >= 12, `only ${scenes.length} scenes`);
  for (const scene of scenes) {
    await visit(page, `#scene=${scene}`);
    assert.equal(await toEnd(page), "true", scene);
    const end = await state(page);
    const events = await event(page);
    const count = Math.min(10, events);
    await click(page, "back", count);
    assert.equal(await event(page), events - count, `${scene}: ten back`);
    await click(page, "step", count);
    assert.equal(await state(page), end, `${scene}: ten back and ten forward is another state`);
    await click(page, "back", Math.min(3, events));
    const shared = { address: new URL(page.url()).hash, state: await state(page) };
    await visit(page, shared.address);
    assert.equal(await state(page), shared.state, `${scene}: its address gives another state`);
    await click(page, "reset");
    assert.equal(await event(page), 0);
    await click(page, "turn-step");
    await click(page, "turn-step");
    await click(page, "turn-back");
  }
  await page.close();
  return scenes;
}

async function sceneOfOnesOwn() {
  const page = await openPage();
  await visit(page);
  await page.locator("#demo details summary").click();
  await part(page, "program").fill("timer a 5\nsocket b 3\n");
  await part(page, "run").click();
  assert.equal(await toEnd(page), "true");
  await part(page, "kind").selectOption("slow");
  await part(page, "name").fill("my hog");
  await part(page, "add").click();
  assert.match(await part(page, "program").inputValue(), /slow my-hog 10 50\n$/);
  const hash = new URL(page.url()).hash;
  await visit(page, hash);
  assert.match(await part(page, "source").innerText(), /my_hog_on_slow/);
  await page.locator("#demo details summary").click();
  await part(page, "program").fill("timer a\n");
  await part(page, "run").click();
  assert.match(await part(page, "error").innerText(), /line 1: timer takes 1 to 3 numbers/);
  for (const bad of ["#scene=none", "#program=%00", "#program=x%20y", "#event=-1", "#event=1e99", "#seed=x"]) await visit(page, bad);
  await page.close();
}

async function keysOnly() {
  const page = await openPage();
  await visit(page);
  for (let i = 0; i < 40; i++) {
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
  await part(page, "speed").selectOption("30");
  await part(page, "play").focus();
  await page.keyboard.press("p");
  await page.waitForSelector("#demo[data-ended=true]");
  await page.close();
}

async function accessible(scenes) {
  for (const colorScheme of ["light", "dark"]) {
    const page = await openPage({ colorScheme });
    for (const scene of [scenes[0], scenes[1], "timers"]) {
      await visit(page, `#scene=${scene}&event=8`);
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run());
      const serious = found.violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], `${scene}, ${colorScheme}`);
    }
    await page.close();
  }
}

async function narrow(scenes) {
  const page = await openPage({ viewport: { width: 360, height: 740 } });
  for (const scene of scenes) {
    await visit(page, `#scene=${scene}&event=9`);
    const width = await page.evaluate(() => document.scrollingElement.scrollWidth);
    assert.ok(width <= 360, `${scene}: ${width} px wide`);
  }
  await page.close();
}

async function pictures(scenes) {
  mkdirSync(shots, { recursive: true });
  for (const [name, options] of [["light", {}], ["dark", { colorScheme: "dark" }], ["phone", { viewport: { width: 360, height: 740 } }]]) {
    const page = await openPage(options);
    for (const scene of scenes) {
      await visit(page, `#scene=${scene}`);
      await toEnd(page);
      await click(page, "back", 2);
      await page.locator("#demo").screenshot({ path: `${shots}/${scene}-${name}.png` });
    }
    await page.close();
  }
}

const first = await openPage();
const began = Date.now();
await visit(first);
await click(first, "step");
const ready = Date.now() - began;
await first.waitForLoadState("networkidle");
const bytes = await first.evaluate(() =>
  [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce((sum, each) => sum + each.decodedBodySize, 0),
);
assert.ok(bytes > 100000 && bytes <= 300000, `the page weighs ${bytes} bytes`);
console.log(`${bytes} bytes, interactive after ${ready} ms`);
await first.close();

const scenes = await everyScene();
await sceneOfOnesOwn();
await keysOnly();
await accessible(scenes);
await narrow(scenes);
if (shots) await pictures(scenes);
assert.deepEqual(faults, []);
await browser.close();
console.log(`${scenes.length} scenes`);
