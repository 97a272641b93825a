"use strict";

// How much time painting may take of an answer.
const PAINT_MS = 20;
// How much of a pixel a mask hides, of 256; white, as pixels are packed: opaque, blue, green, red.
const OPACITY = 115, WHITE = 0xffffffff, GOLDEN = 0.6180339887498949;
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (name) => document.getElementById(name);
const canvas = byId("canvas"), context = canvas.getContext("2d");
const values = { ...data.baseline };
const inputs = new Map();
let group = null, levels = [], offsets = [];
let image = null, selection = null, held = false, pointedRow = -1, isAsked = false, painting = null;

// ---- controls

// The group of passes, with sliders over what was recorded of them.
function chooseGroup(index) {
  group = data.groups[index];
  ({ mask_thresholds: levels, stability_score_offsets: offsets } = group.recording);
  byId("sliders").replaceChildren();
  inputs.clear();
  charts.clear();
  makeControls();
  byId("sliders").append(element("h2", {}, "Filters after the generator"));
  makeFilterControls();
  for (const [name, options] of choices()) if (!options.includes(values[name])) values[name] = options[0];
  for (const name of ["pred_iou_thresh", "stability_score_thresh"]) values[name] = Math.max(values[name], group.recording[name]);
  for (const [name, set] of inputs) set(values[name]);
  byId("note").textContent = `Checkpoint ${group.checkpoint}, passes ${group.passes.join(", ")}; all else as in the setting ${data.label}.` +
    (data.n_groups_left_out > 0 ? ` ${data.n_groups_left_out} more choices of the network's passes are not shown.` : "") +
    " min_mask_region_area can be set to the sweep's values only: each needs the masks drawn anew.";
}

const choices = () => [["mask_threshold", levels], ["stability_score_offset", offsets], ["min_mask_region_area", [0, ...group.region_areas]]];
const pixelsMax = () => Math.max(1, ...data.images.map((one) => one.size_hw[0] * one.size_hw[1]));

// The filters' sliders: key, least and most value, step. At the end that FILTER_ENDS names a filter is off.
const filterSliders = () => [
  ["min_area_px", 0, Math.ceil(pixelsMax() / 20), 1], ["max_area_px", 0, pixelsMax(), 1], ["min_area_frac", 0, 1, 0.001], ["max_area_frac", 0, 1, 0.001],
  ["border", -1, 50, 1], ["min_fill_frac", 0, 1, 0.01], ["max_aspect_ratio", 1, 20, 0.1],
  ["mask_nms_thresh", data.floors.mask_nms_thresh, 1, 0.01], ["max_containment_frac", data.floors.max_containment_frac, 1, 0.01], ["max_masks", 0, 500, 1],
];
const FILTER_ENDS = { border: "min", max_area_px: "max", max_aspect_ratio: "max", max_masks: "max" };
const filterChoices = () => [
  ["containment_keeps", ["larger", "smaller"]],
  ...(data.regions.length ? [["region", [null, ...data.regions]], ["min_region_frac", [null, ...data.region_fracs]]] : []),
];

function makeControls() {
  const sliders = [["pred_iou_thresh", group.recording.pred_iou_thresh], ["stability_score_thresh", group.recording.stability_score_thresh], ["box_nms_thresh", 0]];
  if (group.passes.length > 1 || group.region_areas.length) sliders.push(["crop_nms_thresh", 0]);
  for (const [name, low] of sliders) {
    const range = element("input", { type: "range", id: name, min: low, max: 1, step: 0.01, "aria-label": name });
    const number = element("input", { type: "number", min: low, max: 1, step: "any", "aria-label": `${name}, exact value` });
    range.addEventListener("input", () => change(name, range.valueAsNumber));
    number.addEventListener("change", () => { if (number.checkValidity() && number.value !== "") change(name, number.valueAsNumber); });
    control(name, low > 0 ? `${name} (recorded from ${low})` : name, range, number, chartOf(name, low, 1));
    inputs.set(name, (value) => { range.value = value; if (document.activeElement !== number) number.value = value; markChart(name, value); });
  }
  for (const [name, options] of choices()) {
    const choice = element("select", { id: name });
    for (const value of options) choice.append(element("option", { value }, String(value)));
    choice.disabled = options.length < 2;
    choice.addEventListener("change", () => change(name, Number(choice.value)));
    control(name, options.length < 2 ? `${name} (one value recorded)` : name, choice);
    inputs.set(name, (value) => { choice.value = String(value); });
  }
}

