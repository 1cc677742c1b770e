// Navigation: loads lines as the user scrolls, and goes to a line, to the first lines or to the latest ones.

import { keepPosition, scrollToEnd, scrollToLine, takeScrollDistance } from "./follow.js";
import { append, lineAt, prepend, replaceWindow, topLine } from "./lines.js";
import { attempt, dispatch, isFiltered, list, showMessage, state, texts } from "./page.js";
import { fetchLines } from "./requests.js";

// Lines are loaded when the end of the window is this close, in pixels.
const LOAD_DISTANCE = 1200;

const earlier = document.getElementById("earlier");
const later = document.getElementById("later");
let isLoading = false;

// --- Loading ---

/** Loads later or earlier lines; whether there were any. */
export async function load(isLater) {
  if (isLoading) {
    return false;
  }
  isLoading = true;
  const bound = () => (isLater ? state.last : state.first);
  const [requested, filter] = [bound(), String(state.filter)];
  const response = await attempt(() => fetchLines(isLater ? { after: requested } : { before: requested }));
  isLoading = false;
  // The response is useless if the window or the filter changed in the meantime.
  if (!response || requested !== bound() || filter !== String(state.filter)) {
    return false;
  }
  keepPosition(topLine(), () => (isLater ? append(response) : prepend(response)));
  if (isLater && !state.hasLater) {
    dispatch("end-reached");
  }
  return response.count > 0;
}

for (const [link, isLater] of [[earlier, false], [later, true]]) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    load(isLater);
  });
}

function isCloseToEnd(isLater) {
  if (isLater) {
    return state.hasLater && later.getBoundingClientRect().top < innerHeight + LOAD_DISTANCE;
  }
  // At the top of the page, loading would push the page head out of sight.
  return scrollY > 0 && state.hasEarlier && earlier.getBoundingClientRect().bottom > -LOAD_DISTANCE;
}

async function loadWhileScrolling() {
  const distance = takeScrollDistance();
  const isLater = distance > 0;
  while (distance && !isLoading && isCloseToEnd(isLater) && (await load(isLater)));
}

addEventListener("scroll", () => requestAnimationFrame(loadWhileScrolling), { passive: true });

// --- Going somewhere ---

/** Shows a line and the lines around it, without the filter if that hides it. Returns the line, or null. */
export async function goTo(number) {
  if (!lineAt(number)) {
    replaceWindow(await fetchLines({ line: number }));
  }
  if (!lineAt(number) && isFiltered()) {
    dispatch("clear-filter");
    replaceWindow(await fetchLines({ line: number }));
    showMessage(texts.filterCleared);
  }
  const line = lineAt(number);
  if (line) {
    state.current = number;
    scrollToLine(line);
  }
  return line;
}

export async function goToFirst() {
  replaceWindow(await fetchLines({ after: 0 }));
  state.current = 0;
  if (list.firstElementChild) {
    scrollToLine(list.firstElementChild);
  }
}

export async function goToLatest() {
  if (state.hasLater || !list.childElementCount) {
    replaceWindow(await fetchLines({}));
  }
  state.current = 0;
  scrollToEnd();
}
