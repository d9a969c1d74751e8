{{- define "redissync.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "redissync.fullname" -}}
{{- $name := include "redissync.name" . -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride }}
{{- else if contains $name .Release.Name -}}{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "redissync.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}{{ default (include "redissync.fullname" .) .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.name -}}{{ .Values.serviceAccount.name }}
{{- else -}}{{ fail "serviceAccount.create is false and serviceAccount.name is empty: name a ServiceAccount that is there" }}
{{- end -}}
{{- end -}}

{{- define "redissync.selector" -}}
app.kubernetes.io/name: {{ include "redissync.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* By which syncers are found: the operator labels their pods so. */}}
{{- define "redissync.syncerSelector" -}}
app.kubernetes.io/name: redissync-syncer
app.kubernetes.io/managed-by: redissync-operator
{{- end -}}

{{- define "redissync.labels" -}}
{{ include "redissync.selector" . }}
app.kubernetes.io/part-of: redissync
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- $ours := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/part-of" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" }}
{{- range $key, $value := .Values.commonLabels }}
{{- if not (has $key $ours) }}
{{ $key }}: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Of (list image appVersion): the reference that the kubelet pulls. */}}
{{- define "redissync.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}{{ $image.repository }}@{{ $image.digest }}
{{- else -}}{{ $image.repository }}:{{ default (index . 1) $image.tag }}
{{- end -}}
{{- end -}}
