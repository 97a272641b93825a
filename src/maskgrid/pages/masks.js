"use strict";

// Masks as run-length codes: COCO's compressed form, column by column, background first.

// The places where a mask begins and ends, ascending: inside are the pixels from ends[0] to ends[1], and so on.
function maskEnds(code) {
  const ends = [];
  const runs = [];
  let at = 0, place = 0;
  while (at < code.length) {
    let value = 0, shift = 0, digit;
    do {
      digit = code.charCodeAt(at++) - 48;
      value |= (digit & 31) << shift;
      shift += 5;
    } while (digit & 32);
    if (digit & 16 && shift < 32) value |= -1 << shift;
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
    place += value;
    ends.push(place);
  }
  // The last run ends with the image. Where it is background, that is no place where a mask begins.
  if (ends.length % 2 === 1) ends.pop();
  return Int32Array.from(ends);
}

function maskHolds(ends, place) {
  let low = 0, high = ends.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle] <= place) low = middle + 1;
    else high = middle;
  }
  return low % 2 === 1;
}

// The pixels of a mask that have a neighbour outside it. `stamp` is an array of the image's size, kept between calls.
function maskOutline(ends, height, stamp, mark) {
  const outline = [];
  for (let run = 0; run < ends.length; run += 2) stamp.fill(mark, ends[run], ends[run + 1]);
  for (let run = 0; run < ends.length; run += 2) {
    for (let place = ends[run]; place < ends[run + 1]; place++) {
      const row = place % height;
      if (row === 0 || row === height - 1 || stamp[place - 1] !== mark || stamp[place + 1] !== mark ||
          stamp[place - height] !== mark || stamp[place + height] !== mark) outline.push(place);
    }
  }
  return Int32Array.from(outline);
}
