// SPDX-License-Identifier: Apache-2.0
// Settings: reading files with libconfuse, so that every error is found and has its place.
//
// libconfuse stops at the first error and keeps no lines. So all settings are declared to it as strings or lists of strings,
// which it cannot refuse, and a callback notes words and place; types are checked afterwards. A name it does not know does stop
// it: we complain, declare the name, and read the file again, up to UNKNOWN_MAX times. An included file is only noted by its
// include(), and read after the file that names it: a setting is set once, so the order cannot matter. Comments are made spaces
// before it sees them: it counts the lines of a comment twice and more, so that every place behind one would be wrong, and knows
// none within a list.
//
// Its scanner is global, so one load at a time: a mutex. It passes no argument to callbacks: the load under way is a static.
#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/must.h"
#include "settings_load.h"

enum { UNKNOWN_MAX = 50, OPTIONS_MAX = 400, SECTIONS_MAX = 32, NAME_BYTES = STR_NAME_BYTES, FILE_BYTES_MAX = 256 << 10 };

// A setting that no row has, and where it stood: {"tls", "certifcate"}, or {"", "hostnmae"}.
struct unknown {
	char section[NAME_BYTES], name[NAME_BYTES];
	int line;
};

// One file being read; options are remade for each attempt.
struct reading {
	struct settings_load *load;
	const char *file;
	struct unknown unknown[UNKNOWN_MAX];
	size_t unknown_n;
	bool again; // an unknown name was declared: read once more
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct reading *now; // under lock

// The section of row i, or NULL: the last one that was opened, when the name begins with it.
static const char *section_of(const struct settings_table *table, size_t i)
{
	const char *section = NULL;
	for (size_t k = 0; k <= i; k++)
		if (table->rows[k].section != NULL)
			section = table->rows[k].section;
	if (section == NULL || table->rows[i].name == NULL)
		return NULL;
	size_t n = strlen(section);
	const char *name = table->rows[i].name;
	return strncmp(name, section, n) == 0 && name[n] == '_' ? section : NULL;
}

static ptrdiff_t row_of(const struct settings_table *table, cfg_t *cfg, const cfg_opt_t *opt)
{
	bool top = strcmp(cfg_name(cfg), "root") == 0;
	for (size_t i = 0; i < table->n; i++) {
		const char *section = section_of(table, i);
		if (table->rows[i].name == NULL)
			continue;
		if (top && strcmp(table->rows[i].name, opt->name) == 0)
			return (ptrdiff_t)i;
		if (!top && section != NULL && strcmp(section, cfg_name(cfg)) == 0 &&
			strcmp(table->rows[i].name + strlen(section) + 1, opt->name) == 0)
			return (ptrdiff_t)i;
	}
	return -1;
}

static void note_place(struct settings_given *given, const char *file, int line)
{
	given->is_set = true;
	given->file = file;
	given->line = line;
}

// libconfuse calls this after each word of a list and again at its end, after the one word of another setting. A list whose first
// word is not the noted one was set a second time.
static int note(cfg_t *cfg, cfg_opt_t *opt)
{
	struct settings_load *load = now->load;
	ptrdiff_t i = row_of(load->table, cfg, opt);
	if (i < 0)
		return 0; // declared because unknown: complained about already
	struct settings_given *given = &load->given[i];
	unsigned n = cfg_opt_size(opt);
	struct str last = str_of_c(cfg_opt_getnstr(opt, n - 1));
	bool is_list = settings_type_is_list(load->table->rows[i].type);
	bool goes_on = is_list && given->is_set && given->file == now->file &&
		       (n == given->n + 1 || (n == given->n && str_eq(last, given->words[n - 1])));
	if (given->is_set && !goes_on) {
		char what[512];
		if (given->again_line == cfg->line) // the end of the same list
			return 0;
		given->again_line = cfg->line;
		snprintf(what, sizeof what, "is set already at %s:%d; keep one of them", given->file, given->line);
		settings_complain_at(load->report, now->file, cfg->line, load->table->rows[i].name, what);
		return 0;
	}
	if (goes_on && n == given->n)
		return 0;
	if (given->words == NULL)
		given->words = arena_must(load->arena, SETTINGS_WORDS_MAX * sizeof *given->words);
	if (given->n == SETTINGS_WORDS_MAX) {
		settings_complain_at(load->report, now->file, cfg->line, load->table->rows[i].name,
			"has too many elements; at most 1024");
		return 1;
	}
	given->words[given->n++] = arena_dup(load->arena, last);
	if (!given->is_set)
		note_place(given, now->file, cfg->line);
	return 0;
}

static const char *nearest(const struct settings_table *table, struct str name)
{
	const char *best = NULL;
	size_t best_distance = STR_NEAR + 1;
	for (size_t i = 0; i < table->n; i++) {
		const char *candidate = table->rows[i].name;
		if (candidate != NULL && str_distance(name, str_of_c(candidate)) < best_distance) {
			best = candidate;
			best_distance = str_distance(name, str_of_c(candidate));
		}
	}
	return best;
}

static void complain_unknown(const struct reading *r, const struct unknown *unknown)
{
	char full[2 * NAME_BYTES], what[512];
	snprintf(full, sizeof full, "%s%s%s", unknown->section, *unknown->section ? "_" : "", unknown->name);
	const char *best = nearest(r->load->table, str_of_c(full));
	if (best != NULL)
		snprintf(what, sizeof what, "unknown setting; did you mean %s?", best);
	else
		snprintf(what, sizeof what, "unknown setting; remove it (posthouse.conf(5) lists all)");
	settings_complain_at(r->load->report, r->file, unknown->line, full, what);
}

static void on_error(cfg_t *cfg, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

static void on_error(cfg_t *cfg, const char *format, va_list args)
{
	char text[256];
	vsnprintf(text, sizeof text, format, args);
	static const char prefix[] = "no such option '";
	if (strncmp(text, prefix, sizeof prefix - 1) == 0 && now->unknown_n < UNKNOWN_MAX &&
		strlen(text) < NAME_BYTES + sizeof prefix) {
		struct unknown *unknown = &now->unknown[now->unknown_n++];
		bool top = strcmp(cfg_name(cfg), "root") == 0;
		snprintf(unknown->section, sizeof unknown->section, "%s", top ? "" : cfg_name(cfg));
		snprintf(unknown->name, sizeof unknown->name, "%.*s", (int)(strlen(text) - sizeof prefix),
			text + sizeof prefix - 1);
		unknown->line = cfg->line;
		now->again = true;
		return;
	}
	char what[512];
	snprintf(what, sizeof what, "%s; a setting is name = value, a list {\"a\", \"b\"}, a group name { ... }", text);
	settings_complain_at(now->load->report, now->file, cfg->line, "syntax", what);
}

static int on_include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	(void)opt;
	struct settings_load *load = now->load;
	if (argc != 1 || *argv[0] == 0 || load->files_n == SETTINGS_FILES_MAX) {
		settings_complain_at(load->report, now->file, cfg->line, "include",
			"wants one file, and 16 in all; write include(\"FILE\")");
		return 0;
	}
	const char *slash = strrchr(now->file, '/');
	const char *path = *argv[0] == '/' || slash == NULL
		? arena_dup(load->arena, str_of_c(argv[0])).p
		: arena_printf(load->arena, "%.*s/%s", (int)(slash - now->file), now->file, argv[0]).p;
	for (size_t i = 0; i < load->files_n; i++)
		if (strcmp(load->files[i], path) == 0 && i <= load->file_now) {
			settings_complain_at(load->report, now->file, cfg->line, "include",
				"this file was read already; include it once");
			return 0;
		}
	load->files[load->files_n++] = path;
	return 0;
}

static cfg_opt_t option_of(const char *name, bool is_list)
{
	cfg_opt_t text = CFG_STR(0, NULL, CFGF_NODEFAULT), list = CFG_STR_LIST(0, NULL, CFGF_NODEFAULT);
	cfg_opt_t option = is_list ? list : text;
	option.name = name;
	option.validcb = note;
	return option;
}

// The options of one section ("" is the top), with what is unknown there; ends the array. Returns their number.
static size_t options_of(const struct reading *r, const char *section, cfg_opt_t *options)
{
	const struct settings_table *table = r->load->table;
	size_t n = 0;
	for (size_t i = 0; i < table->n; i++) {
		const struct settings_row *row = &table->rows[i];
		const char *mine = section_of(table, i);
		if (row->name == NULL)
			continue;
		if (*section == 0)
			options[n++] = option_of(row->name, settings_type_is_list(row->type));
		else if (mine != NULL && strcmp(mine, section) == 0)
			options[n++] = option_of(row->name + strlen(mine) + 1, settings_type_is_list(row->type));
	}
	for (size_t i = 0; i < r->unknown_n; i++)
		if (strcmp(r->unknown[i].section, section) == 0)
			options[n++] = option_of(r->unknown[i].name, true);
	must(n < OPTIONS_MAX - SECTIONS_MAX - 2);
	cfg_opt_t end = CFG_END();
	options[n] = end;
	return n;
}

// An empty list reaches no callback: found by its flag, placed by looking for its name.
static int line_of_name(const char *file, const char *name)
{
	FILE *stream = fopen(file, "re");
	char text[1024];
	int line = 0, found = 1;
	while (stream != NULL && fgets(text, sizeof text, stream) != NULL) {
		line++;
		if (str_starts(str_trim(str_of_c(text)), str_of_c(name)))
			found = line;
	}
	if (stream != NULL)
		fclose(stream);
	return found;
}

static void note_empty_lists(struct reading *r, cfg_t *cfg)
{
	for (cfg_opt_t *opt = cfg->opts; opt->name != NULL; opt++) {
		if (opt->type == CFGT_SEC && cfg_opt_size(opt) > 0)
			note_empty_lists(r, cfg_opt_getnsec(opt, 0));
		ptrdiff_t i = opt->type == CFGT_STR && (opt->flags & CFGF_MODIFIED) && cfg_opt_size(opt) == 0
				      ? row_of(r->load->table, cfg, opt)
				      : -1;
		if (i >= 0 && !r->load->given[i].is_set)
			note_place(&r->load->given[i], r->file, line_of_name(r->file, opt->name));
	}
}

// Reads the file once.
static void attempt(struct reading *r, FILE *stream)
{
	const struct settings_table *table = r->load->table;
	cfg_opt_t *options = calloc((SECTIONS_MAX + 1) * OPTIONS_MAX, sizeof *options);
	must(options != NULL);
	size_t n = options_of(r, "", options), sections = 0;
	for (size_t i = 0; i < table->n; i++)
		if (table->rows[i].section != NULL) {
			must(++sections <= SECTIONS_MAX);
			cfg_opt_t *inner = options + sections * OPTIONS_MAX;
			options_of(r, table->rows[i].section, inner);
			cfg_opt_t section = CFG_SEC(0, inner, CFGF_NODEFAULT);
			section.name = table->rows[i].section;
			options[n++] = section;
		}
	cfg_opt_t include = CFG_FUNC("include", on_include), end = CFG_END();
	options[n++] = include;
	options[n] = end;
	cfg_t *cfg = cfg_init(options, CFGF_NONE);
	must(cfg != NULL);
	cfg_set_error_function(cfg, on_error);
	if (cfg_parse_fp(cfg, stream) == CFG_SUCCESS)
		note_empty_lists(r, cfg);
	cfg_free(cfg);
	free(options);
}

// Forgets what this file said, before it is read again.
static void forget(struct reading *r, size_t files_n)
{
	r->load->files_n = files_n;
	for (size_t i = 0; i < r->load->table->n; i++)
		if (r->load->given[i].is_set && r->load->given[i].file == r->file) {
			r->load->given[i].is_set = false;
			r->load->given[i].n = 0;
		}
}

// The first byte behind the text in quotation marks that begins at p, or end.
static char *behind_quoted(char *p, const char *end)
{
	const char mark = *p++;
	while (p < end && *p != mark)
		p += *p == '\\' && p + 1 < end ? 2 : 1;
	return p < end ? p + 1 : p;
}

// The first byte behind the comment that begins at p; p: none does. # begins one anywhere, // and /* where a word does not go on
// (ldap://host).
static char *behind_comment(char *p, char *end, bool in_word)
{
	const size_t n = (size_t)(end - p);
	if (*p == '#' || (!in_word && n > 1 && p[0] == '/' && p[1] == '/')) {
		char *line_end = memchr(p, '\n', n);
		return line_end ? line_end : end;
	}
	if (in_word || n < 2 || p[0] != '/' || p[1] != '*')
		return p;
	char *close = memmem(p + 2, n - 2, "*/", 2);
	return close ? close + 2 : end;
}

static void blank_comments(char *text, size_t n)
{
	char *end = text + n;
	bool in_word = false;
	for (char *p = text; p < end;) {
		char *behind = behind_comment(p, end, in_word);
		in_word = p == behind && strchr(" \t\r\n={}(),+\"'", *p) == NULL;
		if (p == behind)
			p = *p == '"' || *p == '\'' ? behind_quoted(p, end) : p + 1;
		for (; p < behind; p++)
			if (*p != '\n')
				*p = ' ';
	}
}

// libconfuse's scanner ends the process when a read fails, as on a directory, and takes quadratic time for a long string: so only
// what can be settings gets there. A daemon that reads its settings again survives whatever was put in their place. text_out is
// freed by the caller after the stream was closed.
static FILE *open_file(const char *file, char **text_out, struct err *err)
{
	struct stat st;
	FILE *stream = NULL;
	char *text = calloc(1, FILE_BYTES_MAX + 1);
	must(text != NULL);
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // not to wait for the other end of a FIFO
	ssize_t n = -1;
	if (fd < 0 || fstat(fd, &st)) {
		err_errno(err, "cannot open it");
	} else if (!S_ISREG(st.st_mode)) {
		err_set(err, ERR_INVALID, "is not a regular file");
	} else if (st.st_size > FILE_BYTES_MAX) {
		err_set(err, ERR_INVALID, "is larger than %d bytes", FILE_BYTES_MAX);
	} else if ((n = pread(fd, text, FILE_BYTES_MAX, 0)) < 0) {
		err_errno(err, "cannot read it");
	} else {
		blank_comments(text, (size_t)n);
		if (n == 0)
			text[n++] = '\n'; // fmemopen() takes no empty buffer
		stream = fmemopen(text, (size_t)n, "r");
		must(stream != NULL);
	}
	if (fd >= 0)
		close(fd);
	if (stream)
		*text_out = text;
	else
		free(text);
	return stream;
}

static bool read_file(struct settings_load *load, const char *file, struct err *err)
{
	char *text;
	FILE *stream = open_file(file, &text, err);
	if (stream == NULL)
		return false;
	struct reading *r = calloc(1, sizeof *r);
	must(r != NULL);
	r->load = load;
	r->file = file;
	size_t files_n = load->files_n, lines = load->report->lines.n, errors = load->report->errors;
	pthread_mutex_lock(&lock);
	now = r;
	do {
		r->again = false;
		forget(r, files_n);
		buf_truncate(&load->report->lines, lines);
		load->report->errors = errors;
		rewind(stream);
		attempt(r, stream);
	} while (r->again);
	for (size_t i = 0; i < r->unknown_n; i++)
		complain_unknown(r, &r->unknown[i]);
	now = NULL;
	pthread_mutex_unlock(&lock);
	fclose(stream);
	free(text);
	free(r);
	return true;
}

bool settings_file_read(struct settings_load *load, struct err *err)
{
	for (load->file_now = 0; load->file_now < load->files_n; load->file_now++) {
		const char *file = load->files[load->file_now];
		if (read_file(load, file, err))
			continue;
		if (load->file_now == 0)
			return false;
		settings_complain_at(load->report, file, 1, "include", err->text);
	}
	return true;
}
