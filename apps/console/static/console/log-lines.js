// The window of lines: at most 4,000 in the page, whatever the length of the log; the rest is fetched as one scrolls.

import { address, announce, ask, attempt, list, log, number, phrase, showAnswer, state, words } from "./log-page.js";

const MAX_LINES = 4000;
// Lines are fetched when the reader is so near to the end of what is there, in pixels.
const NEAR = 1200;

const bar = log.querySelector(".log-toolbar");
const earlier = document.getElementById("earlier");
const later = document.getElementById("later");
let isLoading = false;
let lastTop = scrollY;
// Whether the end is kept in sight, whatever grows above it; and where the page stood when this was decided.
let follows = false;
let followedTop = scrollY;

// --- Lines ---

export function numberOf(line) {
  return Number(line.id.slice(1));
}

export function lineAt(sequence) {
  return document.getElementById(`L${sequence}`);
}

/** The uppermost line that the reader can see. */
export function topLine() {
  const top = isSticky() ? bar.getBoundingClientRect().bottom : 0;
  const { left } = list.getBoundingClientRect();
  const y = Math.max(top, list.getBoundingClientRect().top) + 4;
  return document.elementFromPoint(left + 8, y)?.closest(".line") ?? list.firstElementChild;
}

function isSticky() {
  return getComputedStyle(bar).position === "sticky";
}

/** Whether a line is on the screen, or was a moment ago. */
export function isNear(line) {
  const { top, bottom } = line.getBoundingClientRect();
  return bottom > -innerHeight && top < 2 * innerHeight;
}

/** Whether the end of the log is in sight, but for so many pixels. */
export function isAtEnd(pixels = 60) {
  const page = document.documentElement;
  return !state.hasLater && page.scrollHeight - page.scrollTop - page.clientHeight < pixels;
}

/** Whether the reader is at the end, and so wants to see what comes. */
export function isFollowing() {
  return follows && !state.hasLater;
}

export function goToEnd() {
  follows = true;
  document.querySelector(".log-footer").scrollIntoView({ block: "end" });
  lastTop = scrollY;
}

export function bringToSight(line) {
  follows = false;
  line.scrollIntoView({ block: "center" });
  lastTop = scrollY;
}

function decideWhetherToFollow() {
  // Up is away from the end, however little; down, the end is soon reached.
  follows = scrollY < followedTop ? isAtEnd(4) : follows || isAtEnd();
  followedTop = scrollY;
}

addEventListener("scroll", decideWhetherToFollow, { passive: true });

// A line has its true height only once it is seen, and the head of the page grows while a run goes on.
new ResizeObserver(() => isFollowing() && goToEnd()).observe(log.parentElement);

// --- What comes from the server ---

function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

/** Changes the list and leaves the reader's line where it was on the screen. */
function keepPlace(change) {
  const anchor = topLine();
  const before = anchor?.getBoundingClientRect().top;
  change();
  if (anchor?.isConnected) {
    scrollBy(0, anchor.getBoundingClientRect().top - before);
    lastTop = scrollY;
  }
}

export function showEnds() {
  earlier.hidden = !state.hasEarlier;
  earlier.href = address({ before: state.first });
  const top = list.firstElementChild ? numberOf(list.firstElementChild) : 0;
  earlier.textContent = state.first === top ? words.earlier : phrase("lookedFrom", state.first);
  later.hidden = !state.hasLater;
  later.href = address({ after: state.last });
  const bottom = list.lastElementChild ? numberOf(list.lastElementChild) : 0;
  later.textContent = state.last === bottom ? words.later : phrase("lookedTo", state.last);
  document.getElementById("log-count").textContent = top ? phrase("range", number(top), number(bottom)) : "";
  const empty = document.getElementById("no-lines");
  empty.hidden = top > 0;
  if (!top && [...state.filter].length) {
    empty.textContent = words.none;
  }
}

