// The coded product's error, measured: nmse = sum (C - Cq)^2 / sum C^2 over pairs of matrices drawn
// from the law, and its standard error. Both sums are corrected for the factors that were drawn.
quantlab.measure = (() => {
  // sfc32, seeded by splitmix: numbers in [0, 1)
  function generator(seed) {
    let state = seed >>> 0;
    const word = () => {
      state = (state + 0x9e3779b9) | 0;
      let z = state ^ (state >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z ^= z >>> 15;
      z = Math.imul(z, 0x735a2d97);
      return z ^ (z >>> 15);
    };
    let a = word(), b = word(), c = word(), count = 1;
    const uniform = () => {
      const t = (((a + b) | 0) + count) | 0;
      count = (count + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = (c << 21) | (c >>> 11);
      c = (c + t) | 0;
      return (t >>> 0) / 4294967296;
    };
    for (let i = 0; i < 12; i++) uniform();
    return uniform;
  }

  // standard normals, two at a time (Box and Muller)
  function fillNormal(out, uniform) {
    for (let i = 0; i < out.length; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(1 - uniform())), angle = 2 * Math.PI * uniform();
      out[i] = radius * Math.cos(angle);
      if (i + 1 < out.length) out[i + 1] = radius * Math.sin(angle);
    }
    return out;
  }

  // chi-square of nu degrees, nu > 2 (Marsaglia and Tsang)
  function chiSquare(nu, uniform) {
    const d = nu / 2 - 1 / 3, c = 1 / Math.sqrt(9 * d), z = new Float64Array(1);
    for (;;) {
      fillNormal(z, uniform);
      const v = (1 + c * z[0]) ** 3;
      if (v > 0 && Math.log(1 - uniform()) < 0.5 * z[0] * z[0] + d - d * v + d * Math.log(v)) return 2 * d * v;
    }
  }

  // A (m, k), the transpose of B (n, k), and their factors z and s, as quantlab's sample_matrices: column l of A and row l of
  // B share z_l and the scale s_l
  function draw({family, rho, nu}, m, k, n, uniform) {
    const z = fillNormal(new Float64Array(k), uniform);
    const scale = z.map(() => (family === "gaussian" ? 1 : Math.sqrt((nu - 2) / chiSquare(nu, uniform))));
    const own = Math.sqrt(1 - Math.abs(rho)), shared = Math.sqrt(Math.abs(rho));
    const matrix = (rows, sign) => {
      const out = fillNormal(new Float64Array(rows * k), uniform);
      for (let i = 0, at = 0; i < rows; i++)
        for (let l = 0; l < k; l++, at++) out[at] = scale[l] * (own * out[at] + sign * shared * z[l]);
      return out;
    };
    return {a: matrix(m, 1), b: matrix(n, Math.sign(rho)), z, scale};
  }

  // entries by their centres; a value equal to a threshold goes to the lower cell
  function coder({centers, thresholds}) {
    const last = thresholds.length, cells = 1024, reach = 8, start = new Uint8Array(cells);
    for (let i = 0, t = 0; i < cells; i++) {
      while (t < last && thresholds[t] < reach * (2 * i / cells - 1)) t++;
      start[i] = t;
    }
    return (values, out) => {
      for (let i = 0; i < values.length; i++) {
        const v = values[i], place = Math.floor((v / reach + 1) * cells / 2);
        // one cell early: the place itself is rounded
        let code = place < 1 ? 0 : start[Math.min(place, cells) - 1];
        while (code < last && v > thresholds[code]) code++;
        out[i] = centers[code];
      }
      return out;
    };
  }

  // C = A B from A (m, k) and B's transpose (n, k), m and n even; two rows by two columns at a time
  function product(a, b, m, k, n, out) {
    for (let i = 0; i < m; i += 2)
      for (let j = 0; j < n; j += 2) {
        const a0 = i * k, a1 = a0 + k, b0 = j * k, b1 = b0 + k;
        let c00 = 0, c01 = 0, c10 = 0, c11 = 0;
        for (let l = 0; l < k; l++) {
          const x0 = a[a0 + l], x1 = a[a1 + l], y0 = b[b0 + l], y1 = b[b1 + l];
          c00 += x0 * y0;
          c01 += x0 * y1;
          c10 += x1 * y0;
          c11 += x1 * y1;
        }
        out[i * n + j] = c00;
        out[i * n + j + 1] = c01;
        out[(i + 1) * n + j] = c10;
        out[(i + 1) * n + j + 1] = c11;
      }
    return out;
  }

  // A ratio of means over draws, with its standard error (delta method)
  class Ratio {
    draws = 0; above = 0; below = 0; squares = 0; both = 0; belows = 0;
    add(above, below) {
      this.draws++;
      this.above += above;
      this.below += below;
      this.squares += above * above;
      this.both += above * below;
      this.belows += below * below;
    }
    get value() { return this.above / this.below; }
    get deviation() {
      const r = this.value, n = this.draws, mean = this.above - r * this.below;
      const spread = this.squares - 2 * r * this.both + r * r * this.belows - mean * mean / n;
      return Math.sqrt(Math.max(spread, 0) * n / (n - 1)) / this.below;
    }
  }

  const SIZE = 128;

  // Measures draw after draw: a generator function, which yields true after each draw and false in
  // between, where the caller may leave. books: [{x, y}, ...]; ratios: a Ratio each
  function* measure(setting, books, ratios) {
    const {inner_dim: k} = setting, uniform = generator(setting.seed), size = SIZE * SIZE;
    const factors = quantlab.factors.of(setting), corrections = [];
    for (const pair of books) {
      corrections.push(factors.error(pair));
      yield false;
    }
    const coders = books.map(({x, y}) => [coder(x), coder(y)]);
    const exact = new Float64Array(SIZE * SIZE), coded = new Float64Array(SIZE * SIZE);
    const left = new Float64Array(SIZE * k), right = new Float64Array(SIZE * k);
    for (;;) {
      const {a, b, z, scale} = draw(setting, SIZE, k, SIZE, uniform);
      product(a, b, SIZE, k, SIZE, exact);
      const energy = exact.reduce((sum, c) => sum + c * c, 0) / size + factors.energy(z, scale);
      for (let i = 0; i < books.length; i++) {
        product(coders[i][0](a, left), coders[i][1](b, right), SIZE, k, SIZE, coded);
        let error = 0;
        for (let j = 0; j < coded.length; j++) error += (exact[j] - coded[j]) ** 2;
        ratios[i].add(error / size + corrections[i](z, scale), energy);
        if (i + 1 < books.length) yield false;
      }
      yield true;
    }
  }

  return {SIZE, Ratio, measure};
})();
