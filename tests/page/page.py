"""Opens pages of `beiming inspect --html` in headless Chromium, from disk and offline, in light and dark: what is drawn, what the
controls do, that the links between ops and code are right, that nothing is loaded and nothing goes wrong. Generated networks (one
with hostile names), an artifact, a StableHLO module, and the real models at hand. Screenshots go to build/page.

page.py BEIMING CHROMIUM [NAME..]
"""

import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build/page"
MODELS = ROOT / "build/models"
EVIL = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">'&lt;\u202e"


@dataclass
class Subject:
    """A page to test."""

    name: str
    source: Path
    options: list[str] = field(default_factory=list)
    # Whether it is made of an artifact, which keeps what runs: assembly of a CPU's kernels, an NPU's Ascend C.
    artifact: bool = False
    # The text that machines take, and the one that is linked with the kernel's: of an NPU's kernels Ascend C.
    code: str = "llvm"
    # Largest size of the page in MiB, and longest time until it is drawn, in seconds: of a machine that others use too.
    size: float = 4
    seconds: float = 10


def network(name: str, layers: int) -> str:
    """A graph of dense layers with a residual around every two, in the IR's text."""
    lines = ['graph "g" {', f'  %0 = input "{name}" : f32[32, 64]', "  %1 = Constant(0) : f32[64, 64]"]
    x, n = 0, 2
    for i in range(layers):
        loc = lambda what: f'@ "{name} {i} {what}" "MatMul" "graph/node {i}"'
        lines.append(f'  %{n} = MatMul(out:"f32") %{x}, %1 : f32[32, 64] {loc("product")}')
        lines.append(f"  %{n + 1} = Unary(Tanh) %{n} : f32[32, 64] {loc('bend')}")
        lines.append(f"  %{n + 2} = Binary(Add) %{n + 1}, %{x} : f32[32, 64] {loc('sum')}")
        lines.append(f"  %{n + 3} = Softmax(axis:1,log:false) %{n + 2} : f32[32, 64] {loc('soft')}")
        x, n = n + 3, n + 4
    lines.append(f'  output "y" %{x}')
    lines.append("  const 0 : f32[64, 64] = [" + ", ".join(["0.01"] * 4096) + "]\n}\n")
    return "\n".join(lines)


def subjects(beiming: str) -> list[Subject]:
    plain, hostile, artifact, project = OUT / "plain.txt", OUT / "hostile.txt", OUT / "plain.bmg", OUT / "plain-ascend"
    plain.write_text(network("dense", 6))
    hostile.write_text(network(EVIL.replace("\\", "\\\\").replace('"', '\\"'), 3))
    subprocess.run([beiming, "compile", plain, "-o", artifact], check=True, stdout=subprocess.DEVNULL)
    npu = ["--target", "ascend910b1"]
    subprocess.run([beiming, "compile", plain, *npu, "-o", project], check=True, stdout=subprocess.DEVNULL)
    stablehlo = ROOT / "compiler/tests/stablehlo/artifacts/linalg.mlir"
    silero = ["--shape", "input:1xT", "--shape", "state:2x1x128", "--dim", "T=1..576"]
    real = [
        Subject("ppocr_cls", MODELS / "ppocr_cls.onnx", ["--shape", "x:1x3x48x192", "--measure"]),
        Subject("silero_vad", MODELS / "silero_vad.onnx", silero),
        Subject("mobilenet_v2", MODELS / "mobilenet_v2.script.onnx", ["--measure"]),
        Subject("minilm", MODELS / "minilm.script.onnx", ["--measure"]),
        Subject("minilm-kunpeng920", MODELS / "minilm.script.onnx", ["--target", "kunpeng920"]),
        Subject("minilm-ascend910b1", MODELS / "minilm.script.onnx", npu, code="ascend"),
        Subject("bert_base", MODELS / "bert_base.script.onnx"),
        Subject("gpt2_prefill", MODELS / "gpt2_prefill.script.onnx"),
    ]
    for s in real:
        if not s.source.exists():
            print(f"not tested, since {s.source.name} is not here (make setup, make models): {s.name}")
    return [
        Subject("plain", plain, ["--measure"]),
        Subject("hostile", hostile, ["--measure"]),
        Subject("artifact", artifact, artifact=True, code="asm"),
        Subject("ascend", plain, npu, code="ascend"),
        Subject("ascend-hostile", hostile, npu, code="ascend"),
        Subject("ascend-artifact", project / "plain.bmg", artifact=True, code="ascend"),
        Subject("stablehlo", stablehlo, ["--measure"]),
        *[s for s in real if s.source.exists()],
    ]


