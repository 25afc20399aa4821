// Draws what the closed form gives for the controls' values, on every move of a slider and in the
// browser alone: the sources and texts written here are not synchronised with the server. A law
// without a closed form here (`closed` is false) is drawn by the server.
const {rho: [rho], k_x: [k_x], k_y: [k_y], inner_dim: [inner_dim]} = setting.data;
const {gaussian: [gaussian], closed: [closed], operand: [operand], feedback: [feedback], designs: [designs], texts: [texts]} = scene.data;
// with feedback an error costs the same everywhere: the best density is the plain one at every rho
const shape_rho = feedback ? 0 : rho;
// a slider's stop in two digits, any other value in four
const signed = (value) => value.toFixed(Number.isInteger(Number((100 * value).toFixed(6))) ? 2 : 4).replace("-", "−");

if (curve.data.u.length === 0) {
  const u = Float64Array.from({length: 801}, (_, i) => reach * (i / 400 - 1));
  curve.data = {u, plain: u.slice(), optimal: u.slice(), weight: u.slice()};
}
const {u} = curve.data;
const nothing = closed ? null : u.map(() => NaN);
const weight = Float64Array.from(u, (v) => (!gaussian ? NaN : feedback ? 1 - Math.abs(rho) : 1 + rho * rho * (v * v - 1)));
curve.data = {
  u, weight, plain: nothing ?? quantlab.density(u, 0), optimal: nothing ?? quantlab.density(u, shape_rho),
};

const found = Float64Array.from(closed ? quantlab.peaks(shape_rho) : []);
peaks.data = {u: found, height: quantlab.density(found, shape_rho)};

for (const [name, source] of Object.entries(rugs)) {
  const shown = designs.split(",").includes(name);
  const centers = shown ? quantlab.centers(name === "closed_form" ? rho : 0, operand === "x" ? k_x : k_y) : [];
  source.data = {u: centers, design: Array(centers.length).fill(labels[name])};
}

const split = found.length === 2;
const peak = closed ? found[found.length - 1].toFixed(2) : "";

// words and the other pictures may follow a frame later: the density's is the one that the hand follows
requestAnimationFrame(() => {
  density_text.text = texts[0] ?? (split
    ? `<b>Two peaks, at u = ±${peak}.</b> Past <span class="one">|ρ| = 1/√3 ≈ 0.577</span> an error on a large entry meets a large partner, and the finest cells move outwards.`
    : `<b>One peak, at u = 0.</b> Up to <span class="one">|ρ| = 1/√3 ≈ 0.577</span> the finest cells stay at zero, where most entries are.`);
  branches.data = {u: found, rho: found.map(() => rho)};
  branch_text.text = texts[1] ?? (split
    ? `ρ = ${signed(rho)}: the peak <b>has split</b>, ${peaks_formula} = ±${peak}.`
    : `ρ = ${signed(rho)}: <b>one peak</b>. It splits where <span class="one">|ρ| passes 1/√3 ≈ 0.577</span>.`);
  // 1/K_X^2 + 1/K_Y^2 counts like 2/K^2
  here.location = Math.sqrt(2 / (1 / k_x ** 2 + 1 / k_y ** 2));
  const at_one = gaussian ? quantlab.asymptoteAtOne(rho, inner_dim, feedback) : NaN;
  asymptote.data = {K: [2, 256], nmse: [at_one / 4, at_one / 65536]};
  error_range.start = 10 ** Math.floor(Math.log10(quantlab.asymptoteAtOne(1, inner_dim) / 65536));
});
