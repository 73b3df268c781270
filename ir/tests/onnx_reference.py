"""Writes onnx_reference.ron: cases of ops whose meaning follows ONNX, with the results that others compute.

Run with a Python that has onnx 1.23 and onnxruntime 1.31: python ir/tests/onnx_reference.py
onnx.reference is the judge; onnxruntime only where that ignores an attribute (sequence lengths, clip, input_forget).
"""

import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

DTYPES = {"float32": "f32", "int64": "i64", "int32": "i32", "uint8": "u8", "int8": "i8", "float16": "f16", "bool": "bool"}
lines = []


def number(x):
    if isinstance(x, (bool, np.bool_)):
        return str(int(x))
    if isinstance(x, (int, np.integer)):
        return str(int(x))
    x = float(x)
    return "NaN" if np.isnan(x) else str(x) if np.isinf(x) else repr(x) if x == round(x, 6) else f"{x:.9g}"


def tensor(a):
    a = np.asarray(a)
    data = ",".join(number(x) for x in a.ravel())
    return f'("{DTYPES[str(a.dtype)]}",{list(a.shape)},[{data}])'.replace(" ", "")


def case(op, args, results, tolerance=0.0):
    args, results = (",".join(tensor(t) for t in ts) for ts in (args, results))
    lines.append(f"(op:{op},args:[{args}],results:[{results}],tolerance:{tolerance}),")


def model(op, inputs, outputs=1, opset=19, **attributes):
    """A model of one node; an input of None is left out."""
    names = ["" if x is None else f"i{k}" for k, x in enumerate(inputs)]
    outs = [f"o{k}" for k in range(outputs)]
    node = helper.make_node(op, names, outs, **attributes)
    info = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for n, x in zip(names, inputs)
        if x is not None
    ]
    out = [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in outs]
    graph = helper.make_graph([node], "g", info, out)
    m = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return m, {n: x for n, x in zip(names, inputs) if x is not None}


def reference(op, inputs, **kw):
    m, feed = model(op, inputs, **kw)
    return ReferenceEvaluator(m).run(None, feed)


def ort(op, inputs, **kw):
    m, feed = model(op, inputs, **kw)
    for o, t in zip(m.graph.output, [1] * 9):
        o.type.tensor_type.elem_type = t
    return onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)


def dims(v):
    return "[" + ",".join(f'"{int(d)}"' for d in v) + "]"


def truth(v):
    return "true" if v else "false"


COORDS = {
    "half_pixel": "HalfPixel",
    "half_pixel_symmetric": "HalfPixelSymmetric",
    "pytorch_half_pixel": "PytorchHalfPixel",
    "align_corners": "AlignCorners",
    "asymmetric": "Asymmetric",
    "tf_crop_and_resize": "TfCropAndResize",
}
NEAREST = {
    "round_prefer_floor": "RoundPreferFloor",
    "round_prefer_ceil": "RoundPreferCeil",
    "floor": "Floor",
    "ceil": "Ceil",
}


def resize(x, scales, sizes, coord, mode, nearest="round_prefer_floor", aa=0, ex=0, a=-0.75, roi=None, fill=0.0):
    roi32 = None if roi is None else np.array([r[0] for r in roi] + [r[1] for r in roi], np.float32)
    scales32 = None if scales is None else np.array(scales, np.float32)
    y = reference(
        "Resize",
        [x, roi32, scales32, None if sizes is None else np.array(sizes, np.int64)],
        mode=mode, coordinate_transformation_mode=coord, nearest_mode=nearest, antialias=aa, exclude_outside=ex,
        cubic_coeff_a=a, extrapolation_value=fill,
    )[0]  # fmt: skip
    spelled = {"nearest": f"Nearest({NEAREST[nearest]})", "linear": "Linear", "cubic": f"Cubic({a})"}[mode]
    if scales is None:
        scale = ",".join("None" for _ in x.shape)
    else:
        scale = ",".join(f"Some({float(np.float32(s))!r})" for s in scales)
    region = "" if roi is None else ",".join(f"({float(np.float32(s))!r},{float(np.float32(e))!r})" for s, e in roi)
    op = (
        f"Resize((mode:{spelled},coord:{COORDS[coord]},shape:{dims(y.shape)},scales:[{scale}],roi:[{region}],"
        f"antialias:{truth(aa)},exclude_outside:{truth(ex)},extrapolation:{float(fill)!r}))"
    )
    # The reference computes coordinates in a region, and weights of cubic interpolation, in f32.
    case(op, [x], [y], 2e-6 if roi is None and mode != "cubic" else 1e-5)


