"use strict";

// Masks as the places where they begin and end, ascending, column by column as in COCO's run-length codes: inside are the
// pixels from ends[0] to ends[1], and so on.

// The first position of a sorted array whose value is above a place.
function firstAbove(ends, place) {
  let low = 0, high = ends.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle] <= place) low = middle + 1;
    else high = middle;
  }
  return low;
}

const maskHolds = (ends, place) => firstAbove(ends, place) % 2 === 1;

function areaOf(ends) {
  let sum = 0;
  for (let run = 0; run < ends.length; run += 2) sum += ends[run + 1] - ends[run];
  return sum;
}

// The pixels that two masks share.
function commonPx(one, other) {
  if (!one.length || !other.length) return 0;
  let a = firstAbove(one, other[0]) & ~1, b = firstAbove(other, one[0]) & ~1, sum = 0;
  while (a < one.length && b < other.length) {
    const start = Math.max(one[a], other[b]), oneEnd = one[a + 1], otherEnd = other[b + 1];
    const end = Math.min(oneEnd, otherEnd);
    if (end > start) sum += end - start;
    if (oneEnd <= otherEnd) a += 2;
    else b += 2;
  }
  return sum;
}

// The extent x0, y0, x1, y1 of a mask with pixels, right and bottom edge inclusive as in sam2.
function boxOf(ends, height) {
  const x0 = Math.floor(ends[0] / height), x1 = Math.floor((ends[ends.length - 1] - 1) / height);
  let y0 = height, y1 = 0;
  for (let run = 0; run < ends.length; run += 2) {
    const first = ends[run] % height, last = (ends[run + 1] - 1) % height;
    // A run that goes on in the next column reaches top and bottom.
    const isSplit = Math.floor(ends[run] / height) !== Math.floor((ends[run + 1] - 1) / height);
    y0 = Math.min(y0, isSplit ? 0 : first);
    y1 = Math.max(y1, isSplit ? height - 1 : last);
  }
  return [x0, y0, x1, y1];
}

// COCO's compressed code (maskApi.c, rleToString): from the fourth run on, the difference to the run two before.
function cocoCode(ends, nPixels) {
  const runs = [];
  let place = 0;
  for (const end of ends) { runs.push(end - place); place = end; }
  if (place < nPixels || !runs.length) runs.push(nPixels - place);
  let code = "";
  runs.forEach((run, at) => {
    let value = at > 2 ? run - runs[at - 2] : run, isMore = true;
    while (isMore) {
      const digit = value & 31;
      value >>= 5;
      isMore = digit & 16 ? value !== -1 : value !== 0;
      code += String.fromCharCode((isMore ? digit | 32 : digit) + 48);
    }
  });
  return code;
}
