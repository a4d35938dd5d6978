// SPDX-License-Identifier: Apache-2.0
// Metrics of posthouse-ldapsync.
#include "ldapsync_metrics.h"

METRICS_DEFINE(ldapsync_metrics, LDAPSYNC_METRICS)
