// Takes the README's picture of the demo. usage: node screenshot.mjs URL OUT.png
import { chromium } from "playwright-core";

const [, , url, out] = process.argv;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1120, height: 900 } });
await page.goto(`${url}#scene=fibonacci&event=40`);
await page.waitForSelector("#demo[data-ready=true]");
await page.locator("#demo").screenshot({ path: out });
await browser.close();
