// From error to error. Where no further one is known the button is disabled and says why; it keeps the focus, so that
// whoever waits for the first error of a live run need not look for it again. A click asks the server all the same.

import { position, seek } from "./log-find.js";
import { attempt, log, phrase, words } from "./log-page.js";

const button = document.getElementById("next-error");
const total = document.querySelector('[data-live="errors"]');

let counted = total.textContent;
// No error is known to stand after this line.
let last = Infinity;

function hasErrors() {
  return total.querySelector(".has-errors") !== null;
}

function none(isForward, from) {
  return hasErrors() ? phrase(isForward ? "noErrorBehind" : "noErrorBefore", from) : words.noError;
}

function showButton() {
  const isIdle = !hasErrors() || (last < Infinity && position(true) >= last);
  button.setAttribute("aria-disabled", String(isIdle));
  button.title = isIdle ? none(true, last) : "";
}

function takeTotal() {
  if (total.textContent !== counted) {
    counted = total.textContent;
    last = Infinity;
  }
  showButton();
}

export function findError(isForward) {
  return attempt(async () => {
    const from = position(isForward);
    const filter = new URLSearchParams({ level: "error" });
    const answer = await seek(filter, isForward, (line) => none(isForward, line), from);
    if (isForward && answer.is_last) {
      last = answer.line ?? from;
    }
    showButton();
  });
}

export function start() {
  button.hidden = false;
  button.addEventListener("click", () => findError(true));
  new MutationObserver(takeTotal).observe(total, { childList: true });
  log.addEventListener("lines", showButton);
  addEventListener("scroll", () => requestAnimationFrame(showButton), { passive: true });
  showButton();
}
