// SPDX-License-Identifier: Apache-2.0
// What an operator can set: the rows of schema/settings.def as a struct, for all daemons and for `posthouse check`.
//
//     struct settings_snapshot *snapshot = daemon_settings(daemon);
//     const struct settings *s = settings_of(snapshot);
//     if (size > (uint64_t)s->message_size_max) ...
//     settings_unref(&snapshot);
//
// Durations are in the unit that the name ends with, sizes in bytes; strings live as long as the snapshot.
#ifndef SCHEMA_SETTINGS_H
#define SCHEMA_SETTINGS_H

#include "base/settings.h"

// Choices: enum constant and word in the file, in this order.
#define SETTINGS_SANDBOX(X) X(SETTINGS_SANDBOX_REQUIRED, "required") X(SETTINGS_SANDBOX_OPTIONAL, "optional")
#define SETTINGS_TLS_MIN(X) X(SETTINGS_TLS_MIN_1_2, "1.2") X(SETTINGS_TLS_MIN_1_3, "1.3")
#define SETTINGS_LOG_DESTINATION(X) X(SETTINGS_LOG_STDERR, "stderr") X(SETTINGS_LOG_SYSLOG, "syslog")
#define SETTINGS_LOG_LEVEL(X) \
	X(SETTINGS_LOG_ERROR, "error") \
	X(SETTINGS_LOG_WARNING, "warning") X(SETTINGS_LOG_INFO, "info") X(SETTINGS_LOG_DEBUG, "debug")
#define SETTINGS_AUTH_PLAINTEXT(X) X(SETTINGS_AUTH_PLAINTEXT_NEVER, "never") X(SETTINGS_AUTH_PLAINTEXT_TRUSTED, "trusted")
#define SETTINGS_BARE_NEWLINE(X) X(SETTINGS_BARE_NEWLINE_REJECT, "reject") X(SETTINGS_BARE_NEWLINE_NORMALIZE, "normalize")
#define SETTINGS_RELAYHOST_TLS(X)                                                                                             \
	X(SETTINGS_RELAYHOST_TLS_NONE, "none") X(SETTINGS_RELAYHOST_TLS_MAY, "may")                                           \
	X(SETTINGS_RELAYHOST_TLS_ENCRYPT, "encrypt") X(SETTINGS_RELAYHOST_TLS_VERIFY, "verify")
#define SETTINGS_LDAP_DRIVER(X)                                                                                               \
	X(SETTINGS_LDAP_DRIVER_AUTO, "auto") X(SETTINGS_LDAP_DRIVER_SYNCREPL, "syncrepl") X(SETTINGS_LDAP_DRIVER_POLL, "poll")
// Each is a file of schema/profiles/ and a row of schema/profile_families.c.
#define SETTINGS_LDAP_PROFILE(X)                                                                                              \
	X(SETTINGS_LDAP_PROFILE_NATIVE, "native") X(SETTINGS_LDAP_PROFILE_LASER, "laser")                                     \
	X(SETTINGS_LDAP_PROFILE_COURIER, "courier") X(SETTINGS_LDAP_PROFILE_ZIMBRA, "zimbra") X(SETTINGS_LDAP_PROFILE_AD, "ad") \
	X(SETTINGS_LDAP_PROFILE_QMAIL_LDAP, "qmail-ldap") X(SETTINGS_LDAP_PROFILE_SUN, "sun")                                 \
	X(SETTINGS_LDAP_PROFILE_KOLAB, "kolab")
#define SETTINGS_SMTP_CLIENT_CERTIFICATE(X) \
	X(SETTINGS_SMTP_CLIENT_CERTIFICATE_NO, "no") X(SETTINGS_SMTP_CLIENT_CERTIFICATE_ASK, "ask")
#define SETTINGS_ROUTING_DETAIL(X) X(SETTINGS_ROUTING_DETAIL_STRIP, "strip") X(SETTINGS_ROUTING_DETAIL_PRESERVE, "preserve")
#define SETTINGS_LDAP_BIND(X)                                                                                                 \
	X(SETTINGS_LDAP_BIND_SIMPLE, "simple") X(SETTINGS_LDAP_BIND_EXTERNAL, "external") X(SETTINGS_LDAP_BIND_GSSAPI, "gssapi")
