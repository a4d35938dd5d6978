// SPDX-License-Identifier: Apache-2.0
// Tables for the importer: kind, options, text, and behind a NUL what includes hold. Whatever comes in, what is written is LDIF
// that ldapsync takes without a complaint, and the same bytes give the same LDIF.
// Covers: ctl/import.c ctl/import_rows.c ctl/import_members.c ctl/import_ldif.c
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"
#include "import.h"
#include "ldapsync/check_ldif.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LDIF_BYTES_MAX = 64 << 20, KINDS = IMPORT_ALIASES + 1 };

struct input {
	struct str included;
	size_t left_out;
};

static const char *read_include(void *context, struct str path, struct arena *arena, struct str *text_out)
{
	const struct input *input = context;
	(void)arena;
	if (!str_eq(path, STR("/t")) && !str_eq(path, STR("/u")))
		return "cannot be read";
	*text_out = input->included;
	return NULL;
}

static void say(void *context, enum import_say kind, struct str file, size_t line, struct str key, const char *what)
{
	struct input *input = context;
	must(file.n > 0 && what != NULL && *what);
	must(line <= 1 << 20 && key.n <= 1 << 20);
	input->left_out += kind == IMPORT_LEFT_OUT;
}

// Some are there, some are nobody's.
static enum import_reach reach(void *context, struct str address, struct arena *arena, struct str *hint_out)
{
	(void)context;
	must(str_index(address, '@') > 0);
	if (address.n % 5 == 0)
		*hint_out = arena_printf(arena, "it is the log-in of %.*s", STR_FMT(address));
	return (enum import_reach)(address.n % 4);
}

static bool owner(void *context, enum import_owned owned, struct str key, struct str dn, struct arena *arena,
	struct str *owner_out)
{
	(void)context;
	(void)arena;
	must(owned <= IMPORT_OWNED_ACCESS && key.n && dn.n);
	*owner_out = dn;
	return key.n % 16 == 0;
}

static void complain(void *context, size_t line, struct str dn, struct str attribute, const char *what)
{
	(void)context;
	if (strncmp(what, "needs MX records", sizeof "needs MX records" - 1) == 0)
		return; // a note has said so
	fprintf(stderr, "%zu: %.*s: %.*s: %s\n", line, STR_FMT(dn), STR_FMT(attribute), what);
	must(!"ldapsync takes what was written");
}

static bool has_entries(struct str ldif)
{
	return str_find(ldif, STR("\nobjectClass: ph")) >= 0;
}

static void check(struct str ldif)
{
	char path[64];
	struct err err;
	int fd = memfd_create("ldif", MFD_CLOEXEC);
	must(fd >= 0 && write(fd, ldif.p, ldif.n) == (ssize_t)ldif.n);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (check_ldif(path, NULL, complain, NULL, NULL, &err) && has_entries(ldif)) {
		fprintf(stderr, "%s\n%.*s\n", err.text, STR_FMT(ldif));
		must(!"it is LDIF");
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct str tags[] = {STR(""), STR("Connect:"), STR("From:"), STR("To:")};
	if (size < 2)
		return 0;
	enum import_kind kind = (enum import_kind)(data[0] % KINDS);
	struct import_options options = {.base = STR("o=a\\, b,dc=uni,dc=example"),
		.domain = STR("uni.example"),
		.below_base = data[1] & 1,
		.domains = data[1] & 2,
		.tag = tags[data[1] >> 2 & 3],
		.skip = data[1] & 16 ? STR("TLS_Clt, x:,") : STR_NONE};
	struct str text = str_of((const char *)data + 2, size - 2);
	struct input input = {.included = STR_NONE}, again;
	struct buf first, second;
	str_cut(text, '\0', &text, &input.included);
	again = input;
	buf_init(&first, LDIF_BYTES_MAX);
	buf_init(&second, LDIF_BYTES_MAX);
	struct import_io io = {.read = read_include, .say = say, .context = &input};
	if (data[1] & 32) {
		io.reach = reach;
		io.owner = owner;
	}
	bool whole = import_file(kind, &options, STR("table"), text, &io, &first);
	must(whole == (input.left_out == 0));
	io.context = &again;
	must(import_file(kind, &options, STR("table"), text, &io, &second) == whole && again.left_out == input.left_out);
	must(first.overflow || str_eq(buf_str(&first), buf_str(&second)));
	if (!first.overflow)
		check(buf_str(&first));
	buf_fini(&first);
	buf_fini(&second);
	return 0;
}
