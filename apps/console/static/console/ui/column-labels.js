// Labels the cells of lists with their column: on a phone a row is a card, without the header.

for (const table of document.querySelectorAll(".stacking table")) {
  const labels = [...table.tHead.rows[0].cells].map((cell) =>
    (cell.querySelector(".text") ?? cell).textContent.trim(),
  );
  for (const row of table.tBodies[0].rows) {
    // The first cell is the heading of the card.
    for (const cell of [...row.cells].slice(1)) {
      if (!cell.matches("th, .field-menu, .menu-cell")) {
        cell.dataset.label = labels[cell.cellIndex];
      }
    }
  }
}
