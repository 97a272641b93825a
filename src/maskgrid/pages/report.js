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

// When the results were made: the run writes that beside the page last, because the page itself has the same bytes for
// the same results. Without that file, or with that of other results, the page does not say it.
globalThis.maskgrid = {};
maskgrid.run = (fingerprint, { results, network, version }) => {
  if (fingerprint !== document.querySelector("meta[name=maskgrid-fingerprint]").content) return;
  const day = (time) => new Date(time).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
  const say = (id, words) => { const place = document.getElementById(id); if (place) place.textContent = words; };
  say("made", ` · ${day(results)}`);
  const [first, last] = network.map(day);
  say("run", `The network ran ${first === last ? `on ${first}` : `from ${first} to ${last}`}; masks were selected on ${day(results)}, with maskgrid ${version}.`);
};
const run = document.createElement("script");
run.src = "provenance.js";
document.head.append(run);
