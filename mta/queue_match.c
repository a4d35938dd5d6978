// SPDX-License-Identifier: Apache-2.0
// Words of a request into keys, and keys compared.
#include "queue_match.h"

#include "mail/addr.h"
#include "queue_columns.h"
#include "queue_fold_rows.h"

enum { SCRATCH_BYTES = 64 << 10 };

static bool parse_domain(struct arena *arena, struct str text, struct str *key_out)
{
	struct domain domain;
	if (domain_parse(arena, text, DOMAIN_UTF8, &domain) != DOMAIN_OK)
		return false;
	*key_out = arena_printf(arena, "@%.*s", STR_FMT(domain.key));
	return true;
}

static bool parse(struct arena *arena, struct str text, struct str *key_out)
{
	struct addr addr;
	if (str_starts(text, STR("@")))
		return parse_domain(arena, str_from(text, 1), key_out);
	if (addr_parse(arena, text, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) != ADDR_OK)
		return false;
	*key_out = addr.key;
	return true;
}

static enum err_code take(struct arena *arena, const json_t *args, const char *name, bool *there_out, struct str *key_out,
	struct err *err)
{
	const json_t *value = json_object_get(args, name);
	struct str text = json_is_string(value) ? str_of(json_string_value(value), json_string_length(value)) : STR_NONE;
	bool may_be_null = strcmp(name, "from") == 0;
	*there_out = value != NULL;
	*key_out = STR_NONE;
	if (value == NULL || (may_be_null && str_eq(text, STR("<>"))) || parse(arena, text, key_out))
		return ERR_OK;
	return err_set(err, ERR_INVALID, "%s \"%.*s\" is neither an address nor @domain%s", name, STR_FMT(str_upto(text, 64)),
		may_be_null ? ", nor <>" : "");
}

enum err_code queue_match_parse(struct arena *arena, const json_t *args, struct queue_match *match_out, struct err *err)
{
	struct queue_match m = {.scratch = NULL};
	*match_out = m;
	enum err_code code = take(arena, args, "to", &m.by_to, &m.to, err);
	if (code == ERR_OK)
		code = take(arena, args, "from", &m.by_from, &m.from, err);
	if (code)
		return code;
	m.scratch = arena_new(SCRATCH_BYTES);
	*match_out = m;
	return ERR_OK;
}

void queue_match_fini(struct queue_match *m)
{
	arena_free(&m->scratch);
}

static bool is_key(struct str want, struct str key)
{
	return str_starts(want, STR("@")) ? str_ends(key, want) : str_eq(key, want);
}

bool queue_match_sender(const struct queue_match *m, struct str sender)
{
	struct addr addr;
	if (!m->by_from || m->from.n == 0 || sender.n == 0)
		return !m->by_from || (m->from.n == 0 && sender.n == 0);
	arena_reset(m->scratch);
	return addr_parse(m->scratch, sender, ADDR_UTF8 | ADDR_LONG_LOCAL, &addr) == ADDR_OK && is_key(m->from, addr.key);
}

// Does one of the other addresses that the copy came for match, or not match? What cannot be read does whatever keeps the copy.
static bool has_also(const struct queue_match *m, struct db *db, sqlite3_stmt *row, bool matching)
{
	sqlite3_stmt *stmt = fold_stmt(db, SQL_READ_ALSO_OF);
	struct err err;
	enum db_step step = DB_ROW;
	bool found = false;
	db_bind_blob(stmt, 1, db_col_blob(row, ITEM_GUID));
	db_bind_i64(stmt, 2, db_col_i64(row, ITEM_NUMBER));
	while (!found && (step = db_step(db, stmt, &err)) == DB_ROW)
		found = is_key(m->to, db_col_str(stmt, 0)) == matching;
	if (step == DB_FAILED)
		return !matching;
	db_reset(stmt);
	return found;
}

bool queue_match_row(const struct queue_match *m, struct db *db, sqlite3_stmt *row)
{
	const struct record_recipient r = {.key = db_col_str(row, ITEM_KEY), .original = db_col_str(row, ITEM_ORIGINAL)};
	int64_t notify = db_col_i64(row, ITEM_NOTIFY);
	if (!m->by_to || is_key(m->to, r.key))
		return true;
	arena_reset(m->scratch);
	bool asked = is_key(m->to, item_asked_key(m->scratch, &r)), is_shared = notify & RECORD_SHARED;
	if (m->wholly)
		return asked && !(notify & RECORD_SHARED_MORE) && !(is_shared && has_also(m, db, row, false));
	return asked || (is_shared && has_also(m, db, row, true));
}
