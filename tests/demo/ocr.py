"""Reading text with PP-OCRv4: what comes before and after its three networks.

`Reader` takes three functions from a float image [1, 3, H, W] to the network's output, so that the same code runs them
through Beiming and through onnxruntime. Thresholds are the package's own defaults (box 0.5, pixel 0.3, unclip 1.6).
"""

import numpy as np
import onnx
from PIL import Image

DET_SIZE, REC_HEIGHT, REC_WIDTH, CLS_SHAPE = 640, 48, 320, (48, 192)


def dictionary(rec_model: str) -> list[str]:
    """The characters that the recognition model's classes stand for; it carries them in its metadata."""
    meta = {p.key: p.value for p in onnx.load(rec_model, load_external_data=False).metadata_props}
    return [""] + meta["character"].splitlines() + [" "]


def normalise(image: Image.Image, mean, std) -> np.ndarray:
    """To [1, 3, H, W] in the BGR order the models were trained with."""
    x = np.asarray(image, np.float32)[:, :, ::-1] / 255.0
    return np.ascontiguousarray(((x - mean) / std).transpose(2, 0, 1)[None]).astype(np.float32)


def components(mask: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Bounding boxes (x0, y0, x1, y1, exclusive ends) of the 8-connected regions of a mask, by joining runs of rows."""
    parent: list[int] = []
    boxes: list[list[int]] = []

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    previous: list[tuple[int, int, int]] = []
    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(np.int8), [0]))))
        current = []
        for x0, x1 in zip(edges[::2], edges[1::2]):
            touching = [root(i) for a, b, i in previous if a <= x1 and x0 <= b]
            if touching:
                i = touching[0]
                for j in touching[1:]:
                    if j != i:
                        parent[j] = i
                        a, b = boxes[i], boxes[j]
                        boxes[i] = [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]
                b = boxes[i]
                boxes[i] = [min(b[0], x0), b[1], max(b[2], x1), y + 1]
            else:
                i = len(parent)
                parent.append(i)
                boxes.append([x0, y, x1, y + 1])
            current.append((x0, x1, i))
        previous = current
    return [tuple(int(v) for v in boxes[i]) for i in range(len(parent)) if parent[i] == i]


class Reader:
    """Finds and reads the lines of a picture."""

    def __init__(self, det, cls, rec, characters: list[str]):
        self.det, self.cls, self.rec, self.characters = det, cls, rec, characters

    def boxes(self, picture: Image.Image) -> list[tuple[int, int, int, int]]:
        """Boxes of text lines in the picture's own pixels, top to bottom."""
        x = normalise(picture.resize((DET_SIZE, DET_SIZE)), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        prob = self.det(x)[0, 0]
        sx, sy = picture.width / DET_SIZE, picture.height / DET_SIZE
        found = []
        for x0, y0, x1, y1 in components(prob > 0.3):
            w, h = x1 - x0, y1 - y0
            if min(w, h) < 3 or prob[y0:y1, x0:x1].mean() < 0.5:
                continue
            grow = w * h * 1.6 / (2 * (w + h))
            box = (max(0, x0 - grow) * sx, max(0, y0 - grow) * sy, (x1 + grow) * sx, (y1 + grow) * sy)
            found.append((int(box[0]), int(box[1]), min(picture.width, int(box[2])), min(picture.height, int(box[3]))))
        return sorted(found, key=lambda b: (b[1], b[0]))

    def read(self, picture: Image.Image) -> list[str]:
        """The text of every line."""
        lines = []
        for box in self.boxes(picture):
            crop = picture.crop(box)
            upside_down = self.cls(normalise(crop.resize(CLS_SHAPE[::-1]), 0.5, 0.5))[0]
            if upside_down[1] > 0.9:
                crop = crop.rotate(180)
            width = min(REC_WIDTH, round(crop.width * REC_HEIGHT / crop.height))
            x = np.zeros((1, 3, REC_HEIGHT, REC_WIDTH), np.float32)
            x[..., :width] = normalise(crop.resize((width, REC_HEIGHT)), 0.5, 0.5)
            best = self.rec(x)[0].argmax(-1)
            keep = (best != 0) & (best != np.concatenate(([0], best[:-1])))
            lines.append("".join(self.characters[i] for i in best[keep]))
        return lines
