{{- define "redis.fullname" -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride }}
{{- else if contains "redis" .Release.Name -}}{{ .Release.Name }}
{{- else -}}{{ .Release.Name }}-redis
{{- end -}}
{{- end -}}

{{- define "redis.secret" -}}{{ default (include "redis.fullname" .) .Values.auth.existingSecret }}{{- end -}}

{{- define "redis.selector" -}}
app.kubernetes.io/name: redis
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end -}}

{{- define "redis.container" -}}
image: {{ .Values.image }}
imagePullPolicy: IfNotPresent
envFrom: [{configMapRef: {name: {{ include "redis.fullname" . }}-settings}}]
env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
- {name: scripts, mountPath: /scripts, readOnly: true}
- {name: data, mountPath: /data}
- {name: run, mountPath: /run/redis}
{{- if .Values.auth.enabled }}
- {name: secret, mountPath: /secrets, readOnly: true}
{{- end }}
{{- end -}}