def resizes(rng):
    x = np.array([3, -1, 4, 1, -5], np.float32)
    plane = rng.integers(-9, 9, (3, 4)).astype(np.float32)
    sizes = [([0.6], None), ([2.3], None), (None, [7]), (None, [2]), ([0.2], None)]
    for coord in COORDS:
        crop = coord == "tf_crop_and_resize"
        for k, (scales, size) in enumerate(sizes):
            roi = [[(0.2, 0.9)], [(-0.25, 1.1)]][k % 2] if crop else None
            for nearest in NEAREST:
                resize(x, scales, size, coord, "nearest", nearest, roi=roi, fill=9.5)
            for mode in ["linear", "cubic"]:
                for aa, ex in [(0, 0), (0, 1), (1, 0), (1, 1)]:
                    resize(x, scales, size, coord, mode, aa=aa, ex=ex, roi=roi, fill=9.5)
        roi = [(0.1, 0.8), (0.3, 1.2)] if crop else None
        resize(plane, [2.0, 0.5], None, coord, "cubic", a=-0.5, roi=roi, fill=-2.0)
        resize(plane, None, [2, 7], coord, "linear", aa=1, roi=roi, fill=-2.0)
        resize(plane, None, [5, 3], coord, "nearest", "round_prefer_ceil", roi=roi, fill=-2.0)
    resize(np.array([[0, 255, 3, 200]], np.uint8), None, [1, 7], "half_pixel", "cubic")
    resize(np.array([[-128, 127, 3, -100]], np.int8), None, [1, 3], "asymmetric", "linear")
    resize(np.arange(6).reshape(1, 2, 3).astype(np.int64), None, [1, 4, 6], "half_pixel", "nearest")


def recurrents(rng):
    def values(*shape):
        return rng.normal(0, 0.8, shape).astype(np.float32).round(4)

    t, b, i, h = 4, 2, 2, 3
    spelled = {"forward": "Forward", "reverse": "Reverse", "bidirectional": "Bidirectional"}
    for direction in spelled:
        d = 2 if direction == "bidirectional" else 1
        x = values(t, b, i)
        for lens, clip, forget in [([t, t], None, 0), ([1, 3], None, 0), ([2, 4], 0.25, 1)]:
            w, r, bias = values(d, 4 * h, i), values(d, 4 * h, h), values(d, 8 * h)
            h0, c0, peep = values(d, b, h), values(d, b, h), values(d, 3 * h)
            lens = np.array(lens, np.int32)
            args = [x, w, r, bias, lens, h0, c0, peep]
            extra = {} if clip is None else {"clip": clip}
            judge = reference if clip is None and (lens == t).all() else ort
            if judge is reference:
                args = [x, w, r, bias, None, h0, c0, peep]
            y = judge("LSTM", args, outputs=3, hidden_size=h, direction=direction, input_forget=forget, **extra)
            spell_clip = "None" if clip is None else f"Some({clip})"
            op = f"Lstm((direction:{spelled[direction]},hidden:{h},clip:{spell_clip},input_forget:{truth(forget)}))"
            case(op, [x, w, r, bias, lens, h0, c0, peep], y, 2e-6)
        for lens, clip, linear in [([t, t], None, 0), ([t, t], None, 1), ([1, 3], None, 0), ([3, 2], 0.3, 1)]:
            w, r, bias, h0 = values(d, 3 * h, i), values(d, 3 * h, h), values(d, 6 * h), values(d, b, h)
            lens = np.array(lens, np.int32)
            extra = {} if clip is None else {"clip": clip}
            judge = reference if clip is None and (lens == t).all() else ort
            args = [x, w, r, bias, None if judge is reference else lens, h0]
            y = judge("GRU", args, outputs=2, hidden_size=h, direction=direction, linear_before_reset=linear, **extra)
            spell_clip = "None" if clip is None else f"Some({clip})"
            op = f"Gru((direction:{spelled[direction]},hidden:{h},clip:{spell_clip},linear_before_reset:{truth(linear)}))"
            case(op, [x, w, r, bias, lens, h0], y, 2e-6)


