// SPDX-License-Identifier: Apache-2.0
// The access table and relay control as tables: sendmail's semantics, row by row, from the directory and from a file; what a file may hold.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "ldapsync/directory_memory.h"
#include "router/recipient.h"

// The same rows as LDIF and as a file: one entry a row.
static const struct {
	const char *key, *action;
} table[] = {
	{"Connect:192.0.2.0/24", "REJECT"}, {"Connect:192.0.2.128/25", "ERROR:4.7.1:450 later"}, {"Connect:192.0.2.200", "OK"},
	{"Connect:192.0.2.201", "SKIP"}, {"Connect:10", "RELAY"}, {"Connect:10.9", "OK"}, {"Connect:10.8.0", "DISCARD"},
	{"Connect:172.16.", "QUARANTINE:under suspicion"}, {"Connect:IPv6:2001:db8", "REJECT"}, {"Connect:[2001:db8:1::]/48", "RELAY"},
	{"Connect:2001:db8:1::5", "550 not you"}, {"198.51.100", "REJECT"}, {"203.0.113.7", "RELAY"},
	{"From:spammer@bad.example", "REJECT"}, {"From:bad.example", "ERROR:5.7.1:550 \"we want nothing from you\""},
	{"From:good.bad.example", "OK"}, {"From:.dot.example", "REJECT"}, {"From:thrown.example", "DISCARD"},
	{"From:held.example", "QUARANTINE:look at it"}, {"From:stealth@", "REJECT"}, {"From:friend@bad.example", "OK"},
	{"From:skip.bad.example", "SKIP"}, {"From:<>", "ERROR:4.7.1:450 no reports now"}, {"untagged.example", "REJECT"},
	{"To:closed@uni.example", "REJECT"}, {"To:else.example", "RELAY"}, {"To:no.else.example", "REJECT"}, {"To:ok.else.example", "OK"},
	{"To:trap@uni.example", "DISCARD"}, {"To:watched@uni.example", "QUARANTINE:for the record"}, {"To:old@", "550 5.2.1 has left"},
	{"CERTIssuer:/C=DE/O=Uni/CN=Uni+20CA", "RELAY"}, {"CERTIssuer:/O=Big+2fsmall/CN=Big", "SUBJECT"},
	{"CERTSubject:/O=D+C3+A9pt/CN=mail.dept.example", "RELAY"}, {"CERTName:Mail.B\xc3\xbc" "cher.example", "RELAY"},
	{"To:one@single.example", "RELAY"}, {"friendly.example", "RELAY"}, {"To:anna@uni.example", "OK"},
};

static const char people[] =
	"dn: associatedDomain=uni.example,dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n"
	"phCatchAll: anna@uni.example\n\n"
	"dn: cn=mb1,dc=uni\nobjectClass: phMailHost\ncn: mb1.uni.example\nphHostEndpoint: lmtp=inet:192.0.2.1:24\n\n"
	"dn: uid=anna,dc=uni\nobjectClass: phMailUser\nuid: anna\nmail: anna@uni.example\nmailHost: mb1.uni.example\n"
	"entryUUID: 00000000-0000-0000-0000-00000000000a\n\n";

struct world {
	struct directory *directory, *people_only;
	struct rules *rules;
	struct arena *arena;
	bool from_file;
	size_t complaints;
	struct buf last;
};

static void complain(void *context, struct str file, size_t line, struct str key, const char *what)
{
	struct world *world = context;
	world->complaints++;
	buf_clear(&world->last);
	buf_printf(&world->last, "%.*s:%zu: %.*s %s", STR_FMT(file), line, STR_FMT(key), what);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof *world);
	struct buf ldif, file;
	struct err err;
	world->arena = arena_new(64 << 20);
	buf_init(&world->last, 4096);
	buf_init(&ldif, 1 << 20);
	buf_init(&file, 1 << 20);
	buf_add_c(&ldif, people);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		buf_printf(&ldif, "dn: cn=a%zu,dc=uni\nobjectClass: phMailAccess\ncn: a%zu\nphAccessKey: %s\nphAccessAction: %s\n\n", i, i, table[i].key,
			table[i].action);
		buf_printf(&file, "%s\t%s\n", table[i].key, table[i].action);
	}
	world->directory = directory_memory_new(buf_str(&ldif), NULL, &err);
	world->people_only = directory_memory_new(str_of_c(people), NULL, &err);
	world->rules = rules_new();
	assert_true(world->directory && world->people_only);
	if (!rules_add(world->rules, RULES_ACCESS, STR("/etc/mail/access"), buf_str(&file), complain, world))
		fail_msg("%s", buf_c(&world->last));
	buf_fini(&ldif);
	buf_fini(&file);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	directory_close(&world->directory);
	directory_close(&world->people_only);
	rules_drop(&world->rules);
	buf_fini(&world->last);
	arena_free(&world->arena);
	free(world);
	return 0;
}

