// SPDX-License-Identifier: Apache-2.0
// posthouse directory diff: the addresses whose fate a change would alter.
//
// Every address of the directory before and after is decided once, from the directory as it would be; the overlay says whether
// the decision met anything that changes. Only then the directory as it is is asked too, and the two verdicts are compared. The
// router is a function of its look-ups, so nothing is missed: not the list whose member's forward goes, nor the catch-all behind
// a deleted user. It costs one decision for each address and one look-up for each member of a list: seconds for 200,000 users,
// longer where large lists are many.
//
// Log-ins are compared in the same way: who gets in by them, to which services, where the mailbox is, within which limits. An
// address with a detail fares as the one without, unless its domain's delimiters change: then each is asked with each delimiter.
// Names in subdomains (phIncludeSubdomains) are asked for as *@any.DOMAIN.
//
// Not looked at: what access rows say of outside recipients, and names in a domain that stands for another one which does so
// itself.
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/must.h"
#include "why.h"

struct alias {
	struct str domain;
	bool touched; // by the change
};

struct split {
	struct str domain, delimiters; // before and after together
};

struct diff {
	struct why why;
	struct arena *keys;     // of the walk
	struct arena *names;    // of what stays
	struct alias *aliases;  // owned; domains that stand for another one, before or after
	size_t n_aliases, room_aliases;
	struct split *splits;   // owned; domains whose delimiters change
	size_t n_splits, room_splits;
	size_t compared, changed;
};

// --- Two verdicts ---

