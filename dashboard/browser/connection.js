// A number on the page belongs to the setting beside it: what the server computed is greyed, and says
// for which setting it is, as long as it is not the page's own; and while the server is away.
const root = document.documentElement, document_model = Bokeh.documents[0];
const SLIDERS = ["rho", "k_x", "k_y", "inner_dim"];
const BACK = "quantlab back", MOST_RELOADS = 3, RELOADS_WITHIN = 60_000;
let asked = false; // a control has been used, and the server has not answered yet
let lost = ""; // why the server is away: "closed", "silent"; or ""
let socket_lost = false, attempt = 0, waiting = null, banner = null;

const same = () => SLIDERS.every((name) => Math.abs(belongs.data[name][0] - setting.data[name][0]) < 1e-6);

function mark() {
  const stale = lost || asked || !belongs.data.fresh[0] || !same();
  const scene = document_model.get_model_by_name("scene"), drawn_here = scene?.data.closed[0] ?? true;
  const words = `for ${belongs.data.words[0]}`;
  root.style.setProperty("--stale", stale ? 1 : 0);
  root.style.setProperty("--stale-words", JSON.stringify(stale ? words : ""));
  root.style.setProperty("--stale-drawn", stale && !drawn_here ? 1 : 0);
  root.style.setProperty("--stale-drawn-words", JSON.stringify(stale && !drawn_here ? words : ""));
}

function say(words, button) {
  banner ??= document.body.appendChild(Object.assign(document.createElement("div"), {id: "connection"}));
  banner.setAttribute("role", "status");
  banner.style.cssText = "position: fixed; z-index: 2000; left: 50%; top: 8px; transform: translateX(-50%); max-width: min(640px, 94vw);"
    + "box-sizing: border-box; padding: 10px 14px; border-left: 4px solid #E69F00; border-radius: 6px; background: #fff4e0; color: #1b2430;"
    + "font: 14px/1.35 Roboto, system-ui, sans-serif; box-shadow: 0 2px 8px rgb(0 0 0 / 30%)";
  banner.textContent = words;
  banner.hidden = !words;
  if (button) {
    const now = banner.appendChild(document.createElement("button"));
    now.type = "button";
    now.textContent = button;
    now.style.cssText = "margin-left: 10px; font: inherit; cursor: pointer";
    now.onclick = () => { attempt = 0; sessionStorage.removeItem(BACK); knock(); };
  }
}

// everything that the server must answer is off; the sliders move what the browser draws
function* controls(within) {
  for (const element of within.querySelectorAll("*")) {
    if (element.shadowRoot) yield* controls(element.shadowRoot);
    if (element.matches("button, input, [role=combobox], [role=tab], [role=radio]")) yield element;
  }
}
function off(away) {
  for (const element of controls(document.body)) {
    const own = element.matches("[type=range], [data-save], [data-menu]") || element.closest("#connection") || /^(Play|Pause)/.test(element.textContent);
    if (own) continue;
    element.toggleAttribute("inert", away);
    if (!element.matches("input")) element.style.opacity = away ? 0.4 : ""; // those are drawn by others
  }
}

function lose(why) {
  if (lost) return;
  lost = why;
  attempt = 0;
  off(true);
  say(why === "closed" ? "The connection to the server is lost. Grey numbers belong to the setting they name; the curves that the browser draws go on. Reconnecting …"
    : "The server does not answer. Grey numbers belong to the setting they name; the curves that the browser draws go on. Waiting …", "Try now");
  mark();
  later();
}

function later() {
  clearTimeout(waiting);
  waiting = setTimeout(knock, Math.min(5000, 500 * 2 ** attempt++));
}

const alive = (patience) => fetch(new URL("healthz", location.href), {cache: "no-store", signal: AbortSignal.timeout(patience)})
  .then((answer) => { if (!answer.ok) throw new Error(answer.status); });

async function knock() {
  try {
    await alive(2000);
  } catch {
    later();
    return;
  }
  if (!socket_lost) { // it was silent, and its answers are on their way
    lost = "";
    off(false);
    say("");
    mark();
    return;
  }
  const {at = [], ...before} = JSON.parse(sessionStorage.getItem(BACK) ?? "{}");
  const recent = at.filter((time) => Date.now() - time < RELOADS_WITHIN);
  if (recent.length >= MOST_RELOADS) {
    say("The server answers, but the page's connection is cut again and again: something between may not pass websockets.", "Try again");
    return;
  }
  sessionStorage.setItem(BACK, JSON.stringify({...before, at: [...recent, Date.now()], told: false}));
  // a new session with the same state: the address holds it, and the sliders that have moved since
  const query = new URLSearchParams(location.search);
  for (const name of SLIDERS)
    if (Math.abs(belongs.data[name][0] - setting.data[name][0]) > 1e-6) query.set(name, Number(setting.data[name][0].toFixed(4)));
  location.replace(`${location.pathname}${query.size ? "?" : ""}${query}`);
}

let patience = null;
document.addEventListener("quantlab-asked", () => {
  asked = true;
  mark();
  clearTimeout(patience);
  patience = setTimeout(() => asked && alive(1200).catch(() => lose(socket_lost ? "closed" : "silent")), 1500);
});
setting.properties.data.change.connect(() => { mark(); if (!same()) document.dispatchEvent(new Event("quantlab-asked")); });
belongs.properties.data.change.connect(() => { asked = false; mark(); });
document_model.on_event("connection_lost", () => { socket_lost = true; lose("closed"); });
setInterval(() => { if (!lost && !document.hidden) alive(5000).catch(() => lose(socket_lost ? "closed" : "silent")); }, 15_000);

const back = JSON.parse(sessionStorage.getItem(BACK) ?? "{}");
if (back.told === false) {
  sessionStorage.setItem(BACK, JSON.stringify({...back, told: true}));
  const files = location.search.includes("page=data") ? " Files that were uploaded must be chosen again." : "";
  say(`Connected again, with the same setting and fresh numbers.${files}`);
  setTimeout(() => { if (!lost) say(""); }, files ? 20_000 : 10_000);
}
mark();
