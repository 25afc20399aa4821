// Formulas by the MathJax inside BokehJS, and pictures that are no wider than the screen.
const FORMULA = /\$\$([\s\S]+?)\$\$|\$([^$]+?)\$/g;

function drawn(tex, display) {
  const {tex2svg} = Bokeh.require("models/text/mathjax/index");
  const size = 16;
  const box = tex2svg(tex, {display, em: size, ex: 0.45 * size});
  const formula = document.createElement("span");
  formula.className = display ? "formula display" : "formula";
  formula.setAttribute("role", "img");
  formula.setAttribute("aria-label", tex);
  formula.append(...box.children);
  return formula;
}

function drawFormulas(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, (node) =>
    node.parentElement.closest("pre, code, script, style") || !node.data.includes("$")
      ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  for (const node of nodes) {
    const parts = [];
    let end = 0;
    for (const match of node.data.matchAll(FORMULA)) {
      parts.push(node.data.slice(end, match.index), drawn(match[1] ?? match[2], match[1] != null));
      end = match.index + match[0].length;
    }
    if (parts.length === 0) continue;
    const rest = node.data.slice(end), mark = rest.match(/^[.,;:?!)]+/)?.[0] ?? "";
    if (mark && !parts.at(-1).classList.contains("display")) {
      // no line may begin with the mark that follows a formula
      const unbroken = document.createElement("span");
      unbroken.style.whiteSpace = "nowrap";
      unbroken.append(parts.pop(), mark);
      parts.push(unbroken, rest.slice(mark.length));
    } else {
      parts.push(rest);
    }
    node.replaceWith(...parts);
  }
}

// a wide formula gets smaller, down to three fifths; beyond that it scrolls
function fitFormulas() {
  for (const formula of document.querySelectorAll(".formula.display")) {
    const ratio = formula.clientWidth / formula.scrollWidth;
    if (ratio < 1) formula.style.fontSize = `${Math.max(0.95 * ratio, 0.6)}em`;
  }
}

// models have widths for a page of 640 pixels; a phone has fewer
function fit(model) {
  const children = model.children ?? [];
  children.forEach(fit);
  const width = model.width ?? Math.max(...children.map((child) => child.max_width ?? 0));
  const legends = (model.center ?? []).filter((part) => part.type === "Legend");
  if (legends.length > 0 && innerWidth < 560) {
    // on a phone it would hide the curves
    const center = model.center.filter((part) => !legends.includes(part));
    model.setv({center, below: [...model.below, ...legends]});
  }
  if (width > 0) model.setv({max_width: width, sizing_mode: "stretch_width"});
}

// BokehJS adds its documents after the page has loaded, one by one
function fitPictures() {
  const roots = Bokeh.documents.flatMap((document) => document.roots());
  if (roots.length < document.querySelectorAll("[data-root-id]").length) {
    requestAnimationFrame(fitPictures);
    return;
  }
  roots.forEach(fit);
  document.documentElement.dataset.drawn = "true";
}

// a page from a file may not read others: the search shows titles, without a line of each page
if (location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

document.addEventListener("DOMContentLoaded", () => {
  if (window.Bokeh) {
    drawFormulas(document.querySelector("article"));
    fitFormulas();
    fitPictures();
  }
});
