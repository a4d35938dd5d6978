// SPDX-License-Identifier: Apache-2.0
// The settings engine: values, every error at once with its place, groups, includes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/settings.h"

struct values {
	struct str hostname;
	struct str data_dir;
	int64_t recipients_max, commit_timeout_ms, size_max, lifetime_s;
	bool loud;
	int newline;
	struct settings_list serves, tls_certificate;
	struct settings_address relayhost;
	struct settings_addresses listen_smtp;
	struct settings_networks trusted;
};

#define ROW(t, n, d, lo, hi, u, f) \
	{.name = #n, .type = SETTINGS_##t, .def = d, .min = lo, .max = hi, .unit = u, .flags = f, .prose = "Say what.", .offset = offsetof(struct values, n)}

static const struct settings_row rows[] = {
	ROW(STR, hostname, "", 1, 20, "", SETTINGS_NEEDED),
	ROW(PATH, data_dir, "/var/lib/x", 0, 80, "", 0),
	ROW(INT, recipients_max, "100", 1, 1000, "", SETTINGS_RELOAD),
	ROW(INT, commit_timeout_ms, "10000", 100, 300000, "ms", SETTINGS_RELOAD),
	ROW(BYTES, size_max, "50M", 1, 1 << 30, "bytes", SETTINGS_RELOAD),
	ROW(DURATION, lifetime_s, "5d", 1, 2592000, "s", SETTINGS_RELOAD),
	ROW(BOOL, loud, "no", 0, 0, "", SETTINGS_RELOAD),
	ROW(ENUM, newline, "reject", 0, 0, "|reject|normalize", SETTINGS_RELOAD),
	ROW(LIST, serves, "{\"a\", \"b\"}", 0, 64, "", SETTINGS_RELOAD),
	{.section = "tls", .prose = "Certificates."},
	ROW(PATHS, tls_certificate, "{}", 0, 200, "", SETTINGS_RELOAD),
	{.section = "listen", .prose = "Addresses."},
	ROW(ADDRESSES, listen_smtp, "{\"0.0.0.0:25\", \"[::]:25\"}", 0, 0, "", 0),
	ROW(ADDRESS, relayhost, "", 0, 0, "", SETTINGS_RELOAD),
	ROW(NETWORKS, trusted, "{\"127.0.0.0/8\", \"::1/128\"}", 0, 0, "", SETTINGS_RELOAD),
};

static void check(const void *values, struct settings_report *report)
{
	const struct values *v = values;
	if (v->recipients_max > v->commit_timeout_ms)
		settings_complain(report, "recipients_max", "is above commit_timeout_ms; lower it");
}

static const struct settings_table table = {.rows = rows, .n = sizeof rows / sizeof *rows, .values_bytes = sizeof(struct values), .check = check};

static char folder[] = "/tmp/settings_test.XXXXXX";

static const char *path_of(const char *name)
{
	static char path[2][100];
	static int turn;
	turn = !turn;
	snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
	return path[turn];
}

static void put(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

// Loads "conf" with that text; the report with the folder's name cut off.
static struct settings_snapshot *load(const char *text, char **report_out)
{
	put("conf", text);
	struct settings_report report;
	settings_report_init(&report);
	struct settings_snapshot *snapshot = NULL;
	enum err_code code = settings_load(&table, path_of("conf"), &report, &snapshot);
	char *said = calloc(1, report.lines.n + 1), *end = said;
	struct str rest = buf_str(&report.lines), line;
	size_t lines = 0;
	while (str_next_line(&rest, &line)) {
		if (str_starts(line, str_of_c(folder)))
			line = str_from(line, strlen(folder) + 1);
		memcpy(end, line.p, line.n);
		end += line.n;
		*end++ = '\n';
		lines++;
	}
	assert_int_equal(lines, report.errors);
	assert_true((code == ERR_OK) == (lines == 0) && (code == ERR_OK) == (snapshot != NULL));
	settings_report_fini(&report);
	*report_out = said;
	return snapshot;
}

static const struct values *load_good(const char *text, struct settings_snapshot **out)
{
	char *said;
	*out = load(text, &said);
	assert_string_equal(said, "");
	free(said);
	return settings_values(*out);
}

static void assert_report(const char *text, const char *report)
{
	char *said;
	assert_null(load(text, &said));
	assert_string_equal(said, report);
	free(said);
}

static void defaults_hold_where_the_file_is_silent(void **state)
{
	(void)state;
	struct settings_snapshot *s;
	const struct values *v = load_good("# nothing but the needed\nhostname = mx.uni.example\n", &s);
	assert_string_equal(v->hostname.p, "mx.uni.example");
	assert_string_equal(v->data_dir.p, "/var/lib/x");
	assert_int_equal(v->recipients_max, 100);
	assert_int_equal(v->size_max, 50 << 20);
	assert_int_equal(v->lifetime_s, 432000);
	assert_false(v->loud);
	assert_int_equal(v->serves.n, 2);
	assert_int_equal(v->relayhost.host.n, 0);
	assert_int_equal(v->listen_smtp.n, 2);
	assert_int_equal(v->listen_smtp.v[1].family, NETADDR_IPV6);
	for (size_t i = 0; i < table.n; i++)
		if (rows[i].section == NULL)
			assert_int_equal(settings_is_default(&rows[i], v), strcmp(rows[i].name, "hostname") != 0);
	settings_unref(&s);
	assert_null(s);
}

static void every_type_is_read(void **state)
{
	(void)state;
	struct settings_snapshot *s;
	const struct values *v = load_good("hostname = \"mx\"\nsize_max = 64K\nlifetime_s = 90m\nloud = on\nnewline = normalize\n"
		"serves = {}\ntls {\n  certificate = {\"/a.pem\",\n    \"/b.pem\"}\n}\nlisten_smtp = \"192.0.2.1:2525\"\n"
		"relayhost = \"[2001:db8::1]:26\"\ntrusted = {\"10.0.0.0/8\"}\ncommit_timeout_ms = 500\n", &s);
	assert_int_equal(v->size_max, 65536);
	assert_int_equal(v->lifetime_s, 5400);
	assert_true(v->loud);
	assert_int_equal(v->newline, 1);
	assert_int_equal(v->serves.n, 0);
	assert_int_equal(v->tls_certificate.n, 2);
	assert_string_equal(v->tls_certificate.v[1].p, "/b.pem");
	assert_int_equal(v->listen_smtp.n, 1);
	assert_int_equal(v->listen_smtp.v[0].port, 2525);
	assert_string_equal(v->relayhost.host.p, "2001:db8::1");
	assert_int_equal(v->relayhost.port, 26);
	struct netaddr inside, outside;
	assert_true(netaddr_parse(STR("10.1.2.3"), 0, &inside) && netaddr_parse(STR("127.0.0.1"), 0, &outside));
	assert_true(settings_networks_have(&v->trusted, &inside));
	assert_false(settings_networks_have(&v->trusted, &outside));
	settings_unref(&s);
}

// A value that quotes its next lines, because a quotation mark is missing, is still one error on one line.
static void an_error_is_one_line_whatever_it_quotes(void **state)
{
	(void)state;
	assert_report("recipients_max = \"5\nhostname = mx\n\"\n",
		"conf:1: hostname: is not set; Say what.\n"
		"conf:3: recipients_max: \"5 hostname = mx \" has an unknown unit; write digits only\n");
}

static void every_error_is_reported_at_once_with_its_place(void **state)
{
	(void)state;
	assert_report("recipients_max = many\n"
		      "\n"
		      "hostnme = mx\n"
		      "newline = maybe\n"
		      "tls {\n"
		      "  certifcate = {\"/x\"}\n"
		      "}\n"
		      "relayhost = \"relay.example\"\n"
		      "zzz = 1\n"
		      "trusted = {\"10.0.0.0/33\"}\n"
		      "size_max = 2G\n",
		"conf:3: hostnme: unknown setting; did you mean hostname?\n"
		"conf:6: tls_certifcate: unknown setting; did you mean tls_certificate?\n"
		"conf:9: zzz: unknown setting; remove it (posthouse.conf(5) lists all)\n"
		"conf:1: hostname: is not set; Say what.\n"
		"conf:1: recipients_max: \"many\" is not a number; write digits only\n"
		"conf:11: size_max: 2147483648 is out of range; use 1 to 1073741824 bytes\n"
		"conf:4: newline: \"maybe\" is not a choice; use one of reject|normalize\n"
		"conf:8: relayhost: \"relay.example\" has no port; write host:port, for example relay.example.org:25\n"
		"conf:10: trusted: \"10.0.0.0/33\" is not a network; write 192.0.2.0/24, 2001:db8::/32 or one address (no bits beyond the length)\n");
}

// libconfuse counts the lines of a comment more than once, and knows none in a list.
static void comments_move_no_place_and_stand_anywhere(void **state)
{
	struct settings_snapshot *s;
	(void)state;
	assert_report("# one \"\n// two '\n/* three \"\n four */ hostname = mx # five\n   # six\nrecipients_max = 0 // seven\nzzz = 1 /* eight */\n",
		"conf:7: zzz: unknown setting; remove it (posthouse.conf(5) lists all)\n"
		"conf:6: recipients_max: 0 is out of range; use 1 to 1000\n");
	const struct values *v = load_good("serves = {\"a#b\", # the first, \"\n  // the second\n'c//d\\'#', /* and */ e//f, \"g\\\"/*\"}#\nhostname = mx#y\n", &s);
	assert_int_equal(v->serves.n, 4);
	assert_true(str_eq(v->serves.v[0], STR("a#b")));
	assert_true(str_eq(v->serves.v[1], STR("c//d'#")));
	assert_true(str_eq(v->serves.v[2], STR("e//f")));
	assert_true(str_eq(v->serves.v[3], STR("g\"/*")));
	assert_true(str_eq(v->hostname, STR("mx")));
	settings_unref(&s);
}

static void a_setting_is_set_once(void **state)
{
	(void)state;
	char *said;
	assert_null(load("hostname = mx\nhostname = my\ntls_certificate = {\"/a\"}\ntls { certificate = {\"/b\"} }\n", &said));
	assert_non_null(strstr(said, "conf:2: hostname: is set already at "));
	const char *list = strstr(said, "conf:4: tls_certificate: is set already at ");
	assert_non_null(list);
	assert_null(strstr(strchr(list, '\n'), "tls_certificate")); // once for a list too, of which libconfuse tells twice
	free(said);
	assert_null(load("hostname = mx\nserves = {\"a\", \n", &said));
	assert_non_null(strstr(said, "syntax: premature end of file"));
	free(said);
}

static void rules_between_settings_name_the_place(void **state)
{
	(void)state;
	assert_report("hostname = mx\ncommit_timeout_ms = 100\nrecipients_max = 101\n",
		"conf:3: recipients_max: is above commit_timeout_ms; lower it\n");
}

static void includes_are_relative_and_keep_their_places(void **state)
{
	(void)state;
	struct settings_snapshot *s;
	put("more", "hostname = mx\ninclude(\"most\")\n");
	put("most", "recipients_max = 7\n");
	assert_int_equal(load_good("include(\"more\")\nloud = yes\n", &s)->recipients_max, 7);
	settings_unref(&s);
	put("most", "\nrecipients_max = 0\ninclude(\"conf\")\n");
	assert_report("include(\"more\")\ninclude(\"gone\")\n",
		"gone:1: include: cannot open it: No such file or directory\n"
		"most:3: include: this file was read already; include it once\n"
		"most:2: recipients_max: 0 is out of range; use 1 to 1000\n");
}

static void a_file_that_is_missing_is_said(void **state)
{
	(void)state;
	struct settings_report report;
	settings_report_init(&report);
	struct settings_snapshot *snapshot = NULL;
	assert_int_equal(settings_load(&table, path_of("nothing"), &report, &snapshot), ERR_NOTFOUND);
	assert_null(snapshot);
	assert_int_equal(report.errors, 1);
	settings_report_fini(&report);
}

static void what_is_printed_is_read_back(void **state)
{
	(void)state;
	struct settings_snapshot *a, *b;
	const struct values *v = load_good("hostname = \"m\\\"x\"\nsize_max = 3M\nlifetime_s = 2h\nnewline = normalize\nserves = {\"x y\"}\n"
		"relayhost = \"relay.example:26\"\nlisten_smtp = {\"[::1]:25\"}\n", &a);
	struct buf text;
	buf_init(&text, 1 << 16);
	for (size_t i = 0; i < table.n; i++)
		if (rows[i].section == NULL) {
			buf_printf(&text, "%s = ", rows[i].name);
			settings_print_value(&rows[i], v, &text);
			buf_add_byte(&text, '\n');
		}
	const struct values *w = load_good(buf_c(&text), &b);
	struct buf names;
	buf_init(&names, 1 << 12);
	settings_start_only_changes(&table, v, w, &names);
	assert_int_equal(names.n, 0);
	assert_int_equal(w->lifetime_s, 7200);
	assert_string_equal(w->hostname.p, "m\"x");
	settings_unref(&b);
	w = load_good("hostname = other\nrecipients_max = 9\n", &b);
	settings_start_only_changes(&table, v, w, &names);
	assert_string_equal(buf_c(&names), "hostname\nlisten_smtp\n");
	settings_unref(&a);
	settings_unref(&b);
	buf_fini(&names);
	buf_fini(&text);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path_of("conf"));
	unlink(path_of("more"));
	unlink(path_of("most"));
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_hold_where_the_file_is_silent),
		cmocka_unit_test(every_type_is_read),
		cmocka_unit_test(an_error_is_one_line_whatever_it_quotes),
		cmocka_unit_test(every_error_is_reported_at_once_with_its_place),
		cmocka_unit_test(comments_move_no_place_and_stand_anywhere),
		cmocka_unit_test(a_setting_is_set_once),
		cmocka_unit_test(rules_between_settings_name_the_place),
		cmocka_unit_test(includes_are_relative_and_keep_their_places),
		cmocka_unit_test(a_file_that_is_missing_is_said),
		cmocka_unit_test(what_is_printed_is_read_back),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