static struct access_table access_of(const struct world *world)
{
	return world->from_file ? (struct access_table){world->people_only, world->rules, STR("+")}
				: (struct access_table){world->directory, NULL, STR("+")};
}

// What was said, in one word or number.
static const char *word_of(const struct access *access, char text[16])
{
	snprintf(text, 16, "%d", access->reply.code);
	return access->refuses ? text : access->discards ? "discard" : access->quarantine.n ? "hold" : access->relays ? "relay" : "ok";
}

static const struct {
	const char *ip, *word;
} clients[] = {
	{"192.0.2.1", "550"}, {"192.0.2.127", "550"}, {"192.0.2.128", "450"}, {"192.0.2.200", "ok"}, {"192.0.2.201", "ok"}, {"192.0.3.1", "ok"},
	{"10.0.0.1", "relay"}, {"10.9.1.1", "ok"}, // OK is not RELAY, and the longer network counts
	{"10.8.0.1", "discard"}, {"10.8.1.1", "relay"}, {"172.16.4.4", "hold"}, {"172.17.4.4", "ok"}, {"2001:db8:2::1", "550"},
	{"2001:db8:1::1", "relay"}, {"2001:db8:1::5", "550"}, {"2001:db9::1", "ok"}, {"198.51.100.9", "550"}, {"203.0.113.7", "relay"},
	{"203.0.113.8", "ok"}, {"::ffff:192.0.2.1", "550"}, // the IPv4 address that it is
};

static const struct {
	const char *address, *word;
} senders[] = {
	{"spammer@bad.example", "550"}, {"Spammer+x@Bad.Example", "550"}, {"x@bad.example", "550"}, {"x@a.b.bad.example", "550"},
	{"x@good.bad.example", "ok"}, {"x@very.good.bad.example", "ok"}, {"x@skip.bad.example", "ok"}, {"friend@bad.example", "ok"},
	{"x@dot.example", "ok"}, {"x@a.dot.example", "550"}, {"x@thrown.example", "discard"}, {"x@held.example", "hold"},
	{"stealth@anywhere.example", "550"}, {"Stealth+y@anywhere.example", "550"}, {"", "450"}, {"x@untagged.example", "550"},
	{"x@friendly.example", "ok"}, // a sender never relays
	{"x@notbad.example", "ok"}, {"closed@uni.example", "ok"}, // a To: row is not about senders
};

static void clients_and_senders(void **state)
{
	struct world *world = *state;
	char text[16];
	for (int from_file = 0; from_file < 2; from_file++) {
		world->from_file = from_file;
		const struct access_table of = access_of(world);
		for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
			struct netaddr ip;
			struct access access;
			assert_true(netaddr_parse(str_of_c(clients[i].ip), 0, &ip));
			access_client(&of, &ip, world->arena, &access);
			if (strcmp(word_of(&access, text), clients[i].word) != 0)
				fail_msg("%s: %s and not %s", clients[i].ip, word_of(&access, text), clients[i].word);
		}
		for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
			struct addr addr = addr_null();
			struct access access;
			if (senders[i].address[0])
				assert_int_equal(addr_parse(world->arena, str_of_c(senders[i].address), 0, &addr), ADDR_OK);
			access_sender(&of, &addr, world->arena, &access);
			if (strcmp(word_of(&access, text), senders[i].word) != 0)
				fail_msg("%s: %s and not %s", senders[i].address, word_of(&access, text), senders[i].word);
		}
	}
}

