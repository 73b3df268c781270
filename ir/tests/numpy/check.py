"""Computes the cases of a folder with numpy and compares: python check.py FOLDER. Exits with 1 where one differs.

Tolerances, as |got - want| <= absolute + relative * |want|, NaN equal to NaN, for f64, f32 and f16:
  exact    0: moved elements, integers, comparisons, and float operations that round once (+ - * / sqrt, casts, floor, ..)
  nearly   relative 4e-15, 4e-7, 2e-3, absolute as much: elementary functions (numpy in f64, rounded)
  summed   relative 1e-13, 2e-6, 4e-3, absolute 20 times that: sums of products of numbers up to 4
"""

import itertools
import json
import math
import pathlib
import sys

import numpy as np

DTYPES = {"f64": "f8", "f32": "f4", "f16": "f2", "bool": "?", "c64": "c8"}
DTYPES |= {f"{k}{8 * n}": f"{k}{n}" for k in "iu" for n in (1, 2, 4, 8)}
# (relative, absolute) by the bytes of a float.
EXACT = {}
NEARLY = {8: (4e-15, 4e-15), 4: (4e-7, 4e-7), 2: (2e-3, 2e-3)}
SUMMED = {8: (1e-13, 2e-12), 4: (2e-6, 4e-5), 2: (4e-3, 8e-2)}


def dtype(name):
    return np.dtype("<" + DTYPES[name]) if DTYPES[name] != "?" else np.dtype(bool)


def is_int(t):
    return t.kind in "iub"


def dims(d):
    return [int(x) for x in d]


# Elementwise.

erf = np.vectorize(math.erf, otypes=[np.float64])
erfc = np.vectorize(math.erfc, otypes=[np.float64])
WIDE = {  # elementary functions, in f64
    "Exp": np.exp, "Expm1": np.expm1, "Log": np.log, "Log1p": np.log1p, "Rsqrt": lambda x: 1 / np.sqrt(x), "Sin": np.sin,
    "Cos": np.cos, "Tan": np.tan, "Asin": np.arcsin, "Acos": np.arccos, "Atan": np.arctan, "Sinh": np.sinh, "Cosh": np.cosh, "Tanh": np.tanh,
    "Asinh": np.arcsinh, "Acosh": np.arccosh, "Atanh": np.arctanh, "Erf": erf, "Erfc": erfc, "Cbrt": np.cbrt, "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}  # fmt: skip
PLAIN = {
    "Neg": np.negative, "Abs": np.abs, "Sign": np.sign, "Sqrt": np.sqrt, "Recip": lambda x: x.dtype.type(1) / x,
    "Floor": np.floor, "Ceil": np.ceil, "Round": np.rint, "Trunc": np.trunc, "IsNan": np.isnan, "IsInf": np.isinf, "Not": np.logical_not,
    "BitNot": np.invert, "RoundAway": lambda x: np.trunc(x) + np.where(np.abs(x - np.trunc(x)) >= 0.5, np.copysign(x.dtype.type(1), x), x.dtype.type(0)),
    "Popcount": lambda x: by_bits(lambda v, bits: v.bit_count(), x), "LeadingZeros": lambda x: by_bits(lambda v, bits: bits - v.bit_length(), x),
}  # fmt: skip


def by_bits(f, x):
    """f over the bits of each element, as a Python integer, and their number."""
    bits = 8 * x.itemsize
    return np.array([f(int(v) & ((1 << bits) - 1), bits) for v in x.ravel()], x.dtype).reshape(x.shape)



def wrapped(v, t):
    """A Python integer modulo two to the width of t."""
    bits = 8 * t.itemsize
    v &= (1 << bits) - 1
    return v - (1 << bits) if t.kind == "i" and v >> (bits - 1) else v


def by_element(f, a, b):
    """f over Python integers, wrapped."""
    a, b = np.broadcast_arrays(a, b)
    values = [wrapped(f(int(x), int(y)), a.dtype) for x, y in zip(a.ravel(), b.ravel())]
    return np.array(values, a.dtype).reshape(a.shape)


def quotient(x, y):
    return 0 if y == 0 else abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)


