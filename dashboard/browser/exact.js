// The exact error of the coded product, by quadrature: mse(k) = k E[e^2] + k (k - 1) E[e]^2 with
// e = XY - Xq Yq.
quantlab.exact = (() => {
  // how wide panels of 16 nodes may be, in the law's coordinate
  const PANEL = 0.5;
  const STEPS = [-6, -3, 0, 3, 6];

  // borders of the panels: the thresholds of X, and what resolves the steps that those of Y make
  function panels(law, x, y) {
    const last = x.thresholds[x.thresholds.length - 1] ?? 0;
    const reach = law.reach(Math.max(last, 1));
    const edges = Array.from({length: Math.ceil(reach / PANEL) + 1}, (_, i) => PANEL * i);
    edges.push(...Array.from(x.thresholds, law.place));
    for (const t of law.rho === 0 ? [] : y.thresholds) {
      const step = law.place(t / law.rho);
      if (law.q === 0) edges.push(step);
      else if (law.stepWidth < PANEL) edges.push(...STEPS.map((s) => step + s * law.stepWidth));
    }
    const end = edges[Math.ceil(reach / PANEL)];
    return edges.filter((v) => v >= 0 && v <= end).sort((a, b) => a - b);
  }

  function cell(thresholds, u) {
    let i = 0;
    while (i < thresholds.length && u > thresholds[i]) i++;
    return i;
  }

  // E[q], E[q^2] and E[Y q] of q = q(Y), Y = mean + width Z, Z with the tails of `law`: the values of
  // the cell around the mean, and what the tails change of them
  function moments({tail, firstTail}, mean, width, {centers, thresholds}) {
    const middle = cell(thresholds, mean), c = centers[middle];
    if (width === 0) return [c, c * c, mean * c];
    let first = c, square = c * c, cross = 0;
    for (let j = 0; j < thresholds.length; j++) {
      const z = (thresholds[j] - mean) / width, low = centers[j], high = centers[j + 1];
      const moved = j < middle ? -tail(-z) : tail(z);
      first += (high - low) * moved;
      square += (high * high - low * low) * moved;
      cross += (high - low) * firstTail(z);
    }
    return [first, square, mean * first + width * cross];
  }

  const mirror = (values) => Float64Array.from(values, (v) => -v).reverse();
  const mirrored = ({centers, thresholds}) => ({centers: mirror(centers), thresholds: mirror(thresholds)});
  const symmetric = ({centers, thresholds}) =>
    [centers, thresholds].every((list) => mirror(list).every((v, i) => v === list[i] || Math.abs(v - list[i]) < 1e-12 * Math.abs(v)));

  // over u > 0: E[e], E[e^2], and E[p], E[p^2], E[XY p] of the coded product p
  function half(law, x, y) {
    const edges = panels(law, x, y);
    let error = 0, squared = 0, product = 0, square = 0, cross = 0;
    for (let p = 1; p < edges.length; p++) {
      const half = 0.5 * (edges[p] - edges[p - 1]), middle = 0.5 * (edges[p] + edges[p - 1]);
      if (!(half > 0)) continue;
      const c = x.centers[cell(x.thresholds, law.at(middle))];
      for (let i = 0; i < 16; i++) {
        const v = middle + half * quantlab.NODES[i], u = law.at(v);
        const mass = half * quantlab.WEIGHTS[i] * law.rate(v) * law.pdf(u);
        if (mass === 0) continue;
        const [q, qq, yq] = moments(law.given, law.rho * u, law.width(u), y);
        error += mass * (law.rho * u * u - c * q);
        squared += mass * (u * u * law.weight(u) - 2 * u * c * yq + c * c * qq);
        product += mass * c * q;
        square += mass * c * c * qq;
        cross += mass * u * c * yq;
      }
    }
    return [error, squared, product, square, cross];
  }

  // quantlab.exact_mse at unit variances: variance and bias as shares of E[C_ij^2], their sum nmse,
  // the best gain on the product and the nmse that it leaves
  function error(law, x, y, k) {
    const right = half(law, x, y);
    const left = symmetric(x) && symmetric(y) ? right : half(law, mirrored(x), mirrored(y));
    const [mean, squared, product, square, cross] = right.map((v, i) => v + left[i]);
    const energy = quantlab.laws.energy(law, k);
    const shares = (second, first) => [k * Math.max(second - first * first, 0) / energy, (k * first) ** 2 / energy];
    const [variance, bias] = shares(squared, mean);
    const curvature = square + (k - 1) * product * product;
    const d = curvature > 0 ? (cross - square + (k - 1) * mean * product) / curvature : 0;
    const [varied, biased] = shares(squared - d * (2 * (cross - square) - d * square), mean - d * product);
    return {variance, bias, nmse: variance + bias, gain: 1 + d, nmse_with_gain: varied + biased};
  }

  const nmse = (law, x, y, k) => error(law, x, y, k).nmse;

  return {error, moments, nmse};
})();