static void certificates(void **state)
{
	static const struct {
		const char *issuer, *subject, *name;
		const char *word;
	} shown[] = {
		{"/C=DE/O=Uni/CN=Uni+20CA", "/CN=anybody", NULL, "relay"},
		{"/c=de/O=UNI/CN=uni+20ca", "/CN=anybody", NULL, "relay"},
		{"/C=DE/O=Uni/CN=Uni+20CA2", "/CN=anybody", NULL, "ok"},
		{"/C=DE/O=Uni", "/CN=anybody", NULL, "ok"},
		{"/O=Big+2Fsmall/CN=Big", "/O=D+C3+A9pt/CN=mail.dept.example", NULL, "relay"},
		{"/O=Big+2Fsmall/CN=Big", "/O=D+C3+A9pt/CN=other.dept.example", NULL, "ok"},
		{"/O=Big/small/CN=Big", "/O=D+C3+A9pt/CN=mail.dept.example", NULL, "ok"}, // another name: a value cannot be two
		{"/O=Else", "/O=D+C3+A9pt/CN=mail.dept.example", NULL, "ok"}, // a subject counts for its issuer only
		{"/O=Else", "/CN=x", "mail.xn--bcher-kva.example", "relay"},
		{"/O=Else", "/CN=x", "MAIL.xn--bcher-kva.Example", "relay"},
		{"/O=Else", "/CN=x", "*.xn--bcher-kva.example", "ok"},
		{"/O=Else", "/CN=x", "xn--bcher-kva.example", "ok"},
		{"", "", NULL, "ok"},
	};
	struct world *world = *state;
	char text[16];
	for (int from_file = 0; from_file < 2; from_file++) {
		world->from_file = from_file;
		const struct access_table of = access_of(world);
		for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
			struct str name = shown[i].name ? str_of_c(shown[i].name) : STR_NONE;
			const struct access_certificate certificate = {.issuer = str_of_c(shown[i].issuer), .subject = str_of_c(shown[i].subject),
				.names = &name, .names_n = shown[i].name != NULL};
			struct access access;
			access_certificate(&of, &certificate, world->arena, &access);
			if (strcmp(word_of(&access, text), shown[i].word) != 0)
				fail_msg("%s %s: %s and not %s", shown[i].issuer, shown[i].subject, word_of(&access, text), shown[i].word);
		}
	}
}

static void rows_about_certificates_that_say_nothing(void **state)
{
	static const char *const rows_of[] = {"CERTIssuer:Uni RELAY", "CERTSubject:mail.dept.example RELAY", "CERTName:.dept.example RELAY", "CERTName:* RELAY",
		"CERTIssuer:/O=Uni REJECT", "CERTSubject:/O=Uni SUBJECT", "CERTName:a.example SUBJECT", "Connect:10 SUBJECT"};
	struct world *world = *state;
	for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++) {
		struct rules *rules = rules_new();
		if (rules_add(rules, RULES_ACCESS, STR("access"), arena_printf(world->arena, "%s\n", rows_of[i]), complain, world))
			fail_msg("%s is taken", rows_of[i]);
		rules_drop(&rules);
	}
}

static void the_row_is_named(void **state)
{
	struct world *world = *state;
	struct addr addr;
	struct access access;
	struct access_table of = {world->directory, NULL, STR("+")};
	assert_int_equal(addr_parse(world->arena, STR("x@a.bad.example"), 0, &addr), ADDR_OK);
	access_sender(&of, &addr, world->arena, &access);
	assert_true(str_eq(access.entry, STR("cn=a14,dc=uni")) && str_eq(access.key, STR("from:bad.example")));
	assert_string_equal(access.attribute, "phAccessAction");
	assert_true(str_eq(access.reply.text, STR("we want nothing from you")));
	of = (struct access_table){world->people_only, world->rules, STR("+")};
	access_sender(&of, &addr, world->arena, &access);
	assert_true(str_eq(access.entry, STR("/etc/mail/access:15")));
}

// --- RCPT: relay control ---

enum { STRANGER, LOGIN, NETWORK, CERTIFICATE, RELAY_CLIENT, OK_CLIENT, WRONG_CERTIFICATE, NAMED_CERTIFICATE, OTHER_NAME, DOUBTFUL_NAME };