def power(x, y):
    if y >= 0:
        return pow(x, y, 1 << 64) if abs(x) > 1 else x**y
    return {1: 1, -1: 1 if y % 2 == 0 else -1}.get(x, 0)


BINARY = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Max": np.maximum, "Min": np.minimum, "Mod": np.mod,
    "Rem": np.fmod, "Eq": np.equal, "Ne": np.not_equal, "Lt": np.less, "Le": np.less_equal, "Gt": np.greater,
    "Ge": np.greater_equal, "And": np.bitwise_and, "Or": np.bitwise_or, "Xor": np.bitwise_xor, "Shl": np.left_shift, "Shr": np.right_shift,
}  # fmt: skip


def unary(op, x):
    if op in WIDE:
        return WIDE[op](x.astype(np.float64)).astype(x.dtype), NEARLY
    return PLAIN[op](x), EXACT


def binary(op, a, b):
    if op in ("Pow", "Atan2") and a.dtype.kind == "f":
        f = np.power if op == "Pow" else np.arctan2
        return f(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype), NEARLY
    if is_int(a.dtype) and op in ("Div", "Pow"):
        return by_element(quotient if op == "Div" else power, a, b), EXACT
    if op in ("Mul",) and a.dtype.kind == "c":
        return (a.astype(np.complex128) * b).astype(a.dtype), NEARLY
    return BINARY[op](a, b), EXACT


def cast(x, to):
    if x.dtype.kind == "f" and to.kind in "iu":
        low, high = int(np.iinfo(to).min), int(np.iinfo(to).max)
        one = lambda v: 0 if math.isnan(v) else high if v == math.inf else low if v == -math.inf else min(max(int(v), low), high)
        return np.array([one(float(v)) for v in x.ravel()], to).reshape(x.shape)
    return x != 0 if to.kind == "b" else x.astype(to)


# Contractions and windows.


def matmul(a, b, out):
    wide = np.float64 if out.kind == "f" else out
    return np.matmul(a.astype(wide), b.astype(wide)).astype(out), SUMMED


def crop_or_pad(x, pads, fill=0):
    pads = [(0, 0), *pads, (0, 0)]
    x = x[tuple(slice(max(-lo, 0), n - max(-hi, 0)) for (lo, hi), n in zip(pads, x.shape))]
    return np.pad(x, [(max(lo, 0), max(hi, 0)) for lo, hi in pads], constant_values=fill)


def wide(x):
    return x.astype(np.float64 if x.dtype.kind == "f" else x.dtype)


