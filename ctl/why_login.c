// SPDX-License-Identifier: Apache-2.0
// posthouse why --login: what somebody may do who has logged in, and which entry says so; and whether a mailbox would answer for
// its owner.
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/must.h"
#include "ldapsync/credentials.h"
#include "router/home.h"
#include "router/sender.h"
#include "router/service.h"
#include "router/vacation.h"
#include "schema/attr_words.h"
#include "why.h"

static const struct str services[] = {STR("submission"), STR("imap"), STR("pop3"), STR("sieve")};
enum { SERVED = 3 }; // of them: a phService may name sieve, and scripts see it, but nothing here serves it
static const struct str submission = STR("submission"); // the only one that opens no mailbox

static const struct {
	enum attr attr;
	const char *what, *unset;
} limits[] = {
	{ATTR_PH_SUBMIT_RATE, "recipients an hour", "submission_recipients_hour_max of the settings"},
	{ATTR_PH_MAX_RECIPIENTS, "recipients of a message", "recipients_max of the settings"},
	{ATTR_PH_MAX_MESSAGE_BYTES, "bytes of a message", "message_size_max of the settings"},
	{ATTR_PH_QUOTA_BYTES, "bytes in the mailbox", "quota_bytes of the settings"},
	{ATTR_PH_QUOTA_MESSAGES, "messages in the mailbox", "quota_messages of the settings"},
};

struct may {
	const struct entry *entry;
	struct service_class class;
	struct credentials_class of_login; // the same, for credentials_forbid()
	bool has_no_password[SERVED]; // for the services; where no hash can be read here: not known
	struct home home; // of its mailbox, for a log-in at this node
	enum sender_answer sender;
	struct sender_why sender_why;
};

static const char *forbidden_of(const struct may *may, size_t service)
{
	bool later;
	const char *forbidden = credentials_forbid(may->entry, &may->of_login, services[service], &later);
	if (forbidden)
		return forbidden;
	if (service < SERVED && may->has_no_password[service])
		return "no userPassword, phScram or phAppPassword of it is for this";
	if (may->home.answer == HOME_HERE || str_eq(services[service], submission))
		return NULL;
	return may->home.answer == HOME_ELSEWHERE ? "its mailbox is at another node" : may->home.text;
}

static const char *home_word(enum home_answer answer)
{
	switch (answer) {
	case HOME_HERE:
		return "here";
	case HOME_ELSEWHERE:
		return "elsewhere";
	case HOME_NONE:
		return "none";
	case HOME_REFUSED:
		return "refused";
	case HOME_HELD:
		return "held";
	case HOME_UNAVAILABLE:
		return "unavailable";
	}
	unreachable("home_answer");
}

static const char *sender_text(enum sender_answer answer)
{
	switch (answer) {
	case SENDER_ALLOWED:
		return "may be the sender";
	case SENDER_REFUSED:
		return "may not be the sender";
	case SENDER_UNAVAILABLE:
		return "cannot be asked about now";
	}
	unreachable("sender_answer");
}

// --- For people ---

static void add_entry(struct why *q, struct buf *b, const char *attribute, struct str entry, struct str value)
{
	const struct why_told told = why_told(q, entry, attribute, value);
	buf_printf(b, " (%s, ", attribute);
	if (told.mapped) {
		buf_add_c(b, "from ");
		log_escape(b, told.attribute);
		buf_add_c(b, " ");
		log_escape(b, told.value);
		buf_add_c(b, ", ");
	}
	buf_add_c(b, "in the entry ");
	log_escape(b, entry);
	buf_add_c(b, ")");
}

