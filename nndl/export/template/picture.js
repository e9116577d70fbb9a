// From pen strokes or a photograph to an image like MNIST's: 28 x 28 numbers from 0, paper, to 255,
// ink.
//
// MNIST's digits were fitted into 20 x 20 pixels and moved by whole pixels until their center of
// mass was at the center of 28 x 28 (LeCun, Cortes and Burges, "The MNIST database").

const SIDE = 28;
const BOX = 20; // pixels of the longer side of a digit
const PEN = 2.6; // width of a drawn stroke, in pixels of the image
const FINE = 8; // pixels of the drawing to a pixel of the image, in each direction
const THINNEST = 2.2; // pixels of the image: strokes of a photograph are thickened to this
const CONTRAST = 0.1; // least difference of ink and paper, where black and white differ by 1

function canvas_of(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  return [canvas, canvas.getContext("2d", { willReadFrequently: true })];
}

const [, fine] = canvas_of(SIDE * FINE, SIDE * FINE);

/** Draw strokes, lists of points [x, y], through the middles between their points. */
function trace(context, strokes) {
  for (const points of strokes) {
    context.beginPath();
    context.moveTo(...points[0]);
    for (let i = 1; i < points.length - 1; i++) {
      const [[x, y], [next_x, next_y]] = [points[i], points[i + 1]];
      context.quadraticCurveTo(x, y, (x + next_x) / 2, (y + next_y) / 2);
    }
    context.lineTo(...points.at(-1)); // a single point becomes a dot
    context.stroke();
  }
}

/** The image of strokes, or null without any; the pen is as wide for small digits as for large. */
function image_of_strokes(strokes) {
  const points = strokes.flat();
  if (!points.length) return null;
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
  const [left, right, top, bottom] = [
    xs.reduce((m, x) => Math.min(m, x)),
    xs.reduce((m, x) => Math.max(m, x)),
    ys.reduce((m, y) => Math.min(m, y)),
    ys.reduce((m, y) => Math.max(m, y)),
  ];
  const longer = Math.max(right - left, bottom - top);
  const scale = longer > 0 ? ((BOX - PEN) * FINE) / longer : 1;
  const middle = (SIDE * FINE) / 2;
  const placed = strokes.map((stroke) =>
    stroke.map(([x, y]) => [
      middle + scale * (x - (left + right) / 2),
      middle + scale * (y - (top + bottom) / 2),
    ]),
  );
  fine.clearRect(0, 0, SIDE * FINE, SIDE * FINE);
  Object.assign(fine, { lineCap: "round", lineJoin: "round", lineWidth: PEN * FINE });
  trace(fine, placed);
  const { data } = fine.getImageData(0, 0, SIDE * FINE, SIDE * FINE);
  const image = new Float64Array(SIDE * SIDE);
  for (let i = 0; i < (SIDE * FINE) ** 2; i++) {
    const row = Math.floor(i / (SIDE * FINE) / FINE);
    image[row * SIDE + Math.floor((i % (SIDE * FINE)) / FINE)] += data[4 * i + 3];
  }
  return centered(image.map((sum) => sum / FINE ** 2));
}

/** Move an image by whole pixels: its center of mass comes near pixel (14, 14). */
function centered(image) {
  let [mass, x, y] = [0, 0, 0];
  image.forEach((ink, i) => {
    mass += ink;
    x += ink * (i % SIDE);
    y += ink * Math.floor(i / SIDE);
  });
  const shift = (moment) => Math.max(-4, Math.min(4, Math.round(SIDE / 2 - moment / mass)));
  const [right, down] = [shift(x), shift(y)];
  const moved = new Uint8Array(SIDE * SIDE);
  image.forEach((ink, i) => {
    const [row, column] = [Math.floor(i / SIDE) + down, (i % SIDE) + right];
    if (row >= 0 && row < SIDE && column >= 0 && column < SIDE) {
      moved[row * SIDE + column] = Math.round(Math.min(255, ink));
    }
  });
  return moved;
}

// Photographs.

/** The image of one digit in a photograph, drawing or scan; null if nothing stands out. */
function image_of_picture(picture) {
  const longer = Math.max(picture.width, picture.height);
  const scale = Math.min(400, Math.max(224, longer)) / longer;
  const width = Math.max(1, Math.round(picture.width * scale));
  const height = Math.max(1, Math.round(picture.height * scale));
  const mask = digit_of(
    ink_of(brightness_of(picture, width, height), width, height),
    width,
    height,
  );
  return mask && fitted(mask, width);
}

