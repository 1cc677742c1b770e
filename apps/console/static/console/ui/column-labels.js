// Labels the cells of Django's lists with their column: on a phone a row is a card, without the header.

const labels = [...document.querySelectorAll("#result_list thead th .text")].map((text) => text.textContent.trim());

for (const row of document.querySelectorAll(".stacking #result_list tbody tr")) {
  // The first cell is the heading of the card.
  for (const cell of [...row.cells].slice(1)) {
    if (!cell.matches("th, .field-menu")) {
      cell.dataset.label = labels[cell.cellIndex];
    }
  }
}