static void add_limits(struct why *q, struct directory *directory, const struct may *may, struct buf *b)
{
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		struct service_grant grant;
		enum service_answer answer = service_number(directory, may->entry, limits[i].attr, q->arena, &grant);
		buf_printf(b, "  %s: ", limits[i].what);
		if (answer != SERVICE_SET)
			buf_add_c(b, answer == SERVICE_UNAVAILABLE ? "the directory cannot say now" : limits[i].unset);
		else if (grant.value == SERVICE_UNLIMITED)
			buf_add_c(b, "no limit");
		else
			buf_printf(b, "%" PRIi64, grant.value);
		if (answer == SERVICE_SET)
			add_entry(q, b, grant.attribute, grant.entry, arena_printf(q->arena, "%" PRIi64, grant.value));
		buf_add_c(b, "\n");
	}
}

// Not a refusal: on a front-end so for everybody.
static void add_other_node(struct why *q, const struct may *may, struct buf *b)
{
	buf_add_c(b, "  its mailbox is at ");
	log_escape(b, may->home.host);
	add_entry(q, b, attr_name(ATTR_MAIL_HOST), may->entry->dn, may->home.host);
	buf_add_c(b, ", and this node is ");
	for (size_t i = 0; i < q->settings->serves.n; i++) {
		buf_add_c(b, i ? ", " : "");
		log_escape(b, q->settings->serves.v[i]);
	}
	if (q->settings->serves.n == 0)
		log_escape(b, q->settings->hostname);
	buf_printf(b, " (%s): imap and pop3 are to be asked there; log-ins to them at this node are told UNAVAILABLE (IMAP) or SYS/TEMP "
		      "(POP3)\n", q->settings->serves.n ? "serves" : "hostname");
}

static void add_home(struct why *q, const struct may *may, struct buf *b)
{
	if (may->home.answer == HOME_HERE)
		return;
	if (may->home.answer == HOME_ELSEWHERE) {
		add_other_node(q, may, b);
		return;
	}
	buf_printf(b, "  %s", may->home.text);
	if (may->home.host.n) {
		buf_add_c(b, " (mailHost ");
		log_escape(b, may->home.host);
		buf_add_c(b, ")");
	}
	buf_add_c(b, ": log-ins to it at this node are told UNAVAILABLE (IMAP) or SYS/TEMP (POP3)\n");
}

static void print_text(struct why *q, struct directory *directory, struct str login, const struct may *may)
{
	struct buf b;
	buf_init(&b, WHY_ANSWER_BYTES_MAX);
	log_escape(&b, login);
	buf_add_c(&b, " logs in as the entry ");
	log_escape(&b, may->entry->dn);
	buf_add_c(&b, "\n");
	for (size_t i = 0; i < SERVED; i++) {
		const char *forbidden = forbidden_of(may, i);
		buf_printf(&b, "  %.*s: %s%s\n", STR_FMT(services[i]), forbidden ? "no, because " : "yes",
			forbidden ? forbidden : "");
	}
	add_home(q, may, &b);
	if (may->class.missing.n) {
		buf_add_c(&b, "  nobody has the class of service ");
		log_escape(&b, may->class.missing);
		add_entry(q, &b, attr_name(ATTR_PH_CLASS_OF_SERVICE), may->entry->dn, may->class.missing);
		buf_add_c(&b, may->class.entry ? ": the class default stands in\n" : ": it grants nothing\n");
	}
	if (may->class.entry) {
		buf_add_c(&b, "  its class of service is the entry ");
		log_escape(&b, may->class.entry->dn);
		buf_add_c(&b, "\n");
	}
	add_limits(q, directory, may, &b);
	if (q->sender) {
		buf_add_c(&b, "  ");
		log_escape(&b, q->sender->text.n ? q->sender->text : STR("<>"));
		buf_printf(&b, " %s", sender_text(may->sender));
		if (may->sender_why.attribute[0])
			add_entry(q, &b, may->sender_why.attribute, may->sender_why.entry, may->sender_why.value);
		buf_add_c(&b, "\n");
	}
	fwrite(b.p, 1, b.n, stdout);
	buf_fini(&b);
}

// --- For scripts ---

