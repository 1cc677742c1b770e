// Tooltip of the chart: shows the numbers of a day for the pointer and the arrow keys.

const frame = document.querySelector(".chart-frame");
const tooltip = frame.querySelector(".chart-tooltip");
const days = [...frame.querySelectorAll("[data-day]")];
let current;

/** Shows the numbers of the day at `index` beside it; hides the tooltip for undefined. */
function showDay(index) {
  current = index;
  days.forEach((day, number) => day.classList.toggle("is-active", number === index));
  tooltip.hidden = index === undefined;
  if (index === undefined) {
    return;
  }
  tooltip.textContent = days[index].dataset.day;
  const area = days[index].querySelector(".chart-hover-area").getBoundingClientRect();
  const bounds = frame.getBoundingClientRect();
  const left = area.left + area.width / 2 - bounds.left - tooltip.offsetWidth / 2;
  tooltip.style.insetInlineStart = `${Math.max(0, Math.min(left, bounds.width - tooltip.offsetWidth))}px`;
}

function moveByKey(event) {
  const last = days.length - 1;
  const index = current ?? last;
  const next = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: last }[event.key];
  if (next !== undefined) {
    event.preventDefault();
    showDay(Math.max(0, Math.min(next, last)));
  }
  if (event.key === "Escape") {
    showDay(undefined);
  }
}

// The browser would show its own tooltip beside ours.
days.forEach((day) => day.querySelector("title").remove());
frame.addEventListener("pointermove", (event) => {
  const day = event.target.closest("[data-day]");
  if (day) {
    showDay(days.indexOf(day));
  }
});
frame.addEventListener("pointerleave", () => showDay(undefined));
frame.addEventListener("focus", () => showDay(current ?? days.length - 1));
frame.addEventListener("blur", () => showDay(undefined));
frame.addEventListener("keydown", moveByKey);
