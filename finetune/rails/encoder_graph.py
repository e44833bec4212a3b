"""Writes the computation of all-MiniLM-L6-v2 without its weights, cut in two after the third layer.

    python -m guardrail.finetune.rails.encoder_graph index

A BERT encoder (Devlin et al. 2019) of six post-norm layers, in ONNX Runtime's fused operators. Weights are named as in `model.safetensors` and
marked external: `guardrail.index.encoder` hands them over from the file itself, so the graphs stay a few kilobytes and torch is never needed.

    minilm_lower.onnx   embeddings      float32 (batch, length, 384)    sum of word, position and type embeddings
                        attention_mask  int32 (batch, length)           1 for a token, 0 for padding
                        states          float32 (batch, length, 384)    the third layer
    minilm_upper.onnx   hidden          float32 (batch, length, 384)    the third layer
                        attention_mask  int32 (batch, length)
                        states          float32 (batch, length, 384)    the last layer

The upper graph runs twice on the same lower states: with the model's own weights for retrieval, and with those of the safety branch for the classifiers.
The embedding table stays outside because ONNX Runtime would copy it (45 MiB) to look up a dozen rows.
"""

from __future__ import annotations

import sys
from pathlib import Path

from onnx import ModelProto, NodeProto, TensorProto, helper

LAYERS = 6
SHARED = 3
"""Layers that both branches read."""
HEADS = 12
HIDDEN = 384
INTERMEDIATE = 1536
EPSILON = 1e-12
CONTRIB = "com.microsoft"


def lower() -> ModelProto:
    """Embeddings to the third layer; deterministic, so two builds are equal byte for byte."""
    weights: dict[str, tuple[int, ...]] = {"embeddings.LayerNorm.weight": (HIDDEN,), "embeddings.LayerNorm.bias": (HIDDEN,)}
    first = helper.make_node("LayerNormalization", ["embeddings", *weights], ["states.0"], epsilon=EPSILON)
    layers, weights = _layers(range(SHARED), "states.0", weights)
    return _model("all-MiniLM-L6-v2 lower", "embeddings", [first, *layers], weights)


def upper() -> ModelProto:
    """The third layer to the last."""
    nodes, weights = _layers(range(SHARED, LAYERS), "hidden", {})
    return _model("all-MiniLM-L6-v2 upper", "hidden", nodes, weights)


def _layers(numbers: range, states: str, weights: dict[str, tuple[int, ...]]) -> tuple[list[NodeProto], dict[str, tuple[int, ...]]]:
    """The nodes of some layers in a row, and `weights` with theirs."""
    nodes = []
    for layer in numbers:
        output = "states" if layer == numbers[-1] else f"states.{layer + 1}"
        nodes += _layer(f"encoder.layer.{layer}.", states, output, weights)
        states = output
    return nodes, weights


def _model(name: str, source: str, nodes: list[NodeProto], weights: dict[str, tuple[int, ...]]) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        name,
        [
            helper.make_tensor_value_info(source, TensorProto.FLOAT, ["batch", "length", HIDDEN]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT32, ["batch", "length"]),
        ],
        [helper.make_tensor_value_info("states", TensorProto.FLOAT, ["batch", "length", HIDDEN])],
        initializer=[_external(weight, shape) for weight, shape in weights.items()],
    )
    return helper.make_model(graph, producer_name="guardrail", ir_version=10, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)])


def _layer(prefix: str, states: str, output: str, weights: dict[str, tuple[int, ...]]) -> list[NodeProto]:
    """One transformer layer: softmax(QK'/sqrt(32))V over twelve heads, then the feed-forward part, each added to its input and normalised."""

    def weight(name: str, *shape: int) -> str:
        weights[prefix + name] = shape
        return prefix + name

    def dense(name: str, source: str, out_features: int, in_features: int) -> NodeProto:
        # transB: the file holds (out, in), and packing transposes on the fly instead of copying the matrix first.
        matrix = weight(f"{name}.weight", out_features, in_features)
        return helper.make_node("FusedMatMul", [source, matrix], [f"{prefix}{name}"], domain=CONTRIB, transB=1)

    def add_and_normalise(source: str, skip: str, name: str, target: str) -> NodeProto:
        inputs = [source, skip, weight(f"{name}.LayerNorm.weight", HIDDEN), weight(f"{name}.LayerNorm.bias", HIDDEN), weight(f"{name}.dense.bias", HIDDEN)]
        return helper.make_node("SkipLayerNormalization", inputs, [target], domain=CONTRIB, epsilon=EPSILON)

    parts = ("query", "key", "value")
    projections = [dense(f"attention.self.{part}", states, HIDDEN, HIDDEN) for part in parts]
    biases = [weight(f"attention.self.{part}.bias", HIDDEN) for part in parts]
    return [
        *projections,
        helper.make_node("Concat", biases, [f"{prefix}qkv_bias"], axis=0),
        helper.make_node(
            "MultiHeadAttention",
            [*(f"{prefix}attention.self.{part}" for part in parts), f"{prefix}qkv_bias", "attention_mask"],
            [f"{prefix}context"],
            domain=CONTRIB,
            num_heads=HEADS,
        ),
        dense("attention.output.dense", f"{prefix}context", HIDDEN, HIDDEN),
        add_and_normalise(f"{prefix}attention.output.dense", states, "attention.output", f"{prefix}attended"),
        dense("intermediate.dense", f"{prefix}attended", INTERMEDIATE, HIDDEN),
        helper.make_node("BiasGelu", [f"{prefix}intermediate.dense", weight("intermediate.dense.bias", INTERMEDIATE)], [f"{prefix}activated"], domain=CONTRIB),
        dense("output.dense", f"{prefix}activated", HIDDEN, INTERMEDIATE),
        add_and_normalise(f"{prefix}output.dense", f"{prefix}attended", "output", output),
    ]


def _external(name: str, shape: tuple[int, ...]) -> TensorProto:
    """A weight whose values are not in the graph."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="model.safetensors")
    return tensor


if __name__ == "__main__":
    for file, model in (("minilm_lower.onnx", lower()), ("minilm_upper.onnx", upper())):
        Path(sys.argv[1], file).write_bytes(model.SerializeToString(deterministic=True))
