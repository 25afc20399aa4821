// Tails of the normal and of Student's t, right to rounding far out as well.
quantlab.special = (() => {
  const ROOT = Math.sqrt(2 * Math.PI);
  const normalDensity = (z) => Math.exp(-0.5 * z * z) / ROOT;

  // P(Z > z): a power series near 0, Laplace's continued fraction beyond
  function normalTail(z) {
    if (z < 0) return 1 - normalTail(-z);
    if (z > 38) return 0;
    const height = normalDensity(z);
    if (z < 2.5) {
      let term = z, sum = z;
      for (let n = 3; term > 1e-17 * sum; n += 2) sum += term *= z * z / n;
      return 0.5 - height * sum;
    }
    let rest = 0;
    for (let n = z < 4 ? 36 : z < 8 ? 18 : 9; n > 0; n--) rest = n / (z + rest);
    return height / (z + rest);
  }

  // ln Gamma(x), x > 0 (Lanczos, g = 7)
  const LANCZOS = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  function logGamma(x) {
    let sum = LANCZOS[0];
    for (let i = 1; i < 9; i++) sum += LANCZOS[i] / (x - 1 + i);
    const t = x + 6.5;
    return Math.log(ROOT * sum) + (x - 0.5) * Math.log(t) - t;
  }

  // the continued fraction of the incomplete beta integral, by Lentz's method
  function betaFraction(x, a, b) {
    let c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), value = d;
    for (let m = 1; m < 300; m++) {
      let next = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
      d = 1 / (1 + next * d);
      c = 1 + next / c;
      value *= c * d;
      next = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 / (1 + next * d);
      c = 1 + next / c;
      value *= c * d;
      if (Math.abs(c * d - 1) < 1e-15) break;
    }
    return value;
  }

  // Student's t of nu degrees: its density, P(T > t), and int_t^inf s f(s) ds
  function student(nu) {
    const logPeak = logGamma((nu + 1) / 2) - logGamma(nu / 2) - 0.5 * Math.log(Math.PI * nu);
    const logBeta = logGamma(nu / 2) + Math.log(Math.PI) / 2 - logGamma((nu + 1) / 2);
    const density = (t) => Math.exp(logPeak - 0.5 * (nu + 1) * Math.log1p(t * t / nu));
    function tail(t) {
      if (t < 0) return 1 - tail(-t);
      if (t === 0) return 0.5;
      const x = nu / (nu + t * t), y = t * t / (nu + t * t), a = nu / 2;
      const front = Math.exp(a * Math.log(x) + 0.5 * Math.log(y) - logBeta);
      if (x < (a + 1) / (a + 2.5)) return 0.5 * front * betaFraction(x, a, 0.5) / a;
      return 0.5 - front * betaFraction(y, 0.5, a);
    }
    const firstTail = (t) => (nu + t * t) / (nu - 1) * density(t);
    return {density, tail, firstTail};
  }

  // the t that T passes with probability p < 1/2
  function studentQuantile(p, nu) {
    const {tail} = student(nu);
    let low = 0, high = 1;
    while (tail(high) > p) high *= 2;
    for (let i = 0; i < 60; i++) {
      const middle = 0.5 * (low + high);
      if (tail(middle) > p) low = middle; else high = middle;
    }
    return high;
  }

  return {normalDensity, normalTail, student, studentQuantile};
})();
