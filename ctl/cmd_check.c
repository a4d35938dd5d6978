// SPDX-License-Identifier: Apache-2.0
// posthouse check: the settings, and what they name, without starting anything.
//
// Everything wrong is said at once, each as FILE:LINE: setting: what; what to do. A check is a row: it gets settings that are
// right each for itself and complains with settings_complain(). What is no error but surely not meant is said by
// settings_warn_at(), and check says ok all the same.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"
#include "base/sandbox.h"
#include "as_user.h"
#include "ctl.h"
#include "layout.h"
#include "ldapsync/check_ldap.h"
#include "ldapsync/check_ldif.h"
#include "ldapsync/directory.h"
#include "ldapsync/password_file.h"
#include "mail/access_rule.h"
#include "router/rules_load.h"
#include "schema/settings_tls.h"

static void check_users(const struct settings *s, struct settings_report *report)
{
	const struct {
		const char *setting;
		struct str name;
	} users[] = {{"mta_user", s->mta_user}, {"popimap_user", s->popimap_user}, {"ldapsync_user", s->ldapsync_user}},
	  groups[] = {{"group", s->group}, {"auth_group", s->group.n ? s->auth_group : STR_NONE}};
	for (size_t i = 0; i < sizeof users / sizeof *users; i++)
		if (users[i].name.n > 0 && getpwnam(users[i].name.p) == NULL)
			settings_complain(report, users[i].setting, "there is no user %s; make it, or name another",
				users[i].name.p);
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
		if (groups[i].name.n > 0 && getgrnam(groups[i].name.p) == NULL)
			settings_complain(report, groups[i].setting, "there is no group %s; make it, or name another",
				groups[i].name.p);
}

static void check_sandbox(const struct settings *s, struct settings_report *report)
{
	if (s->sandbox == SETTINGS_SANDBOX_OPTIONAL)
		return;
	if (sandbox_landlock_version() == 0)
		settings_complain(report, "sandbox",
			"this kernel has no Landlock; add landlock to its lsm= parameter, or set sandbox = optional");
	if (!sandbox_has_seccomp())
		settings_complain(report, "sandbox",
			"this kernel has no seccomp filters; use another, or set sandbox = optional");
}

static void check_file(const char *setting, struct str path, struct settings_report *report)
{
	if (path.n > 0 && access(path.p, R_OK) < 0)
		settings_complain(report, setting, "cannot read %s: %s; name a file that exists, or correct its mode", path.p,
			strerror(errno));
}

static void check_tls(const struct settings *s, struct settings_report *report)
{
	check_file("tls_ca_file",
		s->relayhost_tls == SETTINGS_RELAYHOST_TLS_VERIFY && s->relayhost.host.n ? s->tls_ca_file : STR_NONE, report);
	for (size_t i = 0; i < s->tls_certificate.n; i++) {
		struct tls_files files = {.cert_path = s->tls_certificate.v[i].p, .key_path = s->tls_key.v[i].p};
		struct tls_server *server;
		struct err err;
		if (tls_server_new(&(struct tls_server_config){.files = &files, .n = 1}, &server, &err))
			settings_complain(report, "tls_certificate", "%s; name a PEM certificate and, in tls_key, its key",
				err.text);
		else
			tls_server_drop(&server);
	}
	struct tls_client *client;
	struct err err;
	if (settings_tls_node_client(s, &client, &err))
		settings_complain(report, "node_certificate", "%s; name a PEM certificate and, in node_key, its key", err.text);
	else
		tls_client_drop(&client);
}

// --- Rows of the access table about certificates that nobody is asked for ---

// As stored (mail/access_rule.h).
static const struct str certificate_tags[] = {STR("certissuer:"), STR("certsubject:"), STR("certname:")};

#define CERTIFICATE_UNASKED \
	"has no effect, for no client is asked for its certificate; set smtp_client_certificate = ask, or remove the row"

static bool asks_for_certificates(const struct settings *s)
{
	return s->smtp_client_certificate == SETTINGS_SMTP_CLIENT_CERTIFICATE_ASK;
}

static void warn_certificate_row(void *context, struct str file, size_t line, struct str key)
{
	struct buf path;
	char name[200];
	buf_init(&path, file.n + 1);
	buf_add(&path, file);
	snprintf(name, sizeof name, "%.*s", (int)(key.n < 150 ? key.n : 150), key.p);
	settings_warn_at(context, buf_c(&path), (int)line, name, CERTIFICATE_UNASKED);
	buf_fini(&path);
}

