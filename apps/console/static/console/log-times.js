// Times of the lines as the reader wants them, wrapped lines or cut ones, and the clocks of the page.

import { decimal, list, log, phrase, remember, remembered, say, words } from "./log-page.js";

const language = document.documentElement.lang || undefined;
const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" };
const clocks = {
  local: new Intl.DateTimeFormat("en-GB", { ...clock, timeZone: zone() }),
  utc: new Intl.DateTimeFormat("en-GB", { ...clock, timeZone: "UTC" }),
};
const radios = [...document.querySelectorAll('input[name="times"]')];
const wrap = document.getElementById("wrap");

let mode = "local";
let expiresAt = "";

/** The zone of the page's other times; UTC where the browser does not know its name. */
function zone() {
  try {
    new Intl.DateTimeFormat("en", { timeZone: log.dataset.zone });
    return log.dataset.zone;
  } catch {
    return "UTC";
  }
}

// --- Times ---

function sinceStart(moment) {
  const began = Date.parse(log.dataset.startedAt) || Date.parse(list.querySelector("time")?.dateTime);
  const span = Math.abs(moment - began);
  const seconds = String(Math.floor(span / 1000) % 60).padStart(2, "0");
  const minutes = String(Math.floor(span / 60000) % 60).padStart(2, "0");
  const milliseconds = String(span % 1000).padStart(3, "0");
  return `${moment < began ? "-" : "+"}${Math.floor(span / 3600000)}:${minutes}:${seconds}.${milliseconds}`;
}

function showTimes(times) {
  for (const time of times) {
    const moment = Date.parse(time.dateTime);
    time.textContent = mode === "relative" ? sinceStart(moment) : clocks[mode].format(moment);
    time.dataset.shown = mode;
  }
}

export function setTimes(name) {
  mode = radios.some((radio) => radio.value === name) ? name : "local";
  radios.find((radio) => radio.value === mode).checked = true;
  showTimes(list.querySelectorAll(".line-time"));
  remember("times", mode);
}

export function nextTimes() {
  const at = radios.findIndex((radio) => radio.checked);
  const next = radios[(at + 1) % radios.length];
  setTimes(next.value);
  say(next.parentElement.textContent.trim());
}

export function setWrap(isWrapped) {
  wrap.checked = isWrapped;
  list.classList.toggle("is-truncated", !isWrapped);
  remember("wrap", isWrapped ? "on" : "off");
}

// --- Clocks ---

function spanText(milliseconds) {
  const minutes = Math.floor(milliseconds / 60000);
  if (minutes < 1) {
    return words.moments;
  }
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60 ? `${minutes % 60} ${words.minutes}` : "";
  return hours ? `${hours} ${words.hours} ${rest}`.trim() : rest;
}

function durationText(milliseconds) {
  const seconds = Math.max(0, milliseconds / 1000);
  if (seconds < 59.95) {
    return `${decimal(seconds)} s`;
  }
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
}

function tick() {
  const now = Date.now();
  for (const place of document.querySelectorAll("[data-since]")) {
    place.textContent = durationText(now - Date.parse(place.dataset.since));
  }
}

/** Day and time as the server writes them: "21 Nov 14:05". */
function momentText(moment) {
  const form = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  const parts = new Intl.DateTimeFormat(language, { ...form, timeZone: zone() }).formatToParts(moment);
  const part = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  return `${part.day} ${part.month} ${part.hour}:${part.minute}`;
}

/** What can no longer be read keeps its record and loses its links. */
function expire(chip, moment) {
  const file = document.createElement("span");
  file.className = "payload-file";
  file.append(...chip.querySelector(".payload-file").childNodes);
  const record = document.createElement("span");
  record.className = "payload-expiry";
  record.textContent = `${phrase("gone", momentText(moment))} · ${chip.dataset.record}`;
  chip.replaceChildren(file, record);
  chip.classList.add("payload-expired");
}

function tickPayloads() {
  const now = Date.now();
  for (const place of list.querySelectorAll("[data-expires-at]")) {
    const moment = Date.parse(place.dataset.expiresAt);
    if (moment > now) {
      place.textContent = phrase("left", spanText(moment - now));
    } else {
      expire(place.closest(".payload"), moment);
    }
  }
}

/** The files of lines that came before the run ended learn how long they work. */
function dateFiles() {
  if (expiresAt) {
    for (const place of list.querySelectorAll("[data-until-end]")) {
      delete place.dataset.untilEnd;
      place.dataset.expiresAt = expiresAt;
    }
    tickPayloads();
  }
}

export function start() {
  document.getElementById("view-options").hidden = false;
  for (const radio of radios) {
    radio.addEventListener("change", () => setTimes(radio.value));
  }
  wrap.addEventListener("change", () => setWrap(wrap.checked));
  log.addEventListener("lines", () => {
    // The server writes local times.
    if (mode !== "local") {
      showTimes(list.querySelectorAll(`.line-time:not([data-shown="${mode}"])`));
    }
    dateFiles();
  });
  log.addEventListener("ended", (event) => {
    expiresAt = event.detail || expiresAt;
    dateFiles();
  });
  setWrap(remembered("wrap", "on") === "on");
  if (remembered("times", "local") !== "local") {
    setTimes(remembered("times", "local"));
  }
  setInterval(tick, 1000);
  setInterval(tickPayloads, 30000);
}
