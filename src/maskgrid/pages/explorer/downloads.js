"use strict";

// What can be taken along: the view as PNG, the masks as COCO, the setting as config lines and as a command.

function fileName(end) {
  const image = current.key.split("/").pop().replace(/\.[^.]+$/, ""), name = settingAt(values, data.groups.indexOf(group))?.label ?? "setting";
  return `${image}-${name}${end}`.replace(/[^\w.-]+/g, "_");
}

// The whole picture, not only its first part.
function savePng() {
  if (!current) return;
  draw();
  while (painting && !painting.next().done);
  for (const raster of rasters) raster.end(context, raster.pane.left, raster.pane.top);
  finish();
  canvas.toBlob((blob) => save(blob, fileName(".png")), "image/png");
}

// The masks kept, as maskgrid writes them: `bbox` is the true extent, sam2's boxes are a pixel short.
function cocoOf() {
  const [height, width] = current.size_hw, { rows, shapes } = scene ?? {};
  const crops = rows ? group.keys.map((name) => current.passes.get(name).crops) : [];
  const annotations = selection.kept.map((row, at) => {
    const [x0, y0, x1, y1] = shapes.box.subarray(4 * row, 4 * row + 4), [cx0, cy0, cx1, cy1] = crops[rows.layer[row]][rows.crop[row]];
    return {
      id: at + 1, image_id: 1, category_id: 1,
      segmentation: { size: [height, width], counts: cocoCode(shapes.ends[row], height * width) },
      area: shapes.area[row], bbox: [x0, y0, x1 - x0 + 1, y1 - y0 + 1], iscrowd: 0,
      score: rows.iou[row], predicted_iou: rows.iou[row], stability_score: stabilityOf(row),
      point_coords: [[rows.point[2 * row], rows.point[2 * row + 1]]], crop_box: [cx0, cy0, cx1 - cx0, cy1 - cy0],
    };
  });
  return {
    info: { description: "SAM 2 automatic masks of one image, chosen in maskgrid's explorer", parameters: { checkpoint: group.checkpoint, ...group.generator, ...values } },
    images: [{ id: 1, file_name: current.key, width, height }],
    annotations,
    categories: [{ id: 1, name: "object" }],
  };
}

function saveCoco() {
  if (current && selection) save(new Blob([JSON.stringify(cocoOf(), null, 1)], { type: "application/json" }), fileName(".json"));
}

async function copyText(from, told) {
  const range = document.createRange();
  range.selectNodeContents(from);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  // Without leave to write to the clipboard the lines are selected, ready for the keyboard.
  const isCopied = await navigator.clipboard?.writeText(from.textContent).then(() => true, () => false);
  told.textContent = isCopied ? "Copied" : "Selected: press Ctrl+C";
}

function startDownloads() {
  byId("png").addEventListener("click", savePng);
  byId("coco").addEventListener("click", saveCoco);
  byId("copy").addEventListener("click", () => copyText(byId("config"), byId("copied")));
  byId("copy-command").addEventListener("click", () => copyText(byId("command"), byId("copied")));
}
