// Every picture answers: a pointer, a tap, or the arrow keys on a focused picture read its values, and what
// a line or a dot marks is dragged. A picture's tags[0] says what its place is called and what is dragged;
// the tags of a renderer say its row: "λ* {optimal:3}", with columns of its source, or x, y, value.
// Formats: a number of decimals, s for 2.11 × 10⁻⁴, % for a percentage, none for words; in brackets what
// is left out where one of its values is not known.
const NEAR = 26, GRIP = 16, STEP = 0.01, MARGIN = 12;
const SUPERSCRIPT = {"-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹"};
const FORMATS = {
  s(value) {
    if (value === 0) return "0";
    const [mantissa, exponent] = value.toExponential(2).split("e");
    return `${mantissa} × 10${[...String(Number(exponent))].map((digit) => SUPERSCRIPT[digit]).join("")}`;
  },
  "%": (value) => `${(100 * value).toFixed(100 * value < 10 ? 1 : 0)} %`,
};
function written(value, format) {
  if (format === undefined || typeof value !== "number") return String(value);
  const words = FORMATS[format]?.(value) ?? value.toFixed(Number(format));
  return words.replace(/^-(0(\.0*)?)$/, "$1").replace("-", "−");
}
// the row, or nothing where a value is not known; what stands in brackets goes alone
function fill(template, values) {
  let known = true;
  const words = template.replace(/\[(.*?)\]/g, (_, part) => fill(part, values) ?? "").replace(/\{(\w+)(?::(.))?\}/g, (_, name, format) => {
    const value = values[name];
    if (value === undefined || (typeof value === "number" && !Number.isFinite(value))) known = false;
    return written(value, format);
  });
  return known ? words : null;
}

const column = (source, spec) => (spec?.field !== undefined ? source.data[spec.field] : undefined);
// where `at` lies in increasing or decreasing xs: the index before it and the share beyond, or null; on a
// logarithmic axis a share of the logarithms
function between(xs, at, logarithmic) {
  const n = xs.length;
  if (n < 2) return null;
  const sign = xs[n - 1] >= xs[0] ? 1 : -1;
  if ((at - xs[0]) * sign < 0 || (at - xs[n - 1]) * sign > 0) return null;
  let low = 0, high = n - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((xs[middle] - at) * sign <= 0) low = middle; else high = middle;
  }
  const bend = logarithmic ? Math.log : (v) => v;
  return [low, xs[high] === xs[low] ? 0 : (bend(at) - bend(xs[low])) / (bend(xs[high]) - bend(xs[low]))];
}
const mixed = (list, [i, share]) => (typeof list[i] === "number" ? list[i] + share * (list[i + 1] - list[i]) : list[i]);
const entries = (source, i) => Object.fromEntries(Object.entries(source.data).map(([name, list]) => [name, list[i]]));

