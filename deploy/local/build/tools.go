//go:build tools

// Package tools names what build.sh builds besides ./allinone, so that go.mod keeps its modules.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
