// SPDX-License-Identifier: Apache-2.0
// What addr.c knows of domains beside mail/domain.h.
#ifndef MAIL_DOMAIN_PARTS_H
#define MAIL_DOMAIN_PARTS_H

#include "base/str.h"

// Is it a name of ASCII that domain_parse would take as it is, without a trailing dot? *upper_out: some letters are not in lower
// case, so that its key is another text.
bool domain_is_plain(struct str text, bool *upper_out);

#endif
