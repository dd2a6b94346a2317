"""Build an ONNX graph reproducibly: versions are pinned and names numbered, so the same model gives the same bytes."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import NotConvertible

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

IR_VERSION = 10
OPSETS = {"": 21, "ai.onnx.ml": 5}  # ai.onnx.ml 5 is the first with trees in 64 bits
MAX_BYTES = 2_000_000_000  # limit of a protobuf message


class Graph:
    """An ONNX graph under construction: its nodes and constants.

    Parameters
    ----------
    reserved_names : iterable of str
        Names of the graph's inputs and outputs, which no other value may take.
    """

    def __init__(self, reserved_names: Iterable[str]) -> None:
        self.reserved_names = set(reserved_names)
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.n_names = [0]

    def name(self, what: str) -> str:
        """Return a new, unique name for a value."""
        while True:
            self.n_names[0] += 1
            name = f"{what}_{self.n_names[0]}"
            if name not in self.reserved_names:
                return name

    def node(
        self, operator: str, *inputs: str, into: str = "", outputs: int = 1, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node and return the name of its last output: `into` if given, otherwise a new name."""
        from onnx import helper

        names = [self.name(operator) for _ in range(outputs)]
        names[-1] = into or names[-1]
        node = helper.make_node(operator, inputs, names, domain=domain)
        node.attribute.extend(_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(node)
        return names[-1]

    def constant(self, values: Any) -> str:
        """Add a constant array and return its name; an object array holds strings."""
        from onnx import numpy_helper

        name = self.name("constant")
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def cast(self, value: str, dtype: str, into: str = "") -> str:
        """Add a conversion to ``FLOAT``, ``DOUBLE``, ``INT64`` or ``BOOL`` and return the name of its output."""
        from onnx import TensorProto

        return self.node("Cast", value, into=into, to=TensorProto.DataType.Value(dtype))

    def subgraph(self) -> "Graph":
        """Return an empty subgraph for an attribute of a node; it shares this graph's names and constants."""
        subgraph = Graph(())
        subgraph.reserved_names, subgraph.n_names = self.reserved_names, self.n_names
        subgraph.constants = self.constants
        return subgraph

    def body(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> "GraphProto":
        """Return this subgraph, from `subgraph`, as the attribute of a node.

        Parameters
        ----------
        inputs, outputs : mapping of str to int
            Length of each input and output, a vector of doubles.
        """
        from onnx import helper

        input_infos, output_infos = (
            [value_info(name, "DOUBLE", [length]) for name, length in lengths.items()] for lengths in (inputs, outputs)
        )
        return helper.make_graph(self.nodes, "body", input_infos, output_infos)

    def model(self, inputs: list["ValueInfoProto"], outputs: list["ValueInfoProto"]) -> "ModelProto":
        """Return the graph as a model, validated by ONNX's checker.

        Raises
        ------
        NotConvertible
            If the model exceeds the size limit of ONNX.
        """
        from onnx import checker, helper

        graph = helper.make_graph(self.nodes, "raw_rows", inputs, outputs, initializer=self.constants)
        check_size(graph.ByteSize())
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        checker.check_model(model, full_check=True)
        return model


def check_size(n_bytes: int) -> None:
    """Raise `NotConvertible` if a model of this size does not fit into a protobuf message."""
    if n_bytes > MAX_BYTES:
        raise NotConvertible(
            f"the model would take {n_bytes / 1e9:.1f} GB as ONNX, whose limit is {MAX_BYTES / 1e9:.0f} GB",
            "fit fewer or shallower trees, or serve the MLflow model",
        )


def value_info(name: str, dtype: str, shape: list[int | None]) -> "ValueInfoProto":
    """Return the description of an input or output; None in `shape` is a dynamic dimension."""
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.DataType.Value(dtype), shape)


def _attribute(name: str, value: Any) -> Any:
    from onnx import AttributeProto, helper, numpy_helper

    if not isinstance(value, np.ndarray):
        return helper.make_attribute(name, value)
    if value.dtype.kind == "f" or value.dtype == np.uint8:
        return helper.make_attribute(name, numpy_helper.from_array(value, name))
    return AttributeProto(name=name, type=AttributeProto.INTS, ints=value.tolist())
