// SPDX-License-Identifier: Apache-2.0
// The directory as it would be: every kind of look-up, two owners counted over both, what is refused and with which line.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ldapsync/directory_memory.h"
#include "ldapsync/directory_overlay.h"

static const char people[] =
	"dn: dc=u\nobjectClass: phMailDomain\nassociatedDomain: u.example\nphDomainType: local\nphAuthRealm: r.example\n\n"
	"dn: uid=a,ou=p\nobjectClass: phMailUser\nuid: a\nmail: a@u.example\nmailHost: h.u.example\n"
	"phMailboxId: 11111111222233334444555555555555\n\n"
	"dn: uid=b,ou=p\nobjectClass: phMailUser\nuid: b\nmail: b@u.example\nmail: c@u.example\nphForwardAddress: X@Y.example\n\n"
	"dn: uid=d,ou=p\nobjectClass: phMailAlias\nmail: c@u.example\nrfc822MailMember: a@u.example\n\n"
	"dn: uid=e,ou=p\nobjectClass: phMailAlias\nmail: c@u.example\nrfc822MailMember: a@u.example\n\n"
	"dn: cn=g,ou=g\nobjectClass: phMailGroup\ncn: g\nmail: g@u.example\nmember: uid=a,ou=p\nmember: uid=b,ou=p\n\n"
	"dn: cn=h,ou=h\nobjectClass: phMailHost\ncn: h.u.example\nphHostEndpoint: lmtp=inet:127.0.0.1:24\n\n";

struct fixture {
	struct directory *before, *after;
	struct directory_memory *memory;
	struct directory_overlay *overlay;
	struct arena *arena;
	size_t complaints, complaint_line;
	struct err err;
	const struct profile *profile;
	const struct entry_source *source;
};

static int setup(void **state)
{
	static struct fixture fixture;
	fixture = (struct fixture){.arena = arena_new(16 << 20)};
	fixture.before = directory_memory_new(str_of_c(people), &fixture.memory, &fixture.err);
	*state = &fixture;
	return fixture.before == NULL;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	directory_close(&fixture->after);
	directory_close(&fixture->before);
	arena_free(&fixture->arena);
	return 0;
}

static void complain(void *context, size_t line, struct str dn, struct str attribute, const char *what)
{
	struct fixture *fixture = context;
	(void)dn;
	(void)attribute;
	(void)what;
	fixture->complaints++;
	fixture->complaint_line = line;
}

static enum err_code change(struct fixture *fixture, const char *text)
{
	const struct directory_overlay_change spec = {
		.name = "c", .profile = fixture->profile, .source = fixture->source, .complain = complain, .context = fixture};
	directory_close(&fixture->after);
	fixture->err = (struct err){0};
	fixture->after = directory_overlay_of_text(fixture->before, &spec, str_of_c(text), &fixture->overlay, &fixture->err);
	return fixture->err.code;
}

static void good(struct fixture *fixture, const char *text)
{
	if (change(fixture, text) != ERR_OK)
		fail_msg("%s", fixture->err.text);
}

static void bad(struct fixture *fixture, enum err_code code, const char *begins, const char *text)
{
	enum err_code got = change(fixture, text);
	if (got != code || !str_starts(str_of_c(fixture->err.text), str_of_c(begins)))
		fail_msg("%s gave %s: \"%s\"", text, err_name(got), fixture->err.text);
}

static enum directory_answer ask(struct fixture *fixture, enum directory_key kind, const char *key, struct directory_match *match_out)
{
	return directory_find(fixture->after, kind, str_of_c(key), fixture->arena, match_out);
}

static void expect(struct fixture *fixture, enum directory_key kind, const char *key, const char *dn)
{
	struct directory_match match;
	enum directory_answer answer = ask(fixture, kind, key, &match);
	if (dn == NULL)
		assert_int_equal(answer, DIRECTORY_NONE);
	else if (answer != DIRECTORY_FOUND || !str_eq(match.entry->dn, str_of_c(dn)))
		fail_msg("%s is not %s", key, dn);
}

