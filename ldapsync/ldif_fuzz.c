// SPDX-License-Identifier: Apache-2.0
// LDIF text through reader, intake and codec: whatever the text, what comes out decodes and holds no byte that could end a line
// elsewhere; and what is read from a file in pieces is what is read from memory.
// Covers: ldapsync/ldif.c ldapsync/intake.c ldapsync/value.c ldapsync/keys.c ldapsync/dn.c
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "intake.h"
#include "ldif.h"
#include "keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECES = 50 };

static void complain(void *context, size_t line, struct str dn, struct str attribute, const char *what)
{
	(void)context;
	(void)dn;
	(void)attribute;
	must(line > 0 && what != NULL);
}

static void check_blob(struct str blob)
{
	struct entry entry;
	struct entry_cursor cursor = {0};
	enum attr attr;
	struct str value;
	must(entry_decode(blob, &entry));
	while (entry_each(&entry, &cursor, &attr, &value)) {
		if (attr_by_number((unsigned)attr)->check == ATTR_CHECK_RAW)
			continue;
		must(str_is_utf8(value));
		for (size_t i = 0; i < value.n; i++)
			must((unsigned char)value.p[i] >= 0x20 && value.p[i] != 0x7f);
	}
}

static void check_keys(struct str keys)
{
	enum directory_key kind;
	struct str key;
	while (keys_next(&keys, &kind, &key))
		must(key.n > 0);
	must(keys.n == 0);
}

static void make(struct intake *intake, const struct raw_entry *record, unsigned flags)
{
	struct intake_made made;
	if (intake_make(intake, record, flags, &made) != INTAKE_TAKEN)
		return;
	check_blob(made.data);
	check_keys(made.keys);
	if (made.secret_data.n) {
		check_blob(made.secret_data);
		check_keys(made.secret_keys);
	}
}

// The records and how the reading ended, as text.
static void list(struct ldif *ldif, struct buf *out)
{
	struct raw_entry record;
	struct err err = {0};
	while (ldif_next(ldif, &record, &err) == LDIF_RECORD) {
		buf_printf(out, "%zu %zu:%.*s\n", record.line, record.dn.n, STR_FMT(record.dn));
		for (size_t i = 0; i < record.n_values; i++) {
			const struct raw_value *value = &record.values[i];
			buf_printf(out, "%zu %zu:%.*s ", value->line, value->name.n, STR_FMT(value->name));
			buf_add(out, value->value);
			buf_add_byte(out, '\n');
		}
	}
	buf_add_c(out, err.text);
	must(!out->overflow);
}

static void check_pieces(struct str text)
{
	int fds[2];
	struct buf whole, pieces;
	buf_init(&whole, 1 << 20);
	buf_init(&pieces, 1 << 20);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0); // a read gives one piece
	size_t step = text.n / PIECES + 1;
	for (struct str rest = text; rest.n; rest = str_from(rest, step)) {
		struct str piece = str_upto(rest, step);
		must(send(fds[0], piece.p, piece.n, MSG_DONTWAIT) == (ssize_t)piece.n);
	}
	close(fds[0]);
	struct ldif *memory = ldif_open_text(text, "x"), *file = ldif_open_fd(fds[1], "x");
	list(memory, &whole);
	list(file, &pieces);
	must(str_eq(buf_str(&whole), buf_str(&pieces)));
	ldif_close(&memory);
	ldif_close(&file);
	close(fds[1]);
	buf_fini(&whole);
	buf_fini(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct intake *intake = intake_new(complain, NULL);
	for (int pass = 0; pass < 2; pass++) {
		struct ldif *ldif = ldif_open_text(str_of((const char *)data, size), "fuzz");
		struct raw_entry record;
		struct err err;
		enum ldif_result got;
		while ((got = ldif_next(ldif, &record, &err)) == LDIF_RECORD) {
			if (pass == 0) {
				intake_survey(intake, &record);
				continue;
			}
			make(intake, &record, 0);
			make(intake, &record, INTAKE_OWN_UUID);
		}
		must(got == LDIF_END || err.code != ERR_OK);
		ldif_close(&ldif);
		if (pass == 0)
			intake_surveyed(intake);
	}
	intake_free(&intake);
	check_pieces(str_of((const char *)data, size));
	return 0;
}