static json_t *json_limits(struct why *q, struct directory *directory, const struct may *may)
{
	json_t *list = json_object();
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
		struct service_grant grant;
		if (service_number(directory, may->entry, limits[i].attr, q->arena, &grant) == SERVICE_SET)
			json_object_set_new(list, grant.attribute,
				json_pack("{s:I, s:o}", "value", (json_int_t)grant.value, "entry", why_json_text(grant.entry)));
	}
	return list;
}

static json_t *json_of(struct why *q, struct directory *directory, struct str login, const struct may *may)
{
	static const char *const words[] = {
		[SENDER_ALLOWED] = "allowed", [SENDER_REFUSED] = "refused", [SENDER_UNAVAILABLE] = "unavailable"};
	json_t *granted = json_object(), *sender = NULL;
	for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
		const char *forbidden = forbidden_of(may, i);
		json_object_setn_new(granted, services[i].p, services[i].n,
			json_pack("{s:b, s:s*}", "granted", forbidden == NULL, "reason", forbidden));
	}
	if (q->sender)
		sender = json_pack("{s:o, s:s, s:s, s:o, s:o}", "address", why_json_text(q->sender->text), "answer",
			words[may->sender], "attribute", may->sender_why.attribute, "entry", why_json_text(may->sender_why.entry),
			"value", why_json_text(may->sender_why.value));
	return json_pack("{s:o, s:o, s:{s:s, s:s}, s:o*, s:o*, s:o*, s:o, s:o, s:o*}", "login", why_json_text(login), "entry",
		why_json_text(may->entry->dn), "home", "answer", home_word(may->home.answer), "text", may->home.text, "host",
		entry_has(may->entry, ATTR_MAIL_HOST) ? why_json_text(entry_first(may->entry, ATTR_MAIL_HOST)) : NULL, "class",
		may->class.entry ? why_json_text(may->class.entry->dn) : NULL, "missing_class",
		may->class.missing.n ? why_json_text(may->class.missing) : NULL, "services", granted, "limits",
		json_limits(q, directory, may), "sender", sender);
}

// --- The question ---

// An address of the login's realm is a login too: as written, else in the default realm.
static enum directory_answer find_login(struct why *q, struct directory *directory, struct str login,
	const struct entry **entry_out)
{
	struct directory_match match;
	struct str key = directory_login_key(q->arena, login, q->default_domain);
	enum directory_answer answer = key.p ? directory_find(directory, DIRECTORY_LOGIN, key, q->arena, &match) : DIRECTORY_NONE;
	if (answer == DIRECTORY_FOUND)
		*entry_out = match.entry;
	return answer;
}

// Not asked of a change: hashes are no part of it. On a node where nobody logs in there is none.
static void look_for_passwords(struct why *q, struct str login, struct may *may)
{
	struct str path = settings_data_path(q->settings, q->arena, "credentials/credentials.db");
	struct credentials *credentials = credentials_open(path.p, q->default_domain);
	for (size_t i = 0; i < SERVED; i++) {
		struct sasl_credentials found;
		if (credentials_lookup(credentials, services[i], login, q->arena, &found) == SASL_FOUND)
			may->has_no_password[i] = found.passwords_n == 0 && found.scram_n == 0;
	}
	credentials_close(&credentials);
}

// Whom a login lets in. NULL, or why nobody: *code_out says for how long.
static const char *look_up(struct why *q, struct directory *directory, struct str login, struct may *may, int *code_out)
{
	*code_out = CTL_TEMPORARY;
	switch (find_login(q, directory, login, &may->entry)) {
	case DIRECTORY_NONE:
		*code_out = CTL_NO;
		return "nobody has this login";
	case DIRECTORY_AMBIGUOUS:
		return "several entries have this login, so nobody gets in";
	case DIRECTORY_UNAVAILABLE:
		return "the directory cannot say now";
	case DIRECTORY_FOUND:
		break;
	}
	if (service_class(directory, may->entry, q->arena, &may->class) == SERVICE_UNAVAILABLE)
		return "its class of service cannot be asked now, or several entries have its name";
	may->of_login = (struct credentials_class){
		.entry = may->class.entry, .is_missing = may->class.entry == NULL && may->class.missing.n};
	if (q->change == NULL)
		look_for_passwords(q, login, may);
	const struct home_rules here = {
		.serves = q->settings->serves.v, .n_serves = q->settings->serves.n, .hostname = q->settings->hostname};
	char bytes[GUID_TEXT_BYTES];
	const struct str account = guid_text(&may->entry->uuid, bytes);
	home_of_account(directory, &here, account, q->arena, &may->home);
	if (q->sender)
		may->sender = sender_check(directory, account, q->sender, q->settings->delimiter, q->arena, &may->sender_why);
	return NULL;
}

