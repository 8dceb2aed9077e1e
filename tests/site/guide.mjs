// Drives the guide's pages: reading from first to last, search, a phone's width, accessibility, without a server.
// usage: node guide.mjs URL DIR     DIR is what URL serves; SHOTS=DIR keeps pictures of pages
import { strict as assert } from "node:assert";
import { mkdirSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [, , url, folder] = process.argv;
const shots = process.env.SHOTS;
const axe = await readFile(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const faults = [];
const PHONE = { width: 360, height: 740 };

async function openPage(options = {}) {
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 }, ...options });
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => {
    const asked = new URL(request.url());
    if (asked.protocol !== "file:" && asked.host !== new URL(url).host) faults.push(`another host: ${request.url()}`);
  });
  return page;
}

const pagesOf = (name) =>
  readdirSync(`${folder}/${name}`)
    .filter((each) => each.endsWith(".html"))
    .map((each) => `${name}/${each}`);
const everyPage = ["guide", "reference", "exercises", "more"].flatMap(pagesOf);

async function assertNarrow(page) {
  const width = await page.evaluate(() => document.scrollingElement.scrollWidth);
  assert.ok(width <= PHONE.width, `${page.url()}: ${width} px wide`);
}

// On a phone: from the contents by "next" through every page of the guide and the reference, and back by "previous".
async function readThrough() {
  const page = await openPage({ viewport: PHONE });
  const seen = [];
  await page.goto(`${url}guide/index.html`);
  for (;;) {
    seen.push(new URL(page.url()).pathname.slice(1));
    await assertNarrow(page);
    const next = page.locator("a[rel=next]");
    if ((await next.count()) === 0) break;
    await page.goto(await next.evaluate((link) => link.href));
    assert.ok(seen.length < 200, "next goes round");
  }
  for (const each of [...pagesOf("guide"), ...pagesOf("reference")]) assert.ok(seen.includes(each), `next leaves out ${each}`);
  await page.locator("a[rel=prev]").click();
  await page.waitForURL(url + seen.at(-2));
  assert.equal(await page.locator(".contents [aria-current=page]").count(), 1);
  await page.close();
}

async function ask(page, query) {
  await page.fill("#search", query);
  await page.waitForFunction((text) => document.querySelector(".said").textContent !== "" && document.querySelector("#search").value === text, query);
}

const found = (page) => page.locator(".found a strong").allInnerTexts();

async function search(page) {
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "search");
  await ask(page, "gyre_timer_start");
  assert.equal((await found(page))[0], "gyre_timer_start");
  await ask(page, "timer start");
  assert.equal((await found(page))[0], "gyre_timer_start");
  await ask(page, "backpress");
  assert.ok((await found(page)).some((heading) => /backpressure/i.test(heading)));
  await ask(page, "fibonacci 5,000");
  assert.ok((await found(page)).some((heading) => /Fibonacci/.test(heading)));
  await ask(page, "xylophone");
  assert.deepEqual(await found(page), []);
  assert.equal(await page.locator(".said").innerText(), "Nothing found");
  for (const odd of ["(", "\\", "*", "<b>", "$1 .*"]) await page.fill("#search", odd);
  await ask(page, "hard cap");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  const wanted = await page.evaluate(() => document.activeElement.href);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator(".found").isVisible(), false);
  await ask(page, "hard cap ");
  await page.keyboard.press("Enter");
  await page.waitForURL(wanted);
  const fragment = new URL(wanted).hash.slice(1);
  if (fragment) assert.equal(await page.locator(`[id="${fragment}"]`).count(), 1);
}

async function searchEverywhere() {
  const page = await openPage();
  await page.goto(`${url}guide/loop.html`);
  await search(page);
  await page.goto(`${url}reference/timer.html#gyre_timer_again`);
  await search(page);
  // Without a server, too.
  await page.goto(`${pathToFileURL(folder)}/guide/loop.html`);
  await search(page);
  await page.close();
}

async function withoutScript() {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(`${url}guide/phases.html`);
  assert.equal(await page.locator("form.search").isVisible(), false);
  assert.ok(await page.locator("h1", { hasText: "Phases" }).isVisible());
  assert.ok(await page.locator(".contents a").first().isVisible());
  await context.close();
}

async function narrow() {
  const page = await openPage({ viewport: PHONE });
  for (const each of [...pagesOf("exercises"), ...pagesOf("more")]) {
    await page.goto(url + each);
    await assertNarrow(page);
  }
  await page.goto(`${url}guide/loop.html`);
  assert.equal(await page.locator(".contents a").first().isVisible(), false, "the contents begin closed");
  await page.locator(".contents summary").click();
  assert.ok(await page.locator(".contents a").first().isVisible());
  await ask(page, "timer");
  const box = await page.locator(".found").boundingBox();
  assert.ok(box.x >= 0 && box.x + box.width <= PHONE.width, "what was found fits");
  await page.close();
}

async function accessible() {
  const looks = [
    [{}, ["guide/index.html", "guide/phases.html"]],
    [{ colorScheme: "dark" }, ["guide/index.html", "guide/phases.html", "reference/hook.html"]],
    [{ viewport: PHONE }, ["guide/index.html", "guide/streams.html"]],
  ];
  for (const [options, pages] of looks) {
    const page = await openPage(options);
    for (const each of pages) {
      await page.goto(url + each);
      if (each === "guide/index.html") await ask(page, "timer");
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes[0].html}`), [], `${each}, ${JSON.stringify(options)}`);
    }
    await page.close();
  }
}

async function keysOnly() {
  const page = await openPage();
  await page.goto(`${url}guide/first-server.html`);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "text");
  await page.close();
}

async function pictures() {
  mkdirSync(shots, { recursive: true });
  for (const [name, options] of [["light", {}], ["dark", { colorScheme: "dark" }], ["phone", { viewport: PHONE }]]) {
    const page = await openPage(options);
    for (const each of everyPage) {
      await page.goto(url + each);
      await page.screenshot({ path: `${shots}/${each.replace(/\W/g, "-")}-${name}.png` });
    }
    await page.close();
  }
}

await readThrough();
await searchEverywhere();
await withoutScript();
await narrow();
await accessible();
await keysOnly();
if (shots) await pictures();
assert.deepEqual(faults, []);
await browser.close();
console.log(`${everyPage.length} pages`);
