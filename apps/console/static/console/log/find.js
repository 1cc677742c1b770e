// The toolbar: filter, search and "Go to line".

import { replaceWindow } from "./lines.js";
import { highlight, seek, showMatches } from "./matches.js";
import { goTo, goToFirst, goToLatest } from "./navigation.js";
import { attempt, dispatch, formatText, isFiltered, log, queryString, showMessage, state } from "./page.js";
import { fetchLines } from "./requests.js";

const form = document.getElementById("log-filter");
const field = document.getElementById("find");
const matchesOnly = document.getElementById("matches-only");

// --- Filter ---

function readFilter() {
  const filter = new URLSearchParams();
  for (const box of form.querySelectorAll("fieldset input:checked")) {
    filter.append(box.name, box.value);
  }
  if (matchesOnly.checked && field.value.trim()) {
    filter.set("q", field.value.trim());
  }
  return filter;
}

/** Sets the filter, and updates every link and the URL of the page. */
function setFilter(filter) {
  state.filter = filter;
  document.getElementById("clear-filter").hidden = !isFiltered();
  for (const link of document.querySelectorAll("[data-filtered]")) {
    link.hidden = !isFiltered();
    link.href = link.dataset.filtered + queryString();
  }
  document.getElementById("first").href = queryString({ after: 0 });
  document.getElementById("latest").href = queryString();
  history.replaceState(null, "", isFiltered() ? queryString() : location.pathname);
}

function clearFilter() {
  for (const box of form.querySelectorAll("input:checked")) {
    box.checked = false;
  }
  setFilter(new URLSearchParams());
}

/** Applies the form: shows the latest lines of a filter; without a filter, the lines around the current one. */
async function applyFilter() {
  showMessage("");
  setFilter(readFilter());
  if (state.current && !isFiltered()) {
    replaceWindow(await fetchLines({ line: state.current }));
    await goTo(state.current);
  } else {
    replaceWindow(await fetchLines({}));
  }
  await showMatches(searchQuery());
}

// --- Search ---

function searchQuery() {
  const query = readFilter();
  query.set("q", field.value.trim());
  return query;
}

export function findMatch(isForward) {
  return attempt(async () => {
    if (!field.value.trim()) {
      field.focus();
      return;
    }
    const noMatchText = (from) => formatText(isForward ? "noMatchAfter" : "noMatchBefore", from);
    await seek(searchQuery(), isForward, noMatchText);
    await showMatches(searchQuery());
  });
}

async function submitSearch() {
  if (matchesOnly.checked || !field.value.trim()) {
    await applyFilter();
  } else {
    await findMatch(true);
  }
}

function onSearchCleared() {
  if (!field.value) {
    attempt(() => (matchesOnly.checked ? applyFilter() : showMatches(searchQuery())));
  }
}

// --- Go to line ---

async function submitLine(event) {
  event.preventDefault();
  const input = event.target.elements.line;
  const number = Number(input.value.replace(/\D/g, ""));
  if (!number) {
    return;
  }
  showMessage("");
  if (await goTo(number)) {
    input.value = "";
    dispatch("select-line", number);
  } else {
    showMessage(formatText("lineNotFound", number));
  }
}

// --- Start ---

function onClick(id, action) {
  document.getElementById(id).addEventListener("click", (event) => {
    event.preventDefault();
    attempt(action);
  });
}

function listenToForm() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(submitSearch);
  });
  for (const box of form.querySelectorAll("fieldset input")) {
    box.addEventListener("change", () => attempt(applyFilter));
  }
  matchesOnly.addEventListener("change", () => attempt(applyFilter));
  // Chromium sends this event when the clear button of the field is clicked.
  field.addEventListener("search", onSearchCleared);
  document.getElementById("go-to-line").addEventListener("submit", (event) => attempt(() => submitLine(event)));
}

export function start() {
  for (const id of ["find-next", "find-previous", "matches-only-toggle"]) {
    document.getElementById(id).hidden = false;
  }
  document.getElementById("apply-filter").hidden = true;
  listenToForm();
  onClick("find-next", () => findMatch(true));
  onClick("find-previous", () => findMatch(false));
  onClick("first", goToFirst);
  onClick("latest", goToLatest);
  onClick("clear-filter", () => {
    clearFilter();
    return applyFilter();
  });
  log.addEventListener("clear-filter", clearFilter);
  log.addEventListener("lines-changed", () => highlight(field.value.trim()));
  if (field.value) {
    attempt(() => showMatches(searchQuery()));
  }
}
