"use strict";

// The sliders: what a setting is, what can be chosen, and how it is written in a config.

const values = { ...data.baseline };
const inputs = new Map();
let group = data.groups[0], levels = [], offsets = [];

const THRESHOLDS = ["pred_iou_thresh", "stability_score_thresh", "stability_score_offset", "mask_threshold", "box_nms_thresh", "crop_nms_thresh", "min_mask_region_area"];
const isSame = (one, other) => [...THRESHOLDS, ...FILTER_KEYS, "containment_keeps", "min_region_frac"].every((name) => one[name] === other[name]);

// ---- choices

// A group of passes, with sliders over what was recorded of them. Values that it has not are moved to the nearest.
function chooseGroup(index) {
  group = data.groups[index];
  ({ mask_thresholds: levels, stability_score_offsets: offsets } = group.recording);
  byId("sliders").replaceChildren();
  inputs.clear();
  charts.clear();
  makeControls();
  byId("sliders").append(element("h2", {}, "Filters after the generator"));
  makeFilterControls();
  Object.assign(values, within(values, group));
  showValues();
  byId("note").textContent = `Checkpoint ${group.checkpoint}, passes ${group.passes.join(", ")}; all else as in the setting ${data.label}.`;
}

// The values as far as a group has recorded them.
function within(wanted, { recording }) {
  const found = { ...wanted };
  for (const name of ["pred_iou_thresh", "stability_score_thresh"]) found[name] = Math.max(found[name], recording[name]);
  if (!recording.mask_thresholds.includes(found.mask_threshold)) found.mask_threshold = recording.mask_thresholds[0];
  if (!recording.stability_score_offsets.includes(found.stability_score_offset)) found.stability_score_offset = recording.stability_score_offsets[0];
  return found;
}

const showValues = () => { for (const [name, set] of inputs) set(values[name]); };

// The setting of the sweep that has these values, if there is one.
const settingAt = (chosen, index) => data.settings.find((one) => one.group === index && isSame(chosen, { ...data.baseline, ...one.values }));

function change(name, value) {
  values[name] = value;
  inputs.get(name)(value);
  update();
}

// ---- controls

const pixelsMax = () => { const [height, width] = current?.size_hw ?? [1000, 1000]; return height * width; };

// The sliders: key, least and most value, step, and the end at which a filter is off.
const thresholdSliders = () => [
  ["pred_iou_thresh", group.recording.pred_iou_thresh, 1, 0.01], ["stability_score_thresh", group.recording.stability_score_thresh, 1, 0.01],
  ["box_nms_thresh", 0, 1, 0.01], ["crop_nms_thresh", 0, 1, 0.01], ["min_mask_region_area", 0, 1000, 1],
];
const filterSliders = () => [
  ["min_area_px", 0, Math.ceil(pixelsMax() / 20), 1], ["max_area_px", 0, pixelsMax(), 1, "max"], ["min_area_frac", 0, 1, 0.001], ["max_area_frac", 0, 1, 0.001],
  ["border", -1, 50, 1, "min"], ["min_fill_frac", 0, 1, 0.01], ["max_aspect_ratio", 1, 20, 0.1, "max"],
  ["mask_nms_thresh", 0, 1, 0.01], ["max_containment_frac", 0, 1, 0.01], ["max_masks", 0, 500, 1, "max"],
];
const WITHOUT_CURVE = ["min_mask_region_area"];

function makeControls() {
  for (const slider of thresholdSliders()) makeSlider(...slider);
  for (const [name, options] of [["mask_threshold", levels], ["stability_score_offset", offsets]]) {
    const isOne = options.length < 2, choice = makeChoice(name, options, String, isOne ? `${name} (one value recorded)` : name);
    choice.disabled = isOne;
  }
}

function makeFilterControls() {
  for (const slider of filterSliders()) makeSlider(...slider);
  makeChoice("containment_keeps", ["larger", "smaller"], String, "containment_keeps");
  if (!data.regions.length) return;
  makeChoice("region", [null, ...data.regions], (value) => value ?? "off", "region");
  makeChoice("min_region_frac", [null, ...data.region_fracs], (value) => value ?? "the prompt's point", "min_region_frac");
}

// Recorded thresholds have no values below what was recorded: the label says so.
const isRecorded = (name) => name in group.recording && group.recording[name] > 0;

