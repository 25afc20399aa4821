// Centres on an axis that a hand moves: by mouse, finger or keys. Cells, thresholds and the exact error
// follow in the browser; the server hears of the centres when they are let go.
const GAP = 0.01, FINE = 0.01, COARSE = 0.1, SIDE = 14, MOST = 32, CLICK = 4, PATIENCE = 3000;
const HEIGHT = 128, ROW = 30, PDF_TOP = 0.62, NARROWEST = 4.6, WIDEST = 12;
const round = (u) => Math.round(u * 1e4) / 1e4;
const mirror = (list) => list.map((u) => round(0 - u)).reverse();
const same = (a, b) => a.length === b.length && a.every((u, i) => u === b[i]);
const even = (n) => Array.from({length: n}, (_, i) => round((2 * i + 1 - n) * 2 / n));
const book = (centers) => ({centers, thresholds: centers.slice(1).map((u, i) => 0.5 * (u + centers[i]))});
const number = (u, digits = 2) => u.toFixed(digits).replace("-", "−");
const SUPERSCRIPT = {"-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹"};
function scientific(value) {
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return `${mantissa} × 10${[...String(Number(exponent))].map((digit) => SUPERSCRIPT[digit]).join("")}`;
}
// how much more than the best: +3.21 %, or times as much
const against = (share) => (share < 2 ? `${share < 1 ? "" : "+"}${number(100 * (share - 1))} %` : `${number(share, share < 100 ? 2 : 0)} ×`);

const FRAME = `
  <div class="score" aria-live="off">
    <p><b class="nmse"></b><span>exact error, of C’s energy</span></p>
    <p><b class="distance"></b><span class="than"></span></p>
    <p><b class="best"></b><span>your best so far</span></p>
    <p><b class="variance"></b><span>variance</span></p>
    <p><b class="bias"></b><span>bias</span></p>
    <p><b class="gain"></b><span>best gain</span></p>
    <p><b class="with_gain"></b><span>error with it</span></p>
  </div>
  <div class="field"><svg aria-hidden="true"></svg><button type="button" class="remove" hidden>×</button></div>
  <div class="tools">
    <label><input type="checkbox" class="symmetric"> Symmetric about 0</label>
    <label><input type="checkbox" class="together"> B as A</label>
    <button type="button" data-do="even">Even spacing</button>
    <button type="button" data-do="best">My best</button>
    <button type="button" data-do="beat"></button>
  </div>
  <p class="hint">Drag a centre, or focus it and press the arrow keys (Page up and down: further). A click on the axis adds a centre; × or Delete takes it away.</p>
  <p class="said" role="status"></p>`;

