"""Writes small_floats.tsv: what ml_dtypes makes of the small float formats. Needs numpy and ml_dtypes."""

import ml_dtypes
import numpy as np

TYPES = {
    "f8e4m3": (ml_dtypes.float8_e4m3, 8),
    "f8e3m4": (ml_dtypes.float8_e3m4, 8),
    "f8e4m3b11fnuz": (ml_dtypes.float8_e4m3b11fnuz, 8),
    "f6e2m3": (ml_dtypes.float6_e2m3fn, 6),
    "f6e3m2": (ml_dtypes.float6_e3m2fn, 6),
    "f8e4m3fn": (ml_dtypes.float8_e4m3fn, 8),
    "f8e4m3fnuz": (ml_dtypes.float8_e4m3fnuz, 8),
    "f8e5m2": (ml_dtypes.float8_e5m2, 8),
    "f8e5m2fnuz": (ml_dtypes.float8_e5m2fnuz, 8),
    "f4e2m1": (ml_dtypes.float4_e2m1fn, 4),
}


def text(x):
    return "nan" if np.isnan(x) else repr(float(x))


with open("small_floats.tsv", "w") as f:
    for name, (dtype, bits) in TYPES.items():
        codes = np.arange(1 << bits, dtype=np.uint8).view(dtype).astype(np.float64)
        f.write("\t".join([name, "codes"] + [text(x) for x in codes]) + "\n")
        v = np.unique(codes[np.isfinite(codes)])
        # Every middle of two neighbours, a little below and above it, and what lies past the ends.
        mid = (v[1:] + v[:-1]) / 2
        ends = np.array([1.02, 1.04, 1.07, 1.13, 1.3, 100.0])
        x = np.concatenate([mid, mid * (1 - 1e-5), mid * (1 + 1e-5), v[-1] * ends, v[0] * ends, [np.inf, -np.inf]])
        x = x.astype(np.float32)
        x = x[:: 1 + len(x) // 90]
        y = x.astype(dtype).astype(np.float64)
        f.write("\t".join([name, "rounds"] + [f"{text(a)}:{text(b)}" for a, b in zip(x, y)]) + "\n")
