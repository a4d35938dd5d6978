// SPDX-License-Identifier: Apache-2.0
// Whom a change is asked of beyond the shadow: the LDIF file itself, or the running ldapsync, which alone may bind to the
// servers.
#include "base/codec.h"
#include "base/must.h"
#include "why.h"

enum { NAMES_MAX = 1000, NAMES_BYTES_MAX = 512 << 10, VALUE_BYTES_MAX = 1 << 20 }; // of one question; of a line of the answer

struct answer {
	size_t first, n; // of the names of this question
	entry_source_value_fn *each;
	void *taker;
};

static void take_item(const json_t *item, void *arg)
{
	const struct answer *answer = arg;
	const json_t *name = json_object_get(item, "name"), *value = json_object_get(item, "value");
	json_int_t which = json_integer_value(json_object_get(item, "which"));
	struct buf bytes;
	if (which < 0 || (size_t)which >= answer->n)
		return;
	buf_init(&bytes, VALUE_BYTES_MAX);
	if (codec_base64_decode(str_of(json_string_value(value), json_string_length(value)), &bytes))
		answer->each(answer->taker, answer->first + (size_t)which,
			str_of(json_string_value(name), json_string_length(name)), buf_str(&bytes));
	buf_fini(&bytes);
}

static enum err_code ask_ldapsync(void *context, const struct str *dns, size_t n, entry_source_value_fn *each, void *taker,
	struct err *err)
{
	enum err_code code = ERR_OK;
	for (size_t at = 0; code == ERR_OK && at < n;) {
		struct answer answer = {.first = at, .each = each, .taker = taker};
		json_t *names = json_array(), *result = NULL;
		for (size_t bytes = 0; at < n && answer.n < NAMES_MAX && (answer.n == 0 || bytes + dns[at].n < NAMES_BYTES_MAX);
			at++, answer.n++) {
			bytes += dns[at].n;
			json_array_append_new(names, why_json_text(dns[at]));
		}
		code = ctl_ask(context, DAEMONS_LDAPSYNC, "directory.entries", json_pack("{s:o}", "dns", names), take_item,
			&answer, &result, err);
		json_decref(result);
	}
	return code;
}

struct entry_source why_source(struct ctl *ctl, const struct settings *settings)
{
	if (settings->ldap_uri.n)
		return (struct entry_source){ask_ldapsync, ctl};
	struct entry_file *file = ARENA_NEW(ctl->arena, struct entry_file);
	file->path = settings->shadow_ldif.p;
	return (struct entry_source){entry_file_fetch, file};
}