def fits(page: Page, what: str) -> None:
    """Nothing sticks out of the window, and no box of the header lies over another."""
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], (what, width)
    over = page.evaluate("""() => { const b = [...document.querySelectorAll('header > *')].map(e => e.getBoundingClientRect()).filter(b => b.width);
        return b.some((x, i) => b.some((y, j) => i < j && x.left < y.right - 1 && y.left < x.right - 1 && x.top < y.bottom && y.top < x.bottom)); }""")
    assert not over, f"{what}: the header's parts overlap"


def contrast(page: Page) -> None:
    """Text can be read (WCAG 2, level AA): 4.5 to 1 on every ground it stands on."""
    worst = page.evaluate("""() => {
        const style = getComputedStyle(document.documentElement), of = name => { const e = document.createElement('i'); e.style.color = style.getPropertyValue(name); document.body.append(e); const c = getComputedStyle(e).color.match(/[\\d.]+/g).map(Number); e.remove(); return c; };
        const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const pairs = ['--ink', '--soft', '--faint', '--accent'].flatMap(f => ['--paper', '--card', '--code'].map(g => [f, g])).concat([['--ink', '--hit'], ['--ink', '--hit-line'], ['--faint', '--hit-line'], ['--accent', '--accent-soft']]);
        return pairs.map(([f, g]) => { const [a, b] = [light(of(f)), light(of(g))].sort((x, y) => y - x); return [(a + 0.05) / (b + 0.05), f, g]; }).sort((x, y) => x[0] - y[0])[0]; }""")
    assert worst[0] >= 4.5, worst


def graph(page: Page, shots: str) -> None:
    nodes = page.evaluate("D.nodes.length")
    assert page.locator(".node").count() == nodes
    assert page.locator(".edge").count() == page.evaluate("D.edges.length") > 0
    page.screenshot(path=OUT / f"{shots}-graph.png")

    # Boxes do not overlap, folded or open.
    overlap = """() => { const at = boxes.map(b => b.at);
        return at.some((a, i) => at.some((b, j) => i < j && Math.abs(a.x - b.x) < BOX - 1 && a.y < b.y + b.h && b.y < a.y + a.h)); }"""
    assert not page.evaluate(overlap)
    page.click("#open")
    assert page.locator(".node text.op:not(.of)").count() == page.evaluate("D.nodes.reduce((a, n) => a + opsOf(n).length, 0)") > 0
    assert not page.evaluate(overlap)
    page.screenshot(path=OUT / f"{shots}-open.png")
    page.click("#open")
    assert page.locator(".node text.op").count() == 0

    before = page.evaluate("view.k")
    page.click("#in")
    assert page.evaluate("view.k") > before
    page.click("#fit")
    assert page.evaluate("total.h * view.k <= $('canvas').clientHeight && total.w * view.k <= $('canvas').clientWidth")
    page.mouse.move(400, 400)
    page.keyboard.down("Control")
    before = page.evaluate("view.k")
    page.mouse.wheel(0, -120)
    page.keyboard.up("Control")
    until(page, f"view.k > {before}")
    page.screenshot(path=OUT / f"{shots}-fit.png")


