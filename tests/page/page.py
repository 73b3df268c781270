"""Opens pages of `beiming inspect --html` in headless Chromium, from disk and offline, in light and dark: what is drawn, what the
controls do, that nothing is loaded and nothing goes wrong, hostile names among the data. Screenshots go to build/page.

page.py BEIMING CHROMIUM
"""

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build/page"
EVIL = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">'&lt;\u202e"


def network(name: str, layers: int) -> str:
    """A graph of dense layers with a residual around every two, in the IR's text."""
    lines = [f'graph "g" {{', f'  %0 = input "{name}" : f32[32, 64]', "  %1 = Constant(0) : f32[64, 64]"]
    x, n = 0, 2
    for i in range(layers):
        loc = f'@ "{name} {i}" "MatMul" "graph/node {i}"'
        lines.append(f'  %{n} = MatMul(out:"f32") %{x}, %1 : f32[32, 64] {loc}')
        lines.append(f"  %{n + 1} = Unary(Tanh) %{n} : f32[32, 64] {loc}")
        lines.append(f"  %{n + 2} = Binary(Add) %{n + 1}, %{x} : f32[32, 64] {loc}")
        lines.append(f"  %{n + 3} = Softmax(axis:1,log:false) %{n + 2} : f32[32, 64] {loc}")
        x, n = n + 3, n + 4
    lines.append(f'  output "y" %{x}')
    lines.append("  const 0 : f32[64, 64] = [" + ", ".join(["0.01"] * 4096) + "]\n}\n")
    return "\n".join(lines)


def check(page: Page, shots: str, sources: bool) -> None:
    nodes = page.evaluate("D.nodes.length")
    assert page.locator(".node").count() == nodes
    assert page.locator(".edge").count() == page.evaluate("D.edges.length") > 0
    page.screenshot(path=OUT / f"{shots}-graph.png")

    # Boxes do not overlap, folded or open.
    overlap = """() => { const at = boxes.map(b => b.at);
        return at.some((a, i) => at.some((b, j) => i < j && Math.abs(a.x - b.x) < BOX - 1 && a.y < b.y + b.h && b.y < a.y + a.h)); }"""
    assert not page.evaluate(overlap)
    page.click("#open")
    assert page.locator(".node text.op").count() == page.evaluate("D.nodes.reduce((a, n) => a + opsOf(n).length, 0)") > 0
    assert not page.evaluate(overlap)
    page.screenshot(path=OUT / f"{shots}-open.png")
    page.click("#open")
    assert page.locator(".node text.op").count() == 0

    kernel = page.evaluate("D.nodes.findIndex(n => n.family === 'product')")
    page.evaluate(f"go({kernel})")
    assert page.locator(".node.on").count() == 1
    assert page.locator("#panel h2").inner_text().startswith("matmul")
    if sources:
        page.wait_for_selector("#code .row")
        assert "kernel" in page.locator("#code .row").first.inner_text()
        page.click("#panel [data-op=tanh]")
        page.wait_for_selector("#code .row.lit")
        page.screenshot(path=OUT / f"{shots}-kernel.png")
        page.click("[data-form=llvm]")
        page.wait_for_function("document.querySelector('#code .row').textContent.includes('define')")
        page.click("[data-form=asm]")
        page.wait_for_function("document.querySelector('#lines').textContent !== ''")
    else:
        assert "keeps no sources" in page.locator("#panel").inner_text()

    page.fill("#search", "softmax")
    found = page.evaluate("D.nodes.filter(n => opsOf(n).includes('softmax')).length")
    assert page.locator(".node.hit").count() == found > 0
    page.press("#search", "Enter")
    assert "softmax" in page.locator("#panel h2").inner_text()
    page.press("#search", "Escape")
    assert page.locator(".node.hit, .node.dim").count() == 0

    before = page.evaluate("view.k")
    page.click("#in")
    assert page.evaluate("view.k") > before
    page.click("#fit")
    page.mouse.move(400, 400)
    page.mouse.wheel(0, 120)
    page.screenshot(path=OUT / f"{shots}-fit.png")

    for view, row in [("kernels", "#kernels tbody tr"), ("memory", ".memory .buf"), ("weights", "#weights tbody tr")]:
        page.click(f"#tabs [data-view={view}]")
        assert page.locator(row).count() > 0, view
        page.locator(row).first.click()
        page.screenshot(path=OUT / f"{shots}-{view}.png")
    page.click("#tabs [data-view=kernels]")
    page.click("#kernels th button >> nth=0")
    assert page.locator("#kernels th").first.get_attribute("aria-sort") == "ascending"


def main(beiming: str, chromium: str) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    pages = []
    for name, label, layers in [("plain", "dense", 6), ("hostile", EVIL, 3)]:
        escaped = label.replace("\\", "\\\\").replace('"', '\\"')
        model = OUT / f"{name}.txt"
        model.write_text(network(escaped, layers))
        html, artifact = OUT / f"{name}.html", OUT / f"{name}.bmg"
        subprocess.run([beiming, "inspect", model, "--html", html, "--measure"], check=True)
        pages.append((html, True))
        if name == "plain":
            subprocess.run([beiming, "compile", model, "-o", artifact], check=True, stdout=subprocess.DEVNULL)
            subprocess.run([beiming, "inspect", artifact, "--html", OUT / "artifact.html"], check=True)
            pages.append((OUT / "artifact.html", False))
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for html, sources in pages:
            for scheme in ["light", "dark"]:
                context = browser.new_context(color_scheme=scheme, viewport={"width": 1440, "height": 900}, offline=True)
                page = context.new_page()
                faults, loads = [], []
                page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
                page.on("pageerror", lambda e: faults.append(str(e)))
                page.on("request", lambda r: loads.append(r.url))
                page.goto(html.as_uri())
                page.wait_for_selector(".node")
                check(page, f"{html.stem}-{scheme}", sources)
                dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert (dark == "rgb(21, 24, 27)") == (scheme == "dark"), dark
                assert "\u202e" not in page.locator("body").inner_text()
                assert page.title() != "taken" and page.locator("img").count() == 0
                assert not faults, faults
                assert [u for u in loads if not u.startswith("blob:")] == [html.as_uri()], loads
                context.close()
                print(f"{html.name} in {scheme}: good")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
