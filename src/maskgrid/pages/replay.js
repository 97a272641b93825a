"use strict";

// The replay: which candidates sam2's generator keeps at a setting. The same steps as maskgrid.replay, in the same
// arithmetic: scores, boxes and their overlaps are float32, as in torch and torchvision.

const FATES = ["kept", "pred_iou_thresh", "stability_score_thresh", "edge of a crop", "box_nms_thresh", "crop_nms_thresh", "min_mask_region_area"];
const KEPT = 0, IOU = 1, STABILITY = 2, EDGE = 3, BOX_NMS = 4, CROP_NMS = 5, REGIONS = 6;

// An image's passes as the layers of a group: the levels and offsets that all of them have recorded. Null where the
// image has not all of the passes.
function layersOf(image, group) {
  if (!group.keys.every((name) => name in image.passes)) return null;
  const { mask_thresholds: levels, stability_score_offsets: offsets } = group.recording;
  const layers = group.keys.map((name) => {
    const pass = image.passes[name], own = pass.recording;
    const rows = [...pass.id.keys()].filter((row) => levels.includes(own.mask_thresholds[pass.level[row]]));
    const pick = (column, width = 1) => rows.flatMap((row) => column.slice(width * row, width * row + width));
    const layer = { dtype: pass.dtype, proposed: pass.proposed, crops: pass.crops, box: pick(pass.box, 4), point: pick(pass.point, 2) };
    for (const column of ["id", "crop", "iou", "edge", "area", "counts"]) layer[column] = pick(pass[column]);
    layer.level = rows.map((row) => levels.indexOf(own.mask_thresholds[pass.level[row]]));
    layer.stability = offsets.map((offset) => pick(pass.stability[own.stability_score_offsets.indexOf(offset)]));
    const places = new Map(rows.map((row, at) => [row, at]));
    for (const column of ["region_point", "region_px"]) {
      layer[column] = Object.fromEntries(Object.entries(pass[column]).map(([name, all]) => [name, pick(all)]));
    }
    layer.regions = Object.fromEntries(Object.entries(pass.regions).map(([area, found]) => [area, found && regionsAt(found, places)]));
    return layer;
  });
  return { ...image, layers };
}

// Redrawn masks by the place of their row.
function regionsAt(found, places) {
  const regions = new Map();
  found.row.forEach((row, at) => {
    if (!places.has(row)) return;
    const regionPx = Object.fromEntries(Object.entries(found.region_px).map(([name, px]) => [name, px[at]]));
    regions.set(places.get(row), { box: found.box[at], area: found.area[at], counts: found.counts[at], regionPx });
  });
  return regions;
}

// The masks that min_mask_region_area redraws, by row of all layers; null where they are not known.
function redrawnAt(image, area) {
  const redrawn = new Map();
  let first = 0;
  for (const layer of image.layers) {
    const regions = layer.regions[area];
    if (!regions) return null;
    for (const [row, region] of regions) redrawn.set(first + row, region);
    first += layer.id.length;
  }
  return redrawn;
}

// Columns of all layers one after another, and rows by level and crop.
function prepareImage(image, nLevels) {
  const rows = { layer: [], id: [], crop: [], level: [], edge: [], area: [], counts: [] };
  const iou = [], box = [], point = [], stability = image.layers[0].stability.map(() => []);
  image.layers.forEach((layer, index) => {
    for (const name of ["id", "crop", "level", "edge", "area", "counts"]) for (const value of layer[name]) rows[name].push(value);
    for (const value of layer.id) rows.layer.push(index);
    for (const value of layer.iou) iou.push(value);
    for (const value of layer.box) box.push(value);
    for (const value of layer.point) point.push(value);
    layer.stability.forEach((scores, offset) => { for (const value of scores) stability[offset].push(value); });
  });
  const prepared = {
    ...rows,
    dtype: image.layers[0].dtype,
    iou: Float32Array.from(iou),
    stability: stability.map((scores) => Float32Array.from(scores)),
    box: Float32Array.from(box),
    point,
    proposed: image.layers.map((layer) => Float32Array.from(layer.proposed)),
  };
  prepared.size_hw = image.size_hw;
  const joined = (column) => Object.fromEntries(Object.keys(image.layers[0][column]).map((name) => [name, image.layers.flatMap((layer) => layer[column][name])]));
  [prepared.regionPoint, prepared.regionPx] = [joined("region_point"), joined("region_px")];
  prepared.crops = Array.from({ length: nLevels }, (_, level) => cropsOf(image, prepared, level));
  return prepared;
}

function cropsOf(image, rows, level) {
  const crops = [];
  image.layers.forEach((layer, index) => layer.crops.forEach((edges, crop) => {
    const [x0, y0, x1, y1] = edges;
    crops.push({ layer: index, crop, score: Math.fround(1 / Math.fround((x1 - x0) * (y1 - y0))), rows: [] });
  }));
  const place = new Map(crops.map((crop, at) => [crop.layer * 65536 + crop.crop, at]));
  rows.id.forEach((_, row) => {
    if (rows.level[row] === level) crops[place.get(rows.layer[row] * 65536 + rows.crop[row])].rows.push(row);
  });
  return crops;
}