static void test_every_kind(void **state)
{
	struct fixture *fixture = *state;
	struct guid id;
	good(fixture, "dn: uid=a,ou=p\nchangetype: modify\nreplace: mail\nmail: new@u.example\n-\nreplace: uid\nuid: z\n-\n"
		      "replace: phMailboxId\nphMailboxId: 99999999222233334444555555555555\n\n"
		      "dn: cn=h,ou=h\nchangetype: modify\nreplace: cn\ncn: h2.u.example\n\n"
		      "dn: cn=r,ou=r\nchangetype: add\nobjectClass: phMailRoute\nphRouteKey: o.example\nphRouteTarget: esmtp:[h.u.example]\n\n"
		      "dn: dc=u\nchangetype: modify\nadd: associatedDomain\nassociatedDomain: v.example\n");
	expect(fixture, DIRECTORY_ADDRESS, "a@u.example", NULL);
	expect(fixture, DIRECTORY_ADDRESS, "new@u.example", "uid=a,ou=p");
	expect(fixture, DIRECTORY_LOGIN, "a@r.example", NULL);
	expect(fixture, DIRECTORY_LOGIN, "z@r.example", "uid=a,ou=p"); // by the realm of the domain, which did not change
	expect(fixture, DIRECTORY_LOGIN, "b@r.example", "uid=b,ou=p");
	expect(fixture, DIRECTORY_HOST, "h.u.example", NULL);
	expect(fixture, DIRECTORY_HOST, "h2.u.example", "cn=h,ou=h");
	expect(fixture, DIRECTORY_DOMAIN, "v.example", "dc=u");
	expect(fixture, DIRECTORY_DOMAIN, "u.example", "dc=u");
	expect(fixture, DIRECTORY_ROUTE, "o.example", "cn=r,ou=r");
	expect(fixture, DIRECTORY_DN, "UID=A, OU=P", "uid=a,ou=p");
	struct directory_match match;
	assert_true(guid_parse(STR("11111111222233334444555555555555"), &id));
	assert_int_equal(directory_find(fixture->after, DIRECTORY_MAILBOX, guid_bytes(&id), fixture->arena, &match), DIRECTORY_NONE);
	assert_true(guid_parse(STR("99999999222233334444555555555555"), &id));
	assert_int_equal(directory_find(fixture->after, DIRECTORY_MAILBOX, guid_bytes(&id), fixture->arena, &match), DIRECTORY_FOUND);
	assert_int_equal(directory_find(fixture->after, DIRECTORY_UUID, guid_bytes(&match.entry->uuid), fixture->arena, &match), DIRECTORY_FOUND);
	assert_true(str_eq(directory_next_key(fixture->after, DIRECTORY_HOST, STR("h"), fixture->arena), STR("h2.u.example")));
	assert_true(str_eq(directory_next_key(fixture->after, DIRECTORY_ADDRESS, STR("a"), fixture->arena), STR("b@u.example")));
}

static void test_two_owners(void **state)
{
	struct fixture *fixture = *state;
	struct directory_match match;
	good(fixture, "dn: uid=b,ou=p\nchangetype: modify\nadd: mail\nmail: a@u.example\n");
	assert_int_equal(ask(fixture, DIRECTORY_ADDRESS, "a@u.example", &match), DIRECTORY_AMBIGUOUS);
	// Three have it: one gone leaves two, two gone leave one, whichever come first beneath.
	good(fixture, "dn: uid=b,ou=p\nchangetype: delete\n");
	assert_int_equal(ask(fixture, DIRECTORY_ADDRESS, "c@u.example", &match), DIRECTORY_AMBIGUOUS);
	good(fixture, "dn: uid=b,ou=p\nchangetype: delete\n\ndn: uid=d,ou=p\nchangetype: delete\n");
	expect(fixture, DIRECTORY_ADDRESS, "c@u.example", "uid=e,ou=p");
	good(fixture, "dn: uid=e,ou=p\nchangetype: delete\n\ndn: uid=d,ou=p\nchangetype: delete\n");
	expect(fixture, DIRECTORY_ADDRESS, "c@u.example", "uid=b,ou=p");
	good(fixture, "dn: uid=e,ou=p\nchangetype: delete\n\ndn: uid=d,ou=p\nchangetype: delete\n\ndn: uid=b,ou=p\nchangetype: delete\n");
	expect(fixture, DIRECTORY_ADDRESS, "c@u.example", NULL);
}

