// The interface: it draws, asks the network, and shows what happens inside.

const $ = (id) => document.getElementById(id);
const record = JSON.parse($("record").textContent);
for (const layer of record.layers) {
  if (!layer.w) continue;
  layer.w = numbers_from(layer.w, record.number);
  layer.b = numbers_from(layer.b, "float32");
}
const network = new Network(record);
const LABELS = [...network.output.a.keys()];
const PAD = 560; // pixels of the drawing pad, each side
const PAD_PEN = 42;

/** What is on the pad: strokes, or a picture and the image made of it. */
const state = { strokes: [], picture: null, image: null, note: "", label: null, neuron: null };

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Colors: from the style sheet, for light and dark.

let colors;

function read_colors() {
  const style = getComputedStyle(document.documentElement);
  const rgb = (name) => {
    const hex = style.getPropertyValue(`--${name}`).trim();
    return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  };
  colors = Object.fromEntries(
    ["ink", "surface", "for", "against", "line", "quiet"].map((n) => [n, rgb(n)]),
  );
}

function put(canvas, width, height, color_of) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const [share, color] = color_of(i);
    for (let k = 0; k < 3; k++) {
      pixels.data[4 * i + k] = colors.surface[k] + share * (color[k] - colors.surface[k]);
    }
    pixels.data[4 * i + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

/** Draw numbers from 0 to `largest` as ink on paper. */
function put_gray(canvas, values, width, height, largest) {
  put(canvas, width, height, (i) => [Math.max(0, Math.min(1, values[i] / largest)), colors.ink]);
}

/** Draw positive numbers in one color, negative ones in another. */
function put_signed(canvas, values, width, height, largest) {
  const scale = largest || 1;
  put(canvas, width, height, (i) => [
    Math.min(1, Math.abs(values[i]) / scale),
    values[i] > 0 ? colors.for : colors.against,
  ]);
}

function largest_of(values) {
  return values.reduce((m, value) => Math.max(m, Math.abs(value)), 0);
}

// The pad.

const pad = $("pad");
const pen = { down: false, lowered: false, x: PAD / 2, y: PAD / 2, shown: false, keys: new Set() };

function draw_pad() {
  const context = pad.getContext("2d");
  context.clearRect(0, 0, PAD, PAD);
  if (state.picture) {
    const { width, height } = state.picture;
    const scale = (PAD - 40) / Math.max(width, height);
    const [w, h] = [width * scale, height * scale];
    context.imageSmoothingEnabled = scale < 4;
    context.drawImage(state.picture, (PAD - w) / 2, (PAD - h) / 2, w, h);
  }
  const ink = `rgb(${colors.ink})`;
  Object.assign(context, {
    strokeStyle: ink,
    lineCap: "round",
    lineJoin: "round",
    lineWidth: PAD_PEN,
  });
  trace(context, state.strokes);
  if (pen.shown) {
    context.beginPath();
    context.arc(pen.x, pen.y, PAD_PEN / 2, 0, 2 * Math.PI);
    Object.assign(context, { strokeStyle: `rgb(${colors.for})`, lineWidth: 5 });
    context.stroke();
    if (pen.lowered) {
      context.fillStyle = `rgb(${colors.for})`;
      context.fill();
    }
  }
  $("invitation").hidden = Boolean(state.strokes.length || state.picture || pen.shown);
}

function place_of(event) {
  const box = pad.getBoundingClientRect();
  return [
    ((event.clientX - box.left) / box.width) * PAD,
    ((event.clientY - box.top) / box.height) * PAD,
  ];
}

function begin_stroke(point) {
  if (state.picture) forget();
  state.strokes.push([point]);
}

pad.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || pen.down) return;
  event.preventDefault(); // of a selection; the focus is set here instead
  pad.focus({ preventScroll: true, focusVisible: false });
  pad.setPointerCapture(event.pointerId);
  begin_stroke(place_of(event));
  Object.assign(pen, { down: true, lowered: false, shown: false, id: event.pointerId });
  update_soon();
});

pad.addEventListener("pointermove", (event) => {
  if (!pen.down || event.pointerId !== pen.id) return;
  const events = event.getCoalescedEvents?.() ?? [];
  for (const each of events.length ? events : [event]) state.strokes.at(-1).push(place_of(each));
  update_soon();
});

for (const name of ["pointerup", "pointercancel"]) {
  pad.addEventListener(name, (event) => {
    if (event.pointerId === pen.id) pen.down = false;
  });
}

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

