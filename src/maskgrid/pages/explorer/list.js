"use strict";

// The list of all images: thumbnails, names, counts, a filter by name. Only what is in sight is in the document.

const ROW_H = 60, MORE_ROWS = 3, MARGIN = 0;
let shownImages = [], listedSetting = null;

function filterImages() {
  const wanted = byId("filter").value.trim().toLowerCase();
  shownImages = [];
  listing.key.forEach((key, at) => { if (!wanted || key.toLowerCase().includes(wanted)) shownImages.push(at); });
  byId("found").textContent = wanted ? `${shownImages.length.toLocaleString("en")} of ${listing.n.toLocaleString("en")} images` : `${listing.n.toLocaleString("en")} images`;
  byId("images").scrollTop = 0;
  byId("rows").style.height = `${shownImages.length * ROW_H}px`;
  showRows();
}

function showRows() {
  const box = byId("images"), first = Math.max(0, Math.floor(box.scrollTop / ROW_H) - MORE_ROWS);
  const last = Math.min(shownImages.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW_H) + MORE_ROWS);
  const there = new Map([...byId("rows").children].map((row) => [Number(row.dataset.at), row]));
  const rows = shownImages.slice(first, last).map((at, number) => {
    const row = there.get(at) ?? rowFor(at);
    row.style.top = `${(first + number) * ROW_H + MARGIN}px`;
    row.setAttribute("aria-posinset", first + number + 1);
    row.setAttribute("aria-setsize", shownImages.length);
    row.setAttribute("aria-selected", current?.at === at);
    row.querySelector(".n").textContent = countWords(at);
    return row;
  });
  byId("rows").replaceChildren(...rows);
  const chosen = rows.find((row) => Number(row.dataset.at) === current?.at);
  if (chosen) box.setAttribute("aria-activedescendant", chosen.id);
  else box.removeAttribute("aria-activedescendant");
}

function rowFor(at) {
  const row = element("div", { role: "option", id: `image-${at}`, "data-at": at, title: listing.key[at] });
  const source = thumbnailOf(at), frame = element("span", { class: "thumb" });
  if (source) frame.append(element("img", { src: source, alt: "", decoding: "async" }));
  const words = element("span", { class: "words" });
  words.append(element("span", { class: "name" }, listing.key[at]), element("span", { class: "n" }));
  row.append(frame, words);
  row.addEventListener("click", () => openImage(at));
  return row;
}

// Counted for the sweep's settings; at others, for the image in sight alone.
function countWords(at) {
  if (listing.problem[at] !== null) return listing.problem[at];
  if (current?.at === at && selection) return masksWords(selection.kept.length);
  const n = listing.n_masks[listedSetting]?.[at];
  return n === undefined || n < 0 ? "" : masksWords(n);
}

const masksWords = (n) => (n === 1 ? "1 mask" : `${n.toLocaleString("en")} masks`);

// Scroll the list to the image in sight.
function revealImage() {
  const box = byId("images"), place = shownImages.indexOf(current?.at);
  if (place < 0) return showRows();
  if (place * ROW_H < box.scrollTop) box.scrollTop = place * ROW_H;
  else if ((place + 1) * ROW_H > box.scrollTop + box.clientHeight) box.scrollTop = (place + 1) * ROW_H - box.clientHeight;
  showRows();
}

// The next image of the filtered list that has masks to show.
function nextImage(by) {
  let place = shownImages.indexOf(wantedAt);
  if (place < 0) place = by > 0 ? -1 : shownImages.length;
  do place += by; while (listing.problem[shownImages[place]]);
  if (place >= 0 && place < shownImages.length) openImage(shownImages[place]);
}

function startList() {
  byId("filter").addEventListener("input", filterImages);
  byId("images").addEventListener("scroll", showRows, { passive: true });
  byId("images").addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    nextImage(by);
  });
  new ResizeObserver(showRows).observe(byId("images"));
}

// What is inside this page, and what lies beside it.
function showWhere() {
  const n = data.n_images.toLocaleString("en"), nInside = data.images.length;
  const isAlone = !listing.isWhole || listing.folder.every((folder) => folder === null);
  byId("where").hidden = !isAlone || nInside >= data.n_images;
  byId("where").textContent = `This file has ${nInside} of ${n} images inside. ` + (listing.isWhole ? "The others are shown after a run with explorer: all in the config." : "The others are shown where the folder explorer lies beside it; it is not here.");
}