#define SETTINGS_LDAP_STARTTLS(X) \
	X(SETTINGS_LDAP_STARTTLS_REMOTE, "remote") \
	X(SETTINGS_LDAP_STARTTLS_ALWAYS, "always") X(SETTINGS_LDAP_STARTTLS_NEVER, "never")

#define SETTINGS_CHOICE_ENUM(code, word) code,
enum settings_sandbox { SETTINGS_SANDBOX(SETTINGS_CHOICE_ENUM) };
enum settings_tls_min { SETTINGS_TLS_MIN(SETTINGS_CHOICE_ENUM) };
enum settings_log_destination { SETTINGS_LOG_DESTINATION(SETTINGS_CHOICE_ENUM) };
enum settings_log_level { SETTINGS_LOG_LEVEL(SETTINGS_CHOICE_ENUM) };
enum settings_auth_plaintext { SETTINGS_AUTH_PLAINTEXT(SETTINGS_CHOICE_ENUM) };
enum settings_bare_newline { SETTINGS_BARE_NEWLINE(SETTINGS_CHOICE_ENUM) };
enum settings_relayhost_tls { SETTINGS_RELAYHOST_TLS(SETTINGS_CHOICE_ENUM) };
enum settings_ldap_profile { SETTINGS_LDAP_PROFILE(SETTINGS_CHOICE_ENUM) };
enum settings_ldap_driver { SETTINGS_LDAP_DRIVER(SETTINGS_CHOICE_ENUM) };
enum settings_smtp_client_certificate { SETTINGS_SMTP_CLIENT_CERTIFICATE(SETTINGS_CHOICE_ENUM) };
enum settings_routing_detail { SETTINGS_ROUTING_DETAIL(SETTINGS_CHOICE_ENUM) };
enum settings_ldap_bind { SETTINGS_LDAP_BIND(SETTINGS_CHOICE_ENUM) };
enum settings_ldap_starttls { SETTINGS_LDAP_STARTTLS(SETTINGS_CHOICE_ENUM) };

struct settings {
#define SETTINGS_SECTION(name, prose)
#define SETTING(type, name, def, min, max, unit, flags, prose) settings_c_##type name;
#include "schema/settings.def"
#undef SETTING
#undef SETTINGS_SECTION
};

// The rows and the rules between them, for settings_load().
extern const struct settings_table settings_table;

static inline const struct settings *settings_of(const struct settings_snapshot *snapshot)
{
	return settings_values(snapshot);
}

// The setting domain, else what follows the first dot of hostname when that is a domain of several labels, else hostname.
// Borrowed.
struct str settings_default_domain(const struct settings *settings);

// "host:port" of relayhost, in the arena; empty without one.
struct str settings_relayhost(const struct settings *settings, struct arena *arena);

// Does anybody log in here? Where nobody does, ldapsync asks for no hash and keeps none.
bool settings_checks_passwords(const struct settings *settings);

// How an element of ldap_uri is reached; schema/settings_ldap.c.
enum settings_ldap_kind { SETTINGS_LDAP_PLAIN, SETTINGS_LDAP_TLS, SETTINGS_LDAP_LOCAL };
struct settings_ldap_server {
	enum settings_ldap_kind kind;
	struct str host;      // without brackets and port; of ldapi the path as written; borrowed
	bool loopback;        // 127.0.0.0/8 or ::1 in figures, or ldapi; a name never is
};
// False: not an LDAP URI of a host alone (no DN, no query).
bool settings_ldap_server(struct str uri, struct settings_ldap_server *server_out);
// Is StartTLS to be used there? Only of SETTINGS_LDAP_PLAIN.
bool settings_ldap_wants_starttls(const struct settings *settings, const struct settings_ldap_server *server);
// The rules between the settings ldap_*, for settings_table.
void settings_ldap_check(const struct settings *settings, struct settings_report *report);
// Whom an LDAP server's certificate is checked against.
struct str settings_ldap_ca_file(const struct settings *settings);

// data_dir/NAME, in the arena, NUL after it.
struct str settings_data_path(const struct settings *settings, struct arena *arena, const char *name);

#endif
