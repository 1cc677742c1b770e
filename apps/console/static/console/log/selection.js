// Selected lines: a click on a line number selects the line, a click with Shift a range. The URL names the selection,
// and the lines can be copied.

import { announce } from "../ui/live-region.js";
import { lineAt, numberOf } from "./lines.js";
import { goTo } from "./navigation.js";
import { attempt, formatText, list, log, queryString, state, texts } from "./page.js";

const FEEDBACK_MILLISECONDS = 1500;
const LINE_PARTS = [".line-number", ".line-time", ".line-level", ".line-step", ".line-message"];

const panel = document.getElementById("selection");
// First and last selected line; 0 = none.
let first = 0;
let last = 0;
// The line where a range starts.
let anchor = 0;

function selectionHash() {
  return first === last ? `#L${first}` : `#L${first}-L${last}`;
}

function markSelected() {
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

function select(from, to = from) {
  [first, last] = from <= to ? [from, to] : [to, from];
  markSelected();
  panel.hidden = !first;
  if (first) {
    state.current = first;
    const text = first === last ? formatText("line", first) : formatText("lines", first, last);
    panel.querySelector("strong").textContent = text;
    announce(text);
  }
}

function updateUrl() {
  const query = queryString(first ? { line: first } : {});
  const url = query === "?" ? location.pathname : query;
  history.replaceState(null, "", first ? query + selectionHash() : url);
}

export function clearSelection() {
  if (first) {
    select(0);
    anchor = 0;
    updateUrl();
  }
}

// --- Copying ---

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers allow the clipboard API only with HTTPS or on localhost.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function lineText(line) {
  return LINE_PARTS.map((part) => line.querySelector(part).textContent).join("\t");
}

async function copyLines(button, lines) {
  await copyText(lines.map(lineText).join("\n") + "\n");
  showCopied(button, formatText("copiedLines", lines.length));
}

async function copyLink(button) {
  await copyText(new URL(`?line=${first}${selectionHash()}`, location.href).href);
  showCopied(button, texts.copiedLink);
}

function showCopied(button, text) {
  const label = button.querySelector("span");
  label.dataset.before ??= label.textContent;
  label.textContent = texts.copied;
  setTimeout(() => {
    label.textContent = label.dataset.before;
  }, FEEDBACK_MILLISECONDS);
  announce(text);
}

// --- Start ---

function rangeInHash() {
  const match = /^#L(\d+)(?:-L(\d+))?$/.exec(location.hash);
  return match && [Number(match[1]), Number(match[2] ?? match[1])];
}

async function selectFromHash() {
  const range = rangeInHash();
  if (range && (await goTo(Math.min(...range)))) {
    select(...range);
    anchor = range[0];
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
    // Shift also selects text.
    getSelection().removeAllRanges();
    select(anchor, number);
  } else {
    anchor = number;
    select(number);
  }
  updateUrl();
}

function onButtonClick(id, action) {
  document.getElementById(id).addEventListener("click", (event) => action(event.currentTarget));
}

export function start() {
  list.addEventListener("click", onClick);
  log.addEventListener("lines-changed", markSelected);
  log.addEventListener("select-line", (event) => {
    anchor = event.detail;
    select(anchor);
    updateUrl();
  });
  onButtonClick("copy-visible", (button) => copyLines(button, [...list.children]));
  onButtonClick("copy-selected", (button) => copyLines(button, [...list.querySelectorAll(".is-selected")]));
  onButtonClick("copy-link", copyLink);
  onButtonClick("clear-selection", clearSelection);
  addEventListener("hashchange", () => attempt(selectFromHash));
  if (rangeInHash()) {
    attempt(selectFromHash);
  } else if (log.dataset.line && lineAt(log.dataset.line)) {
    select(Number(log.dataset.line));
    anchor = first;
  }
}
