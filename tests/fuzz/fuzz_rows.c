// SPDX-License-Identifier: Apache-2.0
// Lines into rows; the folder of a fuzz target's databases.
#include "fuzz_rows.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/must.h"

enum { COLUMNS_MAX = 24, VALUE_BYTES_MAX = 4096, TABLE_BYTES_MAX = 32, DESCRIPTORS = 16 };

static bool is_table(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] != '_' && (name.p[i] < 'a' || name.p[i] > 'z'))
			return false;
	return name.n > 0 && name.n < TABLE_BYTES_MAX;
}

static void bind(sqlite3_stmt *stmt, int parameter, struct str value)
{
	struct str rest = str_from(value, 1);
	struct buf bytes;
	uint64_t number;
	buf_init(&bytes, VALUE_BYTES_MAX);
	if (str_starts(value, STR("i-")) && str_to_u64(str_from(value, 2), INT64_MAX, &number))
		db_bind_i64(stmt, parameter, -(int64_t)number);
	else if (str_starts(value, STR("i")) && str_to_u64(rest, INT64_MAX, &number))
		db_bind_i64(stmt, parameter, (int64_t)number);
	else if (str_starts(value, STR("b")) && codec_hex_decode(rest, &bytes))
		must(sqlite3_bind_blob64(stmt, parameter, bytes.n ? bytes.p : "", bytes.n, SQLITE_TRANSIENT) == SQLITE_OK);
	else if (str_starts(value, STR("t")))
		db_bind_str(stmt, parameter, rest);
	buf_fini(&bytes);
}

bool fuzz_rows_put(struct db *db, struct str line)
{
	struct str table, values, value;
	char sql[TABLE_BYTES_MAX + 3 * COLUMNS_MAX + 64];
	sqlite3_stmt *stmt = NULL;
	if (!str_cut(line, ' ', &table, &values) || !is_table(table))
		return false;
	int columns = 1;
	for (size_t i = 0; i < values.n; i++)
		columns += values.p[i] == '|';
	if (columns > COLUMNS_MAX)
		return true;
	int n = snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO %.*s VALUES(", STR_FMT(table));
	for (int i = 0; i < columns; i++)
		n += snprintf(sql + n, sizeof sql - (size_t)n, "%s?", i ? "," : "");
	snprintf(sql + n, sizeof sql - (size_t)n, ")");
	if (sqlite3_prepare_v2(db_handle(db), sql, -1, &stmt, NULL) != SQLITE_OK)
		return true;
	for (int i = 1; i <= columns; i++) {
		if (!str_cut(values, '|', &value, &values))
			value = values;
		bind(stmt, i, value);
	}
	sqlite3_step(stmt); // and if it does not, there is no such row
	sqlite3_finalize(stmt);
	return true;
}

static char dir[64];

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	return ftw->level == 0 ? 0 : remove(path);
}

static void remove_all(void)
{
	nftw(dir, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
	rmdir(dir);
}

const char *fuzz_rows_dir(void)
{
	if (dir[0]) {
		must(nftw(dir, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS) == 0);
		return dir;
	}
	static const char *const places[] = {"/dev/shm", "/tmp"};
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		snprintf(dir, sizeof dir, "%s/posthouse-fuzz-XXXXXX", places[i]);
		if (mkdtemp(dir)) {
			atexit(remove_all);
			return dir;
		}
	}
	must(!"a folder for databases");
	return NULL;
}
