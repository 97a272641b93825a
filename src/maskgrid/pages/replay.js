"use strict";

// The replay: which candidates sam2's generator keeps at a setting. The same steps as maskgrid.replay, in the same
// arithmetic: scores, boxes and their overlaps are float32, as in torch and torchvision.

const FATES = ["kept", "pred_iou_thresh", "stability_score_thresh", "edge of a crop", "box_nms_thresh", "crop_nms_thresh"];
const KEPT = 0, IOU = 1, STABILITY = 2, EDGE = 3, BOX_NMS = 4, CROP_NMS = 5;

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
    iou: Float32Array.from(iou),
    stability: stability.map((scores) => Float32Array.from(scores)),
    box: Float32Array.from(box),
    point,
    proposed: image.layers.map((layer) => Float32Array.from(layer.proposed)),
  };
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

// The rows kept, in order; for each row of the level its fate, and the row that suppressed it (-1 for none).
function select(rows, setting) {
  const fate = new Int8Array(rows.id.length).fill(-1);
  const by = new Int32Array(rows.id.length).fill(-1);
  const stability = rows.stability[setting.offset];
  const iouLimit = Math.fround(setting.pred_iou_thresh), stabilityLimit = Math.fround(setting.stability_score_thresh);
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
  const isCropped = rows.proposed.length > 1;
  const kept = isCropped ? suppress(rows.box, unique, cropScores, setting.crop_nms_thresh, fate, by, CROP_NMS) : unique;
  counts[KEPT] = kept.length;
  counts[IOU] = proposed - aboveIou;
  counts[STABILITY] = aboveIou - stable;
  counts[CROP_NMS] = unique.length - kept.length;
  return { kept, fate, by, proposed, counts };
}

// torchvision's nms: best score first, equal scores in their order; drops what overlaps a kept one by more than limit.
function suppress(box, rows, scores, limit, fate, by, reason) {
  const order = rows.map((_, at) => at).sort((a, b) => scores[b] - scores[a]);
  const n = order.length, fround = Math.fround;
  const x0 = new Float32Array(n), y0 = new Float32Array(n), x1 = new Float32Array(n), y1 = new Float32Array(n);
  const area = new Float32Array(n), isDropped = new Uint8Array(n), kept = [];
  order.forEach((at, i) => {
    const start = 4 * rows[at];
    [x0[i], y0[i], x1[i], y1[i]] = [box[start], box[start + 1], box[start + 2], box[start + 3]];
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
