// Times of the lines in the selected format, and wrapped or truncated lines.

import { announce } from "../ui/live-region.js";
import { start as startClocks, zone } from "./clocks.js";
import { list, log, readPreference, savePreference } from "./page.js";

const parts = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" };
const formats = {
  local: new Intl.DateTimeFormat("en-GB", { ...parts, timeZone: zone }),
  utc: new Intl.DateTimeFormat("en-GB", { ...parts, timeZone: "UTC" }),
};
const radios = [...document.querySelectorAll('input[name="times"]')];
const wrap = document.getElementById("wrap");

// "local", "utc" or "relative".
let current = "local";

/** Time since the start of the run: "+0:01:02.345". */
function relativeTime(moment) {
  const startedAt = Date.parse(log.dataset.startedAt) || Date.parse(list.querySelector("time")?.dateTime);
  const span = Math.abs(moment - startedAt);
  const seconds = String(Math.floor(span / 1000) % 60).padStart(2, "0");
  const minutes = String(Math.floor(span / 60000) % 60).padStart(2, "0");
  const milliseconds = String(span % 1000).padStart(3, "0");
  return `${moment < startedAt ? "-" : "+"}${Math.floor(span / 3600000)}:${minutes}:${seconds}.${milliseconds}`;
}

function showTimes(times) {
  for (const time of times) {
    const moment = Date.parse(time.dateTime);
    time.textContent = current === "relative" ? relativeTime(moment) : formats[current].format(moment);
    time.dataset.shown = current;
  }
}

function setTimeFormat(name) {
  current = radios.some((radio) => radio.value === name) ? name : "local";
  radios.find((radio) => radio.value === current).checked = true;
  showTimes(list.querySelectorAll(".line-time"));
  savePreference("times", current);
}

export function nextTimeFormat() {
  const index = radios.findIndex((radio) => radio.checked);
  const next = radios[(index + 1) % radios.length];
  setTimeFormat(next.value);
  announce(next.parentElement.textContent.trim());
}

export function setWrap(isWrapped) {
  wrap.checked = isWrapped;
  list.classList.toggle("is-truncated", !isWrapped);
  savePreference("wrap", isWrapped ? "on" : "off");
}

export function start() {
  document.getElementById("view-options").hidden = false;
  for (const radio of radios) {
    radio.addEventListener("change", () => setTimeFormat(radio.value));
  }
  wrap.addEventListener("change", () => setWrap(wrap.checked));
  log.addEventListener("lines-changed", () => {
    // The server renders local times.
    if (current !== "local") {
      showTimes(list.querySelectorAll(`.line-time:not([data-shown="${current}"])`));
    }
  });
  setWrap(readPreference("wrap", "on") === "on");
  if (readPreference("times", "local") !== "local") {
    setTimeFormat(readPreference("times", "local"));
  }
  startClocks();
}
