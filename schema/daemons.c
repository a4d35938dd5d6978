// SPDX-License-Identifier: Apache-2.0
// The daemons: names, sockets, and the one table of what each may do.
#include "schema/daemons.h"

#include <pwd.h>
#include <stddef.h>
#include <unistd.h>

#include "base/must.h"

enum { RULES_MAX = 128 };

static const char *const names[DAEMONS_N] = {
	[DAEMONS_LDAPSYNC] = "ldapsync",
	[DAEMONS_MTA] = "mta",
	[DAEMONS_POPIMAP] = "popimap",
};

const struct daemons_socket daemons_sockets[] = {
	{DAEMONS_MTA, "smtp", offsetof(struct settings, listen_smtp)},
	{DAEMONS_MTA, "submission", offsetof(struct settings, listen_submission)},
	{DAEMONS_MTA, "submissions", offsetof(struct settings, listen_submissions)},
	{DAEMONS_POPIMAP, "lmtp", offsetof(struct settings, listen_lmtp)},
	{DAEMONS_POPIMAP, "imap", offsetof(struct settings, listen_imap)},
	{DAEMONS_POPIMAP, "imaps", offsetof(struct settings, listen_imaps)},
	{DAEMONS_POPIMAP, "pop3", offsetof(struct settings, listen_pop3)},
	{DAEMONS_POPIMAP, "pop3s", offsetof(struct settings, listen_pop3s)},
};
const size_t daemons_sockets_n = sizeof daemons_sockets / sizeof *daemons_sockets;

// Which path a rule means.
enum place {
	BELOW_DATA,   // data_dir/PATH
	FOLDER_OF_LDIF, // where shadow_ldif stands: it is replaced by a rename
	LDAP_FILES,   // password, CAs, certificate and Kerberos' files, when the directory is over LDAP
	LDAP_SERVERS, // nothing but the network, when a server of ldap_uri is there
	TABLE_FILES,  // folders of routes_file and access_file, read again on reload
	NODE_FILES,   // certificates, keys and CAs of the settings, read again on reload
	NOWHERE,
};

// What each daemon may do after its start, on top of what all may (base/sandbox.c) and of reading the folder of the settings'
// file. Readers of a shadow need write access to the folder: SQLite maps the -shm file of a WAL for writing. The modes of the
// files (FORMATS.md section 3) keep them from changing the data.
static const struct may {
	enum daemons_id daemon;
	enum sandbox_permission permission;
	enum place place;
	const char *path;
} may[] = {
	{DAEMONS_LDAPSYNC, SANDBOX_READ_WRITE, BELOW_DATA, "shadow"},
	{DAEMONS_LDAPSYNC, SANDBOX_READ_WRITE, BELOW_DATA, "credentials"},
	{DAEMONS_LDAPSYNC, SANDBOX_READ, FOLDER_OF_LDIF, NULL},
	{DAEMONS_LDAPSYNC, SANDBOX_READ, LDAP_FILES, NULL},
	{DAEMONS_LDAPSYNC, SANDBOX_NETWORK, LDAP_SERVERS, NULL},

	{DAEMONS_MTA, SANDBOX_READ_WRITE, BELOW_DATA, "queue"},
	{DAEMONS_MTA, SANDBOX_READ_WRITE, BELOW_DATA, "shadow"},
	{DAEMONS_MTA, SANDBOX_READ_WRITE, BELOW_DATA, "credentials"},
	{DAEMONS_MTA, SANDBOX_READ, NODE_FILES, NULL},
	{DAEMONS_MTA, SANDBOX_READ, TABLE_FILES, NULL},
	{DAEMONS_MTA, SANDBOX_NETWORK, NOWHERE, NULL},

	{DAEMONS_POPIMAP, SANDBOX_READ_WRITE, BELOW_DATA, "mailboxes"},
	{DAEMONS_POPIMAP, SANDBOX_READ_WRITE, BELOW_DATA, "shadow"},
	{DAEMONS_POPIMAP, SANDBOX_READ_WRITE, BELOW_DATA, "credentials"},
	{DAEMONS_POPIMAP, SANDBOX_READ, NODE_FILES, NULL},
	{DAEMONS_POPIMAP, SANDBOX_NETWORK, NOWHERE, NULL},
};

// A table of rules in the making.
struct rules {
	struct sandbox_rule *v;
	size_t n;
};

static void add(struct rules *rules, enum sandbox_permission permission, const char *path)
{
	must(rules->n < RULES_MAX - 1);
	rules->v[rules->n++] = (struct sandbox_rule){permission, path};
}

static void add_set(struct rules *rules, enum sandbox_permission permission, struct str path)
{
	if (path.n > 0)
		add(rules, permission, path.p);
}

static struct str folder_of(struct arena *arena, struct str path)
{
	ptrdiff_t slash = str_rindex(path, '/');
	return slash > 0 ? arena_dup(arena, str_upto(path, (size_t)slash)) : STR_NONE;
}

