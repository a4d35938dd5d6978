// SPDX-License-Identifier: Apache-2.0
// The view that other rooms have: calls passed to a source (the shadow, memory), nesting of snapshots, keys of logins.
#include "ldapsync/directory.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/must.h"
#include "directory_source.h"
#include "dn.h"
#include "mail/addr.h"

struct directory {
	const struct directory_ops *ops;
	void *source; // owned
	unsigned depth;
	bool keeps, is_open;    // is_open: ops->begin was called, ops->end not yet
	int64_t opened_ms;
};

struct directory *directory_new(const struct directory_ops *ops, void *source)
{
	struct directory *directory = calloc(1, sizeof *directory);
	must(directory != NULL);
	directory->ops = ops;
	directory->source = source;
	return directory;
}

struct directory *directory_open(const char *path, int64_t fresh_s)
{
	return directory_new(&directory_shadow_ops, directory_shadow_new(path, fresh_s));
}

void directory_close(struct directory **directory_in)
{
	struct directory *directory = *directory_in;
	if (directory == NULL)
		return;
	must(directory->depth == 0);
	directory_let_go(directory);
	directory->ops->close(directory->source);
	free(directory);
	*directory_in = NULL;
}

void directory_keep(struct directory *directory, bool keep)
{
	directory->keeps = keep;
}

bool directory_is_kept(const struct directory *directory)
{
	return directory->is_open && directory->depth == 0;
}

void directory_let_go(struct directory *directory)
{
	if (!directory_is_kept(directory))
		return;
	directory->is_open = false;
	directory->ops->end(directory->source);
}

void directory_begin(struct directory *directory)
{
	if (directory->depth++ > 0)
		return;
	int64_t now_ms = directory->keeps ? clock_mono_ms() : 0;
	if (directory->is_open && now_ms - directory->opened_ms < DIRECTORY_KEEP_MS)
		return;
	if (directory->is_open)
		directory->ops->end(directory->source);
	directory->ops->begin(directory->source);
	directory->is_open = true;
	directory->opened_ms = now_ms;
}

void directory_end(struct directory *directory)
{
	must(directory->depth > 0);
	if (--directory->depth > 0 || directory->keeps)
		return;
	directory->is_open = false;
	directory->ops->end(directory->source);
}

enum directory_answer directory_find(struct directory *directory, enum directory_key kind, struct str key, struct arena *arena,
	struct directory_match *match_out)
{
	return directory_find_more(directory, kind, key, 0, arena, match_out);
}

enum directory_answer directory_find_more(struct directory *directory, enum directory_key kind, struct str key, size_t skip,
	struct arena *arena, struct directory_match *match_out)
{
	directory_begin(directory);
	enum directory_answer answer = directory->ops->find(directory->source, kind, key, skip, arena, match_out);
	directory_end(directory);
	return answer;
}

struct str directory_next_key(struct directory *directory, enum directory_key kind, struct str from, struct arena *arena)
{
	directory_begin(directory);
	struct str key = directory->ops->next_key(directory->source, kind, from, arena);
	directory_end(directory);
	return key;
}

enum directory_answer directory_each(struct directory *directory, bool (*each)(void *arg, const struct entry *entry), void *arg)
{
	directory_begin(directory);
	enum directory_answer answer = directory->ops->each(directory->source, each, arg);
	directory_end(directory);
	return answer;
}

struct directory_status directory_status(struct directory *directory)
{
	directory_begin(directory);
	struct directory_status status = directory->ops->status(directory->source);
	directory_end(directory);
	return status;
}

const char *directory_trouble(const struct directory *directory)
{
	return directory->ops->trouble(directory->source);
}

struct str directory_login_key(struct arena *arena, struct str login, struct str default_realm)
{
	struct domain realm;
	struct str user = login, realm_text = default_realm;
	ptrdiff_t at = str_rindex(login, '@');
	if (at >= 0) {
		user = str_upto(login, (size_t)at);
		realm_text = str_from(login, (size_t)at + 1);
	}
	for (size_t i = 0; i < user.n; i++)
		if ((unsigned char)user.p[i] < 0x20 || user.p[i] == 0x7f)
			return STR_NONE;
	struct str folded = addr_local_key(arena, user);
	if (folded.n == 0 || domain_parse(arena, realm_text, DOMAIN_UTF8, &realm) != DOMAIN_OK)
		return STR_NONE;
	char *key = arena_alloc(arena, folded.n + 1 + realm.key.n + 1);
	if (key == NULL)
		return STR_NONE;
	memcpy(key, folded.p, folded.n);
	key[folded.n] = '@';
	memcpy(key + folded.n + 1, realm.key.p, realm.key.n);
	return str_of(key, folded.n + 1 + realm.key.n);
}

struct guid directory_dn_key(struct str dn)
{
	return dn_key(dn);
}

bool directory_is_dn(struct str dn)
{
	return dn_is_valid(dn);
}