static void test_records_in_order(void **state)
{
	struct fixture *fixture = *state;
	struct directory_match match;
	good(fixture, "dn: uid=a,ou=p\nchangetype: modrdn\nnewrdn: uid=n\ndeleteoldrdn: 1\nnewsuperior: ou=q\n\n"
		      "dn: uid=n,ou=q\nchangetype: modify\nadd: mail\nmail: n@u.example\n-\ndelete: mailHost\nmailHost: H.U.example.\n");
	expect(fixture, DIRECTORY_DN, "uid=a,ou=p", NULL); // members of g keep the old name, as in a server
	expect(fixture, DIRECTORY_ADDRESS, "a@u.example", "uid=n,ou=q");
	assert_int_equal(ask(fixture, DIRECTORY_DN, "uid=n,ou=q", &match), DIRECTORY_FOUND);
	assert_true(str_eq(entry_first(match.entry, ATTR_UID), STR("n")));
	assert_false(entry_has(match.entry, ATTR_MAIL_HOST));
	good(fixture, "dn: uid=a,ou=p\nchangetype: delete\n\ndn: uid=a,ou=p\nchangetype: add\nobjectClass: phMailAlias\nmail: a@u.example\n"
		      "rfc822MailMember: b@u.example\n");
	assert_int_equal(ask(fixture, DIRECTORY_ADDRESS, "a@u.example", &match), DIRECTORY_FOUND);
	assert_int_equal(match.entry->classes, ENTRY_ALIAS);
	good(fixture, "dn: uid=b,ou=p\nobjectClass: phMailUser\nmail: only@u.example\n");
	expect(fixture, DIRECTORY_ADDRESS, "b@u.example", NULL);
	expect(fixture, DIRECTORY_ADDRESS, "only@u.example", "uid=b,ou=p");
}

static void test_asked(void **state)
{
	struct fixture *fixture = *state;
	struct directory_match match;
	good(fixture, "dn: uid=a,ou=p\nchangetype: modify\nreplace: mail\nmail: new@u.example\n");
	(void)directory_overlay_asked(fixture->overlay);
	ask(fixture, DIRECTORY_ADDRESS, "b@u.example", &match);
	assert_false(directory_overlay_asked(fixture->overlay));
	ask(fixture, DIRECTORY_ADDRESS, "a@u.example", &match); // gone
	assert_true(directory_overlay_asked(fixture->overlay));
	assert_false(directory_overlay_asked(fixture->overlay));
	ask(fixture, DIRECTORY_DN, "uid=a,ou=p", &match); // another one
	assert_true(directory_overlay_asked(fixture->overlay));
}

static void test_refused(void **state)
{
	struct fixture *fixture = *state;
#define BOB "dn: uid=b,ou=p\nchangetype: modify\n"
	bad(fixture, ERR_INVALID, "c:4: ", BOB "delete: mail\nmail: zz@u.example\n");
	bad(fixture, ERR_INVALID, "c:4: ", BOB "add: phForwardAddress\nphForwardAddress: X@y.EXAMPLE\n");
	bad(fixture, ERR_INVALID, "c:3: ", BOB "delete: mailHost\n");
	bad(fixture, ERR_INVALID, "c:4: ", BOB "replace: mail\nuid: x\n");
	bad(fixture, ERR_UNSUPPORTED, "c:3: ", BOB "increment: phQuotaBytes\nphQuotaBytes: 1\n");
	bad(fixture, ERR_UNSUPPORTED, "c:2: ", "dn: uid=b,ou=p\nchangetype: destroy\n");
	bad(fixture, ERR_EXISTS, "c:1: ", "dn: uid=b,ou=p\nchangetype: add\nobjectClass: phMailUser\n");
	bad(fixture, ERR_EXISTS, "c:1: ", "dn: uid=b,ou=p\nchangetype: modrdn\nnewrdn: uid=a\ndeleteoldrdn: 0\n");
	bad(fixture, ERR_INVALID, "c:1: ", "dn: uid=b,ou=p\nchangetype: modrdn\nnewrdn: uid=x\n");
	bad(fixture, ERR_NOTFOUND, "c:1: ", "dn: uid=no,ou=p\nchangetype: modrdn\nnewrdn: uid=x\ndeleteoldrdn: 1\n");
	bad(fixture, ERR_NOTFOUND, "c:3: ", BOB "delete: objectClass\nobjectClass: phMailUser\n");
	bad(fixture, ERR_NOTFOUND, "c:4: ", "dn: uid=no,ou=p\nchangetype: modify\nadd: objectClass\nobjectClass: phMailUser\n");
	bad(fixture, ERR_NOTFOUND, "c:3: ", BOB "replace: mail;x-y\nmail;x-y: z@u.example\n");
	bad(fixture, ERR_UNSUPPORTED, "c:2: ", "dn: uid=b,ou=p\ncontrol: 1.2.3\nchangetype: delete\n");
	good(fixture, BOB "delete: objectClass\nobjectClass: phMailUser\nobjectClass: phMailRecipient\n");
	expect(fixture, DIRECTORY_ADDRESS, "b@u.example", NULL);
	good(fixture, "dn: uid=no,ou=p\nchangetype: modify\nreplace: telephoneNumber\ntelephoneNumber: 1\n");
	directory_memory_set_status(fixture->memory, &(struct directory_status){0});
	directory_close(&fixture->after);
	bad(fixture, ERR_BUSY, "", BOB "replace: uid\nuid: x\n");
}

