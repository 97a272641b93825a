"use strict";

// Annotated objects and the masks that find them, at IoU 0.5: the same matching as maskgrid.results.accuracy, which is
// COCOeval's. A mask takes the free object that it overlaps most, the mask of best score first.

const FOUND_IOU = 0.5;

// Which objects are found, and what each mask is: the object that it found, or how it counts.
// `objects` has ends, areas and is-crowd flags; `masks` are the kept rows; `iou` their scores, `ends` and `area` theirs.
function matchTruth(objects, masks, iou, ends, area) {
  const taken = objects.map(() => -1), kind = new Map(), best = objects.map(() => 0);
  for (const row of [...masks].sort((a, b) => iou[b] - iou[a])) {
    const near = objects.map((one, at) => [overlapWith(one, ends[row], area[row]), at]).filter(([value]) => value > 0);
    for (const [value, at] of near) if (!objects[at].isCrowd) best[at] = Math.max(best[at], value);
    // Among equal overlaps COCOeval takes the last.
    const reached = near.filter(([value]) => value >= FOUND_IOU).sort((a, b) => b[0] - a[0] || b[1] - a[1]);
    const free = reached.find(([, at]) => !objects[at].isCrowd && taken[at] < 0);
    if (free) {
      taken[free[1]] = row;
      kind.set(row, "found");
    } else if (reached.some(([, at]) => objects[at].isCrowd)) kind.set(row, "crowd");
    else kind.set(row, reached.length ? "doubled" : "other");
  }
  return { taken, kind, best };
}

// IoU, or the share of the mask inside a crowd.
function overlapWith(object, ends, area) {
  const common = commonPx(object.ends, ends);
  return object.isCrowd ? (area ? common / area : 0) : common / (object.area + area - common);
}

function truthCounts(objects, match) {
  const wanted = objects.filter((one) => !one.isCrowd).length, found = match.taken.filter((row) => row >= 0).length;
  const count = (kind) => [...match.kind.values()].filter((each) => each === kind).length;
  return { wanted, found, missed: wanted - found, doubled: count("doubled"), other: count("other"), crowd: count("crowd") };
}
