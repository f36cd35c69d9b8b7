"""The overlay of many replicas: custom resources as their operators read them, stores by the names that these
give them, passwords in Secrets alone.
"""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from manifests import Manifest, environment, named, needs_kubectl, of_kind, pods, rendered, settings_of
from operator_fields import FIELDS, VALUES, of_pods, unknown_fields

from api.settings import Settings, load_settings
from embedd.remote.specs import parse_remote
from embedd.specs import split_name
from index.postgres.address import parse_address

pytestmark = needs_kubectl

OVERLAY = "scale"
SERVICE, MODELS = "embedd", "embedd-models"
CONNECTIONS_OF_A_SERVICE = 21


@pytest.fixture(params=[SERVICE, MODELS])
def workload(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def settings(workload: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment(OVERLAY, workload).items():
        monkeypatch.setenv(name, value)
    return load_settings({})


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_a_custom_resource_has_the_fields_that_its_operator_knows(kind: str) -> None:
    (manifest,) = of_kind(OVERLAY, kind)
    spec = manifest["spec"]
    assert list(unknown_fields(kind, spec)) == []
    for (of, path), allowed in VALUES.items():
        if of == kind:
            assert at(spec, path) in allowed, path


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_what_it_says_of_pods_is_as_in_kubernetes(kind: str) -> None:
    (manifest,) = of_kind(OVERLAY, kind)
    version = kubernetes_validate.latest_version()
    for said in of_pods(manifest["spec"]):
        container = {"name": "any", "image": "any", "resources": said.get("resources", {})}
        spread = said.get("topologySpreadConstraints", [])
        pod = {"containers": [container], "topologySpreadConstraints": spread}
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "any"}, "spec": pod}
        kubernetes_validate.validate(whole, version, strict=True)


def test_the_settings_of_a_workload_can_be_used(workload: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = {
        name
        for name in environment(OVERLAY, workload)
        if name.startswith("EMBEDD_") and name.removeprefix("EMBEDD_").lower() not in Settings.model_fields
    }
    assert {name for name in unknown if not name.startswith("EMBEDD_KEY_")} == set()
    said = settings(workload, monkeypatch)
    assert said.log_format == "json"
    container = one_container(pods(OVERLAY)[workload])
    mounts = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]
    for name, value in said:
        if isinstance(value, Path) and value.is_absolute():
            assert any(value.is_relative_to(mount) for mount in mounts), f"{name} is in no volume"


def test_the_service_reaches_what_the_operators_make(monkeypatch: pytest.MonkeyPatch) -> None:
    said = settings(SERVICE, monkeypatch)
    catalog, (replica,) = parse_address(said.catalog), map(parse_address, said.catalog_replicas)
    (cluster,) = of_kind(OVERLAY, "Cluster")
    (milvus,) = of_kind(OVERLAY, "Milvus")
    name, database = cluster["metadata"]["name"], cluster["spec"]["bootstrap"]["initdb"]["database"]
    assert catalog.shown == f"postgresql://secret@{name}-rw:5432/{database}"
    assert replica.shown == f"postgresql://secret@{name}-ro:5432/{database}"
    assert all("sslmode=verify-full" in one.url for one in (catalog, replica))
    assert said.vectors == f"http://secret:secret@{milvus['metadata']['name']}-milvus:19530"
    assert said.role == "all"


def test_no_password_stands_in_a_manifest() -> None:
    texts = [str(one) for one in rendered(OVERLAY)]
    credentials = [found for text in texts for found in re.findall(r"://[^/\s@'\"]+:([^/\s@'\"]+)@", text)]
    assert set(credentials) == {"$(POSTGRES_PASSWORD)", "$(MILVUS_PASSWORD)"}
    assert of_kind(OVERLAY, "Secret") == []
    secret = {
        one["name"]: one["valueFrom"]["secretKeyRef"]["name"]
        for one in one_container(pods(OVERLAY)[SERVICE])["env"]
        if "valueFrom" in one
    }
    assert secret["POSTGRES_PASSWORD"] == "embedd-postgres-app", "which CloudNativePG makes"
    assert secret["MILVUS_PASSWORD"] == "embedd-milvus-user"


def test_services_keep_nothing_and_fit_into_the_database() -> None:
    for one in of_kind(OVERLAY, "StatefulSet", "Deployment"):
        assert "volumeClaimTemplates" not in one["spec"]
        volumes = one["spec"]["template"]["spec"]["volumes"]
        assert all({"emptyDir", "secret", "configMap"} & volume.keys() for volume in volumes)
    scaler = named(OVERLAY, "HorizontalPodAutoscaler", SERVICE)["spec"]
    (cluster,) = of_kind(OVERLAY, "Cluster")
    allowed = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
    assert (scaler["maxReplicas"] + 1) * CONNECTIONS_OF_A_SERVICE < allowed