// what a renderer has at the place: its row's words
function row(view, renderer, place) {
  const {glyph, data_source: source} = renderer, template = renderer.tags[0], {frame} = view;
  const x_scale = frame.x_scales.get(renderer.x_range_name), y_scale = frame.y_scales.get(renderer.y_range_name);
  const x = x_scale.invert(place.sx), y = y_scale.invert(place.sy);
  const logarithmic = view.model.y_scale.type === "LogScale", bend = logarithmic ? Math.log : (v) => v, back = logarithmic ? Math.exp : (v) => v;
  const curve = (xs, ys) => {
    const found = between(xs, x, view.model.x_scale.type === "LogScale");
    return found && back(mixed([bend(ys[found[0]]), bend(ys[found[0] + 1])], [0, found[1]]));
  };
  switch (glyph.type) {
    case "Line": case "VArea": {
      const xs = column(source, glyph.x), found = xs && between(xs, x);
      if (!found) return null;
      const values = Object.fromEntries(Object.entries(source.data).map(([name, list]) => [name, mixed(list, found)]));
      if (glyph.type === "VArea") return fill(template, {...values, x});
      const y_at = curve(xs, column(source, glyph.y));
      return fill(template, {...values, x, y: y_at, [glyph.y.field]: y_at});
    }
    case "MultiLine": {
      const all = column(source, glyph.xs), heights = column(source, glyph.ys);
      let best = null, least = NEAR;
      for (let i = 0; i < (all?.length ?? 0); i++) {
        const value = curve(all[i], heights[i]);
        if (value === null) continue;
        const away = Math.abs(y_scale.compute(value) - place.sy);
        if (away < least) [best, least] = [{...entries(source, i), x, y: value}, away];
      }
      return best && fill(template, best);
    }
    case "Quad": {
      const left = source.data.left, right = source.data.right;
      const i = Array.from(left).findIndex((edge, j) => edge <= x && x < right[j]);
      return i < 0 ? null : fill(template, {...entries(source, i), number: i});
    }
    case "Image": {
      const [image] = source.data[glyph.image.field] ?? [];
      if (!image) return null;
      const rows = image.shape?.[0] ?? image.length, columns = image.shape?.[1] ?? image[0].length;
      const of = ({field, value}) => (field === undefined ? value : source.data[field][0]);
      const share = (v, start, size) => (v - of(glyph[start])) / of(glyph[size]);
      const i = Math.floor(rows * share(y, "y", "dh")), j = Math.floor(columns * share(x, "x", "dw"));
      if (i < 0 || i >= rows || j < 0 || j >= columns) return null;
      const value = image.shape ? image[i * columns + j] : image[i]?.[j];
      return fill(template, {row: i, column: j, value});
    }
    case "HBar": {
      const names = column(source, glyph.y), {start, end} = frame.bbox.y_range;
      const factor = view.model.y_range.factors?.find((name) => Math.abs(y_scale.compute(name) - place.sy) < Math.abs(end - start) / (2 * view.model.y_range.factors.length));
      const i = names ? Array.from(names).indexOf(factor) : -1;
      return i < 0 ? null : fill(template, entries(source, i));
    }
    default: { // points: the nearest
      const xs = column(source, glyph.x), ys = column(source, glyph.y);
      let best = -1, least = NEAR;
      for (let i = 0; i < (xs?.length ?? 0); i++) {
        const away = Math.hypot(x_scale.compute(xs[i]) - place.sx, y_scale.compute(ys[i]) - place.sy);
        if (away < least) [best, least] = [i, away];
      }
      return best < 0 ? null : fill(template, entries(source, best));
    }
  }
}

const views = new WeakMap();
function figure_of(event) {
  const element = event.composedPath().find((node) => node.classList?.contains("bk-Figure"));
  if (!element) return null;
  let view = views.get(element);
  if (!view || view.el !== element || !view.frame) {
    view = Bokeh.index.query_one((candidate) => candidate.el === element);
    if (view) views.set(element, view);
  }
  return view?.frame && view.model.tags.length ? view : null;
}
function within(view, event) {
  const box = (view.canvas_view?.el ?? view.el).getBoundingClientRect();
  return {sx: event.clientX - box.left, sy: event.clientY - box.top, box};
}

const tip = document.body.appendChild(document.createElement("div"));
tip.id = "readout-tip";
tip.hidden = true;
const spoken = document.body.appendChild(document.createElement("div"));
spoken.setAttribute("role", "status");
spoken.style.cssText = "position: fixed; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);";
const line = document.body.appendChild(document.createElement("div"));
line.hidden = true;

function hide() { tip.hidden = line.hidden = true; }

function show(view, place, aloud) {
  const {frame: {bbox}, model} = view;
  if (place.sx < bbox.left || place.sx > bbox.right || place.sy < bbox.top || place.sy > bbox.bottom) return hide();
  const rows = model.renderers.filter((renderer) => renderer.visible && renderer.tags?.length).map((renderer) => row(view, renderer, place)).filter(Boolean);
  const head = model.tags[0].head && fill(model.tags[0].head, {x: view.frame.x_scale.invert(place.sx), y: view.frame.y_scale.invert(place.sy)});
  if (!rows.length) return hide();
  const words = [...new Set([...(head ? [head] : []), ...rows])], style = getComputedStyle(view.el), colour = (name) => style.getPropertyValue(name);
  tip.replaceChildren(...words.map((text, i) => Object.assign(document.createElement("div"), {textContent: text, style: i || !head ? "" : "font-weight: 700"})));
  tip.style.cssText = `position: fixed; z-index: 1500; pointer-events: none; padding: 5px 9px; border-radius: 6px; font: 12.5px/1.4 Roboto, system-ui, "Segoe UI", "DejaVu Sans", sans-serif;`
    + `font-variant-numeric: tabular-nums; box-shadow: 0 2px 8px rgb(0 0 0 / 30%); border: 1px solid ${colour("--rule")}; background: ${colour("--card")}; color: ${colour("--ink")}; max-width: 320px;`;
  tip.hidden = line.hidden = false;
  const at = place.box.left + place.sx, above = place.box.top + place.sy;
  const left = at + MARGIN + tip.offsetWidth > innerWidth ? Math.max(4, at - MARGIN - tip.offsetWidth) : at + MARGIN;
  tip.style.left = `${left}px`;
  tip.style.top = `${Math.min(Math.max(4, above - tip.offsetHeight - MARGIN), innerHeight - tip.offsetHeight - 4)}px`;
  line.style.cssText = `position: fixed; z-index: 1400; pointer-events: none; width: 1px; background: ${colour("--muted")}; left: ${at}px; top: ${place.box.top + bbox.top}px; height: ${bbox.height}px;`;
  if (aloud) spoken.textContent = words.join("; ");
}

