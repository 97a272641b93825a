"use strict";

// The exact number of masks at every value of a threshold, all else at the setting: the same as maskgrid.automatic.curves.
// Each row has the ranges of values at which it is kept; a step of the replay cuts out where an earlier rival is kept.
// The work is done in generators, which pause now and then, so that a slider never waits for a curve.

const WHOLE_NUMBERS = ["min_area_px", "max_area_px", "border", "max_masks"];
const AT_MOST = ["max_area_px", "max_area_frac", "max_aspect_ratio"];
const ROWS_AT_ONCE = 16, PAIRS_AT_ONCE = 64, LEAST = Number.MIN_VALUE;

const bits = new Float64Array(1), bits64 = new BigInt64Array(bits.buffer);
const single = new Float32Array(1), bits32 = new Int32Array(single.buffer);

// The next number above one that is not negative.
function nextUp(value) {
  bits[0] = value;
  bits64[0]++;
  return bits[0];
}

// The same among float32, of any sign.
function nextUp32(value) {
  single[0] = value;
  if (single[0] === 0) return 2 ** -149;
  bits32[0] += value > 0 ? 1 : -1;
  return single[0];
}

// The least threshold that is rounded to a score above 0, or higher.
function leastRoundedTo(score, dtype) {
  let low = score / 2, high = score * 2;
  for (;;) {
    const middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return high;
    if (inDtype(middle, dtype) >= score) high = middle;
    else low = middle;
  }
}

const scoreEnds = (scores, dtype) => Float64Array.from(scores, (score) => (score > 0 ? leastRoundedTo(score, dtype) : LEAST));

// ---- ranges

function everywhere(rows, members) {
  const ranges = { start: new Float64Array(rows.n).fill(Infinity), end: new Float64Array(rows.n).fill(-Infinity), more: new Map() };
  for (const row of members) [ranges.start[row], ranges.end[row]] = [-Infinity, Infinity];
  return ranges;
}

const isNowhere = (ranges, row) => !(ranges.start[row] < ranges.end[row]) && !ranges.more.has(row);

// Cut ranges, given as starts and ends, out of a row's own.
function cut(ranges, row, lows, highs) {
  const start = ranges.start[row], end = ranges.end[row], isOne = !ranges.more.has(row);
  let only = lows.length === 1;
  for (let at = 0; at < lows.length; at++) {
    if (isOne && lows[at] <= start && highs[at] >= end) return void (ranges.end[row] = start);
    only &&= highs[at] <= start || lows[at] <= start;
  }
  // One range that only moves the start is the usual case.
  if (only && isOne) return void (ranges.start[row] = Math.max(start, highs[0]));
  const order = lows.map((_, at) => at).sort((a, b) => lows[a] - lows[b]);
  const gaps = [];
  let reach = -Infinity;
  for (const at of order) {
    if (lows[at] > reach) gaps.push([reach, lows[at]]);
    reach = Math.max(reach, highs[at]);
  }
  gaps.push([reach, Infinity]);
  const left = [];
  for (const [low, high] of [[start, end], ...(ranges.more.get(row) ?? [])]) {
    for (const [from, to] of gaps) if (Math.max(low, from) < Math.min(high, to)) left.push([Math.max(low, from), Math.min(high, to)]);
  }
  ranges.more.delete(row);
  [ranges.start[row], ranges.end[row]] = left.length ? left[0] : [Infinity, -Infinity];
  if (left.length > 1) ranges.more.set(row, left.slice(1));
}

// Note where one rival of a row is kept, up to a limit.
function note(ranges, rival, limit, lows, highs) {
  const high = Math.min(ranges.end[rival], limit);
  if (ranges.start[rival] < high) { lows.push(ranges.start[rival]); highs.push(high); }
  const more = ranges.more.size ? ranges.more.get(rival) : undefined;
  for (const [from, to] of more ?? []) if (from < Math.min(to, limit)) { lows.push(from); highs.push(Math.min(to, limit)); }
}

