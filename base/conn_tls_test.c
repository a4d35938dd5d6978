// SPDX-License-Identifier: Apache-2.0
// Connections under TLS: the same talk, handshakes that fail, names, versions, certificates of both sides, contexts.
#include <linux/tcp.h>
#include <netinet/in.h>

#include "test_conn.h"

// --- TLS ---

static void serves_starttls(struct conn *conn, struct talk *talk)
{
	must_line(conn, STR("STARTTLS"));
	conn_printf(conn, "220 go ahead\r\n");
	talk->code = conn_tls_accept(conn, talk->server, &talk->n, &talk->err);
	if (talk->code) {
		conn_close(&conn, 100);
		return;
	}
	must(conn_tls(conn) != NULL && conn_tls(conn)->peer_spki[0] == '\0');
	echo_lines(conn, talk);
}

static void asks_over_tls(struct conn *conn, struct talk *talk)
{
	conn_printf(conn, "STARTTLS\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("220 go ahead"));
	must(conn_tls_connect(conn, talk->client, str_of_c(talk->host), &talk->err) == ERR_OK);
	talk->tls = *conn_tls(conn);
	asks_lines(conn, talk);
}

static void tls_talk_is_the_same_talk(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct tls_client *client = new_client(TLS_VERIFY_HOST, &uni_ec);
	for (int bytewise = 0; bytewise < 2; bytewise++) {
		struct talk talk = {.serve = serves_starttls, .ask = asks_over_tls, .server = server, .client = client,
				    .host = "mx.uni.example", .bytewise = bytewise};
		run_talk(&talk);
		assert_int_equal(talk.code, ERR_CLOSED); // close_notify is an end, not a failure
		assert_string_equal(talk.tls.version, "TLSv1.3");
		assert_string_equal(talk.tls.cipher, "TLS_AES_128_GCM_SHA256"); // the client's first is another, and the server's word counts
		assert_true(talk.tls.verified && !talk.tls.resumed && talk.tls.bits >= 128);
		assert_string_equal(talk.tls.server_name, "mx.uni.example");
		assert_int_equal(strlen(talk.tls.peer_fingerprint), 64);
		assert_int_equal(strlen(talk.tls.peer_spki), 64);
		assert_string_not_equal(talk.tls.peer_spki, talk.tls.peer_fingerprint);
		assert_int_equal(talk.n, 10 * 5 * 8 + 14);
	}
	tls_client_drop(&client);
	tls_server_drop(&server);
}

// --- The end, over TCP ---

static void says_goodbye(struct conn *conn, struct talk *talk)
{
	must(conn_tls_accept(conn, talk->server, NULL, NULL) == ERR_OK);
	must_line(conn, STR("NOOP"));
	conn_printf(conn, "250 ok\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("QUIT"));
	conn_printf(conn, "221 bye\r\n");
	conn_peer_is_done(conn);
	conn_close(&conn, 1000000);
}

static size_t segments_with_data(const struct conn *conn)
{
	struct tcp_info info = {0};
	socklen_t bytes = sizeof info;
	must(getsockopt(conn_fd(conn), IPPROTO_TCP, TCP_INFO, &info, &bytes) == 0);
	return info.tcpi_data_segs_in;
}

static void hears_goodbye(struct conn *conn, struct talk *talk)
{
	struct str chunk;
	must(conn_tls_connect(conn, talk->client, STR("mx.uni.example"), NULL) == ERR_OK);
	conn_printf(conn, "NOOP\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("250 ok"));
	size_t before = segments_with_data(conn);
	conn_printf(conn, "QUIT\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("221 bye"));
	talk->code = conn_read_some(conn, 1, &chunk, &talk->err);
	talk->n = segments_with_data(conn) - before;
	for (int i = 0; i < 10000 && talk->ended == 0; i++) // it does not wait for us
		must(fiber_sleep_ms(1) == FIBER_TIMEOUT);
	must(talk->ended == 1);
	conn_close(&conn, 0);
}

static void pair_over_tcp(int *a, int *b)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t bytes = sizeof sa;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*a = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(listener, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(listener, 1) == 0);
	must(getsockname(listener, (struct sockaddr *)&sa, &bytes) == 0 && connect(*a, (struct sockaddr *)&sa, sizeof sa) == 0);
	*b = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	must(*b >= 0);
	close(listener);
}

static void says_goodbye_to_a_chatterer(struct conn *conn, struct talk *talk)
{
	(void)talk;
	must_line(conn, STR("QUIT"));
	conn_printf(conn, "221 bye\r\n");
	conn_peer_is_done(conn);
	conn_close(&conn, 20000);
}

enum { CHATTER_BYTES = 200 << 10 }; // more than a read of the server takes

static void chatters(struct conn *conn, struct talk *talk)
{
	char *much = calloc(1, CHATTER_BYTES);
	must(much != NULL);
	conn_printf(conn, "QUIT\r\n");
	conn_write(conn, str_of(much, CHATTER_BYTES));
	must(conn_flush(conn, NULL) == ERR_OK);
	free(much);
	must_line(conn, STR("221 bye"));
	conn_write(conn, STR("and on\r\n"));
	talk->code = conn_flush(conn, &talk->err);
	conn_close(&conn, 0);
}

static void last_words_reach_who_speaks_on(void **state)
{
	(void)state;
	struct talk talk = {.serve = says_goodbye_to_a_chatterer, .ask = chatters};
	pair_over_tcp(&talk.client_fd, &talk.server_fd);
	run(start_talk, &talk);
	assert_int_equal(talk.ended, 2);
	assert_int_equal(talk.code, ERR_OK); // no reset, which could overtake the words
}

// An answer that the peer takes its time to read, and a word of the peer's before it has.
static bool all_is_in_the_kernel;

static void says_much_at_the_end(struct conn *conn, struct talk *talk)
{
	(void)talk;
	int bytes = 4 * CHATTER_BYTES;
	char *much = malloc(CHATTER_BYTES);
	must(much != NULL);
	memset(much, 'x', CHATTER_BYTES);
	must(setsockopt(conn_fd(conn), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0);
	must_line(conn, STR("QUIT"));
	conn_write(conn, str_of(much, CHATTER_BYTES));
	free(much);
	must(conn_flush(conn, NULL) == ERR_OK);
	conn_peer_is_done(conn);
	all_is_in_the_kernel = true;
	conn_close(&conn, 20000);
}

static void reads_late(struct conn *conn, struct talk *talk)
{
	struct str chunk;
	int bytes = 16 << 10;
	must(setsockopt(conn_fd(conn), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) == 0);
	conn_printf(conn, "QUIT\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	while (!all_is_in_the_kernel)
		must(fiber_sleep_ms(1) == FIBER_TIMEOUT);
	must(fiber_sleep_ms(20) == FIBER_TIMEOUT); // for who closes without waiting
	conn_write(conn, STR("and on\r\n"));
	must(conn_flush(conn, NULL) == ERR_OK);
	while ((talk->code = conn_read_some(conn, CHATTER_BYTES, &chunk, &talk->err)) == ERR_OK)
		talk->n += chunk.n;
	conn_close(&conn, 0);
}

static void much_that_is_still_to_go_reaches_who_speaks_on(void **state)
{
	(void)state;
	struct talk talk = {.serve = says_much_at_the_end, .ask = reads_late};
	pair_over_tcp(&talk.client_fd, &talk.server_fd);
	run(start_talk, &talk);
	assert_int_equal(talk.n, CHATTER_BYTES);
	assert_int_equal(talk.code, ERR_CLOSED);
}

static void last_words_and_close_notify_leave_together(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct tls_client *client = new_client(TLS_VERIFY_HOST, &uni_ec);
	struct talk talk = {.serve = says_goodbye, .ask = hears_goodbye, .server = server, .client = client};
	pair_over_tcp(&talk.client_fd, &talk.server_fd);
	run(start_talk, &talk);
	assert_int_equal(talk.ended, 2);
	assert_int_equal(talk.code, ERR_CLOSED);
	assert_int_equal(talk.n, 1);
	tls_client_drop(&client);
	tls_server_drop(&server);
}

static void much_over_tls_server(struct conn *conn, struct talk *talk)
{
	must(conn_tls_accept(conn, talk->server, NULL, NULL) == ERR_OK);
	sends_much(conn, talk);
}

static void much_over_tls_client(struct conn *conn, struct talk *talk)
{
	must(conn_tls_connect(conn, talk->client, STR("192.0.2.1"), NULL) == ERR_OK);
	must(conn_tls(conn)->server_name[0] == '\0');
	reads_much_late(conn, talk);
}

static void megabytes_go_over_tls(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct tls_client *client = new_client(TLS_VERIFY_NONE, NULL);
	struct talk talk = {.serve = much_over_tls_server, .ask = much_over_tls_client, .server = server, .client = client};
	run_talk(&talk);
	assert_int_equal(talk.n, 2);
	tls_client_drop(&client);
	tls_server_drop(&server);
}

// THREATS stls-inject: the command behind STARTTLS in the same segment.
static void injects(struct conn *conn, struct talk *talk)
{
	conn_printf(conn, "STARTTLS\r\nMAIL FROM:<evil@example>\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("220 go ahead"));
	must(conn_tls_connect(conn, talk->client, STR("mx.uni.example"), NULL) == ERR_OK);
	conn_printf(conn, "NOOP\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("NOOP")); // and not MAIL
	conn_close(&conn, 100);
}

static void injected_commands_never_run(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct tls_client *client = new_client(TLS_VERIFY_NONE, NULL);
	struct talk talk = {.serve = serves_starttls, .ask = injects, .server = server, .client = client};
	run_talk(&talk);
	assert_int_equal(talk.n, 26);
	tls_client_drop(&client);
	tls_server_drop(&server);
}

static void talks_no_tls(struct conn *conn, struct talk *talk)
{
	conn_printf(conn, "STARTTLS\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("220 go ahead"));
	if (talk->n == 0)
		conn_printf(conn, "EHLO what is this\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	conn_close(&conn, 100);
}

static void garbage_and_silence_fail_the_handshake(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct talk talk = {.serve = serves_starttls, .ask = talks_no_tls, .server = server};
	run_talk(&talk);
	assert_int_equal(talk.code, ERR_TLS);
	assert_true(str_starts(str_of_c(talk.err.text), STR("TLS handshake: ")));
	talk.n = 1;
	run_talk(&talk);
	assert_int_equal(talk.code, ERR_CLOSED);
	tls_server_drop(&server);
}

static void accepts_and_echoes(struct conn *conn, struct talk *talk)
{
	struct err err;
	if (conn_tls_accept(conn, talk->server, NULL, &err) == ERR_OK)
		echo_lines(conn, talk);
	else
		conn_close(&conn, 100);
}

// As who does the server show itself to this host name?
static void looks_at_the_server(struct conn *conn, struct talk *talk)
{
	talk->code = ERR_OK;
	enum err_code code = conn_tls_connect(conn, talk->client, str_of_c(talk->host), &talk->err);
	if (code == ERR_OK)
		talk->tls = *conn_tls(conn);
	conn_close(&conn, 100);
	talk->n = code;
}

static void look(struct talk *talk, const char *host)
{
	talk->host = host;
	talk->tls = (struct conn_tls){0};
	run_talk(talk);
}

static void a_wrong_name_or_issuer_is_refused(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct talk talk = {.serve = accepts_and_echoes, .ask = looks_at_the_server, .server = server};
	talk.client = new_client(TLS_VERIFY_HOST, &uni_ec);
	look(&talk, "mail.uni.example");
	assert_int_equal(talk.n, ERR_OK);
	look(&talk, "mail.elsewhere.example");
	assert_int_equal(talk.n, ERR_TLS);
	assert_non_null(strstr(talk.err.text, "ostname mismatch"));
	tls_client_drop(&talk.client);
	talk.client = new_client(TLS_VERIFY_HOST, &other_ec);
	look(&talk, "mail.uni.example");
	assert_int_equal(talk.n, ERR_TLS);
	assert_non_null(strstr(talk.err.text, "certificate"));
	tls_client_drop(&talk.client);
	tls_server_drop(&server);
}

// A client that speaks nothing newer than TLS 1.2.
static struct tls_client *old_client(void)
{
	struct tls_client *client = new_client(TLS_VERIFY_NONE, NULL);
	SSL *ssl = tls_client_ssl(client);
	must(SSL_CTX_set_max_proto_version(SSL_get_SSL_CTX(ssl), TLS1_2_VERSION) == 1);
	SSL_free(ssl);
	return client;
}

static void versions_below_the_least_are_refused(void **state)
{
	(void)state;
	for (int strict = 0; strict < 2; strict++) {
		struct tls_server *server = uni_server_of(strict ? TLS_VERSION_1_3 : TLS_VERSION_1_2, false);
		struct tls_client *old = old_client();
		struct talk talk = {.serve = accepts_and_echoes, .ask = looks_at_the_server, .server = server, .client = old};
		look(&talk, "mx.uni.example");
		assert_int_equal(talk.n, strict ? ERR_TLS : ERR_OK);
		talk.client = new_client(TLS_VERIFY_NONE, NULL);
		look(&talk, "mx.uni.example");
		assert_string_equal(talk.tls.version, "TLSv1.3");
		tls_client_drop(&talk.client);
		tls_client_drop(&old);
		tls_server_drop(&server);
	}
}

static void sni_chooses_the_identity(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct tls_client *client = new_client(TLS_VERIFY_NONE, NULL);
	struct talk talk = {.serve = accepts_and_echoes, .ask = looks_at_the_server, .server = server, .client = client};
	char uni[65], other[65];
	look(&talk, "mx.uni.example");
	memcpy(uni, talk.tls.peer_spki, sizeof uni);
	look(&talk, "IMAP.Other.Example");
	memcpy(other, talk.tls.peer_spki, sizeof other);
	assert_string_not_equal(uni, other);
	const char *default_hosts[] = {"", "192.0.2.1", "unknown.example", "a.b.other.example", "other.example"};
	for (size_t i = 1; i < sizeof default_hosts / sizeof *default_hosts; i++) {
		look(&talk, default_hosts[i]);
		assert_int_equal(talk.n, ERR_OK);
		assert_string_equal(talk.tls.peer_spki, uni);
	}
	tls_client_drop(&client);
	tls_server_drop(&server);
}

static void shows_a_certificate(struct conn *conn, struct talk *talk)
{
	must(conn_tls_connect(conn, talk->client, STR("mx.uni.example"), NULL) == ERR_OK);
	conn_printf(conn, "x\r\n");
	must(conn_flush(conn, NULL) == ERR_OK);
	must_line(conn, STR("x"));
	conn_close(&conn, 100);
}

static void asks_who_it_is(struct conn *conn, struct talk *talk)
{
	must(conn_tls_accept(conn, talk->server, NULL, NULL) == ERR_OK);
	talk->tls = *conn_tls(conn);
	echo_lines(conn, talk);
}

static void a_server_may_ask_for_a_certificate(void **state)
{
	(void)state;
	struct tls_files files = files_of(&uni_ec);
	const struct tls_server_config asking = {.files = &files, .n = 1, .asks = true};
	struct tls_client_config config = {.certificate = files_of(&client_ec)};
	struct talk talk = {.serve = asks_who_it_is, .ask = shows_a_certificate};
	assert_int_equal(tls_server_new(&asking, &talk.server, NULL), ERR_OK);
	assert_int_equal(tls_client_new(&config, &talk.client, NULL), ERR_OK);
	run_talk(&talk);
	assert_int_equal(strlen(talk.tls.peer_spki), 64);
	assert_false(talk.tls.verified);
	tls_client_drop(&talk.client);
	talk.client = new_client(TLS_VERIFY_NONE, NULL); // without one it is served too
	run_talk(&talk);
	assert_string_equal(talk.tls.peer_spki, "");
	tls_client_drop(&talk.client);
	tls_server_drop(&talk.server);
}

// --- Contexts ---

static void shake_in_memory(SSL *a, SSL *b)
{
	BIO *bio_a, *bio_b;
	must(BIO_new_bio_pair(&bio_a, 0, &bio_b, 0) == 1);
	SSL_set_bio(a, bio_a, bio_a);
	SSL_set_bio(b, bio_b, bio_b);
	for (int i = 0; i < 10; i++) {
		SSL_do_handshake(b);
		SSL_do_handshake(a);
	}
	must(SSL_is_init_finished(a) && SSL_is_init_finished(b));
}

// A handshake between two SSLs in memory, with the session of an earlier one; then a byte, so that the ticket arrives.
static bool resumes(struct tls_server *server, struct tls_client *client, SSL_SESSION **session)
{
	SSL *a = tls_server_ssl(server), *b = tls_client_ssl(client);
	char byte;
	if (*session)
		must(SSL_set_session(b, *session) == 1);
	shake_in_memory(a, b);
	must(SSL_write(a, "x", 1) == 1 && SSL_read(b, &byte, 1) == 1);
	bool reused = SSL_session_reused(b) == 1;
	SSL_SESSION_free(*session);
	*session = SSL_get1_session(b);
	SSL_shutdown(b);
	SSL_free(a);
	SSL_free(b);
	return reused;
}

// What kind of key the server shows to a client that takes these kinds, in the client's order.
static int key_shown(struct tls_server *server, struct tls_client *client, const char *sigalgs)
{
	SSL *a = tls_server_ssl(server), *b = tls_client_ssl(client);
	char list[64];
	must(str_to_c(str_of_c(sigalgs), list, sizeof list) && SSL_set1_sigalgs_list(b, list) == 1);
	shake_in_memory(a, b);
	int kind = EVP_PKEY_get_base_id(X509_get0_pubkey(SSL_get0_peer_certificate(b)));
	SSL_free(a);
	SSL_free(b);
	return kind;
}

static void ecdsa_is_preferred_and_rsa_is_there_for_others(void **state)
{
	(void)state;
	struct tls_server *server = uni_server();
	struct tls_client *client = new_client(TLS_VERIFY_NONE, NULL);
	assert_int_equal(key_shown(server, client, "ECDSA+SHA256:RSA-PSS+SHA256"), EVP_PKEY_EC);
	assert_int_equal(key_shown(server, client, "RSA-PSS+SHA256:ECDSA+SHA256"), EVP_PKEY_EC);
	assert_int_equal(key_shown(server, client, "RSA-PSS+SHA256"), EVP_PKEY_RSA);
	tls_client_drop(&client);
	tls_server_drop(&server);
}

// THREATS replay: a ticket is good on the node that gave it, and nowhere else.
static void tickets_are_for_the_process_that_gave_them(void **state)
{
	(void)state;
	struct tls_server *here = uni_server(), *there = uni_server(), *without = uni_server_of(TLS_VERSION_1_2, false);
	struct tls_client *client = new_client(TLS_VERIFY_NONE, NULL);
	SSL_SESSION *session = NULL;
	assert_false(resumes(here, client, &session));
	assert_true(resumes(here, client, &session));
	assert_false(resumes(there, client, &session));
	SSL_SESSION_free(session);
	session = NULL;
	assert_false(resumes(without, client, &session));
	assert_false(SSL_SESSION_has_ticket(session));
	assert_false(resumes(without, client, &session));
	SSL_SESSION_free(session);
	tls_client_drop(&client);
	tls_server_drop(&without);
	tls_server_drop(&here);
	tls_server_drop(&there);
}

static void bad_files_say_which_and_change_nothing(void **state)
{
	(void)state;
	struct tls_slot slot = TLS_SLOT_INIT;
	struct tls_server *server = uni_server(), *kept = tls_server_ref(server);
	struct err err = {0};
	tls_slot_set(&slot, &server);
	assert_null(server);
	const struct tls_files bad[] = {
		{"/nonexistent.pem", uni_ec.key}, {uni_ec.cert, "/nonexistent.key"}, {uni_ec.key, uni_ec.key},
		{uni_ec.cert, other_ec.key},      {uni_ec.cert, uni_ec.cert},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_not_equal(tls_server_new(&(struct tls_server_config){.files = &bad[i], .n = 1}, &server, &err), ERR_OK);
		assert_true(strstr(err.text, bad[i].cert_path) || strstr(err.text, bad[i].key_path));
	}
	const struct tls_files twice[] = {files_of(&uni_ec), files_of(&uni_ec)};
	assert_int_equal(tls_server_new(&(struct tls_server_config){.files = twice, .n = 2}, &server, &err), ERR_INVALID);
	assert_int_equal(tls_server_new(&(struct tls_server_config){.n = 0}, &server, &err), ERR_INVALID);
	struct tls_server *mine = tls_slot_get(&slot);
	assert_ptr_equal(mine, kept);
	int64_t left_ms = tls_server_expires_wall_ms(mine) - clock_wall_ms();
	assert_in_range(left_ms, 86400000 - 600000, 86400000);
	tls_server_drop(&mine);
	tls_server_drop(&kept);
	tls_slot_set(&slot, &server); // NULL: none any more
	assert_null(tls_slot_get(&slot));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_talk_is_the_same_talk),
		cmocka_unit_test(megabytes_go_over_tls),
		cmocka_unit_test(injected_commands_never_run),
		cmocka_unit_test(garbage_and_silence_fail_the_handshake),
		cmocka_unit_test(a_wrong_name_or_issuer_is_refused),
		cmocka_unit_test(sni_chooses_the_identity),
		cmocka_unit_test(versions_below_the_least_are_refused),
		cmocka_unit_test(a_server_may_ask_for_a_certificate),
		cmocka_unit_test(ecdsa_is_preferred_and_rsa_is_there_for_others),
		cmocka_unit_test(last_words_and_close_notify_leave_together),
		cmocka_unit_test(last_words_reach_who_speaks_on),
		cmocka_unit_test(much_that_is_still_to_go_reaches_who_speaks_on),
		cmocka_unit_test(tickets_are_for_the_process_that_gave_them),
		cmocka_unit_test(bad_files_say_which_and_change_nothing),
	};
	return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