static void add_ldap_files(struct rules *rules, const struct settings *s, struct arena *arena, enum sandbox_permission permission)
{
	const struct str files[] = {
		s->ldap_password_file, settings_ldap_ca_file(s), s->ldap_certificate, s->ldap_key, s->ldap_keytab};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		add_set(rules, permission, folder_of(arena, files[i]));
	if (s->ldap_bind == SETTINGS_LDAP_BIND_GSSAPI) {
		static const char *const kerberos[] = {"/etc/krb5.conf", "/etc/krb5.conf.d", "/etc/krb5.keytab", "/etc/gss"};
		for (size_t i = 0; i < sizeof kerberos / sizeof *kerberos; i++)
			add(rules, permission, kerberos[i]);
	}
}

// A Unix socket needs no network.
static bool has_ldap_server_elsewhere(const struct settings *s)
{
	struct settings_ldap_server server;
	for (size_t i = 0; i < s->ldap_uri.n; i++)
		if (settings_ldap_server(s->ldap_uri.v[i], &server) && server.kind != SETTINGS_LDAP_LOCAL)
			return true;
	return false;
}

static void add_rule(struct rules *rules, const struct settings *s, struct arena *arena, const struct may *row)
{
	switch (row->place) {
	case BELOW_DATA:
		add_set(rules, row->permission, settings_data_path(s, arena, row->path));
		return;
	case FOLDER_OF_LDIF:
		add_set(rules, row->permission, folder_of(arena, s->shadow_ldif));
		return;
	case LDAP_FILES:
		if (s->ldap_uri.n > 0)
			add_ldap_files(rules, s, arena, row->permission);
		return;
	case LDAP_SERVERS:
		if (has_ldap_server_elsewhere(s))
			add(rules, row->permission, NULL);
		return;
	case TABLE_FILES:
		add_set(rules, row->permission, folder_of(arena, s->routes_file));
		add_set(rules, row->permission, folder_of(arena, s->access_file));
		return;
	case NODE_FILES:
		for (size_t i = 0; i < s->tls_certificate.n; i++)
			add_set(rules, row->permission, folder_of(arena, s->tls_certificate.v[i]));
		for (size_t i = 0; i < s->tls_key.n; i++)
			add_set(rules, row->permission, folder_of(arena, s->tls_key.v[i]));
		add_set(rules, row->permission, folder_of(arena, s->tls_ca_file));
		add_set(rules, row->permission, folder_of(arena, s->node_certificate));
		add_set(rules, row->permission, folder_of(arena, s->node_key));
		return;
	case NOWHERE:
		add(rules, row->permission, NULL);
		return;
	}
	unreachable("place of a rule");
}

const char *daemons_name(enum daemons_id id)
{
	return names[id];
}

struct str daemons_user(const struct settings *settings, enum daemons_id id)
{
	switch (id) {
	case DAEMONS_LDAPSYNC:
		return settings->ldapsync_user;
	case DAEMONS_MTA:
		return settings->mta_user;
	case DAEMONS_POPIMAP:
		return settings->popimap_user;
	case DAEMONS_N:
		break;
	}
	unreachable("daemon");
}

bool daemons_user_id(const struct settings *settings, enum daemons_id id, uid_t *uid_out)
{
	struct str user = daemons_user(settings, id);
	const struct passwd *entry = user.n ? getpwnam(user.p) : NULL; // settings end with a NUL
	if (user.n && entry == NULL)
		return false;
	*uid_out = entry ? entry->pw_uid : geteuid();
	return true;
}

struct str daemons_lmtp_path(const struct settings *settings, struct arena *arena)
{
	return arena_printf(arena, "%.*s/lmtp.sock", STR_FMT(settings->run_dir));
}

struct str daemons_smtp_path(const struct settings *settings, struct arena *arena)
{
	return arena_printf(arena, "%.*s/smtp.sock", STR_FMT(settings->run_dir));
}

struct str daemons_control_path(const struct settings *settings, struct arena *arena, enum daemons_id id)
{
	return arena_printf(arena, "%.*s/%s.sock", STR_FMT(settings->run_dir), names[id]);
}

static void options(const struct settings *s, enum daemons_id id, struct arena *arena, struct daemon_options *out)
{
	struct rules rules = {.v = arena_must(arena, RULES_MAX * sizeof *rules.v)};
	for (size_t i = 0; i < sizeof may / sizeof *may; i++)
		if (may[i].daemon == id)
			add_rule(&rules, s, arena, &may[i]);
	*out = (struct daemon_options){
		.user = arena_dup(arena, daemons_user(s, id)).p,
		.group = s->group.p,
		.control = daemons_control_path(s, arena, id).p,
		.sandbox = s->sandbox == SETTINGS_SANDBOX_REQUIRED ? SANDBOX_REQUIRED : SANDBOX_OPTIONAL,
		.may = rules.v,
		.log_destination = s->log_destination == SETTINGS_LOG_STDERR ? LOG_TO_STDERR : LOG_TO_SYSLOG,
		.log_level = (enum log_level)s->log_level, // the same order
	};
}

void daemons_ldapsync_options(const void *values, struct arena *arena, struct daemon_options *out)
{
	options(values, DAEMONS_LDAPSYNC, arena, out);
}

void daemons_mta_options(const void *values, struct arena *arena, struct daemon_options *out)
{
	options(values, DAEMONS_MTA, arena, out);
}

void daemons_popimap_options(const void *values, struct arena *arena, struct daemon_options *out)
{
	options(values, DAEMONS_POPIMAP, arena, out);
}
