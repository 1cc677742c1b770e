// Scroll position: whether the page follows the end of the log.

import { log, state } from "./page.js";

let follows = false;
// Where the page stood when `follows` was set.
let followedTop = scrollY;
// The position after the last scroll of the page itself; scrolling away from it loads lines.
let lastTop = scrollY;

/** Whether the end of the log is visible, with a tolerance in pixels. */
export function isAtEnd(tolerance = 60) {
  const page = document.documentElement;
  return !state.hasLater && page.scrollHeight - page.scrollTop - page.clientHeight < tolerance;
}

/** Whether the user is at the end and wants to see new lines. */
export function isFollowing() {
  return follows && !state.hasLater;
}

export function scrollToEnd() {
  follows = true;
  document.querySelector(".log-footer").scrollIntoView({ block: "end" });
  lastTop = scrollY;
}

export function scrollToLine(line) {
  follows = false;
  line.scrollIntoView({ block: "center" });
  lastTop = scrollY;
}

/** Changes the list and keeps `line` at its position on the screen. */
export function keepPosition(line, change) {
  const before = line?.getBoundingClientRect().top;
  change();
  if (line?.isConnected) {
    scrollBy(0, line.getBoundingClientRect().top - before);
    lastTop = scrollY;
  }
}

/** Pixels that the user scrolled since the last call; negative = up. */
export function takeScrollDistance() {
  const distance = scrollY - lastTop;
  lastTop = scrollY;
  return distance;
}

function updateFollowing() {
  // The slightest scroll up stops following; a scroll down resumes it near the end.
  follows = scrollY < followedTop ? isAtEnd(4) : follows || isAtEnd();
  followedTop = scrollY;
}

addEventListener("scroll", updateFollowing, { passive: true });

// A line gets its real height when it is rendered, and the page head grows during a run: stay at the end.
new ResizeObserver(() => isFollowing() && scrollToEnd()).observe(log.parentElement);
