"""Checks of the verbatim fragments: KubeletConfiguration and KubeVirt `spec.configuration`.

Only what we know to be wrong is refused. The kubelet ignores an unknown field with a warning and KubeVirt's CRD prunes
it, so a misspelt one would change nothing silently: it is an error here when it is close to a known one.
Sources: KubeletConfiguration v1beta1 (staging/src/k8s.io/kubelet/config/v1beta1/types.go, 1.36), threshold parsing in
pkg/kubelet/eviction/helpers.go; KubeVirtConfiguration (staging/src/kubevirt.io/api/core/v1/types.go, main after v1.9).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from harness.spec import read
from harness.spec.errors import closest
from harness.spec.nodes import Fields, Node, Scalar, kind_of, plain
from harness.spec.paths import DOTTED_KEYS

KUBELET_FIELDS: Final = tuple(
    """enableServer staticPodPath podLogsDir syncFrequency fileCheckFrequency httpCheckFrequency staticPodURL
    staticPodURLHeader address port readOnlyPort tlsCertFile tlsPrivateKeyFile tlsCipherSuites tlsMinVersion
    tlsCurvePreferences rotateCertificates serverTLSBootstrap authentication authorization registryPullQPS registryBurst
    imagePullCredentialsVerificationPolicy preloadedImagesVerificationAllowlist eventRecordQPS eventBurst
    enableDebuggingHandlers enableContentionProfiling healthzPort healthzBindAddress oomScoreAdj clusterDomain clusterDNS
    streamingConnectionIdleTimeout nodeStatusUpdateFrequency nodeStatusReportFrequency nodeLeaseDurationSeconds
    imageMinimumGCAge imageMaximumGCAge imageGCHighThresholdPercent imageGCLowThresholdPercent volumeStatsAggPeriod
    kubeletCgroups systemCgroups cgroupRoot cgroupsPerQOS cgroupDriver cpuManagerPolicy singleProcessOOMKill
    cpuManagerPolicyOptions cpuManagerReconcilePeriod draManagerReconcilePeriod memoryManagerPolicy topologyManagerPolicy topologyManagerScope
    topologyManagerPolicyOptions qosReserved runtimeRequestTimeout hairpinMode maxPods podCIDR podPidsLimit resolvConf
    runOnce cpuCFSQuota cpuCFSQuotaPeriod nodeStatusMaxImages maxOpenFiles contentType kubeAPIQPS kubeAPIBurst
    serializeImagePulls maxParallelImagePulls evictionHard evictionSoft evictionSoftGracePeriod
    evictionPressureTransitionPeriod evictionMaxPodGracePeriod evictionMinimumReclaim mergeDefaultEvictionSettings
    podsPerCore enableControllerAttachDetach protectKernelDefaults makeIPTablesUtilChains iptablesMasqueradeBit
    iptablesDropBit featureGates failSwapOn memorySwap containerLogMaxSize containerLogMaxFiles containerLogMaxWorkers
    containerLogMonitorInterval configMapAndSecretChangeDetectionStrategy systemReserved kubeReserved reservedSystemCPUs
    showHiddenMetricsForVersion systemReservedCgroup kubeReservedCgroup enforceNodeAllocatable allowedUnsafeSysctls
    volumePluginDir providerID kernelMemcgNotification logging enableSystemLogHandler enableSystemLogQuery
    shutdownGracePeriod shutdownGracePeriodCriticalPods shutdownGracePeriodByPodPriority crashLoopBackOff reservedMemory
    enableProfilingHandler enableDebugFlagsHandler seccompDefault memoryThrottlingFactor memoryReservationPolicy
    registerWithTaints registerNode tracing localStorageCapacityIsolation containerRuntimeEndpoint imageServiceEndpoint
    failCgroupV1 userNamespaces apiVersion kind""".split()  # noqa: SIM905 - names read better than a list of strings
)
KUBEVIRT_FIELDS: Final = tuple(
    """cpuModel cpuRequest developerConfiguration emulatedMachines imagePullPolicy migrations machineType network
    ovmfPath selinuxLauncherType defaultRuntimeClass smbios architectureConfiguration evictionStrategy
    additionalGuestMemoryOverheadRatio supportContainerResources supportedGuestAgentVersions
    memBalloonStatsPeriod permittedHostDevices mediatedDevicesConfiguration minCPUModel obsoleteCPUModels
    virtualMachineInstancesPerNode apiConfiguration webhookConfiguration controllerConfiguration handlerConfiguration
    tlsConfiguration seccompConfiguration vmStateStorageClass virtualMachineOptions ksmConfiguration
    autoCPULimitNamespaceLabelSelector liveUpdateConfiguration vmRolloutStrategy commonInstancetypesDeployment
    instancetype hypervisors changedBlockTrackingLabelSelectors confidentialCompute roleAggregationStrategy
    virtTemplateDeployment persistentReservationConfiguration""".split()  # noqa: SIM905 - names read better than a list of strings
)
DEVELOPER_FIELDS: Final = tuple(
    """featureGates disabledFeatureGates pvcTolerateLessSpaceUpToPercent minimumReservePVCBytes memoryOvercommit
    nodeSelectors useEmulation cpuAllocationRatio minimumClusterTSCFrequency diskVerification logVerbosity
    clusterProfiler""".split()  # noqa: SIM905 - names read better than a list of strings
)
_THRESHOLDS: Final = ("evictionHard", "evictionSoft", "evictionMinimumReclaim")
_RESERVED: Final = ("cpu", "memory", "ephemeral-storage", "pid")
_DURATIONS: Final = (
    "evictionPressureTransitionPeriod",
    "nodeStatusUpdateFrequency",
    "nodeStatusReportFrequency",
)
_BOOLEANS: Final = (
    "failSwapOn",
    "failCgroupV1",
    "mergeDefaultEvictionSettings",
    "singleProcessOOMKill",
    "kernelMemcgNotification",
    "cgroupsPerQOS",
)


def kubelet(node: Node) -> Mapping[str, Any]:
    """Check a KubeletConfiguration fragment; returned verbatim as plain data. Raises SpecError."""
    fields = _mapping(node, "kubelet")
    _near_misses(fields, KUBELET_FIELDS, "KubeletConfiguration")
    for key, value in fields.fields.items():
        if key in _THRESHOLDS:
            for signal, amount in _signals(value, key).items():
                _threshold(amount, signal, reclaim=key == "evictionMinimumReclaim")
        elif key == "evictionSoftGracePeriod":
            for grace in _signals(value, key).values():
                read.duration(grace)
        elif key in {"systemReserved", "kubeReserved"}:
            for resource, amount in _mapping(value, key).fields.items():
                read.choice(
                    Scalar(_mapping(value, key).marks[resource], resource, resource),
                    _RESERVED,
                    "reserved resource",
                )
                if resource == "memory":
                    read.memory(amount, least=0)
        elif key == "evictionMaxPodGracePeriod":
            read.whole(value, least=-(1 << 31))
        elif key in _DURATIONS:
            read.duration(value)
        elif key in _BOOLEANS:
            read.boolean(value)
        elif key == "memorySwap":
            swap = read.Reader(value, "memorySwap", ("swapBehavior",))
            if (behaviour := swap.get("swapBehavior")) is not None:
                read.choice(behaviour, ("NoSwap", "LimitedSwap"), "swapBehavior")
    _soft_needs_grace(fields)
    return dict(plain(fields))


def kubevirt(node: Node) -> Mapping[str, Any]:
    """Check a KubeVirt `spec.configuration` fragment; returned verbatim. Wrong values are KubeVirt's to refuse."""
    fields = _mapping(node, "kubevirt")
    _near_misses(fields, KUBEVIRT_FIELDS, "KubeVirt configuration")
    if isinstance(developer := fields.fields.get("developerConfiguration"), Fields):
        _near_misses(developer, DEVELOPER_FIELDS, "developerConfiguration")
    if "memoryOvercommit" in fields.fields:
        raise fields.marks["memoryOvercommit"].error(
            "'memoryOvercommit' stands in developerConfiguration",
            suggestion="developerConfiguration: {memoryOvercommit: …}",
        )
    return dict(plain(fields))