def keyboard(page: Page) -> None:
    """Everything without a pointer: choosing, folding, moving, the code."""
    page.evaluate("show('graph')")
    page.focus("#canvas")
    page.evaluate("select(0)")
    page.keyboard.press("n")
    assert page.evaluate("chosen") == 1 and page.locator(".node.on").count() == 1
    page.keyboard.press("Enter")
    assert page.evaluate("opened.has(1)")
    page.keyboard.press("Enter")
    assert not page.evaluate("opened.has(1)")
    page.keyboard.press("p")
    assert page.evaluate("chosen") == 0
    x = page.evaluate("view.x")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("view.x") > x
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Escape")
    # Every view can be reached, and what has the focus can be seen.
    page.focus("#tabs button >> nth=0")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#kernels").is_visible()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.evaluate("show('graph')")


def search(page: Page) -> None:
    op = page.evaluate("opsOf(D.nodes.find(n => n.kernel != null && opsOf(n).length)).at(-1)")
    page.fill("#search", op)
    hits = page.locator(".node.hit").count()
    assert hits >= page.evaluate(f"D.nodes.filter(n => opsOf(n).includes({op!r})).length") > 0
    page.press("#search", "Enter")
    assert page.evaluate("boxes[chosen].g.classList.contains('hit')")
    page.fill("#search", "no such thing anywhere")
    assert page.locator(".node.hit").count() == 0 and "0 of" in page.locator("#hits").inner_text()
    page.press("#search", "Escape")
    assert page.locator(".node.hit, .node.dim").count() == 0


def tables(page: Page, shots: str, measured: bool) -> None:
    page.click("#tabs [data-view=kernels]")
    fits(page, "kernels")
    page.screenshot(path=OUT / f"{shots}-kernels.png")
    titles = page.locator("#kernels th").all_inner_texts()
    assert any("Predicted" in t for t in titles) and any("Share" in t for t in titles)
    assert any("Ratio" in t for t in titles) == measured
    for c in range(len(titles)):
        page.locator("#kernels th button").nth(c).click()
        first = page.locator("#kernels th").nth(c).get_attribute("aria-sort")
        page.locator("#kernels th button").nth(c).click()
        assert {first, page.locator("#kernels th").nth(c).get_attribute("aria-sort")} == {"ascending", "descending"}
    by_kernel = page.locator("#kernels tbody tr").count()
    page.click("#kernels .change")
    calls = page.locator("#kernels tbody tr").count()
    assert calls == page.evaluate("D.nodes.filter(n => n.kernel != null).length") >= by_kernel
    page.locator("#kernels tbody tr").first.click()
    assert page.locator("#kernels tbody tr.on").count() == 1
    page.click("#kernels .change")

    page.click("#tabs [data-view=memory]")
    fits(page, "memory")
    if page.evaluate("D.arena.lives.length"):
        page.locator(".memory .buf").first.hover()
        assert "steps" in page.locator("#tip").inner_text()
        page.locator(".memory .buf").first.click()
        assert page.locator(".memory .buf.on").count() > 0
    else:
        assert "No intermediate value" in page.locator("#memory").inner_text()
    page.screenshot(path=OUT / f"{shots}-memory.png")
    page.click("#tabs [data-view=weights]")
    fits(page, "weights")
    page.screenshot(path=OUT / f"{shots}-weights.png")


def until(page: Page, condition: str) -> None:
    """Waits for a condition. Playwright's own wait compiles it inside the page, which the page's security policy forbids."""
    for _ in range(1000):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(10)
    raise AssertionError(f"not within ten seconds: {condition}")


LISTED = "document.querySelectorAll('#code pre .row').length > 0"
LIT = "form => listings.find(l => l.form === form).lit.length"


