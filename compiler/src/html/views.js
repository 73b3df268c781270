// Tables, the memory plan, the search, and the start.
const VIEWS_OF = ["graph", "kernels", "code", "project", "memory", "weights"];
function show(name) {
  for (const v of VIEWS_OF) $(v).hidden = v !== name;
  document.querySelectorAll("#tabs button").forEach(b => b.setAttribute("aria-selected", b.dataset.view === name));
  document.querySelector("main").classList.toggle("wide", name === "code" || name === "project");
  if (name !== "code") { $("code").replaceChildren(); panel(); }
  $("project").replaceChildren();
  ({ kernels: kernelTable, code: codeView, project: hostView, memory: memoryPlan, weights: weightTable }[name] ?? (() => {}))();
  if (chosen != null) document.querySelectorAll("[data-node]").forEach(e => e.classList.toggle("on", e.dataset.node.split(" ").includes(String(chosen))));
}

const orders = {};
/** A table that can be ordered by its columns: `[title, value, text, kind]`. */
function table(id, columns, list, nodesOf, lead, place = id) {
  const pane = $(place), by = orders[id] ??= { c: columns.findIndex(c => c[3] === "bar"), down: true };
  const sorted = [...list].sort((a, b) => {
    const [x, y] = [columns[by.c][1](a), columns[by.c][1](b)];
    return (by.down ? -1 : 1) * (typeof x === "string" ? x.localeCompare(y) : (x ?? -1) - (y ?? -1));
  });
  const head = columns.map(([title, , , kind], c) => make("th", { class: kind && kind !== "tile" ? "num" : "", "aria-sort": c === by.c ? (by.down ? "descending" : "ascending") : null },
    make("button", { onclick: () => { Object.assign(by, { down: c === by.c ? !by.down : kind != null && kind !== "tile", c }); table(id, columns, list, nodesOf, lead, place); pane.querySelectorAll("th button")[c].focus(); } }, title + (c === by.c ? (by.down ? " ↓" : " ↑") : ""))));
  const most = columns.map(([, value, , kind]) => kind === "bar" ? Math.max(1e-9, ...list.map(value)) : 1);
  const cell = (r, [, value, text, kind], c) => make("td", { class: kind === "bar" ? "num bar" : kind ?? (c === 0 ? "name" : ""), style: kind === "bar" ? `--share:${(value(r) || 0) / most[c]}` : null }, (text ?? value)(r));
  const row = r => { const at = nodesOf(r) ?? []; return make("tr", { "data-node": at.join(" "), tabindex: 0, onkeydown: e => { if (e.key === "Enter" && at.length) select(at[0]); }, onclick: () => { if (at.length) select(at[0]); }, ondblclick: () => { if (at.length) go(at[0]); } }, ...columns.map((c, i) => cell(r, c, i))); };
  pane.replaceChildren(lead, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...sorted.map(row))));
}
const lead = (big, ...rest) => make("p", { class: "lead" }, make("b", {}, big), ...rest.map(r => make("span", {}, r)));