function makeFilterControls() {
  for (const [name, low, high, step] of filterSliders()) {
    const end = FILTER_ENDS[name] && (FILTER_ENDS[name] === "min" ? low : high);
    const range = element("input", { type: "range", id: name, min: low, max: high, step, "aria-label": name });
    const number = element("input", { type: "number", min: name === "border" ? 0 : low, step: "any", placeholder: "off", "aria-label": `${name}, exact value` });
    range.addEventListener("input", () => change(name, range.valueAsNumber === end ? null : range.valueAsNumber));
    number.addEventListener("change", () => {
      if (number.value === "" && end !== undefined) change(name, null);
      else if (number.checkValidity() && number.value !== "") change(name, number.valueAsNumber);
    });
    control(name, low > 0 && end === undefined ? `${name} (from ${low})` : name, range, number, chartOf(name, low, high, end));
    inputs.set(name, (value) => { range.value = value ?? end; if (document.activeElement !== number) number.value = value ?? ""; markChart(name, value); });
  }
  for (const [name, options] of filterChoices()) {
    const choice = element("select", { id: name });
    options.forEach((value, at) => choice.append(element("option", { value: at }, value === null ? (name === "region" ? "off" : "the prompt's point") : String(value))));
    choice.addEventListener("change", () => change(name, options[Number(choice.value)]));
    control(name, name, choice);
    inputs.set(name, (value) => { choice.value = String(Math.max(0, options.indexOf(value))); });
  }
}

function control(name, label, ...parts) {
  const box = element("div", { class: "control" });
  box.append(element("label", { for: name }, label), ...parts);
  byId("sliders").append(box);
}

function element(tag, attributes, content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (content !== undefined) made.textContent = content;
  return made;
}

function change(name, value) {
  values[name] = value;
  inputs.get(name)(value);
  if (name === "min_mask_region_area") redraw();
  update();
}

// ---- the image

function loadImage(index) {
  const source = layersOf(data.images[index], group);
  const [height, width] = data.images[index].shown_hw;
  // A pass that failed on this image: nothing of it can be shown.
  const rows = source && prepareImage(source, levels.length);
  image = { source: source ?? data.images[index], rows, height, width, stamp: new Int32Array(height * width), pixels: null };
  const current = image, picture = new Image();
  [canvas.width, canvas.height] = [width, height];
  picture.onload = () => {
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(picture, 0, 0, width, height);
    current.shown = copy.getImageData(0, 0, width, height);
    current.pixels = transposed(new Uint32Array(current.shown.data.buffer), width, height, new Uint32Array(height * width));
    current.drawn = new Uint32Array(height * width);
    if (image === current) ask();
  };
  picture.src = image.source.pixels;
  [held, pointedRow] = [false, -1];
  byId("pointed").replaceChildren();
  redraw();
  update();
}

// The masks that min_mask_region_area changes; what is remembered of others' outlines is forgotten with them.
function redraw() {
  const area = values.min_mask_region_area;
  image.redrawn = area > 0 && image.rows ? redrawnAt(image.source, area) : null;
  if (image.rows) {
    image.shapes = shapesOf(image.rows, image.redrawn);
    image.pairs = preparePairs(image.source.pairs[group.keys.join(" ")]?.[area], image.shapes.area);
  }
  image.shared = new Map();
  image.ends = new Map();
  image.outlines = new Map();
  image.stamp.fill(0);
  rememberAll(image, [...(image.rows?.id.keys() ?? [])].sort((a, b) => image.rows.iou[a] - image.rows.iou[b]));
}

// Outlines are found while nobody waits, so that a slider's first way is as quick as its second.
function rememberAll(current, rows) {
  if (!window.requestIdleCallback || !rows.length) return;
  requestIdleCallback((idle) => {
    while (rows.length && idle.timeRemaining() > 5 && image === current) {
      const row = rows.pop();
      if (codeOf(row)) outlineOf(row);
    }
    if (image === current) rememberAll(current, rows);
  });
}

const codeOf = (row) => image.redrawn?.get(row)?.counts ?? image.rows.counts[row];
const areaOf = (row) => image.redrawn?.get(row)?.area ?? image.rows.area[row];
const remembered = (map, row, make) => map.get(row) ?? map.set(row, make()).get(row);
const endsOf = (row) => remembered(image.ends, row, () => maskEnds(codeOf(row)));
const outlineOf = (row) => remembered(image.outlines, row, () => maskOutline(endsOf(row), image.height, image.stamp, row + 1));

