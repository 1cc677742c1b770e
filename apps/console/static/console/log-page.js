// What the scripts of the log page share: its pieces, its state, its voice, and its way to the server.

export const log = document.getElementById("log");
export const list = document.getElementById("lines");
export const words = JSON.parse(document.getElementById("log-texts").textContent);

const language = document.documentElement.lang || undefined;

/** Where the page stands. `first` and `last` bound the lines that were looked at; all are line numbers. */
export const state = {
  first: Number(log.dataset.first),
  last: Number(log.dataset.cursor),
  hasEarlier: !document.getElementById("earlier").hidden,
  hasLater: "hasLater" in log.dataset,
  isOpen: "open" in log.dataset,
  version: log.dataset.version,
  // The line that was gone to last, and the part of the address that filters.
  at: Number(log.dataset.line ?? 0),
  filter: filterOf(new URLSearchParams(location.search)),
};

function filterOf(query) {
  return new URLSearchParams([...query].filter(([name, value]) => ["level", "step", "q"].includes(name) && value));
}

// --- Words ---

export function number(count) {
  return count.toLocaleString(language);
}

export function decimal(value) {
  return value.toLocaleString(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
}

export function phrase(name, ...values) {
  return values.reduce((text, value) => text.replace("%s", typeof value === "number" ? number(value) : value), words[name]);
}

export function newLines(count) {
  return count === 1 ? words.one : phrase("new", count);
}

/** Let screen readers hear `text`, politely. */
export function say(text) {
  document.getElementById("live-region").textContent = text;
}

/** Beneath the log: what following does. */
export function showNote(text) {
  document.getElementById("log-note").textContent = text;
  say(text);
}

/** In the toolbar: what finding and going came to. With `goOn`, a button that continues. */
export function showAnswer(text, goOn = null) {
  const place = document.getElementById("log-message");
  place.hidden = !text;
  place.querySelector("span").textContent = text;
  const button = document.getElementById("continue-search");
  button.hidden = !goOn;
  button.onclick = goOn;
  if (text) {
    say(text);
  }
}

// --- What a reader has chosen is kept for the next log ---

export function remembered(name, otherwise) {
  try {
    return localStorage.getItem(`synclog.log.${name}`) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`synclog.log.${name}`, value);
  } catch {
    // Without storage the choice holds for this page.
  }
}

// --- The server ---

export function address(place = {}, filter = state.filter) {
  const query = new URLSearchParams(filter);
  for (const [name, value] of Object.entries(place)) {
    query.set(name, value);
  }
  return `?${query}`;
}

/** Asks the server. Throws a TypeError without a connection, and an Error whose message is for the reader. */
export async function fetchAnswer(url, signal) {
  const response = await fetch(url, { signal, redirect: "manual" });
  if (response.type === "opaqueredirect") {
    throw new Error(words.signedOut);
  }
  if (response.status === 403 || response.status === 404) {
    throw new Error(response.status === 403 ? words.forbidden : words.missing);
  }
  if (!response.ok) {
    throw new TypeError(`The server answered ${response.status}.`);
  }
  return response.json();
}

export function ask(place, signal) {
  return fetchAnswer(log.dataset.feed + address(place), signal);
}

/** Runs what the reader asked for; a failure is said instead of lost. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError") {
      showAnswer(error instanceof TypeError ? words.offline : error.message);
    }
    return undefined;
  }
}

/** Tells the other scripts that lines came or went: "lines" when some did, "window" when all did, "level" when the
    page has come to the end of the log by scrolling. */
export function announce(name, detail = {}) {
  log.dispatchEvent(new CustomEvent(name, { detail }));
}
