"""A guest without our image: a stock container disk in which cloud-init starts a small agent.

For clusters that can pull no image of ours. The agent (`agent.py`) speaks console protocol 1 on the serial console,
under the distribution's own kernel and init. What is different from the guest of `workloads.image`:

* it holds exactly the bytes it is told to, but the distribution around it takes and frees memory as it likes;
* `cache`, `record`, `vram` and `deaf` are refused, touch latencies and stalls are not measured, `resident` is counted;
* it listens to the power button as the distribution does: its services stop first, which takes seconds;
* a clean end is known by the kernel's `reboot: Power down` on ttyS0, not by a `bye`.

Needs in the disk: cloud-init, systemd, python3 (3.8 or later), a console on ttyS0 (Fedora, Debian, Ubuntu, CentOS Stream 9
and their kin have them; CirrOS and Alpine do not).
"""

from workloads.lesser.userdata import LACKS, LIMIT, user_data

__all__ = ["LACKS", "LIMIT", "user_data"]
