"use strict";

// The config's filters, after the replay of sam2's steps: the same as maskgrid.automatic.mask_filters, in its order.

const FILTERS_OFF = {
  min_area_px: 0, max_area_px: null, min_area_frac: 0, max_area_frac: 1, border: null, min_fill_frac: 0, max_aspect_ratio: null,
  region: null, mask_nms_thresh: 1, max_containment_frac: 1, max_masks: null,
};
const FILTER_KEYS = Object.keys(FILTERS_OFF);
const FIRST_FILTER = FATES.length;
FATES.push(...FILTER_KEYS);
const isOn = (setting, key) => setting[key] !== undefined && setting[key] !== FILTERS_OFF[key];

// What the filters look at of each row; redrawn masks have other areas, boxes and pixels in the region.
function shapesOf(rows, redrawn) {
  const area = Float64Array.from(rows.area), box = Float64Array.from(rows.box);
  const inRegion = Object.fromEntries(Object.entries(rows.regionPx).map(([name, px]) => [name, px.slice()]));
  for (const [row, region] of redrawn ?? []) {
    area[row] = region.area;
    box.set(region.box, 4 * row);
    for (const name in inRegion) inRegion[name][row] = region.regionPx[name];
  }
  return { area, box, inRegion };
}

// Pairs of rows that overlap, with IoU and the share of the smaller mask.
function preparePairs(pairs, area) {
  if (!pairs) return null;
  const iou = new Float64Array(pairs.one.length), ofSmaller = new Float64Array(pairs.one.length);
  pairs.common.forEach((common, at) => {
    const a = area[pairs.one[at]], b = area[pairs.other[at]];
    iou[at] = common / (a + b - common);
    ofSmaller[at] = common / Math.min(a, b);
  });
  return { one: Int32Array.from(pairs.one), other: Int32Array.from(pairs.other), iou, ofSmaller, floors: pairs.floors };
}

// Whether an image's pairs can answer a threshold: of very many, only those that overlap most are in the page.
const reaches = (pairs, key, value) => pairs !== null && value >= pairs.floors[key];

// What a filter that looks at one mask at a time compares with its limit.
function shapeValue(key, rows, shapes) {
  const { area, box } = shapes, [height, width] = rows.size_hw, pixels = height * width;
  const w = (row) => box[4 * row + 2] - box[4 * row] + 1, h = (row) => box[4 * row + 3] - box[4 * row + 1] + 1;
  return {
    min_area_px: (row) => area[row],
    max_area_px: (row) => area[row],
    min_area_frac: (row) => area[row] / pixels,
    max_area_frac: (row) => area[row] / pixels,
    border: (row) => Math.min(box[4 * row], box[4 * row + 1], width - 1 - box[4 * row + 2], height - 1 - box[4 * row + 3]),
    min_fill_frac: (row) => area[row] / (w(row) * h(row)),
    max_aspect_ratio: (row) => Math.max(w(row), h(row)) / Math.min(w(row), h(row)),
  }[key];
}

// The test of one mask by one filter.
function shapeTest(key, limit, rows, shapes, setting) {
  const { area, inRegion } = shapes;
  if (key === "region") {
    return (row) => (setting.min_region_frac === null ? rows.regionPoint[limit][row] === 1 : inRegion[limit][row] / area[row] >= setting.min_region_frac);
  }
  const value = shapeValue(key, rows, shapes);
  if (key === "border") return (row) => value(row) > limit;
  return key.startsWith("max") ? (row) => value(row) <= limit : (row) => value(row) >= limit;
}

// What stays of the rows kept, in their order. Fates, suppressors and counts are noted in the selection.
function applyFilters(rows, selection, setting, shapes, pairs) {
  let kept = selection.kept;
  const { fate, by, counts } = selection;
  FILTER_KEYS.forEach((key, number) => {
    if (!isOn(setting, key)) return;
    const reason = FIRST_FILTER + number, before = kept;
    if (key === "mask_nms_thresh" || key === "max_containment_frac") {
      if (!reaches(pairs, key, setting[key])) return;
      const values = key === "mask_nms_thresh" ? pairs.iou : pairs.ofSmaller;
      kept = withoutOverlaps(rows, kept, pairs, values, setting[key], orderOf(key, rows, kept, shapes, setting), by);
    } else if (key === "max_masks") {
      const best = new Set([...kept].sort(byScore(rows)).slice(0, setting.max_masks));
      kept = kept.filter((row) => best.has(row));
    } else {
      kept = kept.filter(shapeTest(key, setting[key], rows, shapes, setting));
    }
    const stays = new Set(kept);
    for (const row of before) if (!stays.has(row)) fate[row] = reason;
    counts[reason] = before.length - kept.length;
  });
  counts[KEPT] = kept.length;
  return { ...selection, kept };
}

// Equal scores as proposed.
const byScore = (rows) => (a, b) => rows.iou[b] - rows.iou[a] || a - b;

function orderOf(key, rows, kept, shapes, setting) {
  if (key === "mask_nms_thresh") return [...kept].sort(byScore(rows));
  const sign = setting.containment_keeps === "smaller" ? 1 : -1;
  return [...kept].sort((a, b) => sign * (shapes.area[a] - shapes.area[b]) || byScore(rows)(a, b));
}

// Each row that stays drops the later ones that it overlaps by more than a limit.
function withoutOverlaps(rows, kept, pairs, values, limit, order, by) {
  const rank = new Int32Array(rows.id.length).fill(-1), n = order.length;
  order.forEach((row, at) => { rank[row] = at; });
  const over = [];
  for (let at = 0; at < values.length; at++) {
    if (!(values[at] > limit)) continue;
    const a = rank[pairs.one[at]], b = rank[pairs.other[at]];
    if (a >= 0 && b >= 0) over.push(a < b ? a * n + b : b * n + a);
  }
  const isDropped = new Uint8Array(n);
  for (const pair of Float64Array.from(over).sort()) {
    const first = Math.floor(pair / n), second = pair - first * n;
    if (isDropped[first] || isDropped[second]) continue;
    isDropped[second] = 1;
    by[order[second]] = order[first];
  }
  return kept.filter((row) => !isDropped[rank[row]]);
}
