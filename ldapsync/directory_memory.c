// SPDX-License-Identifier: Apache-2.0
// A directory in memory: the intake's results in an array, their keys in another, sorted.
#include "ldapsync/directory_memory.h"

#include <stdlib.h>

#include "base/must.h"
#include "directory_source.h"
#include "intake.h"
#include "keys.h"
#include "ldif.h"

enum { MEMORY_BYTES_MAX = 1 << 30 };

struct memory_key {
	enum directory_key kind;
	struct str key, data;
};

struct directory_memory {
	struct arena *arena;
	struct memory_key *keys; // owned; sorted by kind and key
	size_t n, room;
	struct directory_status status;
};

static int compare_keys(const void *a, const void *b)
{
	const struct memory_key *x = a, *y = b;
	return x->kind != y->kind ? (int)x->kind - (int)y->kind : str_cmp(x->key, y->key);
}

static void add_key(struct directory_memory *memory, enum directory_key kind, struct str key, struct str data)
{
	if (memory->n == memory->room) {
		memory->room = memory->room ? 2 * memory->room : 256;
		memory->keys = reallocarray(memory->keys, memory->room, sizeof *memory->keys);
		must(memory->keys != NULL);
	}
	memory->keys[memory->n++] = (struct memory_key){kind, arena_dup(memory->arena, key), data};
}

static void ignore_complaint(void *context, size_t line, struct str dn, struct str attribute, const char *what)
{
	(void)context;
	(void)line;
	(void)dn;
	(void)attribute;
	(void)what;
}

static void add_entry(struct directory_memory *memory, struct intake *intake, const struct raw_entry *record)
{
	struct intake_made made;
	enum directory_key kind;
	struct str key;
	if (intake_make(intake, record, 0, &made) != INTAKE_TAKEN)
		return;
	struct str data = arena_dup(memory->arena, made.data);
	add_key(memory, DIRECTORY_UUID, guid_bytes(&made.uuid), data);
	while (keys_next(&made.keys, &kind, &key))
		add_key(memory, kind, key, data);
	memory->status.entries++;
}

static enum err_code read_all(struct directory_memory *memory, struct intake *intake, struct str text, bool survey,
	struct err *err)
{
	struct ldif *ldif = ldif_open_text(text, "directory");
	struct raw_entry record;
	enum ldif_result got;
	while ((got = ldif_next(ldif, &record, err)) == LDIF_RECORD) {
		if (survey)
			intake_survey(intake, &record);
		else
			add_entry(memory, intake, &record);
	}
	ldif_close(&ldif);
	return got == LDIF_BAD ? err->code : ERR_OK;
}

static void memory_close(void *source)
{
	struct directory_memory *memory = source;
	arena_free(&memory->arena);
	free(memory->keys);
	free(memory);
}

static void memory_nothing(void *source)
{
	(void)source;
}

// Index of the first key that is not below.
static size_t first_from(const struct directory_memory *memory, const struct memory_key *wanted)
{
	size_t low = 0, high = memory->n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (compare_keys(&memory->keys[middle], wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct str memory_next_key(void *source, enum directory_key kind, struct str from, struct arena *arena)
{
	struct directory_memory *memory = source;
	size_t at = first_from(memory, &(struct memory_key){.kind = kind, .key = from});
	if (!memory->status.complete || at == memory->n || memory->keys[at].kind != kind)
		return STR_NONE;
	return arena_dup(arena, memory->keys[at].key);
}

static enum directory_answer memory_find(void *source, enum directory_key kind, struct str key, size_t skip, struct arena *arena,
	struct directory_match *match_out)
{
	struct directory_memory *memory = source;
	struct memory_key wanted = {.kind = kind, .key = reader_key(kind, key, arena)};
	if (!memory->status.complete)
		return DIRECTORY_UNAVAILABLE;
	struct directory_match match = {NULL, NULL};
	for (size_t i = first_from(memory, &wanted) + skip;
		i < memory->n && match.other == NULL && compare_keys(&memory->keys[i], &wanted) == 0; i++) {
		const struct entry *entry = reader_entry(memory->keys[i].data, arena);
		if (entry == NULL)
			return DIRECTORY_UNAVAILABLE;
		*(match.entry ? &match.other : &match.entry) = entry;
	}
	if (match.entry == NULL)
		return DIRECTORY_NONE;
	*match_out = match;
	return match.other ? DIRECTORY_AMBIGUOUS : DIRECTORY_FOUND;
}

static enum directory_answer memory_each(void *source, bool (*each)(void *arg, const struct entry *entry), void *arg)
{
	struct directory_memory *memory = source;
	struct entry entry;
	if (!memory->status.complete)
		return DIRECTORY_UNAVAILABLE;
	for (size_t i = 0; i < memory->n; i++)
		if (memory->keys[i].kind == DIRECTORY_UUID && entry_decode(memory->keys[i].data, &entry) && !each(arg, &entry))
			break;
	return DIRECTORY_FOUND;
}

static struct directory_status memory_status(void *source)
{
	struct directory_memory *memory = source;
	return memory->status;
}

static const char *memory_trouble(const void *source)
{
	const struct directory_memory *memory = source;
	return memory->status.complete ? "" : "never loaded completely";
}

static const struct directory_ops memory_ops = {
	.begin = memory_nothing,
	.end = memory_nothing,
	.find = memory_find,
	.each = memory_each,
	.next_key = memory_next_key,
	.status = memory_status,
	.trouble = memory_trouble,
	.close = memory_close,
};

struct directory *directory_memory_mapped(struct str ldif, const struct profile *profile, struct directory_memory **memory_out,
	struct err *err)
{
	struct directory_memory *memory = calloc(1, sizeof *memory);
	must(memory != NULL);
	memory->arena = arena_new(MEMORY_BYTES_MAX);
	memory->status = (struct directory_status){.version = 1, .complete = true, .fresh = true, .is_ldif = true};
	struct intake *intake = intake_new(ignore_complaint, NULL);
	intake_use_profile(intake, profile);
	enum err_code code = read_all(memory, intake, ldif, true, err);
	intake_surveyed(intake);
	if (code == ERR_OK)
		code = read_all(memory, intake, ldif, false, err);
	intake_free(&intake);
	if (code) {
		memory_close(memory);
		return NULL;
	}
	must(!arena_overflowed(memory->arena));
	if (memory->n)
		qsort(memory->keys, memory->n, sizeof *memory->keys, compare_keys);
	if (memory_out)
		*memory_out = memory;
	return directory_new(&memory_ops, memory);
}

struct directory *directory_memory_new(struct str ldif, struct directory_memory **memory_out, struct err *err)
{
	return directory_memory_mapped(ldif, NULL, memory_out, err);
}

void directory_memory_set_status(struct directory_memory *memory, const struct directory_status *status)
{
	memory->status = *status;
}
