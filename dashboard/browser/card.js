// A card's picture for those who do not see it, and its files: the sentence above a picture is its
// text alternative; PNG, SVG and CSV are made in the browser from what is drawn, and say the setting.
const view_of = (model) => Bokeh.index.find_one(model);
const words = document.createElement("div");
words.innerHTML = sentence?.text ?? "";
for (const formula of words.querySelectorAll("math")) formula.replaceWith(formula.getAttribute("alttext"));
for (const figure of figures) {
  const element = view_of(figure)?.el;
  element?.setAttribute("role", "img");
  element?.setAttribute("tabindex", "0"); // the arrow keys read its values
  element?.setAttribute("aria-label", `${heading}. ${words.textContent}`.trim());
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// columns side by side, each as long as it is; lines of a multi-line follow one another, and what
// belongs to a whole line stands beside each of its points; how it is drawn is left out
const STYLE = new Set(["colour", "marker", "size", "alpha", "dash"]);
function csv(figure) {
  const columns = [], seen = new Set();
  for (const {data_source: source, visible} of figure.renderers) {
    if (!visible || seen.has(source)) continue;
    seen.add(source);
    const entries = Object.entries(source.data).filter(([name]) => !STYLE.has(name));
    const nested = (value) => value !== null && typeof value === "object";
    const line = entries.map(([, values]) => Array.from(values)).find((list) => list.some(nested));
    for (const [name, values] of entries) {
      const list = Array.from(values).flatMap((value, i) =>
        nested(value) ? [...Array.from(value), ""] : line ? [...Array(line[i].length).fill(value), ""] : [value]);
      if (list.some((value) => !Number.isNaN(value))) columns.push([`${source.name ?? "data"}.${name}`, ...list]);
    }
  }
  const quoted = (value) => (typeof value === "string" && /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value ?? "");
  const rows = Math.max(0, ...columns.map((column) => column.length));
  return Array.from({length: rows}, (_, i) => columns.map((column) => quoted(column[i])).join(",")).join("\n") + "\n";
}

// "ρ = 0.8, K = 16, …": the setting that the server's numbers belong to; a page with controls of its own
// tells it in the sentence's first words
function setting() {
  const belongs = view_of(title).model.document.get_model_by_name("belongs_to");
  let own = !belongs;
  for (let node = view_of(title).el; node; node = node.parentNode ?? node.host) own ||= node.matches?.(".data, .speed, .limits");
  return own ? words.textContent.trim().split(/[.;:](?:\s|$)/)[0] : belongs.data.words[0];
}

// the whole card as one picture: its title, its legend, its figures one below the other, and the setting; drawn
// by the canvas's own words, which Bokeh's SVG context takes too. PNG is painted `scale` times as fine.
function composed(kind, scale) {
  const ratio = Object.getOwnPropertyDescriptor(window, "devicePixelRatio");
  Object.defineProperty(window, "devicePixelRatio", {value: scale, configurable: true});
  try { return drawn(kind, scale); }
  finally {
    if (ratio) Object.defineProperty(window, "devicePixelRatio", ratio);
    else delete window.devicePixelRatio;
  }
}
function drawn(kind, scale) {
  const {CanvasLayer} = Bokeh.require("core/util/canvas");
  const parts = figures.map((figure) => [view_of(figure).bbox, view_of(figure).export(kind, true)]);
  const layer = new CanvasLayer(kind === "svg" ? "svg" : "canvas", true), pen = layer.ctx;
  const style = getComputedStyle(view_of(title).el), pad = 12;
  const font = (size, weight) => `${weight} ${size}px ${style.fontFamily}`;
  const width = Math.max(...parts.map(([{width}]) => width));
  const placed = [];
  let x = pad, y = 52;
  pen.font = font(13, 400);
  for (const entry of view_of(legend)?.shadow_el.querySelectorAll(".entry") ?? []) {
    // an SVG is read in another type, which may be wider
    const taken = 34 + (kind === "svg" ? 1.15 : 1) * pen.measureText(entry.textContent).width;
    if (x > pad && x + taken > width) [x, y] = [pad, y + 20];
    placed.push([entry, x, y]);
    x += taken + 8;
  }
  const lines = [""]; // the setting, as long as the picture is wide
  pen.font = font(12, 400);
  for (const word of `${setting()}; quantlab ${version}`.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (lines.at(-1) && pen.measureText(longer).width > width - 2 * pad) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  const top = placed.length ? y + 10 : 36;
  const foot = top + parts.reduce((sum, [{height}]) => sum + height, 0);
  layer.resize(width, foot + 10 + 17 * lines.length);
  if (kind === "png") pen.scale(scale, scale);
  pen.fillStyle = style.getPropertyValue("--card").trim();
  pen.fillRect(0, 0, width, foot + 10 + 17 * lines.length);
  pen.fillStyle = style.color;
  pen.textBaseline = "middle";
  pen.font = font(17, 700);
  pen.fillText(heading, pad, 20);
  pen.font = font(13, 400);
  pen.lineWidth = 2.5;
  for (const [entry, left, middle] of placed) {
    const mark = entry.querySelector("i"), look = getComputedStyle(mark), shape = mark.className;
    pen.strokeStyle = look.borderTopColor;
    pen.setLineDash({dashed: [5, 3], dotted: [2, 2]}[shape] ?? []);
    if (shape === "area") {
      pen.fillStyle = look.backgroundColor;
      pen.fillRect(left, middle - 5, 20, 10);
    } else if (shape === "mark") {
      pen.fillStyle = getComputedStyle(mark, "::before").color;
      pen.fillText(mark.dataset.mark, left + 6, middle);
    } else {
      pen.beginPath();
      pen.moveTo(left, middle);
      pen.lineTo(left + 20, middle);
      pen.stroke();
    }
    pen.fillStyle = style.color;
    pen.fillText(entry.textContent, left + 26, middle);
  }
  pen.setLineDash([]);
  pen.font = font(12, 400);
  pen.fillStyle = style.getPropertyValue("--muted").trim();
  lines.forEach((line, i) => pen.fillText(line, pad, foot + 12 + 17 * i));
  pen.setTransform(1, 0, 0, 1, 0, 0);
  let at = top;
  for (const [{height}, part] of parts) {
    pen.drawImage(part.canvas, 0, at * (kind === "png" ? scale : 1));
    at += height;
  }
  return layer;
}

const named = (figure) => `quantlab-${figure.name ?? "picture"}`;
const comment = () => [heading, setting(), `quantlab ${version}`, location.href].map((line) => `# ${line}\n`).join("");
const SAVES = {
  png: () => composed("png", 1).canvas.toBlob((blob) => save(blob, `${named(figures[0])}.png`)),
  png3: () => composed("png", 3).canvas.toBlob((blob) => save(blob, `${named(figures[0])}-3x.png`)),
  svg: () => save(new Blob([composed("svg", 1).ctx.get_serialized_svg(true)], {type: "image/svg+xml"}), `${named(figures[0])}.svg`),
  csv: () => { for (const figure of figures) save(new Blob([comment(), csv(figure)], {type: "text/csv"}), `${named(figure)}.csv`); },
};

const root = view_of(title)?.shadow_el, opener = root?.querySelector("[data-menu]"), menu = root?.querySelector(".menu");
if (opener) {
  const open = (shown) => {
    menu.hidden = !shown;
    opener.setAttribute("aria-expanded", shown);
  };
  opener.onclick = () => open(menu.hidden);
  root.querySelector(".save").onkeydown = (event) => {
    if (event.key !== "Escape" || menu.hidden) return;
    open(false);
    opener.focus();
    event.stopPropagation();
  };
  root.querySelector(".save").onfocusout = ({relatedTarget}) => { if (!menu.contains(relatedTarget) && relatedTarget !== opener) open(false); };
  for (const button of menu.querySelectorAll("button")) {
    button.onclick = () => {
      SAVES[button.dataset.save]();
      open(false);
      opener.focus();
    };
  }
}