// what is dragged: a control's slider follows, as if it were moved itself
const sliders = new WeakMap();
function slider(page, name) {
  if (!sliders.has(page)) sliders.set(page, new Map());
  const known = sliders.get(page);
  let model = known.get(name);
  if (!model?.document) {
    model = [...page._all_models.values()].find((candidate) => candidate.tags?.[0] === name && candidate.data);
    known.set(name, model);
  }
  return model && model.visible && !model.data.disabled ? model.data : null;
}
const value_of = (data) => (data.options ? Number(data.options[data.value]) : data.value);
function set(data, x) {
  if (data.options) {
    const away = data.options.map((option) => Math.abs(Math.log(Number(option) / x)));
    data.value = away.indexOf(Math.min(...away));
  } else {
    data.value = Math.min(data.end, Math.max(data.start, Math.round(x / data.step) * data.step)).toFixed(4) * 1;
  }
}
function gripped(view, place) {
  const data = view.model.tags[0].drag && slider(view.model.document, view.model.tags[0].drag);
  if (!data) return null;
  const mark = view.model.center.find((item) => item.type === "Span" && item.name?.startsWith("here"))?.location ?? value_of(data);
  return Math.abs(view.frame.x_scale.compute(mark) - place.sx) < GRIP ? data : null;
}

let held = null;
const listen = (kind, answer) => document.addEventListener(kind, answer, {capture: true});
listen("pointerdown", (event) => {
  const view = figure_of(event);
  if (!view) return hide();
  const place = within(view, event), data = event.button === 0 && gripped(view, place);
  if (!data) return show(view, place);
  held = {view, data};
  hide();
  event.preventDefault();
});
listen("pointermove", (event) => {
  if (held) {
    const {sx} = within(held.view, event);
    set(held.data, held.view.frame.x_scale.invert(sx));
    return;
  }
  const view = figure_of(event);
  if (!view) return event.pointerType === "mouse" && !document.activeElement?.shadowRoot ? hide() : undefined;
  const place = within(view, event);
  view.el.style.cursor = gripped(view, place) ? "ew-resize" : "";
  show(view, place);
});
listen("pointerup", () => { held = null; });
listen("pointercancel", () => { held = null; });
addEventListener("scroll", hide, {capture: true, passive: true});

let cursor = null; // of the keys, in shares of the frame
listen("keydown", (event) => {
  const view = figure_of(event);
  if (!view || event.ctrlKey || event.metaKey || event.altKey) return;
  const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], PageDown: [-10, 0], PageUp: [10, 0]};
  if (event.key === "Escape") return hide();
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  if (cursor?.view !== view) cursor = {view, x: 0.5, y: 0.5};
  else {
    cursor.x = Math.min(1, Math.max(0, cursor.x + STEP * move[0]));
    cursor.y = Math.min(1, Math.max(0, cursor.y + 5 * STEP * move[1]));
  }
  const {bbox} = view.frame, box = (view.canvas_view?.el ?? view.el).getBoundingClientRect();
  show(view, {sx: bbox.left + cursor.x * bbox.width, sy: bbox.top + cursor.y * bbox.height, box}, true);
});
listen("focusout", (event) => { if (event.composedPath()[0].classList?.contains("bk-Figure")) hide(); });