static int compare_lines(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

// A verdict as lines: what becomes of the mail, then where it goes, in order.
static struct str *lines_of(struct diff *diff, const struct recipient_verdict *v, size_t *n_out)
{
	struct arena *arena = diff->why.arena;
	struct str *lines = arena_must(arena, (v->n_targets + 1) * sizeof *lines);
	struct buf b;
	char id[GUID_TEXT_BYTES];
	buf_init(&b, 1 << 16);
	buf_printf(&b, "%s: %d %.*s %.*s", why_headline(v->outcome), v->code, STR_FMT(v->enhanced), STR_FMT(v->text));
	if (v->owner.n) {
		buf_add_c(&b, ", with the sender ");
		log_escape(&b, v->owner);
	}
	if (v->quarantine.n) {
		buf_add_c(&b, ", held: ");
		log_escape(&b, v->quarantine);
	}
	lines[0] = arena_dup(arena, buf_str(&b));
	for (size_t i = 0; i < v->n_targets; i++) {
		buf_clear(&b);
		buf_add_c(&b, "to ");
		why_add_target(&b, &v->targets[i]);
		if (v->targets[i].kind == RECIPIENT_MAILBOX)
			buf_printf(&b, ", mailbox %.*s", STR_FMT(guid_text(&v->targets[i].mailbox_id, id)));
		lines[i + 1] = arena_dup(arena, buf_str(&b));
	}
	qsort(lines + 1, v->n_targets, sizeof *lines, compare_lines);
	buf_fini(&b);
	*n_out = v->n_targets + 1;
	return lines;
}

static bool same_lines(const struct str *a, size_t n_a, const struct str *b, size_t n_b)
{
	size_t i = 0;
	while (i < n_a && i < n_b && str_eq(a[i], b[i]))
		i++;
	return i == n_a && i == n_b;
}

static void print_lines(const char *sign, const struct str *lines, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("  %s %s%.*s\n", sign, i ? "  " : "", STR_FMT(lines[i]));
}

// Targets that only one side has; of a large list only those matter.
static void print_targets(const struct str *a, size_t n_a, const struct str *b, size_t n_b)
{
	for (size_t i = 0, j = 0; i < n_a || j < n_b;) {
		int order = i == n_a ? 1 : j == n_b ? -1 : str_cmp(a[i], b[j]);
		if (order < 0)
			printf("  -   %.*s\n", STR_FMT(a[i]));
		if (order > 0)
			printf("  +   %.*s\n", STR_FMT(b[j]));
		i += order <= 0;
		j += order >= 0;
	}
}

static void print_text(struct str address, const struct str *a, size_t n_a, const struct str *b, size_t n_b)
{
	struct buf name;
	buf_init(&name, 4096);
	log_escape(&name, address);
	printf("%.*s\n", STR_FMT(buf_str(&name)));
	buf_fini(&name);
	if (str_eq(a[0], b[0])) {
		printf("    %.*s\n", STR_FMT(a[0]));
		print_targets(a + 1, n_a - 1, b + 1, n_b - 1);
		return;
	}
	print_lines("-", a, n_a);
	print_lines("+", b, n_b);
}

static json_t *json_verdict(const struct recipient_verdict *v)
{
	return json_pack("{s:s, s:i, s:o, s:o, s:o*, s:o*, s:o}", "verdict", recipient_outcome_name(v->outcome), "code", v->code,
		"enhanced", why_json_text(v->enhanced), "text", why_json_text(v->text), "owner",
		v->owner.n ? why_json_text(v->owner) : NULL, "held", v->quarantine.n ? why_json_text(v->quarantine) : NULL,
		"targets", why_json_targets(v));
}

// --- One address ---

// True when it changes.
static bool compare(struct diff *diff, struct str address, struct recipient_verdict *before_out,
	struct recipient_verdict *after_out)
{
	struct why *why = &diff->why;
	size_t n_before, n_after;
	(void)directory_overlay_asked(why->overlay);
	why_decide(why, why->after, address, after_out);
	diff->compared++;
	if (!directory_overlay_asked(why->overlay)) {
		*before_out = *after_out;
		return false;
	}
	why_decide(why, why->directory, address, before_out);
	struct str *before = lines_of(diff, before_out, &n_before), *after = lines_of(diff, after_out, &n_after);
	if (same_lines(before, n_before, after, n_after))
		return false;
	diff->changed++;
	if (why->json)
		ctl_print_json(json_pack("{s:o, s:o, s:o}", "address", why_json_text(address), "before", json_verdict(before_out),
			"after", json_verdict(after_out)));
	else
		print_text(address, before, n_before, after, n_after);
	return true;
}

static bool has_entry(struct diff *diff, struct str address)
{
	struct directory_match match;
	return directory_find(diff->why.directory, DIRECTORY_ADDRESS, address, diff->why.arena, &match) == DIRECTORY_FOUND ||
	       directory_find(diff->why.after, DIRECTORY_ADDRESS, address, diff->why.arena, &match) == DIRECTORY_FOUND;
}

// The same local part in another domain, unless an entry has it: then it is compared for itself.
static bool compare_in(struct diff *diff, struct str address, struct str domain)
{
	struct recipient_verdict before, after;
	struct str other = arena_printf(diff->keys, "%.*s@%.*s", STR_FMT(str_upto(address, (size_t)str_rindex(address, '@'))),
		STR_FMT(domain));
	if (has_entry(diff, other))
		return false;
	compare(diff, other, &before, &after);
	return before.outcome == RECIPIENT_EXPAND || after.outcome == RECIPIENT_EXPAND;
}

// What changes changes in the domains that stand for its own too. Those that the change touches are looked at by look_in_aliases.
static void compare_in_aliases(struct diff *diff, struct str address)
{
	for (size_t i = 0; i < diff->n_aliases; i++)
		if (!diff->aliases[i].touched)
			compare_in(diff, address, diff->aliases[i].domain);
}

// Who runs a list is reached by names that no entry has.
static void compare_roles(struct diff *diff, struct str address, bool in_aliases)
{
	struct addr addr, role;
	if (addr_parse(diff->keys, address, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) != ADDR_OK)
		return;
	struct str locals[] = {arena_printf(diff->keys, "owner-%.*s", STR_FMT(addr.local)),
		arena_printf(diff->keys, "%.*s-request", STR_FMT(addr.local))};
	for (size_t i = 0; i < sizeof locals / sizeof *locals; i++) {
		struct recipient_verdict before, after;
		if (addr_with_local(diff->keys, &addr, locals[i], &role) != ADDR_OK || has_entry(diff, role.key))
			continue;
		if (compare(diff, role.text, &before, &after) && in_aliases)
			compare_in_aliases(diff, role.text);
	}
}

static void compare_address(struct diff *diff, struct str address)
{
	struct recipient_verdict before, after;
	if (compare(diff, address, &before, &after))
		compare_in_aliases(diff, address);
	if (before.outcome == RECIPIENT_EXPAND || after.outcome == RECIPIENT_EXPAND)
		compare_roles(diff, address, true);
}

// --- All of them ---

static void look_at_address(struct diff *diff, struct str key)
{
	compare_address(diff, str_starts(key, STR("@")) ? arena_printf(diff->keys, "*%.*s", STR_FMT(key)) : key);
}

// --- Details and subdomains ---

static const struct entry *domain_in(struct diff *diff, struct directory *directory, struct str domain)
{
	struct directory_match match;
	return directory_find(directory, DIRECTORY_DOMAIN, domain, diff->why.arena, &match) == DIRECTORY_FOUND ? match.entry
													       : NULL;
}

static struct str delimiters_of(const struct diff *diff, const struct entry *domain)
{
	struct str own = domain ? entry_first(domain, ATTR_PH_SUBADDRESS_DELIMITER) : STR_NONE;
	return own.p ? own : diff->why.settings->delimiter;
}

static void keep_split(struct diff *diff, struct str key)
{
	const struct entry *before = domain_in(diff, diff->why.directory, key), *after = domain_in(diff, diff->why.after, key);
	struct str old = delimiters_of(diff, before), new = delimiters_of(diff, after);
	if (str_eq(old, new))
		return;
	if (diff->n_splits == diff->room_splits) {
		diff->room_splits = diff->room_splits ? 2 * diff->room_splits : 16;
		diff->splits = reallocarray(diff->splits, diff->room_splits, sizeof *diff->splits);
		must(diff->splits != NULL);
	}
	diff->splits[diff->n_splits++] =
		(struct split){arena_dup(diff->names, key), arena_printf(diff->names, "%.*s%.*s", STR_FMT(old), STR_FMT(new))};
}

// An address of a domain that splits its names in another way.
static void look_at_details(struct diff *diff, struct str key)
{
	struct str local, domain;
	if (!str_cut(key, '@', &local, &domain) || local.n == 0)
		return;
	for (size_t i = 0; i < diff->n_splits; i++) {
		struct str delimiters = diff->splits[i].delimiters;
		if (!str_eq(diff->splits[i].domain, domain))
			continue;
		for (size_t k = 0; k < delimiters.n; k++) {
			struct recipient_verdict before, after;
			struct str address =
				arena_printf(diff->keys, "%.*s%c*@%.*s", STR_FMT(local), delimiters.p[k], STR_FMT(domain));
			if (str_index(str_upto(delimiters, k), delimiters.p[k]) < 0 && !has_entry(diff, address))
				compare(diff, address, &before, &after);
		}
	}
}

static bool has_subdomains(struct diff *diff, struct str key)
{
	const struct entry *before = domain_in(diff, diff->why.directory, key), *after = domain_in(diff, diff->why.after, key);
	return (before && entry_flag(before, ATTR_PH_INCLUDE_SUBDOMAINS)) ||
	       (after && entry_flag(after, ATTR_PH_INCLUDE_SUBDOMAINS));
}

// --- Log-ins ---

static void print_values(const char *sign, const json_t *values, const json_t *others)
{
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)values, name, value) {
		char *text = json_equal(value, json_object_get(others, name))
				     ? NULL
				     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
		if (text)
			printf("  %s %s: %s\n", sign, name, text);
		free(text);
	}
}

