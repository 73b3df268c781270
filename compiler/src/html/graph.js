// The graph: boxes in layers, drawn once; opening a box moves what is below it.
const UNIT = 214, BOX = 196, HEAD = 42, LINE = 15, GAP = 34;
const opened = new Set();
const view = { x: 0, y: 0, k: 1 };
const boxes = [];
const wires = [];
const heights = i => HEAD + (opened.has(i) && opsOf(D.nodes[i]).length ? opsOf(D.nodes[i]).length * LINE + 8 : 0);
let tops = [], rows = [], total = { w: 0, h: 0 };

/** Heights of the layers, and places of boxes and edges under them. */
function arrange() {
  const L = D.layout;
  rows = Array(L.layers).fill(HEAD);
  L.nodes.forEach(([l], i) => { rows[l] = Math.max(rows[l], heights(i)); });
  tops = [];
  let y = 0;
  for (const h of rows) { tops.push(y); y += h + GAP; }
  total = { w: L.width * UNIT, h: y - GAP };
  L.nodes.forEach(([l, x], i) => {
    boxes[i].at = { x: x * UNIT, y: tops[l], h: heights(i) };
    boxes[i].g.setAttribute("transform", `translate(${x * UNIT - BOX / 2} ${tops[l]})`);
  });
  D.edges.forEach(([a, b], e) => {
    const from = boxes[a].at, to = boxes[b].at, first = L.nodes[a][0];
    if (from.y >= to.y) {
      // Back around a loop.
      const out = Math.max(from.x, to.x) + BOX / 2 + 26;
      wires[e].setAttribute("d", `M${from.x + BOX / 2} ${from.y + HEAD / 2}H${out}V${to.y + HEAD / 2}H${to.x + BOX / 2}`);
      return;
    }
    let d = `M${from.x} ${from.y + from.h}`, px = from.x, py = from.y + from.h;
    const bend = (x, y) => { const m = (py + y) / 2; d += `C${px} ${m} ${x} ${m} ${x} ${y}`; px = x; py = y; };
    if (py < tops[first] + rows[first]) { py = tops[first] + rows[first]; d += `V${py}`; }
    L.edges[e].forEach((x, k) => {
      const l = first + 1 + k;
      bend(x * UNIT, tops[l]);
      py = tops[l] + rows[l];
      d += `V${py}`;
    });
    bend(to.x, to.y);
    wires[e].setAttribute("d", d);
  });
}

function drawBox(i) {
  const n = D.nodes[i], g = boxes[i].g, h = heights(i), ops = opsOf(n);
  const time = cost(n), share = time / LONGEST;
  g.setAttribute("class", `node ${n.family}` + (boxes[i].state ?? ""));
  const parts = [make("rect", { class: "box", width: BOX, height: h, rx: 6 })];
  if (share > 0) parts.push(make("rect", { class: "heat", x: 1, y: HEAD - 5, width: Math.max(2, (BOX - 2) * share), height: 4 }));
  parts.push(make("rect", { class: "mark", width: 4, height: h, rx: 2 }));
  const t = time ? micros(time) : "";
  const title = make("text", { y: 17 }, short(opened.has(i) && n.title ? n.title : label(n), 26));
  parts.push(make("svg", { x: 13, width: BOX - 19, height: HEAD }, title));
  parts.push(make("text", { x: 13, y: 32, class: "sub" }, short(resultType(n), t ? 23 : 33)));
  parts.push(make("text", { x: BOX - 8, y: 32, class: "sub time" }, t));
  const names = namesOf(n);
  if (opened.has(i)) ops.forEach((o, k) => {
    const op = short(o, 16), name = names[k] ? tail(names[k], 25 - op.length) : "";
    parts.push(make("text", { x: 13, y: HEAD + 13 + k * LINE, class: "op" }, op), make("text", { x: BOX - 8, y: HEAD + 13 + k * LINE, class: "op of" }, name));
  });
  parts.push(make("title", {}, `${n.title}${n.within ? `\nin ${n.within}` : ""}`));
  g.replaceChildren(...parts);
}

function build() {
  const world = $("world");
  wires.push(...D.edges.map(() => make("path", { class: "edge" })));
  world.append(...wires);
  D.nodes.forEach((n, i) => {
    const g = make("g", { tabindex: -1, "data-i": i });
    boxes.push({ g });
    g.addEventListener("click", () => { if (!moved) select(i); });
    g.addEventListener("dblclick", () => toggle([i]));
    world.append(g);
    drawBox(i);
  });
  arrange();
}