function makeSlider(name, low, high, step, offAt) {
  const end = offAt && (offAt === "min" ? low : high);
  const range = element("input", { type: "range", id: name, min: low, max: high, step, "aria-label": name });
  const least = name === "border" ? 0 : low;
  const number = element("input", { type: "number", min: least, step: "any", "aria-label": `${name}, exact value`, ...(offAt ? { placeholder: "off" } : {}) });
  if (THRESHOLDS.includes(name) && high === 1) number.max = 1;
  range.addEventListener("input", () => change(name, range.valueAsNumber === end ? null : range.valueAsNumber));
  number.addEventListener("change", () => {
    if (number.value === "" && offAt) change(name, null);
    else if (number.checkValidity() && number.value !== "") change(name, number.valueAsNumber);
    else number.reportValidity();
  });
  const label = isRecorded(name) ? `${name} (recorded from ${group.recording[name]})` : name;
  control(name, label, range, number, ...(WITHOUT_CURVE.includes(name) ? [] : [chartOf(name, low, high, end)]));
  inputs.set(name, (value) => {
    range.value = value ?? end;
    if (document.activeElement !== number) number.value = value ?? "";
    if (charts.has(name)) markChart(name, value);
  });
}

function makeChoice(name, options, wording, label) {
  const choice = element("select", { id: name });
  options.forEach((value, at) => choice.append(element("option", { value: at }, wording(value))));
  choice.addEventListener("change", () => change(name, options[Number(choice.value)]));
  control(name, label, choice);
  inputs.set(name, (value) => { choice.value = String(Math.max(0, options.indexOf(value))); });
  return choice;
}

function control(name, label, ...parts) {
  const box = element("div", { class: "control" });
  box.append(element("label", { for: name }, label), ...parts);
  byId("sliders").append(box);
}

// Sliders over pixels follow the image.
function fitSliders() {
  for (const [name, low, high, , offAt] of filterSliders()) {
    if (!name.endsWith("_px")) continue;
    byId(name).max = high;
    Object.assign(charts.get(name), { low, high, end: offAt && high, key: null });
    inputs.get(name)(values[name]);
  }
}

// ---- the config

function filterNames(chosen) {
  const names = FILTER_KEYS.filter((key) => isOn(chosen, key));
  if (names.includes("max_containment_frac") && chosen.containment_keeps !== "larger") names.push("containment_keeps");
  if (names.includes("region") && chosen.min_region_frac !== null) names.push("min_region_frac");
  return names;
}

const written = (name, value) => (typeof value !== "number" ? JSON.stringify(value) : THRESHOLDS.includes(name) && Number.isInteger(value) && name !== "min_mask_region_area" ? value.toFixed(1) : String(value));

function configLines() {
  const names = THRESHOLDS.filter((name) => name !== "min_mask_region_area" || values[name] > 0), filters = filterNames(values);
  return [
    ...(group.is_other_checkpoint ? ["model:", `  checkpoint: ${JSON.stringify(group.checkpoint)}`] : []),
    "generator:",
    ...Object.entries(group.generator).map(([name, value]) => `  ${name}: ${JSON.stringify(value)}`),
    ...names.map((name) => `  ${name}: ${written(name, values[name])}`),
    ...(filters.length ? ["filters:", ...filters.map((name) => `  ${name}: ${written(name, values[name])}`)] : []),
  ].join("\n");
}

// What to type for the same: what differs from the config.
function commandLine() {
  const changed = [], config = data.config;
  if (group.checkpoint !== config.checkpoint) changed.push(["model.checkpoint", group.checkpoint]);
  for (const name of group.changed) if (name in group.generator) changed.push([`generator.${name}`, group.generator[name]]);
  for (const name of THRESHOLDS) if (values[name] !== config.values[name]) changed.push([`generator.${name}`, values[name]]);
  for (const name of [...FILTER_KEYS, "containment_keeps", "min_region_frac"]) {
    if (values[name] !== config.values[name]) changed.push([`filters.${name}`, values[name]]);
  }
  const quoted = (text) => (/^[\w.\/:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  return ["maskgrid run", ...changed.map(([name, value]) => quoted(`${name}=${written(name.split(".")[1], value)}`))].join(" ");
}
