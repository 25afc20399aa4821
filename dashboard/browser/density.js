// Optimal point densities, the Gaussian pair's above all, as quantlab.density computes them.
// Everything here is a pure function; u is in standard deviations.
const quantlab = (globalThis.quantlab ??= (() => {
  // Gauss-Legendre nodes and weights on [-1, 1], by Newton on the Legendre recurrence
  function legendre(n) {
    const nodes = new Float64Array(n), weights = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      let x = Math.cos(Math.PI * (i + 0.75) / (n + 0.5)), slope = 1;
      for (let step = 0; step < 8; step++) {
        let before = 1, now = x;
        for (let j = 2; j <= n; j++) [before, now] = [now, ((2 * j - 1) * x * now - (j - 1) * before) / j];
        slope = n * (x * now - before) / (x * x - 1);
        x -= now / slope;
      }
      nodes[i] = x;
      weights[i] = 2 / ((1 - x * x) * slope * slope);
    }
    return [nodes, weights];
  }
  const [NODES, WEIGHTS] = legendre(16);
  const CRITICAL_RHO = 1 / Math.sqrt(3);
  // panels on u > 0 up to sqrt(2)^last, geometric towards 0 for the |u|^(2/3) cusp at |rho| = 1
  const geometric = (last) => Float64Array.from({length: 58 + last}, (_, i) => (i === 0 ? 0 : Math.SQRT2 ** (i - 57)));
  const EDGES = geometric(10);

  // e^(-u^2/6) ((1 - rho^2) + rho^2 u^2)^(1/3)
  function unnormalized(u, rho) {
    const a = (1 - rho) * (1 + rho), b = rho * rho;
    return Math.exp(-u * u / 6) * Math.cbrt(a + b * u * u);
  }

  // The density proportional to the even function `shape`, whose mass ends within `edges`
  function pointDensity(shape, edges = EDGES) {
    const last = edges.length - 1;

    function integral(left, right) {
      const half = 0.5 * (right - left), middle = 0.5 * (right + left);
      let sum = 0;
      for (let i = 0; i < 16; i++) sum += WEIGHTS[i] * shape(middle + half * NODES[i]);
      return half * sum;
    }

    // integrals over [0, edges[i]]; the last one is Z / 2
    const table = new Float64Array(edges.length);
    for (let i = 1; i <= last; i++) table[i] = table[i - 1] + integral(edges[i - 1], edges[i]);
    const total = table[last], normalizer = 2 * total;

    // into `out`
    function density(u, out = new Float64Array(u.length)) {
      for (let i = 0; i < u.length; i++) out[i] = shape(u[i]) / normalizer;
      return out;
    }

    // F^-1((i - 1/2) / K): the companding design's centres, by safeguarded Newton steps
    function centers(K) {
      const out = new Float64Array(K);
      let panel = 0;
      for (let i = K >> 1; i < K; i++) {
        const target = ((2 * i + 1) / K - 1) * total;
        while (panel < last - 1 && table[panel + 1] <= target) panel++;
        let low = edges[panel], high = edges[panel + 1], u = 0.5 * (low + high);
        for (let step = 0; step < 60 && target > 0; step++) {
          const excess = table[panel] + integral(edges[panel], u) - target;
          if (excess < 0) low = u; else high = u;
          let next = u - excess / shape(u);
          if (!(next > low && next < high)) next = 0.5 * (low + high);
          if (Math.abs(next - u) <= 4e-16 * Math.max(1, u)) break;
          u = next;
        }
        out[i] = target > 0 ? u : 0;
        out[K - 1 - i] = -out[i];
      }
      return out;
    }

    return {normalizer, density, centers};
  }

  // l*(u; rho)
  const gaussian = (rho) => pointDensity((u) => unnormalized(u, rho));
  const normalizer = (rho) => gaussian(rho).normalizer;
  const density = (u, rho, out) => gaussian(rho).density(u, out);
  const centers = (rho, K) => gaussian(rho).centers(K);

  function peaks(rho) {
    if (Math.abs(rho) <= CRITICAL_RHO) return [0];
    const u = Math.sqrt(3 - 1 / (rho * rho));
    return [-u, u];
  }

  // c of mse / k -> c / K_X^2 + c / K_Y^2 at unit variances
  const leadingConstant = (rho) => normalizer(rho) ** 3 / (12 * Math.sqrt(2 * Math.PI));

  // the asymptotic law's nmse at K_X = K_Y = 1 (divide by K^2); of feedback for the plain density
  function asymptoteAtOne(rho, k, feedback = false) {
    const b = rho * rho, energy = k * (1 + 2 * b) + k * (k - 1) * b;
    const c = feedback ? (1 - Math.abs(rho)) * leadingConstant(0) : leadingConstant(rho);
    return 2 * k * c / energy;
  }

  return {
    NODES, WEIGHTS, CRITICAL_RHO, geometric, pointDensity, unnormalized,
    normalizer, density, peaks, centers, leadingConstant, asymptoteAtOne,
  };
})());
