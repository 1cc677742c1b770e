// The live log of a run: fetches new lines, follows them while the reader is at the end, and says what it does.

const log = document.getElementById("log");
const list = document.getElementById("lines");
const button = document.getElementById("refresh");
const earlier = document.getElementById("earlier");
const later = document.getElementById("later");
const waitingButton = document.getElementById("waiting");
const note = document.getElementById("log-note");
const words = JSON.parse(document.getElementById("log-words").textContent);

// Lines that stay in the page while it follows a long run; older ones are fetched again on demand.
const MOST_LINES = 4000;
const RETRY_SECONDS = 5;

let cursor = Number(log.dataset.cursor);
let first = Number(log.dataset.first);
let version = log.dataset.version;
let isOpen = "open" in log.dataset;
// Lines come after those on the page that are not on it: the reader looks at the middle of the log.
let isFurther = "further" in log.dataset;
let isOn = isOpen;
let isOffline = false;
let expiresAt = "";
let waiting = 0;
let timer = 0;
let request = null;

// --- What is said ---

function say(text) {
  document.getElementById("said").textContent = text;
}

function showNote(text) {
  note.textContent = text;
  say(text);
}

function showButton() {
  button.textContent = isOn ? words.on : words.off;
  button.setAttribute("aria-pressed", String(isOn));
  button.disabled = !isOpen && !isOn;
}

function showWaiting() {
  waitingButton.hidden = waiting === 0;
  waitingButton.textContent = waiting === 1 ? words.one : words.new.replace("%s", waiting.toLocaleString());
}

function showRange() {
  const shown = list.lastElementChild;
  if (shown) {
    const last = Number(shown.id.slice(1));
    document.getElementById("log-count").textContent = `${first.toLocaleString()}–${last.toLocaleString()}`;
  }
}

// --- Where the reader is ---

function isAtEnd() {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 60;
}

function goToEnd() {
  waiting = 0;
  showWaiting();
  document.querySelector(".log-end").scrollIntoView({ block: "end" });
}

// --- Taking in what the server sends ---

function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

function showLive(live) {
  for (const [name, html] of Object.entries(live ?? {})) {
    for (const place of document.querySelectorAll(`[data-live="${name}"]`)) {
      place.innerHTML = html;
    }
  }
}

function showState(answer) {
  version = answer.version;
  isOpen = answer.is_open;
  showLive(answer.live);
  for (const place of document.querySelectorAll("[data-while]")) {
    place.hidden = (place.dataset.while === "open") !== isOpen;
  }
  expiresAt = answer.payloads_expire_at ?? expiresAt;
}

/** The files of lines that came before the run ended learn how long they work. */
function dateFiles() {
  if (!expiresAt) {
    return;
  }
  for (const place of list.querySelectorAll("[data-until-end]")) {
    delete place.dataset.untilEnd;
    place.dataset.expiresAt = expiresAt;
  }
  tickPayloads();
}

function forgetOldest() {
  while (list.childElementCount > MOST_LINES) {
    list.firstElementChild.remove();
  }
  const top = Number(list.firstElementChild.id.slice(1));
  if (top !== first) {
    first = top;
    earlier.hidden = false;
    earlier.href = address({ before: first });
  }
}

function append(answer) {
  if (!answer.count) {
    return;
  }
  const wasAtEnd = isAtEnd();
  document.getElementById("no-lines")?.remove();
  list.append(fragment(answer.html));
  first ||= answer.first;
  if (wasAtEnd) {
    forgetOldest();
    goToEnd();
  } else {
    waiting += answer.count;
    showWaiting();
  }
  showRange();
  say(answer.count === 1 ? words.one : words.new.replace("%s", answer.count.toLocaleString()));
}

// --- The feed ---

function address(place) {
  const query = new URLSearchParams();
  for (const [name, value] of [["level", log.dataset.level], ["q", log.dataset.q], ...Object.entries(place)]) {
    if (value !== "") {
      query.set(name, value);
    }
  }
  return `?${query}`;
}

