"""A machine's /sys, /proc and /run as files, for host-wide settings."""

from __future__ import annotations

from pathlib import Path

KSM = {
    "run": "0",
    "pages_to_scan": "100",
    "sleep_millisecs": "20",
    "smart_scan": "1",
    "use_zero_pages": "0",
    "advisor_mode": "[none] scan-time",
    "advisor_max_cpu": "70",
    "advisor_min_pages_to_scan": "500",
    "advisor_max_pages_to_scan": "30000",
    "advisor_target_scan_time": "200",
    "stable_node_chains_prune_millisecs": "2000",
    "merge_across_nodes": "1",
    "max_page_sharing": "256",
    "pages_shared": "0",
    "pages_sharing": "0",
    "pages_unshared": "0",
    "pages_volatile": "0",
    "full_scans": "0",
    "general_profit": "0",
}
SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def make(root: Path) -> Path:
    """Lay the tree out as this kernel (6.18) has it."""
    ksm = root / "sys/kernel/mm/ksm"
    ksm.mkdir(parents=True)
    for name, value in KSM.items():
        (ksm / name).write_text(value + "\n")
    (root / "proc/37").mkdir(parents=True)
    (root / "proc/1").mkdir()
    stat = "{pid} ({name}) S 2 0 0 0 -1 2129984 0 0 0 0 {user} {system} 0 0 25 5 1 0 11 0 0"
    (root / "proc/1/stat").write_text(stat.format(pid=1, name="systemd", user=9, system=9))
    (root / "proc/37/stat").write_text(stat.format(pid=37, name="ksmd", user=50, system=250))
    (root / "proc/swaps").write_text(SWAPS)
    (root / "proc/vmstat").write_text(
        "pswpin 7\npswpout 9\npgmajfault 1778\nworkingset_refault_anon 3\nallocstall_dma32 2\nallocstall_normal 40\n"
    )
    (root / "proc/meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\nHugePages_Total: 0\n")
    (root / "proc/pressure").mkdir()
    (root / "proc/pressure/memory").write_text(
        "some avg10=1.50 avg60=0.25 avg300=0.00 total=276237\nfull avg10=0.75 avg60=0.00 avg300=0.00 total=46410\n"
    )
    (root / "dev").mkdir()
    return root


def zram(root: Path, name: str = "zram0", *, size: str = "0") -> Path:
    """An (un)used zram device."""
    device = root / "sys/block" / name
    device.mkdir(parents=True)
    for file, text in {"disksize": size, "comp_algorithm": "[lzo-rle] lzo lz4 zstd", "reset": ""}.items():
        (device / file).write_text(text + "\n")
    return device
