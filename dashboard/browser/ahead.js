// A page takes a while to build on its first visit: it is asked for when the pointer or the focus is on its
// tab; and all of them, one after the other, while the hand rests. `PAGES` are names by title; the tags of
// what is said to the server are the pages that are left.
const said = Bokeh.documents[0].get_model_by_name("keys"), REST = 2500, EVERY = 250;
let moved = performance.now(), asked = "";
for (const kind of ["pointermove", "pointerdown", "keydown", "wheel", "touchstart"])
  document.addEventListener(kind, () => { moved = performance.now(); }, {capture: true, passive: true});
function ask(word, name) {
  const what = `${word}:${name}`;
  if (asked === what || !said.tags.includes(name)) return;
  asked = what;
  said.text = `${what} ${(Number(said.text.split(" ")[1]) || 0) + 1}`;
}
// from tab to tab pointerover and focusin stay in the root that both are in: a move and a key say where one is
for (const kind of ["pointermove", "pointerdown", "keyup"]) document.addEventListener(kind, (event) => {
  if (!said.tags.length) return;
  const tab = event.composedPath().find((element) => element.matches?.("[role=tab]"));
  if (tab) ask("near", PAGES[tab.textContent.trim()]);
}, {capture: true, passive: true});
const resting = setInterval(() => {
  if (!said.tags.length) return clearInterval(resting);
  if (document.visibilityState === "visible" && performance.now() - moved > REST && Bokeh.documents[0].is_idle)
    requestIdleCallback(() => ask("rest", said.tags[0]));
}, EVERY);
