"""Every query of the dashboard and of the alerts asks for what /metrics has."""

from __future__ import annotations

import json
import re
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from turnstream.stream.service.metrics import Metrics

from .deploy_files import FOLDER

DASHBOARD: dict[str, Any] = json.loads(
    (FOLDER / "grafana" / "dashboards" / "turnstream.json").read_text()
)
ALERTS = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
QUERIES = [
    (panel["title"], target["expr"], target.get("legendFormat", ""))
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
] + [(rule["alert"], rule["expr"], rule["annotations"]["summary"]) for rule in ALERTS]
BY_PROMETHEUS = {"instance", "job"}  # labels of every target


def known_labels() -> dict[str, set[str]]:
    """Return the labels of every sample that a server can give, by its name."""
    metrics = Metrics()
    metrics.session_closed("close")
    metrics.refused(503)
    metrics.error("idle")
    labels: dict[str, set[str]] = {"up": set()}
    for family in text_string_to_metric_families(metrics.exposition()[1].decode()):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def names_in(query: str) -> set[str]:
    return {*re.findall(r"\b(?:turnstream_\w+|up)\b", query)}


@pytest.mark.parametrize(("title", "query", "legend"), QUERIES)
def test_a_query_is_of_metrics_and_labels_that_the_server_has(
    title: str, query: str, legend: str
) -> None:
    promql_parser.parse(query.replace("$__rate_interval", "1m"))
    known = known_labels()
    assert names_in(query)
    assert names_in(query) <= {*known}
    allowed = BY_PROMETHEUS.union(*(known[name] for name in names_in(query)))
    used = re.findall(r"(\w+)\s*=~?\"", query)
    for group in re.findall(r"\bby \(([^)]*)\)", query):
        used += group.split(", ")
    used += re.findall(r"{{\s*(?:\$labels\.)?(\w+)\s*}}", legend)
    assert {*used} <= allowed, title


def test_the_dashboard_shows_every_metric() -> None:
    shown = set[str]().union(*(names_in(query) for _, query, _ in QUERIES))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known_labels()}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown} == families


def test_the_panels_do_not_overlap_and_have_one_source() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (at["x"] + column, at["y"] + row) for column in range(at["w"]) for row in range(at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    source = yaml.safe_load(
        (FOLDER / "grafana" / "provisioning" / "datasources" / "prometheus.yaml").read_text()
    )["datasources"][0]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
