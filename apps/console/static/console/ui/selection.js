// Selected rows of a list: their number, and a checkbox for all of the page.

const all = document.getElementById("select-all");
const { form } = all;
const count = document.getElementById("selected-count");
const hint = count.textContent;
const boxes = [...form.querySelectorAll(".select-cell input[name]")];

function update() {
  const { length } = boxes.filter((box) => box.checked);
  all.checked = length === boxes.length;
  all.indeterminate = length > 0 && !all.checked;
  if (length) {
    count.textContent = length === 1 ? count.dataset.one : count.dataset.many.replace("{count}", length);
  } else {
    count.textContent = hint;
  }
}

all.hidden = false;
all.addEventListener("change", () => {
  for (const box of boxes) {
    box.checked = all.checked;
  }
  update();
});
form.addEventListener("change", update);
// The browser restores the boxes of a page to which a person returns.
window.addEventListener("pageshow", update);
