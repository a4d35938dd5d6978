// SPDX-License-Identifier: Apache-2.0
// posthouse why: what happens to mail for an address, decided by the very code that decides RCPT TO, from the shadow on this
// disk. No daemon is asked, so it answers when all are down.
//
// The answer is that for a client that has logged in; with --outside, for one that has not (another server on port 25), and with
// --client for one at that address: what the access table and relay_networks say of it counts too. They differ for outside
// addresses, for lists that ask for it, and where the access table has rows. The sender that --from names is asked about as MAIL
// asks, and for who may post to a list.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/conn.h"
#include "base/log.h"
#include "mail/pin.h"
#include "router/rules_load.h"
#include "router/session.h"
#include "schema/attr_words.h"
#include "schema/entry_origin.h"
#include "why.h"

// What RCPT TO would say to an address that it cannot read.
static void syntax_verdict(struct why *q, struct directory *directory, struct str text, enum addr_result result,
	struct recipient_verdict *verdict_out)
{
	struct recipient_reason *reason = ARENA_NEW(q->arena, struct recipient_reason);
	*reason = (struct recipient_reason){.rule = "bad address", .attribute = "", .value = text};
	*verdict_out = (struct recipient_verdict){.outcome = RECIPIENT_REFUSE, .code = 501, .enhanced = STR("5.1.3"),
		.text = str_of_c(addr_result_text(result)), .reasons = reason, .n_reasons = 1,
		.shadow = directory_status(directory)};
}

static bool asks_for_names(const struct why *q)
{
	return q->settings->smtp_client_certificate == SETTINGS_SMTP_CLIENT_CERTIFICATE_ASK;
}

// NULL: they count for nothing.
static const struct access *access_of_names(struct why *q, struct directory *directory, struct access *access_out)
{
	const struct conn_tls_peer *peer = q->certificate.names;
	const struct access_table table = {
		.directory = directory, .rules = q->rules, .delimiters = q->settings->delimiter};
	if (q->certificate.trouble || peer == NULL || !asks_for_names(q))
		return NULL;
	const struct access_certificate certificate = {
		.issuer = peer->issuer, .subject = peer->subject, .names = peer->names, .names_n = peer->names_n};
	access_certificate(&table, &certificate, q->arena, access_out);
	return access_out;
}

static void decide_recipient(struct why *q, struct directory *directory, const struct addr *addr,
	const struct access *client_access, struct recipient_verdict *verdict_out)
{
	struct relay_client client = {.address = q->client, .networks = &q->settings->relay_networks,
		.certificates = &q->settings->relay_certificates, .access = client_access};
	struct access names;
	if (q->certificate_file) { // its key is asked for where relay_certificates has some
		client.certificate = pin_of(q->arena, q->certificate.spki);
		client.names = access_of_names(q, directory, &names);
	}
	const struct home_rules here = {
		.serves = q->settings->serves.v, .n_serves = q->settings->serves.n, .hostname = q->settings->hostname};
	struct recipient_query query = {
		.here = &here,
		.keep_detail = q->settings->routing_detail == SETTINGS_ROUTING_DETAIL_PRESERVE,
		.recipient = addr,
		.sender = q->sender,
		.authenticated = !q->outside,
		.client = &client,
		.rules = q->rules,
		.lists = RECIPIENT_LISTS_ALL,
		.delimiters = q->settings->delimiter,
		.relayhost = q->relayhost,
		.default_domain = q->default_domain,
		.entries_max = RECIPIENT_ENTRIES_MAX,
	};
	recipient_decide(directory, &query, q->arena, verdict_out);
}

// The session up to RCPT: the client before its greeting, the sender at MAIL, the recipient.
static void decide_session(struct why *q, struct directory *directory, const struct addr *addr,
	struct recipient_verdict *verdict_out)
{
	const struct access_table table = {.directory = directory, .rules = q->rules, .delimiters = q->settings->delimiter};
	struct session_access access;
	session_client(&table, &q->client, q->arena, &access);
	session_sender(&table, q->sender, q->arena, &access);
	if (session_refuses(&access, directory, q->arena, verdict_out))
		return;
	decide_recipient(q, directory, addr, &access.client, verdict_out);
	session_apply(&access, addr, q->arena, verdict_out);
}

// As logs and messages have an address; the brackets are the path's, not the address'.
static struct str without_brackets(struct str text)
{
	return str_starts(text, STR("<")) && str_ends(text, STR(">")) && text.n > 2 ? str_of(text.p + 1, text.n - 2) : text;
}

