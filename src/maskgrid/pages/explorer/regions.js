"use strict";

// min_mask_region_area: fill holes, then remove islands, below a number of pixels. The same as sam2's
// remove_small_regions, on the runs alone.

// The parts of a mask's columns: x, and from y0 up to y1.
function columnParts(ends, height) {
  let n = 0;
  for (let run = 0; run < ends.length; run += 2) n += Math.floor((ends[run + 1] - 1) / height) - Math.floor(ends[run] / height) + 1;
  const x = new Int32Array(n), y0 = new Int32Array(n), y1 = new Int32Array(n);
  let part = 0;
  for (let run = 0; run < ends.length; run += 2) {
    for (let start = ends[run], column = Math.floor(start / height); start < ends[run + 1]; column++, part++) {
      const first = column * height, end = Math.min(ends[run + 1], first + height);
      x[part] = column;
      y0[part] = start - first;
      y1[part] = end - first;
      start = end;
    }
  }
  return { x, y0, y1 };
}

// The component of each part, as the number of one of its parts; corners connect.
function componentsOf({ x, y0, y1 }) {
  const n = x.length, parent = new Int32Array(n);
  for (let part = 0; part < n; part++) parent[part] = part;
  const rootOf = (part) => {
    while (parent[part] !== part) part = parent[part] = parent[parent[part]];
    return part;
  };
  let before = 0, first = 0;
  while (first < n) {
    let next = first;
    while (next < n && x[next] === x[first]) next++;
    if (first > 0 && x[before] === x[first] - 1) {
      for (let a = before, b = first; a < first && b < next;) {
        if (y0[a] <= y1[b] && y0[b] <= y1[a]) parent[rootOf(a)] = rootOf(b);
        if (y1[a] <= y1[b]) a++;
        else b++;
      }
    }
    [before, first] = [first, next];
  }
  for (let part = 0; part < n; part++) parent[part] = rootOf(part);
  return parent;
}

// A mask's parts, the component of each, and the components' sizes.
function labelled(ends, height) {
  const parts = columnParts(ends, height), root = componentsOf(parts), size = new Int32Array(root.length);
  for (let part = 0; part < root.length; part++) size[root[part]] += parts.y1[part] - parts.y0[part];
  return { ends, parts, root, size };
}

// Holes and islands of the masks that were redrawn: a slider asks for the same masks with every limit.
const holes = new WeakMap(), islands = new WeakMap();

function kept(known, ends, make) {
  if (!known.has(ends)) known.set(ends, make());
  return known.get(ends);
}

// The mask without components below the limit, and whether there were any. If all are, the largest stays where
// `keepsLargest` is set.
function withoutSmall({ ends, parts, root, size }, height, limit, keepsLargest) {
  const { x, y0, y1 } = parts, n = x.length;
  let nSmall = 0, nAll = 0;
  for (let part = 0; part < n; part++) {
    if (root[part] !== part) continue;
    nAll++;
    if (size[part] < limit) nSmall++;
  }
  if (!nSmall) return { ends, isChanged: false };
  const alone = nSmall === nAll && keepsLargest ? largestOf(parts, root, size) : -1;
  const left = new ends.constructor(2 * n);
  let at = 0;
  for (let part = 0; part < n; part++) {
    if (size[root[part]] < limit && root[part] !== alone) continue;
    const start = x[part] * height + y0[part], end = x[part] * height + y1[part];
    if (at && left[at - 1] === start) left[at - 1] = end;
    else { left[at++] = start; left[at++] = end; }
  }
  return { ends: left.slice(0, at), isChanged: true };
}

// Among equals the component that OpenCV labels first, in blocks of 2 x 2 pixels row after row.
function largestOf({ x, y0 }, root, size) {
  let best = root[0], bestBlock = Infinity;
  const most = size.reduce((one, other) => Math.max(one, other));
  for (let part = 0; part < root.length; part++) {
    const block = (y0[part] >> 1) * 2 ** 26 + (x[part] >> 1);
    if (size[root[part]] === most && block < bestBlock) [best, bestBlock] = [root[part], block];
  }
  return best;
}

// Background as a mask, and back.
function inverted(ends, nPixels) {
  const isIn = ends[0] === 0, reachesEnd = ends.length > 0 && ends[ends.length - 1] === nPixels;
  const inner = ends.subarray(isIn ? 1 : 0, ends.length - (reachesEnd ? 1 : 0));
  const turned = new ends.constructor(inner.length + !isIn + !reachesEnd);
  turned.set(inner, isIn ? 0 : 1);
  if (!reachesEnd) turned[turned.length - 1] = nPixels;
  return turned;
}

// A mask without small holes and islands: its ends, area and box; null if it has none.
function redraw(ends, [height, width], limit) {
  const nPixels = height * width;
  const background = kept(holes, ends, () => labelled(inverted(ends, nPixels), height));
  const filled = withoutSmall(background, height, limit, false);
  const solid = filled.isChanged
    ? labelled(inverted(filled.ends, nPixels), height)
    : kept(islands, ends, () => labelled(ends, height));
  const cleaned = withoutSmall(solid, height, limit, true);
  if (!filled.isChanged && !cleaned.isChanged) return null;
  return { ends: cleaned.ends, area: areaOf(cleaned.ends), box: boxOf(cleaned.ends, height) };
}