/** All lines anew. */
export function showWindow(answer) {
  list.replaceChildren(fragment(answer.html));
  Object.assign(state, {
    first: answer.first,
    last: answer.cursor,
    hasEarlier: answer.has_earlier,
    hasLater: answer.has_later,
  });
  showEnds();
  announce("window");
  announce("lines");
}

/** Lines at the end; those at the beginning make room. */
export function append(answer) {
  list.append(fragment(answer.html));
  state.first ||= answer.first;
  state.last = answer.cursor;
  state.hasLater = answer.has_later;
  while (list.childElementCount > MAX_LINES) {
    list.firstElementChild.remove();
    state.first = numberOf(list.firstElementChild);
    state.hasEarlier = true;
  }
  showEnds();
  announce("lines");
}

export function isFull(count) {
  return list.childElementCount + count > MAX_LINES;
}

function prepend(answer) {
  list.prepend(fragment(answer.html));
  state.first = answer.first;
  state.hasEarlier = answer.has_earlier;
  while (list.childElementCount > MAX_LINES) {
    list.lastElementChild.remove();
    state.last = numberOf(list.lastElementChild);
    state.hasLater = true;
  }
  showEnds();
  announce("lines");
}

// --- More lines on demand ---

/** Says whether any came. */
export async function load(isLater) {
  if (isLoading) {
    return false;
  }
  isLoading = true;
  const [bound, filter] = [isLater ? state.last : state.first, String(state.filter)];
  const answer = await attempt(() => ask(isLater ? { after: bound } : { before: bound }));
  isLoading = false;
  // What was asked for before the window changed has no place in it any more.
  if (answer && bound === (isLater ? state.last : state.first) && filter === String(state.filter)) {
    keepPlace(() => (isLater ? append(answer) : prepend(answer)));
    if (isLater && !state.hasLater) {
      announce("level");
    }
    return answer.count > 0;
  }
  return false;
}

earlier.addEventListener("click", (event) => {
  event.preventDefault();
  load(false);
});

later.addEventListener("click", (event) => {
  event.preventDefault();
  load(true);
});

function isNearEnd(isLater) {
  if (isLater) {
    return state.hasLater && later.getBoundingClientRect().top < innerHeight + NEAR;
  }
  // At the very top the reader looks at the head of the page, which would be pushed out of sight.
  return scrollY > 0 && state.hasEarlier && earlier.getBoundingClientRect().bottom > -NEAR;
}

async function loadWhatIsNear() {
  const isLater = scrollY > lastTop;
  const hasMoved = scrollY !== lastTop;
  lastTop = scrollY;
  while (hasMoved && !isLoading && isNearEnd(isLater) && (await load(isLater)));
}

addEventListener("scroll", () => requestAnimationFrame(loadWhatIsNear), { passive: true });

// --- Going somewhere ---

/** Shows a line with those around it; without the filter where that hides it. Says whether it is there. */
export async function goTo(sequence) {
  if (!lineAt(sequence)) {
    showWindow(await ask({ line: sequence }));
  }
  if (!lineAt(sequence) && [...state.filter].length) {
    announce("unfilter");
    showWindow(await ask({ line: sequence }));
    showAnswer(words.unfiltered);
  }
  const line = lineAt(sequence);
  if (line) {
    state.at = sequence;
    bringToSight(line);
  }
  return line;
}

export async function goToFirst() {
  showWindow(await ask({ after: 0 }));
  state.at = 0;
  if (list.firstElementChild) {
    bringToSight(list.firstElementChild);
  }
}

export async function goToLatest() {
  if (state.hasLater || !list.childElementCount) {
    showWindow(await ask({}));
  }
  state.at = 0;
  goToEnd();
}

// The toolbar stands over the lines: nothing that is gone to may hide behind it.
new ResizeObserver(() => {
  const height = isSticky() ? bar.offsetHeight : 0;
  document.documentElement.style.setProperty("--toolbar-height", `${height}px`);
}).observe(bar);
