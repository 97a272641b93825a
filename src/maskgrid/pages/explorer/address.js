"use strict";

// The page's state in the address, after #, so that a link or a bookmark brings it back: the image, the setting, the view.

const NUMBERS = ["zoom", "x", "y"], DEFAULTS = { opacity: 45 };
let addressPause = 0, isReading = false;

// A setting as parameters: its name in the sweep, or what differs from the baseline.
function settingToParameters(chosen, index) {
  const known = settingAt(chosen, index), found = new URLSearchParams();
  if (known) {
    if (known !== data.settings[0]) found.set("setting", known.label);
    return found;
  }
  if (index > 0) found.set("passes", data.groups[index].keys.join(" "));
  for (const [name, value] of Object.entries(chosen)) if (value !== data.baseline[name]) found.set(name, value ?? "off");
  return found;
}

function settingFromParameters(given) {
  const wanted = given.get("setting"), known = data.settings.find((one) => one.label === wanted || one.id === wanted) ?? data.settings[0];
  const passes = given.get("passes"), place = data.groups.findIndex((one) => one.keys.join(" ") === passes);
  const index = place >= 0 ? place : known.group, chosen = { ...data.baseline, ...known.values };
  for (const name of Object.keys(data.baseline)) {
    const text = given.get(name);
    if (text === null) continue;
    const number = Number(text);
    if (text === "off") chosen[name] = null;
    else if (["region", "containment_keeps"].includes(name)) chosen[name] = text;
    else if (text !== "" && Number.isFinite(number)) chosen[name] = number;
  }
  if (!["larger", "smaller"].includes(chosen.containment_keeps)) chosen.containment_keeps = "larger";
  if (!data.regions.includes(chosen.region)) chosen.region = null;
  return { chosen: within(chosen, data.groups[index]), index };
}

function addressOf() {
  const found = new URLSearchParams();
  if (current) found.set("image", current.key);
  for (const [name, value] of settingToParameters(values, data.groups.indexOf(group))) found.set(name, value);
  if (isComparing()) found.set("compare", settingToParameters(compare.held.values, compare.held.index).toString() || `setting=${data.label}`);
  if (isComparing() && compare.mode !== "side") found.set("mode", compare.mode);
  if (view.zoom > 1.001) for (const name of NUMBERS) found.set(name, String(Number(view[name].toFixed(name === "zoom" ? 3 : 1))));
  for (const name of ["outlines", "dropped", "truth"]) if (options[name]) found.set(name, "1");
  for (const name of ["masks", "whole"]) if (!options[name]) found.set(name, "0");
  if (options.opacity !== DEFAULTS.opacity) found.set("opacity", options.opacity);
  if (options.solo !== null) found.set("solo", options.solo);
  if (options.pins.size) found.set("pins", [...options.pins].join(","));
  return `#${found}`;
}

function rememberSoon() {
  clearTimeout(addressPause);
  if (!isReading) addressPause = setTimeout(() => remember(false), 150);
}

// Another image is another entry of the browser's history.
function remember(isNew) {
  clearTimeout(addressPause);
  const address = addressOf();
  if (address === location.hash) return;
  try {
    history[isNew ? "pushState" : "replaceState"](null, "", address);
  } catch { /* a page inside another document has no address of its own */ }
}

// Bring a state back: all but the image, which must be there first. Returns its key, or null.
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1)), { chosen, index } = settingFromParameters(given);
  chooseSetting(chosen, index);
  const held = given.get("compare");
  compare.held = null;
  if (held !== null) {
    const other = settingFromParameters(new URLSearchParams(held));
    compare.held = { values: other.chosen, index: other.index };
  }
  compare.mode = given.get("mode") === "blink" ? "blink" : "side";
  for (const name of ["outlines", "dropped", "truth"]) options[name] = given.get(name) === "1";
  for (const name of ["masks", "whole"]) options[name] = given.get(name) !== "0";
  const opacity = Number(given.get("opacity") ?? DEFAULTS.opacity);
  options.opacity = opacity >= 0 && opacity <= 100 ? opacity : DEFAULTS.opacity;
  options.solo = given.get("solo");
  options.pins = new Set((given.get("pins") ?? "").split(",").filter(Boolean));
  const [zoom, x, y] = NUMBERS.map((name) => Number(given.get(name) ?? NaN));
  return { key: given.get("image"), view: [zoom, x, y].every(Number.isFinite) ? { zoom, x, y } : null };
}