// ---- selection

function settingOf(chosen) {
  return { ...chosen, level: levels.indexOf(chosen.mask_threshold), offset: offsets.indexOf(chosen.stability_score_offset) };
}

function update() {
  byId("config").textContent = configLines();
  askCurves();
  if (!image.rows) return showNothing();
  selection = selectAll(settingOf(values));
  selection.isKept = new Set(selection.kept);
  const isLeftOut = values.min_mask_region_area > 0 && !image.redrawn;
  byId("count").textContent = (selection.kept.length === 1 ? "1 mask" : `${selection.kept.length} masks`) + (isLeftOut ? ", small regions kept" : "");
  byId("regions-note").hidden = !isLeftOut;
  showDrops();
  if (byId("list").open) showList();
  if (pointedRow >= 0 || held) showPointed(image.place);
  ask();
}

const selectAll = (setting) => applyFilters(image.rows, select(image.rows, setting, image.redrawn), setting, image.shapes, image.pairs);

function showNothing() {
  selection = { kept: [], fate: [], by: [], isKept: new Set() };
  byId("count").textContent = "No results of these passes for this image";
  byId("drops").tBodies[0].replaceChildren();
  if (byId("list").open) showList();
  ask();
}

function showDrops() {
  const lines = [["proposed", selection.proposed]];
  for (const fate of [IOU, STABILITY, EDGE, BOX_NMS, CROP_NMS, REGIONS]) {
    if (fate === REGIONS ? image.redrawn : group.passes.length > 1 || (fate !== EDGE && fate !== CROP_NMS)) lines.push([`dropped by ${FATES[fate]}`, -selection.counts[fate]]);
  }
  FILTER_KEYS.forEach((key, at) => { if (isOn(values, key)) lines.push([isAnswered(key) ? `dropped by ${key}` : `${key}: ${image.pairs ? `in this image from ${image.pairs.floors[key]}` : "not in this image"}, since too many masks overlap`, -selection.counts[FIRST_FILTER + at]]); });
  lines.push(["kept", selection.counts[KEPT]]);
  byId("drops").tBodies[0].replaceChildren(...lines.map(([name, n]) => {
    const row = element("tr", {});
    row.append(element("th", { scope: "row" }, name), element("td", {}, String(n)));
    return row;
  }));
}

const isAnswered = (key) => !["mask_nms_thresh", "max_containment_frac"].includes(key) || reaches(image.pairs, key, values[key]);

// The filters that are on, as lines of the config.
function filterLines() {
  const names = FILTER_KEYS.filter((key) => isOn(values, key));
  if (names.includes("max_containment_frac") && values.containment_keeps !== "larger") names.push("containment_keeps");
  if (names.includes("region") && values.min_region_frac !== null) names.push("min_region_frac");
  return names.length ? ["filters:", ...names.map((name) => `  ${name}: ${JSON.stringify(values[name])}`)] : [];
}

function configLines() {
  const names = ["pred_iou_thresh", "stability_score_thresh", "stability_score_offset", "mask_threshold", "box_nms_thresh", "crop_nms_thresh"];
  const number = (value) => (Number.isInteger(value) ? value.toFixed(1) : value);
  return [
    ...(group.is_other_checkpoint ? ["model:", `  checkpoint: ${JSON.stringify(group.checkpoint)}`] : []),
    "generator:",
    ...Object.entries(group.generator).map(([name, value]) => `  ${name}: ${JSON.stringify(value)}`),
    ...names.map((name) => `  ${name}: ${number(values[name])}`),
    ...(values.min_mask_region_area > 0 ? [`  min_mask_region_area: ${values.min_mask_region_area}`] : []),
    ...filterLines(),
  ].join("\n");
}

// ---- drawing

function ask() {
  painting = null;
  askPicture();
}

function askPicture() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => { isAsked = false; draw(); });
}

// Of very many masks the picture comes in parts, so that the next answer need not wait for it.
function draw() {
  if (!image.pixels) return;
  const { height, width, drawn, shown } = image, start = performance.now();
  painting ??= paintAll();
  while (!painting.next().done) {
    if (performance.now() - start < PAINT_MS) continue;
    askPicture();
    break;
  }
  transposed(drawn, height, width, new Uint32Array(shown.data.buffer));
  context.putImageData(shown, 0, 0);
  if (byId("show-dropped").checked) drawDropped();
}

