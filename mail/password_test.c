// SPDX-License-Identifier: Apache-2.0
// Passwords: values that other software made, costs that are refused, values that we make, SCRAM's published vector, SASLprep.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "mail/password.h"
#include "password_hash.h"

#define PHRASE "pass w\xc3\xb6rd"

struct verify_case {
	const char *stored;
	const char *password;
	enum password_result want;
};

static void verify_all(const struct verify_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		enum password_result got = password_verify(str_of_c(cases[i].stored), str_of_c(cases[i].password));
		if (got != cases[i].want)
			fail_msg("%s with \"%s\": %d, expected %d", cases[i].stored, cases[i].password, got, cases[i].want);
	}
}

// Made by Python's hashlib, libxcrypt and Argon2's reference program.
static const struct verify_case foreign[] = {
	{"{SSHA}Txj+iJi3aQf1mngtUtOJDV4vj/pzYWx0eQA=", PHRASE, PASSWORD_MATCH},
	{"{ssha256}EzEwvGxLOsf833NVnljYxg4XMotjK2YAKck+8USo3gpzYWx0eQA=", PHRASE, PASSWORD_MATCH},
	{"{SSHA384}+8BbjvEhRHK6N5J554xW1+4AxmNZNOAD5T3Ys7tYEpPLhN0H1UYsQ3gMisi3ES+ac2FsdHkA", PHRASE, PASSWORD_MATCH},
	{"{SSHA512}/R5bOvy3r1E4a2uA/7HU9xdutUO6h85gRZrSqZFL6TQBZe8MxQSFnPhUx/W6dRCVzgqEPfzikKNqvVEukKfQbXNhbHR5AA==", PHRASE,
         PASSWORD_MATCH},
	{"{SHA}B/PcQHeAKywePq/ztWiCWf9lImE=", PHRASE, PASSWORD_MATCH},
	{"{SHA256}OiJnkCVYiolCxym6OY5vSw4KcK5/4byVl4xwY92nKW4=", PHRASE, PASSWORD_MATCH},
	{"{SHA512}zNC2/6f2hn0TF9T9rZD547wrjHSb4QzAd6Ka2pPoW8SpdvPx3wCEucqGdC89XUEQapM6HFqXiGHAibw6tmkzKg==", PHRASE, PASSWORD_MATCH},
	{"{PBKDF2}1000$c2FsdHkA$nJcLACwBJ46Llkb2WWXfla3bxSA", PHRASE, PASSWORD_MATCH},
	{"{PBKDF2-SHA1}1000$c2FsdHkA$nJcLACwBJ46Llkb2WWXfla3bxSA", PHRASE, PASSWORD_MATCH},
	{"{PBKDF2-SHA256}1000$c2FsdHkA$D5fsy4ox4MNSbqoj6cHp0fdPuwJmLDTzUQ7iuiT5MzA", PHRASE, PASSWORD_MATCH},
	{"{PBKDF2-SHA512}1000$c2FsdHkA$p0DZoAgdmAB2TGkPTm2vr5hufV08YzwsGllpnkfkqYVfeKhfUl2JUcSrqd0atXo9aXE8MIpZT3JdX4JsZ9EFRw", PHRASE,
         PASSWORD_MATCH},
	{"{CRYPT}$6$saltstring$YMidTKeEFc1WPs7FytHgfL.rZQ/qc03RTnHVFa9twOg4No8YdKSkRfmuP2c5QXxDavcdPZMYRJgGGq3YVTlDq0", PHRASE,
         PASSWORD_MATCH},
	{"{CRYPT}$5$rounds=1000$saltstring$9rldGR5hVEGcU8s1y7QXnTUiooHv6mr8IKo8kZIHvA6", PHRASE, PASSWORD_MATCH},
	{"{CRYPT}$1$saltst$EG/gOD4OVkXsNg3oKEhi91", PHRASE, PASSWORD_MATCH},
	{"{CRYPT}abZKnLUO6M512", PHRASE, PASSWORD_MATCH},
	{"{CRYPT}$2b$05$abcdefghijklmnopqrstuuQDSF6qSJcy8N/IByZ1MdlzLHQR97r/O", PHRASE, PASSWORD_MATCH},
	{"{CRYPT}$7$8/..../....SaltSalt$InlYPop6KRI6C3CVRPG/LlINuudDqqJ/faixjOwN2D2", PHRASE, PASSWORD_MATCH},
	{"{CRYPT}$y$j75$F5Jx5fExrKuPp53xLKQ..1$2XvKDVE7qdyqEUwwkuEsfNvFF5oOzjFHew.7XfJqqU/", PHRASE, PASSWORD_MATCH},
	{"{ARGON2}$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password", PASSWORD_MATCH},
	{"{ARGON2}$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password", PASSWORD_MATCH},
	{"{CLEARTEXT}" PHRASE, PHRASE, PASSWORD_MATCH},
	{PHRASE, PHRASE, PASSWORD_MATCH},
};

