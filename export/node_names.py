"""Names nodes by the part of the network that they belong to, so that a profile can be read.

A name is `part/number_kind`, such as `encoder/31_MatMul`. ONNX Runtime keeps the names of the nodes
that it fuses.
"""

from __future__ import annotations

import ast
from typing import Any

SCOPES = "pkg.torch.onnx.name_scopes"  # the exporter's list of enclosing modules
REST = "rest"  # what belongs to no module of the network


def name_parts(proto: Any) -> None:
    """Name every node of the exporter's graph, in place."""
    for number, node in enumerate(proto.graph.node):
        scopes = next((p.value for p in node.metadata_props if p.key == SCOPES), "[]")
        modules = [scope for scope in ast.literal_eval(scopes) if scope.startswith("model.")]
        part = modules[0].split(".")[1] if modules else REST
        node.name = node_name(part, number, node.op_type)


def node_name(part: str, number: int, kind: str) -> str:
    """Returns the name of a node."""
    return f"{part}/{number}_{kind}"


def part_of(name: str) -> str:
    """Returns the part of the network that a node's name tells."""
    return name.partition("/")[0] if "/" in name else REST