pad.addEventListener("keydown", (event) => {
  const { key } = event;
  if (MOVES[key]) {
    pen.keys.add(key);
    pen.shown = true;
    for (const held of pen.keys) {
      const step = event.shiftKey ? 40 : 14;
      pen.x = Math.max(20, Math.min(PAD - 20, pen.x + step * MOVES[held][0]));
      pen.y = Math.max(20, Math.min(PAD - 20, pen.y + step * MOVES[held][1]));
    }
    if (pen.lowered) state.strokes.at(-1).push([pen.x, pen.y]);
  } else if (key === " ") {
    if (event.repeat) return event.preventDefault();
    pen.shown = true;
    const lowered = !pen.lowered;
    if (lowered) begin_stroke([pen.x, pen.y]);
    pen.lowered = lowered;
    say(pen.lowered ? "Pen down" : "Pen up");
  } else if (key === "Escape") {
    forget();
  } else if (key === "Backspace" || (key === "z" && (event.ctrlKey || event.metaKey))) {
    undo();
  } else {
    return;
  }
  event.preventDefault();
  update_soon();
});

pad.addEventListener("keyup", (event) => pen.keys.delete(event.key));
pad.addEventListener("blur", () => {
  pen.keys.clear();
  Object.assign(pen, { shown: false, lowered: false });
  draw_pad();
});

function forget() {
  Object.assign(state, { strokes: [], picture: null, image: null, note: "", label: null });
  lift();
}

function undo() {
  if (state.picture) forget();
  state.strokes.pop();
  lift();
}

/** End the stroke that a pointer or the keyboard draws: it may be gone. */
function lift() {
  Object.assign(pen, { down: false, lowered: false });
}

$("undo").addEventListener("click", () => (undo(), update_soon()));
$("clear").addEventListener("click", () => (forget(), update_soon()));

// Pictures: opened, taken, dropped or pasted.

async function read_file(file) {
  try {
    const picture = await createImageBitmap(file);
    forget();
    Object.assign(state, { picture, image: image_of_picture(picture), note: `From ${file.name}.` });
    if (!state.image)
      state.note = "Nothing in this picture stands out from its paper. Try a closer one.";
  } catch {
    forget();
    state.note = `${file.name} is not a picture that this browser can open. Try a JPEG or PNG file.`;
  }
  update_soon();
}

for (const id of ["file", "camera"]) {
  $(id).addEventListener("change", ({ target }) => {
    if (target.files.length) read_file(target.files[0]);
    target.value = "";
  });
}

addEventListener("dragover", (event) => {
  event.preventDefault();
  pad.classList.add("over");
});
addEventListener("dragleave", () => pad.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  pad.classList.remove("over");
  if (event.dataTransfer.files.length) read_file(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) read_file(event.clipboardData.files[0]);
});

// The reading.

const bars = LABELS.map((label) => {
  const fill = element("span", { className: "fill" });
  const number = element("span", { className: "number", textContent: "–" });
  const button = element(
    "button",
    { type: "button" },
    `${label}`,
    element("span", { className: "track" }, fill),
    number,
  );
  button.addEventListener("click", () => {
    state.label = state.label === label ? null : label;
    update_soon();
  });
  $("bars").append(element("li", {}, button));
  return { button, fill, number };
});

function words_for(a, first, second) {
  if (a[first] < 0.5) return `Unsure: perhaps ${first}${a.length > 1 ? `, or ${second}` : ""}.`;
  if (a[second] > 0.2) return `Probably ${first}, but it could be ${second}.`;
  return a[first] > 0.95 ? `This is ${article(first)}.` : `Probably ${article(first)}.`;
}

function article(label) {
  return `${label === 8 || label === 11 || label === 18 ? "an" : "a"} ${label}`;
}

let announcement;

/** Tell a screen reader, once nothing has changed for a while. */
function say(text) {
  clearTimeout(announcement);
  announcement = setTimeout(() => ($("status").textContent = text), 600);
}

function show_reading(a, first) {
  let second = first === 0 ? 1 : 0;
  for (const j of LABELS) if (j !== first && a[j] > a[second]) second = j;
  bars.forEach(({ button, fill, number }, j) => {
    fill.style.transform = `scaleX(${Math.max(0, Math.min(1, a[j]))})`;
    number.textContent = written(a[j], 3);
    button.parentElement.className = j === first ? "first" : "";
    button.setAttribute("aria-pressed", state.label === j);
  });
  $("digit").textContent = first;
  $("digit").className = "";
  const words = words_for(a, first, second);
  $("words").textContent = [state.note, words].join(" ").trim();
  say(`${words} Output ${a[first].toFixed(2)}.`);
}

