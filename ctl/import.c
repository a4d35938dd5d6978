// SPDX-License-Identifier: Apache-2.0
// The importer's frame: from a table's rows to entries, what is wrong with them all together, and what they become.
//
// Rows are read one after the other into entries (import_rows.c, import_members.c); import_finish() then sees them all: keys that
// are there twice, aliases that lead back to themselves, owners of lists. import_ldif.c writes what is left. A complaint never
// stops the reading.
#include "import.h"

#include <stdlib.h>

#include "base/must.h"
#include "import_private.h"
#include "mail/rule_file.h"

enum { SCRATCH_BYTES = 1 << 20 };
// IMPORT_ITEMS_MAX times an entry with an address of the longest kind; taken as needed
static const size_t ARENA_BYTES = (size_t)4 << 30;

static const char *const kind_names[] = {
#define KIND_NAME(id, name) [id] = name,
	IMPORT_KINDS(KIND_NAME)
#undef KIND_NAME
};

bool import_kind_parse(struct str name, enum import_kind *kind_out)
{
	name = str_eq(name, STR("virtual_alias_maps")) ? STR("virtual")
	       : str_eq(name, STR("generic"))          ? STR("genericstable")
						       : name;
	for (size_t i = 0; i < sizeof kind_names / sizeof *kind_names; i++)
		if (str_eq(name, str_of_c(kind_names[i]))) {
			*kind_out = (enum import_kind)i;
			return true;
		}
	return false;
}

const char *import_kind_name(enum import_kind kind)
{
	return kind_names[kind];
}

// --- What rows use ---

static void say(struct import *im, enum import_say kind, const struct import_place *place, const char *what)
{
	if (kind == IMPORT_LEFT_OUT)
		im->whole = false;
	im->io->say(im->io->context, kind, place->file, place->line, place->key,
		what ? what : "is too long; shorten it"); // NULL: of a full scratch
}

void import_leave_out(struct import *im, const char *what)
{
	say(im, IMPORT_LEFT_OUT, &im->place, what);
}

void import_note(struct import *im, const char *what)
{
	say(im, IMPORT_NOTE, &im->place, what);
}

static struct import_place keep_place(struct import *im)
{
	struct import_place place = im->place; // file lives as long as im
	place.key = arena_dup(im->arena, place.key);
	return place;
}

void import_skip(struct import *im, struct str tag, const char *why)
{
	struct import_skipped **at = &im->skipped;
	while (*at && !str_eq_nocase((*at)->tag, tag))
		at = &(*at)->next;
	if (*at == NULL) {
		*at = ARENA_NEW(im->arena, struct import_skipped);
		**at = (struct import_skipped){.tag = arena_dup(im->arena, tag), .why = why, .place = keep_place(im)};
		(*at)->place.key = (*at)->tag;
	}
	(*at)->n++;
}

static void say_skipped(struct import *im)
{
	for (struct import_skipped *one = im->skipped; one; one = one->next) {
		say(im, IMPORT_NOTE, &one->place, arena_printf(im->scratch, "%zu %s with this tag %s left out: %s", one->n,
							  one->n == 1 ? "row" : "rows", one->n == 1 ? "is" : "are", one->why).p);
		arena_reset(im->scratch);
	}
}

struct import_entry *import_add(struct import *im, enum import_type type, struct str name, struct str key)
{
	struct import_entry *entry = ARENA_NEW(im->arena, struct import_entry);
	if (im->n == im->room) {
		im->room = im->room ? 2 * im->room : 64;
		im->entries = reallocarray(im->entries, im->room, sizeof(struct import_entry *));
		must(im->entries != NULL);
	}
	*entry = (struct import_entry){.type = type, .name = arena_dup(im->arena, name), .keys = {arena_dup(im->arena, key)},
		.keys_n = 1,
		.number = im->n, .place = keep_place(im)};
	entry->end = &entry->values;
	im->entries[im->n++] = entry;
	im->items += type != IMPORT_TYPE_DOMAIN;
	return entry;
}

