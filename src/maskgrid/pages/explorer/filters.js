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

// What the filters look at of each row: areas and boxes, which Redrawn changes, and pixels in regions. `regions` has the
// ends of the config's regions in this image, by name.
function shapesOf(rows, regions) {
  const shapes = { area: Float64Array.from(rows.area), box: Float64Array.from(rows.box), ends: rows.ends.slice(), known: new Map() };
  const [height, width] = rows.size_hw, last = (value, end) => Math.min(Math.max(Math.floor(value), 0), end - 1);
  shapes.inRegion = (name, row) => {
    const known = shapes.known.get(name) ?? shapes.known.set(name, new Map()).get(name);
    if (!known.has(row)) known.set(row, commonPx(shapes.ends[row], regions.get(name)));
    return known.get(row);
  };
  shapes.holdsPoint = (name, row) => maskHolds(regions.get(name), last(rows.point[2 * row], width) * height + last(rows.point[2 * row + 1], height));
  return shapes;
}

// The masks that a value of min_mask_region_area redraws, found when they are asked for; shapes follow them.
class Redrawn {
  constructor(rows, shapes, limit) {
    Object.assign(this, { rows, shapes, limit, known: new Map() });
  }

  get(row) {
    if (!this.known.has(row)) {
      const found = redraw(this.rows.ends[row], this.rows.size_hw, this.limit), { area, box, ends } = this.shapes;
      this.known.set(row, found);
      if (found) {
        [area[row], ends[row]] = [found.area, found.ends];
        box.set(found.box, 4 * row);
      }
    }
    return this.known.get(row);
  }

  has(row) {
    return this.get(row) !== null;
  }
}

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
  if (key === "region") {
    const least = setting.min_region_frac;
    return (row) => (least === null ? shapes.holdsPoint(limit, row) : shapes.inRegion(limit, row) / shapes.area[row] >= least);
  }
  const value = shapeValue(key, rows, shapes);
  if (key === "border") return (row) => value(row) > limit;
  return key.startsWith("max") ? (row) => value(row) <= limit : (row) => value(row) >= limit;
}

// What stays of the rows kept, in their order. Fates, suppressors and counts are noted in the selection.
function applyFilters(rows, selection, setting, shapes, overlaps) {
  let kept = selection.kept;
  const { fate, by, counts } = selection;
  FILTER_KEYS.forEach((key, number) => {
    if (!isOn(setting, key)) return;
    const reason = FIRST_FILTER + number, before = kept;
    if (key === "mask_nms_thresh" || key === "max_containment_frac") {
      kept = withoutOverlaps(kept, orderOf(key, rows, kept, shapes, setting), overlaps, key, setting[key], by);
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
function withoutOverlaps(kept, order, overlaps, key, limit, by) {
  const stays = [];
  for (const row of order) {
    const rival = stays.find((other) => overlaps.above(key, limit, other, row) > limit);
    if (rival === undefined) stays.push(row);
    else by[row] = rival;
  }
  const left = new Set(stays);
  return kept.filter((row) => left.has(row));
}
