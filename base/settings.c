// SPDX-License-Identifier: Apache-2.0
// Settings: tables of rows, loading, snapshots, and the values as text.
#include "base/settings.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"
#include "settings_load.h"

enum { ARENA_BYTES_MAX = 4 << 20, REPORT_BYTES_MAX = 1 << 20, WHAT_BYTES = 512 };

struct settings_snapshot {
	_Atomic unsigned references;
	struct arena *arena; // owned; holds values and path
	void *values;
	const char *path;
};

void settings_report_init(struct settings_report *report)
{
	*report = (struct settings_report){.errors = 0};
	buf_init(&report->lines, REPORT_BYTES_MAX);
}

void settings_report_fini(struct settings_report *report)
{
	buf_fini(&report->lines);
}

static void add_line(struct settings_report *report, const char *file, int line, const char *name, const char *kind,
	const char *what)
{
	struct buf *lines = &report->lines;
	size_t start = lines->n;
	if (!buf_printf(lines, "%s:%d: %s: %s%s\n", file, line, name, kind, what))
		return;
	// A word that is quoted may hold anything, and an error is one line.
	for (size_t i = start; i + 1 < lines->n; i++)
		if ((unsigned char)lines->p[i] < ' ' || lines->p[i] == 0x7f)
			lines->p[i] = ' ';
}

void settings_complain_at(struct settings_report *report, const char *file, int line, const char *name, const char *what)
{
	report->errors++;
	add_line(report, file, line, name, "", what);
}

void settings_warn_at(struct settings_report *report, const char *file, int line, const char *name, const char *what)
{
	add_line(report, file, line, name, "warning: ", what);
}

static ptrdiff_t row_index(const struct settings_table *table, const char *name)
{
	for (size_t i = 0; i < table->n; i++)
		if (table->rows[i].name != NULL && strcmp(table->rows[i].name, name) == 0)
			return (ptrdiff_t)i;
	return -1;
}

// Where a setting stands; of one that no file sets, the first line of the file that could.
static const char *place_of(const struct settings_report *report, const char *name, int *line_out)
{
	const struct settings_load *load = report->load;
	const char *file = load != NULL && load->files_n > 0 ? load->files[0] : "defaults";
	*line_out = 1;
	if (load == NULL)
		return file;
	ptrdiff_t i = row_index(load->table, name);
	must(i >= 0);
	if (load->given[i].is_set) {
		file = load->given[i].file;
		*line_out = load->given[i].line;
	}
	return file;
}

void settings_complain(struct settings_report *report, const char *name, const char *format, ...)
{
	char what[WHAT_BYTES];
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	int line;
	const char *file = place_of(report, name, &line);
	settings_complain_at(report, file, line, name, what);
}

void settings_warn(struct settings_report *report, const char *name, const char *what)
{
	int line;
	const char *file = place_of(report, name, &line);
	settings_warn_at(report, file, line, name, what);
}

static bool is_empty(const struct settings_row *row, const void *values)
{
	const void *field = (const char *)values + row->offset;
	switch (row->type) {
	case SETTINGS_STR:
	case SETTINGS_PATH:
		return ((const struct str *)field)->n == 0;
	case SETTINGS_LIST:
	case SETTINGS_PATHS:
		return ((const struct settings_list *)field)->n == 0;
	case SETTINGS_ADDRESS:
		return ((const struct settings_address *)field)->host.n == 0;
	case SETTINGS_ADDRESSES:
		return ((const struct settings_addresses *)field)->n == 0;
	case SETTINGS_NETWORKS:
		return ((const struct settings_networks *)field)->n == 0;
	case SETTINGS_INT:
	case SETTINGS_DURATION:
	case SETTINGS_BYTES:
	case SETTINGS_BOOL:
	case SETTINGS_ENUM:
		return false;
	}
	unreachable("settings type");
}

// A default that does not parse is a bug in the table.
static void set_default(const struct settings_row *row, struct arena *arena, void *values)
{
	struct str *words;
	char what[WHAT_BYTES];
	size_t n = settings_value_default(row, arena, &words);
	must(settings_value_parse(row, words, n, arena, values, what, sizeof what) || (row->flags & SETTINGS_NEEDED));
}

