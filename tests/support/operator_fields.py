"""The names of fields that two operators' custom resources have, written down from their sources: no cluster
is there to ask. A name in ``FREE`` has whatever stands below it, one without an entry nothing that is known.

CloudNativePG 1.30: https://cloudnative-pg.io/docs/1.30/cloudnative-pg.v1 and api/v1/cluster_types.go.
milvus-operator 1.3: apis/milvus.io/v1beta1/{milvus,components,dependencies}_types.go in
https://github.com/zilliztech/milvus-operator.
"""

from collections.abc import Iterator
from typing import Any, Final

_COMPONENT: Final = """
    paused podLabels podAnnotations image version commands runWithSubProcess imagePullPolicy imagePullSecrets
    env schedulerName nodeSelector affinity tolerations topologySpreadConstraints resources volumeMounts
    volumes serviceAccountName priorityClassName hostNetwork dnsPolicy probes securityContext
"""
_COMPONENTS: Final = """
    proxy mixCoord rootCoord indexCoord dataCoord queryCoord indexNode dataNode queryNode streamingNode
    standalone cdc
"""
_IN_CLUSTER: Final = "values chartVersion deletionPolicy pvcDeletion"
_STORAGE: Final = "storageClass size resizeInUseVolumes pvcTemplate"

FIELDS: Final[dict[str, dict[str, str]]] = {
    "Cluster": {
        "": """
            description inheritedMetadata imageName imageCatalogRef imagePullPolicy schedulerName
            postgresUID postgresGID instances minSyncReplicas maxSyncReplicas postgresql replicationSlots
            bootstrap replica superuserSecret enableSuperuserAccess certificates imagePullSecrets storage
            serviceAccountTemplate walStorage ephemeralVolumeSource startDelay stopDelay
            smartShutdownTimeout switchoverDelay failoverDelay livenessProbeTimeout affinity
            topologySpreadConstraints resources ephemeralVolumesSizeLimit priorityClassName
            primaryUpdateStrategy primaryUpdateMethod backup nodeMaintenanceWindow monitoring
            externalClusters logLevel projectedVolumeTemplate env envFrom managed seccompProfile
            podSecurityContext securityContext tablespaces enablePDB plugins probes
        """,
        "bootstrap": "initdb recovery pg_basebackup",
        "bootstrap.initdb": """
            database owner secret options dataChecksums encoding localeCollate localeCType locale
            localeProvider icuLocale icuRules builtinLocale walSegmentSize postInitSQL postInitApplicationSQL
            postInitTemplateSQL import postInitApplicationSQLRefs postInitTemplateSQLRefs postInitSQLRefs
        """,
        "postgresql": """
            parameters synchronous pg_hba pg_ident syncReplicaElectionConstraint shared_preload_libraries ldap
            promotionTimeout enableAlterSystem extensions
        """,
        "postgresql.synchronous": """
            method number maxStandbyNamesFromCluster standbyNamesPre standbyNamesPost dataDurability
            failoverQuorum
        """,
        "storage": _STORAGE,
        "walStorage": _STORAGE,
        "affinity": """
            enablePodAntiAffinity topologyKey nodeSelector nodeAffinity tolerations podAntiAffinityType
            additionalPodAntiAffinity additionalPodAffinity
        """,
    },
    "Milvus": {
        "": "mode components dependencies config hookConfig userConfig",
        "dependencies": """
            etcd msgStreamType pulsar kafka woodpecker rocksmq natsmq storage customMsgStream
        """,
        "dependencies.etcd": "endpoints external inCluster",
        "dependencies.etcd.inCluster": _IN_CLUSTER,
        "dependencies.storage": "type secretRef endpoint inCluster external",
        "components": f"""
            {_COMPONENT} {_COMPONENTS} targetPortType imageUpdateMode enableRollingUpdate disableMetric
            metricInterval metricLabels toolImage dummyImage updateToolImage updateConfigMapOnly rollingMode
            enableManualMode activeConfigMap runAsNonRoot streamingMode
        """,
        **{
            f"components.{name}": f"{_COMPONENT} replicas hpa sidecars initContainers"
            for name in _COMPONENTS.split()
        },
        "components.proxy": f"""
            {_COMPONENT} replicas hpa sidecars initContainers groups serviceType port serviceRestfulPort
            serviceLabels serviceAnnotations ingress
        """,
    },
}

FREE: Final = {"postgresql.parameters", "dependencies.etcd.inCluster.values", "config"}
"""What the operators hand on: to PostgreSQL, a chart and Milvus."""

OF_PODS: Final = {"resources", "topologySpreadConstraints"}
"""What is as in a pod of Kubernetes, wherever it stands."""

VALUES: Final = {
    ("Cluster", "postgresql.synchronous.method"): {"any", "first"},
    ("Cluster", "postgresql.synchronous.dataDurability"): {"required", "preferred"},
    ("Cluster", "affinity.podAntiAffinityType"): {"preferred", "required"},
    ("Milvus", "mode"): {"standalone", "cluster"},
    ("Milvus", "dependencies.msgStreamType"): {
        *("pulsar", "kafka", "woodpecker", "rocksmq", "natsmq", "custom"),
    },
    ("Milvus", "dependencies.storage.type"): {"MinIO", "S3", "Azure"},
    ("Milvus", "dependencies.etcd.inCluster.deletionPolicy"): {"Delete", "Retain"},
    ("Milvus", "components.imageUpdateMode"): {"rollingUpgrade", "rollingDowngrade", "all", "force"},
    ("Milvus", "components.proxy.serviceType"): {"ClusterIP", "NodePort", "LoadBalancer"},
}


def unknown_fields(kind: str, spec: dict[str, Any], at: str = "") -> Iterator[str]:
    """The paths in ``spec`` that no field of ``kind`` has."""
    known = FIELDS[kind].get(at, "").split()
    for name, value in spec.items():
        path = f"{at}.{name}".lstrip(".")
        if name not in known:
            yield path
        elif isinstance(value, dict) and path not in FREE and name not in OF_PODS:
            yield from unknown_fields(kind, value, path)


def of_pods(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Of each part of ``spec`` that describes pods, what is as in Kubernetes."""
    if found := {name: spec[name] for name in OF_PODS & spec.keys()}:
        yield found
    for value in spec.values():
        if isinstance(value, dict):
            yield from of_pods(value)
