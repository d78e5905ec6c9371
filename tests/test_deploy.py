"""The files in deploy/ agree with the service and with each other. Nothing is built here and no cluster is asked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from voicebot.commands import settings
from voicebot.config import Settings
from voicebot.core.plan import Limits
from voicebot.replay.watch import Figures
from voicebot.service.health import Metrics

DEPLOY = Path(__file__).parents[1] / "deploy"
GOODBYE_S = 20
"""What a drain may take beyond its deadline."""


def read(name: str) -> str:
    return (DEPLOY / name).read_text("utf-8")


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(read("compose.yaml"))
    return found


def kubernetes() -> dict[str, Any]:
    """Objects by kind."""
    return {item["kind"]: item for item in yaml.safe_load_all(read("kubernetes/voicebot.yaml"))}


def families() -> dict[str, str]:
    """Every metric that the service exposes, or `voicebot replay watch`, and its type."""
    return {f.name: f.type for registry in (Metrics().registry, Figures().registry) for f in registry.collect()}


def metric_names() -> set[str]:
    """Every name as Prometheus stores it."""
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    return {name + end for name, kind in families().items() for end in suffixes[kind]}


def longest_call_s() -> int:
    """The longest that a dialplan may allow."""
    bounds = Limits.model_fields["max_call_s"].metadata
    return next(int(bound.le) for bound in bounds if hasattr(bound, "le"))


def seconds(text: str) -> int:
    return int(text.strip('"').removesuffix("s"))


@pytest.mark.parametrize("file", sorted(DEPLOY.rglob("*.y*ml")), ids=lambda file: str(file.relative_to(DEPLOY)))
def test_every_yaml_file_can_be_read(file: Path) -> None:
    assert all(isinstance(document, dict) for document in yaml.safe_load_all(file.read_text("utf-8")))


def test_dashboard_and_alerts_ask_for_metrics_that_the_service_has() -> None:
    dashboard = json.loads(read("grafana/voicebot.json"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [
        rule["expr"] for group in yaml.safe_load(read("prometheus/alerts.yml"))["groups"] for rule in group["rules"]
    ]
    named = set(re.findall(r"\bvoicebot_\w+", " ".join(asked)))
    assert set() == named - metric_names()


def test_the_dashboard_shows_every_metric_there_is() -> None:
    shown = set(re.findall(r"\bvoicebot_\w+", read("grafana/voicebot.json")))
    assert set() == {family for family in families() if not any(name.startswith(family) for name in shown)}


def test_no_panel_of_the_dashboard_lies_on_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads(read("grafana/voicebot.json"))["panels"]:
        at = panel["gridPos"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            assert 0 <= cell[0] < 24
            taken[cell] = panel["title"]


def test_the_dashboard_uses_the_data_source_that_is_provisioned() -> None:
    uids = {source["uid"] for source in yaml.safe_load(read("grafana/datasource.yaml"))["datasources"]}
    panels = json.loads(read("grafana/voicebot.json"))["panels"]
    assert uids == {panel["datasource"]["uid"] for panel in panels}


def test_only_settings_that_exist_are_set() -> None:
    known = {variable for name, field in Settings.model_fields.items() for variable in settings.variables(name, field)}
    text = "".join(file.read_text("utf-8") for file in DEPLOY.rglob("*") if file.is_file() and file.suffix != ".png")
    assert set() == set(re.findall(r"\bVOICEBOT_[A-Z_]*[A-Z]\b", text)) - known


def test_nobody_is_killed_while_calls_drain() -> None:
    service = compose()["services"]["voicebot"]
    assert seconds(service["stop_grace_period"]) >= int(service["environment"]["VOICEBOT_DRAIN_SECONDS"]) + GOODBYE_S

    objects = kubernetes()
    grace_s = objects["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s >= int(objects["ConfigMap"]["data"]["VOICEBOT_DRAIN_SECONDS"]) + GOODBYE_S

    unit = read("systemd/voicebot.service")
    stop, drain = re.search(r"TimeoutStopSec=(\d+)", unit), re.search(r"VOICEBOT_DRAIN_SECONDS=(\d+)", unit)
    assert stop
    assert drain
    assert int(stop[1]) >= int(drain[1]) + GOODBYE_S


def test_a_proxy_lets_the_longest_call_end_by_itself() -> None:
    timeouts = [seconds(value) for value in re.findall(r"proxy_(?:read|send)_timeout (\w+);", read("nginx.conf"))]
    notes = kubernetes()["Ingress"]["metadata"]["annotations"]
    timeouts += [seconds(value) for name, value in notes.items() if name.endswith(("read-timeout", "send-timeout"))]
    assert 4 == len(timeouts)
    assert min(timeouts) > longest_call_s()


def test_the_kubernetes_objects_find_each_other() -> None:
    objects = kubernetes()
    pod = objects["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert objects["Service"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert {port["targetPort"] for port in objects["Service"]["spec"]["ports"]} <= set(ports)
    assert Settings.model_fields["port"].default == ports["http"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["spec"]["volumes"]
    }
    (rule,) = objects["Ingress"]["spec"]["rules"]
    assert objects["Service"]["metadata"]["name"] == rule["http"]["paths"][0]["backend"]["service"]["name"]
    assert objects["ConfigMap"]["data"]["VOICEBOT_PUBLIC_URL"] == f"https://{rule['host']}"
    probes = {container[kind]["httpGet"]["path"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert {"/healthz", "/readyz"} == probes


def test_the_image_runs_as_nobody_in_particular_and_copies_what_is_there() -> None:
    dockerfile = read("Dockerfile")
    assert "\nUSER 10001:10001\n" in dockerfile
    assert "/healthz" in dockerfile
    allowed = {line[1:].rstrip("/") for line in (DEPLOY.parent / ".dockerignore").read_text().split() if line[0] == "!"}
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.M):
        for name in copied.split():
            assert (DEPLOY.parent / name).exists(), name
            assert name in allowed


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    unit = read("systemd/voicebot.service").replace("/opt/voicebot/.venv/bin/voicebot", "/bin/true")
    (tmp_path / "voicebot.service").write_text(unit)
    command = ["systemd-analyze", "verify", str(tmp_path / "voicebot.service")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (0, "") == (ran.returncode, ran.stderr)
