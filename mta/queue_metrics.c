// SPDX-License-Identifier: Apache-2.0
// The queue's counters.
#include "queue_metrics.h"

METRICS_DEFINE(mta_queue_metrics, MTA_QUEUE_METRICS)
