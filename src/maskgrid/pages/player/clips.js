"use strict";

// What is played: a video's frames, and each setting's masks and objects, in parts of a few frames, loaded when they are
// needed. Few parts are kept, so that a long video takes no more memory than a short one.

const KEPT_PARTS = 5;
const handed = new Map(), kept = { masks: new Map(), frames: new Map(), objects: new Map() };
const NO_PICTURE = Object.assign(document.createElement("canvas"), { width: 1, height: 1, naturalWidth: 1 });
Object.assign(NO_PICTURE.getContext("2d"), { fillStyle: "#808080" }).fillRect(0, 0, 1, 1);

for (const kind of ["masks", "frames"]) maskgrid[kind] = (fingerprint, { run, part }, content) => handed.set(`${kind} ${run} ${part}`, content);
maskgrid.objects = (fingerprint, { run }, content) => handed.set(`objects ${run} 0`, content);

async function readPart(kind, run, part) {
  const name = kind === "objects" ? kind : `${kind}-${String(part).padStart(5, "0")}`;
  const path = `player/${encodeURIComponent(run)}/${name}.js`, key = `${kind} ${run} ${part}`;
  await loadScript(path);
  const content = handed.get(key);
  handed.delete(key);
  if (content === undefined) throw new Error(`${path} is not of this video`);
  return content;
}

// A part, from memory if it is one of the last.
function partOf(kind, run, part, make) {
  const key = `${run} ${part}`, parts = kept[kind], known = parts.get(key) ?? readPart(kind, run, part).then(make);
  parts.delete(key);
  parts.set(key, known);
  known.catch(() => parts.delete(key));
  // Two settings side by side need twice as many masks.
  for (const old of parts.keys()) {
    if (parts.size <= (kind === "frames" ? 1 : 2) * KEPT_PARTS) break;
    parts.delete(old);
  }
  return known;
}

const partAt = (position) => [Math.floor(position / data.frames_in_part), position % data.frames_in_part];

async function decoded(address) {
  if (address === null) return NO_PICTURE;
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  return picture;
}

async function pictureAt(run, position) {
  const [part, at] = partAt(position);
  return (await partOf("frames", run, part, (addresses) => addresses.map(decoded)))[at];
}

// The masks of a frame: whose they are, and the places where they begin and end.
async function masksAt(run, position) {
  const [part, at] = partAt(position);
  const frames = await partOf("masks", run, part, async (pack) => {
    const { n_masks, object, ends } = await unpacked(pack);
    let first = 0;
    return n_masks.map((n) => Array.from({ length: n }, () => ({ id: object[first], ends: ends[first], area: areaOf(ends[first++]) })));
  });
  return frames[at];
}

// A run's objects with their place on each frame, and its prompts.
const objectsOf = (run, nFrames) => partOf("objects", run, 0, async (pack) => {
  const { objects, prompts, ends } = await unpacked(pack);
  for (const one of objects) {
    one.rowAt = new Int32Array(nFrames).fill(-1);
    one.at.forEach((position, row) => { one.rowAt[position] = row; });
    one.title = one.category === null ? one.name : `${one.category} ${one.name}`;
    one.isSeen = (position) => one.rowAt[position] >= 0 && one.area_px[one.rowAt[position]] > 0;
    one.prompts = prompts.filter((prompt) => prompt.object === one.id);
  }
  for (const prompt of prompts) prompt.ends = prompt.mask === null ? null : ends[prompt.mask];
  return { objects, prompts };
});

// What comes next, before it is needed.
function loadAhead(position) {
  const next = (partAt(position)[0] + 1) * data.frames_in_part;
  if (next >= clip.n_frames) return;
  for (const loading of [pictureAt(clip.frames, next), ...sides.map(({ run }) => masksAt(run, next))]) loading.catch(() => {});
}
