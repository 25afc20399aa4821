// The page's state, and the address that brings it back: ?rho=0.7&k_x=8 or #rho=0.7&k_x=8. What
// follows # counts more, and is what the page itself writes: a file's address may change nowhere else.
const address = (() => {
  const LEVELS = table.levels, INNER_DIMS = table.inner_dims;
  const PARTS = ["title", "controls", "density", "codebooks", "pitchfork", "error"];
  const DEFAULTS = {rho: 0.8, k_x: 16, k_y: 16, linked: true, inner_dim: 256, law: "gaussian", nu: 5, seed: 0, hide: []};

  const words = (list) => `${list.slice(0, -1).join(", ")} or ${list[list.length - 1]}`;
  function number(low, high, kind = "a number") {
    const bounds = `${kind} from ${String(low).replace("-", "−")} to ${high}`;
    return {
      expected: bounds,
      read(text) {
        const value = text.trim() === "" ? NaN : Number(text);
        return value >= low && value <= high && (kind === "a number" || Number.isInteger(value)) ? value : undefined;
      },
    };
  }
  const choice = (values) => ({expected: words(values), read: (text) => values.find((value) => String(value) === text)});
  const READERS = {
    rho: number(-1, 1), k_x: choice(LEVELS), k_y: choice(LEVELS), inner_dim: choice(INNER_DIMS),
    linked: {expected: "0 or 1", read: (text) => ({0: false, 1: true})[text]},
    law: choice(["gaussian", "student_t"]), nu: number(4.5, 30), seed: number(0, 2 ** 31 - 1, "an integer"),
    hide: {
      expected: `names of ${words(PARTS)}`,
      read(text) {
        const names = text.split(",").filter(Boolean);
        return names.every((name) => PARTS.includes(name)) ? names : undefined;
      },
    },
  };

  // the state that an address names, and a sentence for each value that it does not take
  function read({search, hash}) {
    const state = {...DEFAULTS}, refused = [], given = new Map();
    for (const part of [search, hash]) for (const [name, text] of new URLSearchParams(part.slice(1))) given.set(name, text);
    for (const [name, text] of given) {
      const reader = Object.hasOwn(READERS, name) ? READERS[name] : null;
      if (reader === null) {
        refused.push(`“${name.slice(0, 40)}” is not a control.`);
        continue;
      }
      const value = reader.read(text);
      if (value === undefined) refused.push(`${name} = “${text.slice(0, 40)}” is not used: expected ${reader.expected}.`);
      else state[name] = value;
    }
    if (!given.has("linked") && given.has("k_y")) state.linked = state.k_x === state.k_y;
    if (state.linked) state.k_y = state.k_x;
    return {state, refused: refused.slice(0, 4)};
  }

  // what differs from the defaults
  function write(state) {
    const parts = [];
    for (const [name, value] of Object.entries(state)) {
      if (name === "hide" ? !value.length : value === DEFAULTS[name] || (name === "k_y" && state.linked)) continue;
      parts.push(`${name}=${typeof value === "boolean" ? Number(value) : value}`);
    }
    return `#${parts.join("&")}`;
  }

  return {LEVELS, INNER_DIMS, PARTS, read, write};
})();