def _mapping(node: Node, what: str) -> Fields:
    if not isinstance(node, Fields):
        raise node.mark.error(f"{what} must be a mapping, not {kind_of(node)}")
    return node


def _near_misses(node: Fields, known: tuple[str, ...], what: str) -> None:
    for key in node.fields:
        if key not in known and (near := closest(key, known, cutoff=0.75)) is not None:
            raise node.marks[key].error(f"unknown field '{key}' in {what}", suggestion=near)


def _signals(node: Node, what: str) -> Mapping[str, Node]:
    fields = _mapping(node, what)
    for signal in fields.fields:
        if signal not in DOTTED_KEYS:
            # The kubelet itself does not start: "unsupported eviction signal".
            raise fields.marks[signal].error(
                f"unsupported eviction signal '{signal}' in {what}", suggestion=closest(signal, DOTTED_KEYS)
            )
    return fields.fields


def _threshold(node: Node, signal: str, *, reclaim: bool) -> None:
    if not isinstance(node, Scalar) or node.value is None:
        raise node.mark.error(f"{signal} needs a quantity such as 200Mi or 5%, not {kind_of(node)}")
    if not isinstance(node.value, str):
        # KubeletConfiguration has map[string]string there; a bare number does not decode.
        raise node.mark.error(
            f'{signal} must be text such as 200Mi or "5%", not {kind_of(node)}', suggestion=f'"{node.text}"'
        )
    if node.text.endswith("%"):
        if re.fullmatch(r"\d+(\.\d+)?%", node.text, re.ASCII) is None or float(node.text[:-1]) > 100:
            raise node.mark.error(f"'{node.text}' is not a percentage from 0% to 100%")
        return
    read.quantity(node.text, node.mark, least=0 if reclaim else 1)


def _soft_needs_grace(fields: Fields) -> None:
    soft = fields.fields.get("evictionSoft")
    if not isinstance(soft, Fields):
        return
    grace = fields.fields.get("evictionSoftGracePeriod")
    given = grace.fields if isinstance(grace, Fields) else {}
    for signal in soft.fields:
        if signal not in given:
            # eviction/helpers.go: "grace period must be specified for the soft eviction threshold".
            raise soft.marks[signal].error(f"evictionSoft {signal} needs an evictionSoftGracePeriod")


def config_map(node: Node) -> Mapping[str, str]:
    """Data of a ConfigMap: texts, as Kubernetes demands."""
    if not isinstance(node, Fields):
        raise node.mark.error(f"kubevirtConfigMap must be a mapping, not {kind_of(node)}")
    for item in node.fields.values():
        if not isinstance(item, Scalar) or not isinstance(item.value, str):
            raise item.mark.error("a ConfigMap's data are texts: write it in quotes")
    return {key: str(item.value) for key, item in node.fields.items() if isinstance(item, Scalar)}
