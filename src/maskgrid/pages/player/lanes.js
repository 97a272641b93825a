"use strict";

// A lane for each object: where it is in sight and how large, the network's score, gaps, prompts. Lanes lie under the slider
// of frames, as wide as the way of its thumb.

const THUMB_PX = 16, LANE_PX = 33;
let lanes = new Map();

const inSight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    const lane = lanes.get(target.dataset.key);
    if (!lane) continue;
    lane.isInSight = isIntersecting;
    if (isIntersecting) drawLane(lane);
  }
}, { root: byId("timeline"), rootMargin: "100px" });
new ResizeObserver(() => { for (const lane of lanes.values()) lane.width = 0; drawLanes(); showPlace(); }).observe(byId("timeline"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const lane of lanes.values()) lane.width = 0; drawLanes(); });

function makeLanes() {
  inSight.disconnect();
  lanes = new Map();
  const rows = [];
  for (const [number, side] of sides.entries()) {
    if (sides.length > 1) rows.push(element("div", { class: "lane side" }, `${"AB"[number]}: ${side.title}`));
    for (const object of side.objects) rows.push(makeLane(side, object));
  }
  if (!lanes.size) rows.push(element("p", { class: "hint" }, "No object was followed in this video."));
  byId("lanes").replaceChildren(...rows);
  byId("n-objects").textContent = `${lanes.size} ${lanes.size === 1 ? "object" : "objects"}`;
  for (const { row } of lanes.values()) inSight.observe(row);
  showObjects();
}

function makeLane(side, object) {
  const key = keyOf(side, object.id), row = element("div", { class: "lane", "data-key": key });
  const who = element("div", { class: "who" }), box = element("input", { type: "checkbox", "aria-label": `Show ${object.title}` });
  const chip = element("i", { style: `background: rgb(${object.colour})` });
  const name = element("button", { type: "button", class: "name", title: object.title }, object.title);
  const alone = element("button", { type: "button", class: "small", "aria-label": `solo ${object.title}`, title: "Only this one (S)" }, "solo");
  const strip = element("canvas", { role: "img", "aria-label": laneWords(object) }), now = element("span", { class: "now" });
  who.append(box, chip, name, alone);
  row.append(who, strip, now);
  box.addEventListener("change", () => { toggle(key, box.checked); });
  name.addEventListener("click", () => choose(chosen === key ? null : key));
  alone.addEventListener("click", () => setSolo(solo === key ? null : key));
  strip.addEventListener("pointerdown", (event) => { strip.setPointerCapture(event.pointerId); seekTo(placeUnder(strip, event)); });
  strip.addEventListener("pointermove", (event) => { if (event.buttons) seekTo(placeUnder(strip, event)); });
  lanes.set(key, { key, side, object, row, box, alone, strip, now, width: 0, isInSight: false });
  return row;
}

// The position under the pointer.
function placeUnder(strip, event) {
  const { left, width } = strip.getBoundingClientRect();
  return Math.round((event.clientX - left - THUMB_PX / 2) / Math.max(1, width - THUMB_PX) * (clip.n_frames - 1));
}

// Stretches of frames on which an object is in sight, and those between them.
function stretchesOf({ at: followed, isSeen }) {
  const found = [];
  for (const position of followed) {
    if (!isSeen(position)) continue;
    const last = found[found.length - 1];
    if (last && last[1] === position - 1) last[1] = position;
    else found.push([position, position]);
  }
  return found;
}

function laneWords(object) {
  const seen = stretchesOf(object).map(([first, last]) => (first === last ? `${numberOf(first)}` : `${numberOf(first)} to ${numberOf(last)}`));
  const prompts = [...new Set(object.prompts.map((prompt) => numberOf(prompt.at)))];
  const many = seen.length > 6 ? `${seen.slice(0, 6).join(", ")} and ${seen.length - 6} more` : seen.join(", ");
  return `${object.title}: ${seen.length ? `in sight on frames ${many}` : "never in sight"}${prompts.length ? `; prompts on frames ${prompts.join(", ")}` : ""}`;
}

function drawLanes() {
  for (const lane of lanes.values()) if (lane.isInSight) drawLane(lane);
}

function drawLane(lane) {
  const { strip, object } = lane, width = strip.clientWidth, scale = devicePixelRatio;
  if (!width || lane.width === width) return;
  lane.width = width;
  [strip.width, strip.height] = [Math.round(width * scale), Math.round(LANE_PX * scale)];
  const pen = strip.getContext("2d"), style = getComputedStyle(document.documentElement);
  pen.scale(scale, scale);
  const step = (width - THUMB_PX) / Math.max(1, clip.n_frames - 1), x = (position) => THUMB_PX / 2 + step * position;
  drawBars(pen, object, x, Math.max(1, step));
  drawGaps(pen, object, x, step, style.getPropertyValue("--baseline"));
  drawScore(pen, object, x, style.getPropertyValue("--text"));
  drawMarks(pen, object, x);
}

