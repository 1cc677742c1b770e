// Buttons that copy their data-copy attribute; a value that starts with a slash is copied as an absolute URL.

import { announce } from "./live-region.js";

const FEEDBACK_MILLISECONDS = 1500;

/** Shows the text of `data-copied` for a moment. */
function showFeedback(label) {
  if (label && !label.dataset.before) {
    label.dataset.before = label.textContent;
    label.textContent = label.dataset.copied;
    setTimeout(() => {
      label.textContent = label.dataset.before;
      delete label.dataset.before;
    }, FEEDBACK_MILLISECONDS);
  }
}

async function copy(button) {
  const value = button.dataset.copy;
  const text = value.startsWith("/") ? new URL(value, location.href).href : value;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers allow the clipboard only with HTTPS or on localhost; elsewhere the user copies from a prompt.
    window.prompt(button.textContent.trim(), text);
    return;
  }
  showFeedback(button.querySelector("[data-copied]"));
  announce(text);
  button.closest("[popover]")?.hidePopover();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) {
    copy(button);
  }
});