def links(page: Page, shots: str, code: str) -> None:
    """From ops to lines and back."""
    machine = {"llvm": "asm"}.get(code, code)
    assert page.evaluate("D.nodes.every(n => n.kernel == null || n.parts.length > 0)")
    # The call with the most ops that have code.
    page.evaluate("""code => { const size = n => n.kernel != null && D.kernels[n.kernel].forms.includes(code) ? n.does.length : 0;
        select(D.nodes.reduce((a, n, i) => size(n) > size(D.nodes[a]) ? i : a, 0)); }""", code)
    page.click("#tabs [data-view=code]")
    until(page, LISTED)
    fits(page, "code")
    does = page.evaluate("D.nodes[chosen].does")
    silent = []
    for part in does:
        page.click(f"#code [data-part='{part}']")
        assert page.locator("#code [data-part][aria-pressed=true]").count() == 1
        if not all(page.evaluate(LIT, form) for form in ["ir", code]):
            silent.append(part)
        page.click(f"#code [data-part='{part}']")
    # LLVM may find nothing to do for an op (a cast to the same bits); not for most.
    assert len(silent) * 3 <= len(does), (silent, page.evaluate("D.nodes[chosen].parts"))
    part = next(p for p in does if p not in silent)
    page.click(f"#code [data-part='{part}']")
    assert page.locator("#code pre[data-form=ir] mark").count() > 0
    page.screenshot(path=OUT / f"{shots}-code.png")

    # Every line of code that an op lights names that op, and a click on it goes back to the same place of the kernel.
    back = page.evaluate("""([part, code]) => { const w = listings[0].written, l = listings.find(l => l.form === code);
        return l.lit.map(i => { const place = w.place(code, i); return w.opsOfPlace(place).includes(part) && place[0] <= w.doc.ir.lines.length; }); }""", [part, code])
    assert back and all(back)
    page.locator(f"#code pre[data-form={code}] .row.lit").first.click()
    place = page.evaluate("code => { const l = listings.find(l => l.form === code); return l.written.place(code, l.cursor); }", code)
    assert page.evaluate("pick.line") == place[0]
    lit = page.evaluate("listings.find(l => l.form === 'ir').lit.map(i => i + 1)")
    assert place[0] in lit or page.evaluate("listings[0].written.nowhere()") or lit, (place, lit)
    assert page.locator("#code [data-part][aria-pressed=true]").count() >= 1
    # And from the kernel's text.
    page.locator("#code pre[data-form=ir] mark").first.click()
    assert page.evaluate("pick.line") - 1 == page.evaluate("listings.find(l => l.form === 'ir').cursor")
    assert page.evaluate(LIT, "ir") > 0
    written = page.evaluate("pick.exprs != null && listings[0].written.hasCode(pick.line, pick.exprs)")
    assert not written or page.evaluate(LIT, code) + page.evaluate(LIT, machine) > 0
    # Line by line with the keyboard; Escape clears.
    page.focus(f"#code pre[data-form={machine}]")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    assert page.locator(f"#code pre[data-form={machine}] .row.at").count() == 1
    page.keyboard.press("Escape")
    assert page.evaluate("pick") is None and page.locator("#code .row.lit").count() == 0
    page.click("#code [aria-label='Next call'], #code [aria-label='Previous call']:not([disabled])")
    until(page, LISTED)


def exact(page: Page) -> None:
    """The generated network: what each line comes from is known beforehand."""
    page.evaluate("select(D.nodes.findIndex(n => n.family === 'product'))")
    page.evaluate("show('code')")
    until(page, LISTED)
    page.click("#code [data-op=tanh]")
    marks = page.locator("#code pre[data-form=ir] mark").all_inner_texts()
    assert marks and all("tanh(" in m or m in ("(", ")") for m in marks), marks
    assert "bend" in page.locator("#code [data-op=tanh]").inner_text()
    lit = page.evaluate("form => { const l = listings.find(l => l.form === form), w = l.written; return l.lit.map(i => w.doc[form].lines[i]); }", "llvm")
    # tanh is written with exponentials: no product of matrices, no store.
    assert lit and not any("store" in line for line in lit), lit
    page.click("#code [data-op=matmul]")
    mma = page.evaluate("listings[0].written.doc.ir.lines.findIndex(l => l.includes('mma'))")
    assert mma >= 0 and mma in page.evaluate("listings.find(l => l.form === 'ir').lit")
    sums = page.evaluate("""mma => { const l = listings.find(l => l.form === 'asm'), w = l.written, lit = new Set(l.lit);
        const of = w.doc.asm.lines.map((t, i) => [t, i]).filter(([t, i]) => /\\tv?fm(add|la)/.test(t) && w.place('asm', i)[0] === mma + 1);
        return [of.length, of.filter(([, i]) => lit.has(i)).length]; }""", mma)
    assert sums[0] == sums[1] > 0, sums