static struct recipient_verdict decide(struct world *world, const char *address, int who)
{
	static struct netaddr_net net;
	static struct str pin = STR("sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	const struct settings_networks networks = {&net, 1};
	const struct settings_list pins = {&pin, 1};
	const struct access_table of = access_of(world);
	struct relay_client client = {.networks = &networks, .certificates = &pins};
	struct recipient_verdict verdict;
	struct access access;
	struct addr addr;
	assert_true(netaddr_net_parse(STR("203.0.113.64/26"), &net));
	assert_true(netaddr_parse(str_of_c(who == NETWORK ? "203.0.113.70" : who == RELAY_CLIENT ? "10.1.1.1" : who == OK_CLIENT ? "10.9.1.1" : "192.0.9.9"),
		0, &client.address));
	if (who == CERTIFICATE)
		client.certificate = STR("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	if (who == WRONG_CERTIFICATE)
		client.certificate = STR("sha256:baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	access_client(&of, &client.address, world->arena, &access);
	client.access = &access;
	struct access names = {.attribute = ""};
	const struct access_certificate named = {.issuer = STR("/C=DE/O=Uni/CN=Uni+20CA")}, other = {.issuer = STR("/O=Else")};
	if (who == NAMED_CERTIFICATE || who == OTHER_NAME)
		access_certificate(&of, who == NAMED_CERTIFICATE ? &named : &other, world->arena, &names);
	if (who == DOUBTFUL_NAME)
		names = (struct access){.found = true, .refuses = true, .attribute = "", .reply = {.code = 451, .enhanced = STR("4.3.5"), .text = STR("later")}};
	client.names = &names;
	assert_int_equal(addr_parse(world->arena, str_of_c(address), ADDR_UTF8, &addr), ADDR_OK);
	const struct recipient_query query = {.recipient = &addr, .authenticated = who == LOGIN, .delimiters = STR("+"), .client = &client,
		.rules = of.rules, .relayhost = STR("smart.example:25"), .default_domain = STR("uni.example")};
	recipient_decide(of.directory, &query, world->arena, &verdict);
	return verdict;
}

static const struct row {
	const char *address;
	int who;
	int code;
	enum recipient_outcome outcome;
	const char *rule;
} rows[] = {
	// no open relay
	{"x@far.example", STRANGER, 550, RECIPIENT_REFUSE, "relay refused"},
	{"x@far.example", OK_CLIENT, 550, RECIPIENT_REFUSE, "relay refused"},
	{"x@far.example", WRONG_CERTIFICATE, 550, RECIPIENT_REFUSE, "relay refused"},
	{"x@ok.else.example", STRANGER, 550, RECIPIENT_REFUSE, "relay refused"},
	{"two@single.example", STRANGER, 550, RECIPIENT_REFUSE, "relay refused"},
	{"u%far.example@else.example", STRANGER, 550, RECIPIENT_REFUSE, "old form"},
	{"far.example!u@else.example", STRANGER, 550, RECIPIENT_REFUSE, "old form"},
	{"u%evil.example@far.example", NETWORK, 550, RECIPIENT_REFUSE, "old form"},
	{"x@[192.0.2.7]", NETWORK, 550, RECIPIENT_REFUSE, "literal"},
	{"x@far.example", OTHER_NAME, 550, RECIPIENT_REFUSE, "relay refused"},
	{"x@far.example", DOUBTFUL_NAME, 451, RECIPIENT_DEFER, "relay certificate name"},
	{"anna@uni.example", DOUBTFUL_NAME, 250, RECIPIENT_DELIVER, "access recipient"},
	// who may
	{"x@far.example", NAMED_CERTIFICATE, 250, RECIPIENT_RELAY, "relay certificate name"},
	{"x@far.example", LOGIN, 250, RECIPIENT_RELAY, "relay login"},
	{"x@far.example", NETWORK, 250, RECIPIENT_RELAY, "relay network"},
	{"x@far.example", CERTIFICATE, 250, RECIPIENT_RELAY, "relay certificate"},
	{"x@far.example", RELAY_CLIENT, 250, RECIPIENT_RELAY, "relay client"},
	{"x@else.example", STRANGER, 250, RECIPIENT_RELAY, "relay recipient"},
	{"x@a.b.else.example", STRANGER, 250, RECIPIENT_RELAY, "relay recipient"},
	{"x@friendly.example", STRANGER, 250, RECIPIENT_RELAY, "relay recipient"},
	{"x@a.friendly.example", STRANGER, 250, RECIPIENT_RELAY, "relay recipient"},
	{"One@single.example", STRANGER, 250, RECIPIENT_RELAY, "relay recipient"},
	{"x@untagged.example", LOGIN, 250, RECIPIENT_RELAY, "outside"}, // without a tag only RELAY is about recipients
	// recipients
	{"x@no.else.example", STRANGER, 550, RECIPIENT_REFUSE, "access recipient"},
	{"x@no.else.example", LOGIN, 550, RECIPIENT_REFUSE, "access recipient"},
	{"closed@uni.example", STRANGER, 550, RECIPIENT_REFUSE, "access recipient"},
	{"Closed+x@uni.example", STRANGER, 550, RECIPIENT_REFUSE, "access recipient"},
	{"old@uni.example", STRANGER, 550, RECIPIENT_REFUSE, "access recipient"},
	{"trap@uni.example", STRANGER, 250, RECIPIENT_DISCARD, "discarded"},
	{"watched@uni.example", STRANGER, 250, RECIPIENT_EXPAND, "access recipient"},
	{"anna@uni.example", STRANGER, 250, RECIPIENT_DELIVER, "access recipient"},
	{"bob@uni.example", STRANGER, 250, RECIPIENT_EXPAND, "catch-all"},
};

static bool has_rule(const struct recipient_verdict *verdict, const char *rule)
{
	for (size_t i = 0; i < verdict->n_reasons; i++)
		if (strcmp(verdict->reasons[i].rule, rule) == 0)
			return true;
	return false;
}

static void recipients_and_relay(void **state)
{
	struct world *world = *state;
	for (int from_file = 0; from_file < 2; from_file++) {
		world->from_file = from_file;
		for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
			const struct row *row = &rows[i];
			struct recipient_verdict v = decide(world, row->address, row->who);
			if (v.code != row->code || v.outcome != row->outcome || !has_rule(&v, row->rule))
				fail_msg("%s (row %zu): %d %s, \"%.*s\", %s %s", row->address, i, v.code, recipient_outcome_name(v.outcome),
					STR_FMT(v.text), row->rule, has_rule(&v, row->rule) ? "given" : "missing");
		}
		struct recipient_verdict v = decide(world, "watched@uni.example", STRANGER);
		assert_true(str_eq(v.quarantine, STR("for the record")));
		v = decide(world, "anna@uni.example", STRANGER);
		assert_int_equal(v.quarantine.n, 0);
	}
}

// RELAY for everybody lets nobody, whoever wrote it.
static void nobody_lets_everybody_relay(void **state)
{
	struct world *world = *state;
	static const char *const keys[] = {"Connect:0.0.0.0/0", "Connect:128.0.0.0/1", "Connect:::/0", "To:example", "To:x@", "From:far.example", "To:.example"};
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct err err;
		struct rules *rules = rules_new();
		struct str ldif = arena_printf(world->arena, "%sdn: cn=x,dc=uni\nobjectClass: phMailAccess\ncn: x\nphAccessKey: %s\nphAccessAction: RELAY\n", people,
			keys[i]);
		struct directory *kept = world->directory;
		world->complaints = 0;
		assert_false(rules_add(rules, RULES_ACCESS, STR("access"), arena_printf(world->arena, "%s RELAY\n", keys[i]), complain, world));
		assert_int_equal(world->complaints, 1);
		rules_drop(&rules);
		world->from_file = false;
		world->directory = directory_memory_new(ldif, NULL, &err);
		assert_non_null(world->directory);
		struct recipient_verdict v = decide(world, "x@far.example", STRANGER);
		if (v.code != 550)
			fail_msg("%s makes an open relay", keys[i]);
		directory_close(&world->directory);
		world->directory = kept;
	}
	struct netaddr_net net;
	assert_true(netaddr_net_parse(STR("0.0.0.0/0"), &net) && relay_network_is_everybody(&net));
	const struct settings_networks networks = {&net, 1};
	const struct relay_client client = {.networks = &networks, .address = {.family = NETADDR_IPV4}};
	struct relay_why why;
	assert_false(relay_allowed(&client, false, NULL, &why));
}

static void a_doubt_refuses_for_now(void **state)
{
	struct world *world = *state;
	struct err err;
	struct addr addr;
	struct access access;
	struct directory *directory = directory_memory_new(STR(
		"dn: cn=x,dc=uni\nobjectClass: phMailAccess\ncn: x\nphAccessKey: From:two.example\nphAccessAction: OK\n\n"
		"dn: cn=y,dc=uni\nobjectClass: phMailAccess\ncn: y\nphAccessKey: From:Two.example\nphAccessAction: REJECT\n\n"
		"dn: cn=z,dc=uni\nobjectClass: phMailAccess\ncn: z\nphAccessKey: From:broken.example\nphAccessAction: REJEKT\n"), NULL, &err);
	const struct access_table of = {directory, NULL, STR_NONE};
	static const char *const of_doubt[] = {"x@two.example", "x@broken.example"};
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(addr_parse(world->arena, str_of_c(of_doubt[i]), 0, &addr), ADDR_OK);
		access_sender(&of, &addr, world->arena, &access);
		assert_true(access.refuses);
		assert_int_equal(access.reply.code, 451);
	}
	directory_close(&directory);
}

