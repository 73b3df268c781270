"""Runs a model in onnxruntime: reference.py MODEL INPUTS.npz OUTPUTS.npz [NAMES.json]

Without NAMES the model's outputs are written by name. With it, the values it lists, also those between the nodes, are
written by their position in the list; those that are no tensors are left out.
"""

import json
import sys

try:
    import numpy as np
    import onnxruntime
    if len(sys.argv) > 4:
        import onnx
except ImportError as e:
    sys.exit(f"missing: {e}")

path, feed, out = sys.argv[1:4]
model = path
if len(sys.argv) > 4:
    with open(sys.argv[4]) as f:
        wanted = json.load(f)
    loaded = onnx.load(path)
    made = {name for node in loaded.graph.node for name in node.output}
    declared = {o.name for o in loaded.graph.output}
    loaded.graph.output.extend(onnx.ValueInfoProto(name=n) for n in wanted if n in made and n not in declared)
    model = loaded.SerializeToString()

options = onnxruntime.SessionOptions()
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
with np.load(feed) as arrays:
    inputs = {i.name: arrays[i.name] for i in session.get_inputs() if i.name in arrays.files}
names = [o.name for o in session.get_outputs()]
results = dict(zip(names, session.run(names, inputs)))
if len(sys.argv) > 4:
    results = {str(i): results[n] for i, n in enumerate(wanted) if isinstance(results.get(n), np.ndarray)}
np.savez(out, **results)
