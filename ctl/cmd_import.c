// SPDX-License-Identifier: Apache-2.0
// posthouse directory import: a table of sendmail's or Postfix's, as LDIF on standard output (import.h says what becomes of
// what).
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "import.h"
#include "ldapsync/directory.h"
#include "mail/domain.h"
#include "why.h"

enum { LDIF_BYTES_MAX = 1 << 30, ARENA_SLACK_BYTES = 4096, PATH_BYTES_MAX = 2048 };

static enum err_code read_all(int fd, const char *path, struct arena *arena, struct str *text_out, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st))
		return err_errno(err, "look at %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is no plain file", path);
	if (st.st_size > IMPORT_BYTES_MAX)
		return err_set(err, ERR_LIMIT, "%s is larger than 64 MiB; split it", path);
	char *text = arena_must(arena, (size_t)st.st_size + 1);
	size_t n = 0;
	while (n < (size_t)st.st_size) {
		ssize_t got = pread(fd, text + n, (size_t)st.st_size - n, (off_t)n);
		if (got < 0)
			return err_errno(err, "read %s", path);
		if (got == 0)
			break; // it became shorter
		n += (size_t)got;
	}
	*text_out = str_of(text, n);
	return ERR_OK;
}

static enum err_code read_path(const char *path, int flags, struct arena *arena, struct str *text_out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
	if (fd < 0)
		return err_errno(err, "open %s", path);
	enum err_code code = read_all(fd, path, arena, text_out, err);
	close(fd);
	return code;
}

// Lists belong to people, and whoever owns one could otherwise have root read what he may not: no links.
static const char *read_include(void *context, struct str path, struct arena *arena, struct str *text_out)
{
	char name[PATH_BYTES_MAX];
	(void)context;
	if (!str_to_c(path, name, sizeof name))
		return "is not included: its name is too long; shorten it";
	return read_path(name, O_NOFOLLOW, arena, text_out, NULL)
		       ? "cannot be read as a plain file; make it one that you may read, no link"
		       : NULL;
}

static void print_complaint(void *context, enum import_say kind, struct str file, size_t line, struct str key, const char *what)
{
	const char *begins = kind == IMPORT_NOTE ? "note: " : "";
	(void)context;
	fprintf(stderr, "%.*s:%zu: %s%.*s: %s\n", STR_FMT(file), line, begins, STR_FMT(key), what);
}

static bool find_owner(void *context, enum import_owned owned, struct str key, struct str dn, struct arena *arena,
	struct str *owner_out)
{
	static const enum directory_key keys[] = {
		[IMPORT_OWNED_ADDRESS] = DIRECTORY_ADDRESS,
		[IMPORT_OWNED_DOMAIN] = DIRECTORY_DOMAIN,
		[IMPORT_OWNED_ROUTE] = DIRECTORY_ROUTE,
		[IMPORT_OWNED_ACCESS] = DIRECTORY_ACCESS,
	};
	struct directory_match match = {.entry = NULL};
	const struct guid own = directory_dn_key(dn);
	struct why *why = context;
	switch (directory_find(why->directory, keys[owned], key, arena, &match)) {
	case DIRECTORY_NONE:
	case DIRECTORY_UNAVAILABLE: // a node without a shadow can import too
		return false;
	case DIRECTORY_FOUND:
	case DIRECTORY_AMBIGUOUS:
		break;
	}
	const struct guid first = directory_dn_key(match.entry->dn);
	const struct entry *other = guid_eq(&first, &own) ? match.other : match.entry;
	if (other)
		*owner_out = other->dn;
	return other != NULL;
}

static bool has_reason(const struct recipient_verdict *verdict, const char *rule)
{
	for (size_t i = 0; i < verdict->n_reasons; i++)
		if (strcmp(verdict->reasons[i].rule, rule) == 0)
			return true;
	return false;
}

// People whose log-in is a word of old tables, and whose address is another one.
static struct str hint_of_login(struct why *why, struct str address, struct arena *arena)
{
	struct directory_match match;
	struct str login = str_upto(address, (size_t)str_rindex(address, '@')), domain = str_from(address, login.n + 1);
	struct str key = STR_NONE;
	if (str_eq_nocase(domain, why->default_domain))
		key = directory_login_key(arena, login, why->default_domain);
	if (key.p == NULL || directory_find(why->directory, DIRECTORY_LOGIN, key, arena, &match) != DIRECTORY_FOUND)
		return STR_NONE;
	return arena_printf(arena, "it is the log-in of %.*s, which needs mailLocalAddress: %.*s", STR_FMT(match.entry->dn),
		STR_FMT(address));
}

