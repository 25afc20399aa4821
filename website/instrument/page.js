// The controls, the pictures and the worker, together. Every number shown belongs to the state
// beside it: a change clears what was measured before it draws, and late answers are dropped.
const $ = (id) => document.getElementById(id);
const shown = {id: 0, draws: 0, done: false, rows: {}, exact: {}};
let state, worker, books, written = 0;

const setting = () => ({family: state.law, rho: state.rho, nu: state.nu, inner_dim: state.inner_dim, seed: state.seed});
const density = new pictures.Density($("density"));
const pitchfork = new pictures.Pitchfork($("pitchfork"), (rho) => change({rho}));
const errors = new pictures.Errors($("error"));

function change(values) {
  Object.assign(state, values);
  if (state.linked) state.k_y = state.k_x;
  $("notice").hidden = true;
  show();
  clearTimeout(written);
  // browsers refuse more than a few of these a second
  written = setTimeout(() => history.replaceState(null, "", address.write(state)), 300);
}

function show() {
  Object.assign(shown, {id: shown.id + 1, draws: 0, done: false, rows: {}, exact: {}});
  const law = quantlab.laws.law(setting());
  books = quantlab.books.all(table, law, state.k_x, state.k_y, state.inner_dim);
  showControls();
  const [first, second] = sentences(law);
  $("density_text").innerHTML = first;
  $("pitchfork_text").innerHTML = second;
  const fork = `${state.law} ${state.nu}`;
  if (fork !== pitchfork.drawn) pitchfork.layout(state.law, state.nu);
  pitchfork.drawn = fork;
  density.draw(law, books, $("density_text").textContent);
  pitchfork.draw(law, $("pitchfork_text").textContent);
  showErrors();
  measure();
}

function showControls() {
  const {rho, k_x, k_y, inner_dim, nu} = state;
  const put = (id, value, text) => {
    $(id).value = value;
    $(id).setAttribute("aria-valuetext", $(`${id}_text`).textContent = text);
  };
  put("rho", rho, numbers.signed(rho));
  put("k_x", address.LEVELS.indexOf(k_x), String(k_x));
  put("k_y", address.LEVELS.indexOf(k_y), String(k_y));
  put("inner_dim", address.INNER_DIMS.indexOf(inner_dim), String(inner_dim));
  put("nu", nu, nu.toFixed(1));
  $("linked").checked = state.linked;
  $("law").value = state.law;
  $("nu_control").hidden = state.law !== "student_t";
}

function sentences(law) {
  const found = law.peaks(), split = found.length === 2, peak = `±${found[found.length - 1].toFixed(2)}`;
  const rho = numbers.signed(law.rho), student = law.family === "student_t";
  const first = split
    ? `<b>Two peaks, at u = ${peak}.</b> Past |ρ| = 1/√3 ≈ 0.577 an error on a large entry meets a large partner, and the finest cells move outwards.`
    : "<b>One peak, at u = 0.</b> Up to |ρ| = 1/√3 ≈ 0.577 the finest cells stay at zero, where most entries are.";
  let second = split
    ? `ρ = ${rho}: the peak <b>has split</b>, u = ${student ? "" : "±√(3 − 1/ρ²) = "}${peak}.`
    : `ρ = ${rho}: <b>one peak</b>. It splits where |ρ| passes 1/√3 ≈ 0.577.`;
  if (student) second += " The Gaussian pair’s peaks, grey, split at the same ρ.";
  return [first, second];
}

const names = () => Object.keys(books).filter((name) => !books[name].missing);

