"use strict";

// The page: opens images, answers settings, and ties the parts together.

let wantedAt = -1;

// ---- images

async function openImage(at, wantedView = null) {
  const isNew = current !== null && at !== wantedAt;
  wantedAt = at;
  byId("name").textContent = listing.key[at] ?? "";
  byId("failed").hidden = true;
  try {
    const image = await imageAt(at);
    await unpackGroup(image, group);
    if (at !== wantedAt) return;
    showImage(image, wantedView);
    if (isNew) remember(true);
    prefetch(at);
  } catch (error) {
    if (at !== wantedAt) return;
    byId("failed").textContent = `${listing.key[at]}: ${error.message}.`;
    byId("failed").hidden = false;
  }
}

function showImage(image, wantedView) {
  const isOther = image !== current;
  current = image;
  if (isOther) {
    [held, pointedRow, pointedAt] = [false, -1, null];
    fitSliders();
    byId("pointed").replaceChildren(element("p", { class: "hint" }, image.hasPixels ? HINT : "The image's file has gone or has changed: masks without a picture."));
    byId("truth-label").hidden = !image.truth.length;
  }
  fitCanvas();
  if (isOther) showWhole();
  if (wantedView) Object.assign(view, wantedView);
  moved();
  update();
  revealImage();
}

// The next image, while nobody waits.
function prefetch(at) {
  const next = shownImages[shownImages.indexOf(at) + 1];
  if (next === undefined || listing.problem[next] !== null) return;
  whenIdle(() => { if (at === wantedAt) imageAt(next).then((image) => unpackGroup(image, group)).catch(() => {}); });
}

// ---- answers

function update() {
  byId("config").textContent = configLines();
  byId("command").textContent = commandLine();
  listedSetting = settingAt(values, data.groups.indexOf(group))?.id ?? null;
  byId("setting").value = listedSetting ?? "";
  if (!current) return;
  scene = sceneOf(current, data.groups.indexOf(group), values.min_mask_region_area);
  askCurves();
  selection = selectIn(scene, settingOf(values));
  byId("count").textContent = scene.rows ? masksWords(selection.kept.length) : "No results of these passes for this image";
  showDrops();
  showTruth();
  if (byId("list").open) showList();
  if (pointedAt) showPointed(pointedAt);
  else if (pointedRow >= selection.fate.length) pointedRow = -1;
  if (isComparing()) answerAgain();
  else {
    compare.chosen = null;
    showCompare();
    if (rasters.length !== nPanes()) moved();
  }
  blink();
  canvas.setAttribute("aria-label", `${current.key} with ${byId("count").textContent}. Arrow keys move, + and - zoom, 0 shows all, full stop and comma go from mask to mask.`);
  showRows();
  ask();
  rememberSoon();
}

// Setting A stays as it was while sliders move.
function answerAgain() {
  const isKnown = compare.at?.image === current && compare.chosen && compare.answered === compare.held;
  if (isKnown) {
    compare.same = sameMasks();
    showCompare();
  } else {
    compare.chosen = null;
    compare.answered = compare.held;
    answerHeld();
  }
  if (rasters.length !== nPanes()) moved();
}

function showDrops() {
  const lines = [["proposed", selection.proposed]], { counts } = selection;
  for (const fate of [IOU, STABILITY, EDGE, BOX_NMS, CROP_NMS, REGIONS]) {
    if (fate === REGIONS ? scene.redrawn : group.passes.length > 1 || (fate !== EDGE && fate !== CROP_NMS)) lines.push([`dropped by ${FATES[fate]}`, -counts[fate]]);
  }
  FILTER_KEYS.forEach((key, at) => { if (isOn(values, key)) lines.push([`dropped by ${key}`, -counts[FIRST_FILTER + at]]); });
  lines.push(["kept", counts[KEPT]]);
  byId("drops").tBodies[0].replaceChildren(...(scene.rows ? lines : []).map(([name, n]) => {
    const row = element("tr", {});
    row.append(element("th", { scope: "row" }, name), element("td", {}, String(n)));
    return row;
  }));
}

function showTruth() {
  const isOn = options.truth && current.truth.length > 0;
  byId("truth-words").hidden = !isOn;
  if (!isOn) return;
  const { wanted, found, missed, doubled, other, crowd } = truthCounts(current.truth, truthOf(scene, selection));
  const lines = [["found", `${found} of ${wanted} objects found at IoU 0.5`], ["missed", `${missed} missed`], ["doubled", `${doubled} found again`], ["other", `${masksWords(other)} of no object`]];
  if (crowd) lines.push(["crowd", `${crowd} in crowds`]);
  byId("truth-words").replaceChildren(...lines.map(([colour, words]) => legendLine(colour, words)));
}

// ---- settings

function chooseSetting(chosen, index) {
  Object.assign(values, chosen);
  byId("group").value = index;
  chooseGroup(index);
}

// Another setting, with its passes if they are others.
async function setSetting(chosen, index) {
  chooseSetting(chosen, index);
  if (!current) return;
  await unpackGroup(current, group);
  update();
}

