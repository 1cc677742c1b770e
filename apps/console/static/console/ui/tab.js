const icon = document.querySelector("link[rel=icon]");

/** Shows the state of a run in the title and the icon of the tab: `{ label: "● Running", icon: "running" }`. */
export function showTabState(state) {
  const shown = icon.dataset.label;
  const title = shown ? document.title.slice(`${shown} · `.length) : document.title;
  document.title = `${state.label} · ${title}`;
  icon.dataset.label = state.label;
  if (icon.getAttribute("href") !== icon.dataset[state.icon]) {
    icon.setAttribute("href", icon.dataset[state.icon]);
  }
}
