// The summary of a service: tells the numbers of a day under the pointer or the arrow keys, and keeps the rows of
// runs that go on up to date.

const frame = document.querySelector(".chart-frame");
const runs = document.getElementById("runs");

/** Shows the numbers of the day `index` beside it; nothing for undefined. */
function showDay(days, value, index) {
  days.forEach((day, number) => day.classList.toggle("is-active", number === index));
  value.hidden = index === undefined;
  if (index === undefined) {
    return;
  }
  value.textContent = days[index].dataset.day;
  const box = days[index].querySelector(".chart-hover-area").getBoundingClientRect();
  const room = frame.getBoundingClientRect();
  const centre = box.left + box.width / 2 - room.left - value.offsetWidth / 2;
  value.style.insetInlineStart = `${Math.max(0, Math.min(centre, room.width - value.offsetWidth))}px`;
}

if (frame) {
  const days = [...frame.querySelectorAll("[data-day]")];
  const value = frame.querySelector(".chart-tooltip");
  let at;
  // Ours take the place of the browser's own tooltips.
  days.forEach((day) => day.querySelector("title").remove());

  const show = (index) => {
    at = index;
    showDay(days, value, index);
  };
  frame.addEventListener("pointermove", (event) => {
    const day = event.target.closest("[data-day]");
    if (day) {
      show(days.indexOf(day));
    }
  });
  frame.addEventListener("pointerleave", () => show(undefined));
  frame.addEventListener("focus", () => show(at ?? days.length - 1));
  frame.addEventListener("blur", () => show(undefined));
  frame.addEventListener("keydown", (event) => {
    const last = days.length - 1;
    const now = at ?? last;
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      show(Math.max(0, Math.min(next, last)));
    }
    if (event.key === "Escape") {
      show(undefined);
    }
  });
}

let timer;

/** Puts the new cells in the place of the old; an open menu, or one that has the focus, is left alone. */
function renew(row, html) {
  const holder = document.createElement("tbody");
  holder.innerHTML = html;
  const fresh = holder.firstElementChild;
  const menu = row.lastElementChild;
  const inUse = menu.contains(document.activeElement) || menu.querySelector(":popover-open");
  if (fresh.dataset.open === undefined && row.dataset.open !== undefined) {
    document.getElementById("live-region").textContent =
      `${row.dataset.run}: ${fresh.querySelector(".badge").textContent.trim()}`;
  }
  [...fresh.children].forEach((cell, index) => {
    const old = row.children[index];
    const isKept = old.contains(document.activeElement) || (old === menu && inUse);
    if (!isKept && old.innerHTML !== cell.innerHTML) {
      old.replaceWith(cell);
    }
  });
  row.toggleAttribute("data-open", fresh.dataset.open !== undefined);
}

async function refresh() {
  const open = [...runs.querySelectorAll("tr[data-open]")];
  if (!open.length || document.hidden) {
    return;
  }
  const url = new URL(runs.dataset.feed, location.href);
  open.forEach((row) => url.searchParams.append("run", row.dataset.run));
  let wait = Number(runs.dataset.pollAfter);
  try {
    const response = await fetch(url, { redirect: "manual" });
    if (response.ok) {
      const answer = await response.json();
      for (const row of open) {
        if (answer.rows[row.dataset.run]) {
          renew(row, answer.rows[row.dataset.run]);
        }
      }
      wait = answer.poll_after;
    } else if (response.type === "opaqueredirect" || response.status === 403 || response.status === 404) {
      // Signed out, or no longer allowed: the next click says so.
      wait = null;
    }
  } catch {
    // No connection: tried again at the next turn.
  }
  plan(wait);
}

function plan(seconds) {
  clearTimeout(timer);
  if (seconds !== null && runs.querySelector("tr[data-open]")) {
    timer = setTimeout(refresh, seconds * 1000);
  }
}

if (runs) {
  plan(Number(runs.dataset.pollAfter));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      plan(0);
    }
  });
}
