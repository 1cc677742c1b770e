// Follows a run: new lines every few seconds, shown at once to a reader at the end, counted for one who looks elsewhere.

import { append, goToEnd, goToLatest, isAtEnd, isFollowing, isFull, showEnds } from "./log-lines.js";
import { ask, attempt, log, newLines, phrase, say, showNote, state, words } from "./log-page.js";

const RETRY_SECONDS = 5;

const button = document.getElementById("refresh");
const waitingButton = document.getElementById("new-lines");
const note = document.getElementById("log-note");

let isOn = state.isOpen;
let isOffline = false;
let waiting = 0;
// The last line of the log as far as known, wherever the page stands; 0 = not asked for yet.
let known = state.hasLater ? 0 : state.last;
let timer = 0;
let request = null;

function isOver() {
  return !state.isOpen && !isOn;
}

function showButton() {
  button.textContent = isOn ? words.on : words.off;
  button.setAttribute("aria-pressed", String(isOn));
  // It keeps the focus of whoever waited for the end.
  button.setAttribute("aria-disabled", String(isOver()));
  button.title = isOver() ? words.over : "";
}

function showWaiting(count) {
  waiting = count;
  waitingButton.hidden = waiting === 0;
  waitingButton.textContent = newLines(waiting);
}

function showLive(live) {
  for (const [name, html] of Object.entries(live ?? {})) {
    for (const place of document.querySelectorAll(`[data-live="${name}"]`)) {
      place.innerHTML = html;
    }
  }
}

function showState(answer) {
  state.version = answer.version;
  state.isOpen = answer.is_open;
  showLive(answer.live);
  for (const place of document.querySelectorAll("[data-shown-while]")) {
    place.hidden = (place.dataset.shownWhile === "open") !== state.isOpen;
  }
  log.dispatchEvent(new CustomEvent("ended", { detail: answer.payloads_expire_at ?? "" }));
}

// --- Taking in ---

function takeLines(answer) {
  if (!answer.count) {
    state.last = Math.max(state.last, answer.cursor);
    return;
  }
  const wasFollowing = isFollowing() || isAtEnd(4);
  known = answer.cursor;
  if (!wasFollowing && isFull(answer.count)) {
    // The reader's own lines would have to make room.
    state.hasLater = true;
    showEnds();
    showWaiting(waiting + answer.count);
    say(newLines(answer.count));
    return;
  }
  // What is still to come is asked for at once: to the reader, this is the end.
  append({ ...answer, has_later: false });
  if (wasFollowing) {
    goToEnd();
  } else {
    showWaiting(waiting + answer.count);
  }
  say(newLines(answer.count));
}

/** The page shows a part before the end: only count what comes. */
function takeLength(answer) {
  if (known && answer.cursor > known && ![...state.filter].length) {
    showWaiting(waiting + answer.cursor - known);
    say(newLines(answer.cursor - known));
  }
  known = answer.cursor;
  note.textContent = phrase("further", Math.max(answer.cursor - state.last, 0));
}

function takeIn(answer, isLengthOnly) {
  if (isOffline) {
    isOffline = false;
    showNote(words.online);
  } else if (note.textContent === words.online) {
    note.textContent = "";
  }
  showState(answer);
  if (isLengthOnly) {
    takeLength(answer);
  } else {
    takeLines(answer);
  }
  if (answer.poll_after === null) {
    stop();
    if (!state.hasLater) {
      say(words.ended);
    }
  } else {
    schedule(answer.poll_after);
  }
}

function goWithout(error) {
  if (!(error instanceof TypeError)) {
    stop();
    showNote(error.message);
    return;
  }
  if (!isOffline) {
    isOffline = true;
    showNote(words.offline);
  }
  schedule(RETRY_SECONDS);
}

// --- Asking ---

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

async function poll() {
  abort();
  // A tab that nobody looks at asks for nothing; it catches up when it is shown.
  if (document.hidden) {
    return;
  }
  const mine = new AbortController();
  request = mine;
  const isLengthOnly = state.hasLater;
  const { last } = state;
  try {
    const place = isLengthOnly ? { lines: 0 } : { after: last };
    const answer = await ask({ ...place, version: state.version }, mine.signal);
    if (mine.signal.aborted) {
      return;
    }
    if (isLengthOnly || state.last === last) {
      takeIn(answer, isLengthOnly);
    } else {
      // Earlier lines took the place of the last ones: what was asked for would leave a gap.
      schedule(0);
    }
  } catch (error) {
    if (!mine.signal.aborted) {
      goWithout(error);
    }
  }
}

export function toggle() {
  if (isOver()) {
    say(words.over);
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
  say(isOn ? words.on : words.off);
}

// Whoever comes back, to the network or to the tab, need not wait for the next turn.
function catchUp() {
  if (isOn) {
    poll();
  }
}

/** What the page shows has jumped, or has come to the end of the log. */
function followOn() {
  note.textContent = "";
  catchUp();
}

export function start() {
  button.hidden = false;
  showButton();
  button.addEventListener("click", toggle);
  waitingButton.addEventListener("click", () => attempt(goToLatest));
  addEventListener("online", catchUp);
  document.addEventListener("visibilitychange", () => !document.hidden && catchUp());
  addEventListener("scroll", () => waiting && isAtEnd() && showWaiting(0), { passive: true });
  // Other lines are on the page: what was under way for the old ones is dropped.
  log.addEventListener("window", () => {
    known = 0;
    showWaiting(0);
    followOn();
  });
  log.addEventListener("level", followOn);
  if (isOn) {
    schedule(Number(log.dataset.pollAfter));
  }
}
