"use strict";

// The page: opens videos, and ties the parts together.

let opened = 0;

// Open a video with one setting, or two side by side. `state` is what an address says besides.
async function openVideo(wantedClip, settings, state = {}) {
  const ticket = ++opened, isOther = wantedClip !== clip;
  setPlaying(false);
  const runs = settings.map((setting) => wantedClip.runs.find((run) => run.setting === setting)).filter(Boolean);
  try {
    const found = await Promise.all(runs.map(({ run }) => objectsOf(run, wantedClip.n_frames)));
    if (ticket !== opened) return;
    clip = wantedClip;
    sides = runs.map((run, number) => ({ ...run, ...found[number], masks: [], byId: new Map(found[number].objects.map((one) => [one.id, one])) }));
  } catch (error) {
    if (ticket === opened) fail(error.message);
    return;
  }
  if (isOther || state.off) {
    off.clear();
    for (const key of state.off ?? []) off.add(key);
    [solo, chosen] = [state.solo ?? null, state.chosen ?? null];
  }
  current = { size_hw: clip.size_hw, picture: isOther ? NO_PICTURE : current.picture };
  at = -1;
  fitCanvas();
  if (isOther) showWhole();
  if (state.view) Object.assign(view, state.view);
  showChoices();
  makeLanes();
  moved();
  const position = state.frame === undefined || state.frame === null ? (isOther ? 0 : wanted) : Math.round((state.frame - clip.first) / clip.step);
  await goTo(position);
  drawLanes();
  showPlace();
}

// ---- choices

function showChoices() {
  byId("video").value = String(data.videos.indexOf(clip));
  for (const [id, side] of [["setting", 0], ["other", 1]]) {
    const choice = byId(id), choices = clip.runs.map(({ setting, title }) => element("option", { value: setting }, title));
    choice.replaceChildren(...(side ? [element("option", { value: "" }, "nothing")] : []), ...choices);
    choice.value = sides[side]?.setting ?? "";
    byId(`${id}-label`).hidden = clip.runs.length < 2;
  }
  byId("scrub").max = clip.n_frames - 1;
  Object.assign(byId("number"), { min: clip.first, max: numberOf(clip.n_frames - 1), step: clip.step });
  byId("prompts-label").hidden = !sides.some(({ prompts }) => prompts.length);
}

function showOptions() {
  for (const [id, name] of Object.entries(SWITCHES)) byId(id).checked = options[name];
  byId("opacity").value = options.opacity;
  byId("speed").value = String(speed);
}

const SWITCHES = { "show-masks": "masks", "show-outlines": "outlines", "show-ids": "names", "show-prompts": "prompts" };

const chosenSettings = () => [byId("setting").value, byId("other").value].filter(Boolean);

// Another video, with the same settings where it has them.
async function otherVideo(place) {
  const next = data.videos[place];
  if (!next || next === clip) return;
  const settings = chosenSettings().filter((setting) => next.runs.some((run) => run.setting === setting));
  await openVideo(next, settings.length ? settings : [next.runs[0].setting]);
  remember(true);
}

const videoBy = (n) => otherVideo(data.videos.indexOf(clip) + n);

