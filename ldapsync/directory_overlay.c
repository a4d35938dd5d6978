// SPDX-License-Identifier: Apache-2.0
// The overlay as a source: entries that the change makes, in memory; the directory beneath, without the entries in whose place
// they stand.
#include "ldapsync/directory_overlay.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "change.h"
#include "directory_source.h"
#include "dn.h"
#include "intake.h"
#include "keys.h"

enum { OVERLAY_BYTES_MAX = 1 << 30, READ_BYTES = 1 << 16 };

struct overlay_key {
	enum directory_key kind;
	struct str key, data;
};

struct directory_overlay {
	struct directory *base; // borrowed; a snapshot is open
	struct arena *arena;
	struct overlay_key *keys; // owned; sorted by kind and key
	size_t n_keys, room_keys;
	struct guid *hidden; // owned; sorted: entries of the base that are not seen
	size_t n_hidden;
	bool asked;
};

// --- Making it ---

static int compare_keys(const void *a, const void *b)
{
	const struct overlay_key *x = a, *y = b;
	return x->kind != y->kind ? (int)x->kind - (int)y->kind : str_cmp(x->key, y->key);
}

static int compare_guids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct guid));
}

static bool is_hidden(const struct directory_overlay *overlay, const struct guid *uuid)
{
	return overlay->n_hidden && bsearch(uuid, overlay->hidden, overlay->n_hidden, sizeof *uuid, compare_guids);
}

static void add_key(struct directory_overlay *overlay, enum directory_key kind, struct str key, struct str data)
{
	if (overlay->n_keys == overlay->room_keys) {
		overlay->room_keys = overlay->room_keys ? 2 * overlay->room_keys : 64;
		overlay->keys = reallocarray(overlay->keys, overlay->room_keys, sizeof *overlay->keys);
		must(overlay->keys != NULL);
	}
	overlay->keys[overlay->n_keys++] = (struct overlay_key){kind, arena_dup(overlay->arena, key), data};
}

static struct raw_entry raw_of(const struct change_entry *entry)
{
	return (struct raw_entry){.dn = entry->dn, .line = entry->line, .uuid = entry->has_uuid ? &entry->uuid : NULL,
	.values = entry->values,
		.n_values = entry->n, .native = entry->native};
}

// Realms of the domains as they would be: logins of users are made with them.
static enum err_code survey(struct directory_overlay *overlay, const struct change *change, struct intake *intake,
	struct err *err)
{
	struct arena *arena = arena_new(OVERLAY_BYTES_MAX);
	struct str from = STR_NONE;
	struct directory_match match;
	struct buf next;
	buf_init(&next, KEYS_KEY_BYTES_MAX + 1);
	enum err_code code = ERR_OK;
	while ((from = directory_next_key(overlay->base, DIRECTORY_DOMAIN, from, arena)).n && code == ERR_OK) {
		switch (directory_find(overlay->base, DIRECTORY_DOMAIN, from, arena, &match)) {
		case DIRECTORY_UNAVAILABLE:
			code = err_set(err, ERR_BUSY, "the shadow cannot be read: %s", directory_trouble(overlay->base));
			break;
		case DIRECTORY_FOUND:
		case DIRECTORY_AMBIGUOUS:
			if (is_hidden(overlay, &match.entry->uuid) || !entry_has(match.entry, ATTR_PH_AUTH_REALM))
				break;
			struct raw_value values[] = {{.name = STR("objectClass"), .value = STR("phMailDomain"), .line = 1},
				{.name = STR("associatedDomain"), .value = from, .line = 1},
				{.name = STR("phAuthRealm"), .value = entry_first(match.entry, ATTR_PH_AUTH_REALM), .line = 1}};
			intake_survey(intake,
				&(struct raw_entry){.dn = match.entry->dn, .values = values, .n_values = 3, .native = true});
			break;
		case DIRECTORY_NONE:
			break;
		}
		buf_clear(&next);
		buf_add(&next, from);
		buf_add_byte(&next, '\0');
		arena_reset(arena);
		from = buf_str(&next);
	}
	for (size_t i = 0; i < change->n; i++)
		if (change->entries[i].alive) {
			struct raw_entry raw = raw_of(&change->entries[i]);
			intake_survey(intake, &raw);
		}
	intake_surveyed(intake);
	buf_fini(&next);
	arena_free(&arena);
	return code;
}

