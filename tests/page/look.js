// Takes pictures of pages in a browser, and looks for what is wrong with them: rules of accessibility (axe), text that
// overflows, messages in the console, requests to anywhere else, and what the keyboard reaches.
//
// usage: node look.js FOLDER-OF-PAGES OUT [NAME…]
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { chromium } = require("playwright-core");

const [folder, out, ...given] = process.argv.slice(2);
const names = given.length ? given : fs.readdirSync(folder).filter((name) => name.endsWith(".html")).sort();
const types = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };
// The policy that the bot's server sends, so that what it stops is seen here.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const server = http.createServer((request, response) => {
  const name = decodeURIComponent(new URL(request.url, "http://x").pathname);
  if (name === "/events") {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write('event: hello\ndata: {"now":"2026-11-30T12:00:00Z","revision":7}\n\n');
    return;
  }
  fs.readFile(path.join(folder, path.normalize(name)), (error, text) => {
    response.writeHead(error ? 404 : 200, { "content-type": types[path.extname(name)] || "text/plain", "content-security-policy": policy });
    response.end(error ? "" : text);
  });
});
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const widths = [1440, 1024, 390];
const wrong = [];

async function judge(page, label) {
  const found = await page.evaluate(async (source) => {
    // The page's own rules forbid scripts from elsewhere; the browser's developer interface does not.
    if (!window.axe) (0, eval)(source);
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    return violations.map((it) => `${it.id} (${it.impact}): ${it.help}: ${it.nodes.slice(0, 3).map((node) => node.target.join(" ") + " " + (node.any[0] || node.all[0] || node.none[0] || {}).message).join(" | ")}`);
  }, axe);
  wrong.push(...found.map((it) => `${label}: ${it}`));
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) wrong.push(`${label}: the page is ${wide} pixels wider than the window`);
}

function listen(page, base) {
  page.on("console", (message) => wrong.push(`${page.url()}: console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`${page.url()}: script: ${error.message}`));
  page.on("dialog", (dialog) => { wrong.push(`${page.url()}: a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => { if (!request.url().startsWith(base)) wrong.push(`${page.url()}: asks ${request.url()}`); });
}

(async () => {
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const base = `http://127.0.0.1:${server.address().port}/`;
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
  fs.mkdirSync(out, { recursive: true });
  for (const scheme of ["light", "dark"]) {
    for (const width of widths) {
      const context = await browser.newContext({ viewport: { width, height: width < 500 ? 844 : 900 }, colorScheme: scheme, bypassCSP: true });
      const page = await context.newPage();
      listen(page, base);
      for (const name of names) {
        const label = `${path.basename(name, ".html")}-${width}-${scheme}`;
        await page.goto(new URL(name, base).href, { waitUntil: "load" });
        await page.screenshot({ path: path.join(out, `${label}.png`), fullPage: name !== "large.html" });
        // The large page is judged once: its rows are all alike.
        if (name !== "large.html" || (width === 1440 && scheme === "light")) await judge(page, label);
      }
      await context.close();
    }
  }
  // Under the policy itself, and without scripts: the console is empty, and everything is there.
  for (const javaScriptEnabled of [true, false]) {
    const context = await browser.newContext({ javaScriptEnabled });
    const page = await context.newPage();
    listen(page, base);
    for (const name of names.filter((name) => name !== "large.html")) {
      await page.goto(new URL(name, base).href, { waitUntil: "load" });
      const text = await page.locator("main").innerText();
      if (text.trim().length < 20) wrong.push(`${name}: nothing is shown ${javaScriptEnabled ? "" : "without scripts"}`);
    }
    await context.close();
  }
  // The keyboard: the first key leads to the content, and each further one to something that can be seen.
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, bypassCSP: true });
  const page = await context.newPage();
  await page.goto(new URL("index.html", base).href);
  await page.keyboard.press("Tab");
  if (!(await page.evaluate(() => document.activeElement.classList.contains("skip")))) wrong.push("keyboard: the first stop is not the link to the content");
  const stops = new Set();
  for (let nth = 0; nth < 40; nth += 1) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const it = document.activeElement;
      const box = it.getBoundingClientRect();
      return { name: `${it.tagName} ${(it.textContent || it.name || "").trim().slice(0, 40)}`, seen: it === document.body || (box.width > 0 && box.height > 0), outline: getComputedStyle(it).outlineStyle };
    });
    if (!stop.seen) wrong.push(`keyboard: ${stop.name} has the focus and cannot be seen`);
    if (stop.name.startsWith("A ") && stop.outline === "none") wrong.push(`keyboard: ${stop.name} does not show that it has the focus`);
    stops.add(stop.name);
  }
  if (stops.size < 10) wrong.push(`keyboard: only ${stops.size} stops`);
  await page.emulateMedia({ media: "print" });
  await page.screenshot({ path: path.join(out, "print.png") });
  await browser.close();
  server.closeAllConnections();
  server.close();
  for (const it of new Set(wrong)) console.error(it);
  console.log(`${names.length} pages, ${widths.length} widths, 2 schemes: ${wrong.length ? `${new Set(wrong).size} faults` : "no fault"}; pictures are in ${out}`);
  process.exit(wrong.length ? 1 : 0);
})();
