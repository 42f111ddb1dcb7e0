"""The Kubernetes manifests: the schemas, and names and times that agree with the server.

No cluster runs here.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from turnstream.stream.protocol import DEFAULT_PORT

from .deploy_files import FOLDER, assert_a_node_behind_a_balancer, shutdown_s
from .test_dashboard import known_labels

MANIFESTS = FOLDER / "kubernetes"
VERSION = "1.30"  # the oldest that the manifests are checked for
KUSTOMIZATION = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())
OBJECTS: list[dict[str, Any]] = [
    found
    for name in KUSTOMIZATION["resources"]
    for found in yaml.safe_load_all((MANIFESTS / name).read_text())
]


def of_kind(kind: str, name: str = "turnstream") -> dict[str, Any]:
    (found,) = (one for one in OBJECTS if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


POD = of_kind("Deployment")["spec"]["template"]
(NODE,) = POD["spec"]["containers"]
SETTINGS = dict(
    line.split("=", 1)
    for line in (MANIFESTS / "nodes.env").read_text().splitlines()
    if not line.startswith("#")
)


@pytest.mark.parametrize(
    "found", OBJECTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}"
)
def test_a_manifest_fits_its_schema(found: dict[str, Any]) -> None:
    kubernetes_validate.validate(found, VERSION, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_makes_all_objects() -> None:
    made = subprocess.run(
        ["kubectl", "kustomize", str(MANIFESTS)], capture_output=True, text=True, check=True
    ).stdout
    kinds = sorted(one["kind"] for one in yaml.safe_load_all(made))
    assert kinds == sorted(["ConfigMap", *(one["kind"] for one in OBJECTS)])


def test_every_file_is_used_or_is_of_the_adapter() -> None:
    used = {*KUSTOMIZATION["resources"], *KUSTOMIZATION["configMapGenerator"][0]["envs"]}
    there = {path.name for path in MANIFESTS.iterdir()}
    assert there - used == {"kustomization.yaml", "adapter.yaml"}


def test_the_settings_are_options_of_the_server() -> None:
    assert_a_node_behind_a_balancer(SETTINGS)
    assert NODE["envFrom"] == [
        {"configMapRef": {"name": KUSTOMIZATION["configMapGenerator"][0]["name"]}}
    ]
    (mount,) = NODE["volumeMounts"]
    assert Path(SETTINGS["TURNSTREAM_TOKEN_FILE"]).parent == Path(mount["mountPath"])


def test_the_variables_of_services_do_not_replace_the_servers() -> None:
    assert POD["spec"]["enableServiceLinks"] is False


def test_the_probes_ask_what_the_server_answers() -> None:
    (port,) = NODE["ports"]
    assert port["containerPort"] == DEFAULT_PORT
    paths = {
        name: probe["httpGet"]["path"] for name, probe in NODE.items() if name.endswith("Probe")
    }
    assert paths == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert {NODE[name]["httpGet"]["port"] for name in paths} == {port["name"]}
    assert of_kind("Service")["spec"]["ports"][0]["targetPort"] == port["name"]


def test_a_node_leaves_its_calls_to_the_others_and_has_time_for_it() -> None:
    _, seconds = NODE["lifecycle"]["preStop"]["exec"]["command"]
    assert POD["spec"]["terminationGracePeriodSeconds"] > int(seconds) + shutdown_s()


def test_a_node_needs_no_rights_and_no_writable_file() -> None:
    for name in ("turnstream", "turnstream-store"):
        pod = of_kind("Deployment", name)["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_nodes_follow_a_load_that_the_server_measures() -> None:
    scaler = of_kind("HorizontalPodAutoscaler")["spec"]
    (metric,) = scaler["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert name in known_labels()
    assert name in (MANIFESTS / "adapter.yaml").read_text()
    assert scaler["scaleTargetRef"]["name"] == of_kind("Deployment")["metadata"]["name"]
    assert "replicas" not in of_kind("Deployment")["spec"]  # an apply would undo the scaling


def test_selectors_choose_the_pods_that_they_are_meant_for() -> None:
    for name in ("turnstream", "turnstream-store"):
        labels = of_kind("Deployment", name)["spec"]["template"]["metadata"]["labels"]
        assert of_kind("Deployment", name)["spec"]["selector"]["matchLabels"] == labels
        assert of_kind("Service", name)["spec"]["selector"] == labels
    assert (
        of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
        == (POD["metadata"]["labels"])
    )
    policy = of_kind("NetworkPolicy", "turnstream-store")["spec"]
    assert policy["podSelector"]["matchLabels"] == {"app": "turnstream-store"}
    assert SETTINGS["TURNSTREAM_STORE"].startswith("redis://turnstream-store:6379/")
