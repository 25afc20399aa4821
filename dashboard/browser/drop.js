// Files dropped anywhere go to Your data: the first to A and the second to B; an input takes what is
// dropped on itself. Without this the browser would leave the page and show the file.
function* below(root) {
  for (const element of root.querySelectorAll("*")) {
    yield element;
    if (element.shadowRoot) yield* below(element.shadowRoot);
  }
}
const find = (root, matches) => { for (const element of below(root)) if (matches(element)) return element; };
function input(name) {
  for (const model of Bokeh.documents[0]._all_models.values()) {
    const view = model.tags[0] === `file_${name}` && Bokeh.index.find_one(model);
    if (view) return find(view.el.shadowRoot ?? view.el, (element) => element.type === "file");
  }
}
function give(name, file) {
  const target = input(name), carrier = new DataTransfer();
  carrier.items.add(file);
  target.files = carrier.files;
  target.dispatchEvent(new Event("change", {bubbles: true}));
}
function whenThere(then, patience = 100) {
  if (input("A") && input("B")) then();
  else if (patience) setTimeout(() => whenThere(then, patience - 1), 100);
}
const carried = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragover", (event) => { if (carried(event)) event.preventDefault(); }, {capture: true});
addEventListener("drop", (event) => {
  if (!carried(event)) return;
  // an input takes the file that is dropped on it itself
  if (event.composedPath().some((element) => element.matches?.("label") && element.querySelector("input[type=file]"))) return;
  const files = [...event.dataTransfer.files].slice(0, 2);
  event.preventDefault();
  event.stopPropagation();
  const open = find(document.body, (e) => e.matches("[role=tab]") && e.textContent === "Your data");
  if (open?.getAttribute("aria-selected") !== "true") open?.click();
  whenThere(() => files.forEach((file, i) => give("AB"[i], file)));
}, {capture: true});
