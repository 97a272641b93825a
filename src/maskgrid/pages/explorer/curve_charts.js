"use strict";

// Under each slider a small curve: the number of masks at every value of it, all else as it is, with a mark at the present
// value. Curves are computed after the answer, while nobody waits.

const PAUSE_MS = 120, LEAST_MS = 1, SLICE_MS = 8, CHART_H = 24;
const charts = new Map();
let curveWork = null, isCurveAsked = false, curvePause = 0;

const whenIdle = window.requestIdleCallback ?? ((work) => setTimeout(() => work({ timeRemaining: () => SLICE_MS })));

// The chart of a slider that goes from low to high; at `end`, if given, its filter is off.
function chartOf(name, low, high, end) {
  const drawing = element("template", {});
  drawing.innerHTML = `<svg class="curve" viewBox="0 0 100 ${CHART_H}" preserveAspectRatio="none" role="img" aria-label="Masks by ${name}"><path class="steps"/><line class="mark" y1="0" y2="${CHART_H}"/></svg>`;
  const svg = drawing.content.firstChild, [path, mark] = svg.children;
  charts.set(name, { name, svg, path, mark, low, high, end, key: null, image: null, curve: null });
  return svg;
}

function markChart(name, value) {
  const { mark, low, high, end } = charts.get(name), x = Math.min(100, Math.max(0, (100 * ((value ?? end) - low)) / (high - low)));
  mark.setAttribute("x1", x);
  mark.setAttribute("x2", x);
}

// After an answer: whatever was being computed is out of date.
function askCurves() {
  clearTimeout(curvePause);
  curveWork = null;
  curvePause = setTimeout(startCurves, PAUSE_MS);
}

function startCurves() {
  curveWork = curvesInTurn(scene, settingOf(values));
  byId("sliders").classList.add("waiting");
  if (!isCurveAsked) whenIdle(goOn);
  isCurveAsked = true;
}

function goOn(idle) {
  const start = performance.now(), isTime = (ms) => ms < LEAST_MS || (ms < SLICE_MS && idle.timeRemaining() > 1);
  while (curveWork && isTime(performance.now() - start)) {
    if (!curveWork.next().done) continue;
    curveWork = null;
    byId("sliders").classList.remove("waiting");
  }
  isCurveAsked = curveWork !== null;
  if (isCurveAsked) whenIdle(goOn);
}

function* curvesInTurn(shown, setting) {
  for (const [name, chart] of charts) {
    const key = JSON.stringify({ ...setting, [name]: 0 });
    if (chart.key !== key || chart.image !== shown) {
      const curve = shown.rows ? yield* countCurve(shown, setting, name) : null;
      Object.assign(chart, { key, image: shown, curve });
      showCurve(chart);
    }
    yield;
  }
}

function showCurve({ name, svg, path, low, high, curve }) {
  path.setAttribute("d", curve ? pathOf(curve, low, high) : "");
  if (curve) svg.setAttribute("aria-label", `Masks by ${name}: ${countAt(curve, low)} masks at ${low}, ${countAt(curve, high)} at ${high}`);
}

// Steps nearer than a thousandth of the width are drawn as one line up and down.
function pathOf(curve, low, high) {
  const { starts, counts } = curve, most = Math.max(1, ...counts);
  const y = (count) => (CHART_H - 1 - (count * (CHART_H - 2)) / most).toFixed(1);
  const parts = [`M0 ${y(countAt(curve, low))}`];
  for (let at = 1; at < starts.length && starts[at] <= high; at++) {
    if (starts[at] > low) parts.push(`H${((100 * (starts[at] - low)) / (high - low)).toFixed(1)}V${y(counts[at])}`);
  }
  return `${parts.join("")}H100`;
}