function show_nothing() {
  for (const { button, fill, number } of bars) {
    fill.style.transform = "scaleX(0)";
    number.textContent = "–";
    button.parentElement.className = "";
    button.setAttribute("aria-pressed", false);
  }
  $("digit").textContent = "?";
  $("digit").className = "nothing";
  $("words").textContent = state.note || "Draw a digit, and the network reads it.";
  if (state.note) say(state.note);
}

/** Color each pixel by the gradient; the ink of a pixel is a smaller square on it. */
function show_evidence(image, gradient, label) {
  const everywhere = document.querySelector("[name=pixels]:checked").value === "all";
  // A pixel speaks for the label if more ink there lowers the cost.
  const values = gradient.map((g, i) => -g * (everywhere ? 1 : image[i] / 255));
  const largest = largest_of(values) || 1;
  const context = $("evidence").getContext("2d");
  const side = 8;
  context.clearRect(0, 0, SIDE * side, SIDE * side);
  for (let i = 0; i < image.length; i++) {
    const [x, y] = [(i % SIDE) * side, Math.floor(i / SIDE) * side];
    const share = Math.min(1, Math.abs(values[i]) / largest) ** 0.7; // so that small ones are seen
    if (share > 0.02) {
      context.fillStyle = `rgba(${values[i] > 0 ? colors.for : colors.against}, ${share})`;
      context.fillRect(x, y, side, side);
    }
    if (everywhere && image[i] > 25) {
      context.fillStyle = `rgba(${colors.ink}, ${image[i] / 255})`;
      context.fillRect(x + 3, y + 3, 2, 2);
    }
  }
  $("evidence-title").textContent = label === null ? "For and against" : `For and against ${label}`;
}

// What happens inside: a figure for each layer, and what updates it.

const VALUES = { sigmoid: 1, tanh: 1, "scaled-tanh": 1.7159, softmax: 1 }; // largest outputs

/** A number with a true minus sign. */
function written(value, places) {
  return value.toFixed(places).replace("-", "−");
}

function level_of(layer) {
  return VALUES[layer.activation] ?? (largest_of(layer.a) || 1);
}

function title_of(layer, number) {
  const of_kind = {
    dense: () => `${layer.n_out} ${layer.activation} neurons`,
    conv: () =>
      `${layer.shape[2]} maps of ${layer.shape[0]} × ${layer.shape[1]}, filters of ` +
      `${layer.size} × ${layer.size}, ${layer.activation}` +
      (layer.pool > 1 ? `, pool ${layer.pool}` : ""),
    "max-pool": () => `${layer.shape[2]} maps of ${layer.shape[0]} × ${layer.shape[1]}, pooled`,
  };
  return `Layer ${number}: ${of_kind[layer.kind]()}`;
}

function weights_of(layer, j) {
  return layer.w.subarray(j * layer.n_in, (j + 1) * layer.n_in);
}

/** Neurons on the pixels: the weights of each as a picture, and its activation below. */
function show_pixel_neurons(layer, tiles) {
  const made = Array.from({ length: layer.n_out }, (_, j) => {
    const canvas = element("canvas", { className: "pixels" });
    const level = element("span", { className: "level" });
    const tile = element("button", { type: "button", className: "tile" }, canvas, level);
    tile.setAttribute("aria-label", `Neuron ${j}`);
    tile.addEventListener("click", () => {
      state.neuron = state.neuron === j ? null : j;
      update_soon();
    });
    tiles.append(tile);
    return { tile, canvas, level };
  });
  tiles.after(detail);
  const paint = () =>
    made.forEach(({ canvas }, j) => {
      const w = weights_of(layer, j);
      put_signed(canvas, w, SIDE, SIDE, 0.8 * largest_of(w));
    });
  const update = (on) => {
    const most = level_of(layer);
    made.forEach(({ tile, level }, j) => {
      level.style.transform = `scaleX(${on ? Math.min(1, Math.abs(layer.a[j]) / most) : 0})`;
      tile.setAttribute("aria-pressed", state.neuron === j);
    });
    show_neuron(layer, on);
  };
  return { paint, update };
}

