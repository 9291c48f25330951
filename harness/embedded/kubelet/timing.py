"""How late and how slow our kubelet, virt-launcher and virt-handler are: on purpose as much as the real ones.

Units: seconds. Kubernetes constants are from v1.36.2; what only recordings tell is marked *seen* with how often.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.rules.eviction import CLEANUP_TIMEOUT, MONITORING_INTERVAL
from harness.rules.ksm import INTERVAL as KSM_INTERVAL
from harness.units import Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Every period and delay of a node. Tests and the model may change them; scenarios can't."""

    status_period: Seconds = Seconds(10.0)
    """nodeStatusUpdateFrequency (apis/config/v1beta1/defaults.go:148)."""
    status_jitter: float = 0.04
    """kubelet.go:1938: period x U[1, 1.04)."""
    eviction_period: Seconds = MONITORING_INTERVAL
    """kubelet.go:275, counted from the end of the previous pass (eviction_manager.go:219)."""
    cleanup_poll: Seconds = Seconds(1.0)
    """eviction_manager.go:48-51."""
    cleanup_timeout: Seconds = CLEANUP_TIMEOUT
    """eviction_manager.go:48-51."""
    housekeeping: Seconds = Seconds(10.0)
    """cAdvisor's base period of a container's statistics; x U[1, 2), up to 15 s x U[1, 2) while nothing changes."""
    housekeeping_max: Seconds = Seconds(15.0)
    """cadvisor_linux.go:67-71."""
    heartbeat: Seconds = Seconds(60.0)
    """virt-handler's annotation on its node."""
    ksm: Seconds = KSM_INTERVAL
    """virt-handler's look at KSM, counted from the last one (pkg/virt-handler/ksm/ksm.go)."""

    sandbox: Seconds = Seconds(0.1)
    container_start: Seconds = Seconds(0.05)
    after_kill: Seconds = Seconds(0.15)
    """SIGKILL to the pod's terminal phase. Seen: 2.2-2.3 s after the Evicted event (5 of 5)."""
    settle: Seconds = Seconds(0.8)
    """Until lost containers get their end. Seen: 0.5, 0.7, 0.8, 0.8, 1.0 s."""
    teardown: Seconds = Seconds(0.3)
    """Volumes and cgroups of an ended pod."""

    domain_start: Seconds = Seconds(0.1)
    """virt-handler's first sync of a Scheduled VMI until QEMU is started."""
    button_delay: Seconds = Seconds(0.05)
    """SIGTERM to the ACPI power button. Seen: 0.03-0.06 s after the Evicted event (5 of 5)."""
    button_again: Seconds = Seconds(5.0)
    """virt-handler sends it again (vm.go:1662-1701)."""
    domain_gone: Seconds = Seconds(0.25)
    """QEMU's end to the VMI's final phase. Seen: 0.25-0.35 s (4 of 4)."""
    launcher_exit: Seconds = Seconds(8.3)
    """QEMU's end to virt-launcher's exit 0. Seen: 8 s (soft-eviction; finishedAt has whole seconds), > 8 s (container-oom)."""
    ping_backoff: Seconds = Seconds(0.005)
    """Work queue of virt-handler: first retry of a sync, doubled each time. Seen: 0.005 x 2^n up to 10.2 s."""
    unresponsive: Seconds = Seconds(37.2)
    """Launcher's SIGKILL to the VMI's phase Failed on main. Seen once (39.5 s after the Evicted event); before main: at once."""

    late: Seconds = Seconds(0.25)
    """A timer that fires later than this is reported as a `late-pass` note."""