// As RCPT TO would answer somebody who has logged in.
static enum import_reach find_reach(void *context, struct str address, struct arena *arena, struct str *hint_out)
{
	struct why *why = context;
	struct recipient_verdict verdict;
	enum import_reach reach = IMPORT_REACH_SOMEBODY;
	why_decide(why, why->directory, address, &verdict);
	if (!verdict.shadow.complete)
		reach = IMPORT_REACH_UNKNOWN;
	else if (!has_reason(&verdict, "domain") && !has_reason(&verdict, "alias domain"))
		reach = IMPORT_REACH_OUTSIDE;
	else if (verdict.n_targets == 0 && has_reason(&verdict, "unknown user"))
		reach = IMPORT_REACH_NOBODY;
	arena_reset(why->arena);
	if (reach == IMPORT_REACH_NOBODY)
		*hint_out = hint_of_login(why, address, arena);
	return reach;
}

// why: with the shadow; NULL: there is none.
static int import(enum import_kind kind, const struct import_options *options, struct why *why, const char *path)
{
	const struct import_io io = {.read = read_include, .say = print_complaint, .owner = why ? find_owner : NULL,
		.reach = why ? find_reach : NULL, .context = why};
	struct arena *arena = arena_new((size_t)IMPORT_BYTES_MAX + ARENA_SLACK_BYTES);
	struct str text;
	struct err err;
	if (read_path(path, 0, arena, &text, &err)) {
		arena_free(&arena);
		return ctl_file_fail(&err);
	}
	struct buf ldif;
	buf_init(&ldif, LDIF_BYTES_MAX);
	bool whole = import_file(kind, options, str_of_c(path), text, &io, &ldif);
	int code = whole ? CTL_YES : CTL_NO;
	if (ldif.overflow)
		code = ctl_fail(&(struct err){ERR_LIMIT, "the table becomes more than 1 GiB of LDIF; split it"});
	else if (fwrite(ldif.p, 1, ldif.n, stdout) != ldif.n)
		code = ctl_fail(&(struct err){ERR_IO, "standard output takes no more"});
	buf_fini(&ldif);
	arena_free(&arena);
	return code;
}

// Where options say nothing: the domain and base of the settings, or a base made from the domain.
static int complete(struct ctl *ctl, struct import_options *options)
{
	const struct settings *settings;
	struct domain domain;
	if (options->domain.n == 0) {
		if ((settings = ctl_settings(ctl)) == NULL)
			return ctl_without_settings(ctl);
		options->domain = settings_default_domain(settings);
		if (!options->below_base)
			options->base = settings->ldap_base;
	}
	if (domain_parse(ctl->arena, options->domain, DOMAIN_UTF8, &domain) != DOMAIN_OK || domain.kind != DOMAIN_NAME) {
		fprintf(stderr, "posthouse: --domain: is no domain; write uni.example\n");
		return CTL_USAGE;
	}
	options->domain = domain.key;
	struct str label, rest = domain.key;
	bool more = options->base.n == 0;
	for (struct str dn = STR_NONE; more;) {
		more = str_cut(rest, '.', &label, &rest);
		dn = arena_printf(ctl->arena, "%.*s%sdc=%.*s", STR_FMT(dn), dn.n ? "," : "", STR_FMT(more ? label : rest));
		options->base = dn;
	}
	return CTL_YES;
}

static bool take_tag(const char *text, struct str *tag_out)
{
	static const char *const tags[] = {"Connect", "From", "To"};
	for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
		if (str_eq_nocase(str_of_c(text), str_of_c(tags[i]))) {
			static const char *const written[] = {"Connect:", "From:", "To:"};
			*tag_out = str_of_c(written[i]);
			return true;
		}
	return false;
}

int cmd_directory_import(struct ctl *ctl)
{
	const char *base = ctl_option(ctl, "--base"), *domain = ctl_option(ctl, "--domain"), *tag = ctl_option(ctl, "--tag"),
		   *skip = ctl_option(ctl, "--skip");
	struct import_options options = {.base = base ? str_of_c(base) : STR_NONE, .below_base = base != NULL,
		.domain = domain ? str_of_c(domain) : STR_NONE, .domains = ctl_option(ctl, "--domains") != NULL,
		.skip = skip ? str_of_c(skip) : STR_NONE};
	enum import_kind kind;
	if (base && !directory_is_dn(options.base))
		return ctl_wrong(ctl, "--base", "is no name of an entry, such as ou=mail,dc=uni,dc=example");
	if (tag && !take_tag(tag, &options.tag))
		return ctl_wrong(ctl, "--tag", "is none; it is Connect, From or To");
	if (!import_kind_parse(str_of_c(ctl->args[0]), &kind)) {
		fprintf(stderr,
			"posthouse: %s is no kind of table; KIND is mailertable, transport, access, virtusertable, virtual, "
			"genericstable or aliases\n",
			ctl->args[0]);
		return CTL_USAGE;
	}
	int code = complete(ctl, &options);
	if (code)
		return code;
	if (ctl->snapshot == NULL)
		return import(kind, &options, NULL, ctl->args[1]);
	struct why why = {0};
	code = why_open(ctl, &why);
	if (code == CTL_YES) {
		why.arena = arena_new(WHY_ANSWER_BYTES_MAX);
		code = import(kind, &options, &why, ctl->args[1]);
		arena_free(&why.arena);
	}
	why_close(&why);
	return code;
}
