// SPDX-License-Identifier: Apache-2.0
// The rules between the settings of the directory over LDAP: what may go where, and that no password travels in the clear.
#include "schema/profile.h"
#include "schema/settings.h"

enum { MAP_LINE_BYTES_MAX = 64 << 10 }; // while it is read

static bool is_loopback(struct str host)
{
	struct netaddr addr;
	return netaddr_parse(host, 0, &addr) && netaddr_is_loopback(&addr);
}

// The host of "host", "host:port", "[v6]:port"; empty when it is none.
static struct str host_of(struct str authority)
{
	struct str host, port;
	uint64_t number;
	struct netaddr addr;
	if (str_starts(authority, STR("["))) {
		if (!netaddr_parse(authority, 1, &addr) || addr.port == 0)
			return STR_NONE;
		return str_upto(str_from(authority, 1), (size_t)str_index(authority, ']') - 1);
	}
	if (!str_cut(authority, ':', &host, &port))
		return authority;
	return str_to_u64(port, UINT16_MAX, &number) && number > 0 ? host : STR_NONE;
}

bool settings_ldap_server(struct str uri, struct settings_ldap_server *server_out)
{
	static const struct {
		const char *scheme;
		enum settings_ldap_kind kind;
	} schemes[] = {{"ldap://", SETTINGS_LDAP_PLAIN}, {"ldaps://", SETTINGS_LDAP_TLS}, {"ldapi://", SETTINGS_LDAP_LOCAL}};
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
		struct str scheme = str_of_c(schemes[i].scheme);
		if (!str_starts_nocase(uri, scheme))
			continue;
		struct settings_ldap_server server = {.kind = schemes[i].kind};
		struct str rest = str_from(uri, scheme.n);
		if (str_ends(rest, STR("/")))
			rest = str_upto(rest, rest.n - 1);
		if (rest.n == 0 || !str_is_printable(rest) || str_index(rest, '/') >= 0 || str_index(rest, '?') >= 0 ||
			str_index(rest, ' ') >= 0)
			return false;
		server.host = server.kind == SETTINGS_LDAP_LOCAL ? rest : host_of(rest);
		server.loopback = server.kind == SETTINGS_LDAP_LOCAL || is_loopback(server.host);
		*server_out = server;
		return server.host.n > 0;
	}
	return false;
}

bool settings_ldap_wants_starttls(const struct settings *settings, const struct settings_ldap_server *server)
{
	switch ((enum settings_ldap_starttls)settings->ldap_starttls) {
	case SETTINGS_LDAP_STARTTLS_REMOTE:
		return !server->loopback;
	case SETTINGS_LDAP_STARTTLS_ALWAYS:
		return true;
	case SETTINGS_LDAP_STARTTLS_NEVER:
		return false;
	}
	return true;
}

struct str settings_ldap_ca_file(const struct settings *settings)
{
	return settings->ldap_ca_file.n ? settings->ldap_ca_file : settings->tls_ca_file;
}

static void check_server(const struct settings *s, struct str uri, struct settings_report *report)
{
	struct settings_ldap_server server;
	if (!settings_ldap_server(uri, &server)) {
		settings_complain(report, "ldap_uri",
			"%.*s is no LDAP server; write ldap://host, ldaps://host:port or ldapi://%%2Fpath%%2Fof%%2Fsocket",
			STR_FMT(uri));
		return;
	}
	bool tls = server.kind == SETTINGS_LDAP_TLS ||
		   (server.kind == SETTINGS_LDAP_PLAIN && settings_ldap_wants_starttls(s, &server));
	if ((tls || s->ldap_bind == SETTINGS_LDAP_BIND_GSSAPI) && str_eq_nocase(server.host, STR("localhost")))
		settings_complain(report, "ldap_uri",
			"localhost is taken for the name of this host by libldap; write the name in the server's certificate");
	if (s->ldap_bind == SETTINGS_LDAP_BIND_SIMPLE && !tls && !server.loopback)
		settings_complain(report, "ldap_starttls",
			"is never, so the password would go to %.*s in the clear; set remote or always", STR_FMT(server.host));
	if (s->ldap_bind == SETTINGS_LDAP_BIND_EXTERNAL && server.kind != SETTINGS_LDAP_LOCAL &&
		(!tls || s->ldap_certificate.n == 0))
		settings_complain(report, "ldap_bind",
			"is external, and %.*s is no ldapi:// and would see no certificate; use TLS and set ldap_certificate",
			STR_FMT(uri));
}

// Of an attribute (RFC 4512, 1.4): it becomes part of a filter.
static bool is_attribute(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!chr_is_alpha(name.p[i]) && !chr_is_digit(name.p[i]) && name.p[i] != '-' && name.p[i] != '.')
			return false;
	return true;
}

// Each wrong line by itself.
static void check_map(const struct settings *s, struct settings_report *report)
{
	if (s->ldap_map.n > PROFILE_LINES_MAX)
		settings_complain(report, "ldap_map", "has %zu lines; at most %d are read", s->ldap_map.n, PROFILE_LINES_MAX);
	struct arena *arena = arena_new(MAP_LINE_BYTES_MAX);
	for (size_t i = 0; i < s->ldap_map.n; i++) {
		struct profile_line line;
		struct str at = STR_NONE;
		arena_reset(arena);
		const char *wrong = profile_line_parse(arena, s->ldap_map.v[i], &line, &at);
		if (wrong)
			settings_complain(report, "ldap_map", "\"%.*s\": %.*s %s", STR_FMT(s->ldap_map.v[i]), STR_FMT(at), wrong);
	}
	arena_free(&arena);
}

void settings_ldap_check(const struct settings *s, struct settings_report *report)
{
	check_map(s, report);
	if (s->ldap_uri.n == 0)
		return;
	if (s->shadow_ldif.n)
		settings_complain(report, "shadow_ldif",
			"is set and ldap_uri too; the directory is one of them, remove the other");
	if (s->ldap_base.n == 0)
		settings_complain(report, "ldap_base", "is not set; name the entry that the directory is below");
	if (s->ldap_filter.n && !(str_starts(s->ldap_filter, STR("(")) && str_ends(s->ldap_filter, STR(")"))))
		settings_complain(report, "ldap_filter", "is no filter; write it in parentheses, such as (mail=*)");
	if (s->ldap_bind == SETTINGS_LDAP_BIND_SIMPLE && (s->ldap_bind_dn.n == 0) != (s->ldap_password_file.n == 0))
		settings_complain(report, s->ldap_bind_dn.n ? "ldap_password_file" : "ldap_bind_dn",
			"is not set but its partner is; set both or none");
	if ((s->ldap_certificate.n == 0) != (s->ldap_key.n == 0))
		settings_complain(report, s->ldap_key.n ? "ldap_certificate" : "ldap_key",
			"is not set but its partner is; set both or none");
	if (!is_attribute(s->ldap_id_attribute))
		settings_complain(report, "ldap_id_attribute", "is no name of an attribute; write letters, digits and hyphens");
	if (!is_attribute(s->ldap_change_attribute))
		settings_complain(report, "ldap_change_attribute",
			"is no name of an attribute; write letters, digits and hyphens");
	if (s->ldap_driver == SETTINGS_LDAP_DRIVER_POLL && s->ldap_poll_interval_s >= s->fresh_s)
		settings_complain(report, "ldap_poll_interval_s",
			"is not under fresh_s (%lld), so the shadow would not be fresh from one answer to the next; set less",
			(long long)s->fresh_s);
	for (size_t i = 0; i < s->ldap_uri.n; i++)
		check_server(s, s->ldap_uri.v[i], report);
}
