{{/* What the operator does in the namespaces that it looks after. Nothing else: a verb that is not used is not here. */}}
{{- define "redissync.rules" -}}
- apiGroups: [redissync.dev]
  resources: [redissyncs]
  verbs: [list, watch, patch]
- apiGroups: [redissync.dev]
  resources: [redissyncs/status]
  verbs: [patch]
# To own what it makes for an object, where the API server insists on this right (OwnerReferencesPermissionEnforcement).
- apiGroups: [redissync.dev]
  resources: [redissyncs/finalizers]
  verbs: [update]
# The syncer and its configuration.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
# A syncer on a node that is lost is moved: its pod is deleted, and its claim if only that node can reach its volume.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, delete]
# The Secrets that a RedisSync names, one by one: to log in at sentinels and data nodes. Never listed, never watched.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