static void test_what_is_beneath(void **state)
{
	struct fixture *fixture = *state;
	static const char more[] = "dn: dc=u\nobjectClass: phMailDomain\nassociatedDomain: u.example\n\n"
				   "dn: uid=a,OU=p, DC=u\nobjectClass: phMailUser\nmail: a@u.example\n";
	directory_close(&fixture->before);
	fixture->before = directory_memory_new(str_of_c(more), NULL, &fixture->err);
	bad(fixture, ERR_NOTFOUND, "c:1: dc=u", "dn: dc=u\nchangetype: delete\n");
	bad(fixture, ERR_NOTFOUND, "c:1: dc=u", "dn: dc=u\nchangetype: modrdn\nnewrdn: dc=v\ndeleteoldrdn: 0\n");
	good(fixture, "dn: uid=a,ou=p,dc=u\nchangetype: delete\n\ndn: dc=u\nchangetype: delete\n");
	expect(fixture, DIRECTORY_DOMAIN, "u.example", NULL);
}

// As a load would: a value that lies is left out and reported, the entry stays.
static void test_values_that_lie(void **state)
{
	struct fixture *fixture = *state;
	struct directory_match match;
	good(fixture, "dn: uid=a,ou=p\nchangetype: modify\nadd: phForwardAddress\nphForwardAddress: |sh\n");
	assert_int_equal(fixture->complaints, 1);
	assert_int_equal(fixture->complaint_line, 4);
	assert_int_equal(ask(fixture, DIRECTORY_ADDRESS, "a@u.example", &match), DIRECTORY_FOUND);
	assert_false(entry_has(match.entry, ATTR_PH_FORWARD_ADDRESS));
}

// The directory as it is.
static enum err_code fetch(void *context, const struct str *dns, size_t n, entry_source_value_fn *each, void *taker, struct err *err)
{
	static const struct {
		const char *dn, *name, *value;
	} values[] = {
		{"cn=r,ou=p", "objectClass", "qmailUser"}, {"cn=r,ou=p", "mailAlternateAddress", "r@u.example"},
		{"cn=r,ou=p", "mailForwardingAddress", "one@u.example"},   {"cn=r,ou=p", "mailForwardingAddress", "|command"},
		{"uid=n,ou=p", "objectClass", "person"},                {"uid=n,ou=p", "uid", "n"},
	};
	size_t *asked = context;
	if (*asked == SIZE_MAX)
		return err_set(err, ERR_CONNECT, "nobody is there");
	*asked += n;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < sizeof values / sizeof *values; j++)
			if (str_eq_nocase(dns[i], str_of_c(values[j].dn)))
				each(taker, i, str_of_c(values[j].name), str_of_c(values[j].value));
	return ERR_OK;
}

