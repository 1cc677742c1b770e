// Chosen lines: one by a click on its number, several with shift; the address names them, and they can be copied.

import { goTo, lineAt, numberOf } from "./log-lines.js";
import { address, attempt, list, log, phrase, say, state, words } from "./log-page.js";

const panel = document.getElementById("selection");
// First and last line; 0 = none.
let first = 0;
let last = 0;
// The line from which shift-click counts.
let anchor = 0;

function hash() {
  return first === last ? `#L${first}` : `#L${first}-L${last}`;
}

function mark() {
  for (const line of list.querySelectorAll(".is-selected")) {
    line.classList.remove("is-selected");
  }
  for (let line = lineAt(first) ?? list.firstElementChild; line && first; line = line.nextElementSibling) {
    const number = numberOf(line);
    if (number > last) {
      break;
    }
    line.classList.toggle("is-selected", number >= first);
  }
}

function choose(from, to = from) {
  [first, last] = from <= to ? [from, to] : [to, from];
  mark();
  panel.hidden = !first;
  if (first) {
    state.at = first;
    const text = first === last ? phrase("line", first) : phrase("lines", first, last);
    panel.querySelector("strong").textContent = text;
    say(text);
  }
}

function keepInAddress() {
  const place = address(first ? { line: first } : {});
  history.replaceState(null, "", first ? place + hash() : place === "?" ? location.pathname : place);
}

export function chooseNone() {
  if (!first) {
    return false;
  }
  choose(0);
  anchor = 0;
  keepInAddress();
  return true;
}

// --- Copying ---

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without HTTPS there is no clipboard but this one.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function textOf(line) {
  const parts = [".line-number", ".line-time", ".line-level", ".line-step", ".line-message"];
  return parts.map((part) => line.querySelector(part).textContent).join("\t");
}

async function copyLines(button, lines) {
  await copyText(lines.map(textOf).join("\n") + "\n");
  showCopied(button, phrase("copiedLines", lines.length));
}

function showCopied(button, text) {
  const label = button.querySelector("span");
  label.dataset.before ??= label.textContent;
  label.textContent = words.copied;
  setTimeout(() => {
    label.textContent = label.dataset.before;
  }, 1500);
  say(text);
}

// --- Start ---

function fromHash() {
  const found = /^#L(\d+)(?:-L(\d+))?$/.exec(location.hash);
  return found && [Number(found[1]), Number(found[2] ?? found[1])];
}

async function takeHash() {
  const wanted = fromHash();
  if (wanted && (await goTo(Math.min(...wanted)))) {
    choose(...wanted);
    anchor = wanted[0];
  }
}

function onClick(event) {
  const link = event.target.closest(".line-number");
  if (!link || event.ctrlKey || event.metaKey) {
    return;
  }
  event.preventDefault();
  const number = numberOf(link.parentElement);
  if (event.shiftKey && anchor) {
    getSelection().removeAllRanges();
    choose(anchor, number);
  } else {
    anchor = number;
    choose(number);
  }
  keepInAddress();
}

export function start() {
  list.addEventListener("click", onClick);
  log.addEventListener("lines", mark);
  log.addEventListener("choose", (event) => {
    anchor = event.detail;
    choose(anchor);
    keepInAddress();
  });
  document.getElementById("copy-visible").addEventListener("click", (event) => {
    copyLines(event.currentTarget, [...list.children]);
  });
  document.getElementById("copy-selected").addEventListener("click", (event) => {
    copyLines(event.currentTarget, [...list.querySelectorAll(".is-selected")]);
  });
  document.getElementById("copy-link").addEventListener("click", async (event) => {
    const button = event.currentTarget;
    await copyText(new URL(`?line=${first}${hash()}`, location.href).href);
    showCopied(button, words.copiedLink);
  });
  document.getElementById("clear-selection").addEventListener("click", chooseNone);
  addEventListener("hashchange", () => attempt(takeHash));
  if (fromHash()) {
    attempt(takeHash);
  } else if (log.dataset.line && lineAt(log.dataset.line)) {
    choose(Number(log.dataset.line));
    anchor = first;
  }
}
