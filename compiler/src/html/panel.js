// The panel: what is known of the chosen node, and what was written for it.
let chosen = null, form = "ir", lit = null, shown = 0;
const texts = new Map();

/** Sources of a kernel, unpacked when they are first asked for. */
async function sourcesOf(k) {
  if (!texts.has(k)) {
    const raw = Uint8Array.from(atob(PACKED[k]), c => c.charCodeAt(0));
    const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    texts.set(k, JSON.parse(await new Response(stream).text()));
  }
  return texts.get(k);
}

function pairs(list) {
  return make("dl", { class: "pairs" }, ...list.filter(([, v]) => v !== "" && v != null).flatMap(([k, v]) => [make("dt", {}, k), make("dd", {}, v)]));
}

function links(title, list) {
  if (!list.length) return [];
  const item = ([i, slot]) => make("li", {}, make("button", { onclick: () => go(i) }, short(label(D.nodes[i]), 60)), make("code", {}, D.slots[slot]));
  return [make("h3", {}, title), make("ul", { class: "links" }, ...list.map(item))];
}

function select(i) {
  chosen = i;
  lit = null;
  mark(i);
  document.querySelectorAll("[data-node]").forEach(e => e.classList.toggle("on", e.dataset.node.split(" ").includes(String(i))));
  panel();
}
/** Shows a node in the graph. */
function go(i) {
  show("graph");
  select(i);
  center(i);
}

function panel() {
  const out = $("panel"), run = ++shown;
  if (chosen == null) {
    out.replaceChildren(make("h2", {}, "Nothing chosen"), make("p", { class: "muted" }, "Choose a box, a row or a buffer. Double-click a box to see the ops inside it. Scroll to move, with Ctrl to zoom; f shows all, o opens all, / searches."));
    return;
  }
  const n = D.nodes[chosen], g = groupOf(n), k = n.kernel == null ? null : D.kernels[n.kernel];
  const sum = g && members.get(n.group).length > 1 ? ` of ${micros(g.predicted_us)} for ${members.get(n.group).length} kernels` : "";
  const rate = n.us ? [n.flops ? `${flops(n.flops / n.us * 1e6)}FLOP/s` : "", n.bytes ? `${bytes(n.bytes / n.us * 1e6)}/s` : ""].filter(Boolean).join(", ") : "";
  const parts = [make("h2", {}, label(n)), g ? null : make("div", { class: "muted" }, n.title || n.kind)].filter(Boolean);
  parts.push(pairs([
    ["Kernel", k && make("code", {}, k.name)],
    ["Result", make("code", {}, n.writes.map(s => D.slots[s]).join(", "))],
    ["Inside", n.within],
    ["Tile", k?.tile],
    ["Grid", k && k.grid.join(" × ")],
    ["Work", n.flops ? `${flops(n.flops)}FLOP` : ""],
    ["Traffic", n.bytes ? bytes(n.bytes) : ""],
    ["Scratch", k?.scratch ? `${bytes(k.scratch)} a thread` : ""],
    ["Predicted", n.predicted != null ? `${micros(n.predicted)}${sum}${g ? `, bound by ${g.bound}` : ""}` : ""],
    ["Measured", n.us != null ? `${micros(n.us)}${rate ? ` (${rate})` : ""}` : ""],
  ]));
  const ops = opsOf(n);
  if (ops.length) {
    const chip = o => make("button", { class: n.family, "data-op": o, "aria-pressed": "false", onclick: () => { lit = lit === o ? null : o; code(run); } }, o);
    parts.push(make("h3", {}, ops.length > 1 ? `${ops.length} ops in one kernel` : "Op"), make("div", { class: "ops" }, ...ops.map(chip)));
  }
  if (g && g.nodes) parts.push(make("h3", {}, "Nodes of the model"), make("div", { class: "ops" }, ...g.nodes.split("+").map(s => make("span", {}, s))));
  parts.push(...links("Takes", D.edges.filter(e => e[1] === chosen).map(e => [e[0], e[2]])));
  parts.push(...links("Gives to", D.edges.filter(e => e[0] === chosen).map(e => [e[1], e[2]])));
  const weights = D.weights.filter(w => n.reads.includes(w.slot));
  if (weights.length) parts.push(make("h3", {}, "Weights"), make("ul", { class: "links" }, ...weights.map(w => make("li", {}, make("code", {}, D.slots[w.slot]), make("span", { class: "muted" }, bytes(w.bytes))))));
  if (g) {
    const why = D.unfused.filter(u => u.consumer === g.nodes || u.consumer.endsWith(" " + g.nodes));
    if (why.length) parts.push(make("h3", {}, "Not joined with"), ...why.slice(0, 4).map(u => make("p", { class: "muted" }, `${u.producer}: ${u.why}`)));
  }
  if (k && PACKED[n.kernel]) {
    const tab = (f, name) => make("button", { role: "tab", "data-form": f, onclick: () => { form = f; code(run); } }, name);
    parts.push(make("div", { class: "source" }, make("div", { class: "bar", role: "tablist" }, tab("ir", "Kernel"), tab("llvm", "LLVM IR"), tab("asm", "Assembly"), make("span", { class: "muted", id: "lines" })), make("pre", { id: "code", tabindex: 0 })));
  } else if (k) parts.push(make("p", { class: "muted" }, "An artifact keeps no sources: give inspect the model to see what was written."));
  out.replaceChildren(...parts);
  out.scrollTop = 0;
  code(run);
}

