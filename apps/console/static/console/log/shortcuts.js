// Keyboard: arrow keys move between lines, and single letters work the toolbar. ui/shortcuts.js handles those of every
// page before.

import { toggle } from "./auto-refresh.js";
import { findError } from "./errors.js";
import { findMatch } from "./find.js";
import { topLine } from "./lines.js";
import { goToFirst, goToLatest, load } from "./navigation.js";
import { attempt, list, log, state } from "./page.js";
import { clearSelection } from "./selection.js";
import { nextTimeFormat, setWrap } from "./times.js";

const dialog = document.getElementById("shortcuts");
const enableLetters = document.getElementById("enable-shortcuts");

// --- Focus: Tab reaches one line of the list (roving tabindex), arrow keys move from there ---

function updateTabIndexes() {
  for (const link of list.querySelectorAll(".line-number:not([tabindex])")) {
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

async function moveFocus(isDown) {
  const line = focusedLine();
  if (!line) {
    focusLine(topLine());
    return;
  }
  const next = () => (isDown ? line.nextElementSibling : line.previousElementSibling);
  if (!next() && (isDown ? state.hasLater : state.hasEarlier)) {
    await load(isDown);
  }
  focusLine(next());
}

async function moveFocusToEnd(isDown) {
  await (isDown ? goToLatest() : goToFirst());
  focusLine(isDown ? list.lastElementChild : list.firstElementChild);
}

// --- Keys ---

const letterActions = {
  j: () => moveFocus(true),
  k: () => moveFocus(false),
  s: () => document.getElementById("find").select(),
  n: () => findMatch(true),
  p: () => findMatch(false),
  e: () => findError(true),
  E: () => findError(false),
  g: () => document.querySelector("#go-to-line input").select(),
  f: toggle,
  w: () => setWrap(list.classList.contains("is-truncated")),
  t: nextTimeFormat,
};

// These need a focused line.
const lineActions = {
  ArrowDown: () => moveFocus(true),
  ArrowUp: () => moveFocus(false),
  Home: () => moveFocusToEnd(false),
  End: () => moveFocusToEnd(true),
};

function isTextField(element) {
  return element.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
}

function onEscape(element) {
  if (isTextField(element)) {
    element.blur();
  } else {
    clearSelection();
  }
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || dialog.open || event.target.closest("[popover]")) {
    return;
  }
  if (event.key === "Escape") {
    onEscape(event.target);
    return;
  }
  if (isTextField(event.target)) {
    return;
  }
  const lineAction = focusedLine() && lineActions[event.key];
  const action = lineAction || (enableLetters.checked && letterActions[event.key]);
  if (action) {
    event.preventDefault();
    attempt(action);
  }
}

export function start() {
  document.addEventListener("keydown", onKey);
  log.addEventListener("lines-changed", updateTabIndexes);
  updateTabIndexes();
}