export function render({model, el}) {
  const board = document.createElement("div");
  board.className = "desk";
  board.innerHTML = FRAME;
  const $ = (selector) => board.querySelector(selector);
  const field = $(".field"), svg = $("svg"), remove = $(".remove");
  const make = (name, parent = svg) => parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
  let x = [], y = [], together = true, symmetric = true; // y is x while together
  let law = null, reach = NARROWEST, width = 0, best = null, chosen = null, held = null;
  let asked = null, waiting = 0, scoring = 0;

  const rows = () => (together ? ["x"] : ["x", "y"]);
  const list = (operand) => (operand === "x" ? x : y);
  const height = () => HEIGHT + ROW * rows().length;
  const place = (u) => SIDE + (Math.min(Math.max(u, -reach), reach) + reach) / (2 * reach) * (width - 2 * SIDE);
  const value = (pixel) => (pixel - SIDE) / (width - 2 * SIDE) * 2 * reach - reach;
  const who = (operand) => (together ? "A and B" : operand === "x" ? "A" : "B");
  const say = (words) => { $(".said").textContent = words; };

  // picture -------------------------------------------------------------------------------------
  const parts = {cells: {x: [], y: []}, handles: {x: [], y: []}, marks: make("path"), ghosts: make("path")};
  const background = make("g"), pdf = make("path", background), grid = make("g", background);
  pdf.setAttribute("class", "pdf");
  parts.marks.setAttribute("class", "marks");
  parts.ghosts.setAttribute("class", "ghosts");

  function pool(items, count, create) {
    while (items.length < count) items.push(create(items.length));
    while (items.length > count) items.pop().remove();
    return items;
  }

  function layout() {
    width = field.clientWidth;
    if (!width) return;
    const rowsHeight = height();
    svg.setAttribute("viewBox", `0 0 ${width} ${rowsHeight + 20}`);
    field.style.height = `${rowsHeight + 20}px`;
    const u = model.pdf.u.map(place), tops = model.pdf.f.map((f) => HEIGHT * (1 - f / PDF_TOP));
    pdf.setAttribute("d", u.length ? `M${u.map((at, i) => `${at.toFixed(1)} ${tops[i].toFixed(1)}`).join("L")}L${u[u.length - 1]} ${HEIGHT}L${u[0]} ${HEIGHT}Z` : "");
    grid.replaceChildren();
    const step = reach > 8 ? 4 : reach > 5 ? 2 : 1;
    for (let at = -Math.floor(reach / step) * step; at <= reach; at += step) {
      const label = make("text", grid);
      label.setAttribute("x", place(at));
      label.setAttribute("y", rowsHeight + 14);
      label.textContent = at === 0 ? "0" : `${number(at, 0)}${Math.abs(at) === step ? " σ" : ""}`;
    }
    draw();
  }

  function draw() {
    if (!width) return;
    for (const operand of ["x", "y"]) {
      const shown = rows().includes(operand), centers = shown ? list(operand) : [];
      const top = together ? 0 : operand === "x" ? 0 : HEIGHT + ROW, end = operand === "x" ? HEIGHT + ROW : height();
      const edges = [0, ...book(centers).thresholds.map(place), width];
      pool(parts.cells[operand], centers.length, () => svg.insertBefore(document.createElementNS("http://www.w3.org/2000/svg", "rect"), background));
      pool(parts.handles[operand], centers.length, (i) => handle(operand, i));
      centers.forEach((u, i) => {
        const cell = parts.cells[operand][i], grip = parts.handles[operand][i];
        cell.setAttribute("class", `cell ${operand} ${i % 2 ? "odd" : ""}`);
        cell.setAttribute("x", edges[i]);
        cell.setAttribute("width", Math.max(0, edges[i + 1] - edges[i]));
        cell.setAttribute("y", top);
        cell.setAttribute("height", end - top);
        grip.style.transform = `translate(${place(u) - 14}px, ${end - ROW - 7}px)`;
        grip.setAttribute("aria-valuenow", u);
        grip.setAttribute("aria-valuetext", `${number(u)} σ`);
        grip.setAttribute("aria-label", `Centre ${i + 1} of ${who(operand)}`);
      });
    }
    const optimum = model.beat ? null : known();
    const mark = (u, end) => `M${place(u).toFixed(1)} ${end - 9}v9`;
    parts.marks.setAttribute("d", optimum ? [...optimum.x.map((u) => mark(u, HEIGHT + ROW)), ...(together ? [] : optimum.y.map((u) => mark(u, height())))].join("") : "");
    const {ghost} = model, pale = (u, end) => `M${place(u).toFixed(1)} ${end - ROW}v9`;
    parts.ghosts.setAttribute("d", ghost.x ? [...ghost.x.map((u) => pale(u, HEIGHT + ROW)), ...(together ? [] : ghost.y.map((u) => pale(u, height())))].join("") : "");
    svg.append(parts.marks, parts.ghosts);
    showRemove();
  }

  function showRemove() {
    const grip = chosen && parts.handles[chosen.operand][chosen.i];
    remove.hidden = !grip || held !== null;
    if (remove.hidden) return;
    remove.setAttribute("aria-label", `Remove centre ${chosen.i + 1} of ${who(chosen.operand)}`);
    remove.style.transform = `${grip.style.transform} translateY(-26px)`;
  }

  function handle(operand, i) {
    const grip = field.appendChild(document.createElement("div"));
    grip.className = `grip ${operand}`;
    for (const [name, text] of Object.entries({role: "slider", tabindex: 0, "aria-valuemin": -WIDEST, "aria-valuemax": WIDEST})) grip.setAttribute(name, text);
    grip.onfocus = () => { chosen = {operand, i}; showRemove(); };
    grip.onpointerdown = (event) => {
      if (event.button) return;
      event.preventDefault();
      grip.focus();
      grip.setPointerCapture(event.pointerId);
      held = {offset: event.clientX - field.getBoundingClientRect().left - place(list(operand)[i])};
      showRemove();
    };
    grip.onpointermove = (event) => {
      if (held === null) return;
      move(operand, i, value(event.clientX - field.getBoundingClientRect().left - held.offset));
    };
    grip.onpointerup = grip.onpointercancel = () => {
      if (held === null) return;
      held = null;
      showRemove();
      send();
    };
    grip.onkeydown = (event) => {
      const steps = {ArrowLeft: -FINE, ArrowDown: -FINE, ArrowRight: FINE, ArrowUp: FINE, PageDown: -COARSE, PageUp: COARSE, Home: -2 * WIDEST, End: 2 * WIDEST};
      if (event.key in steps) move(operand, i, list(operand)[i] + steps[event.key]);
      else if (event.key === "Delete" || event.key === "Backspace") drop(operand, i);
      else return;
      event.preventDefault();
      later();
    };
    return grip;
  }

  // what a hand does ----------------------------------------------------------------------------
  function put(operand, centers) {
    if (operand === "x") x = centers;
    if (operand === "y" || together) y = centers;
  }

  // to between its neighbours; its mirror image follows
  function move(operand, i, to) {
    const centers = list(operand).slice(), n = centers.length, twin = n - 1 - i;
    if (symmetric && i === twin) return;
    let low = (centers[i - 1] ?? -WIDEST - GAP) + GAP, high = (centers[i + 1] ?? WIDEST + GAP) - GAP;
    if (symmetric && i - twin === 1) low = GAP / 2;
    if (symmetric && twin - i === 1) high = -GAP / 2;
    centers[i] = round(Math.min(Math.max(to, Math.min(low, centers[i])), Math.max(high, centers[i])));
    if (symmetric) centers[twin] = round(0 - centers[i]);
    put(operand, centers);
    changed();
  }

  function add(operand, u) {
    const more = symmetric && Math.abs(u) > GAP ? [u, round(0 - u)] : [symmetric ? 0 : u];
    const centers = [...list(operand), ...more].sort((a, b) => a - b);
    if (centers.length > MOST) return say(`At most ${MOST} centres can be told apart.`);
    if (centers.some((v, i) => i && v - centers[i - 1] < GAP)) return say("There is a centre already.");
    put(operand, centers);
    chosen = {operand, i: centers.indexOf(more[0])};
    changed();
    parts.handles[operand][chosen.i].focus({preventScroll: true});
    send();
  }

  function drop(operand, i) {
    const n = list(operand).length, twin = symmetric ? n - 1 - i : i;
    const centers = list(operand).filter((_, j) => j !== i && j !== twin);
    if (centers.length < 2) return say("A codebook has at least two centres.");
    put(operand, centers);
    chosen = null;
    changed();
    parts.handles[operand][Math.min(i, centers.length - 1)].focus({preventScroll: true});
    send();
  }

  svg.onpointerdown = (event) => { svg.start = event; };
  svg.onpointerup = (event) => {
    const start = svg.start, box = field.getBoundingClientRect();
    if (!start || Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > CLICK) return;
    const operand = !together && event.clientY - box.top > HEIGHT + ROW ? "y" : "x";
    add(operand, round(value(event.clientX - box.left)));
  };
  remove.onpointerdown = (event) => event.preventDefault(); // the handle keeps the focus
  remove.onclick = () => drop(chosen.operand, chosen.i);
  board.addEventListener("focusout", (event) => {
    if (event.relatedTarget === remove || event.relatedTarget?.classList?.contains("grip")) return;
    chosen = null;
    showRemove();
  });

  $(".symmetric").onchange = (event) => {
    symmetric = event.target.checked;
    if (!symmetric) return;
    const half = (centers) => mirror(centers).map((u, i) => round(0.5 * (u + centers[i])));
    x = half(x);
    y = together ? x : half(y);
    changed();
    send();
  };
  $(".together").onchange = (event) => {
    together = event.target.checked;
    if (together) y = x;
    layout();
    changed();
    send();
  };
  const doing = {
    even: () => take(even(x.length), together ? null : even(y.length)),
    best: () => best && take(best.x, best.y),
    beat: () => {
      model.beat = !model.beat;
      if (!model.beat) return;
      best = null;
      take(even(x.length), together ? null : even(y.length));
    },
  };
  for (const button of board.querySelectorAll("[data-do]")) button.onclick = () => doing[button.dataset.do]();
  function take(a, b) {
    [x, y] = [a, b ?? a];
    together = b === null || b === undefined || same(a, b);
    symmetric = [x, y].every((centers) => same(centers, mirror(centers)));
    layout();
    changed();
    send();
  }

  // numbers -------------------------------------------------------------------------------------
  const known = () => {
    const {optimum} = model;
    return optimum.problem === model.problem && optimum.x?.length === x.length && optimum.y?.length === y.length ? optimum : null;
  };

  function changed(words = "") {
    say(words);
    draw();
    // after the picture: the hand comes first
    if (!scoring) scoring = setTimeout(score, 0);
  }

  function score() {
    scoring = 0;
    if (!x.length) return; // nothing on the board yet
    if (law) return show(quantlab.exact.error(law, book(x), book(y), model.inner_dim));
    show(null);
    if (waiting) return;
    // what the server says while a page is loading can be lost: ask again
    waiting = setTimeout(() => { waiting = 0; score(); }, PATIENCE);
    asked = {x: x.slice(), y: y.slice(), problem: model.problem, turn: (asked?.turn ?? 0) + 1};
    model.asked = asked;
  }

  function show(error) {
    const optimum = known();
    const put = (name, text) => { $(`.${name}`).textContent = text; };
    if (error && (best === null || best.problem !== model.problem || best.x.length !== x.length || best.y.length !== y.length || error.nmse < best.nmse)) {
      best = {problem: model.problem, nmse: error.nmse, x: x.slice(), y: y.slice()};
    }
    put("nmse", error ? scientific(error.nmse) : "…");
    put("variance", error ? scientific(error.variance) : "…");
    put("bias", error ? scientific(error.bias) : "…");
    put("gain", error ? number(error.gain, 4) : "…");
    put("with_gain", error ? scientific(error.nmse_with_gain) : "…");
    put("distance", error && optimum ? against(error.nmse / optimum.nmse) : "…");
    put("best", best && optimum ? against(best.nmse / optimum.nmse) : "…");
    put("than", optimum ? `${error?.nmse < 2 * optimum.nmse ? "more than" : "that of"} ${optimum.name}, the best known` : "than the best known");
    board.dataset.nmse = error?.nmse ?? "";
    board.dataset.distance = error && optimum ? error.nmse / optimum.nmse - 1 : "";
    $(".symmetric").checked = symmetric;
    $(".together").checked = together;
    $("[data-do=beat]").textContent = model.beat ? "I give up: show the optimum" : "Beat the optimum";
    board.dispatchEvent(new Event("scored"));
  }

  let resting = 0;
  function later() {
    clearTimeout(resting);
    resting = setTimeout(send, 300);
  }
  function send() {
    clearTimeout(resting);
    model.centers = {x: x.slice(), y: together ? [] : y.slice()};
  }

  // what the server says ------------------------------------------------------------------------
  function centersCame() {
    const {x: a, y: b} = model.centers;
    if (same(a, x) && (b.length ? !together && same(b, y) : together)) return;
    if (held !== null || !a.length) return;
    [x, y, together] = [a.slice(), b.length ? b.slice() : a.slice(), !b.length];
    symmetric = [x, y].every((centers) => same(centers, mirror(centers)));
    chosen = null;
    fit();
  }
  function fit(words) {
    const {optimum} = model;
    const outermost = Math.max(...x.map(Math.abs), ...y.map(Math.abs), ...(optimum.x ?? []).map(Math.abs), ...(optimum.y ?? []).map(Math.abs));
    reach = Math.min(WIDEST, Math.max(NARROWEST, 1.08 * outermost));
    layout();
    changed(words);
  }
  function problemCame() {
    const {family, rho, nu} = model.law;
    law = family ? quantlab.laws.law({family, rho, nu}) : null;
    if (best?.problem !== model.problem) best = null;
    answered();
    changed();
  }
  function answered() {
    clearTimeout(waiting);
    waiting = 0;
  }
  model.on("centers", centersCame);
  model.on("problem", problemCame);
  model.on("pdf", layout);
  model.on("optimum", () => { // what was said last is not about it
    const words = $(".said").textContent;
    if (held === null) fit(words);
    else changed(words);
  });
  model.on("beat", () => changed());
  model.on("ghost", draw);
  model.on("answer", () => {
    answered();
    const {answer} = model;
    const now = asked && answer.problem === model.problem && same(answer.x, x) && same(answer.y, y);
    if (now && answer.nmse !== undefined) show(answer);
    else if (!now) score();
  });
  new ResizeObserver(() => { if (field.clientWidth !== width) layout(); }).observe(field);
  problemCame();
  centersCame();
  return board;
}
