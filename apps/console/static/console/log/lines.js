// The window of lines: the page holds at most 4,000 of them; scrolling loads the others.

import { announce } from "../ui/live-region.js";
import { dispatch, formatNumber, formatText, isFiltered, list, log, queryString, state, texts } from "./page.js";

const MAX_LINES = 4000;

const toolbar = log.querySelector(".log-toolbar");
const earlier = document.getElementById("earlier");
const later = document.getElementById("later");

// --- Lines ---

export function numberOf(line) {
  return Number(line.id.slice(1));
}

export function lineAt(number) {
  return document.getElementById(`L${number}`);
}

/** The topmost visible line. */
export function topLine() {
  const top = isToolbarSticky() ? toolbar.getBoundingClientRect().bottom : 0;
  const { left } = list.getBoundingClientRect();
  const y = Math.max(top, list.getBoundingClientRect().top) + 4;
  return document.elementFromPoint(left + 8, y)?.closest(".line") ?? list.firstElementChild;
}

function isToolbarSticky() {
  return getComputedStyle(toolbar).position === "sticky";
}

/** Whether a line is visible, or at most one screen away. */
export function isNear(line) {
  const { top, bottom } = line.getBoundingClientRect();
  return bottom > -innerHeight && top < 2 * innerHeight;
}

/** Announces a line that was found. */
export function announceLine(number) {
  const message = lineAt(number)?.querySelector(".line-message").textContent.slice(0, 200) ?? "";
  announce(`${formatText("line", number)}: ${message}`);
}

// --- Changes of the window ---

function parseLines(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** Updates the links to earlier and later lines, the range in the toolbar, and the empty state. */
export function showBounds() {
  const first = list.firstElementChild ? numberOf(list.firstElementChild) : 0;
  const last = list.lastElementChild ? numberOf(list.lastElementChild) : 0;
  earlier.hidden = !state.hasEarlier;
  earlier.href = queryString({ before: state.first });
  earlier.textContent = state.first === first ? texts.earlier : formatText("earlierThan", state.first);
  later.hidden = !state.hasLater;
  later.href = queryString({ after: state.last });
  later.textContent = state.last === last ? texts.later : formatText("laterThan", state.last);
  document.getElementById("log-count").textContent = first
    ? formatText("range", formatNumber(first), formatNumber(last))
    : "";
  const empty = document.getElementById("no-lines");
  empty.hidden = first > 0;
  if (!first && isFiltered()) {
    empty.textContent = texts.noLineMatches;
  }
}

/** Replaces all lines. */
export function replaceWindow(response) {
  list.replaceChildren(parseLines(response.html));
  Object.assign(state, {
    first: response.first,
    last: response.cursor,
    hasEarlier: response.has_earlier,
    hasLater: response.has_later,
  });
  showBounds();
  dispatch("window-replaced");
  dispatch("lines-changed");
}

/** Adds lines at the end; the first lines are removed if there are too many. */
export function append(response) {
  list.append(parseLines(response.html));
  state.first ||= response.first;
  state.last = response.cursor;
  state.hasLater = response.has_later;
  while (list.childElementCount > MAX_LINES) {
    list.firstElementChild.remove();
    state.first = numberOf(list.firstElementChild);
    state.hasEarlier = true;
  }
  showBounds();
  dispatch("lines-changed");
}

/** Adds lines at the beginning; the last lines are removed if there are too many. */
export function prepend(response) {
  list.prepend(parseLines(response.html));
  state.first = response.first;
  state.hasEarlier = response.has_earlier;
  while (list.childElementCount > MAX_LINES) {
    list.lastElementChild.remove();
    state.last = numberOf(list.lastElementChild);
    state.hasLater = true;
  }
  showBounds();
  dispatch("lines-changed");
}

/** Whether `count` more lines exceed the limit of the window. */
export function isFull(count) {
  return list.childElementCount + count > MAX_LINES;
}

// Lines must not scroll below the sticky toolbar: their scroll margin is its height.
new ResizeObserver(() => {
  const height = isToolbarSticky() ? toolbar.offsetHeight : 0;
  document.documentElement.style.setProperty("--toolbar-height", `${height}px`);
}).observe(toolbar);
