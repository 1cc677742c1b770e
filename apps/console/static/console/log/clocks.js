// Clocks: the duration of a running run, and the remaining time of payloads.

import { formatDecimal, formatText, list, log, texts } from "./page.js";

const language = document.documentElement.lang || undefined;

/** The time zone of the page; UTC if the browser does not know it. */
export const zone = knownZone(log.dataset.zone);

let expiresAt = "";

function knownZone(name) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return name;
  } catch {
    return "UTC";
  }
}

// --- Duration ---

function durationText(milliseconds) {
  const seconds = Math.max(0, milliseconds / 1000);
  if (seconds < 59.95) {
    return `${formatDecimal(seconds)} s`;
  }
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
}

function updateDurations() {
  const now = Date.now();
  for (const element of document.querySelectorAll("[data-since]")) {
    element.textContent = durationText(now - Date.parse(element.dataset.since));
  }
}

// --- Payloads ---

function spanText(milliseconds) {
  const minutes = Math.floor(milliseconds / 60000);
  if (minutes < 1) {
    return texts.lessThanAMinute;
  }
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60 ? `${minutes % 60} ${texts.minutes}` : "";
  return hours ? `${hours} ${texts.hours} ${rest}`.trim() : rest;
}

/** Date and time as the server formats them: "21 Nov 14:05". */
function momentText(moment) {
  const format = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const parts = new Intl.DateTimeFormat(language, { ...format, timeZone: zone }).formatToParts(moment);
  const part = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  return `${part.day} ${part.month} ${part.hour}:${part.minute}`;
}

/** Replaces the links of an expired payload by its size and digest. */
function showExpired(payload, moment) {
  const file = document.createElement("span");
  file.className = "payload-file";
  file.append(...payload.querySelector(".payload-file").childNodes);
  const record = document.createElement("span");
  record.className = "payload-expiry";
  record.textContent = `${formatText("expired", momentText(moment))} · ${payload.dataset.record}`;
  payload.replaceChildren(file, record);
  payload.classList.add("payload-expired");
}

function updatePayloads() {
  const now = Date.now();
  for (const element of list.querySelectorAll("[data-expires-at]")) {
    const moment = Date.parse(element.dataset.expiresAt);
    if (moment > now) {
      element.textContent = formatText("expiresIn", spanText(moment - now));
    } else {
      showExpired(element.closest(".payload"), moment);
    }
  }
}

/** Sets the expiry of payloads that were rendered before the run ended. */
function setExpiry() {
  if (expiresAt) {
    for (const element of list.querySelectorAll("[data-until-end]")) {
      delete element.dataset.untilEnd;
      element.dataset.expiresAt = expiresAt;
    }
    updatePayloads();
  }
}

export function start() {
  log.addEventListener("lines-changed", setExpiry);
  log.addEventListener("run-updated", (event) => {
    expiresAt = event.detail || expiresAt;
    setExpiry();
  });
  setInterval(updateDurations, 1000);
  setInterval(updatePayloads, 30000);
}
