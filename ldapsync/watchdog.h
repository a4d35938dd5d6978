// SPDX-License-Identifier: Apache-2.0
// Ends a wait that libldap does not end: a thread of its own shuts the connection's descriptor down when a deadline has passed
// (I10). A TLS handshake with a server that hangs ignores every time-out of libldap.
//
//     watchdog_start(&watchdog, err);
//     watchdog_watch(watchdog, fd);                    // from libldap's connect callback
//     watchdog_arm(watchdog, timeout_ms);              // before each call that may wait
//     rc = ldap_…(…);
//     if (watchdog_disarm(watchdog)) ... it bit: the call failed for that reason ...
//     watchdog_watch(watchdog, -1);                    // before the descriptor is closed
//
// One connection at a time; arm and disarm cost a clock and two atomics. watchdog_end_waits may be called from any thread.
#ifndef LDAPSYNC_WATCHDOG_H
#define LDAPSYNC_WATCHDOG_H

#include <stdint.h>

#include "base/err.h"

struct watchdog;

enum err_code watchdog_start(struct watchdog **watchdog_out, struct err *err) ERR_CHECKED;
void watchdog_stop(struct watchdog **watchdog);

void watchdog_watch(struct watchdog *watchdog, int fd);
void watchdog_arm(struct watchdog *watchdog, int64_t timeout_ms);
bool watchdog_disarm(struct watchdog *watchdog);

// Shuts down what is watched, now and from now on: the process stops.
void watchdog_end_waits(struct watchdog *watchdog);

#endif