static void check_certificate_rows(const struct settings *s, const struct rules *rules, struct settings_report *report)
{
	for (size_t i = 0; rules && !asks_for_certificates(s) && i < sizeof certificate_tags / sizeof *certificate_tags; i++)
		rules_each(rules, RULES_ACCESS, certificate_tags[i], warn_certificate_row, report);
}

// Where a complaint about the directory goes.
struct directory_report {
	struct settings_report *report;
	const char *file;
};

static void warn_certificate_entry(void *context, size_t line, const struct entry *entry)
{
	const struct directory_report *directory = context;
	struct entry_cursor cursor = {0};
	struct str key;
	char text[1024];
	bool found = false;
	while (!found && (entry->classes & ENTRY_ACCESS) && entry_next(entry, ATTR_PH_ACCESS_KEY, &cursor, &key))
		for (size_t i = 0; i < sizeof certificate_tags / sizeof *certificate_tags; i++)
			found |= str_starts_nocase(key, certificate_tags[i]);
	if (!found)
		return;
	snprintf(text, sizeof text, "%s (entry \"%.*s\")", CERTIFICATE_UNASKED, (int)(entry->dn.n < 500 ? entry->dn.n : 500),
		entry->dn.p);
	settings_warn_at(directory->report, directory->file, (int)line, "phAccessKey", text);
}

// --- The directory and the tables ---

static void complain_directory(void *context, size_t line, struct str dn, struct str attribute, const char *what)
{
	const struct directory_report *directory = context;
	char name[64], text[1024];
	snprintf(name, sizeof name, "%.*s", (int)(attribute.n ? attribute.n : 2), attribute.n ? attribute.p : "dn");
	snprintf(text, sizeof text, "%s; correct the entry \"%.*s\"", what, (int)(dn.n < 500 ? dn.n : 500), dn.p);
	settings_complain_at(directory->report, directory->file, (int)line, name, text);
}

static void check_ldap_settings(const struct settings *s, struct settings_report *report)
{
	struct err err;
	struct buf password;
	if (!directory_is_dn(s->ldap_base))
		settings_complain(report, "ldap_base",
			"\"%.*s\" is no name of an entry (DN); write it as the server does, such as dc=uni,dc=example",
			STR_FMT(s->ldap_base));
	buf_init(&password, PASSWORD_FILE_BYTES_MAX);
	if (s->ldap_password_file.n && password_file_read(s->ldap_password_file.p, &password, &err))
		settings_complain(report, "ldap_password_file", "%s; correct that file, or name another", err.text);
	buf_fini(&password);
	for (size_t i = 0; i < s->ldap_uri.n; i++) {
		struct settings_ldap_server server;
		must(settings_ldap_server(s->ldap_uri.v[i], &server)); // the rules between settings have seen it
		if (server.kind != SETTINGS_LDAP_LOCAL &&
			(server.kind == SETTINGS_LDAP_TLS || settings_ldap_wants_starttls(s, &server)))
			check_file(s->ldap_ca_file.n ? "ldap_ca_file" : "tls_ca_file", settings_ldap_ca_file(s), report);
	}
	check_file("ldap_certificate", s->ldap_certificate, report);
	check_file("ldap_key", s->ldap_key, report);
	check_file("ldap_keytab", s->ldap_keytab, report);
}

static void check_directory(const struct settings *s, struct settings_report *report)
{
	if (s->ldap_uri.n > 0) {
		check_ldap_settings(s, report);
		return;
	}
	if (s->shadow_ldif.n == 0) {
		settings_complain(report, "shadow_ldif",
			"is not set and ldap_uri neither, so there are no users and no domains; name an LDIF file, or LDAP "
			"servers");
		return;
	}
	struct directory_report directory = {report, s->shadow_ldif.p};
	struct err err;
	struct profile *profile = profile_new(s->ldap_profile, &s->ldap_map);
	if (check_ldif(s->shadow_ldif.p, profile, complain_directory, asks_for_certificates(s) ? NULL : warn_certificate_entry,
		    &directory, &err))
		settings_complain(report, "shadow_ldif", "%s; correct that file, or name another", err.text);
	profile_free(&profile);
}

// --- What the daemons will read as their users ---

// Files for a question as a user; the answer has "INDEX REASON\n" for each that cannot be read.
struct files {
	struct file {
		const char *setting;
		struct str path;
	} *v; // owned
	size_t n, room;
};

static void add_file(struct files *files, const char *setting, struct str path)
{
	if (path.n == 0)
		return;
	if (files->n == files->room) {
		files->room = files->room ? 2 * files->room : 16;
		files->v = reallocarray(files->v, files->room, sizeof *files->v);
		must(files->v != NULL);
	}
	files->v[files->n++] = (struct file){setting, path};
}

