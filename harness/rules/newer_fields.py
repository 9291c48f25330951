"""Fields that came after KubeVirt v1.6, under the version that brought them, and what older versions required besides.

Source: api/openapi-spec/swagger.json of v1.6.6, v1.7.4, v1.8.4, v1.9.0 and main (d923fdb815) compared, for every type that
rules.{vmi,kubevirt,instancetype}_fields name; no field of v1.6 has gone since, and main has none that v1.9.0 lacks.
The first and the last patch of v1.7 and v1.8 agree; v1.6.0 … v1.6.3 lack `platform` and `extraArgs` of CDI sources besides.
"""

from typing import Final

NEWER_FIELDS: Final = """\
v1.7
ArchConfiguration: s390x
CustomBlockSize: discardGranularity
Disk: changedBlockTracking
KubeVirtConfiguration: changedBlockTrackingLabelSelectors
LaunchSecurity: snp tdx
PreferenceRequirements: architecture
VirtualMachineInstancetypeSpec: ioThreads
VirtualMachinePreferenceSpec: preferredArchitecture
v1.8
CdiDataVolumeSourceImageIO: insecureSkipVerify
DeveloperConfiguration: disabledFeatureGates
DomainSpec: rebootPolicy
Interface: passtBinding
KubeVirtConfiguration: hypervisors roleAggregationStrategy virtTemplateDeployment
MediatedDevicesConfiguration: enabled
Memory: reservedOverhead
MigrationConfiguration: utilityVolumesTimeout
TLBFlush: direct extended
VirtualMachineInstanceSpec: utilityVolumes
Volume: containerPath
v1.9
DevicePreferences: preferredVideoType
Interface: portRanges
KubeVirtConfiguration: confidentialCompute persistentReservationConfiguration
MigrationConfiguration: maxDowntimeMs
Network: resourceClaim
VirtualMachineInstanceSpec: serviceAccountName
VirtualMachinePreferenceSpec: preferredLaunchSecurity
"""
"""A version a line, then `Type: field …` that it brought."""

ONCE_REQUIRED: Final = {"v1.6": {"CustomBlockSize": ("logical", "physical")}}
"""What a version requires beyond what main requires."""
