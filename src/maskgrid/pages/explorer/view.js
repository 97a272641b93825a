"use strict";

// Zoom and pan: what part of the image is in sight. Zoom 1 shows the whole image; the rest is in image pixels.

const MOST_PIXELS_EACH = 40, LEAST_ZOOM = 16, STEP = 1.25, PAN_PX = 60;
const canvas = byId("canvas"), context = canvas.getContext("2d");
const view = { zoom: 1, x: 0, y: 0 };  // the image's point in the middle

// The canvas in the screen's pixels, not more than are painted in time.
const MOST_PIXELS = 1_600_000;
function fitCanvas() {
  const box = canvas.getBoundingClientRect();
  const ratio = Math.min(devicePixelRatio, Math.sqrt(MOST_PIXELS / Math.max(1, box.width * box.height)));
  const width = Math.max(1, Math.round(box.width * ratio)), height = Math.max(1, Math.round(box.height * ratio));
  if (canvas.width === width && canvas.height === height) return false;
  [canvas.width, canvas.height] = [width, height];
  return true;
}

// The canvas in parts of equal size: one, or two beside or above each other, as the image is larger.
function panes(n) {
  const { width, height } = canvas, gap = n > 1 ? 6 : 0, [rows, columns] = current.size_hw;
  const isBeside = Math.min(width / n / columns, height / rows) >= Math.min(width / columns, height / n / rows);
  const w = isBeside ? Math.floor((width - gap * (n - 1)) / n) : width, h = isBeside ? height : Math.floor((height - gap * (n - 1)) / n);
  return Array.from({ length: n }, (_, at) => ({ left: isBeside ? at * (w + gap) : 0, top: isBeside ? 0 : at * (h + gap), width: w, height: h }));
}

const fitScale = (pane) => Math.min(pane.width / current.size_hw[1], pane.height / current.size_hw[0]);
const mostZoom = (pane) => Math.max(LEAST_ZOOM, MOST_PIXELS_EACH / fitScale(pane));

// The screen's pixels per image pixel, and the image's point at the pane's corner.
function lookInto(pane) {
  const scale = fitScale(pane) * view.zoom;
  return { scale, x: view.x - pane.width / 2 / scale, y: view.y - pane.height / 2 / scale };
}

// Keep the image in sight.
function holdView(pane) {
  const [height, width] = current.size_hw;
  view.zoom = Math.min(mostZoom(pane), Math.max(1, view.zoom));
  const scale = fitScale(pane) * view.zoom;
  const held = (middle, length, n) => (length * scale <= n ? length / 2 : Math.min(length - n / 2 / scale, Math.max(n / 2 / scale, middle)));
  view.x = held(view.x, width, pane.width);
  view.y = held(view.y, height, pane.height);
}

function showWhole() {
  const [height, width] = current.size_hw;
  Object.assign(view, { zoom: 1, x: width / 2, y: height / 2 });
}

// The pane and the image's point under a point of the window.
function pointUnder(clientX, clientY) {
  const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
  const x = (clientX - box.left) * ratio, y = (clientY - box.top) * ratio;
  const all = panes(nPanes());
  const number = Math.max(0, all.findIndex((pane) => x < pane.left + pane.width + 3 && y < pane.top + pane.height + 3));
  const pane = all[number], look = lookInto(pane);
  return { pane, number, ratio, x: look.x + (x - pane.left) / look.scale, y: look.y + (y - pane.top) / look.scale };
}

// Zoom around a point of the window, which stays where it is; without one around the middle.
function zoomBy(factor, clientX, clientY) {
  if (!current) return;
  const pane = panes(nPanes())[0], before = clientX === undefined ? null : pointUnder(clientX, clientY);
  view.zoom = Math.min(mostZoom(pane), Math.max(1, view.zoom * factor));
  if (before) {
    const after = pointUnder(clientX, clientY);
    view.x += before.x - after.x;
    view.y += before.y - after.y;
  }
  moved();
}

// Move by pixels of the window.
function panBy(dx, dy) {
  if (!current) return;
  const scale = lookInto(panes(nPanes())[0]).scale * canvas.getBoundingClientRect().width / canvas.width;
  view.x += dx / scale;
  view.y += dy / scale;
  moved();
}

function moved() {
  holdView(panes(nPanes())[0]);
  byId("zoom").textContent = `${Math.round(100 * view.zoom)} %`;
  sceneChanged();
  rememberSoon();
}

// ---- gestures

const fingers = new Map();
let dragged = 0;

function startGestures() {
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : event.deltaMode === 1 ? 0.05 : 0.002)), event.clientX, event.clientY);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (fingers.size === 1) dragged = 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", dragTo);
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
  new ResizeObserver(() => { if (current && fitCanvas()) moved(); }).observe(canvas);
}

// One finger moves the image, two zoom it.
function dragTo(event) {
  const old = fingers.get(event.pointerId);
  if (!old) return;
  const now = [event.clientX, event.clientY], other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  fingers.set(event.pointerId, now);
  dragged += Math.abs(now[0] - old[0]) + Math.abs(now[1] - old[1]);
  const apart = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
  if (other) {
    const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
    panBy((old[0] - now[0]) / 2, (old[1] - now[1]) / 2);
    if (apart(old) > 0) zoomBy(apart(now) / apart(old), ...middle);
  } else panBy(old[0] - now[0], old[1] - now[1]);
}
