// The network of the page: feedforward and backpropagation for one image at a time.
//
// An image is an array of numbers, the maps of a pixel side by side, as in nndl/conv.py. Every
// layer keeps its last output a; `delta` and `backward` use it, as in chapter 2 of the book.

const ACTIVATIONS = {
  sigmoid: { value: (z) => 1 / (1 + Math.exp(-z)), prime: (a) => a * (1 - a) },
  tanh: { value: Math.tanh, prime: (a) => 1 - a * a },
  "scaled-tanh": {
    value: (z) => 1.7159 * Math.tanh((2 / 3) * z),
    prime: (a) => (2 / 3 / 1.7159) * (1.7159 ** 2 - a * a),
  },
  relu: { value: (z) => Math.max(0, z), prime: (a) => (a > 0 ? 1 : 0) },
  "leaky-relu": leaky_relu(0.01),
  identity: { value: (z) => z, prime: () => 1 },
};

function leaky_relu(slope) {
  return { value: (z) => Math.max(z, slope * z), prime: (a) => (a > 0 ? 1 : slope) };
}

/** The activation of a name, which can be "leaky-relu(0.2)". */
function activation_named(name) {
  const slope = /^leaky-relu\((.*)\)$/.exec(name);
  return slope ? leaky_relu(Number(slope[1])) : ACTIVATIONS[name];
}

/** a = sigma(z), written into `a`. */
function activate(name, z, a) {
  if (name !== "softmax") {
    const { value } = activation_named(name);
    for (let j = 0; j < z.length; j++) a[j] = value(z[j]);
    return;
  }
  const largest = z.reduce((m, v) => Math.max(m, v), -Infinity);
  let sum = 0;
  for (let k = 0; k < z.length; k++) sum += Math.exp(z[k] - largest);
  for (let j = 0; j < z.length; j++) a[j] = Math.exp(z[j] - largest) / sum; // (78)
}

/** delta = nabla_a * sigma'(z), from the output a. */
function times_prime(name, nabla_a, a) {
  if (name !== "softmax") {
    const { prime } = activation_named(name);
    return Float64Array.from(nabla_a, (value, j) => value * prime(a[j]));
  }
  const mean = nabla_a.reduce((sum, value, k) => sum + value * a[k], 0);
  return Float64Array.from(nabla_a, (value, j) => a[j] * (value - mean));
}

class Dense {
  constructor({ n_out, activation, w, b }, n_in) {
    Object.assign(this, { kind: "dense", activation, w, b, n_in, n_out, shape: [n_out] });
    this.z = new Float32Array(n_out);
    this.a = new Float32Array(n_out);
  }

  forward(x) {
    const { w, b, z, n_in } = this;
    this.x = x;
    for (let j = 0, k = 0; j < z.length; j++) {
      let sum = 0;
      for (let i = 0; i < n_in; i++) sum += w[k++] * x[i];
      z[j] = sum + b[j]; //                                     z = w @ x + b              (25)
    }
    activate(this.activation, z, this.a); //                    a = sigma(z)
    return this.a;
  }

  delta(nabla_a) {
    return times_prime(this.activation, nabla_a, this.a); //    nabla_a * sigma'(z)        BP2
  }

  backward(delta) {
    const { w, n_in } = this;
    const nabla_x = new Float64Array(n_in);
    for (let j = 0, k = 0; j < delta.length; j++) {
      for (let i = 0; i < n_in; i++) nabla_x[i] += w[k++] * delta[j]; //    w.T @ delta   BP2
    }
    return nabla_x;
  }
}

/** In training each input is dropped with probability p; here all are scaled by 1 - p. */
class Dropout {
  constructor({ p }, shape) {
    Object.assign(this, { kind: "dropout", scale: 1 - p, shape });
  }

  forward(x) {
    this.a = x.map((value) => value * this.scale);
    return this.a;
  }

  delta(nabla_a) {
    return nabla_a;
  }

  backward(delta) {
    return delta.map((value) => value * this.scale);
  }
}

/**
 * The largest of each size x size numbers of a map; `source` remembers where each came from.
 * Rows and columns that do not fill a pool are left out.
 */