static int cannot_say(const struct why *q, struct str login, const char *text, int code)
{
	struct buf b;
	buf_init(&b, WHY_ANSWER_BYTES_MAX);
	log_escape(&b, login);
	if (q->json)
		ctl_print_json(json_pack("{s:o, s:s}", "login", why_json_text(login), "reason", text));
	else
		printf("%.*s: %s\n", STR_FMT(buf_str(&b)), text);
	buf_fini(&b);
	return code;
}

json_t *why_login_json(struct why *q, struct directory *directory, struct str login)
{
	struct may may = {0};
	int code;
	const char *nobody = look_up(q, directory, login, &may, &code);
	return nobody ? json_pack("{s:o, s:s}", "login", why_json_text(login), "reason", nobody)
		      : json_of(q, directory, login, &may);
}

int why_login(struct why *q, struct directory *directory, struct str login)
{
	struct may may = {0};
	int code;
	const char *nobody = look_up(q, directory, login, &may, &code);
	if (nobody)
		return cannot_say(q, login, nobody, code);
	if (q->json)
		ctl_print_json(json_of(q, directory, login, &may));
	else
		print_text(q, directory, login, &may);
	for (size_t i = 0; i < SERVED; i++)
		if (forbidden_of(&may, i) == NULL)
			return CTL_YES;
	return CTL_NO;
}

static const char *take_text(struct why *q, struct buf *b)
{
	const char *copy = arena_printf(q->arena, "%.*s", STR_FMT(buf_str(b))).p;
	buf_fini(b);
	return copy;
}

const char *why_vacation(struct why *q, struct directory *directory, const struct recipient_target *target)
{
	struct directory_match match;
	struct vacation_answer answer;
	if (target->kind != RECIPIENT_MAILBOX ||
		directory_find(directory, DIRECTORY_MAILBOX, guid_bytes(&target->mailbox_id), q->arena, &match) !=
			DIRECTORY_FOUND ||
		!entry_has(match.entry, ATTR_PH_VACATION))
		return NULL;
	struct str word = entry_first(match.entry, ATTR_PH_VACATION);
	const char *wrong = attr_words_wrong(ATTR_PH_VACATION, word);
	struct buf b;
	if (wrong) {
		buf_init(&b, WHY_ANSWER_BYTES_MAX);
		log_escape(&b, word);
		buf_printf(&b, " %s", wrong);
		return take_text(q, &b);
	}
	if (q->sender == NULL)
		return NULL;
	const struct vacation_facts facts = {.directory = directory,
		.user = match.entry,
		.sender = q->sender,
		.list = target->list,
		.now_ms = clock_wall_ms(),
		.delimiters = q->settings->delimiter,
		.header = q->header.n ? q->header : arena_printf(q->arena, "To: <%.*s>\r\n\r\n", STR_FMT(target->address->text))};
	enum vacation_verdict verdict = vacation_decide(q->arena, &facts, &answer);
	if (verdict != VACATION_ANSWER)
		return vacation_why(verdict);
	buf_init(&b, WHY_ANSWER_BYTES_MAX);
	buf_printf(&b, "%s: ", vacation_why(verdict));
	log_escape(&b, answer.correspondent);
	buf_add_c(&b, " gets the subject ");
	log_escape(&b, answer.subject);
	buf_add_c(&b, ", unless he was answered already");
	return take_text(q, &b);
}