bool import_is_plain(struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f ||
			(c == 0xc2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xa0)) // C0, DEL, C1
			return false;
	}
	return str_is_utf8(text);
}

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

static bool is_member(const struct import_value *value)
{
	return strcmp(value->attr, "rfc822MailMember") == 0;
}

bool import_add_value(struct import *im, struct import_entry *entry, const char *attr, struct str text, struct str key)
{
	if (!is_ascii(text) && strcmp(attr, "phIntlAddress") != 0) {
		import_leave_out(im,
			arena_printf(im->scratch,
				"%s cannot have characters beyond ASCII; write domains as xn--, and use addresses in ASCII", attr)
				.p);
		return false;
	}
	struct import_value *value = ARENA_NEW(im->arena, struct import_value);
	*value = (struct import_value){.attr = attr, .text = arena_dup(im->arena, text), .key = arena_dup(im->arena, key)};
	value->place = (struct import_place){.file = im->place.file, .line = im->place.line, .key = entry->place.key};
	*entry->end = value;
	entry->end = &value->next;
	im->items += is_member(value);
	return true;
}

const char *import_address(struct import *im, struct str text, struct addr *addr_out)
{
	bool quoted = false, whole = false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\\')
			i++;
		else if (text.p[i] == '"')
			quoted = !quoted;
		else if (text.p[i] == '@' && !quoted)
			whole = true;
	}
	if (!whole)
		text = arena_printf(im->scratch, "%.*s@%.*s", STR_FMT(text), STR_FMT(im->options->domain));
	enum addr_result result = addr_parse(im->scratch, text, ADDR_UTF8 | ADDR_LONG_LOCAL, addr_out);
	if (result != ADDR_OK)
		return addr_result_text(result);
	struct str local = addr_out->local;
	if (local.n && (local.p[0] == '|' || local.p[0] == '/' || str_starts_nocase(local, STR(":include:"))))
		return "is a command or a file, not an address";
	return NULL;
}

// --- All rows together ---

struct index_row {
	struct str key;
	struct import_entry *entry;
};

static int compare_index(const void *a, const void *b)
{
	const struct index_row *x = a, *y = b;
	int order = str_cmp(x->key, y->key);
	return order ? order : (x->entry->number > y->entry->number) - (x->entry->number < y->entry->number);
}

struct index {
	struct index_row *rows; // in the arena
	size_t n;
};

static struct index make_index(struct import *im)
{
	struct index index = {.rows = arena_must(im->arena, (2 * im->n + 1) * sizeof(struct index_row))};
	for (size_t i = 0; i < im->n; i++)
		for (size_t k = 0; k < im->entries[i]->keys_n; k++)
			index.rows[index.n++] = (struct index_row){im->entries[i]->keys[k], im->entries[i]};
	if (index.n)
		qsort(index.rows, index.n, sizeof *index.rows, compare_index);
	return index;
}