def exact_ascend(page: Page) -> None:
    """The same for an NPU: an op is an instruction of its unit."""
    for op, name in [("tanh", "Div("), ("matmul", "Mmad(")]:
        page.evaluate("show('code')")
        # Of a group that became two kernels the one that the op is written in.
        page.evaluate("""op => { const written = n => n.kernel != null && D.kernels[n.kernel].device && n.does.some(i => n.parts[i][0] === op);
            select(D.nodes.findIndex(written)); codeView(); }""", op)
        until(page, LISTED)
        page.click(f"#code [data-op={op}]")
        lit = page.evaluate("(() => { const l = listings.find(l => l.form === 'ascend'), w = l.written; return l.lit.map(i => w.doc.ascend.lines[i]); })()")
        assert any(name in line for line in lit), (op, lit)
        assert not any("GlobalTensor" in line or "#include" in line for line in lit), lit


def host_code(page: Page, shots: str) -> None:
    """The project's host code: steps to lines and back."""
    page.evaluate("select(D.nodes.findIndex(n => n.kernel != null && D.kernels[n.kernel].device))")
    page.click("#tabs [data-view=project]")
    fits(page, "host code")
    page.wait_for_selector("#project .row, #project .empty")
    if page.evaluate("D.project.why != null"):
        assert "runtime carries this plan out" in page.locator("#project").inner_text()
        return
    name = page.evaluate("D.kernels[D.nodes[chosen].kernel].name")
    lit = page.locator("#project .row.lit").all_inner_texts()
    assert any("device.launch" in line and name in line for line in lit), lit
    page.screenshot(path=OUT / f"{shots}-host.png")
    page.locator("#project .row", has_text="device.to_").last.click()
    assert page.evaluate("D.nodes[chosen].kind") == "step"
    page.select_option("#project select", label="CMakeLists.txt")
    until(page, "document.querySelector('#project .bar b')?.textContent === 'CMakeLists.txt'")
    assert "cmake_minimum_required" in page.locator("#project pre").inner_text()
    page.select_option("#project select", label="host/model.cpp")
    page.evaluate("show('graph')")


def panel(page: Page, s: Subject) -> None:
    page.evaluate("code => go(D.nodes.findIndex(n => n.kernel != null && D.kernels[n.kernel].forms.includes(code)))", s.code)
    assert page.locator(".node.on").count() == 1
    page.wait_for_selector("#panel pre .row")
    if s.artifact:
        assert "beiming inspect MODEL --html" in page.locator("#panel").inner_text()
        page.click("#tabs [data-view=code]")
        until(page, LISTED)
        assert "beiming inspect MODEL --html" in page.locator("#code").inner_text()
        text = page.locator(f"#code pre[data-form={s.code}]").inner_text()
        assert ("#include" if s.code == "ascend" else "ret") in page.evaluate("code => texts.get(D.nodes[chosen].kernel)[code].text", s.code), text
        page.screenshot(path=OUT / f"{s.name}-code.png")
        page.evaluate("show('graph')")
        return
    assert "kernel" in page.locator("#panel pre .row").first.inner_text()
    page.click(f"#panel [data-tab={s.code}]")
    first = {"llvm": "define", "ascend": "// "}[s.code]
    until(page, f"document.querySelector('#panel pre .row')?.textContent.includes({first!r})")
    assert page.locator("#panel [aria-selected=true]").all_inner_texts() == [{"llvm": "LLVM IR", "ascend": "Ascend C"}[s.code]]
    page.click("#panel [data-tab=ir]")
    until(page, "document.querySelector('#panel pre .row')?.textContent.includes('kernel')")


