"""An ONNX graph under construction, with versions pinned and names numbered: the same model gives the same bytes."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import NotConvertible

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

IR_VERSION = 10
OPSETS = {"": 21, "ai.onnx.ml": 5}  # the first of the latter with trees in 64 bits
LARGEST_BYTES = 2_000_000_000  # what a protobuf message can hold


class Graph:
    """Nodes and constants.

    Parameters
    ----------
    taken : iterable of str
        Names of inputs and outputs, which values within must not have.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = set(taken)
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.n_names = [0]

    def name(self, what: str) -> str:
        """Return a name of a value that no other has."""
        while True:
            self.n_names[0] += 1
            name = f"{what}_{self.n_names[0]}"
            if name not in self.taken:
                return name

    def node(
        self, operator: str, *inputs: str, into: str = "", outputs: int = 1, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node and return the name of its last output: `into`, or a new one."""
        from onnx import helper

        names = [self.name(operator) for _ in range(outputs)]
        names[-1] = into or names[-1]
        node = helper.make_node(operator, inputs, names, domain=domain)
        node.attribute.extend(_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(node)
        return names[-1]

    def constant(self, values: Any) -> str:
        """Add a constant array; of text where its type is object."""
        from onnx import numpy_helper

        name = self.name("constant")
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def cast(self, value: str, dtype: str, into: str = "") -> str:
        """Convert to ``FLOAT``, ``DOUBLE``, ``INT64`` or ``BOOL``."""
        from onnx import TensorProto

        return self.node("Cast", value, into=into, to=TensorProto.DataType.Value(dtype))

    def within(self) -> "Graph":
        """Return a graph for a node of this one, whose names and constants are this one's."""
        inner = Graph(())
        inner.taken, inner.constants, inner.n_names = self.taken, self.constants, self.n_names
        return inner

    def body(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> "GraphProto":
        """Return the nodes of `within` as an attribute of a node; inputs and outputs are doubles of these lengths."""
        from onnx import helper

        taken, given = ([value_info(name, "DOUBLE", [n]) for name, n in ends.items()] for ends in (inputs, outputs))
        return helper.make_graph(self.nodes, "body", taken, given)

    def model(self, inputs: list["ValueInfoProto"], outputs: list["ValueInfoProto"]) -> "ModelProto":
        """Return the checked model.

        Raises
        ------
        NotConvertible
            When it is larger than ONNX allows.
        """
        from onnx import checker, helper

        graph = helper.make_graph(self.nodes, "raw_rows", inputs, outputs, initializer=self.constants)
        refuse_larger(graph.ByteSize())
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        checker.check_model(model, full_check=True)
        return model


def refuse_larger(n_bytes: int) -> None:
    """Raise `NotConvertible` when a model of so many bytes does not fit into a protobuf message."""
    if n_bytes > LARGEST_BYTES:
        raise NotConvertible(
            f"the model would take {n_bytes / 1e9:.1f} GB as ONNX, which ends at {LARGEST_BYTES / 1e9:.0f} GB",
            "fit fewer or shallower trees, or serve the MLflow model",
        )


def value_info(name: str, dtype: str, shape: list[int | None]) -> "ValueInfoProto":
    """Describe an input or output."""
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.DataType.Value(dtype), shape)


def _attribute(name: str, value: Any) -> Any:
    from onnx import AttributeProto, helper, numpy_helper

    if not isinstance(value, np.ndarray):
        return helper.make_attribute(name, value)
    if value.dtype.kind == "f" or value.dtype == np.uint8:
        return helper.make_attribute(name, numpy_helper.from_array(value, name))
    return AttributeProto(name=name, type=AttributeProto.INTS, ints=value.tolist())