static void test_source(void **state)
{
	struct fixture *fixture = *state;
	static const char qmail[] = "dn: dc=u\nobjectClass: phMailDomain\nassociatedDomain: u.example\n\n"
				    "dn: cn=r,ou=p\nobjectClass: qmailUser\nmailAlternateAddress: r@u.example\nmailForwardingAddress: one@u.example\n";
#define R "dn: CN=r,ou=p\nchangetype: modify\n"
	struct directory_match match;
	size_t asked = 0;
	const struct entry_source source = {fetch, &asked};
	struct profile *profile = profile_new(SETTINGS_LDAP_PROFILE_QMAIL_LDAP, NULL);
	fixture->profile = profile;
	directory_close(&fixture->before);
	fixture->before = directory_memory_mapped(str_of_c(qmail), profile, NULL, &fixture->err);
	bad(fixture, ERR_NOTFOUND, "c:3: mailForwardingAddress: ldap_profile", R "delete: mailForwardingAddress\n");
	fixture->source = &source;
	good(fixture, R "delete: mailForwardingAddress\nmailForwardingAddress: One@U.example\nmailForwardingAddress: |COMMAND\n-\n"
		      "add: mailForwardingAddress\nmailForwardingAddress: two@u.example\n\n"
		      R "add: telephoneNumber\ntelephoneNumber: 1\n\n" R "add: mailAlternateAddress\nmailAlternateAddress: s@u.example\n");
	assert_int_equal(asked, 1); // once, however often it is changed
	assert_int_equal(ask(fixture, DIRECTORY_ADDRESS, "s@u.example", &match), DIRECTORY_FOUND);
	assert_true(str_eq(entry_first(match.entry, ATTR_PH_FORWARD_ADDRESS), STR("two@u.example")));
	good(fixture, R "replace: objectClass\nobjectClass: person\n-\ndelete: mailAlternateAddress\n");
	expect(fixture, DIRECTORY_ADDRESS, "r@u.example", NULL);
	bad(fixture, ERR_INVALID, "c:4: mailForwardingAddress: the entry has no such value", R "delete: mailForwardingAddress\nmailForwardingAddress: x@u.example\n");
	bad(fixture, ERR_INVALID, "c:4: objectClass: the entry has this value", R "add: objectClass\nobjectClass: qmailuser\n");
	bad(fixture, ERR_NOTFOUND, "c:3: mailHost;x: ", R "add: mailHost;x\nmailHost: h\n");
	bad(fixture, ERR_INVALID, "c:1: cn=q,ou=p: the directory has no entry", "dn: cn=q,ou=p\nchangetype: modify\nadd: mail\nmail: q@u.example\n");
	good(fixture, "dn: uid=n,ou=p\nchangetype: modify\nadd: objectClass\nobjectClass: phMailUser\n-\nadd: mail\nmail: n@u.example\n");
	expect(fixture, DIRECTORY_ADDRESS, "n@u.example", "uid=n,ou=p");
	good(fixture, "dn: uid=n,ou=p\nchangetype: modrdn\nnewrdn: uid=m\ndeleteoldrdn: 1\n");
	asked = SIZE_MAX;
	bad(fixture, ERR_NOTFOUND, "c:3: mailForwardingAddress: ", R "delete: mailForwardingAddress\n");
	assert_non_null(strstr(fixture->err.text, "nobody is there"));
	good(fixture, R "delete: telephoneNumber\n");
	fixture->profile = NULL;
	fixture->source = NULL;
	directory_close(&fixture->after);
	profile_free(&profile);
}

// Its texts as "|lang>text", in the order of the shadow.
static void expect_texts(struct fixture *fixture, const char *expected)
{
	struct directory_match match;
	struct entry_cursor cursor = {0};
	struct str value, all = STR("");
	assert_int_equal(ask(fixture, DIRECTORY_ADDRESS, "a@u.example", &match), DIRECTORY_FOUND);
	while (entry_next(match.entry, ATTR_PH_VACATION_TEXT, &cursor, &value)) {
		struct str lang = entry_take_language(&value);
		all = arena_printf(fixture->arena, "%.*s|%.*s>%.*s", STR_FMT(all), STR_FMT(lang), STR_FMT(value));
	}
	assert_string_equal(all.p, expected);
}

#define A "dn: uid=a,ou=p\nchangetype: modify\n"

static void test_languages(void **state)
{
	struct fixture *fixture = *state;
	const char *three = A "add: phVacationText\nphVacationText: x\n-\nadd: phVacationText;lang-de\nphVacationText;lang-de: y\n-\n"
			      "add: phVacationText;lang-en-GB\nphVacationText;lang-en-GB: x\n";
	good(fixture, three);
	expect_texts(fixture, "|>x|de>y|en-GB>x");
	good(fixture, arena_printf(fixture->arena, "%s-\nreplace: phVacationText\nphVacationText: z\n", three).p);
	expect_texts(fixture, "|de>y|en-GB>x|>z");
	good(fixture, arena_printf(fixture->arena, "%s-\ndelete: PHVACATIONTEXT;LANG-EN-gb\n", three).p);
	expect_texts(fixture, "|>x|de>y");
	good(fixture, arena_printf(fixture->arena, "%s-\ndelete: phVacationText;lang-en-GB\nphVacationText;lang-en-GB: x\n", three).p);
	expect_texts(fixture, "|>x|de>y");
	bad(fixture, ERR_INVALID, "c:3: phVacationText: the shadow knows no value", A "delete: phVacationText;lang-de\n");
	bad(fixture, ERR_INVALID, "c:4: phVacationText;lang-de: another attribute", A "add: phVacationText;lang-de\nphVacationText: y\n");
	bad(fixture, ERR_NOTFOUND, "c:3: mail;lang-de: ", A "replace: mail;lang-de\nmail;lang-de: b@u.example\n");
	bad(fixture, ERR_NOTFOUND, "c:3: phVacationText;lang-de;x-y: ", A "add: phVacationText;lang-de;x-y\nphVacationText;lang-de;x-y: y\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_kind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_languages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_records_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_beneath, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values_that_lie, setup, teardown),
		cmocka_unit_test_setup_teardown(test_source, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
