// What was written for the chosen kernel, and the links: an op lights the parts of the kernel, of Ascend C, LLVM IR and
// assembly that were made for it; a place in any of them lights its like in the others, and its ops.
const FORMS = [["ir", "Kernel"], ["ascend", "Ascend C"], ["llvm", "LLVM IR"], ["asm", "Assembly"]];
const NAMES = Object.fromEntries(FORMS);
/** The texts that there are of a kernel, in this order. */
const formsOf = k => FORMS.filter(([f]) => D.kernels[k].forms.includes(f));
const ROW = 18;
const texts = new Map();
/** What is lit: `{op}`, or `{line, exprs, own}`: a line of the kernel, expressions of it or all (`null`), only its own code. */
let pick = null;
/** The listings on the screen. */
let listings = [];

async function unpack(text) {
  const raw = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return JSON.parse(await new Response(stream).text());
}

/** Sources of a kernel, unpacked when they are first asked for. */
async function sourcesOf(k) {
  if (!texts.has(k)) {
    const doc = await unpack(PACKED[k]);
    for (const [f] of FORMS) doc[f].lines = doc[f].text === "" ? [] : doc[f].text.split("\n");
    doc.spans = doc.ir.lines.map(() => []);
    for (let i = 0; i < doc.ir.spans.length; i += 4) {
      const [line, from, to, expr] = doc.ir.spans.slice(i, i + 4);
      doc.spans[line - 1]?.push({ from, to, expr });
    }
    doc.statement = new Map(doc.ir.statements.map((line, s) => [line, s]));
    texts.set(k, doc);
  }
  return texts.get(k);
}

/** One launch of a kernel: its sources with the launch's own ops. */
class Written {
  constructor(n, doc) {
    const origin = doc.origins[n.origin ?? -1] ?? { exprs: [], statements: [] };
    Object.assign(this, { doc, ofExpr: e => origin.exprs[e] ?? [], ofLine: l => origin.statements[doc.statement.get(l)] ?? [] });
    this.known = origin.exprs.length > 0;
    this.count = origin.exprs.length;
  }
  /** Line of the kernel and expression of line `i` of a listing; no expression is -1. */
  place(form, i) {
    const at = this.doc[form].at, expr = at[2 * i + 1];
    return [at[2 * i], this.known && expr >= this.count ? -1 : expr];
  }
  opsOfPlace([line, expr]) { return line === 0 ? [] : expr >= 0 ? this.ofExpr(expr) : this.ofLine(line); }
  /** The parts of a line of the kernel: text, its innermost expression, the ops of the innermost that has some. */
  runs(i) {
    const text = this.doc.ir.lines[i], spans = this.doc.spans[i], base = this.ofLine(i + 1);
    const owner = Array(text.length).fill(-1), ops = Array(text.length).fill(base);
    spans.forEach((s, k) => {
      const own = this.ofExpr(s.expr);
      for (let c = s.from; c < s.to; c++) { owner[c] = k; if (own.length) ops[c] = own; }
    });
    const out = [];
    for (let c = 0; c < text.length; c++) {
      const last = out[out.length - 1];
      if (last && last.span === owner[c] && last.ops === ops[c]) last.text += text[c];
      else out.push({ text: text[c], at: c, span: owner[c], ops: ops[c] });
    }
    return out;
  }
  /** Whether an expression of line `line` is meant: an expression with a name stands on a line of its own. */
  meant(line, expr) {
    return pick.exprs.has(expr) && (line === pick.line || !this.doc.statement.has(line) || !this.doc.statement.has(pick.line));
  }
  /** The lit parts of a line of the kernel, as `[from, to]`. */
  litParts(i) {
    if (!pick) return [];
    if (pick.op != null) {
      const parts = this.runs(i).filter(r => r.ops.includes(pick.op) && r.text.trim() && (r.span >= 0 || this.doc.statement.has(i + 1))).map(r => [r.at + r.text.search(/\S/), r.at + r.text.trimEnd().length]);
      // Parts with nothing but a gap between them are one.
      return parts.reduce((out, p) => {
        const last = out[out.length - 1];
        if (last && !this.doc.ir.lines[i].slice(last[1], p[0]).trim()) last[1] = p[1];
        else out.push(p);
        return out;
      }, []);
    }
    const indent = this.doc.ir.lines[i].search(/\S/);
    if (pick.exprs == null || this.nowhere()) return i + 1 === pick.line ? [[indent, this.doc.ir.lines[i].length]] : [];
    return this.doc.spans[i].filter(s => this.meant(i + 1, s.expr)).map(s => [s.from, s.to]);
  }
  /** Whether the expressions that are meant stand nowhere in the text by themselves. */
  nowhere() { return !this.doc.spans.some((list, i) => list.some(s => this.meant(i + 1, s.expr))); }
  isLit(form, i) {
    if (!pick) return false;
    if (form === "ir") return this.litParts(i).length > 0;
    const [line, expr] = this.place(form, i);
    if (line === 0) return false;
    if (pick.op != null) return this.opsOfPlace([line, expr]).includes(pick.op);
    if (pick.exprs == null) return line === pick.line && (!pick.own || expr < 0);
    return this.meant(line, expr) && (line === pick.line || !this.doc.statement.has(pick.line));
  }
  litOps() {
    if (!pick) return [];
    if (pick.op != null) return [pick.op];
    const of = pick.exprs == null ? this.ofLine(pick.line) : [...pick.exprs].flatMap(e => this.ofExpr(e));
    return [...new Set(of)];
  }
  /** Whether machine code was written for some of these expressions, at this line if it is a statement's. */
  hasCode(line, exprs) {
    const here = at => at.some((e, k) => k % 2 === 1 && e >= 0 && exprs.has(e) && (at[k - 1] === line || !this.doc.statement.has(line)));
    return ["ascend", "llvm", "asm"].some(f => here(this.doc[f].at));
  }
  /** What a click on a column of a line of a listing means. */
  choose(form, i, column) {
    if (form === "ir") {
      const spans = this.doc.spans[i], around = spans.filter(s => s.from <= column && column < s.to).reverse();
      if (!around.length) return this.doc.statement.has(i + 1) || i === 0 ? { line: i + 1, exprs: null } : null;
      const within = at => new Set(spans.filter(s => s.from >= at.from && s.to <= at.to).map(s => s.expr));
      // What is folded into what uses it (the sum in an address) has no code: the least part around it that has.
      return { line: i + 1, exprs: within(around.find(at => this.hasCode(i + 1, within(at))) ?? around[0]) };
    }
    const [line, expr] = this.place(form, i);
    return line === 0 ? null : { line, exprs: expr < 0 ? null : new Set([expr]), own: true };
  }
  /** What is known of a line, in words. */
  about(form, i, n) {
    const place = form === "ir" ? null : this.place(form, i);
    if (place && place[0] === 0) return "";
    const ops = place ? this.opsOfPlace(place) : this.ofLine(i + 1);
    const names = ops.map(o => n.parts?.[o]).filter(Boolean).map(p => p[1] ? `${p[0]} · ${p[1]}` : p[0]);
    return [place ? `kernel line ${place[0]}` : "", ...names].filter(Boolean).join("\n");
  }
}