/** Words by which a kernel's text spells an op. */
const spelled = { matmul: ["mma"], conv: ["mma"], relu: ["max"], reduce_sum: ["add"], reduce_mean: ["add"], reduce_max: ["max"], softmax: ["exp", "max"], layer_norm: ["rsqrt", "sqrt"], rms_norm: ["rsqrt", "sqrt"], transpose: ["copy"], cast: ["cast"] };
const wordsOf = op => [op, ...(spelled[op] ?? [])];
const speaks = (line, op) => wordsOf(op).some(w => new RegExp(`(^|[^\\w.])${w.replace(/[^\w]/g, "\\$&")}\\b`, "i").test(line));

/** The chosen source. Long ones are drawn where they are looked at. */
async function code(run) {
  const pre = $("code");
  if (!pre) return;
  const all = await sourcesOf(D.nodes[chosen].kernel);
  if (run !== shown) return;
  document.querySelectorAll("[data-form]").forEach(b => b.setAttribute("aria-selected", b.dataset.form === form));
  document.querySelectorAll("[data-op]").forEach(b => b.setAttribute("aria-pressed", b.dataset.op === lit));
  const lines = all[form].split("\n"), H = 18;
  const marked = lines.map((l, i) => form === "ir" && lit && !/^\s*(kernel|ops|param|local|\/\/)/.test(l) && speaks(l, lit) ? i : -1).filter(i => i >= 0);
  $("lines").textContent = lit ? (form === "ir" ? `${marked.length} lines spell ${lit}` : "lines of ops: see Kernel") : `${lines.length.toLocaleString("en")} lines`;
  const set = new Set(marked);
  const inner = make("div", { style: `height:${lines.length * H + 12}px;position:relative` });
  const win = make("div", { style: "position:absolute;left:0;min-width:100%" });
  inner.append(win);
  const draw = () => {
    const first = Math.max(0, Math.floor(pre.scrollTop / H) - 20), last = Math.min(lines.length, first + Math.ceil(pre.clientHeight / H) + 60);
    win.style.top = `${first * H + 6}px`;
    win.replaceChildren(...lines.slice(first, last).map((l, i) => make("div", { class: set.has(first + i) ? "row lit" : "row" }, make("i", {}, first + i + 1), l)));
  };
  pre.onscroll = draw;
  pre.replaceChildren(inner);
  pre.scrollTop = marked.length ? Math.max(0, marked[0] * H - 60) : 0;
  draw();
}