static struct import_entry *find(const struct index *index, struct str key)
{
	size_t low = 0, high = index->n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (str_cmp(index->rows[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < index->n && str_eq(index->rows[low].key, key); low++)
		if (!index->rows[low].entry->dropped)
			return index->rows[low].entry;
	return NULL;
}

// Two rows for one key: the first counts. What several rows say of one domain is one entry.
static void drop_repetitions(struct import *im, struct index *index)
{
	struct import_entry *first = NULL;
	struct str key = STR_NONE;
	for (size_t i = 0; i < index->n; i++) {
		struct import_entry *entry = index->rows[i].entry;
		if (entry->dropped)
			continue;
		if (first == NULL || !str_eq(index->rows[i].key, key)) {
			first = entry;
			key = index->rows[i].key;
		} else if (str_starts(key, STR("domain:"))) { // comes behind "@domain", which only one row may be for
			*first->end = entry->values;
			first->end = entry->values ? entry->end : first->end;
			entry->dropped = true;
		} else if (first != entry) {
			say(im, IMPORT_LEFT_OUT, &entry->place,
				arena_printf(im->scratch, "is there already, in line %zu; make one row of the two",
					first->place.line)
					.p);
			entry->dropped = true;
			arena_reset(im->scratch);
		}
	}
}

static int compare_members(const void *a, const void *b)
{
	struct import_value *const *x = a, *const *y = b;
	int order = str_cmp((*x)->key, (*y)->key);
	return order ? order : (*x)->place.line < (*y)->place.line ? -1 : (*x)->place.line > (*y)->place.line;
}

// Members that are there twice get one copy: nothing is lost, so nothing is said.
static void drop_members(struct import *im, struct import_entry *entry)
{
	size_t n = 0;
	for (struct import_value *value = entry->values; value; value = value->next)
		n += is_member(value);
	struct import_value **all = arena_must(im->arena, (n + 1) * sizeof(struct import_value *));
	n = 0;
	for (struct import_value *value = entry->values; value; value = value->next)
		if (is_member(value))
			all[n++] = value;
	entry->members = n;
	if (n < 2)
		return;
	qsort(all, n, sizeof(struct import_value *), compare_members);
	for (size_t i = 1; i < n; i++)
		if (str_eq(all[i]->key, all[i - 1]->key)) {
			all[i]->dropped = true;
			entry->members--;
		}
}

// "ann: ann" says nothing; "ann: ann, bob" is a mailbox with a copy, and an entry beside the mailbox's would be a second owner.
static void look_for_itself(struct import *im, struct import_entry *entry)
{
	bool itself = false;
	for (struct import_value *value = entry->values; value; value = value->next)
		itself = itself || (is_member(value) && str_eq(value->key, entry->keys[0]));
	if (!itself)
		return;
	entry->dropped = true;
	if (entry->members > 1)
		say(im, IMPORT_LEFT_OUT, &entry->place,
			"is a mailbox that keeps a copy; put phForwardAddress for the others and phForwardKeepCopy: TRUE "
			"into the entry of the mailbox");
}

// What the directory has already: two owners of a key are nobody's (ldapsync's invariant I11).
static void look_for_owner(struct import *im, struct import_entry *entry)
{
	static const struct {
		enum import_owned owned;
		const char *instead;
	} rows[] = {
		[IMPORT_TYPE_ALIAS] = {IMPORT_OWNED_ADDRESS, "if it is a mailbox, put phForwardAddress there"},
		[IMPORT_TYPE_LIST] = {IMPORT_OWNED_ADDRESS, "if it is a mailbox, put phForwardAddress there"},
		[IMPORT_TYPE_DOMAIN] = {IMPORT_OWNED_DOMAIN, "put there what this row says (phCatchAll, phUnknownUser)"},
		[IMPORT_TYPE_ROUTE] = {IMPORT_OWNED_ROUTE, "change that one"},
		[IMPORT_TYPE_ACCESS] = {IMPORT_OWNED_ACCESS, "change that one"},
	};
	bool refusal = entry->type == IMPORT_TYPE_ACCESS && im->kind != IMPORT_ACCESS; // its key is not one of the access table's
	struct str owner;
	struct buf dn;
	buf_init(&dn, IMPORT_DN_BYTES_MAX);
	import_dn(im, entry, &dn);
	for (size_t i = 0; i < entry->keys_n && !refusal && !entry->dropped; i++) {
		struct str key = entry->type == IMPORT_TYPE_DOMAIN ? entry->name : entry->keys[i];
		if (!im->io->owner(im->io->context, rows[entry->type].owned, key, buf_str(&dn), im->scratch, &owner))
			continue;
		entry->dropped = true;
		if (entry->type != IMPORT_TYPE_DOMAIN || entry->values) // else there is nothing more to say of the domain
			say(im, IMPORT_LEFT_OUT, &entry->place,
				arena_printf(im->scratch, "has an entry already, %.*s; %s", STR_FMT(owner),
					im->kind == IMPORT_GENERICSTABLE
						? "nothing is missing if it is the entry of the inner address"
						: rows[entry->type].instead)
					.p);
	}
	buf_fini(&dn);
}

static struct import_value *next_member(struct import_value *value)
{
	while (value && (value->dropped || !is_member(value)))
		value = value->next;
	return value;
}

// Depth first, without recursion: a chain may be as long as the file.
static void cut_loops(struct import *im, const struct index *index, struct import_entry *start)
{
	struct import_entry *here = start;
	start->state = IMPORT_OPEN;
	start->at = next_member(start->values);
	while (here) {
		struct import_value *member = here->at;
		if (member == NULL) {
			here->state = IMPORT_SEEN;
			here = here->from;
			continue;
		}
		here->at = next_member(member->next);
		struct import_entry *next = find(index, member->key);
		if (next == NULL || next->type != IMPORT_TYPE_ALIAS || next->state == IMPORT_SEEN)
			continue;
		if (next->state == IMPORT_OPEN) {
			member->dropped = true;
			here->members--;
			say(im, IMPORT_LEFT_OUT, &member->place,
				arena_printf(im->scratch, "leads back to itself by its member %.*s; break the circle",
					STR_FMT(member->text))
					.p);
			arena_reset(im->scratch);
			continue;
		}
		next->state = IMPORT_OPEN;
		next->from = here;
		next->at = next_member(next->values);
		here = next;
	}
}

static void make_list(struct import *im, const struct index *index, struct import_entry *entry)
{
	struct import_entry *owner = im->kind == IMPORT_ALIASES
		? find(index, arena_printf(im->scratch, "owner-%.*s", STR_FMT(entry->keys[0]))) : NULL;
	if (owner) {
		im->place = entry->place;
		import_add_value(im, entry, "phListErrorsTo", owner->name, STR_NONE);
	}
	if (owner || entry->members > IMPORT_LIST_MEMBERS)
		entry->type = IMPORT_TYPE_LIST;
	arena_reset(im->scratch);
}

// --- Members that are nobody's ---

static bool is_local_in_table(struct import *im, const struct index *index, struct str domain)
{
	struct import_entry *entry = find(index, arena_printf(im->scratch, "domain:%.*s", STR_FMT(domain)));
	return entry && entry->type == IMPORT_TYPE_DOMAIN;
}

// Has the table a row that takes mail for this address: its own, that of the address without its detail, or that of the domain?
// Also owner-x and x-request, which each list has.
static bool is_in_table(struct import *im, const struct index *index, struct str key)
{
	ptrdiff_t at = str_rindex(key, '@');
	struct str local = str_upto(key, (size_t)at), domain = str_from(key, (size_t)at), user, detail;
	if (find(index, key) || find(index, domain))
		return true;
	if (str_cut(local, '+', &user, &detail) &&
		find(index, arena_printf(im->scratch, "%.*s%.*s", STR_FMT(user), STR_FMT(domain))))
		return true;
	if (str_starts(local, STR("owner-")) && find(index, str_from(key, sizeof "owner-" - 1)))
		return true;
	return str_ends(local, STR("-request")) &&
	       find(index, arena_printf(im->scratch, "%.*s%.*s", (int)(local.n - (sizeof "-request" - 1)), local.p, STR_FMT(domain)));
}

// An address that rows lead to, and that nobody has: mail for it would bounce, or be left out of a delivery to others. It is
// written all the same, for the entry may come.
static void look_for_nobody(struct import *im, const struct index *index, const struct import_place *place,
	struct str text, struct str key)
{
	struct str hint = STR_NONE;
	ptrdiff_t at = str_rindex(key, '@');
	if (at < 0 || is_in_table(im, index, key))
		return;
	enum import_reach reach = im->io->reach(im->io->context, text, im->scratch, &hint);
	bool nobody = reach == IMPORT_REACH_NOBODY ||
		      (reach == IMPORT_REACH_OUTSIDE && is_local_in_table(im, index, str_from(key, (size_t)at + 1)));
	if (nobody)
		say(im, IMPORT_NOTE, place, arena_printf(im->scratch, "leads to %.*s, whom neither the table nor the directory has%s%.*s",
						    STR_FMT(text), hint.n ? "; " : "; correct it, or add who it is", STR_FMT(hint)).p);
}

static void look_for_nobodies(struct import *im, const struct index *index)
{
	for (size_t i = 0; i < im->n; i++) {
		struct import_entry *entry = im->entries[i];
		bool leads = !entry->dropped && (entry->type == IMPORT_TYPE_ALIAS || entry->type == IMPORT_TYPE_LIST);
		for (struct import_value *value = leads ? entry->values : NULL; value; value = value->next) {
			if (is_member(value) && !value->dropped)
				look_for_nobody(im, index, &value->place, value->text, value->key);
			arena_reset(im->scratch);
		}
	}
}

void import_finish(struct import *im)
{
	struct index index = make_index(im);
	drop_repetitions(im, &index);
	for (size_t i = 0; i < im->n; i++) {
		if (im->entries[i]->type != IMPORT_TYPE_ALIAS || im->entries[i]->dropped)
			continue;
		drop_members(im, im->entries[i]);
		look_for_itself(im, im->entries[i]);
		arena_reset(im->scratch);
	}
	for (size_t i = 0; i < im->n && im->io->owner; i++) {
		if (!im->entries[i]->dropped)
			look_for_owner(im, im->entries[i]);
		arena_reset(im->scratch);
	}
	for (size_t i = 0; i < im->n; i++) {
		struct import_entry *entry = im->entries[i];
		if (entry->type == IMPORT_TYPE_ALIAS && !entry->dropped && entry->state == IMPORT_NEW)
			cut_loops(im, &index, entry);
		arena_reset(im->scratch);
	}
	for (size_t i = 0; i < im->n; i++) // what was wrong with its members has been said
		if (im->entries[i]->type == IMPORT_TYPE_ALIAS && im->entries[i]->members == 0)
			im->entries[i]->dropped = true;
	for (size_t i = 0; i < im->n; i++)
		if (im->entries[i]->type == IMPORT_TYPE_ALIAS && !im->entries[i]->dropped)
			make_list(im, &index, im->entries[i]);
	if (im->io->reach)
		look_for_nobodies(im, &index);
	say_skipped(im);
}

// --- Reading ---

// A row of a table of Postfix's of type regexp or pcre.
static bool is_pattern(const struct rule_file_row *row)
{
	bool condition = str_eq_nocase(row->key, STR("if")) && (str_starts(row->value, STR("/")) || str_starts(row->value, STR("!/")));
	return condition || str_starts(row->key, STR("/")) || str_starts(row->key, STR("!/")) ||
	       (str_eq_nocase(row->key, STR("endif")) && row->value.n == 0);
}

static void leave_out_pattern(struct import *im)
{
	const char *what = im->kind == IMPORT_ACCESS                                           ? "addresses, domains or networks"
			   : im->kind == IMPORT_MAILERTABLE || im->kind == IMPORT_TRANSPORT ? "domains"
											       : "addresses";
	import_leave_out(im, arena_printf(im->scratch, "is a pattern, and there are none here; write the %s that it means", what).p);
}

static void read_row(struct import *im, struct str text, const struct rule_file_row *row)
{
	if (im->kind != IMPORT_ALIASES && is_pattern(row)) {
		leave_out_pattern(im);
		return;
	}
	if (im->kind != IMPORT_ALIASES && row->value.n == 0) {
		import_leave_out(im, "has no value; write KEY VALUE");
		return;
	}
	switch (im->kind) {
	case IMPORT_MAILERTABLE:
	case IMPORT_TRANSPORT:
		import_route(im, row->key, row->value);
		return;
	case IMPORT_ACCESS:
		import_access(im, row->key, row->value);
		return;
	case IMPORT_VIRTUSERTABLE:
	case IMPORT_VIRTUAL:
		import_virtual(im, row->key, row->value);
		return;
	case IMPORT_GENERICSTABLE:
		import_generic(im, row->key, row->value);
		return;
	case IMPORT_ALIASES:
		import_alias(im, text);
		return;
	}
	unreachable("import kind");
}

// Tabs are white space like any other from here on: no value has one.
static struct str with_spaces(struct arena *arena, struct str text)
{
	char *p = arena_must(arena, text.n + 1);
	for (size_t i = 0; i < text.n; i++)
		p[i] = text.p[i] == '\t' ? ' ' : text.p[i];
	return str_of(p, text.n);
}

static void read_rows(struct import *im, struct str text)
{
	struct rule_file file = rule_file_of(text);
	struct arena *lines = arena_new(4 * (size_t)IMPORT_BYTES_MAX);
	struct str line;
	while (rule_file_next_text(&file, lines, &line, &im->place.line)) {
		line = with_spaces(lines, line);
		struct rule_file one = rule_file_of(line);
		struct rule_file_row row;
		must(rule_file_next(&one, lines, &row));
		im->place.key = import_is_plain(row.key) ? row.key : STR("?");
		if (im->items >= IMPORT_ITEMS_MAX) {
			import_leave_out(im, "is beyond two million rows and members, as all that follows; split the file");
			break;
		}
		if (!import_is_plain(line))
			import_leave_out(im, "has control characters or is not UTF-8; take them out");
		else
			read_row(im, line, &row);
		arena_reset(im->scratch);
		arena_reset(lines);
	}
	arena_free(&lines);
}

static int compare_domains(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

// One pass before the others: a row for a domain may stand before those for its addresses.
static void find_domains(struct import *im, struct str text)
{
	struct rule_file file = rule_file_of(text);
	struct arena *lines = arena_new(4 * (size_t)IMPORT_BYTES_MAX);
	struct rule_file_row row;
	struct str last = STR_NONE;
	size_t room = 0;
	while (rule_file_next(&file, lines, &row)) {
		struct domain domain;
		ptrdiff_t at = str_rindex(row.key, '@');
		if (at >= 0 && !str_eq(str_from(row.key, (size_t)at + 1), last) && im->domains_n < IMPORT_ITEMS_MAX &&
			domain_parse(im->scratch, str_from(row.key, (size_t)at + 1), DOMAIN_UTF8, &domain) == DOMAIN_OK) {
			if (im->domains_n == room) {
				room = room ? 2 * room : 64;
				im->domains = reallocarray(im->domains, room, sizeof *im->domains);
				must(im->domains != NULL);
			}
			last = im->domains[im->domains_n++] = arena_dup(im->arena, domain.key);
		}
		arena_reset(im->scratch);
		arena_reset(lines);
	}
	if (im->domains_n)
		qsort(im->domains, im->domains_n, sizeof *im->domains, compare_domains);
	arena_free(&lines);
}

bool import_has_domain(const struct import *im, struct str key)
{
	return im->domains_n && bsearch(&key, im->domains, im->domains_n, sizeof key, compare_domains);
}

bool import_file(enum import_kind kind, const struct import_options *options, struct str name, struct str text,
	const struct import_io *io, struct buf *out)
{
	struct import im = {.kind = kind, .options = options, .io = io, .arena = arena_new(ARENA_BYTES),
	.scratch = arena_new(SCRATCH_BYTES),
		.bytes = text.n, .place = {.file = name}, .whole = true};
	if (str_starts(text, STR("\xef\xbb\xbf"))) // as editors on Windows begin a file
		text = str_from(text, 3);
	if (kind == IMPORT_VIRTUAL && text.n <= IMPORT_BYTES_MAX)
		find_domains(&im, text);
	if (text.n > IMPORT_BYTES_MAX)
		import_leave_out(&im, "is larger than 64 MiB; split it");
	else
		read_rows(&im, text);
	import_finish(&im);
	import_write(&im, out);
	free(im.entries);
	free(im.domains);
	arena_free(&im.scratch);
	arena_free(&im.arena);
	return im.whole;
}