static void add_list(struct files *files, const char *setting, const struct settings_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		add_file(files, setting, list->v[i]);
}

static void read_files(void *context, struct buf *answer)
{
	const struct files *files = context;
	for (size_t i = 0; i < files->n; i++) {
		int fd = open(files->v[i].path.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0)
			buf_printf(answer, "%zu %s\n", i, strerror(errno));
		else
			close(fd);
	}
}

// Of users that are there, asked by root alone: another user cannot know.
static void check_as(struct str user, const struct files *files, bool at_start, struct settings_report *report)
{
	struct buf answer;
	struct str rest, line, number, why;
	struct err err;
	uint64_t i;
	if (user.n == 0 || getpwnam(user.p) == NULL || geteuid() != 0)
		return;
	buf_init(&answer, AS_USER_ANSWER_BYTES_MAX);
	if (as_user(user.p, read_files, (void *)(uintptr_t)files, &answer, &err))
		fprintf(stderr, "posthouse: %s\n", err.text);
	for (rest = buf_str(&answer); str_next_line(&rest, &line);) {
		if (!str_cut(line, ' ', &number, &why) || !str_to_u64(number, files->n - 1, &i))
			continue;
		const char *path = files->v[i].path.p;
		char text[1024];
		snprintf(text, sizeof text, "%.400s cannot be read by %s, who reads it %s: %.*s; give it to a group of that user, and all folders above "
			 "it", path, user.p, at_start ? "at the start" : "at a reload, which then keeps the old one", STR_FMT(why));
		if (at_start)
			settings_complain(report, files->v[i].setting, "%s", text);
		else
			settings_warn(report, files->v[i].setting, text);
	}
	buf_fini(&answer);
}

static void check_mail_files(const struct settings *s, struct files *files, struct settings_report *report)
{
	add_list(files, "tls_certificate", &s->tls_certificate);
	add_list(files, "tls_key", &s->tls_key);
	add_file(files, "node_certificate", s->node_certificate);
	add_file(files, "node_key", s->node_key);
	check_as(s->popimap_user, files, false, report);
	add_file(files, "routes_file", s->routes_file);
	add_file(files, "access_file", s->access_file);
	check_as(s->mta_user, files, false, report);
}

static void check_directory_files(const struct settings *s, struct files *files, struct settings_report *report)
{
	if (s->ldap_uri.n == 0) {
		add_file(files, "shadow_ldif", s->shadow_ldif);
	} else {
		add_file(files, "ldap_password_file", s->ldap_password_file);
		add_file(files, "ldap_ca_file", s->ldap_ca_file);
		add_file(files, "ldap_certificate", s->ldap_certificate);
		add_file(files, "ldap_key", s->ldap_key);
		add_file(files, "ldap_keytab", s->ldap_keytab);
	}
	check_as(s->ldapsync_user, files, true, report);
}

static void check_readers(const struct settings *s, struct settings_report *report)
{
	struct files mail = {.n = 0}, directory = {.n = 0};
	check_mail_files(s, &mail, report);
	check_directory_files(s, &directory, report);
	free(mail.v);
	free(directory.v);
}

static void complain_row(void *context, struct str file, size_t line, struct str key, const char *what)
{
	struct buf path;
	char name[200], text[1024];
	buf_init(&path, file.n + 1);
	buf_add(&path, file);
	snprintf(name, sizeof name, "%.*s", (int)(key.n < 150 ? key.n : 150), key.p);
	snprintf(text, sizeof text, "%s; correct the row", what);
	settings_complain_at(context, buf_c(&path), (int)line, name, text);
	buf_fini(&path);
}

// Once for each tag: such tables have many.
struct idle {
	struct settings_report *report;
	struct buf said; // the tags, each with its colon
};

static void warn_idle_row(void *context, struct str file, size_t line, struct str key)
{
	struct idle *idle = context;
	struct str tag;
	const char *instead;
	struct buf path;
	char name[64], text[256];
	if (access_rule_tag(key, &tag, &instead) != ACCESS_RULE_TAG_IDLE)
		return;
	snprintf(name, sizeof name, "%.*s:", STR_FMT(tag));
	if (str_find(buf_str(&idle->said), str_of_c(name)) >= 0)
		return;
	buf_add_c(&idle->said, name);
	snprintf(text, sizeof text, "has no effect, and neither have other rows with this tag: %s; they may stay", instead);
	buf_init(&path, file.n + 1);
	buf_add(&path, file);
	settings_warn_at(idle->report, buf_c(&path), (int)line, name, text);
	buf_fini(&path);
}