def test_every_pod_of_the_models_has_an_address_and_both_sides_a_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        said = settings(SERVICE, patched)
    with monkeypatch.context() as patched:
        models = settings(MODELS, patched)
    name, addresses = split_name(said.model)
    assert (name, models.role) == (models.model, "models")
    workload = named(OVERLAY, "StatefulSet", MODELS)
    scaler = named(OVERLAY, "HorizontalPodAutoscaler", MODELS)["spec"]
    namespace, service = workload["metadata"]["namespace"], workload["spec"]["serviceName"]
    assert list(parse_remote(addresses).urls) == [
        f"grpcs://{MODELS}-{number}.{service}.{namespace}.svc:{models.grpc_port}"
        for number in range(scaler["maxReplicas"])
    ]
    assert named(OVERLAY, "Service", service)["spec"]["clusterIP"] == "None"
    assert None not in (models.tls_cert, models.tls_key, models.tls_client_ca)
    assert None not in (said.remote_ca, said.remote_cert, said.remote_key)
    assert f"EMBEDD_KEY_{re.sub('[^A-Z0-9]', '_', name.upper())}" in environment(OVERLAY, SERVICE)


def test_an_autoscaler_says_how_many_and_a_zone_has_not_all_of_them(workload: str) -> None:
    scaler = named(OVERLAY, "HorizontalPodAutoscaler", workload)["spec"]
    target = scaler["scaleTargetRef"]
    assert "replicas" not in named(OVERLAY, target["kind"], target["name"])["spec"]
    assert scaler["minReplicas"] > 1
    spread = pods(OVERLAY)[workload]["spec"]["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    labels = pods(OVERLAY)[workload]["metadata"]["labels"]
    assert all(one["labelSelector"]["matchLabels"].items() <= labels.items() for one in spread)
    budgets = of_kind(OVERLAY, "PodDisruptionBudget")
    assert any(one["spec"]["selector"]["matchLabels"].items() <= labels.items() for one in budgets)


def test_only_models_run_on_the_gpu_nodes() -> None:
    models, service = pods(OVERLAY)[MODELS]["spec"], pods(OVERLAY)[SERVICE]["spec"]
    assert models["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert one_container({"spec": models})["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert one_container({"spec": models})["image"].endswith("-cuda")
    assert "nodeSelector" not in service
    assert one_container({"spec": service})["image"].endswith("-cpu")


def test_stores_and_models_hear_the_service_and_it_may_ask_them() -> None:
    service = pods(OVERLAY)[SERVICE]["metadata"]["labels"]
    out = named(OVERLAY, "NetworkPolicy", "embedd-stores")["spec"]
    assert out["podSelector"]["matchLabels"].items() <= service.items()
    asked = {(*peer(rule).items(), rule["ports"][0]["port"]) for rule in out["egress"]}
    heard = set()
    for store in ("embedd-postgres", "embedd-milvus", MODELS):
        policy = named(OVERLAY, "NetworkPolicy", store)["spec"]
        first = policy["ingress"][0]
        assert peer(first, "from").items() <= service.items(), store
        port = 50051 if first["ports"][0]["port"] == "grpc" else first["ports"][0]["port"]
        heard.add((*policy["podSelector"]["matchLabels"].items(), port))
    assert asked == heard
    (cluster,) = of_kind(OVERLAY, "Cluster")
    labels = named(OVERLAY, "NetworkPolicy", "embedd-postgres")["spec"]["podSelector"]["matchLabels"]
    assert labels == {"cnpg.io/cluster": cluster["metadata"]["name"]}


def test_the_image_of_the_service_can_speak_to_its_stores() -> None:
    dockerfile = (Path(__file__).resolve().parents[2] / "Dockerfile").read_text("utf-8")
    (extras,) = re.findall(r"'\.\[([a-z0-9,]+)\]'", dockerfile)
    assert {"milvus", "postgres"} <= set(extras.split(","))


def test_settings_of_both_say_nothing_of_one() -> None:
    assert not {"EMBEDD_MODEL", "EMBEDD_ROLE", "EMBEDD_CATALOG"} & settings_of(OVERLAY).keys()


def peer(rule: Manifest, way: str = "to") -> dict[str, str]:
    (one,) = rule[way]
    labels: dict[str, str] = one["podSelector"]["matchLabels"]
    return labels


def at(spec: Any, path: str) -> Any:
    for name in path.split("."):
        spec = spec[name]
    return spec


def one_container(pod: Manifest) -> Any:
    (container,) = pod["spec"]["containers"]
    return container