def views(page: Page, shots: str) -> None:
    """Every view as it is drawn: what the controls do does not depend on colours."""
    page.screenshot(path=OUT / f"{shots}-graph.png")
    page.evaluate("select(D.nodes.reduce((a, n, i) => n.kernel != null && cost(n) > cost(D.nodes[a]) ? i : a, D.nodes.findIndex(n => n.kernel != null)))")
    for view in page.evaluate("VIEWS_OF.filter(v => v !== 'graph' && (v !== 'project' || D.project))"):
        page.click(f"#tabs [data-view={view}]")
        if view == "code":
            until(page, LISTED)
            part = page.locator("#code [data-part]:not([disabled])")
            if part.count():
                part.first.click()
        if view == "project":
            page.wait_for_selector("#project .row, #project .empty")
        contrast(page)
        page.screenshot(path=OUT / f"{shots}-{view}.png")
    page.evaluate("show('graph')")


def check(browser: Browser, s: Subject, html: Path, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1440, "height": 900}, offline=True)
    page = context.new_page()
    faults, loads = [], []
    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: faults.append(str(e)))
    page.on("request", lambda r: loads.append(r.url))
    start = time.perf_counter()
    page.goto(html.as_uri())
    page.wait_for_selector(".node")
    seconds = time.perf_counter() - start
    assert seconds < s.seconds, f"{seconds:.1f} s until the page is drawn"
    shots = f"{s.name}-{scheme}"
    fits(page, "graph")
    contrast(page)
    if scheme == "light":
        graph(page, shots)
        panel(page, s)
        keyboard(page)
        search(page)
        tables(page, shots, "--measure" in s.options)
        if not s.artifact:
            links(page, shots, s.code)
        if s.name == "plain":
            exact(page)
        if s.name == "ascend":
            exact_ascend(page)
        if s.code == "ascend" and not s.artifact:
            host_code(page, shots)
        else:
            assert not page.locator("#tabs [data-view=project]").is_visible()
    else:
        views(page, shots)
    for width in (1000, 700):
        page.set_viewport_size({"width": width, "height": 800})
        for view in page.evaluate("VIEWS_OF.filter(v => v !== 'project' || D.project)"):
            page.click(f"#tabs [data-view={view}]")
            fits(page, f"{view} at {width}")
            if width == 700:
                page.screenshot(path=OUT / f"{shots}-narrow-{view}.png")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(21, 24, 27)") == (scheme == "dark"), dark
    assert "\u202e" not in page.locator("body").inner_text()
    assert page.title() != "taken" and page.locator("img").count() == 0
    assert not faults, faults
    assert [u for u in loads if not u.startswith("blob:")] == [html.as_uri()], loads
    nodes = page.evaluate("D.nodes.length")
    context.close()
    size, took = html.stat().st_size / 2**20, time.perf_counter() - start
    print(f"{s.name} in {scheme}: good; {nodes} boxes, {size:.1f} MiB, drawn after {seconds:.1f} s, checked in {took:.1f} s", flush=True)


def main(beiming: str, chromium: str, *names: str) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    pages = []
    for s in subjects(beiming):
        if names and s.name not in names:
            continue
        html = OUT / f"{s.name}.html"
        subprocess.run([beiming, "inspect", s.source, "--html", html, *s.options], check=True)
        assert html.stat().st_size < s.size * 2**20, f"{html}: {html.stat().st_size} bytes"
        pages.append((s, html))
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for s, html in pages:
            for scheme in ["light", "dark"]:
                try:
                    check(browser, s, html, scheme)
                except Exception:
                    print(f"{s.name} in {scheme}:", flush=True)
                    raise
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
