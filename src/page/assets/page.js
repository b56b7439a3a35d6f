// Live updates, relative times, and buttons to copy. The page is complete without this.
"use strict";
(() => {
  const live = document.getElementById("live");
  const said = document.getElementById("said");
  let serverAhead = 0;

  function span(seconds) {
    if (seconds < 120) return `${Math.max(0, Math.floor(seconds))} s`;
    if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} d`;
  }
  function tick() {
    const now = Date.now() + serverAhead;
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const text = span((now - Date.parse(time.dateTime)) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  }
  function buttons(root) {
    for (const code of root.querySelectorAll("[data-copy]")) {
      if (code.querySelector("button") || !navigator.clipboard) continue;
      const text = code.textContent;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Copy";
      button.setAttribute("aria-label", `Copy: ${text}`);
      button.addEventListener("click", () =>
        navigator.clipboard.writeText(text).then(
          () => { button.textContent = "Copied"; say("copied"); setTimeout(() => { button.textContent = "Copy"; }, 1500); },
          () => say("the browser did not allow copying"),
        ));
      code.append(button);
    }
  }
  function say(text) { said.textContent = text; }
  function state(name, text) { live.dataset.state = name; live.textContent = text; }

  // One reload at a time, and one more for whatever changed meanwhile; never while somebody types. One that failed is made
  // again, later each time: the stream may stand while the page cannot be had.
  let loading = false, again = false, last = 0, failed = 0;
  async function reload() {
    if (loading) { again = true; return; }
    loading = true;
    await new Promise((go) => setTimeout(go, Math.max(0, last + 2000 * 2 ** Math.min(failed, 5) - Date.now())));
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      if (!answer.ok && answer.status !== 404) throw new Error(String(answer.status));
      replace(await answer.text());
      failed = 0;
    } catch {
      again = true;
      failed += 1;
    }
    last = Date.now();
    loading = false;
    if (again) { again = false; reload(); }
  }
  function replace(text) {
    const next = new DOMParser().parseFromString(text, "text/html");
    const typed = document.activeElement && document.activeElement.form;
    const open = [...document.querySelectorAll("main details")].map((it) => it.open);
    const focused = document.activeElement && document.activeElement.closest("main a[href], main summary");
    const href = focused && (focused.getAttribute("href") || focused.textContent);
    if (typed) return;
    document.querySelector("header.top nav").replaceWith(next.querySelector("header.top nav"));
    const main = document.getElementById("main");
    main.replaceChildren(...next.getElementById("main").childNodes);
    [...main.querySelectorAll("details")].forEach((it, nth) => { if (open[nth]) it.open = true; });
    buttons(main);
    tick();
    if (href) {
      const same = [...main.querySelectorAll("a[href], summary")].find((it) => (it.getAttribute("href") || it.textContent) === href);
      if (same) same.focus({ preventScroll: true });
    }
  }
  function patch(cells) {
    const spoken = [];
    for (const it of cells) {
      const cell = document.getElementById(it.id);
      if (!cell || !cell.classList.contains("cell")) continue;
      const parsed = new DOMParser().parseFromString(it.html, "text/html");
      cell.replaceChildren(...parsed.body.childNodes);
      cell.className = `cell ${it.tone} news`;
      setTimeout(() => cell.classList.remove("news"), 2500);
      spoken.push(it.said);
    }
    tick();
    if (spoken.length) say(spoken.length > 3 ? `${spoken.length} cells changed` : spoken.join("; "));
  }

  buttons(document);
  tick();
  setInterval(tick, 10000);
  document.addEventListener("change", (event) => {
    if (event.target.matches("form.filter select")) event.target.form.requestSubmit();
  });
  if (!window.EventSource) return;
  const matrix = Boolean(document.querySelector("table.matrix"));
  const stream = new EventSource("/events");
  let begun = false;
  stream.addEventListener("hello", (event) => {
    const { now, revision } = JSON.parse(event.data);
    serverAhead = Date.parse(now) - Date.now();
    state("on", "live");
    tick();
    if (begun || String(revision) !== document.body.dataset.revision) reload();
    begun = true;
  });
  stream.addEventListener("change", (event) => {
    const { cells, around } = JSON.parse(event.data);
    if (matrix) patch(cells);
    if (!matrix || around) reload();
  });
  stream.onerror = () => state("lost", stream.readyState === 2 ? "not live" : "connection lost, trying again");
})();