function* paintAll() {
  const { pixels, drawn } = image;
  drawn.set(pixels);
  if (byId("show-masks").checked) {
    // Largest first, so that a part is not hidden under its whole.
    for (const row of [...selection.kept].sort((a, b) => areaOf(b) - areaOf(a))) {
      const colour = packed(colourOf(row));
      paint(drawn, row, colour);
      paintOutline(drawn, row, colour);
      yield;
    }
  }
  if (pointedRow >= 0 && codeOf(pointedRow)) paintOutline(drawn, pointedRow, WHITE);
}

// Pixels lie column by column here, as masks do, so that a run of a mask is a stretch of the array; red and blue are
// mixed in one multiplication.
function paint(pixels, row, colour) {
  const ends = endsOf(row), rest = 256 - OPACITY;
  const redBlue = (colour & 0xff00ff) * OPACITY | 0, green = (colour & 0xff00) * OPACITY;
  for (let run = 0; run < ends.length; run += 2) {
    for (let place = ends[run], end = ends[run + 1]; place < end; place++) {
      const old = pixels[place];
      pixels[place] = 0xff000000 | ((Math.imul(old & 0xff00ff, rest) + redBlue | 0) >>> 8 & 0xff00ff) |
        ((old & 0xff00) * rest + green >>> 8 & 0xff00);
    }
  }
}

function paintOutline(pixels, row, colour) {
  for (const place of outlineOf(row)) pixels[place] = colour;
}

// Pixels from rows after rows to columns after columns; and back with width and height exchanged.
function transposed(pixels, width, height, target) {
  for (let y = 0, from = 0; y < height; y++) for (let x = 0, at = y; x < width; x++, at += height) target[at] = pixels[from++];
  return target;
}

const packed = ([red, green, blue]) => 0xff000000 | (blue << 16) | (green << 8) | red;

function drawDropped() {
  const scale = image.width / image.source.size_hw[1];
  context.lineWidth = 1;
  context.strokeStyle = "rgba(255, 80, 80, .6)";
  selection.fate.forEach((fate, row) => {
    if (fate < BOX_NMS) return;
    const [x0, y0, x1, y1] = image.rows.box.subarray(4 * row, 4 * row + 4);
    context.strokeRect(x0 * scale + 0.5, y0 * scale + 0.5, (x1 - x0) * scale, (y1 - y0) * scale);
  });
}

function colourOf(row) {
  const hue = ((image.rows.layer[row] * 0.37 + image.rows.id[row] * GOLDEN) % 1) * 6, part = hue % 1;
  const low = 64, up = low + 191 * part, down = 255 - 191 * part;
  return [[255, up, low], [down, 255, low], [low, 255, up], [low, down, 255], [up, low, 255], [255, low, down]][Math.floor(hue)];
}

// ---- pointing

function placeOf(event) {
  const box = canvas.getBoundingClientRect();
  // object-fit: contain leaves room beside the picture.
  const scale = Math.min(box.width / image.width, box.height / image.height);
  const margin = getComputedStyle(canvas).objectPosition.startsWith("50%") ? (box.width - scale * image.width) / 2 : 0;
  const x = Math.floor((event.clientX - box.left - margin) / scale), y = Math.floor((event.clientY - box.top) / scale);
  return x < 0 || y < 0 || x >= image.width || y >= image.height ? -1 : x * image.height + y;
}

function rowsAt(place) {
  const found = [];
  selection.fate.forEach((fate, row) => {
    if (fate >= 0 && codeOf(row) && maskHolds(endsOf(row), place)) found.push(row);
  });
  const { iou } = image.rows ?? {};
  const kept = found.filter((row) => selection.isKept.has(row)).sort((a, b) => areaOf(a) - areaOf(b));
  const dropped = found.filter((row) => !selection.isKept.has(row)).sort((a, b) => iou[b] - iou[a]);
  return { kept, dropped };
}

function showPointed(place) {
  image.place = place;
  const found = place < 0 ? { kept: [], dropped: [] } : rowsAt(place);
  pointedRow = found.kept[0] ?? found.dropped[0] ?? -1;
  const parts = [];
  if (found.kept.length) parts.push(listOf(`Kept here: ${found.kept.length}`, found.kept.slice(0, 4)));
  if (found.dropped.length) parts.push(listOf(`Dropped here: ${found.dropped.length}`, found.dropped.slice(0, 5)));
  if (place >= 0 && !parts.length) parts.push(element("p", {}, "No candidate here at this level."));
  byId("pointed").replaceChildren(...parts);
  ask();
}

