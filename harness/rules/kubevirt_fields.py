"""Field names and types of the KubeVirt CR, beyond what a VMI has, one type a line: `Type: field field:code …`.

Source: KubeVirt api/openapi-spec/swagger.json (main, d923fdb815). No code: string; `i` integer, `n` number, `b` boolean,
`q` quantity, `x` integer or string, `o` anything; `[code` list, `{code` map; otherwise another type. `!`: required. Read by rules.schema.
"""

from typing import Final

KUBEVIRT_FIELDS: Final = """\
KubeVirt: apiVersion kind metadata:ObjectMeta spec!:KubeVirtSpec status:o
KubeVirtSpec: certificateRotateStrategy:KubeVirtCertificateRotateStrategy
  configuration:KubeVirtConfiguration customizeComponents:CustomizeComponents imagePullPolicy
  imagePullSecrets:[K8sLocalObjectReference imageRegistry imageTag infra:ComponentConfig monitorAccount
  monitorNamespace productComponent productName productVersion serviceMonitorNamespace synchronizationPort
  uninstallStrategy workloadUpdateStrategy:KubeVirtWorkloadUpdateStrategy workloads:ComponentConfig
KubeVirtCertificateRotateStrategy: selfSigned:KubeVirtSelfSignConfiguration
KubeVirtConfiguration: additionalGuestMemoryOverheadRatio
  apiConfiguration:ReloadableComponentConfiguration architectureConfiguration:ArchConfiguration
  autoCPULimitNamespaceLabelSelector:LabelSelector
  changedBlockTrackingLabelSelectors:ChangedBlockTrackingSelectors
  commonInstancetypesDeployment:CommonInstancetypesDeployment
  confidentialCompute:ConfidentialComputeConfiguration
  controllerConfiguration:ReloadableComponentConfiguration cpuModel cpuRequest:q defaultRuntimeClass
  developerConfiguration:DeveloperConfiguration emulatedMachines:[s evictionStrategy
  handlerConfiguration:ReloadableComponentConfiguration hypervisors:[HypervisorConfiguration
  imagePullPolicy instancetype:InstancetypeConfiguration ksmConfiguration:KSMConfiguration
  liveUpdateConfiguration:LiveUpdateConfiguration machineType
  mediatedDevicesConfiguration:MediatedDevicesConfiguration memBalloonStatsPeriod:i
  migrations:MigrationConfiguration minCPUModel network:NetworkConfiguration obsoleteCPUModels:{b ovmfPath
  permittedHostDevices:PermittedHostDevices
  persistentReservationConfiguration:PersistentReservationConfiguration roleAggregationStrategy
  seccompConfiguration:SeccompConfiguration selinuxLauncherType smbios:SMBiosConfiguration
  supportContainerResources:[SupportContainerResources supportedGuestAgentVersions:[s
  tlsConfiguration:TLSConfiguration virtTemplateDeployment:VirtTemplateDeployment
  virtualMachineInstancesPerNode:i virtualMachineOptions:VirtualMachineOptions vmRolloutStrategy
  vmStateStorageClass webhookConfiguration:ReloadableComponentConfiguration
CustomizeComponents: flags:Flags patches:[CustomizeComponentsPatch
ComponentConfig: nodePlacement:NodePlacement replicas:i
KubeVirtWorkloadUpdateStrategy: batchEvictionInterval batchEvictionSize:i workloadUpdateMethods:[s
KubeVirtSelfSignConfiguration: ca:CertConfig caOverlapInterval caRotateInterval certRotateInterval
  server:CertConfig
ReloadableComponentConfiguration: restClient:RESTClientConfiguration
ArchConfiguration: amd64:ArchSpecificConfiguration arm64:ArchSpecificConfiguration defaultArchitecture
  ppc64le:ArchSpecificConfiguration s390x:ArchSpecificConfiguration
ChangedBlockTrackingSelectors: namespaceLabelSelector:LabelSelector
  virtualMachineLabelSelector:LabelSelector
CommonInstancetypesDeployment: enabled:b
ConfidentialComputeConfiguration: tdx:TDXConfiguration
DeveloperConfiguration: clusterProfiler:b cpuAllocationRatio:i disabledFeatureGates:[s
  diskVerification:DiskVerification featureGates:[s logVerbosity:LogVerbosity memoryOvercommit:i
  minimumClusterTSCFrequency:i minimumReservePVCBytes:i nodeSelectors:{s pvcTolerateLessSpaceUpToPercent:i
  useEmulation:b
HypervisorConfiguration: name
InstancetypeConfiguration: referencePolicy
KSMConfiguration: nodeLabelSelector:LabelSelector
LiveUpdateConfiguration: maxCpuSockets:i maxGuest:q maxHotplugRatio:i
MediatedDevicesConfiguration: enabled:b mediatedDeviceTypes:[s mediatedDevicesTypes:[s
  nodeMediatedDeviceTypes:[NodeMediatedDeviceTypesConfig
MigrationConfiguration: allowAutoConverge:b allowPostCopy:b allowWorkloadDisruption:b
  bandwidthPerMigration:q completionTimeoutPerGiB:i disableTLS:b matchSELinuxLevelOnMigration:b
  maxDowntimeMs:i network nodeDrainTaintKey parallelMigrationsPerCluster:i
  parallelOutboundMigrationsPerNode:i progressTimeout:i unsafeMigrationOverride:b utilityVolumesTimeout:i
NetworkConfiguration: binding:{InterfaceBindingPlugin defaultNetworkInterface
  permitBridgeInterfaceOnPodNetwork:b permitSlirpInterface:b
PermittedHostDevices: mediatedDevices:[MediatedHostDevice pciHostDevices:[PciHostDevice usb:[USBHostDevice
PersistentReservationConfiguration: enabled:b
SeccompConfiguration: virtualMachineInstanceProfile:VirtualMachineInstanceProfile
SMBiosConfiguration: family manufacturer product sku version
SupportContainerResources: resources!:ResourceRequirementsWithoutClaims type!
TLSConfiguration: ciphers:[s minTLSVersion
VirtTemplateDeployment: enabled:b
VirtualMachineOptions: disableFreePageReporting:DisableFreePageReporting
  disableSerialConsoleLog:DisableSerialConsoleLog
Flags: api:{s controller:{s handler:{s
CustomizeComponentsPatch: patch! resourceName! resourceType! type!
NodePlacement: affinity:K8sAffinity nodeSelector:{s tolerations:[K8sToleration
CertConfig: duration renewBefore
RESTClientConfiguration: rateLimiter:RateLimiter
ArchSpecificConfiguration: emulatedMachines:[s machineType ovmfPath
TDXConfiguration: attestation:TDXAttestationConfiguration
DiskVerification: memoryLimit!:q
LogVerbosity: nodeVerbosity:{i virtAPI:i virtController:i virtHandler:i virtLauncher:i virtOperator:i
  virtSynchronizationController:i
NodeMediatedDeviceTypesConfig: mediatedDeviceTypes:[s mediatedDevicesTypes:[s nodeSelector!:{s
InterfaceBindingPlugin: computeResourceOverhead:ResourceRequirementsWithoutClaims domainAttachmentType
  downwardAPI migration:InterfaceBindingMigration networkAttachmentDefinition sidecarImage
MediatedHostDevice: externalResourceProvider:b mdevNameSelector! resourceName!
PciHostDevice: externalResourceProvider:b pciVendorSelector! resourceName!
USBHostDevice: externalResourceProvider:b resourceName! selectors:[USBSelector
VirtualMachineInstanceProfile: customProfile:CustomProfile
ResourceRequirementsWithoutClaims: limits:{q requests:{q
DisableFreePageReporting:
DisableSerialConsoleLog:
RateLimiter: tokenBucketRateLimiter:TokenBucketRateLimiter
TDXAttestationConfiguration: enforced:b qgsSocketPath
InterfaceBindingMigration: method
USBSelector: product! vendor!
CustomProfile: localhostProfile runtimeDefaultProfile:b
TokenBucketRateLimiter: burst!:i qps!:n
"""
