// SPDX-License-Identifier: Apache-2.0
// Classes of service that nobody has.
#include "classes.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/must.h"
#include "mail/addr.h"

enum { SET_BYTES_MAX = CLASSES_MAX * (3 * ENTRY_DN_BYTES_MAX + 256) }; // a name, a DN, a key

struct class {
	struct str key, name, dn; // in the arena
	uint64_t n;               // entries that name it
	bool exists;
};

struct set {
	struct arena *arena; // owned
	struct class v[CLASSES_MAX];
	size_t n;
};

struct classes {
	pthread_mutex_t mutex; // guards `last` against who asks
	struct set sets[2];
	struct set *next, *last;
	struct arena *scratch; // owned
};

struct classes *classes_new(void)
{
	struct classes *classes = calloc(1, sizeof *classes);
	must(classes != NULL && pthread_mutex_init(&classes->mutex, NULL) == 0);
	for (size_t i = 0; i < 2; i++)
		classes->sets[i].arena = arena_new(SET_BYTES_MAX);
	classes->scratch = arena_new(ENTRY_BYTES_MAX);
	classes->last = &classes->sets[0];
	classes->next = &classes->sets[1];
	return classes;
}

void classes_free(struct classes **classes_in)
{
	struct classes *classes = *classes_in;
	if (classes == NULL)
		return;
	for (size_t i = 0; i < 2; i++)
		arena_free(&classes->sets[i].arena);
	arena_free(&classes->scratch);
	pthread_mutex_destroy(&classes->mutex);
	free(classes);
	*classes_in = NULL;
}

static struct class *find(struct set *set, struct str key)
{
	for (size_t i = 0; i < set->n; i++)
		if (str_eq(set->v[i].key, key))
			return &set->v[i];
	return NULL;
}

// NULL: there are too many.
static struct class *find_or_add(struct classes *classes, struct str name)
{
	struct set *set = classes->next;
	arena_reset(classes->scratch);
	struct str key = addr_local_key(classes->scratch, str_upto(name, ENTRY_DN_BYTES_MAX));
	struct class *class = find(set, key);
	if (class || set->n == CLASSES_MAX || key.p == NULL)
		return class;
	class = &set->v[set->n];
	*class = (struct class){.key = arena_dup(set->arena, str_upto(key, ENTRY_DN_BYTES_MAX))};
	if (arena_overflowed(set->arena))
		return NULL;
	set->n++;
	return class;
}

void classes_begin(struct classes *classes)
{
	arena_reset(classes->next->arena);
	classes->next->n = 0;
}

static void note_names(struct classes *classes, const struct entry *entry)
{
	struct entry_cursor cursor = {0};
	struct str name;
	while (entry_next(entry, ATTR_CN, &cursor, &name)) {
		struct class *class = find_or_add(classes, name);
		if (class)
			class->exists = true;
	}
}

void classes_note(struct classes *classes, const struct entry *entry)
{
	struct str name;
	if (entry->classes & ENTRY_CLASS_OF_SERVICE)
		note_names(classes, entry);
	if (!entry_class_of_service(entry, 0, &name) || entry_class_is_default(entry))
		return;
	struct class *class = find_or_add(classes, name);
	if (class && class->n++ == 0) {
		class->name = arena_dup(classes->next->arena, str_upto(name, ENTRY_DN_BYTES_MAX));
		class->dn = arena_dup(classes->next->arena, entry->dn);
	}
}

static bool is_missing(const struct class *class)
{
	return class->n > 0 && !class->exists;
}

void classes_end(struct classes *classes)
{
	struct set *noted = classes->next;
	for (size_t i = 0; i < noted->n; i++) {
		const struct class *before = find(classes->last, noted->v[i].key);
		if (is_missing(&noted->v[i]) && (before == NULL || !is_missing(before)))
			log_warning(NULL,
				"nobody has a class of service that entries name: what only a class grants is not granted",
				log_str("class", noted->v[i].name), log_u64("entries", noted->v[i].n),
				log_str("dn", noted->v[i].dn));
	}
	pthread_mutex_lock(&classes->mutex);
	classes->next = classes->last;
	classes->last = noted;
	pthread_mutex_unlock(&classes->mutex);
}

void classes_abort(struct classes *classes)
{
	classes->next->n = 0;
}

void classes_missing(struct classes *classes, classes_missing_fn *each, void *context)
{
	pthread_mutex_lock(&classes->mutex);
	for (size_t i = 0; i < classes->last->n; i++)
		if (is_missing(&classes->last->v[i]))
			each(context, classes->last->v[i].name, classes->last->v[i].n, classes->last->v[i].dn);
	pthread_mutex_unlock(&classes->mutex);
}
