// What the factors z_l and s_l, which A and B share, explain of an error. A few of them in the tails
// decide an error's mean and are seldom drawn; so each measured error is taken less its expectation
// given its own factors, plus the mean of that over all factors. This is unbiased whatever the
// expectation is, and its spread is only what A's and B's own entries leave.
//
// Given z and s, X and Y are independent normal variables about s sqrt|rho| z and +-s sqrt|rho| z.
quantlab.factors = (() => {
  const normal = {tail: quantlab.special.normalTail, firstTail: quantlab.special.normalDensity};
  const REACH = 9, STEPS = [-6, -3, 0, 3, 6];

  // scales s and their probabilities: trapezoidal in log s^2, where nu - 2 over s^2 is chi-square
  function scales({family, nu}) {
    if (family === "gaussian") return [[1, 1]];
    const log = (t) => -0.5 * nu * t - (nu / 2 - 1) * Math.exp(-t);
    const nodes = [], peak = log(Math.log((nu - 2) / nu)), step = Math.min(0.4, Math.sqrt(2 / nu));
    // what is left out is below e^-25 of the fourth moment
    for (let t = -5; t < 100; t += step)
      if (log(t) + 2 * Math.max(t, 0) > peak - 25) nodes.push([Math.exp(0.5 * t), Math.exp(log(t) - peak)]);
    const total = nodes.reduce((sum, [, mass]) => sum + mass, 0);
    return nodes.map(([s, mass]) => [s, mass / total]);
  }

  function of(setting) {
    const {rho, inner_dim: k} = setting, shared = Math.sqrt(Math.abs(rho)), own = 1 - Math.abs(rho);
    const sign = Math.sign(rho), law = quantlab.laws.law(setting), nodes = scales(setting);

    // E[e] and E[e^2] of one product, given its factors
    function errors(x, y, z, s) {
      const mean = s * shared * z, width = s * Math.sqrt(own), square = mean * mean + width * width;
      const [x1, x2, xx] = quantlab.exact.moments(normal, mean, width, x);
      const [y1, y2, yy] = quantlab.exact.moments(normal, sign * mean, width, y);
      return [sign * mean * mean - x1 * y1, square * square - 2 * xx * yy + x2 * y2];
    }

    // E[(sum_l e_l)^2] given all factors
    function expected(x, y, z, scale) {
      let mean = 0, variance = 0;
      for (let l = 0; l < k; l++) {
        const [first, second] = errors(x, y, z[l], scale[l]);
        mean += first;
        variance += second - first * first;
      }
      return variance + mean * mean;
    }

    // its mean over all factors: the codebooks are symmetric, so that z > 0 is enough
    function mean(x, y) {
      let first = 0, second = 0;
      for (const [s, mass] of nodes) {
        // steps at the thresholds, as wide as the entries' own part
        const width = Math.sqrt(own) / shared, panel = width < 0.4 ? 0.5 : 1, steps = width < 0.15 ? STEPS : [];
        const edges = Array.from({length: REACH / panel + 1}, (_, i) => panel * i);
        for (const t of [...x.thresholds, ...y.thresholds])
          for (const step of steps) edges.push(Math.min(REACH, Math.max(0, t / (s * shared) + step * width)));
        edges.sort((a, b) => a - b);
        for (let p = 1; p < edges.length; p++) {
          const half = 0.5 * (edges[p] - edges[p - 1]), middle = 0.5 * (edges[p] + edges[p - 1]);
          for (let i = 0; i < 16 && half > 0; i++) {
            const z = middle + half * quantlab.NODES[i];
            const weight = 2 * mass * half * quantlab.WEIGHTS[i] * normal.firstTail(z);
            const [e, e2] = errors(x, y, z, s);
            first += weight * e;
            second += weight * e2;
          }
        }
      }
      return k * second + k * (k - 1) * first * first;
    }

    // what to add to an error measured with these factors
    function error({x, y}) {
      const all = mean(x, y);
      return (z, scale) => all - expected(x, y, z, scale);
    }

    // what to add to a measured E[C_ij^2]
    function energy(z, scale) {
      let mean = 0, variance = 0;
      for (let l = 0; l < k; l++) {
        const shift = (scale[l] * shared * z[l]) ** 2, width = scale[l] ** 2 * own;
        mean += shift;
        variance += width * (2 * shift + width);
      }
      return quantlab.laws.energy(law, k) - variance - mean * mean;
    }

    return {error, energy};
  }

  return {of};
})();
