// SPDX-License-Identifier: Apache-2.0
// The MIME fields of any header: first byte whether it stands in a digest, the rest the header. What is absent or not valid has
// its default, work stays in its budget, and the values of parameters are UTF-8.
// Covers: mail/mime_fields.c
#include "base/must.h"
#include "mime_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_params(const struct mime_params *params, struct arena *arena)
{
	static const char *const names[] = {"charset", "BOUNDARY", "name", "filename", "x"};
	must(params->n <= MIME_PARAMS_MAX);
	for (size_t i = 0; i < params->n; i++)
		must(params->p[i].name.n);
	struct mime_params joined, twice;
	mime_params_join(params, arena, &joined);
	mime_params_join(&joined, arena, &twice);
	must(joined.n <= params->n && twice.n <= joined.n);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct str value, bytes;
		bool has = mime_param(params, str_of_c(names[i]), arena, &value);
		must(has == mime_param_bytes(params, str_of_c(names[i]), arena, &bytes));
		must(!has || str_is_utf8(value));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct arena *arena = arena_new(MIME_ARENA_BYTES);
	struct mime_details details;
	bool in_digest = data[0] & 1;
	size_t budget = data[0] & 2 ? 100 : MIME_FIELDS_BYTES_MAX, before = budget;
	struct str header = str_of((const char *)data + 1, size - 1);
	bool whole = mime_fields_read(header, in_digest, &budget, arena, &details);
	must(budget <= before && before - budget <= header.n);
	must(whole || (data[0] & 2));
	must(details.type.n && details.subtype.n && details.encoding.n);
	must(mime_encoding_of(details.encoding) <= MIME_UNKNOWN_ENCODING);
	must(details.disposition.n || details.disposition_params.n == 0);
	if (str_find(header, STR(":")) < 0)
		must(str_eq_nocase(details.type, in_digest ? STR("message") : STR("text")) &&
			str_eq_nocase(details.encoding, STR("7bit")));
	check_params(&details.params, arena);
	check_params(&details.disposition_params, arena);
	for (size_t i = 0; i < details.languages_n; i++)
		must(details.languages[i].n);
	arena_free(&arena);
	return 0;
}
