"use strict";

// Two settings: A is held, B is the one of the sliders. What appears and what vanishes has colours and counts.

const SAME_IOU = 0.9, BLINK_MS = 800;
const compare = { held: null, mode: "side", isA: false, timer: 0, at: null, chosen: null, same: null };

const isComparing = () => compare.held !== null;
const nPanes = () => (isComparing() && compare.mode === "side" ? 2 : 1);

function holdSetting() {
  compare.held = { values: { ...values }, index: data.groups.indexOf(group) };
  update();
}

function endCompare() {
  compare.held = null;
  update();
}

// The setting A of the current image, and which masks are in both.
async function answerHeld() {
  const { values: chosen, index } = compare.held, image = current;
  await unpackGroup(image, data.groups[index]);
  if (image !== current || !isComparing()) return;
  compare.at = sceneOf(image, index, chosen.min_mask_region_area);
  compare.chosen = selectIn(compare.at, settingOf(chosen, index));
  compare.same = sameMasks();
  showCompare();
  sceneChanged();
}

// Masks of both settings: the same candidate drawn alike, else a pair that overlaps by IoU 0.9, best first.
function sameMasks() {
  const { at, chosen } = compare, inA = new Set(), inB = new Set();
  if (!at.rows || !scene.rows) return { inA, inB };
  if (at.rows === scene.rows && at.redrawn === scene.redrawn) {
    for (const row of chosen.kept) if (selection.isKept.has(row)) { inA.add(row); inB.add(row); }
  }
  const one = at.shapes, other = scene.shapes, pairs = [];
  for (const a of chosen.kept.filter((row) => !inA.has(row))) {
    for (const b of selection.kept.filter((row) => !inB.has(row))) {
      const least = Math.min(one.area[a], other.area[b]);
      if (least < SAME_IOU * Math.max(one.area[a], other.area[b])) continue;
      const common = commonPx(one.ends[a], other.ends[b]), iou = common / (one.area[a] + other.area[b] - common);
      if (iou >= SAME_IOU) pairs.push([iou, a, b]);
    }
  }
  for (const [, a, b] of pairs.sort((first, second) => second[0] - first[0])) {
    if (inA.has(a) || inB.has(b)) continue;
    inA.add(a);
    inB.add(b);
  }
  return { inA, inB };
}

// What a pane shows: its scene, selection, and each mask's colour.
function paneContent(number) {
  const mine = { at: scene, chosen: selection, colour: (row) => colourOf(scene, row) };
  if (options.truth && current.truth.length) {
    const kinds = (at, chosen) => (row) => COLOURS[truthOf(at, chosen).kind.get(row) ?? "other"];
    mine.colour = kinds(scene, selection);
    if (isComparing() && compare.chosen && isPaneA(number)) return { at: compare.at, chosen: compare.chosen, colour: kinds(compare.at, compare.chosen) };
    return mine;
  }
  if (!isComparing() || !compare.chosen) return mine;
  const { inA, inB } = compare.same;
  if (isPaneA(number)) return { at: compare.at, chosen: compare.chosen, colour: (row) => COLOURS[inA.has(row) ? "both" : "vanished"] };
  return { ...mine, colour: (row) => COLOURS[inB.has(row) ? "both" : "appeared"] };
}

const isPaneA = (number) => (compare.mode === "side" ? number === 0 : compare.isA);

function blink() {
  clearInterval(compare.timer);
  const isOn = isComparing() && compare.mode === "blink", isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (isOn && !isStill) compare.timer = setInterval(flip, BLINK_MS);
}

function flip() {
  compare.isA = !compare.isA;
  byId("which").textContent = compare.isA ? "A" : "B";
  ask();
}

// ---- words

const nameOfSetting = (chosen, index) => settingAt(chosen, index)?.label ?? changesOf(chosen).join(", ");
function changesOf(chosen) {
  const changed = Object.keys(chosen).filter((name) => chosen[name] !== data.baseline[name]).map((name) => `${name} ${chosen[name] ?? "off"}`);
  return changed.length ? changed : [data.label];
}

function showCompare() {
  byId("compare").hidden = !isComparing();
  byId("hold").textContent = isComparing() ? "Hold this setting as A instead" : "Compare with this setting";
  if (!isComparing() || !compare.chosen) return void byId("compare-words").replaceChildren();
  const { inA, inB } = compare.same, nA = compare.chosen.kept.length, nB = selection.kept.length;
  const lines = [
    [null, `A: ${nameOfSetting(compare.held.values, compare.held.index)}, ${masksWords(nA)}`], [null, `B: the sliders' setting, ${masksWords(nB)}`],
    ["appeared", `${nB - inB.size} appear in B`], ["vanished", `${nA - inA.size} vanish from A`], ["both", `${inB.size} in both`],
  ];
  byId("compare-words").replaceChildren(...lines.map(([colour, words]) => legendLine(colour, words)));
}

function legendLine(colour, words) {
  const line = element("li", {});
  if (colour) {
    const swatch = element("i", { "aria-hidden": "true" });
    swatch.style.background = `rgb(${COLOURS[colour]})`;
    line.append(swatch, " ");
  }
  line.append(words);
  return line;
}

function startCompare() {
  byId("hold").addEventListener("click", holdSetting);
  byId("end-compare").addEventListener("click", endCompare);
  byId("swap").addEventListener("click", () => {
    const { values: chosen, index } = compare.held;
    compare.held = { values: { ...values }, index: data.groups.indexOf(group) };
    setSetting(chosen, index);
  });
  for (const choice of document.querySelectorAll("input[name=mode]")) choice.addEventListener("change", () => { compare.mode = choice.value; moved(); blink(); });
  byId("flip").addEventListener("click", flip);
}
