{{/* Labels of every object; pods and selectors have less, so that a new chart version alone restarts nothing. */}}
{{- define "rayclusterscaler.labels" -}}
{{ include "rayclusterscaler.selector" . }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* A Deployment's selector never changes: releases of before have this one label. */}}
{{- define "rayclusterscaler.selector" -}}
app: {{ .Values.env.name }}
{{- end }}

{{- define "rayclusterscaler.image" -}}
{{ .Values.image.repository }}/{{ .Values.image.container }}:{{ .Values.image.appVersion | default .Chart.AppVersion }}
{{- end }}

{{/* The labels of the test's pod, which the NetworkPolicy lets in and the Service does not select. */}}
{{- define "rayclusterscaler.testLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{/* The data of a ConfigMap of Lua files: what the chart brings under directory, with files over it. */}}
{{- define "rayclusterscaler.lua" -}}
{{- $data := dict -}}
{{- range $path, $bytes := .root.Files.Glob (printf "files/%s/*.lua" .directory) -}}
{{- $_ := set $data (base $path) (toString $bytes) -}}
{{- end -}}
{{- if not $data -}}
{{- fail (printf "the chart holds no files/%s/*.lua" .directory) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $data .files) -}}
{{- end }}

{{/* The name of the ConfigMap that is served: {root, kind: "scripts" or "policies"}. */}}
{{- define "rayclusterscaler.configMap" -}}
{{- $source := index .root.Values .kind -}}
{{- if and $source.files $source.existingConfigMap -}}
{{- fail (printf "%s.files and %s.existingConfigMap exclude each other: put the files into that ConfigMap" .kind .kind) -}}
{{- end -}}
{{- $source.existingConfigMap | default (printf "%s-%s" .root.Values.env.name .kind) -}}
{{- end }}

{{/* Where the Lua is mounted: whole directories, because files mounted one by one (subPath) never see an edit. */}}
{{- define "rayclusterscaler.luaMounts" -}}
- name: scripts
  mountPath: /etc/rayclusterscaler/scripts
  readOnly: true
- name: policies
  mountPath: /etc/rayclusterscaler/policies
  readOnly: true
{{- end }}

{{- define "rayclusterscaler.luaVolumes" -}}
- name: scripts
  configMap:
    name: {{ include "rayclusterscaler.configMap" (dict "root" . "kind" "scripts") }}
- name: policies
  configMap:
    name: {{ include "rayclusterscaler.configMap" (dict "root" . "kind" "policies") }}
{{- end }}

{{- define "rayclusterscaler.env" -}}
- name: COMPUTE_NAMESPACE
  value: {{ .Values.env.namespace.compute | quote }}
- name: LISTEN
  value: 0.0.0.0:6000
- name: ADMIN_LISTEN
  value: 0.0.0.0:6001
- name: SCRIPTS_DIR
  value: /etc/rayclusterscaler/scripts
- name: POLICIES_DIR
  value: /etc/rayclusterscaler/policies
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ toString $value | quote }}
{{- end }}
{{- end }}

{{/* Restricted Pod Security. */}}
{{- define "rayclusterscaler.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "rayclusterscaler.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
