"use strict";
// The data, and small helpers. Text from the model enters the document through `textContent` only.
const D = JSON.parse(document.getElementById("data").textContent);
const PACKED = JSON.parse(document.getElementById("sources").textContent);
const $ = id => document.getElementById(id);

/** Text without characters that would do something to what stands around it: controls, and changes of direction. */
const tame = s => String(s).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

/** An element with attributes, and children that are elements or text. */
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "rect", "path", "text", "line", "title"].includes(tag);
  const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) {
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (v === true) e.setAttribute(k, "");
    else if (v !== false && v != null) e.setAttribute(k, v);
  }
  e.append(...children.filter(c => c != null).map(c => c instanceof Node ? c : tame(c)));
  return e;
}

const scaled = (n, units, step) => {
  let i = 0;
  while (n >= step && i < units.length - 1) { n /= step; i++; }
  return `${n >= 100 || i === 0 ? Math.round(n) : n.toPrecision(3)} ${units[i]}`;
};
const bytes = n => n == null ? "" : scaled(n, ["B", "KiB", "MiB", "GiB"], 1024);
const flops = n => n ? scaled(n, ["", "k", "M", "G", "T"], 1000) : "";
const micros = n => n == null ? "" : n >= 1000 ? `${(n / 1000).toPrecision(3)} ms` : `${n >= 100 ? Math.round(n) : n.toPrecision(2)} µs`;
const tail = (s, n) => s.length > n ? "…" + s.slice(1 - n) : s;
const short = (s, n) => s.length > n ? s.slice(0, n - 1) + "…" : s;

/** What a node is made of: the ops of its group or of its kernel. */
const groupOf = n => n.group == null ? null : D.groups[n.group];
const opsOf = n => n.does?.length ? n.does.map(i => n.parts[i][0]) : (n.kernel != null && D.kernels[n.kernel].ops) || groupOf(n)?.ops || [];
/** The same with the names of the model's nodes, where they are known. */
const namesOf = n => n.does?.length ? n.does.map(i => n.parts[i][1] || n.parts[i][3]) : [];
const ANCHORS = ["matmul", "conv", "conv_transpose", "lstm", "gru"];
const NORMS = /^(reduce_|softmax|log_softmax|layer_norm|rms_norm|pool|argm|cumulative|max_pool|average_pool)/;
const VIEWS = /^(reshape|transpose|broadcast|slice|dynamic_slice|pad|concat|reverse|gather|cast|bitcast|copy|constant)/;

/** The family of a node, which is its colour. */
function family(n) {
  if (n.kind === "input" || n.kind === "output") return "io";
  if (n.kind === "host") return "host";
  if (n.kind === "step") return "move";
  const ops = opsOf(n);
  const name = D.kernels[n.kernel].name;
  if (ops.some(o => ANCHORS.includes(o)) || !ops.length && ANCHORS.some(a => name.startsWith(a))) return "product";
  if (ops.some(o => NORMS.test(o))) return "norm";
  return ops.length && ops.every(o => VIEWS.test(o)) ? "move" : "map";
}
const FAMILIES = [["product", "Products and convolutions"], ["norm", "Reductions and norms"], ["map", "Elementwise"], ["move", "Data movement"], ["host", "Runtime algorithms"], ["io", "Inputs and outputs"]];

/** What a box says: its ops, the one that matters first, and its name in the model below. */
function label(n) {
  if (n.kind !== "kernel") return n.title || n.kind;
  const ops = opsOf(n);
  if (!ops.length) return D.kernels[n.kernel].name;
  const anchor = ops.find(o => ANCHORS.includes(o) || NORMS.test(o)) ?? ops.find(o => !VIEWS.test(o)) ?? ops[0];
  const rest = ops.filter(o => o !== anchor && !VIEWS.test(o));
  return [anchor, ...rest].join(" · ");
}
const resultType = n => n.writes.length ? D.slots[n.writes[0]] : n.reads.length ? D.slots[n.reads[0]] : "";

// A group may have several launches: its prediction is shared by their bytes and work.
for (const n of D.nodes) n.family = family(n);
const members = new Map();
D.nodes.forEach((n, i) => { if (n.group != null) members.set(n.group, [...members.get(n.group) ?? [], i]); });
for (const [g, list] of members) {
  const weight = i => D.nodes[i].flops + D.nodes[i].bytes + 1;
  const sum = list.reduce((a, i) => a + weight(i), 0);
  for (const i of list) D.nodes[i].predicted = D.groups[g].predicted_us * weight(i) / sum;
}
const cost = n => D.measured ? n.us ?? 0 : n.predicted ?? 0;
const LONGEST = Math.max(1e-9, ...D.nodes.map(cost));