const detail = element("div", { id: "neuron", hidden: true });
const detail_parts = {
  weights: element("canvas", { className: "pixels" }),
  product: element("canvas", { className: "pixels" }),
  text: element("p", { className: "numbers" }),
};
detail.append(
  element("figure", {}, detail_parts.weights, element("figcaption", { textContent: "weights w" })),
  element(
    "figure",
    {},
    detail_parts.product,
    element("figcaption", { textContent: "weights × pixels" }),
  ),
  detail_parts.text,
);

function show_neuron(layer, on) {
  const j = state.neuron;
  detail.hidden = j === null;
  if (detail.hidden) return;
  const w = weights_of(layer, j);
  const product = w.map((value, i) => (on ? value * layer.x[i] : 0));
  put_signed(detail_parts.weights, w, SIDE, SIDE, 0.8 * largest_of(w));
  put_signed(detail_parts.product, product, SIDE, SIDE, largest_of(product));
  const sum = product.reduce((total, value) => total + value, 0);
  detail_parts.text.textContent =
    `Neuron ${j}: bias b = ${written(layer.b[j], 2)}. ` +
    (on
      ? `The products add up to ${written(sum, 2)}, so z = w · x + b = ${written(layer.z[j], 2)} ` +
        `and a = ${layer.activation}(z) = ${written(layer.a[j], 3)}.`
      : "Draw a digit to see what it makes of it.");
}

/** Neurons on other neurons: a cell for each, with more ink for a higher activation. */
function show_neurons(layer, tiles) {
  tiles.classList.add("small");
  const cells = Array.from({ length: layer.n_out }, () => element("span", { className: "cell" }));
  tiles.append(...cells);
  const update = (on) => {
    const most = level_of(layer);
    cells.forEach((cell, j) => {
      const share = on ? Math.min(1, Math.abs(layer.a[j]) / most) : 0;
      const color = layer.a[j] < 0 ? colors.against : colors.ink;
      cell.style.background = `rgba(${color}, ${share.toFixed(3)})`;
    });
  };
  return { paint: () => {}, update };
}

/** Maps: a picture for each; below those of the first layer, the filter. */
function show_maps(layer, tiles, first) {
  const [height, width, maps] = layer.shape;
  const made = Array.from({ length: maps }, () => {
    const canvas = element("canvas", { className: "pixels" });
    const tile = element("span", { className: "tile" }, canvas);
    const filter = element("canvas", { className: "pixels filter" });
    if (first) tile.append(filter);
    tiles.append(tile);
    return { canvas, filter };
  });
  const paint = () => {
    if (!first) return;
    made.forEach(({ filter }, map) => {
      const w = layer.w.subarray(map * layer.size ** 2, (map + 1) * layer.size ** 2);
      put_signed(filter, w, layer.size, layer.size, largest_of(w));
    });
  };
  const update = (on) => {
    const most = level_of(layer);
    made.forEach(({ canvas }, map) => {
      const values = Float32Array.from({ length: height * width }, (_, i) =>
        on ? layer.a[i * maps + map] : 0,
      );
      put_signed_gray(canvas, values, width, height, most);
    });
  };
  return { paint, update };
}

function put_signed_gray(canvas, values, width, height, largest) {
  put(canvas, width, height, (i) => [
    Math.min(1, Math.abs(values[i]) / largest),
    values[i] < 0 ? colors.against : colors.ink,
  ]);
}

const views = [];

function build_layers() {
  const hidden = network.layers.slice(0, -1).filter((layer) => layer.kind !== "dropout");
  hidden.forEach((layer, number) => {
    const tiles = element("div", { className: "tiles" });
    const on_pixels = number === 0 && layer.n_in === SIDE * SIDE;
    const note = {
      dense: on_pixels
        ? "Each picture shows the weights of a neuron, blue for positive and orange for negative; " +
          "the line below it is as long as the activation. Choose one to see its sum."
        : "Each square is a neuron: the more ink, the higher its activation.",
      conv: number
        ? "Each picture is a map: ink shows where its filter found what it looks for."
        : "Each picture is a map: ink shows where its filter, drawn below it, found what it looks for.",
      "max-pool": "The largest of each pool.",
    }[layer.kind];
    $("layers").append(
      element("h3", { textContent: title_of(layer, number + 1) }),
      element("p", { className: "note", textContent: note }),
      tiles,
    );
    if (on_pixels && layer.kind === "dense") views.push(show_pixel_neurons(layer, tiles));
    else if (layer.kind === "dense") views.push(show_neurons(layer, tiles));
    else views.push(show_maps(layer, tiles, layer === network.layers[0] && layer.kind === "conv"));
  });
  $("inside").hidden = !hidden.length;
}