// --- Files ---

static void of_one_key_the_file_counts(void **state)
{
	struct world *world = *state;
	struct rules *rules = rules_new();
	struct addr addr;
	struct access access;
	assert_true(rules_add(rules, RULES_ACCESS, STR("access"), STR("From:bad.example OK\n# From:good.bad.example REJECT\n"), complain, world));
	const struct access_table of = {world->directory, rules, STR("+")};
	static const struct {
		const char *address;
		bool refused;
	} of_both[] = {{"x@bad.example", false}, {"spammer@bad.example", true}, {"x@good.bad.example", false}, {"stealth@bad.example", false}};
	for (size_t i = 0; i < sizeof of_both / sizeof *of_both; i++) {
		assert_int_equal(addr_parse(world->arena, str_of_c(of_both[i].address), 0, &addr), ADDR_OK);
		access_sender(&of, &addr, world->arena, &access);
		assert_int_equal(access.refuses, of_both[i].refused);
	}
	rules_drop(&rules);
}

static const struct {
	enum rules_kind kind;
	const char *text, *complaint; // the last one; NULL: fine
} files[] = {
	{RULES_ROUTES, "# mailertable\n\n.my.example\tesmtp:[gw.example]\nmy.example   smtp:[gw.example]:26\n", NULL},
	{RULES_ROUTES, "my.example\n  esmtp:[a.example],\n  [b.example]\n", NULL},
	{RULES_ROUTES, "my.example\tesmtp:[gw.example]\r\n\r\nother.example\terror:5.1.2:550 no\r\n", NULL},
	{RULES_ROUTES, "user@my.example local:user\n. esmtp:[smart.example] tls=encrypt\n", NULL},
	{RULES_ROUTES, "my.example\n", "t:1: my.example has no value"},
	{RULES_ROUTES, "\n\nmy.example uucp-new:host\n", "t:3: my.example begins with a mailer that is not known here: esmtp:, local:, discard: and error: are"},
	{RULES_ROUTES, "my.example esmtp:gw.example\n", "t:1: my.example needs MX records, which are not looked up yet: write the next hop as [name]"},
	{RULES_ROUTES, "a.example discard:\nA.example discard:\n", "t:2: A.example is there already: its key has a row further up"},
	{RULES_ROUTES, "my.example esmtp:[gw.example] tls=dane\n",
		"t:1: my.example asks for DANE, which needs DNSSEC look-ups that are not built yet; until then verify, encrypt or fingerprint="},
	{RULES_ACCESS, "Connect:host.example REJECT\n",
		"t:1: Connect:host.example names a client by something else than its address or network: names need DNS, which is not asked yet"},
	{RULES_ACCESS, "TLS_Clt:192.0.2.1 0\n", "t:1: TLS_Clt:192.0.2.1 has a tag that is not known here: Connect:, From:, To:, CERTIssuer:, CERTSubject: and CERTName: are"},
	{RULES_ACCESS, "From:x.example MAYBE\n",
		"t:1: From:x.example is none of OK, RELAY, SUBJECT, REJECT, DISCARD, SKIP, QUARANTINE:, ERROR:, or a reply code and text"},
	{RULES_ACCESS, "From:x.example ERROR:250 fine\n", "t:1: From:x.example has a reply code that is neither 4xx nor 5xx"},
};

static void files_are_read_as_theirs(void **state)
{
	struct world *world = *state;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct rules *rules = rules_new();
		world->complaints = 0;
		bool good = rules_add(rules, files[i].kind, STR("t"), str_of_c(files[i].text), complain, world);
		if (good != (files[i].complaint == NULL) || (!good && strcmp(buf_c(&world->last), files[i].complaint) != 0))
			fail_msg("row %zu: %s", i, good ? "accepted" : buf_c(&world->last));
		rules_drop(&rules);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_and_senders),
		cmocka_unit_test(certificates),
		cmocka_unit_test(rows_about_certificates_that_say_nothing),
		cmocka_unit_test(the_row_is_named),
		cmocka_unit_test(recipients_and_relay),
		cmocka_unit_test(nobody_lets_everybody_relay),
		cmocka_unit_test(a_doubt_refuses_for_now),
		cmocka_unit_test(of_one_key_the_file_counts),
		cmocka_unit_test(files_are_read_as_theirs),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
