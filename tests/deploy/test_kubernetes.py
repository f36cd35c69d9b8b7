"""The overlays are valid, their parts find each other, and pods may do no more than they need."""

import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from manifests import (
    DEPLOY,
    OVERLAYS,
    WORKLOADS,
    Manifest,
    named,
    needs_kubectl,
    of_kind,
    pods,
    render,
    rendered,
    selected,
    settings_of,
)
from operator_fields import FIELDS
from promql import ALERTS

pytestmark = needs_kubectl

OF_OPERATORS = {"ServiceMonitor", "PrometheusRule", *FIELDS}
EMBEDD = {"app.kubernetes.io/name": "embedd"}
READS_LOG_FILES = "collector"
CANCEL_AND_SNAPSHOTS_S = 20


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid_to_the_last_field(overlay: str) -> None:
    version = kubernetes_validate.latest_version()
    for manifest in rendered(overlay):
        if manifest["kind"] not in OF_OPERATORS:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_finds_the_pods_it_means(overlay: str) -> None:
    for one in of_kind(overlay, *WORKLOADS, "PodDisruptionBudget"):
        name = one["metadata"]["name"]
        assert selected(one["spec"]["selector"]["matchLabels"], overlay) == {name}
    services = {
        one["metadata"]["name"]: selected(one["spec"]["selector"], overlay)
        for one in of_kind(overlay, "Service")
    }
    assert services.pop("embedd-pods", {"embedd"}) == {"embedd"}
    assert services == {name: {name} for name in services}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_and_probes_name_ports_that_the_pods_have(overlay: str) -> None:
    for service in of_kind(overlay, "Service"):
        (name,) = selected(service["spec"]["selector"], overlay)
        targets = {port["targetPort"] for port in service["spec"]["ports"]}
        assert targets <= {port["name"] for port in _container(pods(overlay)[name])["ports"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_a_pod_mounts_and_reads_is_there(overlay: str) -> None:
    maps = {one["metadata"]["name"] for one in of_kind(overlay, "ConfigMap")}
    for one in of_kind(overlay, *WORKLOADS):
        spec = one["spec"]["template"]["spec"]
        claims = {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"] for volume in spec["volumes"]} | claims
        container = _container(one["spec"]["template"])
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        read = [source["configMapRef"]["name"] for source in container["envFrom"] if "configMapRef" in source]
        read += [volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume]
        assert set(read) <= maps


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_run_as_nobody_and_write_nowhere_else(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        container = _container(pod)
        allowed = container["securityContext"]
        assert allowed["readOnlyRootFilesystem"] is True
        assert allowed["allowPrivilegeEscalation"] is False
        assert allowed["capabilities"]["drop"] == ["ALL"]
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        if name != READS_LOG_FILES:
            assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
            assert {"/data", "/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_has_longer_to_end_than_its_drain_takes(overlay: str) -> None:
    drain_s = float(settings_of(overlay)["EMBEDD_DRAIN_TIMEOUT_S"])
    for pod in _of_embedd(overlay).values():
        (_, pause_s) = _container(pod)["lifecycle"]["preStop"]["exec"]["command"]
        assert (
            pod["spec"]["terminationGracePeriodSeconds"] >= float(pause_s) + drain_s + CANCEL_AND_SNAPSHOTS_S
        )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_what_they_are_for(overlay: str) -> None:
    for pod in _of_embedd(overlay).values():
        container = _container(pod)
        asked = {kind: _asked(container[f"{kind}Probe"]) for kind in ("startup", "liveness", "readiness")}
        assert asked == {"startup": "/startupz", "liveness": "/healthz", "readiness": "/readyz"}
        assert pod["spec"]["enableServiceLinks"] is False, "or EMBEDD_PORT is tcp://..."


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_policies_let_in_and_out_whom_they_name(overlay: str) -> None:
    closed = [
        selected(one["spec"]["podSelector"]["matchLabels"], overlay)
        for one in of_kind(overlay, "NetworkPolicy")
        if one["metadata"]["name"] in _of_embedd(overlay)
    ]
    assert set().union(*closed) == _of_embedd(overlay).keys()
    policy = named(overlay, "NetworkPolicy", "embedd")["spec"]
    (peer,) = policy["ingress"][0]["from"]
    assert peer["podSelector"]["matchLabels"] == {"embedd-client": "true"}
    (names,) = policy["egress"][0]["to"]
    assert names["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}


def test_the_index_is_one_replica_and_only_what_shares_nothing_is_scaled() -> None:
    assert named("production", "StatefulSet", "embedd")["spec"]["replicas"] == 1
    (scaler,) = of_kind("production", "HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["kind"] == "Deployment"
    target = named("production", "Deployment", scaler["spec"]["scaleTargetRef"]["name"])
    assert "replicas" not in target["spec"], "or every apply would undo what the autoscaler did"
    (metric,) = scaler["spec"]["metrics"]
    adapter = yaml.safe_load((DEPLOY / "prometheus" / "adapter.yaml").read_text())
    (rule,) = adapter["rules"]["custom"]
    assert rule["seriesQuery"].startswith(metric["pods"]["metric"]["name"] + "{")


def test_production_runs_on_the_gpu_nodes() -> None:
    for pod in _of_embedd("production").values():
        assert pod["spec"]["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
        assert pod["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"
        container = _container(pod)
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert container["image"].endswith("-cuda")


def test_the_operator_gets_the_alerts_word_for_word_and_scrapes_each_pod_once() -> None:
    rule = named("production", "PrometheusRule", "embedd")
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())
    monitor = named("production", "ServiceMonitor", "embedd")["spec"]
    (must_have,) = monitor["selector"]["matchExpressions"]
    scraped = [
        service
        for service in of_kind("production", "Service")
        if EMBEDD.items() <= service["metadata"]["labels"].items()
        and must_have["key"] in service["metadata"]["labels"]
    ]
    assert sorted(one["metadata"]["name"] for one in scraped) == ["embedd", "embedd-embedders"]
    assert monitor["selector"]["matchLabels"] == EMBEDD
    assert scraped[0]["metadata"]["labels"][monitor["jobLabel"]] == "embedd", "the job that the alerts name"
    (endpoint,) = monitor["endpoints"]
    assert all(endpoint["port"] in {port["name"] for port in one["spec"]["ports"]} for one in scraped)


def test_the_collector_reads_the_logs_and_takes_the_traces_of_embedd() -> None:
    configuration = yaml.safe_load((DEPLOY / "collector" / "collector.yaml").read_text())
    for pipeline in configuration["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= configuration[kind].keys()
    assert set(configuration["service"]["extensions"]) == configuration["extensions"].keys()
    service = named("production", "Service", "collector")["spec"]["ports"][0]
    endpoint = settings_of("production")["EMBEDD_OTLP_ENDPOINT"]
    assert endpoint == f"http://collector:{service['port']}"
    assert configuration["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].endswith(f":{service['port']}")
    (pattern,) = configuration["receivers"]["filelog"]["include"]
    mounts = {one["mountPath"] for one in _container(pods("production")["collector"])["volumeMounts"]}
    assert pattern == "/var/log/pods/*_embedd*/embedd/*.log"
    assert mounts >= {"/var/log/pods", configuration["extensions"]["file_storage"]["directory"]}
    assert {_container(pod)["name"] for pod in _of_embedd("production").values()} == {"embedd"}


def test_with_certificates_probes_ask_over_tls_what_they_asked_before(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "kubernetes", tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes" / "overlays" / "dev"
    kustomization = overlay / "kustomization.yaml"
    kustomization.write_text(f"{kustomization.read_text()}components: [../../components/tls]\n")
    manifests = render(overlay)
    for one in manifests:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    (pod,) = (one["spec"]["template"] for one in manifests if one["kind"] == "StatefulSet")
    container, before = _container(pod), _container(pods("dev")["embedd"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == before[probe]["httpGet"] | {"scheme": "HTTPS"}
    (settings,) = (one["data"] for one in manifests if one["kind"] == "ConfigMap")
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    for name in ("EMBEDD_TLS_CERT", "EMBEDD_TLS_KEY"):
        assert settings[name].rpartition("/")[0] in mounted


def _container(pod: Manifest) -> Any:
    (container,) = pod["spec"]["containers"]
    return container


def _asked(probe: Manifest) -> str:
    """The path that a probe asks for, by itself or through a command whose last word it is."""
    path: str = probe["httpGet"]["path"] if "httpGet" in probe else probe["exec"]["command"][-1]
    return path


def _of_embedd(overlay: str) -> dict[str, Manifest]:
    return {name: pod for name, pod in pods(overlay).items() if name != READS_LOG_FILES}
