"""make demo: PP-OCRv4 compiled for this machine and for Kunpeng 920 reads a picture; every model at hand is held against
onnxruntime. Kunpeng code runs under qemu: its results count, its time does not."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/demo"), str(ROOT / "tests/models"), str(ROOT / "tests/bench")]
import against_onnxruntime as bench  # noqa: E402
import inputs as model_inputs  # noqa: E402
import real  # noqa: E402
from ocr import Reader, dictionary  # noqa: E402

MODELS = ROOT / "build/models"
CROSS = ROOT / "target/cross/aarch64-unknown-linux-gnu/release/beiming"
QEMU = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", str(CROSS)]
# The whole set takes minutes; the demo shows these, `make bench` shows all.
SHOWN = ["ppocr_det", "ppocr_rec", "ppocr_cls", "silero_vad", "magika", "nudenet"]


class Compiled:
    """A compiled network, called as a function of its first input."""

    def __init__(self, command: list[str], artifact: Path, folder: Path, input_name: str):
        self.command, self.artifact, self.folder, self.input = command, artifact, folder, input_name

    def __call__(self, x: np.ndarray) -> np.ndarray:
        feed, got = self.folder / "call.npz", self.folder / "result.npz"
        np.savez(feed, **{self.input: x})
        command = [*self.command, "run", str(self.artifact), "--inputs", str(feed), "--outputs", str(got)]
        subprocess.run(command, check=True, capture_output=True)
        with np.load(got) as out:
            return out[out.files[0]]


def reader(run_with: list[str], target: str, folder: Path) -> Reader:
    table, nets = model_inputs.table(), []
    for name in ("ppocr_det", "ppocr_cls", "ppocr_rec"):
        artifact = folder / f"{name}.{target}.bmg"
        bench.compile_model(MODELS / table[name]["file"], table[name], artifact, target)
        nets.append(Compiled(run_with, artifact, folder, "x"))
    return Reader(nets[0], nets[1], nets[2], dictionary(str(MODELS / "ppocr_rec.onnx")))


def onnxruntime_reader() -> Reader:
    def net(name):
        session = bench.session(MODELS / f"{name}.onnx", 1)
        return lambda x: session.run(None, {"x": x})[0]

    return Reader(net("ppocr_det"), net("ppocr_cls"), net("ppocr_rec"), dictionary(str(MODELS / "ppocr_rec.onnx")))


def read_picture(folder: Path) -> None:
    image = real.page()
    want = onnxruntime_reader().read(image)
    readers = {"this machine": ([str(bench.BEIMING)], "host"), "Kunpeng 920 (qemu)": (QEMU, "kunpeng920")}
    for where, (command, target) in readers.items():
        start = time.perf_counter()
        got = reader(command, target, folder).read(image)
        print(f"read on {where} in {time.perf_counter() - start:.1f} s, compilation included:")
        for line in got:
            print(f"    {line}")
        if got != want:
            sys.exit(f"onnxruntime reads otherwise: {want}")
    print("onnxruntime reads the same.\n")


def row_for_kunpeng(name: str, entry: dict, folder: Path) -> str:
    model, artifact, feed_file = MODELS / entry["file"], folder / "k.bmg", folder / "k.npz"
    seconds = bench.compile_model(model, entry, artifact, "kunpeng920")
    session = bench.session(model, 1)
    feed = model_inputs.make(entry, session)
    np.savez(feed_file, **feed)
    got_file = folder / "k_got.npz"
    subprocess.run([*QEMU, "run", str(artifact), "--inputs", str(feed_file), "--outputs", str(got_file)], check=True)
    error = bench.compare(np.load(got_file), session.run(None, feed), [o.name for o in session.get_outputs()])
    size = artifact.stat().st_size / 1e6
    return f"{name:14} kunpeng920 {seconds:9.2f} {size:7.1f} {'(qemu)':>9} {'':>7} {error:8.3f}"


def main() -> None:
    onnxruntime.set_default_logger_severity(3)
    threads = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        read_picture(folder)
        print("error: largest |a-b| / (1e-4 + 1e-3 |b|) against onnxruntime, host on real and random inputs; at most 1 is agreement")
        print(f"{'model':14} {'target':10} {'compile s':>9} {'MB':>7} {'ms':>9} {'ratio':>7} {'error':>8}")
        worst = 0.0
        for name in SHOWN:
            entry = model_inputs.table()[name]
            row = bench.measure(name, entry, [threads], 1, folder)
            worst = max(worst, row["error"])
            ms, ratio = row[f"ms_{threads}"], row[f"ratio_{threads}"]
            print(f"{name:14} host       {row['compile_s']:9.2f} {row['bytes'] / 1e6:7.1f} {ms:9.3f} {ratio:7.2f} {row['error']:8.3f}")
            print(row_for_kunpeng(name, entry, folder), flush=True)
        print(f"\nlatency and ratio to onnxruntime at {threads} threads, side by side")
        if worst > 1:
            sys.exit("a model disagrees with onnxruntime")


if __name__ == "__main__":
    main()
