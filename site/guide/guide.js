// The guide's search and contents. A classic script, and the index is one too, so that both work from file://.
"use strict";
(() => {
  const root = document.currentScript.dataset.root;
  const form = document.querySelector(".search");
  const input = form.querySelector("input");
  const list = form.querySelector(".found");
  const said = form.querySelector(".said");
  const SHOWN = 12;
  let asked = null;

  // ---- the index: loaded when somebody is about to search ----

  function load() {
    asked ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${root}/guide/index.js`;
      script.onload = () => resolve(window.gyreIndex.map(prepare));
      script.onerror = () => reject(new Error("the index is missing"));
      document.head.append(script);
    });
    return asked;
  }

  const split = (text) => text.toLowerCase().split(/[^a-z0-9]+/).filter(Boolean);
  const padded = (text) => ` ${split(text).join(" ")} `;

  function prepare([address, page, heading, text]) {
    return { address, page, heading, text, inPage: padded(page), inHeading: padded(heading), inText: padded(text) };
  }

  // ---- ranking: every word must begin a word of the section; where it does counts ----

  function score(section, words, whole) {
    let sum = section.inHeading === whole ? 100 : section.inHeading.startsWith(whole.trimEnd()) ? 20 : 0;
    for (const word of words) {
      const start = ` ${word}`;
      const exact = `${start} `;
      let here = 0;
      if (section.inHeading.includes(start)) here += section.inHeading.includes(exact) ? 12 : 8;
      if (section.inPage.includes(start)) here += section.inPage.includes(exact) ? 5 : 3;
      if (section.inText.includes(start)) here += Math.min(4, section.inText.split(start).length - 1);
      if (here === 0) return 0;
      sum += here;
    }
    return sum + (section.address.startsWith("guide/") ? 1 : 0);
  }

  function search(sections, query) {
    const words = split(query);
    if (words.length === 0) return [];
    const whole = padded(query);
    return sections
      .map((section) => ({ section, points: score(section, words, whole) }))
      .filter(({ points }) => points > 0)
      .sort((a, b) => b.points - a.points)
      .map(({ section }) => section);
  }

  // ---- showing ----

  // Appends `text` to `to`, with the words that were asked for marked.
  function marked(to, text, words) {
    const pattern = new RegExp(`(?<![a-z0-9])(${words.join("|")})`, "gi");
    let at = 0;
    for (const match of text.matchAll(pattern)) {
      to.append(text.slice(at, match.index));
      const mark = document.createElement("mark");
      mark.textContent = match[0];
      to.append(mark);
      at = match.index + match[0].length;
    }
    to.append(text.slice(at));
  }

  function excerpt(text, words) {
    const at = text.search(new RegExp(`(?<![a-z0-9])(${words.join("|")})`, "i"));
    const begin = Math.max(0, text.lastIndexOf(" ", Math.max(0, at - 50)) + 1);
    return (begin > 0 ? "\u2026 " : "") + text.slice(begin, begin + 150) + (begin + 150 < text.length ? " \u2026" : "");
  }

  function item(section, words) {
    const link = document.createElement("a");
    link.href = `${root}/${section.address}`;
    const strong = document.createElement("strong");
    strong.textContent = section.heading;
    link.append(strong);
    if (section.page !== section.heading) link.append(` \u00b7 ${section.page}`);
    const small = document.createElement("small");
    marked(small, excerpt(section.text, words), words);
    link.append(small);
    const li = document.createElement("li");
    li.append(link);
    return li;
  }

  function show(sections, query) {
    const words = split(query);
    const found = search(sections, query);
    list.replaceChildren(...found.slice(0, SHOWN).map((section) => item(section, words)));
    list.hidden = found.length === 0;
    said.textContent = words.length === 0 ? "" : found.length === 0 ? "Nothing found" : `${found.length} found`;
  }

  const hide = () => {
    list.hidden = true;
  };

  async function update() {
    const query = input.value;
    try {
      const sections = await load();
      if (query === input.value) show(sections, query);
    } catch (error) {
      said.textContent = `Search does not work: ${error.message}`;
    }
  }

  // ---- keys ----

  function move(event) {
    const links = [...list.querySelectorAll("a")];
    if (list.hidden || links.length === 0) return;
    const at = links.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
    if (at < 0) input.focus();
    else links[Math.min(at, links.length - 1)].focus();
  }

  form.hidden = false;
  input.addEventListener("focus", () => load().catch(() => {}));
  input.addEventListener("input", update);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    list.querySelector("a")?.click();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") move(event);
    if (event.key === "Escape") {
      hide();
      input.focus();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
    }
  });
  document.addEventListener("click", (event) => {
    if (!form.contains(event.target) || event.target.closest("a")) hide();
  });

  // On a phone the contents begin closed; beside the text they show where the reader is.
  const contents = document.querySelector(".contents");
  if (matchMedia("(max-width: 52rem)").matches) contents.querySelector("details").open = false;
  else contents.scrollTop = (contents.querySelector("[aria-current]")?.offsetTop ?? 0) - contents.clientHeight / 2;
})();
