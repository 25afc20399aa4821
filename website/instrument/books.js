// Codebooks {centers, thresholds} of one operand, in standard deviations, all symmetric about 0.
quantlab.books = (() => {
  const midpoints = (c) => Float64Array.from({length: c.length - 1}, (_, i) => 0.5 * (c[i] + c[i + 1]));
  const nearest = (centers) => ({centers, thresholds: midpoints(centers)});

  // mass and first moment of each cell
  function moments(law, t) {
    const mass = new Float64Array(t.length + 1), first = new Float64Array(t.length + 1);
    for (let i = 0; i <= t.length; i++) {
      const low = i === 0 ? -Infinity : t[i - 1], high = i === t.length ? Infinity : t[i];
      // from the smaller tails, so that cells far out keep their digits
      const mirrored = high <= 0, a = mirrored ? -high : low, b = mirrored ? -low : high;
      mass[i] = (a === -Infinity ? 1 : law.tail(a)) - (b === Infinity ? 0 : law.tail(b));
      first[i] = (low === -Infinity ? 0 : law.firstTail(low)) - (high === Infinity ? 0 : law.firstTail(high));
    }
    return {mass, first};
  }

  const explained = (c, {mass, first}) => c.reduce((sum, v, i) => sum + v * (2 * first[i] - v * mass[i]), 0);

  // Newton's step on c_i mass_i = first_i; `share` of the borders' part: 1 Newton, 0 Lloyd
  function step(law, c, {mass, first}, share) {
    const n = c.length, t = midpoints(c);
    const border = Float64Array.from(t, (u, i) => 0.25 * share * law.pdf(u) * (c[i + 1] - c[i]));
    const diagonal = mass.map((m, i) => m - (border[i - 1] ?? 0) - (border[i] ?? 0));
    const right = mass.map((m, i) => first[i] - c[i] * m);
    for (let i = 1; i < n; i++) {
      const factor = -border[i - 1] / diagonal[i - 1];
      diagonal[i] += factor * border[i - 1];
      right[i] -= factor * right[i - 1];
    }
    for (let i = n - 1; i >= 0; i--) right[i] = (right[i] + (border[i] ?? 0) * (right[i + 1] ?? 0)) / diagonal[i];
    const moved = c.map((v, i) => v + right[i]);
    return moved.map((v, i) => 0.5 * (v - moved[n - 1 - i]));
  }

  const increasing = (c) => c.every((v, i) => Number.isFinite(v) && (i === 0 || v > c[i - 1]));

  // c_i = int x f / int f over its cell: the least error of the entries
  function lloydMax(law, K) {
    let c = law.plain().centers(K), own = moments(law, midpoints(c));
    for (let steps = 0; steps < 500; steps++) {
      let next, theirs;
      for (const share of [1, 0.9, 0.6, 0]) {
        next = step(law, c, own, share);
        if (!increasing(next)) continue;
        theirs = moments(law, midpoints(next));
        if (share === 0 || explained(next, theirs) > explained(c, own) - 1e-15) break;
      }
      const size = Math.max(...next.map((v, i) => Math.abs(v - c[i])));
      [c, own] = [next, theirs];
      if (size < 1e-12) break;
    }
    return nearest(c);
  }

  // what depends on the law's shape and K alone is kept
  const kept = new Map();
  function once(law, K, name, make) {
    const key = `${law.family} ${law.nu} ${K} ${name}`;
    if (!kept.has(key)) kept.set(key, make());
    return kept.get(key);
  }

  // Positive centres and thresholds, in the table's unit, to a whole codebook
  function whole(half, K, unit) {
    const n = K >> 1, positive = half.slice(0, n), middle = half.slice(n);
    const mirror = (values, centre) =>
      Float64Array.from([...values.map((v) => -v).reverse(), ...centre, ...values], (v) => v * unit);
    return {centers: mirror(positive, K % 2 ? [0] : []), thresholds: mirror(middle, K % 2 ? [] : [0])};
  }

  // The symmetric codebooks of least exact error, or why there are none. Between two of the table's correlations
  // both are mixed, but for neighbours a hundredth apart, which may be of different kinds
  function bilinear(table, law, kX, kY, k) {
    if (law.family !== "gaussian") return {missing: "tabled for the Gaussian law only"};
    if (kX !== kY) return {missing: "tabled for equal K of A and B only"};
    const row = table.books[k][kX], at = 100 * Math.abs(law.rho), last = row.length - 1;
    if (at > row[last][0] + 1e-9) return {missing: `tabled up to |ρ| = ${row[last][0] / 100}`};
    let i = 0;
    while (i < last - 1 && row[i + 1][0] <= at) i++;
    const [[low, left], [high, right]] = [row[i], row[i + 1]], share = (at - low) / (high - low);
    const mix = high - low > 1 ? share : Math.round(share);
    const [x, y] = [0, 1].map((operand) => {
      const [from, to] = [left, right].map((books) => books[operand] ?? books[0]);
      return whole(from.map((v, j) => v + mix * (to[j] - v)), kX, table.unit);
    });
    return {x, y};
  }

  // name -> {x, y}, or {missing: why}
  function all(table, law, kX, kY, k) {
    const plain = once(law, 0, "plain", law.plain), optimal = law.optimal();
    const both = (make) => ({x: make(kX), y: make(kY)});
    return {
      plain: both((K) => nearest(plain.centers(K))),
      lloyd_max: both((K) => once(law, K, "lloyd_max", () => lloydMax(law, K))),
      closed_form: both((K) => nearest(optimal.centers(K))),
      bilinear: bilinear(table, law, kX, kY, k),
    };
  }

  return {all};
})();