/** Brightness from 0, black, to 1, white; what is transparent is white, or black behind chalk. */
function brightness_of(picture, width, height) {
  let [source, w, h] = [picture, picture.width, picture.height];
  while (w > 2 * width) {
    // By halves: one large step would skip pixels.
    [w, h] = [Math.ceil(w / 2), Math.ceil(h / 2)];
    const [half, context] = canvas_of(w, h);
    context.drawImage(source, 0, 0, w, h);
    source = half;
  }
  const [, context] = canvas_of(width, height);
  context.drawImage(source, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = Array.from({ length: width * height }, (_, i) => {
    const [red, green, blue, alpha] = data.subarray(4 * i, 4 * i + 4);
    return [(0.299 * red + 0.587 * green + 0.114 * blue) / 255, alpha / 255];
  });
  const visible = pixels.filter(([, alpha]) => alpha > 0.5).map(([value]) => value);
  const darkest = visible.sort((a, b) => a - b)[Math.floor(visible.length / 100)];
  const paper = visible.length < pixels.length / 2 && darkest > 0.5 ? 0 : 1;
  return Float64Array.from(pixels, ([value, alpha]) => alpha * value + (1 - alpha) * paper);
}

/** 1 for ink and 0 for paper, which may be lit unevenly; null if nothing stands out. */
function ink_of(brightness, width, height) {
  const paper = paper_of(brightness, width, height);
  const darker = brightness.map((value, i) => paper[i] - value);
  const energy = (sign) => darker.reduce((sum, d) => sum + Math.max(0, sign * d) ** 2, 0);
  const sign = energy(1) >= energy(-1) ? 1 : -1; // dark on light, or light on dark
  const depth = darker.map((d) => Math.max(0, sign * d));
  const most = Float64Array.from(depth).sort()[Math.floor(0.999 * depth.length)];
  if (most < CONTRAST) return null;
  const threshold = otsu(depth, most);
  const mask = depth.map((d) => (d > threshold ? 1 : 0));
  // Hysteresis: fainter ink counts where it continues darker ink.
  const faint = Math.max(0.6 * threshold, CONTRAST / 2);
  const stack = [...mask.keys()].filter((i) => mask[i]);
  while (stack.length) {
    for (const i of neighbors(stack.pop(), width, height)) {
      if (!mask[i] && depth[i] > faint) {
        mask[i] = 1;
        stack.push(i);
      }
    }
  }
  return mask;
}

/** The brightness of the paper: a quadratic surface through most of the pixels. */
function paper_of(brightness, width, height) {
  const terms = (i) => {
    const [x, y] = [(2 * (i % width)) / width - 1, (2 * Math.floor(i / width)) / height - 1];
    return [1, x, y, x * x, x * y, y * y];
  };
  const surface = (i, c) => terms(i).reduce((sum, term, k) => sum + term * c[k], 0);
  const step = Math.max(1, Math.floor(brightness.length / 4000));
  const sample = Array.from({ length: Math.floor(brightness.length / step) }, (_, k) => k * step);
  const middle = sample.map((i) => brightness[i]).sort((a, b) => a - b)[sample.length >> 1];
  let coefficients = [middle, 0, 0, 0, 0, 0];
  for (let round = 0; round < 8; round++) {
    const distance = sample.map((i) => Math.abs(brightness[i] - surface(i, coefficients)));
    const sorted = [...distance].sort((a, b) => a - b);
    const part = (share) => sorted[Math.floor(share * sorted.length)];
    const limit = Math.max(0.02, Math.min(5 * part(0.3), part(0.8)));
    const near = sample.filter((_, k) => distance[k] <= limit);
    coefficients = least_squares(
      near.map(terms),
      near.map((i) => brightness[i]),
    );
  }
  return brightness.map((_, i) => surface(i, coefficients));
}

/** Solve the normal equations by Gauss's elimination, with a little added to the diagonal. */
function least_squares(rows, values) {
  const n = rows[0].length;
  const m = Array.from({ length: n }, (_, j) =>
    Array.from({ length: n + 1 }, (_, k) =>
      rows.reduce((sum, row, i) => sum + row[j] * (k < n ? row[k] : values[i]), j === k ? 1e-6 : 0),
    ),
  );
  for (let j = 0; j < n; j++) {
    for (let i = 0; i < n; i++) {
      if (i === j) continue;
      const factor = m[i][j] / m[j][j];
      for (let k = j; k <= n; k++) m[i][k] -= factor * m[j][k];
    }
  }
  return m.map((row, j) => row[n] / row[j]);
}

/** Otsu's threshold: it separates two groups with the largest variance between them. */
function otsu(depth, most) {
  const bins = new Float64Array(128);
  for (const d of depth) bins[Math.min(127, Math.floor((127 * d) / most))]++;
  const total = bins.reduce((sum, count, k) => sum + count * k, 0);
  let [below, moment, best, threshold] = [0, 0, -1, 0];
  bins.forEach((count, k) => {
    below += count;
    moment += count * k;
    const above = depth.length - below;
    if (!below || !above) return;
    const between = below * above * (moment / below - (total - moment) / above) ** 2;
    if (between > best) [best, threshold] = [between, k + 1];
  });
  return (threshold * most) / 127;
}

function neighbors(i, width, height) {
  const [row, column] = [Math.floor(i / width), i % width];
  const found = [];
  for (let r = Math.max(0, row - 1); r <= Math.min(height - 1, row + 1); r++) {
    for (let c = Math.max(0, column - 1); c <= Math.min(width - 1, column + 1); c++) {
      found.push(r * width + c);
    }
  }
  return found;
}

/** Keep the digit: no specks, and nothing that touches the edge if a digit remains without it. */
function digit_of(mask, width, height) {
  if (!mask) return null;
  const seen = new Uint8Array(mask.length);
  const pieces = [];
  mask.forEach((ink, start) => {
    if (!ink || seen[start]) return;
    const piece = { pixels: [start], edge: false, top: height, bottom: 0 };
    seen[start] = 1;
    for (let k = 0; k < piece.pixels.length; k++) {
      const i = piece.pixels[k];
      const [row, column] = [Math.floor(i / width), i % width];
      piece.edge ||= row === 0 || column === 0 || row === height - 1 || column === width - 1;
      piece.top = Math.min(piece.top, row);
      piece.bottom = Math.max(piece.bottom, row);
      for (const next of neighbors(i, width, height)) {
        if (mask[next] && !seen[next]) {
          seen[next] = 1;
          piece.pixels.push(next);
        }
      }
    }
    pieces.push(piece);
  });
  const inner = pieces.filter((piece) => !piece.edge && piece.bottom - piece.top > 0.25 * height);
  const candidates = inner.length ? pieces.filter((piece) => !piece.edge) : pieces;
  const largest = Math.max(...candidates.map((piece) => piece.pixels.length));
  const kept = new Uint8Array(mask.length);
  for (const { pixels } of candidates) {
    if (pixels.length >= 0.04 * largest) for (const i of pixels) kept[i] = 1;
  }
  return kept;
}

/** Crop a mask, thicken thin strokes, scale it to 20 pixels and center it. */
function fitted(mask, width) {
  const inked = [...mask.keys()].filter((i) => mask[i]);
  const columns = inked.map((i) => i % width);
  const [top, bottom] = [Math.floor(inked[0] / width), Math.floor(inked.at(-1) / width)];
  const left = columns.reduce((m, c) => Math.min(m, c));
  const right = columns.reduce((m, c) => Math.max(m, c));
  const [w, h] = [right - left + 1, bottom - top + 1];
  // Strokes of width s have a mean distance of s / 4 from the paper.
  const distance = distances(
    w + 2,
    h + 2,
    (c, r) => !at(mask, width, left + c - 1, top + r - 1, left, top, w, h),
  );
  const within = distance.filter((d) => d > 0);
  const stroke = (4 * within.reduce((sum, d) => sum + d, 0)) / within.length;
  const missing = Math.max(0, ((THINNEST * Math.max(w, h)) / BOX - stroke) / 2);
  const room = Math.ceil(missing);
  const [wide, high] = [w + 2 * room, h + 2 * room];
  const outside = distances(wide, high, (c, r) =>
    at(mask, width, left + c - room, top + r - room, left, top, w, h),
  );
  const scale = BOX / Math.max(wide, high);
  const image = new Float64Array(SIDE * SIDE);
  const [x0, y0] = [(SIDE - wide * scale) / 2, (SIDE - high * scale) / 2];
  for (let r = 0; r < high; r++) {
    for (let c = 0; c < wide; c++) {
      const gap = outside[r * wide + c];
      const ink = gap ? Math.max(0, Math.min(1, missing + 0.5 - gap)) : 1;
      if (ink) spread(image, x0 + c * scale, y0 + r * scale, scale, 255 * ink);
    }
  }
  return centered(image);
}

function at(mask, width, column, row, left, top, w, h) {
  const inside = column >= left && column < left + w && row >= top && row < top + h;
  return inside && mask[row * width + column] === 1;
}

/** Add a square of ink to the pixels that it covers. */
function spread(image, x, y, side, ink) {
  for (let row = Math.floor(y); row < Math.min(SIDE, y + side); row++) {
    const high = Math.min(row + 1, y + side) - Math.max(row, y);
    for (let column = Math.floor(x); column < Math.min(SIDE, x + side); column++) {
      const wide = Math.min(column + 1, x + side) - Math.max(column, x);
      image[row * SIDE + column] += ink * high * wide;
    }
  }
}

/** The distance of each pixel to the nearest one that is `set`: two passes, steps of 1 and 1.36. */
function distances(width, height, set) {
  const d = new Float64Array(width * height).fill(width + height);
  for (let i = 0; i < d.length; i++) if (set(i % width, Math.floor(i / width))) d[i] = 0;
  const pass = (order, steps) => {
    for (const i of order) {
      const [row, column] = [Math.floor(i / width), i % width];
      for (const [down, across, length] of steps) {
        const [r, c] = [row + down, column + across];
        if (r < 0 || r >= height || c < 0 || c >= width) continue;
        d[i] = Math.min(d[i], d[r * width + c] + length);
      }
    }
  };
  const steps = [
    [-1, -1, 1.36],
    [-1, 0, 1],
    [-1, 1, 1.36],
    [0, -1, 1],
  ];
  pass(d.keys(), steps);
  pass(
    [...d.keys()].reverse(),
    steps.map(([down, across, length]) => [-down, -across, length]),
  );
  return d;
}