function showErrors() {
  const plain = shown.rows.plain?.value;
  $("rows").innerHTML = Object.entries(pictures.NAMES).map(([name, label]) => {
    const row = shown.rows[name], exact = shown.exact[name];
    const head = `<tr style="--c: var(${pictures.COLOURS[name]})" data-book="${name}"`;
    if (books[name].missing) return `${head}><th scope="row">${label}</th><td class="why" colspan="3">${books[name].missing}</td></tr>`;
    const data = row ? ` data-nmse="${row.value}" data-deviation="${row.deviation}"` : "";
    const known = exact === undefined ? "" : ` data-exact="${exact}"`;
    const measured = row ? `${numbers.scientific(row.value)}<small>± ${numbers.percent(row.half / row.value)}</small>` : "…";
    return `${head}${data}${known}><th scope="row">${label}</th><td>${measured}</td>` +
      `<td>${exact === undefined ? "…" : numbers.scientific(exact)}</td><td>${against(name, row, plain)}</td></tr>`;
  }).join("");
  errors.draw(Object.keys(pictures.NAMES).map((name) => ({name, ...shown.rows[name], exact: shown.exact[name]})));
  const best = names().filter((name) => shown.rows[name]).sort((a, b) => shown.rows[a].value - shown.rows[b].value)[0];
  const label = `ρ = ${numbers.signed(state.rho)}, K = ${state.k_x === state.k_y ? state.k_x : `${state.k_x} and ${state.k_y}`}, k = ${state.inner_dim}`;
  $("error_text").innerHTML = best
    ? `${label}: <b>${pictures.NAMES[best]}</b> has the least measured error.`
    : `${label}: <b>drawing and multiplying</b> the first matrices …`;
  const {SIZE} = quantlab.measure;
  $("status").textContent = `${shown.draws} pairs of matrices, ${SIZE} × ${state.inner_dim} × ${SIZE}, seed ${state.seed}${shown.done ? "" : ", measuring"}`;
  // nmse has a variance only where E[(XY)^4] is finite
  $("warning").hidden = !(state.law === "student_t" && state.nu <= 8);
  $("warning").textContent = "At ν ≤ 8 a squared error has no finite variance: the interval is a guide, no more.";
}

function against(name, row, plain) {
  if (name === "plain") return "";
  if (!row || !plain) return "…";
  const share = row.value / plain - 1, kind = share < -0.005 ? "less" : share > 0.005 ? "more" : "";
  const text = share >= 1 ? `× ${(1 + share).toFixed(1)}` : `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(0)} %`;
  return `<span class="${kind}">${text}</span>`;
}

function measure() {
  if (state.hide.includes("error") || document.hidden) return;
  worker ??= start();
  worker.postMessage({id: shown.id, setting: setting(), books: names().map((name) => ({name, x: books[name].x, y: books[name].y}))});
}

function start() {
  const code = $("core").textContent + $("worker").textContent;
  const made = new Worker(URL.createObjectURL(new Blob([code], {type: "text/javascript"})));
  made.onmessage = ({data: {id, draws, rows, done, exact}}) => {
    if (id !== shown.id) return;
    if (rows) Object.assign(shown, {draws, done, rows: Object.fromEntries(rows.map((row) => [row.name, row]))});
    if (exact) shown.exact = Object.fromEntries(exact.map(({name, value}) => [name, value]));
    showErrors();
  };
  made.onerror = () => { $("status").textContent = "This browser does not let the page start a worker: nothing is measured."; };
  return made;
}

// every picture anew for the width that it has
function layout() {
  density.layout(!state.hide.includes("codebooks"));
  pitchfork.drawn = null;
}

function open() {
  const read = address.read(location);
  state = read.state;
  $("notice").hidden = read.refused.length === 0;
  $("notice").textContent = read.refused.join("\n");
  for (const part of document.querySelectorAll("[data-part]")) part.hidden = state.hide.includes(part.dataset.part);
  layout();
  show();
}

$("k_x").max = $("k_y").max = address.LEVELS.length - 1;
$("inner_dim").max = address.INNER_DIMS.length - 1;
$("rho").addEventListener("input", (event) => change({rho: Number(event.target.value)}));
$("nu").addEventListener("input", (event) => change({nu: Number(event.target.value)}));
$("k_x").addEventListener("input", (event) => change({k_x: address.LEVELS[event.target.value]}));
$("k_y").addEventListener("input", (event) => {
  const k_y = address.LEVELS[event.target.value];
  change(state.linked ? {k_x: k_y} : {k_y});
});
$("inner_dim").addEventListener("input", (event) => change({inner_dim: address.INNER_DIMS[event.target.value]}));
$("linked").addEventListener("change", (event) => change({linked: event.target.checked}));
$("law").addEventListener("change", (event) => change({law: event.target.value}));
$("again").addEventListener("click", () => change({seed: (state.seed + 1) % 2 ** 31}));
$("controls").addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) worker?.postMessage({id: 0});
  else if (!shown.done) show();
});
let width = document.documentElement.clientWidth;
addEventListener("resize", () => {
  if (width === document.documentElement.clientWidth) return;
  width = document.documentElement.clientWidth;
  layout();
  const law = quantlab.laws.law(setting());
  pitchfork.layout(state.law, state.nu);
  pitchfork.drawn = `${state.law} ${state.nu}`;
  density.draw(law, books, $("density_text").textContent);
  pitchfork.draw(law, $("pitchfork_text").textContent);
  showErrors();
});
open();
performance.mark("drawn");
