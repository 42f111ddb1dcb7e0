"""compose.yaml: the schema, and names that agree between its files and the server."""

from __future__ import annotations

import subprocess
import sys

import yaml

from turnstream.stream.protocol import DEFAULT_PORT

from .deploy_files import COMPOSE, FOLDER, assert_a_node_behind_a_balancer, shutdown_s

SERVICES = COMPOSE["services"]
NODES = {name: one for name, one in SERVICES.items() if one["image"] == "turnstream"}


def test_it_fits_the_schema_of_compose() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(FOLDER / "compose.yaml")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_settings_are_options_of_the_server() -> None:
    assert len(NODES) == 2
    for node in NODES.values():
        assert_a_node_behind_a_balancer(node["environment"])


def test_every_node_is_behind_the_balancer_and_watched() -> None:
    addresses = {f"{name}:{DEFAULT_PORT}" for name in NODES}
    balancer = SERVICES["balancer"]["environment"]
    assert {balancer["NODE_1"], balancer["NODE_2"]} == addresses
    configuration = (FOLDER / "haproxy.cfg").read_text()
    assert all(f'"${{{name}}}"' in configuration for name in balancer)
    prometheus = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    (job,) = prometheus["scrape_configs"]
    assert {*job["static_configs"][0]["targets"]} == addresses
    token = job["authorization"]["credentials_file"]
    assert {node["environment"]["TURNSTREAM_TOKEN_FILE"] for node in NODES.values()} == {token}
    assert token == f"/run/secrets/{next(iter(COMPOSE['secrets']))}"


def test_the_nodes_have_time_to_end_their_sessions() -> None:
    for node in NODES.values():
        assert int(node["stop_grace_period"].removesuffix("s")) > shutdown_s()


def test_every_file_that_is_mounted_is_there() -> None:
    mounted = [
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ]
    assert len(mounted) > 3
    assert all((FOLDER / path).exists() for path in mounted)


def test_a_container_waits_only_for_those_that_say_when_they_are_healthy() -> None:
    for service in SERVICES.values():
        for name, awaited in service.get("depends_on", {}).items():
            assert awaited["condition"] == "service_healthy"
            assert name in NODES or "healthcheck" in SERVICES[name]  # the image has one


def test_only_the_nodes_reach_the_store() -> None:
    reach = {name for name, one in SERVICES.items() if "store" in one.get("networks", [])}
    assert reach == {*NODES, "store"}
    assert COMPOSE["networks"]["store"]["internal"] is True
    assert "ports" not in SERVICES["store"]
