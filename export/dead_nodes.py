"""Names of the graph's outputs in a rewritten graph, and the nodes that it no longer needs."""

from __future__ import annotations

from collections import Counter
from typing import Any


def name_results(graph: Any) -> dict[str, str]:
    """Rename the tensors that have the names of the graph's outputs, and return old name to new.

    The rewritten graph uses the original names for its own outputs.
    """
    made = {name for node in graph.node for name in node.output}
    renamed = {
        output.name: f"{output.name}_computed" for output in graph.output if output.name in made
    }
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = renamed.get(name, name)
    return renamed


def without_dead(nodes: list[Any], outputs: set[str]) -> list[Any]:
    """Returns the nodes without those that are not needed.

    It drops nodes whose results are not used. It also drops an Identity node if the value that it
    copies can take the name of the copy.
    """
    needed, alive = set(outputs), list[Any]()
    for node in reversed(nodes):
        if any(name in needed for name in node.output):
            alive.append(node)
            needed.update(node.input)
    alive.reverse()
    uses = Counter(name for node in alive for name in node.input)
    makers = {name: node for node in alive for name in node.output}
    kept: list[Any] = []
    for node in alive:
        source = node.input[0] if node.op_type == "Identity" else ""
        if source in makers and uses[source] == 1:
            outputs_of = list(makers[source].output)
            del makers[source].output[:]
            makers[source].output.extend(
                node.output[0] if name == source else name for name in outputs_of
            )
        else:
            kept.append(node)
    return kept
