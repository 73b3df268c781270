// The host code of a project for an NPU: its files, and the lines of each step of the plan.
const FIRST_STEP = D.nodes.findIndex(n => n.kind !== "input");
let hostFile = 0;

/** The node whose step a line (from 1) of host/model.cpp carries out. */
function stepOfLine(line) {
  const s = D.project.steps.findIndex(([first, behind]) => first <= line && line < behind);
  return s < 0 ? null : FIRST_STEP + s;
}

async function hostView() {
  const pane = $("project"), p = D.project;
  if (p.why) {
    return pane.replaceChildren(make("p", { class: "empty" }, `Beiming's runtime carries this plan out; no host code of its own is written for it: ${p.why.join("; ")}.`));
  }
  const now = hostFile, linked = p.paths[now] === "host/model.cpp";
  const choice = make("select", { "aria-label": "File", onchange: e => { hostFile = Number(e.target.value); hostView(); } }, ...p.paths.map((f, i) => make("option", { value: i, selected: i === now }, f)));
  const about = make("span", { class: "muted" }), pre = make("pre", { class: "listing", tabindex: 0, "aria-label": p.paths[now] });
  const back = make("button", { disabled: true, onclick: () => go(chosen) }, "Show in graph");
  const say = linked ? "Click a line to choose the step it carries out; the step that is chosen is lit." : "This file is the same for every model, or says how the project is built.";
  const lines = (await unpack(p.files[now])).trimEnd().split("\n");
  if (pane.hidden || hostFile !== now) return;
  const inner = make("div", { style: `height:${lines.length * ROW + 12}px;position:relative` }), win = make("div", { style: "position:absolute;left:0;min-width:100%" });
  const lit = () => linked && chosen != null && p.steps[chosen - FIRST_STEP] || [0, 0];
  const draw = () => {
    const first = Math.max(0, Math.floor(pre.scrollTop / ROW) - 20), last = Math.min(lines.length, first + Math.ceil(pre.clientHeight / ROW) + 60);
    win.style.top = `${first * ROW + 6}px`;
    const [a, b] = lit();
    win.replaceChildren(...lines.slice(first, last).map((l, i) => make("div", { class: "row" + (a <= first + i + 1 && first + i + 1 < b ? " lit" : ""), "data-row": first + i }, make("i", {}, first + i + 1), l)));
    back.disabled = chosen == null;
    about.textContent = chosen == null ? "" : tame(`${label(D.nodes[chosen])} · ${short(D.nodes[chosen].title, 70)}`);
  };
  pre.onscroll = draw;
  pre.onclick = e => {
    const r = e.target.closest("[data-row]"), i = r && linked && !String(getSelection()) ? stepOfLine(Number(r.dataset.row) + 1) : null;
    if (i != null) { select(i); draw(); }
  };
  inner.append(win);
  pre.replaceChildren(inner);
  pane.replaceChildren(make("div", { class: "codebar" }, choice, about, back), make("section", { class: "source" }, make("div", { class: "bar" }, make("b", {}, p.paths[now]), make("span", { class: "muted" }, `${lines.length.toLocaleString("en")} lines`)), pre), make("p", { class: "muted hint" }, say));
  const [a] = lit();
  if (a) pre.scrollTop = Math.max(0, (a - 6) * ROW);
  draw();
}