static void values_of_other_software_match(void **state)
{
	(void)state;
	verify_all(foreign, sizeof foreign / sizeof *foreign);
}

static void another_password_matches_none_of_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
		struct str stored = str_of_c(foreign[i].stored);
		assert_int_equal(password_verify(stored, STR("pass word")), PASSWORD_MISMATCH);
		if (stored.p[0] == '{') // the stored value is not a password
			assert_int_equal(password_verify(stored, stored), PASSWORD_MISMATCH);
		assert_int_equal(password_verify(stored, STR("")), PASSWORD_MISMATCH);
		assert_int_equal(password_verify(stored, STR(PHRASE "\0")), PASSWORD_MISMATCH);
	}
}

static void what_cannot_be_used_is_said_to_be_so(void **state)
{
	(void)state;
	const struct verify_case cases[] = {
		{"", PHRASE, PASSWORD_UNUSABLE},
		{"{CLEARTEXT}", PHRASE, PASSWORD_UNUSABLE},
		{"{SASL}anna@uni.example", PHRASE, PASSWORD_UNUSABLE},
		{"{MD5}abc", PHRASE, PASSWORD_UNUSABLE},
		{"{SSHA}", PHRASE, PASSWORD_UNUSABLE},
		{"{SSHA}B/PcQHeAKywePq/ztWiCWf9lImE=", PHRASE, PASSWORD_UNUSABLE}, // no salt
		{"{SHA}Txj+iJi3aQf1mngtUtOJDV4vj/pzYWx0eQA=", PHRASE, PASSWORD_UNUSABLE}, // salt
		{"{SHA}B/PcQHeAKywePq/ztWiCWf9lIm", PHRASE, PASSWORD_UNUSABLE},
		{"{CRYPT}", PHRASE, PASSWORD_UNUSABLE},
		{"{CRYPT}!", PHRASE, PASSWORD_UNUSABLE},
		{"{CRYPT}*LK*", PHRASE, PASSWORD_UNUSABLE},
		{"{CRYPT}_J9..CCCCXBrJUJV154M", PHRASE, PASSWORD_UNUSABLE},
		{"{PBKDF2-SHA256}0$c2FsdHkA$D5fsy4ox4MNSbqoj6cHp0fdPuwJmLDTzUQ7iuiT5MzA", PHRASE, PASSWORD_UNUSABLE},
		{"{PBKDF2-SHA256}1000$c2FsdHkA$D5fsy4ox", PHRASE, PASSWORD_UNUSABLE},
		{"{PBKDF2-SHA256}1000$c2FsdHkA", PHRASE, PASSWORD_UNUSABLE},
		{"{ARGON2}$argon2id$v=19$m=256,t=2$c29tZXNhbHQ$nf65EOgL", PHRASE, PASSWORD_UNUSABLE},
		{"{ARGON2}$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$", PHRASE, PASSWORD_UNUSABLE},
		// Costs that would hold a worker for minutes, or the node's memory.
		{"{CRYPT}$6$rounds=999999999$saltstring$abc", PHRASE, PASSWORD_UNUSABLE},
		{"{CRYPT}$5$rounds=99999999999999999999$saltstring$abc", PHRASE, PASSWORD_UNUSABLE},
		{"{CRYPT}$2b$31$abcdefghijklmnopqrstuuQDSF6qSJcy8N/IByZ1MdlzLHQR97r/O", PHRASE, PASSWORD_UNUSABLE},
		{"{CRYPT}$7$zzzzz/....SaltSalt$InlYPop6KRI6C3CVRPG", PHRASE, PASSWORD_UNUSABLE},
		{"{CRYPT}$y$jHT$F5Jx5fExrKuPp53xLKQ..1$abc", PHRASE, PASSWORD_UNUSABLE},
		{"{PBKDF2-SHA512}4294967295$c2FsdHkA$abcd", PHRASE, PASSWORD_UNUSABLE},
		{"{ARGON2}$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", PHRASE, PASSWORD_UNUSABLE},
		{"{ARGON2}$argon2id$v=19$m=256,t=1000,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", PHRASE, PASSWORD_UNUSABLE},
	};
	verify_all(cases, sizeof cases / sizeof *cases);
}

static void what_we_make_we_verify(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, PASSWORD_STORED_BYTES_MAX);
	const char *const names[] = {"argon2", "PBKDF2-SHA256", "CRYPT", "SSHA512", "SSHA"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		enum password_scheme scheme;
		assert_true(password_scheme_parse(str_of_c(names[i]), &scheme));
		buf_clear(&b);
		assert_int_equal(password_make(scheme, STR(PHRASE), &b, NULL), ERR_OK);
		assert_int_equal(b.p[0], '{');
		assert_int_equal(password_verify(buf_str(&b), STR(PHRASE)), PASSWORD_MATCH);
		assert_int_equal(password_verify(buf_str(&b), STR("other")), PASSWORD_MISMATCH);
	}
	struct str first = buf_str(&b);
	struct buf again;
	buf_init(&again, PASSWORD_STORED_BYTES_MAX);
	assert_int_equal(password_make(PASSWORD_SSHA, STR(PHRASE), &again, NULL), ERR_OK);
	assert_false(str_eq(first, buf_str(&again))); // a salt of its own
	assert_int_equal(password_make(PASSWORD_SSHA, STR(""), &b, NULL), ERR_INVALID);
	assert_int_equal(password_make(PASSWORD_SSHA, STR("\xff"), &b, NULL), ERR_INVALID);
	assert_int_equal(password_make(PASSWORD_SSHA, STR("a\0b"), &b, NULL), ERR_INVALID);
	assert_false(password_scheme_parse(STR("MD5"), &(enum password_scheme){PASSWORD_SSHA}));
	buf_fini(&b);
	buf_fini(&again);
}

