// Shared by the modules of the log page: elements, state, texts, messages, preferences.

import { announce } from "../ui/live-region.js";

export const log = document.getElementById("log");
export const list = document.getElementById("lines");
export const texts = JSON.parse(document.getElementById("log-texts").textContent);

const language = document.documentElement.lang || undefined;

/** State of the page. `first` and `last` are the bounds of the loaded range, as line numbers. */
export const state = {
  first: Number(log.dataset.first),
  last: Number(log.dataset.cursor),
  hasEarlier: !document.getElementById("earlier").hidden,
  hasLater: "hasLater" in log.dataset,
  isOpen: "open" in log.dataset,
  version: log.dataset.version,
  // The line that the user went to last; 0 = none.
  current: Number(log.dataset.line ?? 0),
  // The parameters of the URL that filter the lines.
  filter: filterOf(new URLSearchParams(location.search)),
};

function filterOf(query) {
  return new URLSearchParams([...query].filter(([name, value]) => ["level", "step", "q"].includes(name) && value));
}

export function isFiltered() {
  return [...state.filter].length > 0;
}

/** Query string with the filter and, for example, `{ after: 500 }`. */
export function queryString(parameters = {}, filter = state.filter) {
  const query = new URLSearchParams(filter);
  for (const [name, value] of Object.entries(parameters)) {
    query.set(name, value);
  }
  return `?${query}`;
}

/** Tells the other modules that "lines-changed", that "window-replaced" all of them, or that scrolling loaded the end
    of the log ("end-reached"). */
export function dispatch(name, detail = undefined) {
  log.dispatchEvent(new CustomEvent(name, { detail }));
}

// --- Texts ---

export function formatNumber(number) {
  return number.toLocaleString(language);
}

export function formatDecimal(number) {
  return number.toLocaleString(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
}

/** The text `name`; each %s is replaced by the next value. */
export function formatText(name, ...values) {
  return values.reduce(
    (text, value) => text.replace("%s", typeof value === "number" ? formatNumber(value) : value),
    texts[name],
  );
}

export function newLinesText(count) {
  return count === 1 ? texts.oneNewLine : formatText("newLines", count);
}

// --- Messages ---

/** Shows the state of auto-refresh below the log. */
export function showNote(text) {
  document.getElementById("log-note").textContent = text;
  announce(text);
}

/** Shows the result of a search in the toolbar; `continueSearch` adds a button. */
export function showMessage(text, continueSearch = null) {
  const message = document.getElementById("log-message");
  message.hidden = !text;
  message.querySelector("span").textContent = text;
  const button = document.getElementById("continue-search");
  button.hidden = !continueSearch;
  button.onclick = continueSearch;
  if (text) {
    announce(text);
  }
}

/** Runs an action of the user and shows its error. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError") {
      showMessage(error instanceof TypeError ? texts.offline : error.message);
    }
    return undefined;
  }
}

// --- Preferences, stored for the next log ---

export function readPreference(name, fallback) {
  try {
    return localStorage.getItem(`synclog.log.${name}`) ?? fallback;
  } catch {
    return fallback;
  }
}

export function savePreference(name, value) {
  try {
    localStorage.setItem(`synclog.log.${name}`, value);
  } catch {
    // Without storage, the preference holds for this page.
  }
}
