// SPDX-License-Identifier: Apache-2.0
// The patterns of LIST and LSUB (RFC 3501 section 6.3.8): "*" matches anything, "%" anything but the delimiter.
//
//     struct imap_pattern *pattern = imap_pattern_new(STR("Archive/%"), arena);
//     if (imap_pattern_match(pattern, STR("Archive/2026"))) ...
//
// Pattern and name are UTF-8 (mutf7_decode in mail/mailbox_name.h). A first level INBOX of a name is compared without case.
// Matching takes time linear in the name, whatever the wildcards: at most sixteen words of work a byte. Nothing here blocks.
#ifndef MAIL_IMAP_PATTERN_H
#define MAIL_IMAP_PATTERN_H

#include "base/arena.h"

enum { IMAP_PATTERN_BYTES_MAX = 1023 };

struct imap_pattern;

// 33 KiB in the arena. NULL when the pattern is over IMAP_PATTERN_BYTES_MAX, or the arena full.
struct imap_pattern *imap_pattern_new(struct str pattern, struct arena *arena);
bool imap_pattern_match(const struct imap_pattern *pattern, struct str name);

#endif