void why_decide(struct why *q, struct directory *directory, struct str text, struct recipient_verdict *verdict_out)
{
	struct addr addr;
	struct str path = arena_printf(q->arena, "<%.*s>", STR_FMT(without_brackets(text)));
	enum addr_result result = addr_parse_path(q->arena, &path, ADDR_UTF8 | ADDR_ALLOW_POSTMASTER | ADDR_LONG_LOCAL, &addr);
	if (result == ADDR_OK && path.n > 0)
		result = ADDR_SYNTAX;
	if (result != ADDR_OK) {
		syntax_verdict(q, directory, text, result, verdict_out);
		return;
	}
	decide_session(q, directory, &addr, verdict_out);
}

// --- For scripts ---

json_t *why_json_text(struct str s)
{
	json_t *text = json_stringn(s.n ? s.p : "", s.n);
	return text ? text : json_string("(not UTF-8)");
}

json_t *why_json_targets(const struct recipient_verdict *verdict)
{
	json_t *list = json_array();
	for (size_t i = 0; i < verdict->n_targets; i++) {
		const struct recipient_target *t = &verdict->targets[i];
		json_t *target =
			json_pack("{s:o, s:o}", "address", why_json_text(t->address->text), "host", why_json_text(t->host));
		if (t->detail.n)
			json_object_set_new(target, "detail", why_json_text(t->detail));
		if (t->list.n)
			json_object_set_new(target, "list", why_json_text(t->list));
		if (t->forwarder.n)
			json_object_set_new(target, "forwarder", why_json_text(t->forwarder));
		json_array_append_new(list, target);
	}
	return list;
}

struct why_told why_told(struct why *q, struct str entry, const char *attribute, struct str value)
{
	struct why_told told = {str_of_c(attribute), value, false};
	struct directory *directory = q->after ? q->after : q->directory;
	const struct attr_info *attr = attr_by_name(told.attribute);
	struct directory_match match;
	if (attr && entry.n && directory_find(directory, DIRECTORY_DN, entry, q->arena, &match) == DIRECTORY_FOUND)
		told.mapped = entry_origin(match.entry, attr->attr, value, &told.attribute, &told.value);
	return told;
}

// What is wrong with the value of a reason, where its attribute has words; NULL: nothing.
static const char *wrong_word(const struct recipient_reason *r)
{
	const struct attr_info *attr = attr_by_name(str_of_c(r->attribute));
	return attr && r->value.n ? attr_words_wrong(attr->attr, r->value) : NULL;
}

static json_t *json_reasons(struct why *q, const struct recipient_verdict *verdict)
{
	json_t *list = json_array();
	directory_begin(q->directory);
	for (size_t i = 0; i < verdict->n_reasons; i++) {
		const struct recipient_reason *r = &verdict->reasons[i];
		const struct why_told told = why_told(q, r->entry, r->attribute, r->value);
		json_t *native =
			told.mapped ? json_pack("{s:s, s:o}", "attribute", r->attribute, "value", why_json_text(r->value)) : NULL;
		json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o, s:o*, s:s*}", "rule", r->rule, "entry",
						    why_json_text(r->entry), "attribute", why_json_text(told.attribute), "value",
						    why_json_text(told.value), "native", native, "wrong", wrong_word(r)));
	}
	directory_end(q->directory);
	return list;
}

// By address, what the mailboxes with phVacation would do; NULL: there is nothing to say of any.
static json_t *json_vacation(struct why *q, struct directory *directory, const struct recipient_verdict *v)
{
	json_t *answers = NULL;
	for (size_t i = 0; i < v->n_targets; i++) {
		const char *why = why_vacation(q, directory, &v->targets[i]);
		if (why == NULL)
			continue;
		answers = answers ? answers : json_object();
		json_object_setn_new(answers, v->targets[i].address->text.p, v->targets[i].address->text.n, json_string(why));
	}
	return answers;
}