// Suppression by boxes, in suppress()'s arithmetic. `sets` are rows in their order, each set by itself. Overlaps above the
// limit count; at the axis each up to its own value.
function* suppressBoxes(ranges, box, sets, limit, isAxis) {
  const fround = Math.fround;
  for (const order of sets) {
    const n = order.length, x0 = new Float32Array(n), y0 = new Float32Array(n), x1 = new Float32Array(n), y1 = new Float32Array(n), area = new Float32Array(n);
    const live = new Int32Array(n);
    let nLive = 0;
    for (let at = 0; at < n; at++) {
      if (at % ROWS_AT_ONCE === 0) yield;
      const row = order[at];
      if (isNowhere(ranges, row)) continue;
      const left = box[4 * row], top = box[4 * row + 1], right = box[4 * row + 2], bottom = box[4 * row + 3];
      const own = fround(fround(right - left) * fround(bottom - top)), lows = [], highs = [];
      for (let j = 0; j < nLive; j++) {
        const width = fround(Math.min(right, x1[j]) - Math.max(left, x0[j]));
        if (!(width > 0)) continue;
        const height = fround(Math.min(bottom, y1[j]) - Math.max(top, y0[j]));
        if (!(height > 0)) continue;
        const shared = fround(width * height), iou = fround(shared / fround(fround(own + area[j]) - shared));
        if (iou > limit) note(ranges, live[j], isAxis ? iou : Infinity, lows, highs);
      }
      if (lows.length) cut(ranges, row, lows, highs);
      if (isNowhere(ranges, row)) continue;
      [x0[nLive], y0[nLive], x1[nLive], y1[nLive], area[nLive]] = [left, top, right, bottom, own];
      live[nLive++] = row;
    }
  }
}

// Suppression by pixels that masks share, in an order of rows; at the axis each pair counts up to its own value.
function* suppressPixels(ranges, order, overlaps, key, limit, isAxis) {
  const live = [], least = isAxis ? 0 : limit;
  let n = 0;
  for (const row of order) {
    if (isNowhere(ranges, row)) continue;
    const lows = [], highs = [];
    for (const rival of live) {
      if (++n % PAIRS_AT_ONCE === 0) yield;
      const value = overlaps.above(key, least, rival, row);
      if (value > least) note(ranges, rival, isAxis ? value : Infinity, lows, highs);
    }
    if (lows.length) cut(ranges, row, lows, highs);
    if (!isNowhere(ranges, row)) live.push(row);
  }
}

// ---- the curve

// What curves of an image share: `image` has rows, redrawn, shapes and overlaps, and `shared`, a Map that goes with them.
const shareOf = (image, key, make) => image.shared.get(key) ?? image.shared.set(key, make()).get(key);

// The rows of a level in suppression's order: crop by crop, then between crops, then those redrawn last.
function ordersAt(image, level) {
  return shareOf(image, `orders ${level}`, () => {
    const { rows, redrawn } = image, crops = rows.crops[level];
    const sets = crops.map((crop) => crop.rows.filter((row) => !rows.edge[row]).sort((a, b) => rows.iou[b] - rows.iou[a] || a - b));
    const scores = new Map(crops.flatMap((crop, at) => sets[at].map((row) => [row, crop.score])));
    const unique = sets.flat(), isCropped = rows.proposed.length > 1;
    const crossed = isCropped ? [...unique].sort((a, b) => scores.get(b) - scores.get(a)) : unique;
    const changed = redrawn ? [...crossed].sort((a, b) => redrawn.has(a) - redrawn.has(b)) : null;
    let box = rows.box;
    if (redrawn) {
      box = rows.box.slice();
      for (const row of unique) if (redrawn.has(row)) box.set(redrawn.get(row).box, 4 * row);
    }
    return { sets, crossed: isCropped ? crossed : null, changed, box };
  });
}

