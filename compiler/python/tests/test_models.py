"""Real models, held against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MODELS

import beiming

pytestmark = pytest.mark.slow


def agree(name, feeds, shapes=None, atol=1e-4):
    import onnxruntime

    path = MODELS / name
    if not path.exists():
        pytest.skip(f"{name} is not collected")
    want = onnxruntime.InferenceSession(str(path)).run(None, feeds)
    module = beiming.compile(path, shapes=shapes).module()
    got = module.run_list(None, feeds)
    for w, g in zip(want, got):
        np.testing.assert_allclose(g, w, atol=atol, rtol=1e-3)


def test_ppocr_rec():
    x = np.random.default_rng(0).random((1, 3, 48, 320), np.float32)
    agree("ppocr_rec.onnx", {"x": x}, {"x": (1, 3, 48, 320)})


def test_minilm():
    ids = np.random.default_rng(0).integers(0, 30000, (1, 128))
    agree("minilm.script.onnx", {"input_ids": ids, "attention_mask": np.ones_like(ids)})
