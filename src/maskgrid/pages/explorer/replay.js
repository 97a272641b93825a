"use strict";

// The replay: which candidates sam2's generator keeps at a setting. The same steps as maskgrid.replay, in the same
// arithmetic: scores, boxes and their overlaps are float32, as in torch and torchvision.

const FATES = ["kept", "pred_iou_thresh", "stability_score_thresh", "edge of a crop", "box_nms_thresh", "crop_nms_thresh", "min_mask_region_area"];
const KEPT = 0, IOU = 1, STABILITY = 2, EDGE = 3, BOX_NMS = 4, CROP_NMS = 5, REGIONS = 6;

// The rows of an image's passes at the levels and offsets that all passes of a group have recorded, one pass after another.
// `passes` are unpacked passes by name. Null where the image has not all of them.
function rowsOf(passes, group, size_hw) {
  if (!group.keys.every((name) => passes.has(name))) return null;
  const { mask_thresholds: levels, stability_score_offsets: offsets } = group.recording;
  const layers = group.keys.map((name) => passes.get(name));
  const rows = { size_hw, dtype: layers[0].dtype, layer: [], id: [], crop: [], level: [], edge: [], area: [], ends: [] };
  const iou = [], box = [], point = [], stability = offsets.map(() => []);
  layers.forEach((pass, layer) => {
    const own = pass.recording, level = own.mask_thresholds.map((value) => levels.indexOf(value));
    const columns = offsets.map((offset) => pass.stability[own.stability_score_offsets.indexOf(offset)]);
    for (let row = 0; row < pass.id.length; row++) {
      if (level[pass.level[row]] < 0) continue;
      rows.layer.push(layer);
      rows.level.push(level[pass.level[row]]);
      for (const name of ["id", "crop", "edge", "area", "ends"]) rows[name].push(pass[name][row]);
      iou.push(pass.iou[row]);
      for (let at = 4 * row; at < 4 * row + 4; at++) box.push(pass.box[at]);
      point.push(pass.point[2 * row], pass.point[2 * row + 1]);
      columns.forEach((column, at) => stability[at].push(column[row]));
    }
  });
  Object.assign(rows, {
    n: iou.length, point, iou: Float32Array.from(iou), box: Float32Array.from(box),
    stability: stability.map((scores) => Float32Array.from(scores)),
    proposed: layers.map((pass) => Float32Array.from(pass.proposed)),
  });
  rows.crops = levels.map((_, level) => cropsOf(layers, rows, level));
  return rows;
}

// The crops of all passes, each with its rows at a level.
function cropsOf(layers, rows, level) {
  const crops = [];
  layers.forEach((layer, index) => layer.crops.forEach((edges, crop) => {
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

// The rows kept, in order; for each row of the level its fate, and the row that suppressed it (-1 for none). `redrawn` knows the masks
// that min_mask_region_area redraws, by row; null leaves that step out.
function select(rows, setting, redrawn = null) {
  const fate = new Int8Array(rows.n).fill(-1);
  const by = new Int32Array(rows.n).fill(-1);
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
