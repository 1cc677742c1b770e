// The search box of the header: "/" moves the focus into it, Escape moves it back.

const box = document.getElementById("search-box");
let focusedBefore = null;

/** The switch for shortcuts of the log page is valid everywhere. */
function areShortcutsOn() {
  try {
    return localStorage.getItem("synclog.log.letters") !== "off";
  } catch {
    return true;
  }
}

function isTyping(element) {
  return element.closest("input:not([type=checkbox], [type=radio], [type=submit], [type=button]), textarea, select, [contenteditable]");
}

function onKey(event) {
  if (event.key !== "/" || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  if (isTyping(event.target) || document.querySelector("dialog[open]") || !areShortcutsOn()) {
    return;
  }
  event.preventDefault();
  focusedBefore = document.activeElement;
  box.select();
}

function onEscape(event) {
  if (event.key === "Escape") {
    // The browser would empty the box.
    event.preventDefault();
    box.blur();
    focusedBefore?.focus();
    focusedBefore = null;
  }
}

if (box) {
  document.addEventListener("keydown", onKey);
  box.addEventListener("keydown", onEscape);
  box.parentElement.querySelector("kbd").hidden = false;
}
