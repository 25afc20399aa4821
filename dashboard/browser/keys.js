// Keys for a lecture: F fills the screen with the card under the pointer or the focus (Escape ends it), K keeps
// the present setting and X lets it go, N and P (Page down and up) go to the tour's next and previous stop.
// Inside another document, as in a notebook, keys are that document's: only a card's button fills the screen.
const keys = document.getElementById("jupyter-config-data") ? null : Bokeh.documents[0].get_model_by_name("keys");
const LARGER = 1.6, TYPED = "input:not([type=checkbox], [type=range], [type=radio]), textarea, select, [contenteditable], [role=combobox], [role=listbox], [role=option], [role=menuitem]";
const MOVED = "[role=slider], [type=range], [role=tab], [role=radio], .bk-Figure, .scroll";
const card_of = (event) => event.composedPath().find((element) => element.classList?.contains("panel") && element.matches?.(".computed, .drawn"));
let under = null; // the card that the pointer is on

function fill(card) {
  if (document.fullscreenElement) document.exitFullscreen();
  else card?.requestFullscreen?.();
}
// type of the axes, which the style sheet does not reach; nothing of it goes to the server
const SIZES = ["axis_label_text_font_size", "major_label_text_font_size"];
const enlarged = new Map();
function enlarge(card) {
  for (const [axis, sizes] of enlarged) axis.setv(sizes, {sync: false});
  enlarged.clear();
  for (const element of card?.shadowRoot?.querySelectorAll(".bk-Figure") ?? []) {
    const view = Bokeh.index.query_one((candidate) => candidate.el === element);
    for (const axis of [...view?.model.below ?? [], ...view?.model.left ?? []]) {
      enlarged.set(axis, Object.fromEntries(SIZES.map((name) => [name, axis[name]])));
      axis.setv(Object.fromEntries(SIZES.map((name) => [name, axis[name].replace(/[\d.]+/, (size) => size * LARGER)])), {sync: false});
    }
  }
}
const deepest = (root) => { const at = root.fullscreenElement; return at?.shadowRoot?.fullscreenElement ? deepest(at.shadowRoot) : at; };
document.addEventListener("fullscreenchange", () => enlarge(deepest(document)));
document.addEventListener("pointermove", (event) => { under = card_of(event); }, {passive: true});
document.addEventListener("click", (event) => {
  if (event.composedPath()[0].matches?.("[data-full]")) fill(card_of(event));
});

const said = {k: "keep", x: "clear", n: "next", p: "back", PageDown: "next", PageUp: "back"};
if (keys) document.addEventListener("keydown", (event) => {
  const path = event.composedPath().filter((element) => element.matches), at = path[0];
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.defaultPrevented) return;
  if (event.key === "Enter" && path.some((element) => element.matches(".stop"))) setTimeout(() => at.blur()); // a guess is given
  if (at.matches(TYPED) || path.some((element) => element.matches("[role=dialog]"))) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "f") return fill(card_of(event) ?? under);
  const word = said[key];
  if (!word || (key.startsWith("Page") && path.some((element) => element.matches(MOVED)))) return;
  keys.text = `${word} ${(Number(keys.text.split(" ")[1]) || 0) + 1}`;
});
