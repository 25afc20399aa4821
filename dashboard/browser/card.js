// A card's picture for those who do not see it, and its files: the sentence above a picture is its
// text alternative; PNG, SVG and CSV are made in the browser from what is drawn.
const view_of = (model) => Bokeh.index.find_one(model);
const words = document.createElement("div");
words.innerHTML = sentence?.text ?? "";
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

// the card as one picture: its title, its legend, and its figures one below the other
function composed() {
  const layers = figures.map((figure) => view_of(figure).export("png", true).canvas);
  const scale = window.devicePixelRatio || 1, pad = 12, style = getComputedStyle(view_of(title).el);
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
  const font = (size, weight) => `${weight} ${size * scale}px ${style.fontFamily}`;
  canvas.width = Math.max(...layers.map((layer) => layer.width));
  const placed = [];
  let x = pad, y = 52;
  pen.font = font(13, 400);
  for (const entry of view_of(legend)?.shadow_el.querySelectorAll(".entry") ?? []) {
    const width = 34 + pen.measureText(entry.textContent).width / scale;
    if (x > pad && (x + width) * scale > canvas.width) [x, y] = [pad, y + 20];
    placed.push([entry, x, y]);
    x += width + 8;
  }
  const top = (placed.length ? y + 10 : 36) * scale;
  canvas.height = top + layers.reduce((sum, layer) => sum + layer.height, 0);
  pen.fillStyle = style.getPropertyValue("--card");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = style.color;
  pen.textBaseline = "middle";
  pen.font = font(17, 700);
  pen.fillText(heading, pad * scale, 20 * scale);
  pen.font = font(13, 400);
  pen.lineWidth = 2.5 * scale;
  for (const [entry, left, middle] of placed) {
    const mark = entry.querySelector("i"), drawn = getComputedStyle(mark), kind = mark.className;
    pen.strokeStyle = drawn.borderTopColor;
    pen.setLineDash({dashed: [5, 3], dotted: [2, 2]}[kind]?.map((dash) => dash * scale) ?? []);
    if (kind === "area") {
      pen.fillStyle = drawn.backgroundColor;
      pen.fillRect(left * scale, (middle - 5) * scale, 20 * scale, 10 * scale);
    } else if (kind === "mark") {
      pen.fillStyle = getComputedStyle(mark, "::before").color;
      pen.fillText(mark.dataset.mark, (left + 6) * scale, middle * scale);
    } else {
      pen.beginPath();
      pen.moveTo(left * scale, middle * scale);
      pen.lineTo((left + 20) * scale, middle * scale);
      pen.stroke();
    }
    pen.fillStyle = style.color;
    pen.fillText(entry.textContent, (left + 26) * scale, middle * scale);
  }
  let at = top;
  for (const layer of layers) {
    pen.drawImage(layer, 0, at);
    at += layer.height;
  }
  return canvas;
}

for (const button of view_of(title)?.shadow_el.querySelectorAll("button[data-save]") ?? []) {
  button.onclick = () => {
    const kind = button.dataset.save;
    if (kind === "png") {
      composed().toBlob((blob) => save(blob, `quantlab-${figures[0].name ?? "picture"}.png`));
      return;
    }
    for (const figure of figures) {
      const name = `quantlab-${figure.name ?? "picture"}`;
      if (kind === "csv") {
        save(new Blob([csv(figure)], {type: "text/csv"}), `${name}.csv`);
        continue;
      }
      const layer = view_of(figure).export(kind, true);
      save(new Blob([layer.ctx.get_serialized_svg(true)], {type: "image/svg+xml"}), `${name}.svg`);
    }
  };
}
