// SPDX-License-Identifier: Apache-2.0
// Settings files: the text up to the first NUL is the file, what follows is the file "b" beside it. Every error has its place on
// one line; what was loaded is printed, loaded again and prints the same.
// Covers: base/settings.c base/settings_file.c base/settings_value.c
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "schema/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
const char *__lsan_default_suppressions(void);
const char *__lsan_default_options(void);

// libconfuse forgets the words of a call of include() that is not closed: some bytes for each load of such a file.
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfuse.so";
}

const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}

enum { TEXT_BYTES_MAX = 1 << 20, FILES = 3 };

static char dir[64];
static char paths[FILES][80]; // main, b, again

static void remove_dir(void)
{
	for (size_t i = 0; i < FILES; i++)
		unlink(paths[i]);
	rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const names[FILES] = {"main", "b", "again"};
	(void)argc;
	(void)argv;
	snprintf(dir, sizeof dir, "%s/posthouse-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	must(mkdtemp(dir) != NULL);
	for (size_t i = 0; i < FILES; i++)
		snprintf(paths[i], sizeof paths[i], "%s/%s", dir, names[i]);
	atexit(remove_dir);
	return 0;
}

static void write_file(const char *path, struct str text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(fd >= 0 && write(fd, text.p ? text.p : "", text.n) == (ssize_t)text.n);
	must(close(fd) == 0);
}

// "FILE:LINE: setting: what", with one of our files.
static void check_report(const struct settings_report *report)
{
	struct str rest = buf_str(&report->lines), line, number, what;
	size_t lines = 0;
	while (str_cut(rest, '\n', &line, &rest)) {
		uint64_t n;
		must(str_starts(line, str_of_c(dir)));
		line = str_from(line, strlen(dir));
		must(str_cut(line, ':', &number, &what) && str_cut(what, ':', &number, &what));
		must(str_to_u64(number, INT32_MAX, &n) && what.n);
		lines++;
	}
	must(lines == report->errors && (rest.n == 0 || report->lines.overflow));
}

static void print(const struct settings *settings, struct buf *text)
{
	for (size_t i = 0; i < settings_table.n; i++) {
		const struct settings_row *row = &settings_table.rows[i];
		if (row->section)
			continue;
		buf_printf(text, "%s = ", row->name);
		settings_print_value(row, settings, text);
		buf_add(text, STR("\n"));
		(void)settings_is_default(row, settings);
	}
	must(!text->overflow);
}

static void check_again(const struct settings *settings)
{
	struct buf text, twice, changes;
	struct settings_report report;
	struct settings_snapshot *snapshot;
	buf_init(&text, TEXT_BYTES_MAX);
	buf_init(&twice, TEXT_BYTES_MAX);
	buf_init(&changes, TEXT_BYTES_MAX);
	settings_report_init(&report);
	print(settings, &text);
	write_file(paths[2], buf_str(&text));
	must(settings_load(&settings_table, paths[2], &report, &snapshot) == ERR_OK);
	print(settings_of(snapshot), &twice);
	must(str_eq(buf_str(&text), buf_str(&twice)));
	settings_start_only_changes(&settings_table, settings, settings_of(snapshot), &changes);
	must(changes.n == 0);
	settings_unref(&snapshot);
	settings_report_fini(&report);
	buf_fini(&text);
	buf_fini(&twice);
	buf_fini(&changes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of((const char *)data, size), first = in, second = STR_NONE;
	struct settings_report report;
	struct settings_snapshot *snapshot;
	str_cut(in, '\0', &first, &second);
	// What is included must be ours, and a value must not come from the environment.
	if ((str_find(in, STR("include")) >= 0 && str_index(in, '/') >= 0) || str_find(in, STR("${")) >= 0)
		return 0;
	write_file(paths[0], first);
	write_file(paths[1], second);
	settings_report_init(&report);
	enum err_code code = settings_load(&settings_table, paths[0], &report, &snapshot);
	check_report(&report);
	must((code == ERR_OK) == (report.errors == 0));
	if (code == ERR_OK) {
		check_again(settings_of(snapshot));
		settings_unref(&snapshot);
	}
	settings_report_fini(&report);
	return 0;
}
