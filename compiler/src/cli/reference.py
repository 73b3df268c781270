"""Runs a model in onnxruntime: reference.py MODEL INPUTS.npz OUTPUTS.npz"""

import sys

try:
    import numpy as np
    import onnxruntime
except ImportError as e:
    sys.exit(f"missing: {e}")

model, feed, out = sys.argv[1:4]
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
with np.load(feed) as arrays:
    inputs = {i.name: arrays[i.name] for i in session.get_inputs() if i.name in arrays.files}
names = [o.name for o in session.get_outputs()]
np.savez(out, **dict(zip(names, session.run(names, inputs))))
