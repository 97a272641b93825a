"use strict";

// What is drawn: a frame, the masks of one setting or of two side by side, names and prompts.

const options = { masks: true, outlines: false, names: true, prompts: true, opacity: 45 };
const off = new Set();
// The position in sight, -1 before there is one, and the one asked for.
let at = -1, wanted = 0;
let clip = null, sides = [], current = null, asked = 0, solo = null, chosen = null, rasters = [], isAsked = false;

// Objects of the second setting are other objects, whatever their ids are.
const keyOf = (side, id) => `${side === sides[1] ? "B" : ""}${id}`;
const isShown = (key) => (solo === null ? !off.has(key) : key === solo);
const nPanes = () => Math.max(1, sides.length);
const numberOf = (position) => clip.first + clip.step * position;

// Show a frame once its picture and masks are there; false if another was asked for meanwhile, or it cannot be shown.
async function goTo(position) {
  if (!clip) return false;
  wanted = Math.min(clip.n_frames - 1, Math.max(0, position));
  const ticket = ++asked, target = wanted;
  showPlace();
  try {
    const [picture, ...masks] = await Promise.all([pictureAt(clip.frames, target), ...sides.map(({ run }) => masksAt(run, target))]);
    if (ticket !== asked) return false;
    current = { size_hw: clip.size_hw, picture };
    at = target;
    sides.forEach((side, number) => { side.masks = masks[number]; });
    byId("failed").hidden = true;
  } catch (error) {
    if (ticket === asked) fail(error.message);
    return false;
  }
  if (fitCanvas() || rasters.length !== nPanes()) holdView(panes(nPanes())[0]);
  draw();
  showNow();
  loadAhead(at);
  return true;
}

function fail(words) {
  byId("failed").textContent = words;
  byId("failed").hidden = false;
}

// Of the view: what moved, or how it looks, has changed.
function sceneChanged() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => { isAsked = false; draw(); });
}

function draw() {
  if (!current) return;
  const all = panes(nPanes());
  context.clearRect(0, 0, canvas.width, canvas.height);
  rasters = all.map(({ width, height }, number) => (rasters[number]?.width === width && rasters[number]?.height === height ? rasters[number] : new Raster(width, height)));
  all.forEach((pane, number) => drawPane(pane, rasters[number], sides[number]));
}

function drawPane(pane, raster, side) {
  const look = lookInto(pane);
  raster.look(current, look);
  raster.begin();
  const masks = side ? shownMasks(side) : [], opacity = options.outlines ? 0 : Math.round(2.56 * options.opacity);
  for (const { key, ends, object } of masks) {
    const shade = packed(object.colour);
    raster.paint(ends, shade, opacity, key === chosen ? WHITE : shade);
  }
  const prompts = side && options.prompts ? shownPrompts(side) : [];
  for (const { ends } of prompts) if (ends) raster.paint(ends, WHITE, 0, WHITE);
  raster.end(context, pane.left, pane.top);
  context.save();
  context.beginPath();
  context.rect(pane.left, pane.top, pane.width, pane.height);
  context.clip();
  context.translate(pane.left - look.x * look.scale, pane.top - look.y * look.scale);
  if (options.names) for (const { ends, object, area } of masks) drawName(object, ends, area, look, pane.width);
  for (const prompt of prompts) drawPrompt(prompt, look.scale);
  context.restore();
  if (nPanes() > 1) drawWords(side === sides[1] ? "B" : "A", pane.left + 4, pane.top + 4, "#fff", 18);
}

// Largest first, so that a part is not hidden under its whole.
function shownMasks(side) {
  if (!options.masks) return [];
  return side.masks.map((mask) => ({ ...mask, key: keyOf(side, mask.id), object: side.byId.get(mask.id) }))
    .filter(({ key }) => isShown(key)).sort((one, other) => other.area - one.area);
}

const shownPrompts = (side) => side.prompts.filter((prompt) => prompt.at === at && isShown(keyOf(side, prompt.object)));

const ratio = () => canvas.width / canvas.getBoundingClientRect().width;

// Above the part of the mask's column in which half of its pixels are passed; below it where there is no room.
function drawName(object, ends, area, { scale, x, y }, width) {
  const height = clip.size_hw[0];
  let run = 0;
  for (let left = area / 2; left > ends[run + 1] - ends[run]; run += 2) left -= ends[run + 1] - ends[run];
  const column = Math.floor(ends[run] / height), top = (ends[run] % height) * scale, size = 12, tall = size * 1.35 * ratio();
  drawWords(object.title, (column + 0.5) * scale, Math.max(top - tall, y * scale), `rgb(${object.colour})`, size, [x * scale, x * scale + width]);
}

// Words on a dark ground, size in pixels of the window; with limits x is their middle, and they stay between them.
function drawWords(words, x, y, colour, size, limits = null) {
  const unit = ratio(), height = size * unit * 1.35;
  context.font = `600 ${size * unit}px system-ui, "DejaVu Sans", sans-serif`;
  const width = context.measureText(words).width + 8 * unit, left = limits ? Math.max(limits[0], Math.min(limits[1] - width, x - width / 2)) : x;
  context.fillStyle = "rgba(0, 0, 0, .66)";
  context.fillRect(left, y, width, height);
  context.fillStyle = colour;
  context.textBaseline = "middle";
  context.fillText(words, left + 4 * unit, y + height / 2);
}

function drawPrompt({ points, labels, box_xyxy: box }, scale) {
  const unit = ratio();
  const lines = (draw) => { for (const [width, colour] of [[4, "#000"], [2, "#fff"]]) { context.lineWidth = width * unit; context.strokeStyle = colour; draw(); } };
  if (box) lines(() => context.strokeRect(box[0] * scale, box[1] * scale, (box[2] - box[0]) * scale, (box[3] - box[1]) * scale));
  points.forEach(([x, y], place) => {
    const isOn = labels[place] === 1, side = 4 * unit;
    context.beginPath();
    context.arc(x * scale, y * scale, 7 * unit, 0, 2 * Math.PI);
    context.fillStyle = isOn ? "#15803d" : "#b91c1c";
    context.fill();
    lines(() => context.stroke());
    context.beginPath();
    context.moveTo(x * scale - side, y * scale);
    context.lineTo(x * scale + side, y * scale);
    if (isOn) { context.moveTo(x * scale, y * scale - side); context.lineTo(x * scale, y * scale + side); }
    context.lineWidth = 2 * unit;
    context.stroke();
  });
}

// The object under a point of the window: the smallest of those in sight.
function objectUnder(clientX, clientY) {
  const { number, x, y } = pointUnder(clientX, clientY), side = sides[number], [height, width] = clip.size_hw;
  if (!side || x < 0 || y < 0 || x >= width || y >= height) return null;
  const found = shownMasks(side).filter(({ ends }) => maskHolds(ends, Math.floor(x) * height + Math.floor(y)));
  return found.length ? found[found.length - 1].key : null;
}