/** A kernel's name, to be broken between its parts. */
const wrapped = name => make("span", {}, ...name.split(/(?<=_)(?=[^_])/).flatMap((p, i) => i ? [make("wbr"), p] : [p]));
let byCall = false;
function kernelTable() {
  const sums = (at, extra) => {
    const sum = f => at.reduce((a, j) => a + (D.nodes[j][f] ?? 0), 0);
    const [us, predicted] = [sum("us"), sum("predicted")];
    return { at, predicted, us, ratio: us && predicted ? us / predicted : null, flops: sum("flops"), bytes: sum("bytes"), ...extra };
  };
  const all = f => D.nodes.reduce((a, n) => a + (n[f] ?? 0), 0), total = { us: all("us"), predicted: all("predicted") };
  const calls = D.nodes.flatMap((n, j) => n.kernel == null ? [] : [j]);
  const list = byCall ? calls.map((j, i) => sums([j], { name: D.kernels[D.nodes[j].kernel].name, title: D.nodes[j].title, number: i + 1, tile: D.kernels[D.nodes[j].kernel].tile, ops: opsOf(D.nodes[j]) }))
    : D.kernels.map((k, i) => { const at = calls.filter(j => D.nodes[j].kernel === i); return sums(at, { name: k.name, tile: k.tile, ops: at.length ? opsOf(D.nodes[at[0]]) : k.ops ?? [] }); });
  const first = byCall ? [["Call", k => k.number, null, "num"], ["Nodes of the model", k => k.title, k => short(k.title, 70)]] : [["Kernel", k => k.name, k => wrapped(k.name)]];
  const columns = [...first, ["Ops", k => k.ops.join(" "), k => short(k.ops.join(" "), 120)], ["Tile", k => k.tile ?? "", null, "tile"], ...(byCall ? [] : [["Calls", k => k.at.length, null, "num"]]), ["Work", k => k.flops, k => k.flops ? `${flops(k.flops)}FLOP` : "", "num"], ["Traffic", k => k.bytes, k => bytes(k.bytes), "num"]];
  columns.push(["Predicted", k => k.predicted, k => micros(k.predicted), D.measured ? "num" : "bar"]);
  if (D.measured) columns.push(["Measured", k => k.us, k => micros(k.us), "bar"]);
  const by = D.measured ? "us" : "predicted";
  columns.push(["Share", k => k[by], k => total[by] ? `${(k[by] / total[by] * 100).toFixed(1)} %` : "", "num"]);
  if (D.measured) columns.push(["Ratio", k => k.ratio, k => k.ratio == null ? "" : k.ratio >= 10 ? k.ratio.toFixed(0) : k.ratio.toFixed(2), "num"]);
  const cores = D.cores ? ` for ${D.cores} ${D.cores === 1 ? "core" : "cores"}` : "", threads = D.threads ? ` on ${D.threads} ${D.threads === 1 ? "thread" : "threads"}` : "";
  const top = lead(`${D.kernels.length} kernels`, `${calls.length} calls`, `${micros(total.predicted)} predicted${cores}`, D.measured ? `${micros(total.us)} measured${threads}` : "", D.measured && total.predicted ? `${(total.us / total.predicted).toFixed(2)} times the prediction` : "");
  const change = make("button", { class: "change", "aria-pressed": String(byCall), onclick: () => { byCall = !byCall; kernelTable(); } }, "Every call");
  top.append(change);
  table(byCall ? "calls" : "kernels", columns, list, k => k.at, top, "kernels");
}

function weightTable() {
  const user = w => w.users?.length ? label(D.nodes[w.users[0]]) : "";
  const total = D.weights.reduce((a, w) => a + w.bytes, 0);
  const columns = [["Type", w => D.slots[w.slot]], ["Bytes", w => w.bytes, w => bytes(w.bytes), "bar"], ["Used by", user, w => short(user(w), 60)], ["Node", w => w.users?.length ? D.nodes[w.users[0]].title : "", w => short(w.users?.length ? D.nodes[w.users[0]].title : "", 60)]];
  table("weights", columns, D.weights, w => w.users, lead(bytes(total), `${D.weights.length} weights`));
}

/** The arena: time to the right, addresses upwards. */
function memoryPlan() {
  const { lives, bytes: arena, without_reuse: sum } = D.arena, pane = $("memory");
  const big = lead(bytes(arena), `arena for intermediate values`, arena ? `${(arena / Math.max(1, sum) * 100).toFixed(0)} % of the ${bytes(sum)} its buffers sum up to` : "", `${lives.length} buffers`);
  if (!lives.length) return pane.replaceChildren(big, make("p", { class: "muted" }, "No intermediate value needs memory."));
  const W = Math.max(600, pane.clientWidth - 54), H = Math.max(360, Math.min(640, pane.clientHeight - 170)), L = 74, B = 34, T = 14;
  const steps = D.nodes.length, X = t => L + (W - L - 14) * t / steps, Y = b => T + (H - T - B) * (1 - b / arena);
  const svg = make("svg", { class: "memory", viewBox: `0 0 ${W} ${H}`, height: H, role: "img", "aria-label": "Memory plan" });
  for (let k = 0; k <= 4; k++) svg.append(make("line", { class: "grid", x1: L, x2: W - 14, y1: Y(arena * k / 4), y2: Y(arena * k / 4) }), make("text", { x: L - 8, y: Y(arena * k / 4) + 4, "text-anchor": "end" }, bytes(arena * k / 4)));
  const every = Math.max(1, 10 ** Math.floor(Math.log10(steps)) / 2);
  for (let t = 0; t < steps; t += every) svg.append(make("text", { x: X(t), y: H - 13 }, t === 0 ? "step 0" : Math.round(t)));
  for (const [slot, offset, size, from, to] of lives) {
    const n = D.nodes[from], x = X(from), w = Math.max(2, X(to + 1) - x - 1), y = Y(Math.min(arena, offset + size)), h = Math.max(1.5, Y(offset) - y - 0.5);
    const r = make("rect", { class: `buf ${n.family}`, x, y, width: w, height: h, rx: Math.min(2, h / 3), "data-node": from, onclick: () => select(from), ondblclick: () => go(from) });
    tip(r, `${label(n)}\n${D.slots[slot]} · ${bytes(size)} at ${bytes(offset)}\nsteps ${from} to ${to}`);
    svg.append(r);
    if (w > 90 && h > 13) svg.append(make("text", { class: "name", x: x + 5, y: y + h / 2 + 4 }, short(label(n), Math.floor(w / 7))));
  }
  const used = new Set(lives.map(l => D.nodes[l[3]].family));
  pane.replaceChildren(big, svg, make("div", { class: "legend" }, ...FAMILIES.filter(f => used.has(f[0])).map(([c, t]) => make("span", { class: c }, t)), make("span", { style: "margin-left:auto;--c:transparent" }, "time to the right, addresses upwards")));
}

