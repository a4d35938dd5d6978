// SPDX-License-Identifier: Apache-2.0
// The table of settings: rows from settings.def, and the rules between them.
#include "schema/settings.h"

#include <stddef.h>

#include "mail/access_rule.h"
#include "mail/pin.h"

#define SETTINGS_CHOICE(code, word) "|" word

static const struct settings_row rows[] = {
#define SETTINGS_SECTION(name_, prose_) {.section = #name_, .prose = prose_},
#define SETTING(type_, name_, def_, min_, max_, unit_, flags_, prose_)                                                        \
	{.name = #name_, .type = SETTINGS_##type_, .def = def_, .min = min_, .max = max_, .unit = unit_, .flags = flags_,     \
		.prose = prose_, .offset = offsetof(struct settings, name_)},
#include "schema/settings.def"
#undef SETTING
#undef SETTINGS_SECTION
};

bool settings_checks_passwords(const struct settings *settings)
{
	return settings->listen_submission.n || settings->listen_submissions.n || settings->listen_imap.n ||
	       settings->listen_imaps.n || settings->listen_pop3.n || settings->listen_pop3s.n;
}

enum { DAY_S = 86400, HOUR_S = 3600 };

static void check(const void *values, struct settings_report *report)
{
	const struct settings *s = values;
	if (s->tls_certificate.n != s->tls_key.n)
		settings_complain(report, "tls_key",
			"%zu certificates but %zu keys; give each certificate its key, in the same order", s->tls_certificate.n,
			s->tls_key.n);
	if ((s->node_certificate.n == 0) != (s->node_key.n == 0))
		settings_complain(report, s->node_key.n ? "node_certificate" : "node_key",
			"is not set but its partner is; set both or none");
	for (size_t i = 0; i < s->relay_networks.n; i++)
		if (s->relay_networks.v[i].bits < ACCESS_RULE_RELAY_BITS_MIN)
			settings_complain(report, "relay_networks",
				"has a network with a prefix shorter than 8 bits, which makes this an open relay; name your own "
				"networks");
	for (size_t i = 0; i < s->relay_certificates.n; i++)
		if (!pin_is_one(s->relay_certificates.v[i]))
			settings_complain(report, "relay_certificates",
				"has \"%.*s\", which is not sha256: and 64 hexadecimal digits; write the digest "
				"of the certificate's public key",
				STR_FMT(s->relay_certificates.v[i]));
	for (size_t i = 0; i < s->submit_servers.n; i++) {
		struct settings_address server;
		const char *complaint = settings_address_read(s->submit_servers.v[i], &server);
		if (complaint)
			settings_complain(report, "submit_servers", "has \"%.*s\", which %s", STR_FMT(s->submit_servers.v[i]),
				complaint);
	}
	if (s->retry_min_s > s->retry_max_s)
		settings_complain(report, "retry_min_s", "is above retry_max_s; lower it");
	if (s->queue_bounce_lifetime_s > s->queue_lifetime_s)
		settings_complain(report, "queue_bounce_lifetime_s", "is above queue_lifetime_s; lower it");
	if (s->delivered_key_days * DAY_S < s->queue_lifetime_s + s->replay_hours * HOUR_S)
		settings_complain(report, "delivered_key_days",
			"is below queue_lifetime_s and replay_hours together, so a late or replayed message would be delivered "
			"twice; raise it");
	if ((s->listen_submissions.n || s->listen_imaps.n || s->listen_pop3s.n) && s->tls_certificate.n == 0)
		settings_complain(report, "tls_certificate",
			"is empty but submissions, imaps or pop3s listen; name a certificate, or set listen_submissions, "
			"listen_imaps and listen_pop3s to {}");
	settings_ldap_check(s, report);
}

const struct settings_table settings_table = {
	.rows = rows,
	.n = sizeof rows / sizeof *rows,
	.values_bytes = sizeof(struct settings),
	.check = check,
};

struct str settings_data_path(const struct settings *settings, struct arena *arena, const char *name)
{
	return arena_printf(arena, "%.*s/%s", STR_FMT(settings->data_dir), name);
}

struct str settings_relayhost(const struct settings *settings, struct arena *arena)
{
	const struct settings_address *relay = &settings->relayhost;
	return relay->host.n ? arena_printf(arena, "%.*s:%u", STR_FMT(relay->host), relay->port) : STR_NONE;
}

struct str settings_default_domain(const struct settings *settings)
{
	struct str host, domain;
	if (settings->domain.n)
		return settings->domain;
	return str_cut(settings->hostname, '.', &host, &domain) && str_index(domain, '.') >= 0 ? domain : settings->hostname;
}
