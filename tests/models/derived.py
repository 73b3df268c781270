"""Models made from those of models.toml, where the whole model is more than a simulator has to run: one layer of GPT-2, models whose
weights and arithmetic are f16, and models whose products are of 8-bit integers. They are written beside the originals the first time that they are asked for."""

from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

import inputs

# What the first of GPT-2's layers leaves: the stream of activations, and its keys and values.
LAYER = ["/model/transformer/h.0/Add_1_output_0", "present_0", "present_1"]
# By name: the model that it is made from, and the inputs and outputs that are left of that one.
PARTS = {
    "gpt2_layer_prefill": ("gpt2_prefill_script", ["input_ids"], LAYER),
    "gpt2_layer_decode": ("gpt2_decode_script", ["input_ids", "past_0", "past_1"], LAYER),
}
HALF, INTEGERS = "_f16", "_int8"


def model(name: str, folder: Path) -> tuple[Path, dict]:
    """The file of a model by its name here or in models.toml, and its entry there."""
    if name.endswith(HALF):
        whole, entry = model(name.removesuffix(HALF), folder)
        return made(folder / f"{name}.onnx", lambda path: onnx.save(half(whole), path)), entry
    if name.endswith(INTEGERS):
        whole, entry = model(name.removesuffix(INTEGERS), folder)
        return made(folder / f"{name}.onnx", lambda path: quantize_dynamic(whole, path, weight_type=QuantType.QInt8)), entry
    if name in PARTS:
        of, given, wanted = PARTS[name]
        whole, entry = model(of, folder)
        path = made(folder / f"{name}.onnx", lambda path: onnx.utils.extract_model(str(whole), str(path), given, wanted))
        return path, entry
    entry = inputs.table()[name]
    return folder / entry["file"], entry


def half(whole: Path) -> onnx.ModelProto:
    """The same model in f16, arguments and results too."""
    return convert_float_to_float16(onnx.load(whole), keep_io_types=False)


def made(path: Path, make) -> Path:
    if not path.exists():
        unfinished = path.with_suffix(".part")
        make(unfinished)
        unfinished.rename(path)
    return path
