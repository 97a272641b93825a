"use strict";

// What is drawn: the masks that a setting keeps, in their colours, over the picture.

// How much time painting may take of an answer.
const PAINT_MS = 20;
const WHOLE_FRAC = 0.9, GOLDEN = 0.6180339887498949;
const COLOURS = { appeared: [60, 140, 255], vanished: [255, 150, 0], both: [170, 170, 170], found: [40, 200, 90], missed: [255, 40, 90], doubled: [255, 210, 0], other: [150, 150, 150], crowd: [110, 110, 110], object: [40, 200, 90] };
const options = { masks: true, outlines: false, opacity: 45, whole: true, dropped: false, truth: false, solo: null, pins: new Set() };
let current = null, scene = null, selection = null, isAsked = false, painting = null, rasters = [], isLookOld = true;

// ---- scenes

// An image with a group's passes: rows, and what depends on min_mask_region_area.
function sceneOf(image, index, area) {
  const key = `${index} ${area}`, known = image.scenes.get(key);
  if (known) return known;
  const rows = image.scenes.get(index) ?? rowsOf(image.passes, data.groups[index], image.size_hw);
  image.scenes.set(index, rows);
  // Only the last few areas: a slider goes through many.
  const others = [...image.scenes.keys()].filter((name) => typeof name === "string");
  if (others.length > 4) image.scenes.delete(others[0]);
  let made = { rows, index, image };
  if (rows) {
    const shapes = shapesOf(rows, image.regions);
    made = { ...made, shapes, redrawn: area > 0 ? new Redrawn(rows, shapes, area) : null, overlaps: new Overlaps(rows, shapes), shared: new Map() };
  }
  image.scenes.set(key, made);
  return made;
}

function settingOf(chosen, index = data.groups.indexOf(group)) {
  const { mask_thresholds, stability_score_offsets } = data.groups[index].recording;
  return { ...chosen, level: mask_thresholds.indexOf(chosen.mask_threshold), offset: stability_score_offsets.indexOf(chosen.stability_score_offset) };
}

// What a setting keeps of an image, and why not the rest.
function selectIn(at, setting) {
  if (!at.rows) return { kept: [], fate: [], by: [], isKept: new Set(), counts: [], proposed: 0 };
  const found = applyFilters(at.rows, select(at.rows, setting, at.redrawn), setting, at.shapes, at.overlaps);
  return { ...found, isKept: new Set(found.kept) };
}

const keyOf = (at, row) => `${at.rows.layer[row]}-${at.rows.id[row]}`;
const rowAt = (key) => { const found = selection.fate.findIndex?.((fate, row) => fate >= 0 && keyOf(scene, row) === key); return found ?? -1; };

function colourOf(at, row) {
  const hue = ((at.rows.layer[row] * 0.37 + at.rows.id[row] * GOLDEN) % 1) * 6, part = hue % 1;
  const low = 64, up = low + 191 * part, down = 255 - 191 * part;
  return [[255, up, low], [down, 255, low], [low, 255, up], [low, down, 255], [up, low, 255], [255, low, down]][Math.floor(hue)];
}

// ---- what to paint

// The kept masks in sight: solo one, without those of the whole image, and the pinned ones in any case.
function rowsInSight(at, chosen) {
  const isMine = at === scene, most = WHOLE_FRAC * at.image.size_hw[0] * at.image.size_hw[1];
  const isPinned = (row) => isMine && options.pins.has(keyOf(at, row));
  if (isMine && options.solo !== null) return [...selection.fate.keys()].filter((row) => chosen.fate[row] >= 0 && (keyOf(at, row) === options.solo || isPinned(row)));
  const rows = options.masks ? chosen.kept.filter((row) => options.whole || at.shapes.area[row] <= most || isPinned(row)) : [];
  const pinned = isMine ? [...selection.fate.keys()].filter((row) => chosen.fate[row] >= 0 && isPinned(row) && !rows.includes(row)) : [];
  return [...rows, ...pinned];
}

