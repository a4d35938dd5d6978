// SPDX-License-Identifier: Apache-2.0
// The counters of the IMAP and POP3 servers.
#include "popimap_metrics.h"

METRICS_DEFINE(popimap_metrics, POPIMAP_METRICS)