static void store(struct directory_overlay *overlay, const struct intake_made *made)
{
	struct str data = arena_dup(overlay->arena, made->data), keys = made->keys, key;
	enum directory_key kind;
	add_key(overlay, DIRECTORY_UUID, guid_bytes(&made->uuid), data);
	while (keys_next(&keys, &kind, &key))
		add_key(overlay, kind, key, data);
}

// The entries that the change leaves, through the intake.
static enum err_code make_entries(struct directory_overlay *overlay, const struct change *change, struct err *err)
{
	struct intake *intake = intake_new(change->spec->complain, change->spec->context);
	intake_use_profile(intake, change->spec->profile);
	struct intake_made made;
	enum err_code code = survey(overlay, change, intake, err);
	for (size_t i = 0; code == ERR_OK && i < change->n; i++) {
		struct raw_entry raw = raw_of(&change->entries[i]);
		if (change->entries[i].alive && intake_make(intake, &raw, 0, &made) == INTAKE_TAKEN)
			store(overlay, &made);
	}
	intake_free(&intake);
	if (code == ERR_OK && arena_overflowed(overlay->arena))
		code = err_set(err, ERR_LIMIT, "%s: the change is too large", change->spec->name);
	if (overlay->n_keys)
		qsort(overlay->keys, overlay->n_keys, sizeof *overlay->keys, compare_keys);
	return code;
}

static void hide_entries(struct directory_overlay *overlay, const struct change *change)
{
	overlay->hidden = calloc(change->n + 1, sizeof *overlay->hidden);
	must(overlay->hidden != NULL);
	for (size_t i = 0; i < change->n; i++)
		if (change->entries[i].hides)
			overlay->hidden[overlay->n_hidden++] = change->entries[i].hidden;
	qsort(overlay->hidden, overlay->n_hidden, sizeof *overlay->hidden, compare_guids);
	for (size_t i = 1; i < overlay->n_hidden; i++)
		must(!guid_eq(&overlay->hidden[i - 1], &overlay->hidden[i]));
}

// --- What has others beneath it can be neither deleted nor, without them, renamed ---

struct branch {
	struct guid dn_key;
	const struct change_entry *entry;
};

static int compare_branches(const void *a, const void *b)
{
	return compare_guids(&((const struct branch *)a)->dn_key, &((const struct branch *)b)->dn_key);
}

static enum err_code check_above(const struct change *change, const struct branch *branches, size_t n, struct str dn,
	struct err *err)
{
	struct str rdn, child = dn;
	while (dn_cut(dn, &rdn, &dn) && dn.n) {
		struct branch wanted = {.dn_key = dn_key(dn)};
		const struct branch *found = bsearch(&wanted, branches, n, sizeof wanted, compare_branches);
		if (found)
			return err_set(err, ERR_NOTFOUND, "%s:%zu: %.*s has entries beneath it, such as %.*s", change->spec->name,
				found->entry->line, STR_FMT(found->entry->was_dn), STR_FMT(child));
	}
	return ERR_OK;
}

struct check {
	const struct directory_overlay *overlay;
	const struct change *change;
	const struct branch *branches;
	size_t n;
	struct buf last; // the parent that was looked at last
	enum err_code code;
	struct err *err;
};

// Most have the parent of the one before: nothing is hashed then.
static bool check_entry(void *arg, const struct entry *entry)
{
	struct check *check = arg;
	struct str rdn, parent;
	if (is_hidden(check->overlay, &entry->uuid) || !dn_cut(entry->dn, &rdn, &parent) || str_eq(parent, buf_str(&check->last)))
		return true;
	check->code = check_above(check->change, check->branches, check->n, entry->dn, check->err);
	buf_clear(&check->last);
	buf_add(&check->last, parent);
	return check->code == ERR_OK;
}

static enum err_code check_branches(struct directory_overlay *overlay, const struct change *change, struct err *err)
{
	struct branch *branches = calloc(change->n + 1, sizeof *branches);
	struct check check = {.overlay = overlay, .change = change, .branches = branches, .err = err};
	must(branches != NULL);
	buf_init(&check.last, ENTRY_DN_BYTES_MAX);
	for (size_t i = 0; i < change->n; i++) {
		const struct change_entry *one = &change->entries[i];
		struct guid old = one->was ? dn_key(one->was_dn) : one->dn_key;
		if (one->was && (!one->alive || !guid_eq(&old, &one->dn_key)))
			branches[check.n++] = (struct branch){old, one};
	}
	if (check.n) {
		qsort(branches, check.n, sizeof *branches, compare_branches);
		if (directory_each(overlay->base, check_entry, &check) != DIRECTORY_FOUND)
			check.code = err_set(err, ERR_BUSY, "the shadow cannot be read: %s", directory_trouble(overlay->base));
	}
	buf_fini(&check.last);
	free(branches);
	return check.code;
}

