"use strict";

// Images: some are inside the page, all others in scripts beside it, loaded when they are asked for. Few are kept, so
// 10,000 take no more memory than one.

const KEPT_IMAGES = 3;
const listing = { n: data.images.length, isWhole: false, key: [], name: [], folder: [], size_hw: [], problem: [], n_masks: {} };
const loaded = new Map(), handed = new Map();

// Without the list beside the page: what is inside.
function listInside() {
  for (const one of data.images) {
    for (const [column, value] of [["key", one.key], ["name", one.name], ["folder", null], ["size_hw", one.size_hw], ["problem", null]]) listing[column].push(value);
  }
}

maskgrid.images = (fingerprint, columns) => Object.assign(listing, columns, { n: columns.key.length, isWhole: true });
maskgrid.image = (fingerprint, head, packs) => handed.set(head.key, { head, packs });

// All images of the dataset, if their list is there.
const loadListing = () => loadScript("explorer/images.js").then(() => true, () => false);

const embeddedAt = (at) => {
  const tag = document.querySelector(`script[data-image="${listing.name[at]}"]`);
  return tag && JSON.parse(tag.textContent);
};
const pathBeside = (at, suffix) => `explorer/${listing.folder[at]}/${listing.name[at]}${suffix}`;
const isBeside = (at) => listing.folder[at] !== null;

// A thumbnail's address; null if there is none.
function thumbnailOf(at) {
  if (isBeside(at)) return listing.problem[at] === null ? pathBeside(at, ".jpg") : null;
  return embeddedAt(at)?.[0].pixels ?? null;
}

// What is known of an image: from beside the page, or from inside it.
async function readBeside(at) {
  await loadScript(pathBeside(at, ".js"));
  const found = handed.get(listing.key[at]);
  handed.delete(listing.key[at]);
  if (!found) throw new Error(`${pathBeside(at, ".js")} is not of this image`);
  return found;
}

// What is inside comes last in the page, so that it keeps nobody waiting who has the rest.
const isParsed = new Promise((done) => (document.readyState === "loading" ? addEventListener("DOMContentLoaded", done) : done()));

async function readInside(at, error) {
  await isParsed;
  const inside = embeddedAt(at);
  if (!inside) throw error ?? new Error("is not inside this file");
  return { head: inside[0], packs: inside[1] };
}

async function readImage(at) {
  if (listing.problem[at] !== null) throw new Error(listing.problem[at]);
  const { head, packs } = await (isBeside(at) ? readBeside(at).catch((error) => readInside(at, error)) : readInside(at));
  const extra = await unpacked(packs.extra), picture = new Image(), nRegions = extra.regions.length;
  picture.src = head.pixels;
  await picture.decode();
  const truth = extra.ends.slice(nRegions).map((ends, one) => ({ ends, area: areaOf(ends), isCrowd: extra.crowd[one] === 1 }));
  const regions = new Map(extra.regions.map((name, one) => [name, extra.ends[one]]));
  return { at, key: head.key, size_hw: head.size_hw, hasPixels: head.has_pixels, picture, regions, truth, packs, passes: new Map(), scenes: new Map() };
}

// An image, from memory if it is one of the last.
function imageAt(at) {
  const key = listing.key[at], known = loaded.get(key) ?? readImage(at);
  loaded.delete(key);
  loaded.set(key, known);
  known.catch(() => loaded.delete(key));
  for (const old of loaded.keys()) {
    if (loaded.size <= KEPT_IMAGES) break;
    if (old !== current?.key) loaded.delete(old);
  }
  return known;
}

// Unpack the passes of a group. Inside the page an image may have fewer than beside it.
async function unpackGroup(image, { keys }) {
  if (keys.some((name) => !(name in image.packs)) && isBeside(image.at)) {
    Object.assign(image.packs, (await readBeside(image.at).catch(() => ({ packs: {} }))).packs);
  }
  for (const name of keys) if (name in image.packs && !image.passes.has(name)) image.passes.set(name, await unpacked(image.packs[name]));
}