static void a_full_buffer_keeps_what_it_had(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 40);
	buf_add(&b, STR("before"));
	assert_int_equal(password_make(PASSWORD_SSHA, STR(PHRASE), &b, NULL), ERR_LIMIT);
	assert_true(str_eq(buf_str(&b), STR("before")));
	buf_fini(&b);
}

// RFC 7677 section 3: user "user", password "pencil".
static void scram_has_the_keys_of_rfc_7677(void **state)
{
	(void)state;
	const struct str want = STR("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
	                            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
	const struct str salt = STR("\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81");
	struct buf b;
	buf_init(&b, PASSWORD_STORED_BYTES_MAX);
	assert_int_equal(password_scram_make_salted(STR("pencil"), salt, 4096, &b, NULL), ERR_OK);
	assert_true(str_eq(buf_str(&b), want));
	assert_true(password_scram_is_usable(want));
	buf_clear(&b);
	assert_int_equal(password_scram_make(STR(PHRASE), PASSWORD_SCRAM_ITERATIONS, &b, NULL), ERR_OK);
	assert_true(password_scram_is_usable(buf_str(&b)));
	assert_int_equal(password_scram_make_salted(STR("pencil"), salt, 1, &b, NULL), ERR_INVALID);
	assert_false(password_scram_is_usable(str_upto(want, want.n - 4)));
	assert_false(password_scram_is_usable(STR("SCRAM-SHA-256$4294967295:W22ZaJ0SNY7soEsUEjb6gQ==$a:b")));
	assert_false(password_scram_is_usable(STR("{SSHA}Txj+iJi3aQf1mngtUtOJDV4vj/pzYWx0eQA=")));
	buf_fini(&b);
}

// RFC 4013 section 3, and what tables forbid.
static void saslprep_maps_and_refuses(void **state)
{
	(void)state;
	const struct {
		struct str in, want;
	} good[] = {
		{STR("I\xc2\xadX"), STR("IX")},
		{STR("user"), STR("user")},
		{STR("USER"), STR("USER")},
		{STR("\xc2\xaa"), STR("a")},
		{STR("\xe2\x85\xa8"), STR("IX")},
		{STR("a\xc2\xa0" "b"), STR("a b")},
		{STR("\xd8\xa7\xd9\x84\xd8\xa7"), STR("\xd8\xa7\xd9\x84\xd8\xa7")},
		{STR("u\xcc\x88"), STR("\xc3\xbc")},
		{STR("\xf0\x9f\x90\x8e"), STR("\xf0\x9f\x90\x8e")},
	};
	struct buf b;
	buf_init(&b, 64);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		buf_clear(&b);
		assert_int_equal(password_prepare(good[i].in, &b, NULL), ERR_OK);
		assert_true(str_eq(buf_str(&b), good[i].want));
	}
	const struct str bad[] = {STR("\x07"), STR("\xd8\xa7" "1"), STR("a\xd8\xa7"), STR("\xd8\xa7" "b\xd8\xa7"), STR("\xc2\xad"), STR("\xee\x80\x80"),
		STR("\xef\xbf\xbe"), STR(""), STR("\xff"), STR("\xe2\x80\x8e" "a")};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		buf_clear(&b);
		if (password_prepare(bad[i], &b, NULL) != ERR_INVALID)
			fail_msg("bad[%zu] was accepted", i);
	}
	buf_fini(&b);
}

static void nobody_has_no_password(void **state)
{
	(void)state;
	password_dummy(STR(""));
	password_dummy(STR(PHRASE));
	assert_int_equal(password_verify(STR("{CRYPT}" PASSWORD_NOBODY), STR(PHRASE)), PASSWORD_MISMATCH); // not UNUSABLE, which costs nothing
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_other_software_match),
		cmocka_unit_test(another_password_matches_none_of_them),
		cmocka_unit_test(what_cannot_be_used_is_said_to_be_so),
		cmocka_unit_test(what_we_make_we_verify),
		cmocka_unit_test(a_full_buffer_keeps_what_it_had),
		cmocka_unit_test(scram_has_the_keys_of_rfc_7677),
		cmocka_unit_test(saslprep_maps_and_refuses),
		cmocka_unit_test(nobody_has_no_password),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
