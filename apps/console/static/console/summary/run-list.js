// Refreshes the rows of open runs until they end.

import { announce } from "../ui/live-region.js";
import { showTabState } from "../ui/tab.js";

// Interval in a hidden tab, of which only title and icon are seen.
const HIDDEN_SECONDS = 60;

const list = document.getElementById("runs");
let timer;

/** Replaces the changed cells of a row, except an open menu and a cell that has the focus. */
function updateRow(row, html) {
  const body = document.createElement("tbody");
  body.innerHTML = html;
  const newRow = body.firstElementChild;
  const menu = row.lastElementChild;
  const isMenuInUse = menu.contains(document.activeElement) || menu.querySelector(":popover-open");
  if (newRow.dataset.open === undefined && row.dataset.open !== undefined) {
    announce(`${row.dataset.run}: ${newRow.querySelector(".badge").textContent.trim()}`);
  }
  [...newRow.children].forEach((newCell, index) => {
    const cell = row.children[index];
    const isInUse = cell.contains(document.activeElement) || (cell === menu && isMenuInUse);
    if (!isInUse && cell.innerHTML !== newCell.innerHTML) {
      Object.assign(newCell.dataset, cell.dataset);
      cell.replaceWith(newCell);
    }
  });
  row.toggleAttribute("data-open", newRow.dataset.open !== undefined);
}

function feedUrl(rows) {
  const url = new URL(list.dataset.feed, location.href);
  rows.forEach((row) => url.searchParams.append("run", row.dataset.run));
  return url;
}

async function refresh() {
  const rows = [...list.querySelectorAll("tr[data-open]")];
  if (!rows.length) {
    return;
  }
  let pollAfter = Number(list.dataset.pollAfter);
  try {
    const response = await fetch(feedUrl(rows), { redirect: "manual" });
    if (response.ok) {
      const feed = await response.json();
      for (const row of rows.filter(({ dataset }) => feed.rows[dataset.run])) {
        updateRow(row, feed.rows[row.dataset.run]);
      }
      pollAfter = feed.poll_after;
      if (feed.tab) {
        showTabState(feed.tab);
      }
    } else if (response.type === "opaqueredirect" || [403, 404].includes(response.status)) {
      // Logged out, or no longer allowed: the next click says so.
      pollAfter = null;
    }
  } catch {
    // Without a connection, the next poll is the retry.
  }
  schedule(pollAfter);
}

function schedule(seconds) {
  clearTimeout(timer);
  if (seconds !== null && list.querySelector("tr[data-open]")) {
    timer = setTimeout(refresh, (document.hidden ? HIDDEN_SECONDS : seconds) * 1000);
  }
}

schedule(Number(list.dataset.pollAfter));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    schedule(0);
  }
});
