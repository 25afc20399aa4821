// The exact error of the coded product, by quadrature: mse(k) = k E[e^2] + k (k - 1) E[e]^2 with
// e = XY - Xq Yq, for codebooks that are symmetric about 0.
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

  // nmse = mse(k) / E[C_ij^2]
  function nmse(law, x, y, k) {
    const edges = panels(law, x, y);
    let error = 0, squared = 0;
    for (let p = 1; p < edges.length; p++) {
      const half = 0.5 * (edges[p] - edges[p - 1]), middle = 0.5 * (edges[p] + edges[p - 1]);
      if (!(half > 0)) continue;
      const c = x.centers[cell(x.thresholds, law.at(middle))];
      for (let i = 0; i < 16; i++) {
        const v = middle + half * quantlab.NODES[i], u = law.at(v);
        const mass = half * quantlab.WEIGHTS[i] * law.rate(v) * law.pdf(u);
        if (mass === 0) continue;
        const [first, square, cross] = moments(law.given, law.rho * u, law.width(u), y);
        error += mass * (law.rho * u * u - c * first);
        squared += mass * (u * u * law.weight(u) - 2 * u * c * cross + c * c * square);
      }
    }
    // the other half line is the mirror image
    return (2 * k * squared + k * (k - 1) * (2 * error) ** 2) / quantlab.laws.energy(law, k);
  }

  return {moments, nmse};
})();