function tip(e, text) {
  e.addEventListener("pointermove", p => {
    const t = $("tip");
    t.hidden = false;
    t.textContent = tame(text);
    t.style.left = `${Math.min(p.clientX + 14, innerWidth - t.offsetWidth - 8)}px`;
    t.style.top = `${Math.min(p.clientY + 16, innerHeight - t.offsetHeight - 8)}px`;
  });
  e.addEventListener("pointerleave", () => { $("tip").hidden = true; });
}

function search(text) {
  const q = text.trim().toLowerCase(), hits = $("hits");
  const found = q ? D.nodes.flatMap((n, i) => [n.title, label(n), ...opsOf(n), ...(n.parts ?? []).flat(), ...n.writes.map(s => D.slots[s]), n.kernel == null ? "" : D.kernels[n.kernel].name].some(s => s.toLowerCase().includes(q)) ? [i] : []) : [];
  const set = new Set(found);
  boxes.forEach((b, i) => { b.g.classList.toggle("hit", set.has(i)); b.g.classList.toggle("dim", q !== "" && !set.has(i)); });
  hits.hidden = q === "";
  hits.replaceChildren(make("p", {}, `${found.length} of ${D.nodes.length}`), ...found.slice(0, 40).map(i => make("button", { role: "option", onclick: () => { hits.hidden = true; go(i); } }, label(D.nodes[i]), " ", make("small", {}, D.nodes[i].title))));
  return found;
}

function start() {
  $("model").textContent = tame(D.model || "model");
  $("target").textContent = `${D.target.name} · ${D.target.cpu}`;
  const all = f => D.nodes.reduce((a, n) => a + (n[f] ?? 0), 0);
  const facts = [["Launches", D.nodes.filter(n => n.kernel != null).length], ["Kernels", D.kernels.length], ["Work", `${flops(all("flops")) || "0 "}FLOP`], ["Weights", bytes(D.weights.reduce((a, w) => a + w.bytes, 0))], ["Arena", bytes(D.arena.bytes)], ["Predicted", micros(all("predicted"))], ...(D.measured ? [["Measured", micros(all("us"))]] : []), ...D.symbols.map(([n, lo, hi]) => [n, `${lo} … ${hi ?? ""}`])];
  $("facts").append(...facts.flatMap(([k, v]) => [make("dt", {}, k), make("dd", {}, v)]));
  document.querySelector("[data-view=project]").hidden = !D.project;
  build();
  listen();
  document.querySelectorAll("#tabs button").forEach(b => b.addEventListener("click", () => show(b.dataset.view)));
  show("graph");
  fit(1, 0.7);
  // A wide graph begins below the facts.
  const above = $("facts").getBoundingClientRect(), canvas = $("canvas").getBoundingClientRect();
  view.y = Math.max(view.y, view.x < above.right - canvas.left + 20 ? above.bottom - canvas.top + 20 : 30);
  move();
  panel();
  const box = $("search");
  box.addEventListener("input", () => search(box.value));
  box.addEventListener("focus", () => { if (box.value) $("hits").hidden = false; });
  box.addEventListener("keydown", e => {
    if (e.key === "Enter") { const f = search(box.value); if (f.length) { const at = f.indexOf(chosen); go(f[(at + 1) % f.length]); $("hits").hidden = true; } }
    if (e.key === "Escape") { box.value = ""; search(""); box.blur(); }
  });
  document.addEventListener("keydown", e => { if (e.key === "/" && document.activeElement !== box) { e.preventDefault(); box.focus(); } });
  document.addEventListener("pointerdown", e => { if (!e.target.closest(".find")) $("hits").hidden = true; });
  let drag = false;
  $("grip").addEventListener("pointerdown", e => { drag = true; $("grip").setPointerCapture(e.pointerId); });
  $("grip").addEventListener("pointermove", e => { if (drag) $("panel").style.width = `${innerWidth - e.clientX}px`; });
  $("grip").addEventListener("pointerup", () => { drag = false; });
  addEventListener("resize", () => { if (!$("memory").hidden) memoryPlan(); });
}
start();
