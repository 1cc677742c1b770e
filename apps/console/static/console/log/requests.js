// Requests for lines and matches.

import { log, queryString, texts } from "./page.js";

/** The JSON response. Throws a TypeError if the server cannot be reached, and an Error with a message for the user if
    the log may not be read. */
export async function fetchJson(url, signal) {
  const response = await fetch(url, { signal, redirect: "manual" });
  if (response.type === "opaqueredirect") {
    throw new Error(texts.loggedOut);
  }
  if (response.status === 403 || response.status === 404) {
    throw new Error(response.status === 403 ? texts.forbidden : texts.notFound);
  }
  if (!response.ok) {
    throw new TypeError(`The server responded with ${response.status}.`);
  }
  return response.json();
}

export function fetchLines(parameters, signal) {
  return fetchJson(log.dataset.feed + queryString(parameters), signal);
}
