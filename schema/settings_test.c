// SPDX-License-Identifier: Apache-2.0
// The table of settings: every default is valid, the rules between settings hold, names are fit for the file.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "schema/settings.h"

// Loads a file with that text; the report is given without the file's name.
static struct settings_snapshot *load(const char *text, char report_out[2000])
{
	char path[] = "/tmp/schema_settings.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	struct settings_report report;
	settings_report_init(&report);
	struct settings_snapshot *snapshot = NULL;
	enum err_code code = settings_load(&settings_table, path, &report, &snapshot);
	assert_true((code == ERR_OK) == (report.errors == 0));
	snprintf(report_out, 2000, "%s", buf_c(&report.lines));
	settings_report_fini(&report);
	unlink(path);
	return snapshot;
}

static void the_smallest_file_is_good(void **state)
{
	(void)state;
	char report[2000];
	struct settings_snapshot *snapshot = load("hostname = mx.uni.example\ntls_certificate = /c.pem\ntls_key = /k.pem\n", report);
	assert_string_equal(report, "");
	const struct settings *s = settings_of(snapshot);
	assert_int_equal(s->smtp_bare_newline, SETTINGS_BARE_NEWLINE_REJECT);
	assert_int_equal(s->auth_plaintext, SETTINGS_AUTH_PLAINTEXT_NEVER);
	assert_int_equal(s->relayhost_tls, SETTINGS_RELAYHOST_TLS_MAY);
	assert_int_equal(s->queue_lifetime_s, 432000);
	assert_int_equal(s->sandbox, SETTINGS_SANDBOX_REQUIRED);
	struct arena *arena = arena_new(1 << 16);
	assert_string_equal(settings_data_path(s, arena, "queue").p, "/var/lib/posthouse/queue");
	arena_free(&arena);
	settings_unref(&snapshot);
	snapshot = load("hostname = mx.uni.example\ntls { certificate = /c.pem\nkey = /k.pem }\nserves = {\"a.example\", \"b.example\"}\n", report);
	assert_string_equal(report, "");
	settings_unref(&snapshot);
}