/** A text of which only what is seen is drawn. */
function listing(pre, form, written, n) {
  const lines = written.doc[form].lines, inner = make("div", { style: `height:${lines.length * ROW + 12}px;position:relative` });
  const win = make("div", { style: "position:absolute;left:0;min-width:100%" });
  const me = { pre, form, cursor: -1, lit: [] };
  const row = i => {
    const lit = me.lit.includes(i), e = make("div", { class: "row" + (lit ? " lit" : "") + (i === me.cursor ? " at" : ""), "data-row": i, title: written.about(form, i, n) || null }, make("i", {}, i + 1));
    if (form !== "ir") { e.append(tame(lines[i])); return e; }
    const parts = written.litParts(i), on = c => parts.some(([a, b]) => a <= c && c < b);
    for (let c = 0; c < lines[i].length;) {
      let d = c + 1;
      while (d < lines[i].length && on(d) === on(c)) d++;
      e.append(on(c) ? make("mark", {}, lines[i].slice(c, d)) : tame(lines[i].slice(c, d)));
      c = d;
    }
    return e;
  };
  me.draw = () => {
    const first = Math.max(0, Math.floor(pre.scrollTop / ROW) - 20), last = Math.min(lines.length, first + Math.ceil(pre.clientHeight / ROW) + 60);
    win.style.top = `${first * ROW + 6}px`;
    const out = [];
    for (let i = first; i < last; i++) out.push(row(i));
    win.replaceChildren(...out);
  };
  me.refresh = source => {
    me.lit = [];
    for (let i = 0; pick && i < lines.length; i++) if (written.isLit(form, i)) me.lit.push(i);
    if (source !== me) me.cursor = -1;
    const seen = i => i * ROW >= pre.scrollTop && (i + 1) * ROW < pre.scrollTop + pre.clientHeight - 12;
    if (me.lit.length && source !== me && !me.lit.some(seen)) pre.scrollTop = Math.max(0, me.lit[0] * ROW - 60);
    const count = pre.parentNode.querySelector("[data-count]");
    if (count) count.textContent = pick ? `${me.lit.length.toLocaleString("en")} of ${lines.length.toLocaleString("en")} lines` : `${lines.length.toLocaleString("en")} lines`;
    me.draw();
  };
  const choose = (i, column) => { me.cursor = i; light(written.choose(form, i, column), me); };
  pre.onclick = e => {
    const r = e.target.closest("[data-row]");
    if (!r || String(getSelection())) return;
    const i = Number(r.dataset.row);
    choose(i, e.target.closest("i") ? -1 : columnAt(r, e));
  };
  pre.onkeydown = e => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[e.key];
    if (e.key === "Escape") return light(null);
    if (!by) return;
    e.preventDefault();
    const i = Math.min(lines.length - 1, Math.max(0, me.cursor + by));
    choose(i, -1);
    if ((i + 2) * ROW > pre.scrollTop + pre.clientHeight) pre.scrollTop = (i + 2) * ROW - pre.clientHeight;
    if (i * ROW < pre.scrollTop) pre.scrollTop = i * ROW;
  };
  pre.onscroll = me.draw;
  inner.append(win);
  pre.replaceChildren(inner);
  return me;
}

