// SPDX-License-Identifier: Apache-2.0
// The SMTP server's counters.
#include "smtp_metrics.h"

METRICS_DEFINE(mta_smtp_metrics, MTA_SMTP_METRICS)
