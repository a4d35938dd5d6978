// SPDX-License-Identifier: Apache-2.0
// Log lines about what is wrong in the directory.
#include "complaints.h"

#include "base/buf.h"
#include "base/codec.h"
#include "base/log.h"
#include "ldapsync/directory.h"

void complaints_refuse(void *context, size_t line, struct str dn, struct str attribute, const char *what)
{
	struct complaints *complaints = context;
	if (complaints->refused++ >= COMPLAINTS_LOGGED_MAX)
		return;
	log_warning(NULL, "directory value refused", log_c("source", complaints->source), log_u64("line", line),
		log_str("dn", dn), log_str("attribute", attribute), log_c("problem", what));
}

void complaints_conflict(void *context, int kind, struct str key, struct str dns)
{
	struct complaints *complaints = context;
	struct buf text;
	if (kind == DIRECTORY_PIN || complaints->conflicts++ >= COMPLAINTS_LOGGED_MAX)
		return;
	buf_init(&text, 4096);
	if (kind == DIRECTORY_DN || kind == DIRECTORY_MAILBOX || !str_is_utf8(key))
		codec_hex_add(&text, key);
	else
		buf_add(&text, key);
	log_error(NULL, "several entries claim one key; what is sent to it is deferred", log_u64("kind", (uint64_t)kind),
		log_str("key", buf_str(&text)), log_str("entries", dns));
	buf_fini(&text);
}