/** Opens or closes boxes, keeping what is in the middle of the window there. */
function toggle(list, to) {
  const keep = list.length === 1 ? list[0] : null;
  const before = keep != null ? boxes[keep].at.y : (-view.y + $("canvas").clientHeight / 2) / view.k / Math.max(1, total.h);
  for (const i of list) (to ?? !opened.has(i)) ? opened.add(i) : opened.delete(i);
  list.forEach(drawBox);
  arrange();
  if (keep != null) view.y -= (boxes[keep].at.y - before) * view.k;
  else view.y = $("canvas").clientHeight / 2 - before * total.h * view.k;
  move();
}

function move() {
  $("world").setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.k})`);
  // From afar text cannot be read: the colours of the families tell where one is.
  $("canvas").classList.toggle("far", view.k < 0.3);
}
function zoom(factor, cx, cy) {
  const k = Math.min(3, Math.max(0.02, view.k * factor)), f = k / view.k;
  Object.assign(view, { k, x: cx - (cx - view.x) * f, y: cy - (cy - view.y) * f });
  move();
}
function fit(most = 1.2, least = 0) {
  const { clientWidth: w, clientHeight: h } = $("canvas");
  view.k = Math.max(least, Math.min(most, (w - 60) / total.w, (h - 60) / total.h));
  view.x = (w - total.w * view.k) / 2;
  view.y = Math.max(30, (h - total.h * view.k) / 2);
  move();
}
/** Brings a node to the middle. */
function center(i) {
  const { clientWidth: w, clientHeight: h } = $("canvas"), at = boxes[i].at;
  view.k = Math.max(view.k, 0.75);
  view.x = w / 2 - at.x * view.k;
  view.y = h / 2 - (at.y + HEAD / 2) * view.k;
  move();
}

/** Marks the chosen node and its neighbours. */
function mark(i) {
  const near = new Set();
  D.edges.forEach(([a, b], e) => {
    const on = a === i || b === i;
    wires[e].classList.toggle("on", on);
    if (on) { near.add(a); near.add(b); wires[e].parentNode.insertBefore(wires[e], boxes[0].g); }
  });
  boxes.forEach((b, k) => { b.g.classList.toggle("on", k === i); b.g.classList.toggle("near", k !== i && near.has(k)); });
}

let moved = false;
function listen() {
  const canvas = $("canvas");
  let from = null;
  canvas.addEventListener("wheel", e => {
    e.preventDefault();
    const box = canvas.getBoundingClientRect();
    const unit = e.deltaMode ? 30 : 1;
    if (e.ctrlKey || e.metaKey) return zoom(Math.exp(-e.deltaY * unit * 0.004), e.clientX - box.left, e.clientY - box.top);
    view.x -= (e.shiftKey ? e.deltaY : e.deltaX) * unit;
    view.y -= (e.shiftKey ? 0 : e.deltaY) * unit;
    move();
  }, { passive: false });
  canvas.addEventListener("pointerdown", e => { from = { x: e.clientX - view.x, y: e.clientY - view.y, sx: e.clientX, sy: e.clientY }; moved = false; });
  window.addEventListener("pointermove", e => {
    if (!from) return;
    if (Math.abs(e.clientX - from.sx) + Math.abs(e.clientY - from.sy) > 4) { moved = true; canvas.classList.add("drag"); }
    if (moved) { view.x = e.clientX - from.x; view.y = e.clientY - from.y; move(); }
  });
  window.addEventListener("pointerup", () => { from = null; canvas.classList.remove("drag"); });
  const middle = f => zoom(f, canvas.clientWidth / 2, canvas.clientHeight / 2);
  $("in").onclick = () => middle(1.3);
  $("out").onclick = () => middle(1 / 1.3);
  $("fit").onclick = () => fit();
  $("open").onclick = () => {
    const all = $("open").getAttribute("aria-pressed") !== "true";
    $("open").setAttribute("aria-pressed", all);
    $("open").textContent = all ? "Fold all" : "Open all";
    toggle(D.nodes.map((_, i) => i), all);
  };
  canvas.addEventListener("keydown", e => {
    const step = { ArrowUp: [0, 60], ArrowDown: [0, -60], ArrowLeft: [60, 0], ArrowRight: [-60, 0] }[e.key];
    if (step) { view.x += step[0]; view.y += step[1]; move(); e.preventDefault(); }
    else if (e.key === "+") middle(1.3);
    else if (e.key === "-") middle(1 / 1.3);
    else if (e.key === "f") fit();
    else if (e.key === "o") $("open").click();
    else if (e.key === "Enter" && chosen != null) toggle([chosen]);
    else if (e.key === "c") show("code");
    else if (e.key === "n" || e.key === "p") {
      const by = e.key === "n" ? 1 : -1, i = chosen == null ? 0 : Math.min(D.nodes.length - 1, Math.max(0, chosen + by));
      select(i);
      center(i);
    }
  });
}
