/** Announces `text` to screen readers when they are idle. */
export function announce(text) {
  document.getElementById("live-region").textContent = text;
}
