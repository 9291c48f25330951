"""Stress-test and validation harness for the memory density of KubeVirt VMs."""

__version__ = "0.1.0"
