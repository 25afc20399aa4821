// Laws of a pair (X, Y) with unit variances and correlation rho.
//
// pdf, tail and firstTail: f(u), P(X > u) and int_u^inf x f dx. weight: E[Y^2 | X = u].
// Given X = u, Y is rho u + width(u) Z, and `given` has the tail and firstTail of Z.
// u = at(v), du = rate(v) dv: a coordinate in which panels of one width suit body and tails.
quantlab.laws = (() => {
  const {special} = quantlab;

  function gaussian(rho) {
    const q = Math.sqrt((1 - rho) * (1 + rho));
    const normal = {tail: special.normalTail, firstTail: special.normalDensity};
    return {
      family: "gaussian", rho, q, fourth: 1, given: normal, ...normal,
      pdf: special.normalDensity,
      weight: (u) => q * q + rho * rho * u * u,
      width: () => q,
      optimal: () => quantlab.pointDensity((u) => quantlab.unnormalized(u, rho)),
      plain: () => quantlab.pointDensity((u) => quantlab.unnormalized(u, 0)),
      peaks: () => quantlab.peaks(rho),
      at: (v) => v, rate: () => 1, place: (u) => u,
      stepWidth: q / Math.abs(rho), reach: () => 9,
    };
  }

  // sqrt(2)^last, beyond which u l(u) is below 1e-17: heavy tails of l reach very far
  function edges(shape) {
    let last = 0;
    while (last < 400 && Math.SQRT2 ** last * shape(Math.SQRT2 ** last) > 1e-17 * shape(1)) last++;
    return quantlab.geometric(last);
  }

  function studentT(rho, nu) {
    const q = Math.sqrt((1 - rho) * (1 + rho)), unit = Math.sqrt(nu - 2), scale = Math.sqrt(nu / (nu - 2));
    const own = special.student(nu), given = special.student(nu + 1);
    const weight = (u) => rho * rho * u * u + q * q * (nu - 2 + u * u) / (nu - 1);
    const pdf = (u) => scale * own.density(scale * u);
    // the cube root of f, up to a constant
    const root = (u) => Math.exp(-(nu + 1) / 6 * Math.log1p(u * u / (nu - 2)));
    const product = (u) => root(u) * Math.cbrt(weight(u));
    return {
      family: "student_t", rho, nu, q, given, pdf, weight,
      fourth: (nu - 2) / (nu - 4),
      tail: (u) => own.tail(scale * u),
      firstTail: (u) => (nu - 2 + u * u) / (nu - 1) * pdf(u),
      width: (u) => q * Math.sqrt((nu - 2 + u * u) / (nu + 1)),
      optimal: () => quantlab.pointDensity(product, edges(product)),
      plain: () => quantlab.pointDensity(root, edges(root)),
      peaks() {
        if (Math.abs(rho) <= quantlab.CRITICAL_RHO) return [0];
        const c = 3 - 1 / (rho * rho), u = Math.sqrt(c * (nu - 2) / (nu + 1 - c));
        return [-u, u];
      },
      at: (v) => unit * Math.sinh(v), rate: (v) => unit * Math.cosh(v), place: (u) => Math.asinh(u / unit),
      stepWidth: q / (Math.abs(rho) * Math.sqrt(nu + 1)),
      // f u^4 du falls like e^(-(nu - 4) v)
      reach: (last) => Math.asinh(last / unit) + 3 + 25 / (nu - 4),
    };
  }

  const law = ({family, rho, nu}) => (family === "gaussian" ? gaussian(rho) : studentT(rho, nu));
  // E[C_ij^2] = k E[X^2 Y^2] + k (k - 1) E[XY]^2
  const energy = ({fourth, rho}, k) => k * fourth * (1 + 2 * rho * rho) + k * (k - 1) * rho * rho;
  return {law, energy};
})();