static void fill(struct settings_load *load, void *values)
{
	for (size_t i = 0; i < load->table->n; i++) {
		const struct settings_row *row = &load->table->rows[i];
		const struct settings_given *given = &load->given[i];
		if (row->section != NULL)
			continue;
		set_default(row, load->arena, values);
		char what[WHAT_BYTES];
		if (given->is_set && !settings_value_parse(row, given->words, given->n, load->arena, values, what, sizeof what))
			settings_complain(load->report, row->name, "%s", what);
		else if (load->files_n > 0 && (row->flags & SETTINGS_NEEDED) && is_empty(row, values))
			settings_complain(load->report, row->name, "is not set; %s", row->prose);
	}
}

static void snapshot_free(struct settings_snapshot *snapshot)
{
	arena_free(&snapshot->arena);
	free(snapshot);
}

enum err_code settings_load(const struct settings_table *table, const char *path, struct settings_report *report,
	struct settings_snapshot **out)
{
	struct settings_snapshot *snapshot = calloc(1, sizeof *snapshot);
	must(snapshot != NULL);
	atomic_init(&snapshot->references, 1);
	snapshot->arena = arena_new(ARENA_BYTES_MAX);
	snapshot->values = arena_must(snapshot->arena, table->values_bytes);
	struct settings_load load = {.table = table, .arena = snapshot->arena, .report = report};
	load.given = arena_must(load.arena, table->n * sizeof *load.given);
	if (path != NULL) {
		snapshot->path = arena_dup(load.arena, str_of_c(path)).p;
		load.files[load.files_n++] = snapshot->path;
		struct err err = {ERR_OK, ""};
		if (!settings_file_read(&load, &err)) {
			settings_complain_at(report, path, 1, "file", err.text);
			snapshot_free(snapshot);
			return err.code;
		}
	}
	report->load = &load;
	fill(&load, snapshot->values);
	// Rules between settings are about settings that are right each for itself.
	if (report->errors == 0 && table->check != NULL && path != NULL)
		table->check(snapshot->values, report);
	report->load = NULL;
	if (report->errors > 0) {
		snapshot_free(snapshot);
		return ERR_INVALID;
	}
	*out = snapshot;
	return ERR_OK;
}

struct settings_snapshot *settings_ref(struct settings_snapshot *snapshot)
{
	atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
	return snapshot;
}

void settings_unref(struct settings_snapshot **snapshot)
{
	struct settings_snapshot *mine = *snapshot;
	*snapshot = NULL;
	if (mine != NULL && atomic_fetch_sub_explicit(&mine->references, 1, memory_order_acq_rel) == 1)
		snapshot_free(mine);
}

const void *settings_values(const struct settings_snapshot *snapshot)
{
	return snapshot->values;
}

// The largest unit that divides the number: "5d", not "432000".
static void print_scaled(struct buf *b, int64_t value, const char *const *suffixes, const int64_t *sizes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (value != 0 && value % sizes[i] == 0) {
			buf_printf(b, "%lld%s", (long long)(value / sizes[i]), suffixes[i]);
			return;
		}
	buf_printf(b, "%lld", (long long)value);
}

static void print_quoted(struct buf *b, struct str s)
{
	buf_add_byte(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_add_byte(b, '\\');
		buf_add_byte(b, s.p[i]);
	}
	buf_add_byte(b, '"');
}

static void print_choice(struct buf *b, const char *choices, int index)
{
	struct str rest = str_from(str_of_c(choices), 1), word = rest;
	for (; index > 0; index--)
		must(str_cut(rest, '|', &word, &rest));
	if (!str_cut(rest, '|', &word, &rest))
		word = rest;
	buf_add(b, word);
}

static void print_list(struct buf *b, const struct settings_list *list)
{
	buf_add_byte(b, '{');
	for (size_t i = 0; i < list->n; i++) {
		buf_add_c(b, i ? ", " : "");
		print_quoted(b, list->v[i]);
	}
	buf_add_byte(b, '}');
}

static void print_addresses(struct buf *b, const struct settings_addresses *list)
{
	char text[NETADDR_TEXT_BYTES];
	buf_add_byte(b, '{');
	for (size_t i = 0; i < list->n; i++)
		buf_printf(b, "%s\"%s\"", i ? ", " : "", netaddr_text_port(&list->v[i], text));
	buf_add_byte(b, '}');
}