function max_pool(z, [, width, maps], size, [rows, columns], largest, source) {
  largest.fill(-Infinity);
  for (let row = 0; row < rows * size; row++) {
    for (let column = 0; column < columns * size; column++) {
      const start = (Math.floor(row / size) * columns + Math.floor(column / size)) * maps;
      for (let k = start, i = (row * width + column) * maps; k < start + maps; k++, i++) {
        if (z[i] > largest[k]) {
          largest[k] = z[i];
          source[k] = i;
        }
      }
    }
  }
}

class MaxPool {
  constructor({ size }, shape_in) {
    const [height, width, maps] = shape_in;
    const shape = [Math.floor(height / size), Math.floor(width / size), maps];
    Object.assign(this, { kind: "max-pool", size, shape_in, shape });
    this.a = new Float32Array(size_of(shape));
    this.source = new Int32Array(this.a.length);
  }

  forward(x) {
    max_pool(x, this.shape_in, this.size, this.shape, this.a, this.source);
    return this.a;
  }

  delta(nabla_a) {
    return nabla_a;
  }

  backward(delta) {
    const nabla_x = new Float64Array(size_of(this.shape_in));
    delta.forEach((value, k) => (nabla_x[this.source[k]] += value));
    return nabla_x;
  }
}

/** A convolution, pooled before bias and activation, as in nndl/conv.py. */
class Conv {
  constructor({ maps, size, stride = 1, padding = 0, pool, activation, w, b }, shape_in) {
    const [height, width, c] = shape_in;
    const shape_padded = [height + 2 * padding, width + 2 * padding, c];
    const patches = (side) => Math.floor((side + 2 * padding - size) / stride) + 1;
    const shape_z = [patches(height), patches(width), maps];
    const shape = [Math.floor(shape_z[0] / pool), Math.floor(shape_z[1] / pool), maps];
    Object.assign(this, { kind: "conv", size, stride, padding, pool, activation, w, b });
    Object.assign(this, { shape_in, shape_padded, shape_z, shape });
    this.x = new Float32Array(size_of(shape_padded));
    this.products = new Float32Array(size_of(shape_z)); // w @ x for each patch
    this.z = new Float32Array(size_of(shape));
    this.a = new Float32Array(this.z.length);
    this.source = new Int32Array(this.z.length);
    // w, column by column: the maps of a weight side by side, as those of a pixel.
    const n = w.length / maps;
    this.w_columns = Float32Array.from(w, (_, k) => w[(k % maps) * n + Math.floor(k / maps)]);
  }

  forward(image) {
    const { w_columns, x, b, products, size, stride } = this;
    const [rows, columns, maps] = this.shape_z;
    const [, width, c] = this.shape_padded;
    this.rows_inside((start, inside, length) =>
      x.set(image.subarray(start, start + length), inside),
    );
    const sums = new Float64Array(maps);
    for (let row = 0, k = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, k += maps) {
        sums.fill(0);
        for (let r = 0, j = 0; r < size; r++) {
          const start = ((stride * row + r) * width + stride * column) * c;
          for (let i = start; i < start + size * c; i++, j += maps) {
            const value = x[i];
            if (value === 0) continue; // as most pixels of a digit
            for (let map = 0; map < maps; map++) sums[map] += w_columns[j + map] * value;
          }
        }
        products.set(sums, k);
      }
    }
    max_pool(products, this.shape_z, this.pool, this.shape, this.z, this.source);
    for (let k = 0; k < this.z.length; k++) this.z[k] += b[k % maps]; //    z = w @ x + b (25)
    activate(this.activation, this.z, this.a); //                           a = sigma(z)
    return this.a;
  }

  delta(nabla_a) {
    return times_prime(this.activation, nabla_a, this.a); //    nabla_a * sigma'(z)        BP2
  }

  backward(delta) {
    const { w, size, stride } = this;
    const [, columns, maps] = this.shape_z;
    const [, width, c] = this.shape_padded;
    const length = size * c;
    const nabla_padded = new Float64Array(this.x.length);
    for (let k = 0; k < delta.length; k++) {
      if (delta[k] === 0) continue;
      const patch = Math.floor(this.source[k] / maps); // the only one of its pool with influence
      const [row, column] = [stride * Math.floor(patch / columns), stride * (patch % columns)];
      for (let r = 0, j = (k % maps) * size * length; r < size; r++) {
        const start = ((row + r) * width + column) * c;
        for (let i = start; i < start + length; i++) nabla_padded[i] += w[j++] * delta[k]; //  BP2
      }
    }
    const nabla_x = new Float64Array(size_of(this.shape_in));
    this.rows_inside((start, inside, n) =>
      nabla_x.set(nabla_padded.subarray(inside, inside + n), start),
    );
    return nabla_x;
  }

  /** Call f for each row of an image: its start, its start inside the padding, its length. */
  rows_inside(f) {
    const [height, width, c] = this.shape_in;
    const { padding } = this;
    for (let row = 0; row < height; row++) {
      f(row * width * c, ((row + padding) * this.shape_padded[1] + padding) * c, width * c);
    }
  }
}

