// SPDX-License-Identifier: Apache-2.0
// The counters of posthouse-popimap.
#include "popimap_metrics.h"

METRICS_DEFINE(popimap_metrics, POPIMAP_METRICS)
