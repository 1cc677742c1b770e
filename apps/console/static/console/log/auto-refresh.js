// Auto-refresh: loads new lines every few seconds. A user at the end of the log sees them at once; for others they are
// counted.

import { announce } from "../ui/live-region.js";
import { showTabState } from "../ui/tab.js";
import { isAtEnd, isFollowing, scrollToEnd } from "./follow.js";
import { append, isFull, showBounds } from "./lines.js";
import { goToLatest } from "./navigation.js";
import { attempt, dispatch, formatText, isFiltered, log, newLinesText, showNote, state, texts } from "./page.js";
import { fetchLines } from "./requests.js";

const RETRY_SECONDS = 5;
// Interval in a hidden tab, of which only title and icon are seen.
const HIDDEN_SECONDS = 60;

const button = document.getElementById("refresh");
const newLinesButton = document.getElementById("new-lines");
const note = document.getElementById("log-note");

let isOn = state.isOpen;
let isOffline = false;
let newLineCount = 0;
// The last known line of the log, which may be after the window; 0 = unknown.
let lastKnown = 0;
let timer = 0;
let request = null;

function hasEnded() {
  return !state.isOpen && !isOn;
}

function showButton() {
  button.textContent = isOn ? texts.on : texts.off;
  button.setAttribute("aria-pressed", String(isOn));
  // A disabled button would lose the focus at the end of the run.
  button.setAttribute("aria-disabled", String(hasEnded()));
  button.title = hasEnded() ? texts.noMoreLines : "";
}

function showNewLineCount(count) {
  newLineCount = count;
  newLinesButton.hidden = count === 0;
  newLinesButton.textContent = newLinesText(count);
}

function showRun(response) {
  state.version = response.version;
  state.isOpen = response.is_open;
  for (const [name, html] of Object.entries(response.live ?? {})) {
    for (const element of document.querySelectorAll(`[data-live="${name}"]`)) {
      element.innerHTML = html;
    }
  }
  for (const element of document.querySelectorAll("[data-shown-while]")) {
    element.hidden = (element.dataset.shownWhile === "open") !== state.isOpen;
  }
  if (response.tab) {
    showTabState(response.tab);
  }
  dispatch("run-updated", response.payloads_expire_at ?? "");
}

// --- Responses ---

function showLines(response) {
  if (!response.count) {
    state.last = Math.max(state.last, response.cursor);
    return;
  }
  const wasFollowing = isFollowing() || isAtEnd(4);
  lastKnown = response.cursor;
  if (!wasFollowing && isFull(response.count)) {
    // More lines would remove those that the user reads.
    state.hasLater = true;
    showBounds();
    showNewLineCount(newLineCount + response.count);
    announce(newLinesText(response.count));
    return;
  }
  // Later lines are requested at once, so this is the end for the user.
  append({ ...response, has_later: false });
  if (wasFollowing) {
    scrollToEnd();
  } else {
    showNewLineCount(newLineCount + response.count);
  }
  announce(newLinesText(response.count));
}

/** Counts the new lines if the window ends before the end of the log. */
function showLength(response) {
  if (lastKnown && response.cursor > lastKnown && !isFiltered()) {
    showNewLineCount(newLineCount + response.cursor - lastKnown);
    announce(newLinesText(response.cursor - lastKnown));
  }
  lastKnown = response.cursor;
  note.textContent = formatText("moreLines", Math.max(response.cursor - state.last, 0));
}

function onResponse(response, isLengthOnly) {
  if (isOffline) {
    isOffline = false;
    showNote(texts.online);
  } else if (note.textContent === texts.online) {
    note.textContent = "";
  }
  showRun(response);
  if (isLengthOnly) {
    showLength(response);
  } else {
    showLines(response);
  }
  if (response.poll_after === null) {
    stop();
    if (!state.hasLater) {
      announce(texts.ended);
    }
  } else {
    schedule(response.poll_after);
  }
}

function onError(error) {
  if (!(error instanceof TypeError)) {
    stop();
    showNote(error.message);
    return;
  }
  if (!isOffline) {
    isOffline = true;
    showNote(texts.offline);
  }
  schedule(RETRY_SECONDS);
}

// --- Requests ---

function schedule(seconds) {
  clearTimeout(timer);
  timer = setTimeout(poll, seconds * 1000);
}

function abort() {
  clearTimeout(timer);
  request?.abort();
  request = null;
}

function stop() {
  isOn = false;
  abort();
  showButton();
}

/** Requests the status only; the lines follow when the tab is shown. */
async function pollHidden() {
  const controller = new AbortController();
  request = controller;
  try {
    showRun(await fetchLines({ lines: 0, version: state.version }, controller.signal));
  } catch {
    // The poll of the visible tab shows the error.
  }
  if (!controller.signal.aborted && state.isOpen) {
    schedule(HIDDEN_SECONDS);
  }
}

async function poll() {
  abort();
  if (document.hidden) {
    pollHidden();
    return;
  }
  const controller = new AbortController();
  request = controller;
  const isLengthOnly = state.hasLater;
  const { last } = state;
  if (!isLengthOnly) {
    // The window ends with the log: later lines are new, even if this response comes too late to be shown.
    lastKnown = Math.max(lastKnown, last);
  }
  try {
    const range = isLengthOnly ? { lines: 0 } : { after: last };
    const response = await fetchLines({ ...range, version: state.version }, controller.signal);
    if (controller.signal.aborted) {
      return;
    }
    if (isLengthOnly || state.last === last) {
      onResponse(response, isLengthOnly);
    } else {
      // Loading earlier lines removed the last ones: these lines would leave a gap.
      schedule(0);
    }
  } catch (error) {
    if (!controller.signal.aborted) {
      onError(error);
    }
  }
}

export function toggle() {
  if (hasEnded()) {
    announce(texts.noMoreLines);
    return;
  }
  if (isOn) {
    stop();
  } else {
    isOn = true;
    note.textContent = "";
    showButton();
    poll();
  }
  announce(isOn ? texts.on : texts.off);
}

/** Polls at once, for example when the network or the tab is back. */
function catchUp() {
  if (isOn) {
    poll();
  }
}

/** Catches up after the window jumped or reached the end of the log. */
function onWindowMoved() {
  note.textContent = "";
  catchUp();
}

export function start() {
  button.hidden = false;
  showButton();
  button.addEventListener("click", toggle);
  newLinesButton.addEventListener("click", () => attempt(goToLatest));
  addEventListener("online", catchUp);
  document.addEventListener("visibilitychange", () => !document.hidden && catchUp());
  addEventListener("scroll", () => newLineCount && isAtEnd() && showNewLineCount(0), { passive: true });
  log.addEventListener("window-replaced", () => {
    lastKnown = 0;
    showNewLineCount(0);
    onWindowMoved();
  });
  log.addEventListener("end-reached", onWindowMoved);
  if (isOn) {
    schedule(Number(log.dataset.pollAfter));
  }
}
