// On every page: arrow keys in the row menus, buttons that copy, one voice for screen readers.

/** Let screen readers hear `text`, politely. */
function say(text) {
  const said = document.getElementById("live-region");
  if (said) {
    said.textContent = text;
  }
}

function moveWithin(menu, event) {
  const entries = [...menu.querySelectorAll("a, button")];
  const at = entries.indexOf(document.activeElement);
  const next = {
    ArrowDown: (at + 1) % entries.length,
    ArrowUp: (at - 1 + entries.length) % entries.length,
    Home: 0,
    End: entries.length - 1,
  }[event.key];
  if (next !== undefined) {
    event.preventDefault();
    entries[next].focus();
  }
}

document.addEventListener("keydown", (event) => {
  const menu = event.target.closest(".menu");
  if (menu) {
    moveWithin(menu, event);
    return;
  }
  const button = event.target.closest("[popovertarget]");
  const opened = button && document.getElementById(button.getAttribute("popovertarget"));
  if (event.key === "ArrowDown" && opened?.matches(".menu")) {
    event.preventDefault();
    opened.showPopover({ source: button });
    opened.querySelector("a, button")?.focus();
  }
});

/** Copies where the clipboard may be used (HTTPS, localhost); elsewhere shows the text, ready to be copied. */
async function copy(button) {
  const text = button.dataset.copy.startsWith("/")
    ? new URL(button.dataset.copy, location.href).href
    : button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    window.prompt(button.textContent.trim(), text);
    return;
  }
  const label = button.querySelector("[data-copied]");
  if (label && !label.dataset.before) {
    label.dataset.before = label.textContent;
    label.textContent = label.dataset.copied;
    setTimeout(() => {
      label.textContent = label.dataset.before;
      delete label.dataset.before;
    }, 1500);
  }
  say(text);
  button.closest("[popover]")?.hidePopover();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) {
    copy(button);
  }
});
