// Words explained (parts/glossary.py): what a word means, its equation and its notebook, when the pointer
// rests on it, when it has the focus, or at a tap. Enter goes to the notebook's link, Escape back. A widget's
// label or a row's name that is a term answers too. An answer to "why" (a number's own words) is shown alike.
const REST = 250, AWAY = 300, GAP = 6;
const LABEL = "label, legend, th, td, dfn, span, p, button";
const pages = [...document.scripts].map(({src}) => src.split("/static/js/bokeh")).find(({length}) => length > 1);

// In Jupyter the notebooks are those beside the one that is open. A folder is looked at once: its address, its
// path, its files.
const jupyter = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "null");
const folders = new Map();
function beside() {
  const [address, path = ""] = location.pathname.match(/^.*?\/(?:tree|notebooks)\/(.*\/)?(?=[^/]+\.ipynb$)/) ?? [];
  if (!jupyter || !address) return [];
  if (!folders.has(address)) {
    const files = [];
    folders.set(address, [address, decodeURIComponent(path), files]);
    fetch(`${jupyter.baseUrl}api/contents/${path}?type=directory`).then((answer) => answer.json())
      .then(({content}) => files.push(...content.map(({name}) => name))).catch(() => {});
  }
  return folders.get(address);
}
beside();
function reference(file, words) {
  const [address, , files] = beside(), found = files?.includes(`${file}.ipynb`) && `${address}${file}.ipynb`;
  const target = pages ? `${pages[0]}/notebook/${file}` : found;
  return target ? `<p><a href="${target}" target="_blank">${words}</a></p>` : "";
}
// A notebook that Jupyter trusts opens another beside itself, by Jupyter's own kind of link; else a new tab does.
function open_beside(event) {
  const a = event.target.closest("a"), [address, path] = beside();
  let host = at;
  hide(); // the note would lie above what opens
  while (host?.getRootNode().host) host = host.getRootNode().host;
  const notebook = host?.closest(".jp-Notebook"), trusted = document.querySelector('[data-icon="ui-components:trusted"]');
  if (!notebook || !trusted || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const opener = notebook.appendChild(document.createElement("button"));
  opener.dataset.commandlinkerCommand = "docmanager:open";
  opener.dataset.commandlinkerArgs = JSON.stringify({path: path + a.getAttribute("href").slice(address.length)});
  opener.click();
  opener.remove();
}

const note = document.body.appendChild(document.createElement("div"));
note.id = "glossary";
note.setAttribute("role", "note");
note.setAttribute("popover", "manual");
const told = document.body.appendChild(document.createElement("div"));
told.setAttribute("role", "status");
told.style.cssText = "position: fixed; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);";
const style = note.appendChild(document.createElement("style"));
style.textContent = `
  #glossary { position: fixed; inset: auto; margin: 0; width: max-content; max-width: min(340px, calc(100vw - 24px)); padding: 9px 12px;
    border-radius: 8px; border: 1px solid; box-shadow: 0 3px 12px rgb(0 0 0 / 25%); text-align: left;
    font: 13.5px/1.4 Roboto, system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
  #glossary p { margin: 3px 0 0; }
  #glossary math { font-size: 16px; }
  #glossary table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  #glossary td { padding: 1px 0 1px 14px; text-align: right; }
  #glossary th { text-align: left; font-weight: 400; }`;
const words = note.appendChild(document.createElement("div"));

let at = null, home = null, frame = 0, timer = 0, pinned = false; // what is explained, and in which root; whether the focus keeps it
const later = (act, ms) => { clearTimeout(timer); timer = setTimeout(act, ms); };

function hide() {
  clearTimeout(timer);
  at = null;
  pinned = false;
  if (note.matches(":popover-open")) note.hidePopover();
}
function place() {
  const box = at.getBoundingClientRect(), {offsetWidth: width, offsetHeight: height} = note;
  const below = box.bottom + GAP, above = box.top - GAP - height;
  note.style.left = `${Math.max(8, Math.min(box.left, innerWidth - width - 8))}px`;
  note.style.top = `${Math.max(4, below + height < innerHeight || above < 4 ? below : above)}px`;
  return box.bottom > 0 && box.top < innerHeight;
}
// The words go along with what they explain, whatever scrolls (roots keep that to themselves) and when it is
// written anew, as long as it is seen.
function follow() {
  if (at && !at.isConnected) at = at.dataset.why ? home.querySelector(`[data-why="${at.dataset.why}"]`) : null;
  if (at && place()) frame = requestAnimationFrame(follow);
  else hide();
}
function show(element, html, aloud) {
  clearTimeout(timer);
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(follow);
  [at, home] = [element, element.getRootNode()];
  const own = getComputedStyle(element), colour = (name, or) => own.getPropertyValue(name) || or;
  Object.assign(note.style, {
    background: colour("--card", "#fff"), color: colour("--ink", "#1b2430"), borderColor: colour("--rule", "#d9dee5"),
  });
  words.innerHTML = html;
  for (const link of words.querySelectorAll("a")) link.style.color = colour("--blue", "#0072b2");
  if (!note.matches(":popover-open")) note.showPopover();
  place();
  if (aloud) {
    const spoken = words.cloneNode(true);
    for (const formula of spoken.querySelectorAll("math")) formula.replaceWith(` ${formula.getAttribute("alttext")} `);
    told.textContent = spoken.textContent;
  }
}
function meaning(name) {
  const [title, sentence, file, notebook, formula] = TERMS[name], where = `Notebook ${file.slice(0, 2)}, ${notebook}`;
  return `<b>${title}</b><p>${sentence}</p>${formula && `<p>${formula}</p>`}${reference(file, where)}`;
}
// the element of an event that is explained, and its term
function meant(event) {
  const path = event.composedPath().filter((element) => element.matches).slice(0, 6);
  const marked = path.find((element) => element.dataset?.term in TERMS);
  if (marked) return [marked, marked.dataset.term];
  for (const element of path.slice(0, 4)) {
    const text = element.matches(LABEL) && element.textContent.length < 40 && element.textContent.split(":")[0].trim();
    if (text && Object.hasOwn(LABELS, text)) return [element, LABELS[text]];
  }
  return null;
}
// why a number is so: the server computes its parts, and its words stay until something else is looked at
let asked = 0;
const heard = new WeakSet();
function why(button) {
  const view = Bokeh.index.query_one((candidate) => candidate.shadow_el === button.getRootNode());
  const line = view?.model.document?.get_model_by_name("why");
  if (!line) return;
  if (!heard.has(line)) {
    heard.add(line);
    line.properties.tags.change.connect(() => {
      const [html, count] = line.tags;
      if (Number(count) === asked && at?.dataset.why) show(at, html, true);
    });
  }
  show(button, "…");
  pinned = true;
  line.text = `${button.dataset.why} ${++asked}`;
}
const within = (event) => event.composedPath().includes(note);
const listen = (kind, answer) => document.addEventListener(kind, answer, {capture: true});

// Events of crossing a border, pointerover and focusin, stay in the shadow root that both sides are in: a move
// and a key that is let go say where one is.
let over = null;
listen("pointermove", (event) => {
  const target = event.composedPath()[0];
  if (event.pointerType === "touch" || event.buttons || target === over) return;
  over = target;
  if (within(event)) return clearTimeout(timer);
  const found = meant(event);
  if (found && found[0] === at) clearTimeout(timer);
  else if (found) later(() => found[0].isConnected && show(found[0], meaning(found[1])), REST);
  else if (!pinned) later(hide, AWAY);
});
// a tap on a word explains it; what a tap switches is not explained
listen("pointerdown", (event) => {
  if (within(event)) return;
  const found = meant(event), switches = found && !found[0].dataset.term && event.composedPath().some((element) => element.matches?.("label, button"));
  if (found && !switches && event.pointerType === "touch") {
    if (found[0] === at) return hide();
    show(found[0], meaning(found[1]));
    pinned = true;
  } else if (!found || found[0] !== at) hide();
});
listen("click", (event) => {
  const button = event.composedPath().find((element) => element.dataset?.why);
  if (button) why(button);
  if (jupyter && within(event) && event.target.closest("a")) open_beside(event);
});
listen("keyup", (event) => {
  if (event.key !== "Tab" || within(event)) return;
  const element = event.composedPath()[0], found = meant(event);
  if (!found || (!found[0].dataset.term && element.getAttribute("type") !== "checkbox")) return;
  show(found[0], meaning(found[1]), Boolean(found[0].dataset.term));
  pinned = true;
});
listen("keydown", (event) => {
  if (!at) return;
  const link = words.querySelector("a"), inside = within(event);
  if (event.key === "Escape" || event.key === "Tab") {
    const back = at;
    hide();
    if (inside) back.focus(); // from where Tab goes on
    if (event.key === "Escape") event.stopPropagation();
  } else if (event.key === "Enter" && !inside && link && event.composedPath()[0].dataset?.term) {
    event.preventDefault();
    link.focus();
  }
});