/** The column of a row that was clicked: letters are all of one width. */
function columnAt(row, e) {
  const range = document.createRange();
  range.selectNodeContents(row);
  range.setStartAfter(row.firstChild);
  const box = range.getBoundingClientRect(), length = row.textContent.length - row.firstChild.textContent.length;
  return length && e.clientX >= box.left ? Math.floor((e.clientX - box.left) / (box.width / length)) : -1;
}

/** Lights what `what` means, everywhere but where it was chosen (where only the marks change). */
function light(what, source) {
  pick = what;
  for (const l of listings) l.refresh(l === source ? l : undefined);
  const written = listings[0]?.written, ops = written ? written.litOps() : [];
  document.querySelectorAll("[data-part]").forEach(b => b.setAttribute("aria-pressed", ops.includes(Number(b.dataset.part))));
}

/** The ops of a launch, each to light its code. */
function chips(n) {
  if (!n.parts) return opsOf(n).map(o => make("span", { class: n.family }, o));
  return n.parts.map(([op, name, source, place], i) => {
    const codeless = !n.does.includes(i);
    const what = [name && `node ${name}`, source, place, codeless ? "leaves no code of its own in this kernel" : ""].filter(Boolean).join("\n");
    return make("button", { class: n.family, "data-part": i, "data-op": op, "aria-pressed": "false", disabled: codeless, title: what, onclick: () => light(pick?.op === i ? null : { op: i }) }, op, name || place ? make("small", {}, tail(name || place, 44)) : null);
  });
}

/** Fills listings: `places` are pairs of an element and a form. */
async function fill(places, n, still) {
  const doc = await sourcesOf(n.kernel);
  if (!still()) return;
  const written = new Written(n, doc);
  listings = places.map(([pre, form]) => Object.assign(listing(pre, form, written, n), { written }));
  light(pick);
}

/** The texts side by side. */
function codeView() {
  const pane = $("code"), launches = D.nodes.flatMap((n, i) => n.kernel == null ? [] : [i]);
  if (!launches.length) return pane.replaceChildren(make("p", { class: "empty" }, "This model runs no kernel."));
  if (chosen == null || D.nodes[chosen].kernel == null) { chosen = launches.reduce((a, i) => cost(D.nodes[i]) > cost(D.nodes[a]) ? i : a, launches[0]); mark(chosen); panel(); }
  const n = D.nodes[chosen], at = launches.indexOf(chosen), to = i => { pick = null; select(i); codeView(); };
  const choice = make("select", { "aria-label": "Kernel call", onchange: e => to(Number(e.target.value)) }, ...launches.map((i, k) => make("option", { value: i, selected: i === chosen }, `${k + 1}. ${short(label(D.nodes[i]), 44)}  ${short(D.nodes[i].title, 60)}`)));
  const step = (d, text, name) => make("button", { "aria-label": name, disabled: launches[at + d] == null, onclick: () => to(launches[at + d]) }, text);
  const head = make("div", { class: "codehead" },
    make("div", { class: "codebar" }, step(-1, "←", "Previous call"), choice, step(1, "→", "Next call"), make("span", { class: "muted" }, [micros(n.predicted) && `${micros(n.predicted)} predicted`, n.us != null && `${micros(n.us)} measured`].filter(Boolean).join(" · ")), make("button", { onclick: () => go(chosen) }, "Show in graph")),
    make("div", { class: "ops" }, ...chips(n)));
  const forms = formsOf(n.kernel);
  if (!forms.length) return pane.replaceChildren(head, make("p", { class: "empty" }, NO_SOURCES));
  const places = forms.map(([form, name]) => [make("pre", { class: "listing", "data-form": form, tabindex: 0, "aria-label": name }), form]);
  const column = ([pre, form]) => make("section", { class: "source" }, make("div", { class: "bar" }, make("b", {}, NAMES[form]), make("span", { class: "muted", "data-count": "" })), pre);
  const hint = !D.whole ? PART_OF_SOURCES : n.parts ? "Choose an op, or click in a text; the arrow keys go from line to line, Escape clears." : "This program was read from its text, which does not say what its kernels come from.";
  pane.replaceChildren(head, make("div", { class: "columns", style: `--columns:${places.length}` }, ...places.map(column)), make("p", { class: "muted hint" }, hint));
  const here = chosen;
  fill(places, n, () => chosen === here && !pane.hidden);
}
