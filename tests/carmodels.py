"""Small networks for the car, made without torch: they steer towards the brighter half of the picture."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH = 60, 80


def written(folder: Path, *, drive: float = 0.5, kind: str = "throttle", signs: bool = False, **about: Any) -> Path:
    """A folder that `CarModel` reads. about: changes of model.json."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def save(name: str, nodes: list, given: tuple, outputs: list[tuple[str, list]], values: dict) -> dict:
        known = [numpy_helper.from_array(np.asarray(value, np.float32), key) for key, value in values.items()]
        known += [numpy_helper.from_array(np.array([1, 3], np.int64), "axes")] if name == "trunk.onnx" else []
        graph = helper.make_graph(
            nodes, name.removesuffix(".onnx"), [helper.make_tensor_value_info(*given)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape) for output, shape in outputs], known,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        onnx.checker.check_model(model)
        data = model.SerializeToString()
        (folder / name).write_bytes(data)
        return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    folder.mkdir(parents=True, exist_ok=True)
    node, features = helper.make_node, ("features", TensorProto.FLOAT, ["n", WIDTH])
    files = {
        "trunk.onnx": save(
            "trunk.onnx",
            [node("Cast", ["picture"], ["floats"], to=TensorProto.FLOAT),
             node("ReduceMean", ["floats", "axes"], ["features"], keepdims=0)],
            ("picture", TensorProto.UINT8, ["n", HEIGHT, WIDTH, 3]), [("features", ["n", WIDTH])], {},
        ),
        "head.onnx": save(
            "head.onnx",
            [node("MatMul", ["features", "slope"], ["turned"]), node("Clip", ["turned", "low", "high"], ["steering"]),
             node("MatMul", ["features", "nothing"], ["zero"]), node("Add", ["zero", "wanted"], ["drive"])],
            features, [("steering", ["n"]), ("drive", ["n"])],
            {"slope": np.linspace(-1, 1, WIDTH) / 1000, "nothing": np.zeros(WIDTH), "wanted": drive, "low": -1,
             "high": 1},
        ),
    }  # fmt: skip
    if signs:  # a red picture's features are bright on the left only in the tests that ask
        slope = np.stack([np.zeros(WIDTH), np.where(np.arange(WIDTH) < 8, 1, 0), np.zeros(WIDTH)], 1)
        files["sign.onnx"] = save(
            "sign.onnx",
            [node("MatMul", ["features", "slope"], ["raw"]), node("Add", ["raw", "bias"], ["logits"])],
            features, [("logits", ["n", 3])], {"slope": slope, "bias": [0, -1000, -5]},
        )  # fmt: skip
    told = {
        "format": 1, "preprocess": {"function": "band", "height": HEIGHT, "width": WIDTH, "top": 0.0, "bottom": 0.0},
        "drive": {"kind": kind, "low": 0.0, "high": 1.0 if kind == "throttle" else 8.0},
        "signs": ["none", "stop", "other"] if signs else [], "rate": 20, "features": WIDTH, "multiply_adds": 400,
        "files": files, "training": {"run": "test"}, "commit": None, **about,
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(told))
    return folder
