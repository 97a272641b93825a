"use strict";

// The pixels that masks share, counted when they are asked for and remembered.

const MOST_REMEMBERED = 400_000;

class Overlaps {
  constructor(rows, shapes) {
    Object.assign(this, { n: rows.n, shapes, known: new Map() });
  }

  common(one, other) {
    const pair = one < other ? one * this.n + other : other * this.n + one;
    let px = this.known.get(pair);
    if (px === undefined) {
      px = commonPx(this.shapes.ends[one], this.shapes.ends[other]);
      if (this.known.size >= MOST_REMEMBERED) this.known.clear();
      this.known.set(pair, px);
    }
    return px;
  }

  // IoU for mask_nms_thresh, the share of the smaller mask for max_containment_frac; 0 if it cannot be above the limit.
  above(key, limit, one, other) {
    const { area, box } = this.shapes, a = area[one], b = area[other], i = 4 * one, j = 4 * other;
    const width = Math.min(box[i + 2], box[j + 2]) - Math.max(box[i], box[j]) + 1;
    const height = Math.min(box[i + 3], box[j + 3]) - Math.max(box[i + 1], box[j + 1]) + 1;
    if (!(width > 0 && height > 0)) return 0;
    const share = key === "mask_nms_thresh" ? (px) => px / (a + b - px) : (px) => px / Math.min(a, b);
    if (!(share(Math.min(a, b, width * height)) > limit)) return 0;
    return share(this.common(one, other));
  }
}
