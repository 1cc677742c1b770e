// Matches in the whole log, found on the server: their number, the next and the previous one, their highlights.

import { announceLine, isNear, lineAt, numberOf, topLine } from "./lines.js";
import { goTo } from "./navigation.js";
import { attempt, formatNumber, formatText, list, log, queryString, showMessage, state, texts } from "./page.js";
import { fetchJson } from "./requests.js";

const counter = document.getElementById("find-count");

// The numbers of the first matches, and the query that they belong to.
let matches = null;
let matchesQuery = "";

function searchUrl(filter, parameters) {
  return log.dataset.find + queryString(parameters, filter);
}

// --- Count ---

function showCount() {
  if (!matches) {
    counter.textContent = "";
    return;
  }
  const { length } = matches.matches;
  const total = formatNumber(length) + (matches.is_done ? "" : "+");
  const index = matches.matches.indexOf(state.current);
  if (length === 0) {
    counter.textContent = matches.is_done ? texts.noMatches : formatText("searchedUpTo", matches.reached);
  } else if (index >= 0) {
    counter.textContent = formatText("matchOf", index + 1, total);
  } else {
    counter.textContent = length === 1 && matches.is_done ? texts.oneMatch : formatText("matches", total);
  }
}

/** Counts the matches of a query, shows their number and highlights them. */
export async function showMatches(query) {
  const text = query.get("q");
  if (!text || String(query) !== matchesQuery || state.isOpen) {
    matches = null;
    matchesQuery = String(query);
    if (text) {
      const response = await fetchJson(searchUrl(query));
      matches = matchesQuery === String(query) ? response : matches;
    }
  }
  showCount();
  highlight(text);
}

// --- Highlights ---

/** Highlights `text` in the lines of the page; the highlight API leaves their elements unchanged. */
export function highlight(text) {
  if (!CSS.highlights) {
    return;
  }
  const lowerText = text.toLowerCase();
  const ranges = [];
  for (const message of lowerText ? list.querySelectorAll(".line-message") : []) {
    if (message.textContent.toLowerCase().includes(lowerText)) {
      ranges.push(...rangesIn(message, lowerText));
    }
  }
  CSS.highlights.set("match", new Highlight(...ranges));
}

function rangesIn(message, text) {
  const ranges = [];
  const walker = document.createTreeWalker(message, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const lowerText = node.data.toLowerCase();
    for (let start = lowerText.indexOf(text); start >= 0; start = lowerText.indexOf(text, start + text.length)) {
      // The lower case of a text may be longer than the text.
      if (start + text.length <= node.length) {
        const range = new Range();
        range.setStart(node, start);
        range.setEnd(node, start + text.length);
        ranges.push(range);
      }
    }
  }
  return ranges;
}

// --- Next and previous match ---

/** The line where a search starts: the line that the user went to last, if it is near, else the topmost visible one. */
export function searchOrigin(isForward) {
  const line = state.current && lineAt(state.current);
  if (line && isNear(line)) {
    return state.current;
  }
  const top = topLine();
  return top ? numberOf(top) - (isForward ? 1 : 0) : 0;
}

/** Goes to the next line that matches the filter, or shows `noMatchText(from)`; returns the response. */
export async function seek(filter, isForward, noMatchText, from = searchOrigin(isForward)) {
  showMessage("");
  const response = await fetchJson(searchUrl(filter, isForward ? { after: from } : { before: from }));
  if (response.line) {
    for (const line of list.querySelectorAll(".is-match")) {
      line.classList.remove("is-match");
    }
    const line = await goTo(response.line);
    line?.classList.add("is-match");
    announceLine(response.line);
  } else if (response.is_done) {
    showMessage(noMatchText(from));
  } else {
    const continueSearch = () => attempt(() => seek(filter, isForward, noMatchText, response.reached));
    showMessage(formatText("searchedUpTo", response.reached), continueSearch);
  }
  return response;
}