static void print_networks(struct buf *b, const struct settings_networks *list)
{
	char text[NETADDR_TEXT_BYTES];
	buf_add_byte(b, '{');
	for (size_t i = 0; i < list->n; i++)
		buf_printf(b, "%s\"%s/%u\"", i ? ", " : "", netaddr_text(&list->v[i].addr, text), list->v[i].bits);
	buf_add_byte(b, '}');
}

static void print_address(struct buf *b, const struct settings_address *address)
{
	bool v6 = str_index(address->host, ':') >= 0;
	if (address->host.n == 0)
		buf_add(b, STR("\"\""));
	else
		buf_printf(b, "\"%s%.*s%s:%u\"", v6 ? "[" : "", STR_FMT(address->host), v6 ? "]" : "", address->port);
}

void settings_print_value(const struct settings_row *row, const void *values, struct buf *b)
{
	static const char *const byte_suffixes[] = {"G", "M", "K"};
	static const int64_t byte_sizes[] = {1 << 30, 1 << 20, 1 << 10};
	static const char *const second_suffixes[] = {"d", "h", "m", "s"};
	static const int64_t second_sizes[] = {86400, 3600, 60, 1};
	const void *field = (const char *)values + row->offset;
	switch (row->type) {
	case SETTINGS_STR:
	case SETTINGS_PATH:
		print_quoted(b, *(const struct str *)field);
		return;
	case SETTINGS_INT:
		buf_printf(b, "%lld", (long long)*(const int64_t *)field);
		return;
	case SETTINGS_DURATION:
		if (strcmp(row->unit, "s") == 0)
			print_scaled(b, *(const int64_t *)field, second_suffixes, second_sizes, 4);
		else
			buf_printf(b, "%lld%s", (long long)*(const int64_t *)field, row->unit);
		return;
	case SETTINGS_BYTES:
		print_scaled(b, *(const int64_t *)field, byte_suffixes, byte_sizes, 3);
		return;
	case SETTINGS_BOOL:
		buf_add_c(b, *(const bool *)field ? "yes" : "no");
		return;
	case SETTINGS_ENUM:
		print_choice(b, row->unit, *(const int *)field);
		return;
	case SETTINGS_LIST:
	case SETTINGS_PATHS:
		print_list(b, field);
		return;
	case SETTINGS_ADDRESS:
		print_address(b, field);
		return;
	case SETTINGS_ADDRESSES:
		print_addresses(b, field);
		return;
	case SETTINGS_NETWORKS:
		print_networks(b, field);
		return;
	}
	unreachable("settings type");
}

static bool prints_alike(const struct settings_row *row, const void *a, const void *b)
{
	struct buf one, other;
	buf_init(&one, REPORT_BYTES_MAX);
	buf_init(&other, REPORT_BYTES_MAX);
	settings_print_value(row, a, &one);
	settings_print_value(row, b, &other);
	bool alike = str_eq(buf_str(&one), buf_str(&other));
	buf_fini(&one);
	buf_fini(&other);
	return alike;
}

bool settings_is_default(const struct settings_row *row, const void *values)
{
	struct arena *arena = arena_new(64 << 10);
	union {
		struct str str;
		int64_t number;
		struct settings_address address;
		struct settings_list list;
	} *field = arena_must(arena, sizeof *field);
	struct settings_row alone = *row;
	alone.offset = 0;
	set_default(&alone, arena, field);
	bool same = prints_alike(&alone, field, (const char *)values + row->offset);
	arena_free(&arena);
	return same;
}

void settings_start_only_changes(const struct settings_table *table, const void *old_values, const void *new_values,
	struct buf *names)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct settings_row *row = &table->rows[i];
		if (row->section == NULL && !(row->flags & SETTINGS_RELOAD) && !prints_alike(row, old_values, new_values))
			buf_printf(names, "%s\n", row->name);
	}
}

bool settings_networks_have(const struct settings_networks *networks, const struct netaddr *addr)
{
	for (size_t i = 0; i < networks->n; i++)
		if (netaddr_net_has(&networks->v[i], addr))
			return true;
	return false;
}
