// Keyboard shortcuts of every page: "/" moves the focus into the search box and Escape back, "g" and another letter
// opens a page, "?" lists the shortcuts.

const GO_MILLISECONDS = 1500;

const box = document.getElementById("search-box");
const dialog = document.getElementById("shortcuts");
const enableLetters = document.getElementById("enable-shortcuts");
const pages = new Map([...document.querySelectorAll("[data-shortcut]")].map((link) => [link.dataset.shortcut, link]));

let focusedBefore = null;
// Until then, a letter opens a page.
let goUntil = 0;

function isTyping(element) {
  return element.closest("input:not([type=checkbox], [type=radio], [type=submit], [type=button]), textarea, select, [contenteditable]");
}

/** In the log, "g" moves the focus into a field for digits. */
function isGoField(element) {
  return element.matches("[aria-keyshortcuts=g]") && !element.value;
}

function focusSearchBox() {
  focusedBefore = document.activeElement;
  box.select();
}

function openPage(event) {
  const link = event.timeStamp < goUntil && (!isTyping(event.target) || isGoField(event.target)) && pages.get(event.key);
  goUntil = 0;
  if (link) {
    event.preventDefault();
    link.click();
  }
  return link;
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  if (!enableLetters.checked || document.querySelector("dialog[open]") || openPage(event) || isTyping(event.target)) {
    return;
  }
  if (event.key === "g") {
    goUntil = event.timeStamp + GO_MILLISECONDS;
  } else if (event.key === "/") {
    event.preventDefault();
    focusSearchBox();
  } else if (event.key === "?") {
    event.preventDefault();
    dialog.showModal();
  }
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

// --- The switch that turns single letters off, stored in the browser ---

function readSwitch() {
  try {
    return localStorage.getItem("synclog.log.letters") !== "off";
  } catch {
    return true;
  }
}

function saveSwitch() {
  try {
    localStorage.setItem("synclog.log.letters", enableLetters.checked ? "on" : "off");
  } catch {
    // Without storage, it holds for this page.
  }
}

// --- Start; the login page and small windows have none of it ---

if (dialog && box) {
  enableLetters.checked = readSwitch();
  enableLetters.addEventListener("change", saveSwitch);
  document.addEventListener("keydown", onKey);
  box.addEventListener("keydown", onEscape);
  box.parentElement.querySelector("kbd").hidden = false;
  for (const button of document.querySelectorAll("[data-opens-shortcuts]")) {
    button.hidden = false;
    button.addEventListener("click", () => dialog.showModal());
  }
}
