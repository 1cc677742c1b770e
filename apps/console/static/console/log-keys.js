// The keyboard: arrows from line to line, letters for what the toolbar does, and a page that lists them.

import { chooseNone } from "./log-choice.js";
import { findError } from "./log-errors.js";
import { findHit } from "./log-find.js";
import { toggle } from "./log-follow.js";
import { goToFirst, goToLatest, load, topLine } from "./log-lines.js";
import { attempt, list, log, remember, remembered, state } from "./log-page.js";
import { nextTimes, setWrap } from "./log-times.js";

const dialog = document.getElementById("shortcuts");
const single = document.getElementById("enable-shortcuts");

// --- One line of the list can be reached by Tab; the arrows go on from there ---

function rove() {
  const links = list.querySelectorAll(".line-number:not([tabindex])");
  for (const link of links) {
    link.tabIndex = -1;
  }
  if (!list.querySelector('.line-number[tabindex="0"]')) {
    list.querySelector(".line-number")?.setAttribute("tabindex", "0");
  }
}

function focusLine(line) {
  const link = line?.querySelector(".line-number");
  if (link) {
    for (const other of list.querySelectorAll('.line-number[tabindex="0"]')) {
      other.tabIndex = -1;
    }
    link.tabIndex = 0;
    link.focus();
  }
}

function focusedLine() {
  return document.activeElement?.closest("#lines > .line");
}

async function move(isDown) {
  const line = focusedLine();
  const next = () => (isDown ? line.nextElementSibling : line.previousElementSibling);
  if (!line) {
    focusLine(topLine());
    return;
  }
  if (!next() && (isDown ? state.hasLater : state.hasEarlier)) {
    await load(isDown);
  }
  focusLine(next());
}

async function moveToEnd(isDown) {
  await (isDown ? goToLatest() : goToFirst());
  focusLine(isDown ? list.lastElementChild : list.firstElementChild);
}

// --- Keys ---

const letters = {
  j: () => move(true),
  k: () => move(false),
  "/": () => document.getElementById("find").select(),
  n: () => findHit(true),
  p: () => findHit(false),
  e: () => findError(true),
  E: () => findError(false),
  g: () => document.querySelector("#go-to-line input").select(),
  f: toggle,
  w: () => setWrap(list.classList.contains("is-truncated")),
  t: nextTimes,
  "?": () => dialog.showModal(),
};

const inList = {
  ArrowDown: () => move(true),
  ArrowUp: () => move(false),
  Home: () => moveToEnd(false),
  End: () => moveToEnd(true),
};

function isTyping(target) {
  return target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open || event.target.closest("[popover]")) {
    return;
  }
  if (event.key === "Escape") {
    if (isTyping(event.target)) {
      event.target.blur();
    } else {
      chooseNone();
    }
    return;
  }
  if (isTyping(event.target)) {
    return;
  }
  const action = focusedLine() && inList[event.key] ? inList[event.key] : single.checked && letters[event.key];
  if (action) {
    event.preventDefault();
    attempt(action);
  }
}

export function start() {
  document.addEventListener("keydown", onKey);
  document.getElementById("shortcuts-button").addEventListener("click", () => dialog.showModal());
  single.checked = remembered("letters", "on") === "on";
  single.addEventListener("change", () => remember("letters", single.checked ? "on" : "off"));
  log.addEventListener("lines", rove);
  rove();
}
