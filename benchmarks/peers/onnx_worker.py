"""ONNX Runtime, which runs the network as an ONNX graph. It takes part in inference only."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers.serving import serve, timed


def graph_of(weights: dict[str, np.ndarray], size: int) -> onnx.ModelProto:
    """Builds images (batch, 3, size, size) -> logits (batch, 1), with the weights as constants."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def add(kind: str, *inputs: str, **options: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [f"x{len(nodes)}"], **options))
        return nodes[-1].output[0]

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def conv(x: str, path: str, stride: int = 1, same: bool = True) -> str:
        kernel = constant(f"{path}.kernel", weights[f"{path}.kernel"].transpose(3, 2, 0, 1))
        bias = constant(f"{path}.bias", weights[f"{path}.bias"])
        rows, columns = weights[f"{path}.kernel"].shape[:2]
        pads = [rows // 2, columns // 2] * 2 if same else [0] * 4
        return add("Relu", add("Conv", x, kernel, bias, strides=[stride] * 2, pads=pads))

    def chain(x: str, *paths: str) -> str:
        for path in paths:
            x = conv(x, path)
        return x

    def dense(x: str, path: str) -> str:
        kernel = constant(f"{path}.kernel", weights[f"{path}.kernel"])
        return add("Gemm", x, kernel, constant(f"{path}.bias", weights[f"{path}.bias"]))

    x = conv(conv(conv("images", "stem1", 2, False), "stem2", 1, False), "stem3")
    x = add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    for module in ("modules.0", "modules.1"):
        branches = [
            conv(x, f"{module}.branch1"),
            chain(x, *(f"{module}.branch3_{part}" for part in ("narrow", "column", "row"))),
            chain(x, *(f"{module}.branch5_{part}" for part in ("narrow", "column", "row"))),
            conv(add("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4), f"{module}.branch_pool"),
        ]
        x = add("Concat", *branches, axis=1)
    x = conv(add("AveragePool", x, kernel_shape=[5, 5], strides=[3, 3]), "auxiliary_head.narrow")
    x = add("Flatten", add("Transpose", x, perm=[0, 2, 3, 1]))
    x = add("Relu", dense(x, "auxiliary_head.classifier.hidden"))
    x = dense(x, "auxiliary_head.classifier.logit")
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, size, size])
    logits = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["n", 1])
    graph = helper.make_graph(nodes, "inception", [images], [logits], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def inference(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times the session over several batches."""
    with np.load(options["weights"]) as weights:
        arrays = dict(weights)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = os.cpu_count() or 1
    session = onnxruntime.InferenceSession(
        graph_of(arrays, options["size"]).SerializeToString(),
        settings,
        providers=["CPUExecutionProvider"],
    )
    films = np.repeat(arrays["images"].astype("f4") / 255, 3, -1).transpose(0, 3, 1, 2).copy()
    count = options["films"]
    batches = [films[: min(count, len(films))]] * max(1, count // len(films))

    def predict() -> None:
        for batch in batches:
            session.run(None, {"images": batch})

    logits = session.run(None, {"images": films})[0][:, 0].tolist()
    predict()
    names = [name for name in arrays if name != "images"]
    facts = {
        "versions": f"ONNX Runtime {onnxruntime.__version__}",
        "parameters": sum(arrays[name].size for name in names),
        "logits": logits,
    }
    return facts, lambda: timed(predict)


if __name__ == "__main__":
    serve({"inference": inference})