static void rules_between_settings_are_checked(void **state)
{
	(void)state;
	const struct {
		const char *text, *says;
	} cases[] = {
		{"tls_certificate = /c.pem\n", "tls_key: 1 certificates but 0 keys"},
		{"retry_min_s = 2h\nretry_max_s = 1h\n", "retry_min_s: is above retry_max_s"},
		{"delivered_key_days = 6\n", "delivered_key_days: is below"},
		{"queue_bounce_lifetime_s = 6d\n", "queue_bounce_lifetime_s: is above"},
		{"relay_networks = {\"192.0.2.0/24\", \"0.0.0.0/0\"}\n", "relay_networks: has a network with a prefix shorter than 8 bits"},
		{"relay_networks = \"::/1\"\n", "relay_networks: has a network with a prefix shorter than 8 bits"},
		{"relay_certificates = \"sha1:00\"\n", "relay_certificates: has \"sha1:00\", which is not sha256:"},
		{"listen_smtp = {}\n", "tls_certificate: is empty but"},
		{"ldap_uri = \"ldap://127.0.0.1\"\nldap_base = \"dc=uni\"\nshadow_ldif = /x.ldif\n", "shadow_ldif: is set and ldap_uri too"},
		{"ldap_uri = \"ldap://127.0.0.1\"\n", "ldap_base: is not set"},
		{"ldap_uri = \"http://127.0.0.1\"\n", "ldap_uri: http://127.0.0.1 is no LDAP server"},
		{"ldap_uri = \"ldap://h/dc=uni\"\n", "ldap_uri: ldap://h/dc=uni is no LDAP server"},
		{"ldap_uri = \"ldap://h:99999\"\n", "ldap_uri: ldap://h:99999 is no LDAP server"},
		{"ldap_uri = \"ldaps://localhost\"\n", "ldap_uri: localhost is taken"},
		{"ldap_uri = {\"ldap://127.0.0.1\", \"ldap://h.example:389/\"}\nldap_starttls = never\n",
			"ldap_starttls: is never, so the password would go to h.example in the clear"},
		{"ldap_uri = \"ldap://h.example\"\nldap_bind = external\n", "ldap_bind: is external, and ldap://h.example"},
		{"ldap_uri = \"ldap://127.0.0.1\"\nldap_bind_dn = \"cn=x\"\n", "ldap_password_file: is not set"},
		{"ldap_uri = \"ldap://127.0.0.1\"\nldap_filter = \"mail=*\"\n", "ldap_filter: is no filter"},
		{"ldap_map = {\"a = phStaus\", \"b = phStatus: x=actve\"}\n", "2: ldap_map: \"a = phStaus\": phStaus is no attribute of ours"},
		{"\nldap_map = {\"a = phStaus\", \"b = phStatus: x=actve\"}\n", "3: ldap_map: \"b = phStatus: x=actve\": actve is no phStatus"},
		{"ldap_profile = exchange\n", "ldap_profile"},
		{"ldap_uri = \"ldap://127.0.0.1\"\nldap_driver = poll\nldap_poll_interval_s = 30\n",
			"ldap_poll_interval_s: is not under fresh_s (30)"},
		{"ldap_uri = \"ldap://127.0.0.1\"\nldap_change_attribute = \"a>=1)(b\"\n", "ldap_change_attribute: is no name"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[500], report[2000];
		snprintf(text, sizeof text, "hostname = mx\n%s", cases[i].text);
		assert_null(load(text, report));
		if (strstr(report, cases[i].says) == NULL)
			fail_msg("%s says %s", cases[i].text, report);
	}
}

static void starttls_is_left_out_on_loopback_alone(void **state)
{
	(void)state;
	const struct {
		const char *uri, *host;
		enum settings_ldap_kind kind;
		bool starttls;
	} cases[] = {
		{"ldap://127.0.0.1:389", "127.0.0.1", SETTINGS_LDAP_PLAIN, false},
		{"LDAP://[::1]:389/", "::1", SETTINGS_LDAP_PLAIN, false},
		{"ldap://[2001:db8::1]", "2001:db8::1", SETTINGS_LDAP_PLAIN, true},
		{"ldap://localhost", "localhost", SETTINGS_LDAP_PLAIN, true}, // whatever a resolver makes of it
		{"ldap://ldap1.uni.example", "ldap1.uni.example", SETTINGS_LDAP_PLAIN, true},
		{"ldapi://%2Frun%2Fslapd%2Fldapi", "%2Frun%2Fslapd%2Fldapi", SETTINGS_LDAP_LOCAL, false},
		{"ldaps://h:636", "h", SETTINGS_LDAP_TLS, true},
	};
	const struct settings settings = {.ldap_starttls = SETTINGS_LDAP_STARTTLS_REMOTE};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct settings_ldap_server server;
		assert_true(settings_ldap_server(str_of_c(cases[i].uri), &server));
		assert_true(str_eq(server.host, str_of_c(cases[i].host)));
		assert_int_equal(server.kind, cases[i].kind);
		assert_int_equal(settings_ldap_wants_starttls(&settings, &server), cases[i].starttls);
	}
}

static void every_row_has_prose_and_a_usable_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < settings_table.n; i++) {
		const struct settings_row *row = &settings_table.rows[i];
		assert_true(strlen(row->prose) > 0);
		if (row->section != NULL)
			continue;
		for (const char *c = row->name; *c; c++)
			assert_true((*c >= 'a' && *c <= 'z') || *c == '_' || (*c >= '0' && *c <= '9'));
		assert_true(row->prose[strlen(row->prose) - 1] == '.');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_file_is_good),
		cmocka_unit_test(rules_between_settings_are_checked),
		cmocka_unit_test(starttls_is_left_out_on_loopback_alone),
		cmocka_unit_test(every_row_has_prose_and_a_usable_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