static json_t *json_certificate(struct why *q)
{
	const struct conn_tls_peer *peer = q->certificate.names;
	json_t *names = json_array();
	for (size_t i = 0; peer && i < peer->names_n; i++)
		json_array_append_new(names, why_json_text(peer->names[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:b, s:s*}", "key", why_json_text(pin_of(q->arena, q->certificate.spki)), "issuer",
		why_json_text(peer ? peer->issuer : STR_NONE), "subject", why_json_text(peer ? peer->subject : STR_NONE), "names", names,
		"verified", asks_for_names(q) && q->certificate.trouble == NULL, "trouble", q->certificate.trouble);
}

static void print_json(struct why *q, struct directory *directory, struct str address, const struct recipient_verdict *v)
{
	json_t *shadow = json_pack("{s:I, s:b, s:b, s:I}", "version", (json_int_t)v->shadow.version, "complete",
		v->shadow.complete, "fresh", v->shadow.fresh, "age_s", (json_int_t)v->shadow.age_s);
	ctl_print_json(json_pack("{s:o, s:s, s:i, s:o, s:o, s:o*, s:o*, s:o*, s:o, s:o, s:o, s:o*, s:o*}", "address",
		why_json_text(address), "verdict", recipient_outcome_name(v->outcome), "code", v->code, "enhanced",
		why_json_text(v->enhanced), "text", why_json_text(v->text), "owner", v->owner.n ? why_json_text(v->owner) : NULL,
		"vacation", json_vacation(q, directory, v), "held", v->quarantine.n ? why_json_text(v->quarantine) : NULL,
		"targets", why_json_targets(v), "reasons", json_reasons(q, v), "shadow", shadow, "profile",
		profile_is_native(q->profile) ? NULL : why_json_text(q->profile->name), "certificate",
		q->certificate_file ? json_certificate(q) : NULL));
}

// --- For people ---

const char *why_headline(enum recipient_outcome outcome)
{
	switch (outcome) {
	case RECIPIENT_DELIVER:
		return "is delivered to a mailbox of ours";
	case RECIPIENT_EXPAND:
		return "goes to everybody it stands for";
	case RECIPIENT_FORWARD:
		return "is forwarded by its owner";
	case RECIPIENT_RELAY:
		return "is passed on to another server";
	case RECIPIENT_DISCARD:
		return "is accepted and thrown away";
	case RECIPIENT_REFUSE:
		return "is refused for good";
	case RECIPIENT_DEFER:
		return "is refused for now; the sender tries again";
	}
	return "";
}

// Addresses and values may hold what a terminal should not see.
static void add_safe(struct buf *b, struct str s)
{
	log_escape(b, s);
}

void why_add_target(struct buf *b, const struct recipient_target *t)
{
	add_safe(b, t->address->text);
	buf_add_c(b, t->kind == RECIPIENT_MAILBOX ? " on " : " by way of ");
	add_safe(b, t->host);
	if (t->detail.n) {
		buf_add_c(b, ", detail ");
		add_safe(b, t->detail);
	}
	if (t->list.n) {
		buf_add_c(b, ", as a copy of the list ");
		add_safe(b, t->list);
	}
	if (t->forwarder.n) {
		buf_add_c(b, ", forwarded by ");
		add_safe(b, t->forwarder);
	}
}

static void add_targets(struct why *q, struct directory *directory, struct buf *b, const struct recipient_verdict *v)
{
	for (size_t i = 0; i < v->n_targets; i++) {
		const char *vacation = why_vacation(q, directory, &v->targets[i]);
		buf_add_c(b, "  to ");
		why_add_target(b, &v->targets[i]);
		buf_add_c(b, "\n");
		if (vacation)
			buf_printf(b, "    phVacation: %s\n", vacation);
	}
}

static void add_reasons(struct why *q, struct buf *b, const struct recipient_verdict *v)
{
	directory_begin(q->directory);
	for (size_t i = 0; i < v->n_reasons; i++) {
		const struct recipient_reason *r = &v->reasons[i];
		const struct why_told told = why_told(q, r->entry, r->attribute, r->value);
		buf_printf(b, "  because %s", recipient_rule_text(r->rule));
		if (told.attribute.n || told.value.n) {
			buf_add_c(b, ": ");
			if (told.attribute.n) { // of none, an empty name would be shown as ""
				add_safe(b, told.attribute);
				buf_add_c(b, " ");
			}
			add_safe(b, told.value);
		}
		if (told.mapped) {
			buf_printf(b, " (%s ", r->attribute);
			add_safe(b, r->value);
			buf_add_c(b, ")");
		}
		if (wrong_word(r))
			buf_printf(b, ", which %s", wrong_word(r));
		if (r->entry.n) {
			buf_add_c(b, r->entry.p[0] == '/' ? ", in " : ", in the entry "); // FILE:LINE of a table, or a DN
			add_safe(b, r->entry);
		}
		buf_add_c(b, "\n");
	}
	directory_end(q->directory);
}

// What counts of the certificate; "" is put before the names, as rows of the access table have them.
static void add_certificate(struct why *q, struct buf *b)
{
	const struct conn_tls_peer *peer = q->certificate.names;
	buf_printf(b, "  with the key %.*s", STR_FMT(pin_of(q->arena, q->certificate.spki)));
	if (peer) {
		buf_add_c(b, ", CERTIssuer:");
		buf_add(b, peer->issuer); // printable (base/conn.h), and to be copied into a row
		buf_add_c(b, ", CERTSubject:");
		buf_add(b, peer->subject);
		for (size_t i = 0; i < peer->names_n; i++) {
			buf_add_c(b, ", CERTName:");
			add_safe(b, peer->names[i]);
		}
	}
	if (!asks_for_names(q))
		buf_add_c(b, "; no name of a certificate counts without smtp_client_certificate = ask\n");
	else if (q->certificate.trouble)
		buf_printf(b, "; its names count for nothing, for tls_ca_file does not vouch for it: %s\n", q->certificate.trouble);
	else
		buf_add_c(b, "; tls_ca_file vouches for it\n");
}

static void print_text(struct why *q, struct directory *directory, struct str address, const struct recipient_verdict *v)
{
	struct buf b;
	buf_init(&b, WHY_ANSWER_BYTES_MAX);
	add_safe(&b, address);
	buf_printf(&b, " %s: %d %.*s %.*s\n", why_headline(v->outcome), v->code, STR_FMT(v->enhanced), STR_FMT(v->text));
	if (v->owner.n) {
		buf_add_c(&b, "  with the sender ");
		add_safe(&b, v->owner);
		buf_add_c(&b, "\n");
	}
	add_targets(q, directory, &b, v);
	if (v->quarantine.n) {
		buf_add_c(&b, "  and is held there until it is released: ");
		add_safe(&b, v->quarantine);
		buf_add_c(&b, "\n");
	}
	add_reasons(q, &b, v);
	if (q->certificate_file)
		add_certificate(q, &b);
	if (!v->shadow.complete)
		buf_add_c(&b, "  from no shadow: none was ever loaded completely, or it cannot be read\n");
	else
		buf_printf(&b, "  from version %llu of the shadow, %s, confirmed %lld s ago%s%.*s\n",
			(unsigned long long)v->shadow.version, v->shadow.fresh ? "up to date" : "NOT known to be up to date",
			(long long)v->shadow.age_s, profile_is_native(q->profile) ? "" : "; its source is read by the profile ",
			STR_FMT(profile_is_native(q->profile) ? STR_NONE : q->profile->name));
	fwrite(b.p, 1, b.n, stdout);
	buf_fini(&b);
}

// --- The command ---

static int exit_of(enum recipient_outcome outcome)
{
	switch (outcome) {
	case RECIPIENT_DELIVER:
	case RECIPIENT_EXPAND:
	case RECIPIENT_FORWARD:
	case RECIPIENT_RELAY:
	case RECIPIENT_DISCARD:
		return CTL_YES;
	case RECIPIENT_REFUSE:
		return CTL_NO;
	case RECIPIENT_DEFER:
		return CTL_TEMPORARY;
	}
	return CTL_TEMPORARY;
}

// Of several answers the worst counts: refused before cannot know before accepted.
static int worse(int a, int b)
{
	if (a == CTL_NO || b == CTL_NO)
		return CTL_NO;
	return a > b ? a : b;
}

static int answer(struct why *q, struct str argument)
{
	struct recipient_verdict verdict;
	struct directory *directory = q->after ? q->after : q->directory;
	int code;
	q->arena = arena_new(WHY_ANSWER_BYTES_MAX);
	if (q->login) {
		code = why_login(q, directory, argument);
	} else {
		why_decide(q, directory, argument, &verdict);
		if (q->json)
			print_json(q, directory, argument, &verdict);
		else
			print_text(q, directory, argument, &verdict);
		code = exit_of(verdict.outcome);
	}
	arena_free(&q->arena);
	return code;
}

static bool parse_sender(struct ctl *ctl, struct str text, struct why *q)
{
	struct str path = str_eq(text, STR("<>")) ? text : arena_printf(ctl->arena, "<%.*s>", STR_FMT(without_brackets(text)));
	q->sender = ARENA_NEW(ctl->arena, struct addr);
	return addr_parse_path(ctl->arena, &path, ADDR_UTF8 | ADDR_ALLOW_NULL | ADDR_LONG_LOCAL, q->sender) == ADDR_OK &&
	       path.n == 0;
}

static void complain_row(void *context, struct str file, size_t line, struct str key, const char *what)
{
	(void)context;
	fprintf(stderr, "%.*s:%zu: %.*s %s\n", STR_FMT(file), line, STR_FMT(key), what);
}

static void complain_change(void *context, size_t line, struct str dn, struct str attribute, const char *what)
{
	const struct why *q = context;
	fprintf(stderr, "%s:%zu: %.*s%s%.*s %s\n", q->change, line, STR_FMT(dn), dn.n && attribute.n ? ": " : "",
		STR_FMT(attribute), what);
}

// The beginning of a message; its header ends where it ends.
static int read_header(struct ctl *ctl, const char *path, struct why *q)
{
	enum { HEADER_BYTES_MAX = 256 << 10 };
	struct err err;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *p = arena_must(ctl->arena, HEADER_BYTES_MAX);
	ssize_t n = fd < 0 ? -1 : read(fd, p, HEADER_BYTES_MAX);
	if (n < 0)
		(void)err_errno(&err, "%s", path);
	if (fd >= 0)
		close(fd);
	q->header = str_of(p, n < 0 ? 0 : (size_t)n);
	return n < 0 ? ctl_file_fail(&err) : CTL_YES;
}

// Of a log-in no client and no message is asked about.
static int without_login(const struct ctl *ctl)
{
	static const char *const others[] = {"--outside", "--client", "--certificate", "--message"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (ctl_option(ctl, others[i]))
			return ctl_wrong(ctl, others[i], "stands without --login");
	return CTL_YES;
}

int why_options(struct ctl *ctl, struct why *q)
{
	const char *client = ctl_option(ctl, "--client"), *sender = ctl_option(ctl, "--from"),
		   *message = ctl_option(ctl, "--message");
	q->certificate_file = ctl_option(ctl, "--certificate");
	q->outside = client || q->certificate_file || ctl_option(ctl, "--outside");
	q->login = ctl_option(ctl, "--login") != NULL;
	q->change = ctl_option(ctl, "--ldif");
	if (client && !netaddr_parse(str_of_c(client), 0, &q->client))
		return ctl_wrong(ctl, "--client", "is no IP address, such as 192.0.2.1 or 2001:db8::1");
	if (sender && !parse_sender(ctl, str_of_c(sender), q))
		return ctl_wrong(ctl, "--from", "is no address; <> is the empty sender");
	int code = q->login ? without_login(ctl) : CTL_YES;
	if (code || message == NULL)
		return code;
	code = read_header(ctl, message, q);
	return code || sender ? code : ctl_wrong(ctl, "--message", "stands with --from, who is or is not answered");
}

// 75 when the shadow cannot say what the change would do; 2 when the change is none.
static int open_change(struct ctl *ctl, struct why *q)
{
	const struct entry_source source = why_source(ctl, q->settings);
	const struct directory_overlay_change change = {
		.name = q->change, .profile = q->profile, .source = &source, .complain = complain_change, .context = q};
	struct err err;
	int fd = open(q->change, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		(void)err_errno(&err, "%s", q->change);
		return ctl_file_fail(&err);
	}
	q->after = directory_overlay_open(q->directory, &change, fd, &q->overlay, &err);
	close(fd);
	if (q->after)
		return CTL_YES;
	fprintf(stderr, "posthouse: %s\n", err.text);
	return err.code == ERR_NOTFOUND || err_is_temporary(err.code) ? CTL_TEMPORARY : CTL_USAGE;
}

int why_open(struct ctl *ctl, struct why *q)
{
	struct err err;
	q->json = ctl->json;
	q->settings = ctl_settings(ctl);
	q->profile = profile_new(q->settings->ldap_profile, &q->settings->ldap_map);
	q->default_domain = settings_default_domain(q->settings);
	q->relayhost = settings_relayhost(q->settings, ctl->arena);
	if (rules_load(q->settings, complain_row, NULL, &q->rules, &err)) // answered as a front-end does that starts with it
		fprintf(stderr, "posthouse: %s; what it may decide is answered for now\n", err.text);
	q->directory = directory_open(settings_data_path(q->settings, ctl->arena, "shadow/shadow.db").p, q->settings->fresh_s);
	if (q->certificate_file &&
		tls_certificate_read(q->certificate_file, q->settings->tls_ca_file.p, &q->certificate, &err)) {
		q->certificate_file = NULL;
		return ctl_file_fail(&err);
	}
	return q->change ? open_change(ctl, q) : CTL_YES;
}

void why_close(struct why *q)
{
	directory_close(&q->after);
	directory_close(&q->directory);
	rules_drop(&q->rules);
	profile_free(&q->profile);
	tls_certificate_fini(&q->certificate);
}

int cmd_why(struct ctl *ctl)
{
	struct why q = {0};
	int code = why_options(ctl, &q);
	if (code)
		return code;
	code = why_open(ctl, &q);
	bool opened = code == CTL_YES;
	for (size_t i = 0; opened && i < ctl->n_args; i++)
		code = worse(code, answer(&q, str_of_c(ctl->args[i])));
	why_close(&q);
	return code;
}