def conv(p, x, w):
    t, x, w, g = x.dtype, crop_or_pad(wide(x), p["pads"]), wide(w), p["groups"]
    k = w.shape[:-2]
    out = [(n - d * (m - 1) - 1) // s + 1 for n, m, d, s in zip(x.shape[1:-1], k, p["dilations"], p["strides"])]
    y = np.zeros((x.shape[0], *out, g, w.shape[-1] // g), x.dtype)
    for tap in np.ndindex(*k):
        at = [slice(i * d, i * d + s * (n - 1) + 1, s) for i, d, s, n in zip(tap, p["dilations"], p["strides"], out)]
        part = x[(slice(None), *at)].reshape(x.shape[0], *out, g, w.shape[-2])
        y += np.einsum("...gc,cgo->...go", part, w[tap].reshape(w.shape[-2], g, w.shape[-1] // g))
    return y.reshape(x.shape[0], *out, w.shape[-1]).astype(t), SUMMED


def conv_transpose(p, x, w):
    t, x, w, g = x.dtype, wide(x), wide(w), p["groups"]
    k, n = w.shape[:-2], x.shape[1:-1]
    # Room for every tap, and for what negative crops and extra elements add.
    full = [s * (m - 1) + d * (q - 1) + 1 + e + 8 for s, m, d, q, e in zip(p["strides"], n, p["dilations"], k, p["extra"])]
    y = np.zeros((x.shape[0], *full, g, w.shape[-1]), x.dtype)
    parts = x.reshape(*x.shape[:-1], g, x.shape[-1] // g)
    for tap in np.ndindex(*k):
        at = [slice(i * d, i * d + s * (m - 1) + 1, s) for i, d, s, m in zip(tap, p["dilations"], p["strides"], n)]
        y[(slice(None), *at)] += np.einsum("...gc,gco->...go", parts, w[tap].reshape(g, x.shape[-1] // g, w.shape[-1]))
    y = crop_or_pad(y.reshape(*y.shape[:-2], g * w.shape[-1]), [(-lo, 0) for lo, _ in p["pads"]])
    size = [m - 8 - lo - hi for m, (lo, hi) in zip(full, p["pads"])]
    return y[(slice(None), *(slice(0, m) for m in size))].astype(t), SUMMED


def pool(p, x):
    kind, t = p["kind"], x.dtype
    axes = list(zip(x.shape[1:-1], p["window"], p["strides"], p["dilations"], p["pads"]))
    places = []  # for each axis and result position: the positions in range, and how many of the window are in the padded range
    for n, k, s, d, (lo, hi) in axes:
        room = n + lo + hi - d * (k - 1) - 1
        count = -(-room // s) + 1 if p["ceil"] else room // s + 1
        if p["ceil"] and (count - 1) * s >= n + lo:
            count -= 1
        taps = [[o * s + i * d - lo for i in range(k)] for o in range(count)]
        places.append([([i for i in ts if 0 <= i < n], sum(i < n + hi for i in ts)) for ts in taps])
    y = np.zeros((x.shape[0], *(len(a) for a in places), x.shape[-1]), t)
    for at in np.ndindex(*y.shape[1:-1]):
        inside, padded = zip(*(a[i] for a, i in zip(places, at)))
        part = x[np.ix_(range(x.shape[0]), *inside, range(x.shape[-1]))].astype(wide(x).dtype)
        over = tuple(range(1, part.ndim - 1))
        if kind == "Max":
            r = part.max(over)
        elif "Avg" in kind:
            r = part.sum(over) / (math.prod(padded) if kind["Avg"]["padded"] else math.prod(map(len, inside)))
        else:
            r = (np.abs(part) ** kind["Lp"]["p"]).sum(over) ** (1 / kind["Lp"]["p"])
        y[(slice(None), *at)] = r
    return y, EXACT if kind == "Max" else SUMMED


# Reductions and rows.


def reduce(p, x):
    op, axes, keep = p["op"], tuple(p["axes"]), p["keep"]
    f = {"Sum": np.sum, "Prod": np.prod, "Max": np.max, "Min": np.min, "Mean": np.mean, "All": np.all, "Any": np.any}[op]
    y = f(wide(x) if op in ("Sum", "Prod", "Mean") else x, axis=axes, keepdims=keep)
    loose = x.dtype.kind == "f" and op in ("Sum", "Prod", "Mean")
    with np.errstate(over="ignore"):
        return np.asarray(y).astype(x.dtype), SUMMED if loose else EXACT


def arg_reduce(p, x):
    if p["last"]:
        x = np.flip(x, p["axis"])
    y = (np.argmax if p["max"] else np.argmin)(x, axis=p["axis"], keepdims=p["keep"])
    return (x.shape[p["axis"]] - 1 - y if p["last"] else y).astype(np.int64), EXACT


def cumulative(p, x):
    axis, f = p["axis"], {"Sum": np.add, "Prod": np.multiply, "Max": np.maximum, "Min": np.minimum}[p["op"]]
    y = np.flip(x, axis) if p["reverse"] else x
    y = np.moveaxis(wide(y), axis, 0)
    if p["exclusive"]:
        y = np.concatenate([np.full_like(y[:1], p["op"] == "Prod"), y[:-1]])
    y = np.moveaxis(f.accumulate(y, 0, dtype=y.dtype), 0, axis)
    return (np.flip(y, axis) if p["reverse"] else y).astype(x.dtype), SUMMED


def softmax(p, x):
    e = wide(x) - wide(x).max(p["axis"], keepdims=True)
    total = np.exp(e).sum(p["axis"], keepdims=True)
    return (e - np.log(total) if p["log"] else np.exp(e) / total).astype(x.dtype), SUMMED


def norm(p, x):
    axes = tuple(range(p["axis"], x.ndim))
    c = wide(x) - (wide(x).mean(axes, keepdims=True) if p["kind"] == "Layer" else 0)
    return (c / np.sqrt((c * c).mean(axes, keepdims=True) + p["eps"])).astype(x.dtype), SUMMED


# Moved elements.


def slices(p, x):
    for axis, (start, n, step) in enumerate(zip(dims(p["start"]), dims(p["len"]), p["step"])):
        x = np.take(x, start + step * np.arange(n), axis) if n else np.take(x, np.zeros(0, int), axis)
    return x


def dynamic_slice(p, x, starts):
    size = dims(p["shape"])
    at = [slice(s, s + n) for s, n in ((min(max(int(s), 0), m - n), n) for s, n, m in zip(starts, size, x.shape))]
    return x[tuple(at)]


def pad(p, x, value):
    lo, hi = dims(p["lo"]), dims(p["hi"])
    x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for a, b, n in zip(lo, hi, x.shape))]
    width = [(max(a, 0), max(b, 0)) for a, b in zip(lo, hi)]
    if not width:
        return x
    more = {"constant_values": value} if p["mode"] == "Constant" else {}
    return np.pad(x, width, p["mode"].lower(), **more)


def gather_nd(p, x, at):
    batch = p["batch"]
    lead = np.indices(at.shape[:batch]) if batch else []
    lead = [i.reshape(*i.shape, *[1] * (at.ndim - 1 - batch)) for i in lead]
    return x[(*lead, *np.moveaxis(at, -1, 0))]


def scatter(p, x, at, new):
    y = x.copy()
    f = {None: lambda a, b: b, "Sum": np.add, "Prod": np.multiply, "Max": np.maximum, "Min": np.minimum}[p["reduce"]]
    if p["mode"] == "Nd":
        for i in np.ndindex(*at.shape[:-1]):
            y[tuple(at[i])] = f(y[tuple(at[i])], new[i])
        return y, EXACT
    axis = p["mode"]["Elements"]["axis"]
    for i in np.ndindex(*at.shape):
        j = (*i[:axis], int(at[i]), *i[axis + 1 :])
        y[j] = f(y[j], new[i])
    return y, EXACT


def topk(p, x):
    axis, k = p["axis"], int(p["k"])
    key = wide(x) if x.dtype.kind == "f" else x.astype(np.int64)
    order = np.argsort(-key if p["largest"] else key, axis, kind="stable")
    order = np.take(order, range(k), axis)
    return [(np.take_along_axis(x, order, axis), EXACT), (order.astype(np.int64), EXACT)]


def nonzero(x):
    at = np.array(np.nonzero(x), np.int64)
    return [(at, EXACT), (np.int64(at.shape[1]), EXACT)]


def iota(p):
    shape = dims(p["shape"])
    return np.indices(shape)[p["axis"]].astype(dtype(p["dtype"]))


MOVES = {
    "Reshape": lambda p, x: x.reshape(dims(p["shape"])),
    "Transpose": lambda p, x: x.transpose(p["perm"]),
    "Broadcast": lambda p, x: np.broadcast_to(x, dims(p["shape"])),
    "Slice": slices,
    "DynamicSlice": dynamic_slice,
    "Pad": pad,
    "Concat": lambda p, *xs: np.concatenate(xs, p["axis"]),
    "Reverse": lambda p, x: np.flip(x, tuple(p["axes"])),
    "Gather": lambda p, x, at: np.take(x, at, p["axis"]),
    "GatherElements": lambda p, x, at: np.take_along_axis(x, at.astype(np.int64), p["axis"]),
    "GatherNd": gather_nd,
    "Bitcast": lambda p, x: x.view(dtype(p["to"])),
    "Cast": lambda p, x: cast(x, dtype(p["to"])),
    "Iota": iota,
}
OTHERS = {
    "Unary": unary, "Binary": binary, "MatMul": lambda p, a, b: matmul(a, b, dtype(p["out"])), "Conv": conv,
    "ConvTranspose": conv_transpose, "Pool": pool, "Reduce": reduce, "ArgReduce": arg_reduce, "Cumulative": cumulative,
    "Softmax": softmax, "Norm": norm, "Scatter": scatter, "TopK": topk,
}  # fmt: skip


def expected(op, args):
    """Results, each with its tolerance."""
    if op == "Select":
        return [(np.where(*args), EXACT)]
    [(name, p)] = op.items()
    if name == "NonZero":
        return nonzero(*args)
    y = (MOVES[name](p, *args), EXACT) if name in MOVES else OTHERS[name](p, *args)
    return y if isinstance(y, list) else [y]


def differs(got, want, tolerance):
    """What is wrong, or None."""
    want = np.asarray(want)
    if (got.dtype, got.shape) != (want.dtype, want.shape):
        return f"got {got.dtype}{list(got.shape)}, want {want.dtype}{list(want.shape)}"
    # A complex number is held to the tolerance of its parts.
    relative, absolute = tolerance.get(got.dtype.itemsize // (2 if got.dtype.kind == "c" else 1), (0, 0))
    if is_int(got.dtype):
        same = got == want
    else:
        with np.errstate(all="ignore"):
            same = (got == want) | (np.isnan(got) & np.isnan(want)) | (np.abs(got - want) <= absolute + relative * np.abs(want))
    if same.all():
        return None
    i = tuple(int(k) for k in np.argwhere(~same)[0])
    return f"element {list(i)} is {got[i]!r}, want {want[i]!r}"


def main(folder):
    folder = pathlib.Path(folder)
    data = (folder / "data.bin").read_bytes()

    def load(t):
        d = dtype(t["dtype"])
        return np.frombuffer(data, d, math.prod(t["shape"]), t["at"]).reshape(t["shape"])

    cases = json.loads((folder / "cases.json").read_text())
    wrong = []
    for case in cases:
        args, got = [load(t) for t in case["args"]], [load(t) for t in case["results"]]
        with np.errstate(all="ignore"):
            want = expected(case["op"], args)
        inferred = list(zip(case["inferred"]["dtypes"], case["inferred"]["shapes"]))
        problems = [differs(g, w, t) for g, (w, t) in zip(got, want)]
        for (d, shape), (w, _) in zip(inferred, want):
            w = np.asarray(w)
            fits = dtype(d) == w.dtype and len(shape) == w.ndim and all(a in (None, b) for a, b in zip(shape, w.shape))
            problems.append(None if fits else f"inferred {d}{shape}, want {w.dtype}{list(w.shape)}")
        if len(got) != len(want) or len(inferred) != len(want):
            problems.append(f"{len(got)} results, {len(inferred)} inferred, want {len(want)}")
        if any(problems):
            shown = "; ".join(f"{a.dtype}{list(a.shape)} {a.tolist()}" for a in args)
            wrong.append(f"{case['family']}: {json.dumps(case['op'])}: {next(filter(None, problems))}\n  of {shown}")
    families = [(k, len(list(g))) for k, g in itertools.groupby(c["family"] for c in cases)]
    verdict = f"differs in {len(wrong)}" if wrong else "agrees"
    print("numpy", np.__version__, verdict, "on", ", ".join(f"{n} {k}" for k, n in families))
    for w in wrong[:12]:
        print(w[:1500])
    sys.exit(bool(wrong))


main(sys.argv[1])