function drawBars(pen, { at: followed, area_px: areas, colour }, x, step) {
  const most = areas.reduce((one, other) => Math.max(one, other), 1);
  pen.fillStyle = `rgba(${colour}, .8)`;
  followed.forEach((position, row) => {
    if (!areas[row]) return;
    const height = Math.max(3, (LANE_PX - 6) * Math.sqrt(areas[row] / most));
    // Whole pixels, so that there are no seams between frames.
    const left = Math.round(x(position) - step / 2), right = Math.round(x(position) + step / 2);
    pen.fillRect(left, (LANE_PX - height) / 2, Math.max(1, right - left), height);
  });
}

function drawGaps(pen, object, x, step, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  pen.setLineDash([4, 3]);
  for (let row = 0; row < object.at.length;) {
    let end = row;
    while (end < object.at.length && !object.area_px[end] && object.at[end] === object.at[row] + end - row) end++;
    if (end > row) {
      pen.beginPath();
      pen.moveTo(x(object.at[row]) - step / 2, LANE_PX / 2);
      pen.lineTo(x(object.at[end - 1]) + step / 2, LANE_PX / 2);
      pen.stroke();
    }
    row = Math.max(end, row + 1);
  }
  pen.setLineDash([]);
}

function drawScore(pen, { at: followed, score }, x, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.beginPath();
  followed.forEach((position, row) => {
    const y = LANE_PX - 3 - (LANE_PX - 6) * score[row] / 100;
    if (row && position === followed[row - 1] + 1) pen.lineTo(x(position), y);
    else pen.moveTo(x(position), y);
  });
  pen.stroke();
}

function drawMarks(pen, { prompts }, x) {
  pen.fillStyle = "#fff";
  pen.strokeStyle = "#222";
  pen.lineWidth = 1.5;
  for (const position of new Set(prompts.map((prompt) => prompt.at))) {
    pen.beginPath();
    for (const [dx, dy] of [[0, -6], [5, 0], [0, 6], [-5, 0]]) pen.lineTo(x(position) + dx, LANE_PX / 2 + dy);
    pen.closePath();
    pen.fill();
    pen.stroke();
  }
}

// ---- what lanes say of now

// Which objects are shown, which is alone, which is chosen.
function showObjects() {
  for (const { key, row, box, alone } of lanes.values()) {
    box.checked = !off.has(key);
    alone.setAttribute("aria-pressed", String(solo === key));
    row.classList.toggle("off", !isShown(key));
    if (chosen === key) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

function objectsChanged() {
  showObjects();
  sceneChanged();
  rememberSoon();
}

function toggle(key, isOn) {
  if (isOn) off.delete(key);
  else off.add(key);
  if (solo !== null) solo = null;
  objectsChanged();
}

function setSolo(key) {
  solo = key;
  objectsChanged();
}

function choose(key) {
  chosen = key;
  lanes.get(key)?.row.scrollIntoView({ block: "nearest" });
  objectsChanged();
}

// Slider, number and playhead.
function showPlace() {
  if (!clip) return;
  byId("scrub").value = wanted;
  byId("scrub").setAttribute("aria-valuetext", `frame ${numberOf(wanted)}`);
  if (document.activeElement !== byId("number")) byId("number").value = numberOf(wanted);
  byId("of").textContent = `of ${numberOf(clip.n_frames - 1)}, ${(wanted / clip.rate_hz).toFixed(2)} s`;
  const scrub = byId("scrub"), head = byId("playhead");
  const left = scrub.offsetLeft + THUMB_PX / 2 + (scrub.offsetWidth - THUMB_PX) * wanted / Math.max(1, clip.n_frames - 1);
  head.style.left = `${left - 1}px`;
  head.style.height = `${byId("lanes").offsetHeight}px`;
}

// Scores and areas of the frame in sight; of lanes out of sight they can wait.
function showNow() {
  for (const { object, now, isInSight } of lanes.values()) {
    if (!isInSight && isPlaying) continue;
    const row = object.rowAt[at];
    now.textContent = row < 0 ? "" : `${object.score[row]} %, ${object.area_px[row] ? `${object.area_px[row].toLocaleString("en")} px` : "unseen"}`;
  }
  if (!isPlaying) sayFrame();
}

let sayPause = 0;
function sayFrame() {
  const shown = [...lanes.values()].filter(({ key, object }) => isShown(key) && object.isSeen(at)).map(({ object }) => object.title);
  const words = `Frame ${numberOf(at)}: ${shown.length ? shown.slice(0, 12).join(", ") : "no object"}${shown.length > 12 ? ` and ${shown.length - 12} more` : ""}`;
  canvas.setAttribute("aria-label", `${clip.key}. ${words}. Space plays, comma and full stop go a frame back and on.`);
  clearTimeout(sayPause);
  sayPause = setTimeout(() => { byId("said").textContent = words; }, 400);
}