function makeSettings() {
  const choice = byId("setting");
  choice.append(element("option", { value: "" }, "your own"));
  for (const one of data.settings) choice.append(element("option", { value: one.id }, one.label));
  choice.addEventListener("change", () => {
    const one = data.settings.find((each) => each.id === choice.value);
    if (one) setSetting({ ...data.baseline, ...one.values }, one.group);
  });
  data.groups.forEach((each, index) => byId("group").append(element("option", { value: index }, each.title)));
  byId("group-label").hidden = data.groups.length < 2;
  byId("group").addEventListener("change", (event) => setSetting({ ...values }, Number(event.target.value)));
}

// ---- options

const SWITCHES = { "show-masks": "masks", "show-outlines": "outlines", "show-whole": "whole", "show-dropped": "dropped", "show-truth": "truth" };

function showOptions() {
  for (const [id, name] of Object.entries(SWITCHES)) byId(id).checked = name === "whole" ? !options.whole : options[name];
  byId("opacity").value = options.opacity;
  byId("alone").hidden = options.solo === null && !options.pins.size;
  byId("alone-words").textContent = [options.solo === null ? "" : `only #${options.solo.split("-")[1]}`, options.pins.size ? `${options.pins.size} pinned` : ""].filter(Boolean).join(", ");
  for (const choice of document.querySelectorAll("input[name=mode]")) choice.checked = choice.value === compare.mode;
}

function startOptions() {
  for (const [id, name] of Object.entries(SWITCHES)) {
    byId(id).addEventListener("change", () => {
      options[name] = name === "whole" ? !byId(id).checked : byId(id).checked;
      if (current) showTruth();
      optionsChanged();
    });
  }
  byId("opacity").addEventListener("input", () => { options.opacity = byId("opacity").valueAsNumber; optionsChanged(); });
  byId("no-alone").addEventListener("click", () => { options.solo = null; options.pins.clear(); optionsChanged(); });
  byId("reset").addEventListener("click", () => setSetting({ ...data.baseline }, 0));
  byId("sliders").addEventListener("submit", (event) => event.preventDefault());
  byId("list").addEventListener("toggle", () => { if (byId("list").open && selection) showList(); });
  for (const [id, act] of Object.entries({ before: () => nextImage(-1), after: () => nextImage(1), closer: () => zoomBy(STEP), farther: () => zoomBy(1 / STEP), whole: () => zoomBy(0) })) byId(id).addEventListener("click", act);
}

// ---- keys

const isZoomed = () => view.zoom > 1.001;
const KEYS = {
  "+": () => zoomBy(STEP), "=": () => zoomBy(STEP), "-": () => zoomBy(1 / STEP), 0: () => zoomBy(0),
  j: () => nextImage(1), k: () => nextImage(-1), ".": () => step(1), ",": () => step(-1),
  ArrowLeft: () => (isZoomed() ? panBy(-PAN_PX, 0) : nextImage(-1)), ArrowRight: () => (isZoomed() ? panBy(PAN_PX, 0) : nextImage(1)),
  ArrowUp: () => (isZoomed() ? panBy(0, -PAN_PX) : nextImage(-1)), ArrowDown: () => (isZoomed() ? panBy(0, PAN_PX) : nextImage(1)),
  s: () => pointedRow >= 0 && toggleSolo(keyOf(scene, pointedRow)), p: () => pointedRow >= 0 && togglePin(keyOf(scene, pointedRow)),
  m: () => byId("show-masks").click(), o: () => byId("show-outlines").click(), w: () => byId("show-whole").click(),
  t: () => current?.truth.length && byId("show-truth").click(), b: () => isComparing() && flip(),
  Escape: () => { [held, pointedRow, pointedAt] = [false, -1, null]; options.solo = null; optionsChanged(); },
};

function startKeys() {
  document.addEventListener("keydown", (event) => {
    const inField = event.target.closest("input:not([type=checkbox]):not([type=radio]), select, textarea, [role=listbox]");
    const act = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
    if (!act || inField || event.ctrlKey || event.metaKey || event.altKey) return;
    // Elsewhere arrow keys scroll the page.
    if (event.key.startsWith("Arrow") && event.target !== canvas) return;
    event.preventDefault();
    act();
  });
}

// ---- start

// The image of the address, by default the first inside the page: its place in the list, -1 if it is not there.
function goToAddress() {
  isReading = true;
  const { key, view: wantedView } = readAddress();
  showOptions();
  isReading = false;
  const first = data.images.length ? listing.key.indexOf(data.images[0].key) : listing.problem.indexOf(null);
  return { key, at: key === null ? first : listing.key.indexOf(key), wantedView };
}

function follow() {
  if (current && addressOf() === location.hash) return;
  const { key, at, wantedView } = goToAddress();
  if (at >= 0) {
    if (at === current?.at && !wantedView) showWhole();
    openImage(at, wantedView);
    return;
  }
  byId("failed").textContent = key === null ? "No image to show" : `There is no image ${key} here.`;
  byId("failed").hidden = false;
}

async function start() {
  makeSettings();
  chooseGroup(0);
  for (const begin of [startList, startGestures, startPointing, startCompare, startDownloads, startOptions, startKeys]) begin();
  if (!(await loadListing())) listInside();
  showWhere();
  filterImages();
  follow();
  for (const name of ["popstate", "hashchange"]) addEventListener(name, follow);
}

start();