/** Fetches from the feed. Throws a TypeError without a connection, and an Error whose message is for the reader. */
async function ask(place, signal) {
  const response = await fetch(log.dataset.feed + address(place), { signal, redirect: "manual" });
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

function schedule(seconds) {
  clearTimeout(timer);
  timer = setTimeout(poll, seconds * 1000);
}

function stop() {
  isOn = false;
  clearTimeout(timer);
  request?.abort();
  request = null;
  showButton();
}

async function poll() {
  const mine = new AbortController();
  request?.abort();
  request = mine;
  try {
    const place = isFurther ? { lines: 0, version } : { after: cursor, version };
    const answer = await ask(place, mine.signal);
    if (mine.signal.aborted) {
      return;
    }
    takeIn(answer);
  } catch (error) {
    if (!mine.signal.aborted) {
      goWithout(error);
    }
  }
}

function takeIn(answer) {
  if (isOffline) {
    isOffline = false;
    showNote(words.online);
  }
  showState(answer);
  if (isFurther) {
    const last = Number(list.lastElementChild?.id.slice(1) ?? 0);
    note.textContent = words.further.replace("%s", (answer.cursor - last).toLocaleString());
  } else {
    append(answer);
    cursor = answer.cursor;
  }
  dateFiles();
  if (answer.poll_after === null) {
    stop();
    if (!isFurther) {
      say(words.ended);
    }
  } else {
    schedule(answer.poll_after);
  }
}

function goWithout(error) {
  if (!(error instanceof TypeError)) {
    stop();
    showNote(error.message);
    return;
  }
  if (!isOffline) {
    isOffline = true;
    showNote(words.offline);
  }
  schedule(RETRY_SECONDS);
}

button.addEventListener("click", () => {
  if (isOn) {
    stop();
    return;
  }
  isOn = true;
  note.textContent = "";
  showButton();
  poll();
});

// --- Earlier and later lines on demand ---

earlier.addEventListener("click", async (event) => {
  event.preventDefault();
  try {
    const answer = await ask({ before: first });
    const anchor = list.firstElementChild;
    const before = anchor?.getBoundingClientRect().top ?? 0;
    list.prepend(fragment(answer.html));
    // The reader's line stays where it was.
    scrollBy(0, (anchor?.getBoundingClientRect().top ?? 0) - before);
    first = answer.first || first;
    earlier.hidden = !answer.has_earlier;
    earlier.href = address({ before: first });
    showRange();
  } catch (error) {
    showNote(error instanceof TypeError ? words.offline : error.message);
  }
});

later.addEventListener("click", async (event) => {
  event.preventDefault();
  try {
    const last = Number(list.lastElementChild?.id.slice(1) ?? 0);
    const answer = await ask({ after: last });
    list.append(fragment(answer.html));
    isFurther = answer.poll_after === 0;
    later.hidden = !isFurther;
    later.href = address({ after: answer.cursor });
    cursor = answer.cursor;
    showRange();
    if (!isFurther) {
      note.textContent = "";
    }
  } catch (error) {
    showNote(error instanceof TypeError ? words.offline : error.message);
  }
});

// --- Permanent links ---

list.addEventListener("click", (event) => {
  const link = event.target.closest(".line-number");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) {
    return;
  }
  event.preventDefault();
  list.querySelector(".is-wanted")?.classList.remove("is-wanted");
  link.parentElement.classList.add("is-wanted");
  history.replaceState(null, "", link.getAttribute("href"));
});

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
    return `${seconds.toFixed(1)} s`;
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

function tickPayloads() {
  const now = Date.now();
  for (const place of list.querySelectorAll("[data-expires-at]")) {
    const left = Date.parse(place.dataset.expiresAt) - now;
    place.textContent = left > 0 ? words.left.replace("%s", spanText(left)) : words.gone;
  }
}

setInterval(tick, 1000);
setInterval(tickPayloads, 30000);

// --- Start ---

addEventListener(
  "scroll",
  () => {
    if (waiting && isAtEnd()) {
      waiting = 0;
      showWaiting();
    }
  },
  { passive: true },
);
waitingButton.addEventListener("click", goToEnd);

// Whoever comes back, to the network or to the tab, need not wait for the next turn.
function catchUp() {
  if (isOn && !document.hidden) {
    poll();
  }
}

addEventListener("online", catchUp);
document.addEventListener("visibilitychange", catchUp);

button.hidden = false;
showButton();
if (log.dataset.line) {
  document.getElementById(`L${log.dataset.line}`)?.scrollIntoView({ block: "center" });
} else if (isOpen) {
  goToEnd();
}
if (isOn) {
  schedule(Number(log.dataset.pollAfter));
}