// A threshold as torch compares it with scores: the nearest number of their type; of two, the one whose last bit is 0.
// It becomes a float32 first.
function inDtype(number, dtype) {
  const value = Math.fround(number);
  if (dtype === "float32" || value === 0) return value;
  const [digits, least] = { bfloat16: [8, -126], float16: [11, -14] }[dtype];
  const step = 2 ** (Math.max(least, Math.floor(Math.log2(Math.abs(value)))) - digits + 1);
  const below = Math.floor(value / step), rest = value / step - below;
  return step * (below + (rest > 0.5 || (rest === 0.5 && below % 2 !== 0)));
}

// The rows kept, in order; for each row of the level its fate, and the row that suppressed it (-1 for none). Masks that
// min_mask_region_area redraws are given as a map by row; null leaves that step out.
function select(rows, setting, redrawn = null) {
  const fate = new Int8Array(rows.id.length).fill(-1);
  const by = new Int32Array(rows.id.length).fill(-1);
  const stability = rows.stability[setting.offset];
  const iouLimit = inDtype(setting.pred_iou_thresh, rows.dtype), stabilityLimit = Math.fround(setting.stability_score_thresh);
  const counts = new Array(FATES.length).fill(0);
  let proposed = 0, aboveIou = 0;
  for (const scores of rows.proposed) {
    proposed += scores.length;
    for (const score of scores) if (setting.pred_iou_thresh <= 0 || score > iouLimit) aboveIou++;
  }
  let unique = [], cropScores = [], stable = 0;
  for (const crop of rows.crops[setting.level]) {
    const inner = [];
    for (const row of crop.rows) {
      if (setting.pred_iou_thresh > 0 && !(rows.iou[row] > iouLimit)) fate[row] = IOU;
      else if (setting.stability_score_thresh > 0 && !(stability[row] >= stabilityLimit)) fate[row] = STABILITY;
      else {
        stable++;
        fate[row] = rows.edge[row] ? EDGE : KEPT;
        if (rows.edge[row]) counts[EDGE]++;
        else inner.push(row);
      }
    }
    const scores = inner.map((row) => rows.iou[row]);
    for (const row of suppress(rows.box, inner, scores, setting.box_nms_thresh, fate, by, BOX_NMS)) {
      unique.push(row);
      cropScores.push(crop.score);
    }
    counts[BOX_NMS] += inner.length;
  }
  counts[BOX_NMS] -= unique.length;
  const isCropped = rows.crops[setting.level].length > 1;
  const crossed = isCropped ? suppress(rows.box, unique, cropScores, setting.crop_nms_thresh, fate, by, CROP_NMS) : unique;
  const kept = redrawn ? withoutRegions(rows, crossed, setting, redrawn, fate, by) : crossed;
  counts[KEPT] = kept.length;
  counts[REGIONS] = crossed.length - kept.length;
  counts[IOU] = proposed - aboveIou;
  counts[STABILITY] = aboveIou - stable;
  counts[CROP_NMS] = unique.length - crossed.length;
  return { kept, fate, by, proposed, counts };
}

// Masks redrawn without small regions can be duplicates of each other; those that needed no redrawing go first.
function withoutRegions(rows, kept, setting, redrawn, fate, by) {
  const box = rows.box.slice();
  for (const row of kept) if (redrawn.has(row)) box.set(redrawn.get(row).box, 4 * row);
  const scores = kept.map((row) => (redrawn.has(row) ? 0 : 1));
  return suppress(box, kept, scores, Math.max(setting.box_nms_thresh, setting.crop_nms_thresh), fate, by, REGIONS);
}

// torchvision's nms: best score first, equal scores in their order; drops what overlaps a kept one by more than limit.
function suppress(box, rows, scores, limit, fate, by, reason) {
  const order = rows.map((_, at) => at).sort((a, b) => scores[b] - scores[a]);
  const n = order.length, fround = Math.fround;
  const x0 = new Float32Array(n), y0 = new Float32Array(n), x1 = new Float32Array(n), y1 = new Float32Array(n);
  const area = new Float32Array(n), isDropped = new Uint8Array(n), kept = [];
  order.forEach((at, i) => {
    const start = 4 * rows[at];
    x0[i] = box[start];
    y0[i] = box[start + 1];
    x1[i] = box[start + 2];
    y1[i] = box[start + 3];
    area[i] = fround(x1[i] - x0[i]) * fround(y1[i] - y0[i]);
  });
  for (let i = 0; i < n; i++) {
    if (isDropped[i]) continue;
    const keeper = rows[order[i]];
    kept.push(keeper);
    const left = x0[i], top = y0[i], right = x1[i], bottom = y1[i], own = area[i];
    for (let j = i + 1; j < n; j++) {
      if (isDropped[j]) continue;
      const width = fround(Math.min(right, x1[j]) - Math.max(left, x0[j]));
      const height = fround(Math.min(bottom, y1[j]) - Math.max(top, y0[j]));
      const shared = width > 0 && height > 0 ? fround(width * height) : 0;
      if (fround(shared / fround(fround(own + area[j]) - shared)) > limit) {
        isDropped[j] = 1;
        fate[rows[order[j]]] = reason;
        by[rows[order[j]]] = keeper;
      }
    }
  }
  return kept;
}

// The overlap of two rows' boxes, for the reader; suppress() has its own for speed.
function boxIou(box, a, b) {
  const [ax0, ay0, ax1, ay1] = box.subarray(4 * a, 4 * a + 4), [bx0, by0, bx1, by1] = box.subarray(4 * b, 4 * b + 4);
  const shared = Math.max(0, Math.min(ax1, bx1) - Math.max(ax0, bx0)) * Math.max(0, Math.min(ay1, by1) - Math.max(ay0, by0));
  return shared / ((ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared);
}
