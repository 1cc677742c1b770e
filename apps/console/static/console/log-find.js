// Finds in the whole log, on the server: hits, a line by its number; and filters what the page shows.

import { goTo, goToFirst, goToLatest, isNear, lineAt, numberOf, showWindow, topLine } from "./log-lines.js";
import { address, ask, attempt, fetchAnswer, list, log, number, phrase, showAnswer, state, words } from "./log-page.js";

const form = document.getElementById("log-filter");
const field = document.getElementById("find");
const only = document.getElementById("matches-only");
const count = document.getElementById("find-count");

// The numbers of the first hits, and for which question they hold.
let hits = null;
let hitsFor = "";

// --- The filter ---

function readFilter() {
  const filter = new URLSearchParams();
  for (const box of form.querySelectorAll("fieldset input:checked")) {
    filter.append(box.name, box.value);
  }
  if (only.checked && field.value.trim()) {
    filter.set("q", field.value.trim());
  }
  return filter;
}

function takeFilter(filter) {
  state.filter = filter;
  const isFiltered = [...filter].length > 0;
  document.getElementById("clear-filter").hidden = !isFiltered;
  for (const link of document.querySelectorAll("[data-filtered]")) {
    link.hidden = !isFiltered;
    link.href = link.dataset.filtered + address();
  }
  document.getElementById("first").href = address({ after: 0 });
  document.getElementById("latest").href = address();
  history.replaceState(null, "", isFiltered ? address() : location.pathname);
}

function dropFilter() {
  for (const box of form.querySelectorAll("input:checked")) {
    box.checked = false;
  }
  takeFilter(new URLSearchParams());
}

/** Shows the latest lines of another filter; without one, those around the line where the reader was. */
async function applyFilter() {
  showAnswer("");
  takeFilter(readFilter());
  const isBack = state.at && ![...state.filter].length;
  if (isBack) {
    showWindow(await ask({ line: state.at }));
    await goTo(state.at);
  } else {
    showWindow(await ask({}));
  }
  await countHits();
}

// --- Hits ---

function findAddress(filter, place) {
  return log.dataset.find + address(place, filter);
}

function question() {
  const filter = readFilter();
  filter.set("q", field.value.trim());
  return filter;
}

function showCount() {
  if (!hits) {
    count.textContent = "";
    return;
  }
  const total = number(hits.hits.length) + (hits.is_done ? "" : "+");
  const at = hits.hits.indexOf(state.at);
  if (hits.hits.length === 0) {
    count.textContent = hits.is_done ? words.noHit : phrase("stopped", hits.reached);
  } else if (at >= 0) {
    count.textContent = phrase("hit", at + 1, total);
  } else {
    count.textContent = hits.hits.length === 1 && hits.is_done ? words.oneHit : phrase("hits", total);
  }
}

async function countHits() {
  const filter = question();
  const isAsked = filter.get("q") !== "";
  if (!isAsked || String(filter) !== hitsFor || state.isOpen) {
    hits = null;
    hitsFor = String(filter);
    if (isAsked) {
      const answer = await fetchAnswer(findAddress(filter));
      hits = hitsFor === String(filter) ? answer : hits;
    }
  }
  showCount();
  markHits();
}

/** Marks the text that was looked for, in the lines that are there, without touching them. */
function markHits() {
  if (!CSS.highlights) {
    return;
  }
  const text = field.value.trim().toLowerCase();
  const ranges = [];
  for (const message of text ? list.querySelectorAll(".line-message") : []) {
    if (message.textContent.toLowerCase().includes(text)) {
      ranges.push(...rangesIn(message, text));
    }
  }
  CSS.highlights.set("match", new Highlight(...ranges));
}

function rangesIn(message, text) {
  const ranges = [];
  const walker = document.createTreeWalker(message, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const lower = node.data.toLowerCase();
    for (let at = lower.indexOf(text); at >= 0; at = lower.indexOf(text, at + text.length)) {
      // Lower case may be longer than what was written.
      if (at + text.length <= node.length) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + text.length);
        ranges.push(range);
      }
    }
  }
  return ranges;
}

// --- Going from hit to hit ---

/** The line from which to look on: the one gone to last while it is near, else the uppermost on the screen. */
export function position(isForward) {
  const at = state.at && lineAt(state.at);
  if (at && isNear(at)) {
    return state.at;
  }
  const top = topLine();
  return top ? numberOf(top) - (isForward ? 1 : 0) : 0;
}

/** Goes to the next line that the filter wants, or says `none(from)`; the answer of the server is returned. */
export async function seek(filter, isForward, none, from = position(isForward)) {
  showAnswer("");
  const answer = await fetchAnswer(findAddress(filter, isForward ? { after: from } : { before: from }));
  if (answer.line) {
    for (const line of list.querySelectorAll(".is-match")) {
      line.classList.remove("is-match");
    }
    const line = await goTo(answer.line);
    line?.classList.add("is-match");
    announceHit(answer.line, line);
  } else if (answer.is_done) {
    showAnswer(none(from));
  } else {
    const goOn = () => attempt(() => seek(filter, isForward, none, answer.reached));
    showAnswer(phrase("stopped", answer.reached), goOn);
  }
  return answer;
}

function announceHit(sequence, line) {
  const said = document.getElementById("live-region");
  said.textContent = `${phrase("line", sequence)}: ${line?.querySelector(".line-message").textContent.slice(0, 200) ?? ""}`;
}

export function findHit(isForward) {
  return attempt(async () => {
    if (!field.value.trim()) {
      field.focus();
      return;
    }
    await seek(question(), isForward, (from) => phrase(isForward ? "noHitBehind" : "noHitBefore", from));
    await countHits();
  });
}

// --- The toolbar ---

async function submitFind() {
  if (only.checked || !field.value.trim()) {
    await applyFilter();
    return;
  }
  await findHit(true);
}

async function submitLine(event) {
  event.preventDefault();
  const given = event.target.elements.line;
  const sequence = Number(given.value.replace(/\D/g, ""));
  if (!sequence) {
    return;
  }
  showAnswer("");
  const line = await goTo(sequence);
  if (line) {
    given.value = "";
    log.dispatchEvent(new CustomEvent("choose", { detail: sequence }));
  } else {
    showAnswer(phrase("noSuchLine", sequence));
  }
}

function onClick(id, action) {
  document.getElementById(id).addEventListener("click", (event) => {
    event.preventDefault();
    attempt(action);
  });
}

export function start() {
  for (const id of ["find-next", "find-previous", "matches-only-toggle"]) {
    document.getElementById(id).hidden = false;
  }
  document.getElementById("apply-filter").hidden = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(submitFind);
  });
  for (const box of form.querySelectorAll("fieldset input")) {
    box.addEventListener("change", () => attempt(applyFilter));
  }
  only.addEventListener("change", () => attempt(applyFilter));
  // Emptied by its own little cross.
  field.addEventListener("search", () => !field.value && attempt(only.checked ? applyFilter : countHits));
  document.getElementById("go-to-line").addEventListener("submit", (event) => attempt(() => submitLine(event)));
  onClick("find-next", () => findHit(true));
  onClick("find-previous", () => findHit(false));
  onClick("first", goToFirst);
  onClick("latest", goToLatest);
  onClick("clear-filter", () => {
    dropFilter();
    return applyFilter();
  });
  log.addEventListener("unfilter", dropFilter);
  log.addEventListener("lines", markHits);
  if (field.value) {
    attempt(countHits);
  }
}
