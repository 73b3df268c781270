"""Copies the models that Python packages carry into build/models."""

import importlib.util
import shutil
import sys
from pathlib import Path

SOURCES = {
    "ppocr_det": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx"),
    "ppocr_rec": ("rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx"),
    "ppocr_cls": ("rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    "silero_vad": ("silero_vad", "data/silero_vad.onnx"),
    "silero_vad_16k_op15": ("silero_vad", "data/silero_vad_16k_op15.onnx"),
    "silero_vad_16k_sequence": ("silero_vad", "data/silero_vad_16k_sequence.onnx"),
    "silero_vad_half": ("silero_vad", "data/silero_vad_half.onnx"),
    "silero_vad_op18_ifless": ("silero_vad", "data/silero_vad_op18_ifless.onnx"),
    "silero_vad_openvino_16k": ("silero_vad", "data/silero_vad_openvino_16k.onnx"),
    "magika": ("magika", "models/standard_v3_3/model.onnx"),
    "nudenet": ("nudenet", "320n.onnx"),
}


def package_dir(name: str) -> Path:
    """Folder of an installed package, found without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"package {name} is not installed: run `make setup`")
    return Path(spec.submodule_search_locations[0])


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, (package, path) in SOURCES.items():
        source, target = package_dir(package) / path, out / f"{name}.onnx"
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            shutil.copyfile(source, target)


if __name__ == "__main__":
    main()
