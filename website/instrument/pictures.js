// The pictures, as SVG: each is laid out for the width that it has, then follows the state.
const pictures = (() => {
  const REACH = 4.6, TOP = 0.26, PDF_TOP = 0.58, FORK = 2.6, LEFT = 88, RIGHT = 10;
  const NAMES = {plain: "Plain", lloyd_max: "Lloyd–Max", closed_form: "Closed form", bilinear: "Bilinear"};
  const COLOURS = {plain: "--orange", lloyd_max: "--purple", closed_form: "--blue", bilinear: "--green"};
  const U = Float64Array.from({length: 401}, (_, i) => REACH * (i / 200 - 1));
  const signed = (value) => String(value).replace("-", "−");

  function element(parent, name, attributes = {}, text = "") {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    parent.append(made);
    return made;
  }

  // an empty picture of the host's width; null where that is hidden
  function canvas(host, height) {
    const width = host.clientWidth;
    host.replaceChildren();
    if (width === 0) return null;
    const svg = element(host, "svg", {viewBox: `0 0 ${width} ${height}`, height, role: "img"});
    return {svg, width, height, add: (...rest) => element(svg, ...rest)};
  }

  const line = (x, y) => {
    let path = "";
    for (let i = 0; i < x.length; i++) path += `${i ? "L" : "M"}${x[i].toFixed(1)} ${y[i].toFixed(1)}`;
    return path;
  };

  // l*, plain and pdf, and a row of centres for each codebook: A's above its line, B's below
  class Density {
    constructor(host) { this.host = host; }

    layout(rows) {
      const body = this.host.clientWidth < 480 ? 150 : 335, row = 34, top = 8;
      const end = top + body, last = end + (rows ? 14 + 4 * row : 0);
      const at = (this.picture = canvas(this.host, last + 36));
      if (at === null) return;
      this.x = (u) => LEFT + (u + REACH) / (2 * REACH) * (at.width - LEFT - RIGHT);
      this.y = (height) => end - height / TOP * body;
      this.columns = Array.from(U, this.x);
      for (let u = -4; u <= 4; u++) {
        at.add("line", {class: "grid", x1: this.x(u), x2: this.x(u), y1: top, y2: last});
        at.add("text", {x: this.x(u), y: last + 15, "text-anchor": "middle"}, signed(u));
      }
      for (const height of [0, 0.1, 0.2]) {
        at.add("line", {class: "grid", x1: LEFT, x2: at.width - RIGHT, y1: this.y(height), y2: this.y(height)});
        at.add("text", {x: LEFT - 8, y: this.y(height) + 4, "text-anchor": "end"}, String(height));
      }
      at.add("text", {x: LEFT - 8, y: this.y(0.25) + 4, "text-anchor": "end"}, "λ per σ");
      at.add("text", {x: (LEFT + at.width - RIGHT) / 2, y: last + 32, "text-anchor": "middle"}, "u = x / σ, standard deviations");
      this.pdf = at.add("path", {class: "pdf"});
      this.plain = at.add("path", {class: "plain"});
      this.optimal = at.add("path", {class: "optimal"});
      this.peaks = [0, 1].map(() => at.add("circle", {class: "peak", r: 5}));
      this.rugs = {};
      Object.keys(rows ? NAMES : {}).forEach((name, i) => {
        const y = end + 14 + row * (i + 0.5);
        at.add("text", {class: "name", x: LEFT - 8, y: y + 4, "text-anchor": "end"}, NAMES[name]);
        at.add("line", {class: "grid", x1: LEFT, x2: at.width - RIGHT, y1: y, y2: y});
        const path = at.add("path", {class: "rug", style: `--c: var(${COLOURS[name]})`, "data-rug": name});
        const note = at.add("text", {y: y - 4, "text-anchor": "end"});
        this.rugs[name] = {path, y, note};
      });
    }

    draw(law, books, sentence) {
      const at = this.picture;
      if (at === null) return;
      const optimal = law.optimal(), plain = law.plain();
      const curve = (values) => line(this.columns, Array.from(values, this.y));
      const scale = TOP / PDF_TOP;
      this.optimal.setAttribute("d", curve(optimal.density(U)));
      this.plain.setAttribute("d", curve(plain.density(U)));
      this.pdf.setAttribute("d", `${curve(U.map((u) => scale * law.pdf(u)))}L${this.x(REACH)} ${this.y(0)}L${this.x(-REACH)} ${this.y(0)}Z`);
      const found = law.peaks(), heights = optimal.density(Float64Array.from(found));
      this.peaks.forEach((peak, i) => {
        const j = Math.min(i, found.length - 1);
        peak.setAttribute("cx", this.x(found[j]));
        peak.setAttribute("cy", this.y(heights[j]));
      });
      for (const [name, {path, y, note}] of Object.entries(this.rugs)) {
        const book = books[name], inside = (u) => Math.abs(u) <= REACH, right = at.width - RIGHT;
        const ticks = (centers, side) =>
          Array.from(centers).filter(inside).map((u) => `M${this.x(u).toFixed(1)} ${y + side}v${11 * side}`).join("");
        path.setAttribute("d", book.missing ? "" : ticks(book.x.centers, -1) + ticks(book.y.centers, 1));
        const beyond = book.missing ? 0 : [...book.x.centers, ...book.y.centers].filter((u) => u > REACH).length;
        note.setAttribute("x", book.missing ? (this.x(0) + right) / 2 + 20 : right);
        note.textContent = book.missing ?? (!beyond ? "" : at.width < 480 ? "→" : "more →");
      }
      at.svg.setAttribute("aria-label", sentence);
    }
  }

  // the peaks of l* over rho; a finger or the mouse on it moves the correlation
  class Pitchfork {
    constructor(host, move) {
      this.host = host;
      const follow = (event) => {
        if (!(event.buttons & 1) || !this.picture) return;
        const {left} = this.picture.svg.getBoundingClientRect();
        const rho = 2 * (event.clientX - left - 30) / (this.picture.width - 30 - RIGHT) - 1;
        move(Math.round(100 * Math.min(1, Math.max(-1, rho))) / 100);
      };
      host.addEventListener("pointerdown", follow);
      host.addEventListener("pointermove", follow);
    }

    layout(family, nu) {
      const height = this.host.clientWidth < 480 ? 220 : 214, top = 14, bottom = height - 40;
      const at = (this.picture = canvas(this.host, height));
      if (at === null) return;
      this.x = (rho) => 30 + (rho + 1) / 2 * (at.width - 30 - RIGHT);
      this.y = (u) => top + (FORK - u) / (2 * FORK) * (bottom - top);
      const c = quantlab.CRITICAL_RHO;
      for (const [rho, label] of [[-1, "−1"], [-c, "−1/√3"], [0, "0"], [c, "1/√3"], [1, "1"]]) {
        const critical = Math.abs(rho) === c;
        at.add("line", {class: critical ? "critical" : "grid", x1: this.x(rho), x2: this.x(rho), y1: top, y2: bottom});
        at.add("text", {x: this.x(rho), y: bottom + 16, "text-anchor": "middle"}, label);
      }
      for (let u = -2; u <= 2; u++) {
        at.add("line", {class: "grid", x1: 30, x2: at.width - RIGHT, y1: this.y(u), y2: this.y(u)});
        at.add("text", {x: 24, y: this.y(u) + 4, "text-anchor": "end"}, signed(u));
      }
      at.add("text", {x: (30 + at.width - RIGHT) / 2, y: bottom + 34, "text-anchor": "middle"}, "correlation ρ");
      at.add("text", {x: 24, y: top + 2, "text-anchor": "end"}, "u");
      const branch = (kind, shape) => {
        const rhos = Array.from({length: 61}, (_, i) => c + (1 - c) * (i / 60) ** 2);
        const peaks = rhos.map((rho) => shape(rho));
        for (const side of [-1, 1])
          for (const up of [-1, 1])
            at.add("path", {class: kind, d: line(rhos.map((rho) => this.x(side * rho)), peaks.map((u) => this.y(up * u)))});
      };
      const peak = (of, degrees) => (rho) => Math.max(...quantlab.laws.law({family: of, rho, nu: degrees}).peaks());
      if (family !== "gaussian") branch("other", peak("gaussian"));
      branch("branch", peak(family, nu));
      at.add("path", {class: "branch", d: line([this.x(-c), this.x(c)], [this.y(0), this.y(0)])});
      this.markers = [0, 1].map(() => at.add("circle", {class: "marker", r: 7}));
    }

    draw(law, sentence) {
      if (this.picture === null) return;
      const found = law.peaks();
      this.markers.forEach((marker, i) => {
        marker.setAttribute("cx", this.x(law.rho));
        marker.setAttribute("cy", this.y(found[Math.min(i, found.length - 1)]));
      });
      this.picture.svg.setAttribute("aria-label", sentence);
    }
  }

  // measured errors with their intervals beside the exact ones, on one logarithmic axis
  class Errors {
    constructor(host) { this.host = host; }

    draw(rows) {
      const shown = rows.filter(({value, exact}) => value !== undefined || exact !== undefined);
      // beside the table its rows are the table's, and need no names; below it they have their own
      const beside = this.host.offsetTop < this.host.previousElementSibling.offsetTop + 20;
      const [row, top, left] = beside ? [38, 24, 6] : [24, 8, LEFT], bottom = top + row * rows.length;
      const at = canvas(this.host, bottom + 36);
      if (at === null) return;
      const values = shown.flatMap(({value, exact}) => [value, exact]).filter((v) => v > 0);
      const low = Math.log10(Math.min(...values) / 1.25), high = Math.log10(Math.max(...values) * 1.25);
      const x = (v) => left + (Math.log10(v) - low) / (high - low) * (at.width - left - RIGHT);
      const inside = (v) => Math.min(at.width - RIGHT, Math.max(left, x(v)));
      if (values.length) {
        const span = high - low, steps = span > 2 ? [1] : span > 0.8 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
        let free = -Infinity;
        for (let e = Math.floor(low); e <= high; e++)
          for (const step of steps) {
            const place = x(step * 10 ** e);
            const label = numbers.short(step, e), half = 3.3 * label.length;
            if (place < left || place > at.width - RIGHT || place - half < free) continue;
            free = place + half + 12;
            at.add("line", {class: "grid", x1: place, x2: place, y1: top, y2: bottom});
            at.add("text", {x: place, y: bottom + 16, "text-anchor": "middle"}, label);
          }
      }
      at.add("text", {x: (left + at.width - RIGHT) / 2, y: bottom + 33, "text-anchor": "middle"}, "nmse");
      rows.forEach(({name, value, half, exact}, i) => {
        const y = top + row * (i + 0.5), style = `--c: var(${COLOURS[name]})`;
        if (!beside) at.add("text", {class: "name", x: LEFT - 8, y: y + 4, "text-anchor": "end"}, NAMES[name]);
        if (value !== undefined) {
          const from = inside(Math.max(value - half, value / 1e6)), to = inside(value + half);
          at.add("line", {class: "whisker", style, x1: from, x2: to, y1: y, y2: y});
          at.add("circle", {class: "measured", style, cx: inside(value), cy: y, r: 5});
        }
        if (exact !== undefined) at.add("line", {class: "exact", x1: x(exact), x2: x(exact), y1: y - 9, y2: y + 9});
      });
      const spoken = shown.map(({name, value, exact}) => `${NAMES[name]} ${numbers.scientific(value ?? exact)}`);
      at.svg.setAttribute("aria-label", spoken.length ? `Error of each codebook: ${spoken.join(", ")}.` : "No error measured yet.");
    }
  }

  return {U, NAMES, COLOURS, Density, Pitchfork, Errors};
})();