function listOf(title, rows) {
  const box = element("div", {}), list = element("ul", {});
  for (const row of rows) {
    const item = element("li", {}), swatch = element("i", { "aria-hidden": "true" });
    swatch.style.background = `rgb(${colourOf(row)})`;
    item.append(swatch, ` ${describe(row)}`);
    list.append(item);
  }
  box.append(element("p", {}, title), list);
  return box;
}

function describe(row) {
  const { iou } = image.rows;
  const scores = `${nameOf(row)}: predicted IoU ${iou[row].toFixed(3)}, stability ${stabilityOf(row).toFixed(3)}, ${areaOf(row)} px`;
  return selection.isKept.has(row) ? scores : `${scores}; ${fateOf(row)}`;
}

function fateOf(row) {
  const fate = selection.fate[row], by = selection.by[row];
  if (fate === KEPT) return "kept";
  if (by < 0) return `dropped by ${FATES[fate]}`;
  if (fate >= FIRST_FILTER) return `dropped by ${FATES[fate]}: overlaps ${nameOf(by)}`;
  if (fate === REGIONS) return `dropped by ${FATES[fate]}: redrawn, it is a duplicate of ${nameOf(by)}`;
  return `dropped by ${FATES[fate]}: its box overlaps ${nameOf(by)} by IoU ${boxIou(image.rows.box, row, by).toFixed(3)}`;
}

const stabilityOf = (row) => image.rows.stability[offsets.indexOf(values.stability_score_offset)][row];
const nameOf = (row) => (group.passes.length > 1 ? `${group.passes[image.rows.layer[row]]} #` : "#") + image.rows.id[row];

// ---- the table of candidates

function showList() {
  const rows = [];
  selection.fate.forEach((fate, row) => { if (fate >= 0) rows.push(row); });
  const order = (row) => (selection.fate[row] === KEPT ? -1 : 0) - image.rows.iou[row];
  rows.sort((a, b) => order(a) - order(b));
  byId("list").querySelector("tbody").replaceChildren(...rows.slice(0, 300).map((row) => {
    const line = element("tr", { tabindex: 0 });
    const cells = [image.rows.iou[row].toFixed(3), stabilityOf(row).toFixed(3), areaOf(row)];
    line.append(element("th", { scope: "row" }, nameOf(row)), ...cells.map((cell) => element("td", { class: "number" }, String(cell))), element("td", {}, fateOf(row)));
    for (const event of ["focus", "pointerenter"]) line.addEventListener(event, () => { pointedRow = row; ask(); });
    return line;
  }));
}

// ---- start

function start() {
  data.groups.forEach((each, index) => byId("group").append(element("option", { value: index }, each.title)));
  byId("group-label").hidden = data.groups.length < 2;
  chooseGroup(0);
  byId("group").addEventListener("change", (event) => { chooseGroup(Number(event.target.value)); loadImage(byId("image").selectedIndex); });
  data.images.forEach((source, index) => byId("image").append(element("option", { value: index }, source.key)));
  byId("image").addEventListener("change", (event) => loadImage(Number(event.target.value)));
  for (const name of ["show-masks", "show-dropped"]) byId(name).addEventListener("change", ask);
  byId("reset").addEventListener("click", reset);
  byId("copy").addEventListener("click", copyConfig);
  byId("list").addEventListener("toggle", () => { if (byId("list").open) showList(); });
  canvas.addEventListener("pointermove", (event) => { if (!held) showPointed(placeOf(event)); });
  canvas.addEventListener("pointerleave", () => { if (!held) showPointed(-1); });
  canvas.addEventListener("click", (event) => { held = !held; showPointed(placeOf(event)); });
  byId("sliders").addEventListener("submit", (event) => event.preventDefault());
  if (data.images.length) loadImage(0);
  else byId("count").textContent = "No image to show";
}

function reset() {
  Object.assign(values, data.baseline);
  byId("group").value = 0;
  chooseGroup(0);
  if (data.images.length) loadImage(byId("image").selectedIndex);
}

async function copyConfig() {
  const range = document.createRange();
  range.selectNodeContents(byId("config"));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  // Without leave to write to the clipboard the lines are selected, ready for the keyboard.
  const isCopied = await navigator.clipboard?.writeText(byId("config").textContent).then(() => true, () => false);
  byId("copied").textContent = isCopied ? "Copied" : "Selected: press Ctrl+C";
}

start();
