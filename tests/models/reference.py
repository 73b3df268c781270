"""Writes inputs and onnxruntime's outputs for models of models.toml: FOLDER/NAME.in.npz and FOLDER/NAME.out.npz.

usage: reference.py FOLDER NAME ...
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

import inputs as model_inputs

MODELS = Path(__file__).resolve().parents[2] / "build/models"


def main() -> None:
    onnxruntime.set_default_logger_severity(3)
    folder, table = Path(sys.argv[1]), model_inputs.table()
    for name in sys.argv[2:]:
        entry = table[name]
        session = onnxruntime.InferenceSession(str(MODELS / entry["file"]), providers=["CPUExecutionProvider"])
        feed = model_inputs.make(entry, session)
        results = session.run(None, feed)
        np.savez(folder / f"{name}.in.npz", **feed)
        np.savez(folder / f"{name}.out.npz", **{o.name: r for o, r in zip(session.get_outputs(), results)})


if __name__ == "__main__":
    main()
