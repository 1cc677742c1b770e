// Filters of long lists of checkboxes: checked ones stay visible.

for (const list of document.querySelectorAll(".checkbox-list:has(> input)")) {
  const filter = list.querySelector(":scope > input");
  const labels = [...list.querySelectorAll("label")];
  const update = () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const label of labels) {
      const isShown = label.control.checked || label.textContent.toLowerCase().includes(wanted);
      label.parentElement.hidden = !isShown;
    }
  };
  filter.hidden = false;
  filter.addEventListener("input", update);
  filter.addEventListener("keydown", (event) => {
    // Enter does not submit the form.
    if (event.key === "Enter") {
      event.preventDefault();
    }
  });
}
