// The panel: what is known of the chosen node, and what was written for it.
let chosen = null, form = "ir", shown = 0;
const NO_SOURCES = "This artifact has no code that can be read. Give inspect the model instead (beiming inspect MODEL --html PAGE) to see what is written for it.";
const PART_OF_SOURCES = "This is what the artifact holds. Give inspect the model instead (beiming inspect MODEL --html PAGE) to see the kernels' own text, LLVM IR, and which op each line comes from.";

function pairs(list) {
  return make("dl", { class: "pairs" }, ...list.filter(([, v]) => v !== "" && v != null).flatMap(([k, v]) => [make("dt", {}, k), make("dd", {}, v)]));
}

function links(title, list) {
  if (!list.length) return [];
  const item = ([i, slot]) => make("li", {}, make("button", { onclick: () => go(i) }, short(label(D.nodes[i]), 60)), make("code", {}, D.slots[slot]));
  return [make("h3", {}, title), make("ul", { class: "links" }, ...list.map(item))];
}

function select(i) {
  if (chosen !== i) pick = null;
  chosen = i;
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

/** What keys do while the graph has the focus. */
function keys() {
  const list = [["n p", "next, previous kernel"], ["Enter", "open or fold it"], ["c", "its code"], ["o", "open or fold all"], ["f", "show all"], ["+ −", "zoom"], ["arrows", "move"], ["/", "search"]];
  return make("dl", { class: "pairs keys" }, ...list.flatMap(([k, what]) => [make("dt", {}, ...k.split(" ").map(x => make("kbd", {}, x))), make("dd", {}, what)]));
}

function panel() {
  const out = $("panel"), run = ++shown;
  if (chosen == null) {
    out.replaceChildren(make("h2", {}, "Nothing chosen"), make("p", { class: "muted" }, "Choose a box, a row or a buffer; double-click a box to see the ops inside it. Scroll to move, with Ctrl to zoom."), keys());
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
  const ops = n.parts ?? opsOf(n);
  if (ops.length) parts.push(make("h3", {}, ops.length > 1 ? `${ops.length} ops in one kernel` : "Op"), make("div", { class: "ops" }, ...chips(n)));
  if (g && g.nodes && !n.parts) parts.push(make("h3", {}, "Nodes of the model"), make("div", { class: "ops" }, ...g.nodes.split("+").map(s => make("span", {}, s))));
  parts.push(...links("Takes", D.edges.filter(e => e[1] === chosen).map(e => [e[0], e[2]])));
  parts.push(...links("Gives to", D.edges.filter(e => e[0] === chosen).map(e => [e[1], e[2]])));
  const weights = D.weights.filter(w => n.reads.includes(w.slot));
  if (weights.length) parts.push(make("h3", {}, "Weights"), make("ul", { class: "links" }, ...weights.map(w => make("li", {}, make("code", {}, D.slots[w.slot]), make("span", { class: "muted" }, bytes(w.bytes))))));
  if (g) {
    const why = D.unfused.filter(u => u.consumer === g.nodes || u.consumer.endsWith(" " + g.nodes));
    if (why.length) parts.push(make("h3", {}, "Not joined with"), ...why.slice(0, 4).map(u => make("p", { class: "muted" }, `${u.producer}: ${u.why}`)));
  }
  let pre = null;
  const forms = k ? formsOf(n.kernel) : [], shownForm = forms.find(f => f[0] === form)?.[0] ?? forms[0]?.[0];
  if (forms.length && $("code").hidden) {
    pre = make("pre", { class: "listing", "data-form": shownForm, tabindex: 0, "aria-label": "Source" });
    const tab = ([f, name]) => make("button", { role: "tab", "data-tab": f, "aria-selected": String(f === shownForm), onclick: () => { form = f; panel(); } }, name);
    parts.push(make("div", { class: "source" }, make("div", { class: "bar" }, make("div", { role: "tablist" }, ...forms.map(tab)), make("span", { class: "muted", "data-count": "" }), make("button", { title: "All texts side by side (c)", onclick: () => show("code") }, "Side by side")), pre));
    if (!D.whole) parts.push(make("p", { class: "muted" }, PART_OF_SOURCES));
  } else if (k && !forms.length) parts.push(make("p", { class: "muted" }, NO_SOURCES));
  out.replaceChildren(...parts);
  out.scrollTop = 0;
  if (pre) fill([[pre, shownForm]], n, () => run === shown && $("code").hidden);
}