// --- As a source ---

static size_t first_from(const struct directory_overlay *overlay, enum directory_key kind, struct str key)
{
	struct overlay_key wanted = {.kind = kind, .key = key};
	size_t low = 0, high = overlay->n_keys;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (compare_keys(&overlay->keys[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct claimants {
	size_t skip, n;
	struct directory_match match;
};

static bool claim(struct claimants *claimants, const struct entry *entry)
{
	if (entry == NULL)
		return false;
	if (claimants->skip > 0)
		claimants->skip--;
	else if (claimants->n < 2)
		*(claimants->n++ ? &claimants->match.other : &claimants->match.entry) = entry;
	return true;
}

// Those of the base that are still seen. Two answers at a time: behind two that are hidden may be a third.
static enum directory_answer claim_base(struct directory_overlay *overlay, enum directory_key kind, struct str key,
	struct arena *arena, struct claimants *claimants)
{
	struct directory_match match;
	enum directory_answer answer;
	size_t skip = 0;
	do {
		answer = directory_find_more(overlay->base, kind, key, skip, arena, &match);
		if (answer == DIRECTORY_UNAVAILABLE || answer == DIRECTORY_NONE)
			return answer;
		const struct entry *found[] = {match.entry, answer == DIRECTORY_AMBIGUOUS ? match.other : NULL};
		for (size_t i = 0; i < 2 && found[i]; i++, skip++) {
			if (is_hidden(overlay, &found[i]->uuid))
				overlay->asked = true;
			else
				claim(claimants, found[i]);
		}
	} while (answer == DIRECTORY_AMBIGUOUS && claimants->n < 2);
	return answer;
}

static enum directory_answer overlay_find(void *source, enum directory_key kind, struct str key, size_t skip, struct arena *arena,
	struct directory_match *match_out)
{
	struct directory_overlay *overlay = source;
	struct claimants claimants = {.skip = skip};
	struct str own = reader_key(kind, key, arena);
	size_t i = first_from(overlay, kind, own);
	for (; i < overlay->n_keys && overlay->keys[i].kind == kind && str_eq(overlay->keys[i].key, own); i++) {
		overlay->asked = true;
		if (!claim(&claimants, reader_entry(overlay->keys[i].data, arena)))
			return DIRECTORY_UNAVAILABLE;
	}
	if (claim_base(overlay, kind, key, arena, &claimants) == DIRECTORY_UNAVAILABLE)
		return DIRECTORY_UNAVAILABLE;
	if (claimants.n == 0)
		return DIRECTORY_NONE;
	*match_out = claimants.match;
	return claimants.n == 2 ? DIRECTORY_AMBIGUOUS : DIRECTORY_FOUND;
}

struct seen {
	struct directory_overlay *overlay;
	bool (*each)(void *arg, const struct entry *entry);
	void *arg;
	bool stopped;
};

static bool see(void *arg, const struct entry *entry)
{
	struct seen *seen = arg;
	if (!is_hidden(seen->overlay, &entry->uuid))
		seen->stopped = !seen->each(seen->arg, entry);
	return !seen->stopped;
}

// The entries of the change first, then those beneath.
static enum directory_answer overlay_each(void *source, bool (*each)(void *arg, const struct entry *entry), void *arg)
{
	struct directory_overlay *overlay = source;
	struct seen seen = {overlay, each, arg, false};
	struct entry entry;
	overlay->asked = true;
	for (size_t i = first_from(overlay, DIRECTORY_UUID, STR_NONE);
		i < overlay->n_keys && overlay->keys[i].kind == DIRECTORY_UUID; i++)
		if (entry_decode(overlay->keys[i].data, &entry) && !each(arg, &entry))
			return DIRECTORY_FOUND;
	return directory_each(overlay->base, see, &seen);
}

// The least key above this one.
static struct str key_behind(struct str key, struct arena *arena)
{
	char *copy = arena_must(arena, key.n + 1);
	memcpy(copy, key.p, key.n);
	copy[key.n] = '\0';
	return str_of(copy, key.n + 1);
}

static struct str overlay_next_key(void *source, enum directory_key kind, struct str from, struct arena *arena)
{
	struct directory_overlay *overlay = source;
	struct directory_match match;
	struct str first = directory_next_key(overlay->base, kind, from, arena), seen = first;
	size_t i = first_from(overlay, kind, from);
	struct str own = i < overlay->n_keys && overlay->keys[i].kind == kind ? overlay->keys[i].key : STR_NONE;
	// A key that only hidden entries have is none. Hashes of DNs cannot be asked for again; nobody walks them.
	while (seen.n && kind != DIRECTORY_DN && overlay_find(overlay, kind, seen, 0, arena, &match) == DIRECTORY_NONE)
		seen = directory_next_key(overlay->base, kind, key_behind(seen, arena), arena);
	struct str next = own.n && (seen.n == 0 || str_cmp(own, seen) < 0) ? arena_dup(arena, own) : seen;
	if (!str_eq(next, first))
		overlay->asked = true;
	return next;
}

static struct directory_status overlay_status(void *source)
{
	struct directory_overlay *overlay = source;
	return directory_status(overlay->base);
}

static const char *overlay_trouble(const void *source)
{
	const struct directory_overlay *overlay = source;
	return directory_trouble(overlay->base);
}

static void overlay_nothing(void *source)
{
	(void)source;
}

static void overlay_close(void *source)
{
	struct directory_overlay *overlay = source;
	directory_end(overlay->base);
	arena_free(&overlay->arena);
	free(overlay->keys);
	free(overlay->hidden);
	free(overlay);
}

static const struct directory_ops overlay_ops = {
	.begin = overlay_nothing, // the snapshot is held all the time
	.end = overlay_nothing,
	.find = overlay_find,
	.each = overlay_each,
	.next_key = overlay_next_key,
	.status = overlay_status,
	.trouble = overlay_trouble,
	.close = overlay_close,
};

bool directory_overlay_asked(struct directory_overlay *overlay)
{
	bool asked = overlay->asked;
	overlay->asked = false;
	return asked;
}

// --- All of it ---

static enum err_code apply_all(struct change *change, struct str text, struct err *err)
{
	struct raw_entry record;
	enum ldif_result got;
	enum err_code code = ERR_OK;
	if (!directory_status(change->base).complete)
		return err_set(err, ERR_BUSY, "there is no complete shadow: %s", directory_trouble(change->base));
	change_ask(change, text);
	struct ldif *ldif = ldif_open_text(text, change->spec->name);
	ldif_allow_changes(ldif);
	while (code == ERR_OK && (got = ldif_next(ldif, &record, err)) != LDIF_END)
		code = got == LDIF_BAD ? err->code : change_apply(change, &record, err);
	ldif_close(&ldif);
	return code;
}

struct directory *directory_overlay_of_text(struct directory *before, const struct directory_overlay_change *spec,
	struct str text, struct directory_overlay **overlay_out, struct err *err)
{
	struct change change;
	struct directory_overlay *overlay = calloc(1, sizeof *overlay);
	must(overlay != NULL);
	directory_begin(before);
	overlay->base = before;
	overlay->arena = arena_new(OVERLAY_BYTES_MAX);
	change_init(&change, before, spec);
	enum err_code code = apply_all(&change, text, err);
	hide_entries(overlay, &change);
	if (code == ERR_OK)
		code = check_branches(overlay, &change, err);
	if (code == ERR_OK)
		code = make_entries(overlay, &change, err);
	change_fini(&change);
	if (code) {
		overlay_close(overlay);
		return NULL;
	}
	*overlay_out = overlay;
	return directory_new(&overlay_ops, overlay);
}

// Whatever it is, a pipe too: it is read twice.
static enum err_code read_text(int fd, const char *name, struct buf *text, struct err *err)
{
	for (;;) {
		char *room = buf_reserve(text, READ_BYTES);
		if (room == NULL)
			return err_set(err, ERR_LIMIT, "%s is larger than %d MiB; split it", name,
				DIRECTORY_OVERLAY_FILE_BYTES_MAX >> 20);
		ssize_t n = read(fd, room, READ_BYTES);
		if (n < 0 && errno != EINTR)
			return err_errno(err, "read %s", name);
		if (n == 0)
			return ERR_OK;
		if (n > 0)
			buf_grew(text, (size_t)n);
	}
}

struct directory *directory_overlay_open(struct directory *before, const struct directory_overlay_change *spec, int fd,
	struct directory_overlay **overlay_out, struct err *err)
{
	struct buf text;
	buf_init(&text, DIRECTORY_OVERLAY_FILE_BYTES_MAX + READ_BYTES);
	struct directory *after = read_text(fd, spec->name, &text, err)
					  ? NULL
					  : directory_overlay_of_text(before, spec, buf_str(&text), overlay_out, err);
	buf_fini(&text);
	return after;
}
