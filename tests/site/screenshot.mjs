// Takes the README's picture of the demo. usage: node screenshot.mjs URL OUT.png
import { chromium } from "playwright-core";

const [, , url, out] = process.argv;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1120, height: 900 } });
await page.goto(`${url}#scene=fibonacci`);
await page.waitForSelector("#demo[data-ready=true]");
// The moment at which the slow callback runs, and everybody waits.
for (let i = 0; i < 100; i++) {
  if (/on_slow/.test(await page.locator("#demo [data-part=stack]").innerText())) break;
  await page.evaluate(() => document.querySelector("#demo [data-part=step]").click());
}
const demo = await page.locator("#demo").boundingBox();
const own = await page.locator("#demo details").boundingBox();
await page.setViewportSize({ width: 1120, height: Math.ceil(own.y + 50) });
await page.screenshot({ path: out, clip: { x: demo.x, y: demo.y, width: demo.width, height: own.y - demo.y - 60 }, fullPage: true });
await browser.close();
