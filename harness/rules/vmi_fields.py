"""Field names and types of VirtualMachineInstance and VirtualMachine, one type a line: `Type: field field:code …`.

Source: KubeVirt api/openapi-spec/swagger.json (main, d923fdb815). No code: string; `i` integer, `n` number, `b` boolean,
`q` quantity, `x` integer or string, `o` anything; `[code` list, `{code` map; otherwise another type. `!`: required. Read by rules.schema.
"""

from typing import Final

VMI_FIELDS: Final = """\
VirtualMachineInstance: apiVersion kind metadata:ObjectMeta spec!:VirtualMachineInstanceSpec status:o
VirtualMachine: apiVersion kind metadata:ObjectMeta spec!:VirtualMachineSpec status:o
ObjectMeta: annotations:{s creationTimestamp:x deletionGracePeriodSeconds:i deletionTimestamp
  finalizers:[s generateName generation:i labels:{s managedFields:o name namespace
  ownerReferences:[OwnerReference resourceVersion selfLink uid
VirtualMachineInstanceSpec: accessCredentials:[AccessCredential affinity:K8sAffinity architecture
  dnsConfig:K8sPodDNSConfig dnsPolicy domain!:DomainSpec evictionStrategy hostname livenessProbe:Probe
  networks:[Network nodeSelector:{s priorityClassName readinessProbe:Probe
  resourceClaims:[VirtualMachineInstanceResourceClaim schedulerName serviceAccountName startStrategy
  subdomain terminationGracePeriodSeconds:i tolerations:[K8sToleration
  topologySpreadConstraints:[K8sTopologySpreadConstraint utilityVolumes:[UtilityVolume volumes:[Volume
VirtualMachineSpec: dataVolumeTemplates:[DataVolumeTemplateSpec instancetype:InstancetypeMatcher
  preference:PreferenceMatcher runStrategy running:b template!:VirtualMachineInstanceTemplateSpec
  updateVolumesStrategy
OwnerReference: apiVersion! blockOwnerDeletion:b controller:b kind! name! uid!
AccessCredential: sshPublicKey:SSHPublicKeyAccessCredential userPassword:UserPasswordAccessCredential
K8sAffinity: nodeAffinity:K8sNodeAffinity podAffinity:K8sPodAffinity podAntiAffinity:K8sPodAntiAffinity
K8sPodDNSConfig: nameservers:[s options:[K8sPodDNSConfigOption searches:[s
DomainSpec: chassis:Chassis clock:Clock cpu:CPU devices!:Devices features:Features firmware:Firmware
  ioThreads:DiskIOThreads ioThreadsPolicy launchSecurity:LaunchSecurity machine:Machine memory:Memory
  rebootPolicy resources:ResourceRequirements
Probe: exec:K8sExecAction failureThreshold:i guestAgentPing:GuestAgentPing httpGet:K8sHTTPGetAction
  initialDelaySeconds:i periodSeconds:i successThreshold:i tcpSocket:K8sTCPSocketAction timeoutSeconds:i
Network: multus:MultusNetwork name! pod:PodNetwork resourceClaim:ClaimRequest
VirtualMachineInstanceResourceClaim: name! resourceClaimName resourceClaimTemplateName
K8sToleration: effect key operator tolerationSeconds:i value
K8sTopologySpreadConstraint: labelSelector:LabelSelector matchLabelKeys:[s maxSkew!:i minDomains:i
  nodeAffinityPolicy nodeTaintsPolicy topologyKey! whenUnsatisfiable!
UtilityVolume: claimName! name! readOnly:b type
Volume: cloudInitConfigDrive:CloudInitConfigDriveSource cloudInitNoCloud:CloudInitNoCloudSource
  configMap:ConfigMapVolumeSource containerDisk:ContainerDiskSource
  containerPath:ContainerPathVolumeSource dataVolume:DataVolumeSource downwardAPI:DownwardAPIVolumeSource
  downwardMetrics:DownwardMetricsVolumeSource emptyDisk:EmptyDiskSource ephemeral:EphemeralVolumeSource
  hostDisk:HostDisk memoryDump:MemoryDumpVolumeSource name!
  persistentVolumeClaim:PersistentVolumeClaimVolumeSource secret:SecretVolumeSource
  serviceAccount:ServiceAccountVolumeSource sysprep:SysprepSource
DataVolumeTemplateSpec: apiVersion kind metadata:ObjectMeta spec!:CdiDataVolumeSpec
  status:DataVolumeTemplateDummyStatus
InstancetypeMatcher: inferFromVolume inferFromVolumeFailurePolicy kind name revisionName
PreferenceMatcher: inferFromVolume inferFromVolumeFailurePolicy kind name revisionName
VirtualMachineInstanceTemplateSpec: metadata:ObjectMeta spec:VirtualMachineInstanceSpec
SSHPublicKeyAccessCredential: propagationMethod!:SSHPublicKeyAccessCredentialPropagationMethod
  source!:SSHPublicKeyAccessCredentialSource
UserPasswordAccessCredential: propagationMethod!:UserPasswordAccessCredentialPropagationMethod
  source!:UserPasswordAccessCredentialSource
K8sNodeAffinity: preferredDuringSchedulingIgnoredDuringExecution:[K8sPreferredSchedulingTerm
  requiredDuringSchedulingIgnoredDuringExecution:K8sNodeSelector
K8sPodAffinity: preferredDuringSchedulingIgnoredDuringExecution:[K8sWeightedPodAffinityTerm
  requiredDuringSchedulingIgnoredDuringExecution:[K8sPodAffinityTerm
K8sPodAntiAffinity: preferredDuringSchedulingIgnoredDuringExecution:[K8sWeightedPodAffinityTerm
  requiredDuringSchedulingIgnoredDuringExecution:[K8sPodAffinityTerm
K8sPodDNSConfigOption: name value
Chassis: asset manufacturer serial sku version
Clock: timer:Timer timezone utc:ClockOffsetUTC
CPU: cores:i dedicatedCpuPlacement:b features:[CPUFeature isolateEmulatorThread:b maxSockets:i model
  numa:NUMA realtime:Realtime sockets:i threads:i
Devices: autoattachGraphicsDevice:b autoattachInputDevice:b autoattachMemBalloon:b
  autoattachPodInterface:b autoattachSerialConsole:b autoattachVSOCK:b blockMultiQueue:b
  clientPassthrough:ClientPassthroughDevices disableHotplug:b disks:[Disk downwardMetrics:DownwardMetrics
  filesystems:[Filesystem gpus:[GPU hostDevices:[HostDevice inputs:[Input interfaces:[Interface
  logSerialConsole:b networkInterfaceMultiqueue:b panicDevices:[PanicDevice rng:Rng sound:SoundDevice
  tpm:TPMDevice useVirtioTransitional:b video:VideoDevice watchdog:Watchdog
Features: acpi:FeatureState apic:FeatureAPIC hyperv:FeatureHyperv hypervPassthrough:HyperVPassthrough
  kvm:FeatureKVM pvspinlock:FeatureState smm:FeatureState
Firmware: acpi:ACPI bootloader:Bootloader kernelBoot:KernelBoot serial uuid
DiskIOThreads: supplementalPoolThreadCount:i
LaunchSecurity: sev:SEV snp:SEVSNP tdx:TDX
Machine: type
Memory: guest:q hugepages:Hugepages maxGuest:q reservedOverhead:ReservedOverhead
ResourceRequirements: limits:{q overcommitGuestOverhead:b requests:{q
K8sExecAction: command:[s
GuestAgentPing:
K8sHTTPGetAction: host httpHeaders:[K8sHTTPHeader path port!:x scheme
K8sTCPSocketAction: host port!:x
MultusNetwork: default:b networkName!
PodNetwork: vmIPv6NetworkCIDR vmNetworkCIDR
ClaimRequest: claimName requestName
LabelSelector: matchExpressions:[LabelSelectorRequirement matchLabels:{s
CloudInitConfigDriveSource: networkData networkDataBase64 networkDataSecretRef:K8sLocalObjectReference
  secretRef:K8sLocalObjectReference userData userDataBase64
CloudInitNoCloudSource: networkData networkDataBase64 networkDataSecretRef:K8sLocalObjectReference
  secretRef:K8sLocalObjectReference userData userDataBase64
ConfigMapVolumeSource: name optional:b volumeLabel
ContainerDiskSource: image! imagePullPolicy imagePullSecret path
ContainerPathVolumeSource: path! readOnly:b
DataVolumeSource: hotpluggable:b name!
DownwardAPIVolumeSource: fields:[K8sDownwardAPIVolumeFile volumeLabel
DownwardMetricsVolumeSource:
EmptyDiskSource: capacity!:q
EphemeralVolumeSource: persistentVolumeClaim:K8sPersistentVolumeClaimVolumeSource
HostDisk: capacity:q path! shared:b type!
MemoryDumpVolumeSource: claimName! hotpluggable:b readOnly:b
PersistentVolumeClaimVolumeSource: claimName! hotpluggable:b readOnly:b
SecretVolumeSource: optional:b secretName volumeLabel
ServiceAccountVolumeSource: serviceAccountName
SysprepSource: configMap:K8sLocalObjectReference secret:K8sLocalObjectReference
CdiDataVolumeSpec: checkpoints:[CdiDataVolumeCheckpoint contentType finalCheckpoint:b preallocation:b
  priorityClassName pvc:K8sPersistentVolumeClaimSpec source:CdiDataVolumeSource
  sourceRef:CdiDataVolumeSourceRef storage:CdiStorageSpec
DataVolumeTemplateDummyStatus:
SSHPublicKeyAccessCredentialPropagationMethod:
  configDrive:ConfigDriveSSHPublicKeyAccessCredentialPropagation
  noCloud:NoCloudSSHPublicKeyAccessCredentialPropagation
  qemuGuestAgent:QemuGuestAgentSSHPublicKeyAccessCredentialPropagation
SSHPublicKeyAccessCredentialSource: secret:AccessCredentialSecretSource
UserPasswordAccessCredentialPropagationMethod:
  qemuGuestAgent:QemuGuestAgentUserPasswordAccessCredentialPropagation
UserPasswordAccessCredentialSource: secret:AccessCredentialSecretSource
K8sPreferredSchedulingTerm: preference!:K8sNodeSelectorTerm weight!:i
K8sNodeSelector: nodeSelectorTerms!:[K8sNodeSelectorTerm
K8sWeightedPodAffinityTerm: podAffinityTerm!:K8sPodAffinityTerm weight!:i
K8sPodAffinityTerm: labelSelector:LabelSelector matchLabelKeys:[s mismatchLabelKeys:[s
  namespaceSelector:LabelSelector namespaces:[s topologyKey!
Timer: hpet:HPETTimer hyperv:HypervTimer kvm:KVMTimer pit:PITTimer rtc:RTCTimer
ClockOffsetUTC: offsetSeconds:i
CPUFeature: name! policy
NUMA: guestMappingPassthrough:NUMAGuestMappingPassthrough
Realtime: mask
ClientPassthroughDevices:
Disk: blockSize:BlockSize bootOrder:i cache cdrom:CDRomTarget changedBlockTracking:b dedicatedIOThread:b
  disk:DiskTarget errorPolicy io lun:LunTarget name! serial shareable:b tag
DownwardMetrics:
Filesystem: name! virtiofs!:FilesystemVirtiofs
GPU: claimName deviceName name! requestName tag virtualGPUOptions:VGPUOptions
HostDevice: claimName deviceName name! requestName tag
Input: bus name! type!
Interface: acpiIndex:i binding:PluginBinding bootOrder:i bridge:InterfaceBridge dhcpOptions:DHCPOptions
  macAddress macvtap:DeprecatedInterfaceMacvtap masquerade:InterfaceMasquerade model name!
  passt:DeprecatedInterfacePasst passtBinding:InterfacePasstBinding pciAddress portRanges:[PortRange
  ports:[Port slirp:DeprecatedInterfaceSlirp sriov:InterfaceSRIOV state tag
PanicDevice: model
Rng:
SoundDevice: model name!
TPMDevice: enabled:b persistent:b
VideoDevice: type
Watchdog: diag288:Diag288Watchdog i6300esb:I6300ESBWatchdog name!
FeatureState: enabled:b
FeatureAPIC: enabled:b endOfInterrupt:b
FeatureHyperv: evmcs:FeatureState frequencies:FeatureState ipi:FeatureState reenlightenment:FeatureState
  relaxed:FeatureState reset:FeatureState runtime:FeatureState spinlocks:FeatureSpinlocks
  synic:FeatureState synictimer:SyNICTimer tlbflush:TLBFlush vapic:FeatureState vendorid:FeatureVendorID
  vpindex:FeatureState
HyperVPassthrough: enabled:b
FeatureKVM: hidden:b
ACPI: msdmNameRef slicNameRef
Bootloader: bios:BIOS efi:EFI
KernelBoot: container:KernelBootContainer kernelArgs
SEV: attestation:SEVAttestation dhCert policy:SEVPolicy session
SEVSNP:
TDX:
Hugepages: pageSize
ReservedOverhead: addedOverhead:q memLock
K8sHTTPHeader: name! value!
LabelSelectorRequirement: key! operator! values:[s
K8sLocalObjectReference: name
K8sDownwardAPIVolumeFile: fieldRef:K8sObjectFieldSelector mode:i path!
  resourceFieldRef:K8sResourceFieldSelector
K8sPersistentVolumeClaimVolumeSource: claimName! readOnly:b
CdiDataVolumeCheckpoint: current! previous!
K8sPersistentVolumeClaimSpec: accessModes:[s dataSource:K8sTypedLocalObjectReference
  dataSourceRef:K8sTypedObjectReference resources:K8sVolumeResourceRequirements selector:LabelSelector
  storageClassName volumeAttributesClassName volumeMode volumeName
CdiDataVolumeSource: blank:CdiDataVolumeBlankImage gcs:CdiDataVolumeSourceGCS http:CdiDataVolumeSourceHTTP
  imageio:CdiDataVolumeSourceImageIO pvc:CdiDataVolumeSourcePVC registry:CdiDataVolumeSourceRegistry
  s3:CdiDataVolumeSourceS3 snapshot:CdiDataVolumeSourceSnapshot upload:CdiDataVolumeSourceUpload
  vddk:CdiDataVolumeSourceVDDK
CdiDataVolumeSourceRef: kind! name! namespace
CdiStorageSpec: accessModes:[s dataSource:K8sTypedLocalObjectReference
  dataSourceRef:K8sTypedObjectReference resources:K8sVolumeResourceRequirements selector:LabelSelector
  storageClassName volumeMode volumeName
ConfigDriveSSHPublicKeyAccessCredentialPropagation:
NoCloudSSHPublicKeyAccessCredentialPropagation:
QemuGuestAgentSSHPublicKeyAccessCredentialPropagation: users!:[s
AccessCredentialSecretSource: secretName!
QemuGuestAgentUserPasswordAccessCredentialPropagation:
K8sNodeSelectorTerm: matchExpressions:[K8sNodeSelectorRequirement matchFields:[K8sNodeSelectorRequirement
HPETTimer: present:b tickPolicy
HypervTimer: present:b
KVMTimer: present:b
PITTimer: present:b tickPolicy
RTCTimer: present:b tickPolicy track
NUMAGuestMappingPassthrough:
BlockSize: custom:CustomBlockSize matchVolume:FeatureState
CDRomTarget: bus readonly:b tray
DiskTarget: bus pciAddress readonly:b
LunTarget: bus readonly:b reservation:b
FilesystemVirtiofs:
VGPUOptions: display:VGPUDisplayOptions
PluginBinding: name!
InterfaceBridge:
DHCPOptions: bootFileName ntpServers:[s privateOptions:[DHCPPrivateOptions tftpServerName
DeprecatedInterfaceMacvtap:
InterfaceMasquerade:
DeprecatedInterfacePasst:
InterfacePasstBinding:
PortRange: end!:i protocol! start!:i
Port: name port!:i protocol
DeprecatedInterfaceSlirp:
InterfaceSRIOV:
Diag288Watchdog: action
I6300ESBWatchdog: action
FeatureSpinlocks: enabled:b spinlocks:i
SyNICTimer: direct:FeatureState enabled:b
TLBFlush: direct:FeatureState enabled:b extended:FeatureState
FeatureVendorID: enabled:b vendorid
BIOS: useSerial:b
EFI: persistent:b secureBoot:b
KernelBootContainer: image! imagePullPolicy imagePullSecret initrdPath kernelPath
SEVAttestation:
SEVPolicy: encryptedState:b
K8sObjectFieldSelector: apiVersion fieldPath!
K8sResourceFieldSelector: containerName divisor:q resource!
K8sTypedLocalObjectReference: apiGroup kind! name!
K8sTypedObjectReference: apiGroup kind! name! namespace
K8sVolumeResourceRequirements: limits:{q requests:{q
CdiDataVolumeBlankImage:
CdiDataVolumeSourceGCS: secretRef url!
CdiDataVolumeSourceHTTP: certConfigMap extraHeaders:[s secretExtraHeaders:[s secretRef url!
CdiDataVolumeSourceImageIO: certConfigMap diskId! insecureSkipVerify:b secretRef url!
CdiDataVolumeSourcePVC: name! namespace!
CdiDataVolumeSourceRegistry: certConfigMap imageStream platform:CdiPlatformOptions pullMethod secretRef
  url
CdiDataVolumeSourceS3: certConfigMap secretRef url!
CdiDataVolumeSourceSnapshot: name! namespace!
CdiDataVolumeSourceUpload:
CdiDataVolumeSourceVDDK: backingFile extraArgs initImageURL secretRef thumbprint url uuid
K8sNodeSelectorRequirement: key! operator! values:[s
CustomBlockSize: discardGranularity:i logical:i physical:i
VGPUDisplayOptions: enabled:b ramFB:FeatureState
DHCPPrivateOptions: option!:i value!
CdiPlatformOptions: architecture
"""
