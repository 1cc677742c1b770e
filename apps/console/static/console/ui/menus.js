// Arrow keys in the menus of rows and of the header.

function moveFocus(menu, event) {
  const entries = [...menu.querySelectorAll("a, button")];
  const current = entries.indexOf(document.activeElement);
  const next = {
    ArrowDown: (current + 1) % entries.length,
    ArrowUp: (current - 1 + entries.length) % entries.length,
    Home: 0,
    End: entries.length - 1,
  }[event.key];
  if (next !== undefined) {
    event.preventDefault();
    entries[next].focus();
  }
}

document.addEventListener("keydown", (event) => {
  const openMenu = event.target.closest(".menu");
  if (openMenu) {
    moveFocus(openMenu, event);
    return;
  }
  const button = event.target.closest("[popovertarget]");
  const menu = button && document.getElementById(button.getAttribute("popovertarget"));
  if (event.key === "ArrowDown" && menu?.matches(".menu")) {
    event.preventDefault();
    menu.showPopover({ source: button });
    menu.querySelector("a, button")?.focus();
  }
});