// The curve of a threshold: starts, the first -Infinity, and counts.
function* countCurve(image, setting, name) {
  const { rows, shapes, overlaps, redrawn } = image;
  // Each mask's own redrawing is remembered.
  for (let row = 0; redrawn && row < rows.n; row++) {
    redrawn.get(row);
    if (row % ROWS_AT_ONCE === 0) yield;
  }
  const { sets, crossed, changed, box } = ordersAt(image, setting.level);
  const ranges = everywhere(rows, sets.flat());
  yield* clipScores(image, ranges, setting, name);
  const { box_nms_thresh: boxLimit, crop_nms_thresh: cropLimit } = setting;
  const isBox = name === "box_nms_thresh", isCrop = name === "crop_nms_thresh";
  yield* suppressBoxes(ranges, rows.box, sets, isBox ? 0 : boxLimit, isBox);
  if (crossed) yield* suppressBoxes(ranges, rows.box, [crossed], isCrop ? 0 : cropLimit, isCrop);
  if (changed) yield* suppressBoxes(ranges, box, [changed], isBox ? cropLimit : isCrop ? boxLimit : Math.max(boxLimit, cropLimit), isBox || isCrop);
  const members = sets.flat();
  for (const filter of FILTER_KEYS) {
    if (filter === "max_masks" || (filter !== name && !isOn(setting, filter))) continue;
    if (filter === "mask_nms_thresh" || filter === "max_containment_frac") {
      const order = shareOf(image, `${filter} ${setting.containment_keeps}`, () => orderOf(filter, rows, [...rows.id.keys()], shapes, setting));
      yield* suppressPixels(ranges, order, overlaps, filter, setting[filter], filter === name);
    } else if (filter === name) {
      clipShape(ranges, members, filter, shapeValue(filter, rows, shapes));
    } else {
      const stays = shapeTest(filter, setting[filter], rows, shapes, setting);
      for (const row of members) if (!stays(row)) drop(ranges, row);
    }
    yield;
  }
  const curve = stepsOf(ranges, members), most = setting.max_masks;
  if (name === "max_masks") {
    const n = curve.counts[curve.counts.length - 1];
    return { starts: [-Infinity, ...Array.from({ length: n }, (_, at) => at + 1)], counts: Array.from({ length: n + 1 }, (_, at) => at) };
  }
  return most === null || most === undefined ? curve : distinct(curve.starts, curve.counts.map((count) => Math.min(count, most)));
}

function drop(ranges, row) {
  ranges.end[row] = -Infinity;
  ranges.more.delete(row);
}

function* clipScores(image, ranges, setting, name) {
  const { rows } = image, stability = rows.stability[setting.offset];
  const isIou = name === "pred_iou_thresh", isStability = name === "stability_score_thresh";
  const iouLimit = inDtype(setting.pred_iou_thresh, rows.dtype), stabilityLimit = Math.fround(setting.stability_score_thresh);
  const iouEnds = isIou && shareOf(image, "iou", () => scoreEnds(rows.iou, rows.dtype));
  // At least the threshold: below the least one that is rounded to the next number above the score.
  const stabilityEnds = isStability && shareOf(image, `stability ${setting.offset}`, () => scoreEnds(stability.map(nextUp32), "float32"));
  yield;
  for (let row = 0; row < rows.n; row++) {
    if (!(ranges.start[row] < ranges.end[row])) continue;
    if (isIou) ranges.end[row] = iouEnds[row];
    else if (setting.pred_iou_thresh > 0 && !(rows.iou[row] > iouLimit)) drop(ranges, row);
    if (isStability) ranges.end[row] = Math.min(ranges.end[row], stabilityEnds[row]);
    else if (setting.stability_score_thresh > 0 && !(stability[row] >= stabilityLimit)) drop(ranges, row);
  }
}

// Keep rows at the limits that their values meet.
function clipShape(ranges, members, key, value) {
  for (const row of members) {
    const own = value(row);
    let low = -Infinity, high = Infinity;
    if (AT_MOST.includes(key)) low = own;
    else if (key === "border") high = own;
    else high = WHOLE_NUMBERS.includes(key) ? own + 1 : nextUp(own);
    cut(ranges, row, [-Infinity, high], [low, Infinity]);
  }
}

function stepsOf(ranges, members) {
  const starts = [], ends = [];
  for (const row of members) {
    for (const [start, end] of [[ranges.start[row], ranges.end[row]], ...(ranges.more.get(row) ?? [])]) {
      if (start < end) { starts.push(start); ends.push(end); }
    }
  }
  const up = Float64Array.from(starts).sort(), down = Float64Array.from(ends).sort();
  const values = [-Infinity], counts = [];
  let from = 0, to = 0;
  for (;;) {
    const value = values[values.length - 1];
    while (from < up.length && up[from] <= value) from++;
    while (to < down.length && down[to] <= value) to++;
    counts.push(from - to);
    const next = Math.min(from < up.length ? up[from] : Infinity, to < down.length ? down[to] : Infinity);
    if (next === Infinity) return distinct(values, counts);
    values.push(next);
  }
}

function distinct(starts, counts) {
  const isStep = (at) => at === 0 || counts[at] !== counts[at - 1];
  return { starts: starts.filter((_, at) => isStep(at)), counts: counts.filter((_, at) => isStep(at)) };
}

// The number of masks at a value.
function countAt(curve, value) {
  let low = 0, high = curve.starts.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (curve.starts[middle] <= value) low = middle;
    else high = middle;
  }
  return curve.counts[low];
}