function startChoices() {
  data.videos.forEach(({ key }, place) => byId("video").append(element("option", { value: place }, key)));
  byId("video").addEventListener("change", () => otherVideo(Number(byId("video").value)));
  for (const id of ["setting", "other"]) byId(id).addEventListener("change", () => openVideo(clip, chosenSettings()).then(() => remember(true)));
  for (const each of SPEEDS) byId("speed").append(element("option", { value: each }, `${each} ×`));
  byId("speed").addEventListener("change", () => setSpeed(Number(byId("speed").value)));
  byId("loop").addEventListener("change", rememberSoon);
  for (const [id, name] of Object.entries(SWITCHES)) byId(id).addEventListener("change", () => { options[name] = byId(id).checked; sceneChanged(); rememberSoon(); });
  byId("opacity").addEventListener("input", () => { options.opacity = byId("opacity").valueAsNumber; sceneChanged(); rememberSoon(); });
  byId("scrub").addEventListener("input", () => seekTo(byId("scrub").valueAsNumber));
  byId("number").addEventListener("change", () => {
    const number = byId("number").valueAsNumber;
    if (Number.isFinite(number)) seekTo(Math.round((number - clip.first) / clip.step));
  });
  byId("all").addEventListener("click", () => { off.clear(); setSolo(null); });
  byId("none").addEventListener("click", () => { for (const key of lanes.keys()) off.add(key); setSolo(null); });
  byId("png").addEventListener("click", () => {
    draw();
    canvas.toBlob((blob) => save(blob, `${clip.frames}-${numberOf(at)}.png`), "image/png");
  });
  const acts = {
    before: () => videoBy(-1), after: () => videoBy(1), closer: () => zoomBy(STEP), farther: () => zoomBy(1 / STEP), whole: () => zoomBy(0),
    first: () => stepBy(-Infinity), back: () => stepBy(-1), play: () => setPlaying(!isPlaying), forth: () => stepBy(1), last: () => stepBy(Infinity),
  };
  for (const [id, act] of Object.entries(acts)) byId(id).addEventListener("click", act);
}

// A click that was no drag chooses an object.
function startPointing() {
  canvas.addEventListener("pointerup", (event) => { if (clip && dragged < 5) choose(objectUnder(event.clientX, event.clientY)); });
}

// ---- keys

const isZoomed = () => view.zoom > 1.001;
const KEYS = {
  " ": () => setPlaying(!isPlaying), ",": () => stepBy(-1), ".": () => stepBy(1), Home: () => stepBy(-Infinity), End: () => stepBy(Infinity),
  ArrowLeft: (event) => stepBy(event.shiftKey ? -10 : -1), ArrowRight: (event) => stepBy(event.shiftKey ? 10 : 1),
  p: (event) => toPrompt(event.shiftKey ? -1 : 1), "<": () => otherSpeed(-1), ">": () => otherSpeed(1), j: () => videoBy(1), k: () => videoBy(-1),
  "+": () => zoomBy(STEP), "=": () => zoomBy(STEP), "-": () => zoomBy(1 / STEP), 0: () => zoomBy(0),
  m: () => byId("show-masks").click(), o: () => byId("show-outlines").click(), n: () => byId("show-ids").click(),
  s: () => { if (chosen !== null) setSolo(solo === chosen ? null : chosen); }, Escape: () => { chosen = null; setSolo(null); },
};
const PANS = { ArrowLeft: [-PAN_PX, 0], ArrowRight: [PAN_PX, 0], ArrowUp: [0, -PAN_PX], ArrowDown: [0, PAN_PX] };

function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (!clip || event.ctrlKey || event.metaKey || event.altKey) return;
    // A field, a list or a button has keys of its own.
    if (event.target.closest("input:not([type=checkbox]):not([type=range]), select, textarea")) return;
    if (event.key === " " && event.target.closest("button, input, summary")) return;
    if (event.target.closest("input[type=range]") && (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End")) return;
    const pan = event.target === canvas && isZoomed() ? PANS[event.key] : undefined;
    const act = pan ? () => panBy(...pan) : KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act(event);
  });
}

// ---- start

async function follow() {
  if (clip && addressOf() === location.hash) return;
  const state = readAddress(), named = data.videos.find(({ key }) => key === state.key) ?? (state.key === null ? data.videos[0] : undefined);
  showOptions();
  if (!named) {
    fail(state.key === null ? "No video was tracked; the tables say why." : `There is no video ${state.key} here.`);
    return;
  }
  const known = (setting) => named.runs.some((run) => run.setting === setting);
  await openVideo(named, [known(state.setting) ? state.setting : named.runs[0].setting, ...(known(state.beside) ? [state.beside] : [])], state);
}

for (const begin of [startGestures, startChoices, startPointing, startKeys]) begin();
for (const name of ["popstate", "hashchange"]) addEventListener(name, follow);
follow();
