// Next and previous error. If no later error is known, the button is only marked as disabled: it keeps the
// focus, and a click requests the next error of a live run.

import { searchOrigin, seek } from "./matches.js";
import { attempt, formatText, log, texts } from "./page.js";

const button = document.getElementById("next-error");
const counter = document.querySelector('[data-live="errors"]');

let counterText = counter.textContent;
// No error is known after this line.
let lastError = Infinity;

function hasErrors() {
  return counter.querySelector(".has-errors") !== null;
}

function noErrorText(isForward, from) {
  return hasErrors() ? formatText(isForward ? "noErrorAfter" : "noErrorBefore", from) : texts.noErrors;
}

function showButton() {
  const isDisabled = !hasErrors() || (lastError < Infinity && searchOrigin(true) >= lastError);
  button.setAttribute("aria-disabled", String(isDisabled));
  button.title = isDisabled ? noErrorText(true, lastError) : "";
}

function onCounterChange() {
  if (counter.textContent !== counterText) {
    counterText = counter.textContent;
    lastError = Infinity;
  }
  showButton();
}

export function findError(isForward) {
  return attempt(async () => {
    const from = searchOrigin(isForward);
    const filter = new URLSearchParams({ level: "error" });
    const response = await seek(filter, isForward, (line) => noErrorText(isForward, line), from);
    if (isForward && response.is_last) {
      lastError = response.line ?? from;
    }
    showButton();
  });
}

export function start() {
  button.hidden = false;
  button.addEventListener("click", () => findError(true));
  new MutationObserver(onCounterChange).observe(counter, { childList: true });
  log.addEventListener("lines-changed", showButton);
  addEventListener("scroll", () => requestAnimationFrame(showButton), { passive: true });
  showButton();
}
