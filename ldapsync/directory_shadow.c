// SPDX-License-Identifier: Apache-2.0
// shadow.db as a source of ldapsync/directory.h.
#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "directory_source.h"
#include "heartbeat.h"
#include "schema/ddl_shadow.h"

struct directory_shadow {
	struct reader *reader;
	int64_t fresh_s;
};

void *directory_shadow_new(const char *path, int64_t fresh_s)
{
	struct directory_shadow *shadow = calloc(1, sizeof *shadow);
	must(shadow != NULL);
	shadow->reader = reader_new(path, &ddl_shadow);
	shadow->fresh_s = fresh_s;
	return shadow;
}

static void shadow_close(void *source)
{
	struct directory_shadow *shadow = source;
	reader_free(&shadow->reader);
	free(shadow);
}

static void shadow_begin(void *source)
{
	struct directory_shadow *shadow = source;
	(void)!reader_begin(shadow->reader); // look-ups find out
}

static void shadow_end(void *source)
{
	struct directory_shadow *shadow = source;
	reader_end(shadow->reader);
}

static enum directory_answer shadow_find(void *source, enum directory_key kind, struct str key, size_t skip, struct arena *arena,
	struct directory_match *match_out)
{
	struct directory_shadow *shadow = source;
	return reader_find(shadow->reader, kind, key, skip, arena, match_out);
}

static struct str shadow_next_key(void *source, enum directory_key kind, struct str from, struct arena *arena)
{
	struct directory_shadow *shadow = source;
	return reader_next_key(shadow->reader, kind, from, arena);
}

static enum directory_answer shadow_each(void *source, bool (*each)(void *arg, const struct entry *entry), void *arg)
{
	struct directory_shadow *shadow = source;
	return reader_each(shadow->reader, each, arg);
}

// I8: an LDIF file is fresh while its last parse succeeded; a replicated directory while a heartbeat came within fresh_s.
static struct directory_status shadow_status(void *source)
{
	struct directory_shadow *shadow = source;
	struct reader_state state = reader_state(shadow->reader);
	struct directory_status status = {.version = state.version,
		.complete = state.complete,
		.entries = state.entries,
		.age_s = -1,
		.is_ldif = state.is_ldif};
	if (!state.complete)
		return status;
	status.age_s = heartbeat_age_ms(state.confirmed_ms, clock_wall_ms()) / 1000;
	status.fresh = state.source_ok && (state.is_ldif || status.age_s <= shadow->fresh_s);
	return status;
}

static const char *shadow_trouble(const void *source)
{
	const struct directory_shadow *shadow = source;
	return reader_trouble(shadow->reader);
}

const struct directory_ops directory_shadow_ops = {
	.begin = shadow_begin,
	.end = shadow_end,
	.find = shadow_find,
	.each = shadow_each,
	.next_key = shadow_next_key,
	.status = shadow_status,
	.trouble = shadow_trouble,
	.close = shadow_close,
};