static void check_idle_rows(const struct rules *rules, struct settings_report *report)
{
	struct idle idle = {.report = report};
	if (rules == NULL)
		return;
	buf_init(&idle.said, 1024);
	rules_each(rules, RULES_ACCESS, STR(RULES_IDLE), warn_idle_row, &idle);
	buf_fini(&idle.said);
}

static void check_tables(const struct settings *s, struct settings_report *report)
{
	struct rules *rules = NULL;
	struct err err;
	size_t before = report->errors;
	if (rules_load(s, complain_row, report, &rules, &err) && report->errors == before)
		settings_complain(report, s->routes_file.n ? "routes_file" : "access_file",
			"%s; name a file that can be read, or none", err.text);
	check_certificate_rows(s, rules, report);
	check_idle_rows(rules, report);
	rules_drop(&rules);
}

static void check_settings_and_tables(const void *values, struct settings_report *report)
{
	settings_table.check(values, report);
	if (report->errors == 0)
		check_tables(values, report);
}

bool ctl_tables_are_good(struct ctl *ctl)
{
	struct settings_table table = settings_table;
	table.check = check_settings_and_tables;
	struct settings_report report;
	struct settings_snapshot *snapshot = NULL;
	settings_report_init(&report);
	bool good = settings_load(&table, ctl->path, &report, &snapshot) == ERR_OK;
	if (!good)
		fputs(buf_c(&report.lines), stderr);
	settings_report_fini(&report);
	settings_unref(&snapshot);
	return good;
}

// --- The servers of the directory ---

// "SETTING\tSERVER: WHAT\n", behind "!" when it is a warning.
static void note_server(void *context, struct str server, const char *setting, const char *what, bool is_warning)
{
	buf_printf(context, "%s%s\t%.*s: %s\n", is_warning ? "!" : "", setting, STR_FMT(server), what);
}

static void ask_servers(void *context, struct buf *answer)
{
	check_ldap(context, note_server, answer);
}

// As ldapsync would: with its rights where we may, for its files are its own.
static void check_servers(const struct settings *s, struct settings_report *report)
{
	struct buf answer;
	struct str rest, line, name, what;
	struct err err;
	bool as_ldapsync = geteuid() == 0 && s->ldapsync_user.n && getpwnam(s->ldapsync_user.p);
	buf_init(&answer, AS_USER_ANSWER_BYTES_MAX);
	if (!as_ldapsync)
		ask_servers((void *)(uintptr_t)s, &answer);
	else if (as_user(s->ldapsync_user.p, ask_servers, (void *)(uintptr_t)s, &answer, &err))
		settings_complain(report, "ldap_uri", "%s", err.text);
	for (rest = buf_str(&answer); str_next_line(&rest, &line);) {
		bool is_warning = str_starts(line, STR("!"));
		char setting[64], text[1024];
		if (!str_cut(str_from(line, is_warning), '\t', &name, &what) || !str_to_c(name, setting, sizeof setting))
			continue;
		snprintf(text, sizeof text, "%.*s", STR_FMT(what));
		if (is_warning)
			settings_warn(report, setting, text);
		else
			settings_complain(report, setting, "%s", text);
	}
	buf_fini(&answer);
}

static void (*const checks[])(const struct settings *, struct settings_report *) = {
	check_users, check_sandbox, check_tls, check_tables, check_directory, check_readers,
};

static void check_all(const void *values, struct settings_report *report)
{
	settings_table.check(values, report);
	bool consistent = report->errors == 0; // only then do certificates and keys belong together
	for (size_t i = 0; consistent && i < sizeof checks / sizeof *checks; i++)
		checks[i](values, report);
}

static void check_all_and_servers(const void *values, struct settings_report *report)
{
	check_all(values, report);
	if (report->errors == 0)
		check_servers(values, report);
}

int cmd_check(struct ctl *ctl)
{
	struct settings_table table = settings_table;
	table.check = ctl_option(ctl, "--connect") ? check_all_and_servers : check_all;
	struct settings_report report;
	settings_report_init(&report);
	enum err_code code = settings_load(&table, ctl->path, &report, &ctl->snapshot);
	fputs(buf_c(&report.lines), stdout);
	fputs(code ? "" : "ok\n", stdout);
	struct err err;
	const struct settings *settings = code ? NULL : settings_of(ctl->snapshot);
	if (geteuid() != 0 && (settings == NULL || layout_may(settings, &err)))
		fprintf(stderr, "posthouse: this is what you may read; as root it is what the daemons will meet\n");
	settings_report_fini(&report);
	return code ? ctl_settings_wrong(ctl) : CTL_YES;
}