// One update: the image, the reading, the evidence, the layers.

/** Pixels of a byte image as the network was trained on them: a byte divided by 256. */
function inputs_of(image) {
  return Float32Array.from(image, (value) => value / 256);
}

function update() {
  if (!state.picture) state.image = image_of_strokes(state.strokes);
  const image = state.image ?? new Uint8Array(SIDE * SIDE);
  const on = Boolean(state.image);
  draw_pad();
  put_gray($("seen"), image, SIDE, SIDE, 255);
  if (on) {
    const first = network.predict(inputs_of(image));
    const label = state.label ?? first;
    show_reading(network.output.a, first);
    show_evidence(image, network.pixel_gradient(label), label);
  } else {
    show_nothing();
    show_evidence(image, new Float64Array(image.length), null);
  }
  for (const view of views) view.update(on);
}

let asked = false;

function update_soon() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    update();
  });
}

for (const input of document.querySelectorAll("[name=pixels]"))
  input.addEventListener("change", update_soon);

// The mistakes of the test set.

function show_mistakes({ name, correct, n, mistakes }) {
  const images = bytes_from(mistakes.images);
  const shown = mistakes.index.length;
  $("mistakes").hidden = !shown;
  const wrong = (n - correct).toLocaleString("en");
  $("mistakes-note").textContent =
    `The network misreads ${wrong} of the ${n.toLocaleString("en")} images of ${name}. ` +
    `${shown < n - correct ? `These ${shown} it is surest of` : "These are all of them"}: ` +
    "choose one to see why.";
  return mistakes.index.map((index, k) => {
    const image = images.subarray(k * SIDE * SIDE, (k + 1) * SIDE * SIDE);
    const canvas = element("canvas", { className: "pixels" });
    const caption = `${mistakes.true[k]} read as ${mistakes.read[k]}`;
    const button = element("button", { type: "button" }, canvas, caption);
    button.setAttribute("aria-label", `Test image ${index}: ${caption}`);
    button.addEventListener("click", () => {
      forget();
      const note = `Test image ${index.toLocaleString("en")} shows ${article(mistakes.true[k])}.`;
      Object.assign(state, { picture: canvas, image, note });
      update_soon();
      pad.scrollIntoView({ block: "center" });
      pad.focus({ preventScroll: true });
    });
    $("gallery").append(button);
    return () => put_gray(canvas, image, SIDE, SIDE, 255);
  });
}

// The training: curves, and the weights of the first layer epoch by epoch.

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A chart of series by epoch, with a line at the chosen one. */
function chart(title, series, format) {
  const [width, height, left, bottom] = [380, 190, 48, 24];
  const names = Object.keys(series);
  const values = names.flatMap((name) => series[name]);
  const epochs = series[names[0]].length;
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) [low, high] = [low - 0.01, high + 0.01];
  const x = (epoch) => left + ((width - left - 8) * epoch) / Math.max(1, epochs);
  const y = (value) => 8 + ((height - bottom - 8) * (high - value)) / (high - low);
  const image = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  for (const share of [0, 0.5, 1]) {
    const value = low + share * (high - low);
    image.append(
      svg("line", { class: "grid", x1: left, x2: width - 8, y1: y(value), y2: y(value) }),
      svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, format(value)),
    );
  }
  const marks = epochs > 1 ? [1, Math.ceil(epochs / 2), epochs] : [1];
  for (const epoch of new Set(marks)) {
    image.append(svg("text", { x: x(epoch), y: height - 6, "text-anchor": "middle" }, `${epoch}`));
  }
  for (const name of names) {
    const points = series[name].map((value, k) => `${x(k + 1).toFixed(1)},${y(value).toFixed(1)}`);
    image.append(svg("path", { class: name, d: `M${points.join("L")}` }));
  }
  const now = svg("line", { class: "now", y1: 8, y2: height - bottom });
  image.append(now);
  const legend = element("p", { className: "legend" });
  for (const name of names) {
    const line = svg(
      "svg",
      { viewBox: "0 0 28 8", "aria-hidden": "true" },
      svg("path", { class: name, d: "M0,4H28" }),
    );
    legend.append(element("span", {}, line, name));
  }
  const made = element("div", {}, element("h3", { textContent: title }), image, legend);
  const move = (epoch) => {
    now.setAttribute("x1", x(epoch));
    now.setAttribute("x2", x(epoch));
  };
  return { made, move };
}

