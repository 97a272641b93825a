"use strict";

// Masks drawn into pixels of the screen. A picture's pixels lie column by column, as masks do, so that a run of a mask is a
// stretch of the array. The rows and columns of the image are mapped to the screen's once per view: masks stay crisp
// at every zoom, and what is not in sight costs next to nothing.

const WHITE = 0xffffffff;

// As pixels are packed: opaque, blue, green, red.
const packed = ([red, green, blue]) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;

class Raster {
  constructor(width, height) {
    Object.assign(this, { width, height });
    this.base = new Uint32Array(width * height);
    this.drawn = new Uint32Array(width * height);
    this.shown = new ImageData(width, height);
    this.copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  }

  // Draw the picture below the masks. `view` has the screen's pixels per image pixel, and the image's point at the corner.
  look(image, view) {
    const [height, width] = image.size_hw, { picture } = image, scale = view.scale;
    const { copy } = this, enlarged = scale * width / picture.naturalWidth;
    copy.clearRect(0, 0, this.width, this.height);
    copy.imageSmoothingEnabled = enlarged < 4;
    copy.imageSmoothingQuality = enlarged < 1 ? "medium" : "low";
    copy.drawImage(picture, -view.x * scale, -view.y * scale, width * scale, height * scale);
    turned(new Uint32Array(copy.getImageData(0, 0, this.width, this.height).data.buffer), this.width, this.height, this.base);
    this.edgesX = edges(width, view.x, scale, this.width);
    this.edgesY = edges(height, view.y, scale, this.height);
    this.imageHeight = height;
    // One column beside those in sight, so that outlines end where masks end and not where the screen does.
    this.first = Math.max(0, Math.floor(view.x) - 1);
    this.last = Math.min(width - 1, Math.ceil(view.x + this.width / scale));
    // The same above and below: a mask that goes on there has no outline at the screen's edge.
    this.cutAbove = view.y > 0 ? 0 : -1;
    this.cutBelow = view.y + this.height / scale < height ? this.height : this.height + 1;
    this.line = Math.max(1, Math.round(devicePixelRatio));
  }

  begin() {
    this.drawn.set(this.base);
  }

  // Paint a mask: how much of a pixel it hides, of 256, and its outline.
  paint(ends, colour, opacity, outline) {
    const { edgesX, edgesY, imageHeight: rows, last } = this;
    if (!ends.length) return;
    let before = [], beforeX = -1, run = firstAbove(ends, this.first * rows) & ~1;
    for (let x = this.first; x <= last; x++) {
      const spans = [], start = x * rows, end = start + rows;
      while (run < ends.length && ends[run + 1] <= start) run += 2;
      for (let at = run; at < ends.length && ends[at] < end; at += 2) {
        const top = edgesY[Math.max(0, ends[at] - start)], bottom = edgesY[Math.min(rows, ends[at + 1] - start)];
        if (bottom <= top) continue;
        if (spans.length && spans[spans.length - 1] >= top) spans[spans.length - 1] = bottom;
        else spans.push(top, bottom);
      }
      const left = edgesX[x], right = edgesX[x + 1];
      // Columns between the screen's are not looked at, but those beside it are.
      if (left === right && x > this.first && x < last) continue;
      if (opacity && spans.length) this.fill(spans, left, right, colour, opacity);
      if (outline !== null && (spans.length || before.length)) {
        if (beforeX >= 0) this.edge(before, spans, beforeX - this.line, beforeX, outline);
        this.edge(spans, before, left, Math.min(right, left + this.line), outline);
        if (spans.length) this.caps(spans, left, right, outline);
      }
      [before, beforeX] = [spans, right];
      if (run >= ends.length && !spans.length) return;
    }
    if (outline !== null && last === edgesX.length - 2 && before.length) this.edge(before, [], beforeX - this.line, beforeX, outline);
  }

  // Red and blue are mixed in one multiplication.
  fill(spans, left, right, colour, opacity) {
    const { drawn, height } = this, rest = 256 - opacity;
    const redBlue = (colour & 0xff00ff) * opacity | 0, green = (colour & 0xff00) * opacity;
    for (let x = left; x < right; x++) {
      for (let span = 0; span < spans.length; span += 2) {
        for (let place = x * height + spans[span], end = x * height + spans[span + 1]; place < end; place++) {
          const old = drawn[place];
          drawn[place] = 0xff000000 | ((Math.imul(old & 0xff00ff, rest) + redBlue | 0) >>> 8 & 0xff00ff) |
            ((old & 0xff00) * rest + green >>> 8 & 0xff00);
        }
      }
    }
  }

  // What a column has and its neighbour has not.
  edge(spans, beside, left, right, colour) {
    const { drawn, height } = this;
    const from = Math.max(0, left), to = Math.min(this.width, right);
    let other = 0;
    for (let span = 0; span < spans.length; span += 2) {
      let top = spans[span];
      const bottom = spans[span + 1];
      while (other < beside.length && beside[other + 1] <= top) other += 2;
      for (let at = other; top < bottom; at += 2) {
        const end = at < beside.length ? Math.min(bottom, beside[at]) : bottom;
        if (end > top) for (let x = from; x < to; x++) drawn.fill(colour, x * height + top, x * height + end);
        if (at >= beside.length) break;
        top = Math.max(top, beside[at + 1]);
      }
    }
  }

  // The upper and lower ends of a column's parts; not where the screen ends.
  caps(spans, left, right, colour) {
    const { drawn, height, line } = this;
    for (let x = left; x < right; x++) {
      for (let span = 0; span < spans.length; span += 2) {
        const top = x * height + spans[span], bottom = x * height + spans[span + 1];
        if (spans[span] > this.cutAbove) drawn.fill(colour, top, Math.min(bottom, top + line));
        if (spans[span + 1] < this.cutBelow) drawn.fill(colour, Math.max(top, bottom - line), bottom);
      }
    }
  }

  end(context, left, top) {
    turned(this.drawn, this.height, this.width, new Uint32Array(this.shown.data.buffer));
    context.putImageData(this.shown, left, top);
  }
}

// Where the edges of an image's rows or columns are on the screen, which has n pixels.
function edges(length, from, scale, n) {
  const found = new Int32Array(length + 1);
  for (let at = 0; at <= length; at++) found[at] = Math.min(n, Math.max(0, Math.round((at - from) * scale)));
  return found;
}

// Pixels from rows after rows to columns after columns; and back with width and height exchanged. In blocks, which stay in
// the processor's memory.
function turned(pixels, width, height, target) {
  const side = 32;
  for (let y0 = 0; y0 < height; y0 += side) {
    const y1 = Math.min(height, y0 + side);
    for (let x0 = 0; x0 < width; x0 += side) {
      const x1 = Math.min(width, x0 + side);
      for (let y = y0; y < y1; y++) for (let x = x0, at = x0 * height + y, from = y * width; x < x1; x++, at += height) target[at] = pixels[from + x];
    }
  }
  return target;
}
