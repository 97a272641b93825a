"use strict";

// Columns and masks as maskgrid.masks.packing packs them.

async function inflated(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = letters.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The columns, and `ends`: each mask as the places where it begins and ends; empty for a mask that is not drawn.
async function unpacked(text) {
  const bytes = await inflated(text), nJson = new DataView(bytes.buffer).getUint32(0, true);
  const columns = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + nJson)));
  let n = 0;
  for (const count of columns.n_runs) n += count;
  const low = bytes.subarray(4 + nJson, 4 + nJson + n), high = bytes.subarray(4 + nJson + n, 4 + nJson + 2 * n);
  const long = new Uint32Array(bytes.slice(4 + nJson + 2 * n).buffer);
  const ends = endsOf(columns.n_runs, low, high, long, Int32Array) ?? endsOf(columns.n_runs, low, high, long, Float64Array);
  return { ...columns, ends };
}

// The ends of all masks in one array; null if the image has more pixels than its kind can count.
function endsOf(counts, low, high, long, Kind) {
  const all = new Kind(low.length), ends = [];
  let at = 0, nLong = 0;
  for (const count of counts) {
    const first = at;
    let place = 0;
    for (const stop = at + count; at < stop; at++) {
      const run = low[at] | (high[at] << 8);
      place += run === 0xffff ? long[nLong++] : run;
      all[at] = place;
    }
    if (Kind === Int32Array && place > 0x7fffffff) return null;
    // The last run ends with the image. Where it is background, that is no place where a mask begins.
    ends.push(all.subarray(first, at - (count % 2)));
  }
  return ends;
}