function size_of(shape) {
  return shape.reduce((n, side) => n * side, 1);
}

const LAYERS = { dense: Dense, dropout: Dropout, conv: Conv, "max-pool": MaxPool };

/** delta = dC/dz of the output layer for each cost of nndl/costs.py: BP1. */
const COSTS = {
  quadratic: ({ activation, a }, y) => times_prime(activation, subtract(a, y), a),
  "cross-entropy": ({ activation, z, a }, y) =>
    activation === "softmax" ? softmax_cross_entropy(z, a, y) : subtract(a, y), // (66)
  "log-likelihood": ({ activation, a }, y) =>
    activation === "softmax"
      ? subtract(a, y) // (84)
      : Float64Array.from(a, (v, j) => y[j] * (v - 1)),
};

function subtract(a, y) {
  return Float64Array.from(a, (value, j) => value - y[j]);
}

/** The cross-entropy (63) with softmax outputs. 1 - a_j is the sum of the other outputs. */
function softmax_cross_entropy(z, a, y) {
  const delta = Float64Array.from(a, (value, k) => a.length * value - y[k]);
  const largest = z.reduce((m, v) => Math.max(m, v), -Infinity);
  const e = Float64Array.from(z, (v) => Math.exp(v - largest));
  for (let j = 0; j < e.length; j++) {
    let others = 0;
    for (let k = 0; k < e.length; k++) if (k !== j) others += e[k];
    if (others === 0) continue; // no other output is above 0 in double precision
    for (let k = 0; k < e.length; k++) if (k !== j) delta[k] -= ((1 - y[j]) * e[k]) / others;
  }
  return delta;
}

class Network {
  constructor({ input_shape, cost, layers }) {
    const [maps, height, width] = input_shape;
    let shape = input_shape.length === 3 ? [height, width, maps] : input_shape;
    this.cost = COSTS[cost];
    this.layers = layers.map((layer) => {
      const inputs = layer.kind === "dense" ? size_of(shape) : shape;
      const built = new LAYERS[layer.kind](layer, inputs);
      shape = built.shape;
      return built;
    });
    this.output = this.layers.at(-1);
  }

  feedforward(x) {
    for (const layer of this.layers) x = layer.forward(x);
    return x;
  }

  /** The label of the largest output; of equal ones, the first. */
  predict(x) {
    const a = this.feedforward(x);
    return a.reduce((best, value, j) => (value > a[best] ? j : best), 0);
  }

  /** The gradient of the cost of the last image with respect to its pixels, if it shows `label`. */
  pixel_gradient(label) {
    const y = Float64Array.from(this.output.a, (_, j) => (j === label ? 1 : 0));
    let delta = this.cost(this.output, y); //                       BP1
    for (let l = this.layers.length - 1; l > 0; l--) {
      const nabla_a = this.layers[l].backward(delta); //            w.T @ delta            BP2
      delta = this.layers[l - 1].delta(nabla_a); //                 nabla_a * sigma'(z)    BP2
    }
    return this.layers[0].backward(delta);
  }
}

/** Numbers from base64: "float32", or "float16" (5 bits of exponent, 10 of fraction). */
function numbers_from(text, type) {
  const bytes = bytes_from(text);
  if (type === "float32") return new Float32Array(bytes.buffer);
  return Float32Array.from(new Uint16Array(bytes.buffer), (half) => {
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
    return half >> 15 ? -size : size;
  });
}

function bytes_from(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