async function inflated(text) {
  const stream = new Blob([bytes_from(text)])
    .stream()
    .pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Weights from differences between epochs, in 8 bits: (epochs, neurons, pixels). */
async function film_of({ weights, epochs, neurons, pixels }) {
  const bytes = await inflated(weights);
  const size = neurons * pixels;
  for (let i = size; i < epochs.length * size; i++) bytes[i] += bytes[i - size];
  return new Int8Array(bytes.buffer);
}

async function show_training({ epochs, best_epoch }, film) {
  const series_of = (ending) =>
    Object.fromEntries(
      ["training", "validation", "test"]
        .filter((name) => epochs[`${name}_${ending}`])
        .map((name) => [name, epochs[`${name}_${ending}`]]),
    );
  const percent = (value) => `${(100 * value).toFixed(1)} %`;
  const number = (value) => value.toPrecision(3);
  const accuracies = series_of("accuracy");
  const costs = series_of("cost");
  const charts = [];
  if (Object.keys(accuracies).length) charts.push(chart("Accuracy", accuracies, percent));
  if (Object.keys(costs).length) charts.push(chart("Cost", costs, number));
  $("charts").append(...charts.map(({ made }) => made));
  const n = epochs.eta.length;
  $("training").hidden = !n;
  const slider = Object.assign($("epoch"), { max: n, value: n });

  let show_weights = () => {};
  if (film) {
    const weights = await film_of(film);
    const size = film.pixels;
    const canvases = Array.from({ length: film.neurons }, () =>
      element("canvas", { className: "pixels" }),
    );
    $("film-weights").append(
      ...canvases.map((canvas) => element("span", { className: "tile" }, canvas)),
    );
    $("film-title").textContent =
      film.neurons < film.of
        ? `The weights of the first ${film.neurons} of ${film.of} neurons`
        : `The weights of the first layer`;
    $("film").hidden = false;
    const side = Math.sqrt(size);
    show_weights = (epoch) => {
      const k = film.epochs.reduce((best, e, i) => (e <= epoch ? i : best), 0);
      canvases.forEach((canvas, j) => {
        const start = (k * film.neurons + j) * size;
        put_signed(canvas, weights.subarray(start, start + size), side, side, 100);
      });
    };
  }
  const show = () => {
    const epoch = Number(slider.value);
    $("epoch-label").textContent = epoch ? `After epoch ${epoch} of ${n}` : "Before training";
    slider.setAttribute("aria-valuetext", $("epoch-label").textContent);
    const numbers = [];
    for (const name of Object.keys(accuracies)) {
      if (epoch)
        numbers.push(`${name} accuracy ${(100 * accuracies[name][epoch - 1]).toFixed(2)} %`);
    }
    if (epoch && epoch - 1 === best_epoch) numbers.push("the best epoch");
    $("epoch-numbers").textContent = numbers.join(", ") || (epoch ? "" : "The weights are random.");
    for (const { move } of charts) move(epoch);
    show_weights(epoch);
  };
  slider.addEventListener("input", show);
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    $("play").textContent = "Play";
  };
  $("play").addEventListener("click", () => {
    if (timer !== null) return stop();
    if (Number(slider.value) === n) slider.value = 0;
    $("play").textContent = "Stop";
    timer = setInterval(
      () => {
        slider.value = Number(slider.value) + 1;
        show();
        if (Number(slider.value) === n) stop();
      },
      Math.max(60, Math.min(400, 6000 / n)),
    );
  });
  return show;
}

// Start.

$("lede").textContent = record.lede;
$("outputs").textContent =
  { sigmoid: "Outputs from 0 to 1.", softmax: "Probabilities, which add up to 1." }[
    network.output.activation
  ] ?? `Outputs of ${network.output.activation} neurons; the bars reach from 0 to 1.`;
for (const [term, text] of record.facts) {
  $("facts").append(element("dt", { textContent: term }), element("dd", { textContent: text }));
}
read_colors();
build_layers();
const painted = record.test ? show_mistakes(record.test) : [];

function paint() {
  read_colors();
  for (const view of views) view.paint();
  for (const draw of painted) draw();
  update();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
paint();
if (record.history) {
  const show = await show_training(record.history, record.film);
  show();
  painted.push(show);
}

// For the console, and for the tests.
window.nndl = {
  network,
  state,
  update,
  update_soon,
  inputs_of,
  image_of_picture,
  forget,
  bytes_from,
};