def selections(rng):
    x = rng.integers(-3, 4, (2, 5, 3)).astype(np.float32)
    for axis in range(3):
        for largest in [0, 1]:
            for k in [0, 1, 2]:
                y = reference("TopK", [x, np.array([k], np.int64)], outputs=2, axis=axis, largest=largest)
                case(f'TopK((k:"{k}",axis:{axis},largest:{truth(largest)}))', [x], y)
    x = np.array([[0, 2, 0], [3, 0, 1]], np.int32)
    y = reference("NonZero", [x])[0].astype(np.int64)
    case('NonZero(count:"c")', [x], [y, np.int64(y.shape[1])])
    for center in [0, 1]:
        for iou, score, most in [(0.5, 0.0, 9), (0.1, 0.3, 2), (0.9, 0.5, 3), (0.0, -1.0, 9), (0.5, 0.0, 0)]:
            boxes = rng.uniform(0, 4, (2, 6, 4)).astype(np.float32).round(3)
            scores = rng.integers(0, 10, (2, 2, 6)).astype(np.float32) / 10
            args = [boxes, scores, np.array([most], np.int64), np.array([iou], np.float32), np.array([score], np.float32)]
            y = reference("NonMaxSuppression", args, center_point_box=center)[0].reshape(-1, 3)
            scalars = [args[2][0], args[3][0], args[4][0]]
            case(f'Nms((center:{truth(center)},count:"c"))', [boxes, scores, *scalars], [y, np.int64(len(y))])


def indexings(rng):
    x = rng.integers(-9, 9, (3, 2, 4)).astype(np.float32)
    for axis in range(3):
        at = rng.integers(-x.shape[axis], x.shape[axis], (2, 2)).astype(np.int64)
        case(f"Gather(axis:{axis})", [x, at], reference("Gather", [x, at], axis=axis))
        at = rng.integers(-x.shape[axis], x.shape[axis], x.shape).astype(np.int32)
        case(f"GatherElements(axis:{axis})", [x, at], reference("GatherElements", [x, at.astype(np.int64)], axis=axis))
    for batch, k in [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (2, 1)]:
        room = x.shape[batch : batch + k]
        lead = [*x.shape[:batch], 2]
        at = np.stack([rng.integers(-n, n, lead) for n in room], -1).astype(np.int64)
        case(f"GatherNd(batch:{batch})", [x, at], reference("GatherND", [x, at], batch_dims=batch))
    reductions = {"none": "None", "add": "Some(Sum)", "mul": "Some(Prod)", "max": "Some(Max)", "min": "Some(Min)"}
    for name, reduce in reductions.items():
        for axis in range(3):
            shape = [2, 2, 3]
            at = rng.integers(-x.shape[axis], x.shape[axis], shape).astype(np.int64)
            if name == "none":  # the order of writes to one place is not defined; avoid it
                order = np.argsort(rng.random((*shape[:axis], x.shape[axis], *shape[axis + 1 :])), axis)
                at = order.take(range(shape[axis]), axis)
            new = rng.integers(-9, 9, shape).astype(np.float32)
            y = reference("ScatterElements", [x, at, new], axis=axis, reduction=name)
            case(f"Scatter((mode:Elements(axis:{axis}),reduce:{reduce}))", [x, at, new], y)
        for k in [1, 2, 3]:
            at = np.stack([rng.integers(-n, n, (2, 2)) for n in x.shape[:k]], -1).astype(np.int64)
            if name == "none":
                at = np.array([[0, 1, 3], [2, 0, 0]], np.int64)[:, :k]
            new = rng.integers(-9, 9, (*at.shape[:-1], *x.shape[k:])).astype(np.float32)
            y = reference("ScatterND", [x, at, new], reduction=name)
            case(f"Scatter((mode:Nd,reduce:{reduce}))", [x, at, new], y)


def paddings(rng):
    x = rng.integers(-9, 9, (3, 4)).astype(np.float32)
    modes = {"constant": "Constant", "reflect": "Reflect", "edge": "Edge", "wrap": "Wrap"}
    for mode, spelled in modes.items():
        for pads in [[1, 0, 0, 2], [2, 3, 1, 1], [5, 0, 7, 9]]:
            value = np.float32(2.5)
            y = reference("Pad", [x, np.array(pads, np.int64), value], mode=mode)
            case(f"Pad(lo:{dims(pads[:2])},hi:{dims(pads[2:])},mode:{spelled})", [x, value], y)


def main():
    rng = np.random.default_rng(20)
    for group in [resizes, recurrents, selections, indexings, paddings]:
        group(rng)
    head = f"// Written by onnx_reference.py with onnx {onnx.__version__} and onnxruntime {onnxruntime.__version__}.\n[\n"
    pathlib.Path(__file__).with_suffix(".ron").write_text(head + "\n".join(lines) + "\n]\n")
    print(len(lines), "cases")


main()
