"use strict";

// Pointing at masks: what is kept and dropped at a place, and masks chosen one by one, also by keyboard.

let held = false, pointedRow = -1, pointedAt = null;

// The rows whose masks hold a pixel: kept ones smallest first, dropped ones best first.
function rowsHere({ x, y }) {
  const [height, width] = current.size_hw, column = Math.floor(x), row = Math.floor(y), found = [];
  if (!scene.rows || column < 0 || row < 0 || column >= width || row >= height) return { kept: [], dropped: [] };
  const place = column * height + row, { ends, area } = scene.shapes, { iou } = scene.rows;
  selection.fate.forEach((fate, each) => { if (fate >= 0 && maskHolds(ends[each], place)) found.push(each); });
  return {
    kept: found.filter((each) => selection.isKept.has(each)).sort((a, b) => area[a] - area[b]),
    dropped: found.filter((each) => !selection.isKept.has(each)).sort((a, b) => iou[b] - iou[a]),
  };
}

function showPointed(point) {
  pointedAt = point;
  const { kept, dropped } = point ? rowsHere(point) : { kept: [], dropped: [] };
  pointedRow = kept[0] ?? dropped[0] ?? -1;
  const parts = [];
  if (kept.length) parts.push(listOf(`Kept here: ${kept.length}`, kept.slice(0, 6)));
  if (dropped.length) parts.push(listOf(`Dropped here: ${dropped.length}`, dropped.slice(0, 10)));
  if (!parts.length) parts.push(element("p", { class: "hint" }, point ? "No candidate here at this level." : HINT));
  byId("pointed").replaceChildren(...parts);
  ask();
}

const HINT = "Point at a mask, or touch it, to see its scores and what was dropped there. A click holds it.";

function listOf(title, rows) {
  const box = element("div", {}), list = element("ul", {});
  for (const row of rows) list.append(lineOf(row));
  box.append(element("p", {}, title), list);
  return box;
}

function lineOf(row) {
  const item = element("li", {}), swatch = element("i", { "aria-hidden": "true" }), key = keyOf(scene, row);
  swatch.style.background = `rgb(${colourOf(scene, row)})`;
  item.append(swatch, ` ${describe(row)} `);
  for (const [words, isOn, act] of [["solo", options.solo === key, toggleSolo], ["pin", options.pins.has(key), togglePin]]) {
    const button = element("button", { type: "button", class: "small", "aria-pressed": isOn, "aria-label": `${words} ${nameOf(row)}` }, words);
    button.addEventListener("click", () => act(key));
    item.append(button, " ");
  }
  return item;
}

function toggleSolo(key) {
  options.solo = options.solo === key ? null : key;
  optionsChanged();
}

function togglePin(key) {
  if (!options.pins.delete(key)) options.pins.add(key);
  optionsChanged();
}

function optionsChanged() {
  showOptions();
  if (selection && current) pointedAt ? showPointed(pointedAt) : showChosen();
  ask();
  rememberSoon();
}

// ---- words

function describe(row) {
  const scores = `${nameOf(row)}: predicted IoU ${scene.rows.iou[row].toFixed(3)}, stability ${stabilityOf(row).toFixed(3)}, ${scene.shapes.area[row]} px`;
  const truth = options.truth && current.truth.length && selection.isKept.has(row) ? `, ${TRUTH_WORDS[truthOf(scene, selection).kind.get(row)]}` : "";
  return selection.isKept.has(row) ? scores + truth : `${scores}; ${fateOf(row)}`;
}

const TRUTH_WORDS = { found: "finds an object", doubled: "finds an object again", other: "finds no object", crowd: "in a crowd" };

function fateOf(row) {
  const fate = selection.fate[row], by = selection.by[row];
  if (fate === KEPT) return "kept";
  if (by < 0) return `dropped by ${FATES[fate]}`;
  if (fate >= FIRST_FILTER) return `dropped by ${FATES[fate]}: overlaps ${nameOf(by)}`;
  if (fate === REGIONS) return `dropped by ${FATES[fate]}: redrawn, it is a duplicate of ${nameOf(by)}`;
  return `dropped by ${FATES[fate]}: its box overlaps ${nameOf(by)} by IoU ${boxIou(scene.rows.box, row, by).toFixed(3)}`;
}

const stabilityOf = (row) => scene.rows.stability[offsets.indexOf(values.stability_score_offset)][row];
const nameOf = (row) => (group.passes.length > 1 ? `${group.passes[scene.rows.layer[row]]} #` : "#") + scene.rows.id[row];

// ---- one mask after another, by keyboard

function step(by) {
  if (!selection?.kept.length) return;
  const { area } = scene.shapes, order = [...selection.kept].sort((a, b) => area[b] - area[a]), at = order.indexOf(pointedRow);
  pointedRow = order[at < 0 ? (by > 0 ? 0 : order.length - 1) : (at + by + order.length) % order.length];
  held = true;
  pointedAt = null;
  showChosen();
  say(`Mask ${order.indexOf(pointedRow) + 1} of ${order.length}, ${describe(pointedRow)}`);
}

function showChosen() {
  if (pointedRow >= 0) byId("pointed").replaceChildren(listOf("Chosen", [pointedRow]));
  else byId("pointed").replaceChildren(element("p", { class: "hint" }, HINT));
  ask();
}

const say = (words) => { byId("said").textContent = words; };

function startPointing() {
  canvas.addEventListener("pointermove", (event) => { if (current && scene && !held && !fingers.size) showPointed(paneB(event)); });
  canvas.addEventListener("pointerleave", () => { if (current && scene && !held) showPointed(null); });
  canvas.addEventListener("click", (event) => {
    // The end of a drag is no click.
    if (!current || !scene || dragged > 6) return;
    held = !held || event.pointerType === "touch";
    showPointed(paneB(event));
  });
}

// The point under the pointer. Scores are those of the sliders' setting, in both panes.
const paneB = (event) => pointUnder(event.clientX, event.clientY);

// ---- the table of candidates

function showList() {
  if (!scene?.rows) return void byId("list").querySelector("tbody").replaceChildren();
  const rows = [];
  selection.fate.forEach((fate, row) => { if (fate >= 0) rows.push(row); });
  const order = (row) => (selection.fate[row] === KEPT ? -1 : 0) - scene.rows.iou[row];
  rows.sort((a, b) => order(a) - order(b));
  byId("list").querySelector("tbody").replaceChildren(...rows.slice(0, 300).map((row) => {
    const line = element("tr", { tabindex: 0 });
    const cells = [scene.rows.iou[row].toFixed(3), stabilityOf(row).toFixed(3), scene.shapes.area[row]];
    line.append(element("th", { scope: "row" }, nameOf(row)), ...cells.map((cell) => element("td", { class: "number" }, String(cell))), element("td", {}, fateOf(row)));
    for (const event of ["focus", "pointerenter"]) line.addEventListener(event, () => { pointedRow = row; ask(); });
    return line;
  }));
}
