{{- define "landfall.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "landfall.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := include "landfall.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "landfall.selector" -}}
app.kubernetes.io/name: {{ include "landfall.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "landfall.labels" -}}
{{ include "landfall.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "landfall.account" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "landfall.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "landfall.image" -}}
{{- $repository := required "image.repository: name your image, such as registry.example.com/landfall (there is no public one: build it from the Dockerfile)" .Values.image.repository }}
{{- $tag := default .Chart.AppVersion .Values.image.tag }}
{{- printf "%s:%s" $repository $tag }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- /* Whether the chart writes landfall.yaml itself; exactly one of three says what is in it. */}}
{{- define "landfall.ownConfig" -}}
{{- $given := 0 }}
{{- range list .Values.existingConfigMap .Values.existingConfigSecret .Values.config }}{{ if . }}{{ $given = add1 $given }}{{ end }}{{ end }}
{{- if ne $given 1 }}
{{- fail "give exactly one of config, existingConfigMap and existingConfigSecret" }}
{{- end }}
{{- if .Values.config }}true{{ end }}
{{- end }}

{{- /* landfall.yaml: the values, over what the pod says. */}}
{{- define "landfall.config" -}}
{{- $config := dict "stateDir" "/var/lib/landfall" }}
{{- if .Values.server.enabled }}
{{- $_ := set $config "server" (dict "listen" (printf "0.0.0.0:%d" (int .Values.server.port))) }}
{{- end }}
{{- if .Values.watchOwnCluster }}
{{- $_ := set $config "clusters" (list (dict "name" "in-cluster")) }}
{{- end }}
{{- if .Values.leases.enabled }}
{{- $_ := set $config "replicas" dict }}
{{- end }}
{{- toYaml (mergeOverwrite $config (deepCopy .Values.config)) }}
{{- end }}

{{- /* The name of the ConfigMap with the policies, if there is one. */}}
{{- define "landfall.policies" -}}
{{- if and .Values.policies .Values.existingPoliciesConfigMap }}
{{- fail "give one of policies and existingPoliciesConfigMap" }}
{{- end }}
{{- if .Values.policies }}{{ include "landfall.fullname" . }}-policies{{ else }}{{ .Values.existingPoliciesConfigMap }}{{ end }}
{{- end }}
