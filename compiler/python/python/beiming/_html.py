"""Artifacts and comparisons in a notebook: a picture of the groups that became kernels, and tables. It has no script and loads nothing."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._artifact import Artifact
    from ._debug import Comparison, ValueDifference

# Bars that are drawn; the rest is counted.
SHOWN = 60

_STYLE = """
<style>
.bm { font: 13px/1.45 system-ui, sans-serif; color: CanvasText; max-width: 1100px; }
.bm h4 { margin: 2px 0 6px; font-size: 15px; }
.bm table { border-collapse: collapse; margin: 4px 0 10px; }
.bm th, .bm td { text-align: left !important; padding: 1px 12px 1px 0; vertical-align: top; font-variant-numeric: tabular-nums; }
.bm th { font-weight: 600; border-bottom: 1px solid color-mix(in srgb, currentColor 35%, transparent); }
.bm td.n, .bm th.n { text-align: right !important; }
.bm code { font-size: 12px; }
.bm .c { max-width: 420px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bm summary { cursor: pointer; font-weight: 600; margin: 4px 0; }
.bm .scroll { max-height: 340px; overflow: auto; }
.bm text { fill: CanvasText; }
</style>
"""

# What a group's time goes to.
_COLOURS = {"compute": "#3b7dd8", "memory": "#d9822b", "launch": "#8a8f98", "free": "#5aa469"}


def _bytes(n: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.2f} GiB"


def _table(head: list[str], rows: list[list[Any]]) -> str:
    def cell(tag: str, v: Any) -> str:
        number = isinstance(v, (int, float)) or (tag == "th" and v in _NUMBERS)
        text = f"{v:,.2f}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else str(v)
        return f'<{tag} class="{"n" if number else "c"}" title="{escape(text)}">{escape(text)}</{tag}>'

    body = "".join("<tr>" + "".join(cell("td", v) for v in r) + "</tr>" for r in rows)
    return "<table><tr>" + "".join(cell("th", h) for h in head) + f"</tr>{body}</table>"


_NUMBERS = {"calls", "scratch bytes", "predicted us", "seconds", "different", "elements"}


def _picture(groups: list[dict[str, Any]]) -> str:
    """One bar a group, from top to bottom in the order of execution, as long as its predicted time."""
    timed = [g for g in groups if g["predicted_us"] > 0]
    longest = max((g["predicted_us"] for g in timed), default=0.0)
    if not timed:
        return ""
    rows = []
    for i, g in enumerate(timed[:SHOWN]):
        y, width = i * 18, max(2.0, g["predicted_us"] / longest * 330)
        colour = _COLOURS.get(g["bound"], "#888")
        ops = g["ops"]
        label = " + ".join(ops[:6]) + (f" + {len(ops) - 6} more" if len(ops) > 6 else "")
        title = escape(f"{g['nodes']}: {g['predicted_us']:.2f} us, bound by {g['bound']}; {', '.join(g['results'])}")
        rows.append(
            f'<g><title>{title}</title><rect x="0" y="{y}" width="{width:.1f}" height="14" rx="2" fill="{colour}"/>'
            f'<text x="340" y="{y + 11}" font-size="11">{g["predicted_us"]:.1f} us</text>'
            f'<text x="410" y="{y + 11}" font-size="11">{escape(label[:110])}</text></g>'
        )
    height = len(rows) * 18 + 4
    legend = " ".join(f'<span style="color:{c}">&#9632;</span> {n}' for n, c in _COLOURS.items())
    more = f"<div>and {len(timed) - SHOWN} more groups</div>" if len(timed) > SHOWN else ""
    return (
        f"<div>predicted time of each group, bound by: {legend}</div>"
        f'<div class="scroll"><svg width="1060" height="{height}" role="img" aria-label="groups in order">{"".join(rows)}</svg></div>{more}'
    )


def artifact_html(a: "Artifact") -> str:
    """An artifact with its ports, its groups and its kernels."""
    report, summary = a.report, a.summary
    optimizer, arena = report.get("optimizer", {}), report.get("arena", {})
    port_rows = [
        [kind, p.name, p.dtype, "[" + ", ".join(map(str, p.shape)) + "]"]
        for kind, list_ in (("input", a.inputs), ("output", a.outputs))
        for p in list_
    ]
    kernels = a.kernels
    kernel_rows: list[list[Any]] = [
        [k.name, k.calls, " x ".join(map(str, k.grid)), k.scratch_bytes, ", ".join(k.buffers)] for k in kernels[:400]
    ]
    facts = [
        f"{optimizer.get('nodes_before', '?')} nodes became {optimizer.get('nodes_after', '?')} groups and {len(kernels)} kernels",
        f"file {_bytes(a.nbytes)}",
        f"memory for intermediate values {_bytes(arena.get('bytes', 0))} ({_bytes(arena.get('without_reuse', 0))} without reuse)",
    ]
    if summary.get("seconds") is not None:
        facts.append(f"compiled in {summary['seconds']:.2f} s")
    return (
        f'<div class="bm">{_STYLE}<h4>{escape(a.name)} for {escape(a.target)}</h4><div>{escape("; ".join(facts))}</div>'
        + _table(["", "name", "type", "shape"], port_rows)
        + _picture(report.get("groups", []))
        + f'<details><summary>{len(kernels)} kernels</summary><div class="scroll">'
        + _table(["kernel", "calls", "grid", "scratch bytes", "buffers"], kernel_rows)
        + "</div></details></div>"
    )


def comparison_html(c: "Comparison") -> str:
    """A comparison: its results, and the values between the ops."""
    def row(v: "ValueDifference") -> list[Any]:
        first = f"{list(v.first[0])}: {v.first[1]}, expected {v.first[2]}" if v.first else (v.problem or "")
        op = f"{v.op.type} {v.op.name}" if v.op else ""
        return [v.verdict, v.value, op, v.different, v.elements, f"{v.max_abs:.3g}", f"{v.max_error:.3g}", first]

    head = ["", "value", "op", "different", "elements", "largest", "of what is allowed", "first"]
    text = "all values agree" if c.agrees else "values differ"
    layers = ""
    if c.layers:
        opened = "" if c.agrees else " open"
        layers = f'<details{opened}><summary>{len(c.layers)} values between the ops</summary><div class="scroll">'
        layers += _table(head, [row(v) for v in c.layers]) + "</div></details>"
    return (
        f'<div class="bm">{_STYLE}<h4>against {escape(c.against)}: {text}</h4>'
        + _table(head, [row(v) for v in c.results])
        + layers
        + "</div>"
    )
