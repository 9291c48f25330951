"""Field names and types of instance types and preferences, cluster-wide or not. Written as in rules.vmi_fields.

Source: KubeVirt api/openapi-spec/swagger.json (main, d923fdb815), group instancetype.kubevirt.io, version v1beta1.
"""

from typing import Final

INSTANCETYPE_FIELDS: Final = """\
VirtualMachineInstancetype: apiVersion kind metadata:ObjectMeta spec!:VirtualMachineInstancetypeSpec
VirtualMachineClusterInstancetype: apiVersion kind metadata:ObjectMeta
  spec!:VirtualMachineInstancetypeSpec
VirtualMachinePreference: apiVersion kind metadata:ObjectMeta spec!:VirtualMachinePreferenceSpec
VirtualMachineClusterPreference: apiVersion kind metadata:ObjectMeta spec!:VirtualMachinePreferenceSpec
VirtualMachineInstancetypeSpec: annotations:{s cpu!:CdiCPUInstancetype gpus:[GPU hostDevices:[HostDevice
  ioThreads:DiskIOThreads ioThreadsPolicy launchSecurity:LaunchSecurity memory!:CdiMemoryInstancetype
  nodeSelector:{s schedulerName
CdiCPUInstancetype: dedicatedCPUPlacement:b guest!:i isolateEmulatorThread:b maxSockets:i model numa:NUMA
  realtime:Realtime
CdiMemoryInstancetype: guest!:q hugepages:Hugepages maxGuest:q overcommitPercent:i
VirtualMachinePreferenceSpec: annotations:{s clock:ClockPreferences cpu:CPUPreferences
  devices:DevicePreferences features:FeaturePreferences firmware:FirmwarePreferences
  machine:MachinePreferences preferSpreadSocketToCoreRatio:i preferredArchitecture
  preferredLaunchSecurity:LaunchSecurity preferredSubdomain preferredTerminationGracePeriodSeconds:i
  requirements:PreferenceRequirements volumes:VolumePreferences
ClockPreferences: preferredClockOffset:ClockOffset preferredTimer:Timer
ClockOffset: timezone utc:ClockOffsetUTC
CPUPreferences: preferredCPUFeatures:[CPUFeature preferredCPUTopology spreadOptions:SpreadOptions
SpreadOptions: across ratio:i
DevicePreferences: preferredAutoattachGraphicsDevice:b preferredAutoattachInputDevice:b
  preferredAutoattachMemBalloon:b preferredAutoattachPodInterface:b preferredAutoattachSerialConsole:b
  preferredBlockMultiQueue:b preferredCdromBus preferredDisableHotplug:b preferredDiskBlockSize:BlockSize
  preferredDiskBus preferredDiskCache preferredDiskDedicatedIoThread:b preferredDiskIO preferredInputBus
  preferredInputType preferredInterfaceMasquerade:InterfaceMasquerade preferredInterfaceModel
  preferredLunBus preferredNetworkInterfaceMultiQueue:b preferredPanicDeviceModel preferredRng:Rng
  preferredSoundModel preferredTPM:TPMDevice preferredUseVirtioTransitional:b preferredVideoType
  preferredVirtualGPUOptions:VGPUOptions
FeaturePreferences: preferredAcpi:FeatureState preferredApic:FeatureAPIC preferredHyperv:FeatureHyperv
  preferredKvm:FeatureKVM preferredPvspinlock:FeatureState preferredSmm:FeatureState
FirmwarePreferences: preferredEfi:EFI preferredUseBios:b preferredUseBiosSerial:b preferredUseEfi:b
  preferredUseSecureBoot:b
MachinePreferences: preferredMachineType
PreferenceRequirements: architecture cpu:CPUPreferenceRequirement memory:MemoryPreferenceRequirement
CPUPreferenceRequirement: guest!:i
MemoryPreferenceRequirement: guest!:q
VolumePreferences: preferredStorageClassName
"""
