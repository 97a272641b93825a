"use strict";

// The page's state in the address, after #, so that a link or a bookmark brings it back.

const ON = { masks: "masks", names: "names", prompts: "prompts" }, DEFAULT_OPACITY = 45;
let addressPause = 0;

function addressOf() {
  const found = new URLSearchParams();
  if (!clip) return "";
  found.set("video", clip.key);
  found.set("frame", numberOf(wanted));
  if (sides[0].setting !== clip.runs[0].setting) found.set("setting", sides[0].setting);
  if (sides[1]) found.set("beside", sides[1].setting);
  if (off.size) found.set("off", [...off].join(","));
  if (solo !== null) found.set("solo", solo);
  if (chosen !== null) found.set("chosen", chosen);
  if (speed !== 1) found.set("speed", speed);
  if (byId("loop").checked) found.set("loop", "1");
  if (options.outlines) found.set("outlines", "1");
  for (const name of Object.keys(ON)) if (!options[name]) found.set(name, "0");
  if (options.opacity !== DEFAULT_OPACITY) found.set("opacity", options.opacity);
  if (view.zoom > 1.001) for (const name of ["zoom", "x", "y"]) found.set(name, String(Number(view[name].toFixed(name === "zoom" ? 3 : 1))));
  return `#${found}`;
}

function rememberSoon() {
  clearTimeout(addressPause);
  if (!isPlaying) addressPause = setTimeout(() => remember(false), 200);
}

// Another video is another entry of the browser's history.
function remember(isNew) {
  clearTimeout(addressPause);
  const address = addressOf();
  if (!address || address === location.hash) return;
  try {
    history[isNew ? "pushState" : "replaceState"](null, "", address);
  } catch { /* a page inside another document has no address of its own */ }
}

const listed = (text) => (text ?? "").split(",").filter(Boolean);

// Options now; returns the rest, for which the video must be there first.
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  options.outlines = given.get("outlines") === "1";
  for (const name of Object.keys(ON)) options[name] = given.get(name) !== "0";
  const opacity = Number(given.get("opacity") ?? DEFAULT_OPACITY);
  options.opacity = opacity >= 0 && opacity <= 100 ? opacity : DEFAULT_OPACITY;
  byId("loop").checked = given.get("loop") === "1";
  speed = SPEEDS.includes(Number(given.get("speed"))) ? Number(given.get("speed")) : 1;
  const [zoom, x, y] = ["zoom", "x", "y"].map((name) => Number(given.get(name) ?? NaN)), frame = Number(given.get("frame") ?? NaN);
  return {
    key: given.get("video"), setting: given.get("setting"), beside: given.get("beside"), frame: Number.isFinite(frame) ? frame : null,
    off: listed(given.get("off")), solo: given.get("solo"), chosen: given.get("chosen"), view: [zoom, x, y].every(Number.isFinite) ? { zoom, x, y } : null,
  };
}
