"use strict";

// Sorts a table by the column whose heading is chosen; once more turns the order around. Without the script the table
// is complete, and in the order of the sweep.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [sortValue(row.cells[column]), row]);
      rows.sort((a, b) => (descending ? compare(b[0], a[0]) : compare(a[0], b[0])));
      body.append(...rows.map((entry) => entry[1]));
    });
  });
}

function sortValue(cell) {
  const number = parseFloat(cell.textContent);
  const isNumber = cell.classList.contains("number") && !Number.isNaN(number);
  return isNumber ? number : cell.textContent;
}

// Numbers go before words, such as the dash of a missing value.
function compare(a, b) {
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
