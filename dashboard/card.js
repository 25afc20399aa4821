// A card's picture for those who do not see it, and its files: the sentence above a picture is its
// text alternative; PNG, SVG and CSV are made in the browser from what is drawn.
const view_of = (model) => Bokeh.index.find_one(model);
const words = document.createElement("div");
words.innerHTML = sentence?.text ?? "";
for (const figure of figures) {
  const element = view_of(figure)?.el;
  element?.setAttribute("role", "img");
  element?.setAttribute("aria-label", `${heading}. ${words.textContent}`.trim());
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// columns side by side, each as long as it is; lines of a multi-line follow one another
function csv(figure) {
  const columns = [], seen = new Set();
  for (const {data_source: source, visible} of figure.renderers) {
    if (!visible || seen.has(source)) continue;
    seen.add(source);
    for (const [name, values] of Object.entries(source.data)) {
      const list = Array.from(values).flatMap((value) =>
        value !== null && typeof value === "object" ? [...Array.from(value), ""] : [value]);
      if (list.length) columns.push([`${source.name ?? "data"}.${name}`, ...list]);
    }
  }
  const quoted = (value) => (typeof value === "string" && /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value ?? "");
  const rows = Math.max(0, ...columns.map((column) => column.length));
  return Array.from({length: rows}, (_, i) => columns.map((column) => quoted(column[i])).join(",")).join("\n") + "\n";
}

for (const button of view_of(title)?.shadow_el.querySelectorAll("button[data-save]") ?? []) {
  button.onclick = () => {
    for (const figure of figures) {
      const name = `quantlab-${figure.name ?? "picture"}`, kind = button.dataset.save;
      if (kind === "csv") {
        save(new Blob([csv(figure)], {type: "text/csv"}), `${name}.csv`);
        continue;
      }
      const layer = view_of(figure).export(kind, true);
      if (kind === "png") layer.canvas.toBlob((blob) => save(blob, `${name}.png`));
      else save(new Blob([layer.ctx.get_serialized_svg(true)], {type: "image/svg+xml"}), `${name}.svg`);
    }
  };
}