static void look_at_login(struct diff *diff, struct str key)
{
	struct why *why = &diff->why;
	(void)directory_overlay_asked(why->overlay);
	json_t *after = why_login_json(why, why->after, key);
	bool touched = directory_overlay_asked(why->overlay);
	json_t *before = touched ? why_login_json(why, why->directory, key) : json_incref(after);
	diff->compared++;
	if (!json_equal(before, after)) {
		diff->changed++;
		if (why->json) {
			ctl_print_json(json_pack("{s:o, s:O, s:O}", "login", why_json_text(key), "before", before, "after",
				after));
		} else {
			struct buf name;
			buf_init(&name, 4096);
			log_escape(&name, key);
			printf("log-in %.*s\n", STR_FMT(buf_str(&name)));
			buf_fini(&name);
			print_values("-", before, after);
			print_values("+", after, before);
		}
	}
	json_decref(before);
	json_decref(after);
}

static void look_at_domain(struct diff *diff, struct str key)
{
	if (has_subdomains(diff, key)) {
		struct recipient_verdict before, after;
		compare(diff, arena_printf(diff->keys, "*@any.%.*s", STR_FMT(key)), &before, &after);
	}
	static const char *const locals[] = {"*", "postmaster", "abuse"};
	for (size_t i = 0; i < sizeof locals / sizeof *locals; i++) {
		struct recipient_verdict before, after;
		struct str address = arena_printf(diff->keys, "%s@%.*s", locals[i], STR_FMT(key));
		if (!has_entry(diff, address))
			compare(diff, address, &before, &after);
	}
}

static bool is_alias(struct diff *diff, struct directory *directory, struct str domain)
{
	struct directory_match match;
	return directory_find(directory, DIRECTORY_DOMAIN, domain, diff->why.arena, &match) == DIRECTORY_FOUND &&
	       entry_has(match.entry, ATTR_PH_DOMAIN_ALIAS_OF);
}

static void keep_alias(struct diff *diff, struct str key)
{
	(void)directory_overlay_asked(diff->why.overlay);
	bool alias = is_alias(diff, diff->why.after, key), touched = directory_overlay_asked(diff->why.overlay);
	if (!alias && !is_alias(diff, diff->why.directory, key))
		return;
	if (diff->n_aliases == diff->room_aliases) {
		diff->room_aliases = diff->room_aliases ? 2 * diff->room_aliases : 16;
		diff->aliases = reallocarray(diff->aliases, diff->room_aliases, sizeof *diff->aliases);
		must(diff->aliases != NULL);
	}
	diff->aliases[diff->n_aliases++] = (struct alias){arena_dup(diff->names, key), touched};
}