// A pane's masks, largest first, so that a part is not hidden under its whole.
function* itemsOf(number) {
  const { at, chosen, colour } = paneContent(number), opacity = Math.round(2.56 * options.opacity);
  if (at.rows) {
    const { area, ends } = at.shapes;
    for (const row of rowsInSight(at, chosen).sort((a, b) => area[b] - area[a])) {
      const isPinned = at === scene && options.pins.has(keyOf(at, row)), shade = packed(colour(row));
      yield { ends: ends[row], colour: shade, opacity: options.outlines ? 0 : isPinned ? Math.min(256, opacity + 70) : opacity, outline: shade };
    }
  }
  if (options.truth) yield* truthItems(at, chosen);
  if (at === scene && pointedRow >= 0 && at.shapes) yield { ends: at.shapes.ends[pointedRow], colour: WHITE, opacity: 0, outline: WHITE };
}

// Annotated objects as outlines, the missed ones filled too.
function* truthItems(at, chosen) {
  const { taken } = truthOf(at, chosen);
  for (const [place, object] of current.truth.entries()) {
    const isMissed = !object.isCrowd && taken[place] < 0, shade = packed(object.isCrowd ? COLOURS.crowd : isMissed ? COLOURS.missed : COLOURS.found);
    yield { ends: object.ends, colour: shade, opacity: isMissed && !options.outlines ? 70 : 0, outline: shade };
  }
}

const truthOf = (at, chosen) => chosen.truth ??= matchTruth(at.image.truth, chosen.kept, at.rows?.iou, at.shapes?.ends, at.shapes?.area);

// ---- painting

function sceneChanged() {
  isLookOld = true;
  ask();
}

function ask() {
  painting = null;
  askPicture();
}

function askPicture() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => { isAsked = false; draw(); });
}

function look() {
  const all = panes(nPanes());
  context.clearRect(0, 0, canvas.width, canvas.height);
  rasters = all.map((pane, at) => (rasters[at]?.width === pane.width && rasters[at]?.height === pane.height ? rasters[at] : new Raster(pane.width, pane.height)));
  rasters.forEach((raster, at) => { raster.pane = all[at]; raster.look(current, lookInto(all[at])); });
  isLookOld = false;
}

// Of very many masks the picture comes in parts, so that the next answer need not wait for it.
function draw() {
  if (!current || !scene) return;
  const start = performance.now();
  if (isLookOld) look();
  painting ??= paintAll();
  while (!painting.next().done) {
    if (performance.now() - start < PAINT_MS) continue;
    askPicture();
    break;
  }
  for (const raster of rasters) raster.end(context, raster.pane.left, raster.pane.top);
  finish();
}

// What is drawn over the masks.
function finish() {
  if (options.dropped && scene.rows) drawDropped();
  if (isComparing() && compare.chosen) rasters.forEach(({ pane }, number) => drawLetter(isPaneA(number) ? "A" : "B", pane));
}

function drawLetter(letter, { left, top }) {
  const side = Math.round(26 * canvas.width / canvas.getBoundingClientRect().width);
  context.fillStyle = "rgba(0, 0, 0, .7)";
  context.fillRect(left, top, side, side);
  context.fillStyle = "#fff";
  context.font = `bold ${Math.round(side * 0.7)}px sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(letter, left + side / 2, top + side / 2);
}

function* paintAll() {
  for (const raster of rasters) raster.begin();
  for (const [number, raster] of rasters.entries()) {
    for (const { ends, colour, opacity, outline } of itemsOf(number)) {
      raster.paint(ends, colour, opacity, outline);
      yield;
    }
  }
}

// The boxes of candidates that overlap too much, and of those that a filter drops.
function drawDropped() {
  const { pane } = rasters[rasters.length - 1], { scale, x, y } = lookInto(pane);
  context.save();
  context.beginPath();
  context.rect(pane.left, pane.top, pane.width, pane.height);
  context.clip();
  context.lineWidth = Math.max(1, devicePixelRatio);
  context.strokeStyle = "rgba(255, 80, 80, .6)";
  selection.fate.forEach((fate, row) => {
    if (fate < BOX_NMS) return;
    const [x0, y0, x1, y1] = scene.rows.box.subarray(4 * row, 4 * row + 4);
    context.strokeRect(pane.left + (x0 - x) * scale, pane.top + (y0 - y) * scale, (x1 - x0 + 1) * scale, (y1 - y0 + 1) * scale);
  });
  context.restore();
}