static bool stands_for(struct diff *diff, struct directory *directory, struct str domain, struct str other)
{
	struct directory_match match;
	return directory_find(directory, DIRECTORY_DOMAIN, domain, diff->why.arena, &match) == DIRECTORY_FOUND &&
	       str_eq(entry_first(match.entry, ATTR_PH_DOMAIN_ALIAS_OF), other);
}

static bool is_target(struct diff *diff, struct str alias, struct str domain)
{
	return stands_for(diff, diff->why.directory, alias, domain) || stands_for(diff, diff->why.after, alias, domain);
}

// A domain that stands for another one, or does so no more, has all names of that: they are asked for in it.
static void look_in_aliases(struct diff *diff, struct str key)
{
	for (size_t i = 0; i < diff->n_aliases && str_rindex(key, '@') > 0; i++) {
		struct str domain = diff->aliases[i].domain, own = str_from(key, (size_t)str_rindex(key, '@') + 1);
		if (diff->aliases[i].touched && is_target(diff, domain, own) && compare_in(diff, key, domain))
			compare_roles(diff,
				arena_printf(diff->keys, "%.*s@%.*s", STR_FMT(str_upto(key, key.n - own.n - 1)), STR_FMT(domain)),
				false);
	}
}

// "from:" is about senders: --from asks for one.
static void look_at_route(struct diff *diff, struct str key)
{
	if (str_starts(key, STR("from:")))
		return;
	if (str_eq(key, STR(".")) || str_eq(key, STR("*")))
		key = STR("elsewhere.invalid"); // RFC 2606: nobody has a row for it
	if (str_index(key, '@') >= 0 && has_entry(diff, key))
		return;
	const char *before = str_index(key, '@') > 0     ? ""
			     : str_index(key, '@') == 0  ? "*"
			     : str_starts(key, STR(".")) ? "*@any"
							 : "*@";
	compare_address(diff, arena_printf(diff->keys, "%s%.*s", before, STR_FMT(key)));
}

// The keys of one kind, before and after, each once.
static void walk(struct diff *diff, enum directory_key kind, void (*look_at)(struct diff *diff, struct str key))
{
	struct buf from;
	buf_init(&from, 1 << 12);
	for (;;) {
		struct str a = directory_next_key(diff->why.directory, kind, buf_str(&from), diff->keys);
		struct str b = directory_next_key(diff->why.after, kind, buf_str(&from), diff->keys);
		struct str key = a.n == 0 || (b.n && str_cmp(b, a) < 0) ? b : a;
		if (key.n == 0)
			break;
		buf_clear(&from);
		buf_add(&from, key);
		buf_add_byte(&from, '\0');
		look_at(diff, key);
		arena_reset(diff->keys);
		arena_reset(diff->why.arena);
	}
	buf_fini(&from);
}

static int print_sum(const struct diff *diff)
{
	struct directory_status status = directory_status(diff->why.directory);
	fprintf(stderr, "posthouse: %zu of %zu addresses and log-ins would change, from version %llu of the shadow%s\n",
		diff->changed, diff->compared, (unsigned long long)status.version,
		status.fresh ? "" : ", which is NOT known to be up to date");
	return diff->changed ? CTL_NO : CTL_YES;
}

int cmd_directory_diff(struct ctl *ctl)
{
	struct diff diff = {0};
	int code = why_options(ctl, &diff.why);
	if (code)
		return code;
	diff.why.change = ctl->args[0];
	code = why_open(ctl, &diff.why);
	if (diff.why.after) {
		diff.keys = arena_new(WHY_ANSWER_BYTES_MAX);
		diff.why.arena = arena_new(WHY_ANSWER_BYTES_MAX);
		diff.names = arena_new(WHY_ANSWER_BYTES_MAX);
		walk(&diff, DIRECTORY_DOMAIN, keep_alias);
		walk(&diff, DIRECTORY_DOMAIN, keep_split);
		walk(&diff, DIRECTORY_ADDRESS, look_at_address);
		walk(&diff, DIRECTORY_ADDRESS, look_in_aliases);
		if (diff.n_splits)
			walk(&diff, DIRECTORY_ADDRESS, look_at_details);
		walk(&diff, DIRECTORY_DOMAIN, look_at_domain);
		walk(&diff, DIRECTORY_ROUTE, look_at_route);
		walk(&diff, DIRECTORY_LOGIN, look_at_login);
		arena_free(&diff.why.arena);
		arena_free(&diff.keys);
		arena_free(&diff.names);
		free(diff.aliases);
		free(diff.splits);
		code = print_sum(&diff);
	}
	why_close(&diff.why);
	return code;
}
