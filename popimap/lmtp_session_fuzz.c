// SPDX-License-Identifier: Apache-2.0
// What a front-end may send over LMTP: the first byte says who it is and in which pieces it comes. Every answer is a reply, and
// there are as many messages as deliveries were acknowledged, a delivery key's once (FORMATS section 7).
// Covers: popimap/lmtp_session.c popimap/lmtp_envelope.c popimap/lmtp_message.c
#include "fuzz_wire.h"
#include "lmtp_session.h"
#include "mail/reply.h"

#define PIN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

enum { NODE = 1, IN_PAUSES = 2, NO_DIRECTORY = 4, PAUSES_MAX = 64 };

static struct directory_memory *memory;
static struct lmtp_service lmtp = {.popimap = &wire_popimap, .tls = TLS_SLOT_INIT, .local = LOCAL_SOCKET_NONE};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	char joe[GUID_TEXT_BYTES], ldif[1024];
	struct guid id = test_id(1);
	fuzz_open();
	snprintf(ldif, sizeof ldif,
		"dn: dc=uni\nobjectClass: phMailDomain\nassociatedDomain: uni.example\nphDomainType: local\n\n"
		"dn: cn=mx1\nobjectClass: phMailHost\ncn: mx1.uni.example\nphHostTlsPin: sha256:" PIN "\n\n"
		"dn: uid=joe\nobjectClass: phMailUser\nuid: joe\nmail: joe@uni.example\nmailHost: mx1.uni.example\nphMailboxId: "
		"%s\n\ndn: uid=far\nobjectClass: phMailUser\nuid: far\nmail: far@uni.example\nmailHost: mx2.uni.example\n"
		"phMailboxId: 000000000000000000000000000000fa\n",
		guid_text(&id, joe).p);
	directory_close(&wire_directory);
	wire_directory = directory_memory_new(str_of_c(ldif), &memory, NULL);
	must(wire_directory != NULL);
	return 0;
}

// Where a client waits for our reply (RFC 2920 section 3.1): behind LHLO and DATA.
static size_t pauses(struct str in, size_t *splits)
{
	size_t n = 0;
	for (struct str rest = in, line; n < PAUSES_MAX && str_next_line(&rest, &line);)
		if (str_starts_nocase(line, STR("LHLO")) || str_eq_nocase(line, STR("DATA")))
			splits[n++] = in.n - rest.n;
	return n;
}

// How many deliveries were acknowledged.
static unsigned check_replies(struct str out)
{
	struct reply_reader reader;
	struct str rest = out, line;
	enum reply_read state = REPLY_READ_DONE;
	unsigned delivered = 0;
	reply_reader_init(&reader);
	while (str_next_line(&rest, &line)) {
		state = reply_reader_line(&reader, line);
		must(state != REPLY_READ_BAD);
		delivered += str_eq(line, STR("250 2.0.0 delivered"));
	}
	must(state == REPLY_READ_DONE);
	reply_reader_fini(&reader);
	return delivered;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct str in = str_of((const char *)data + 1, size - 1);
	size_t splits[PAUSES_MAX];
	bool in_pauses = data[0] & IN_PAUSES;
	struct fuzz_script script = {.in = in,
		.splits = in_pauses ? splits : NULL,
		.splits_n = in_pauses ? pauses(in, splits) : CONN_MEMORY_BYTEWISE,
		.node = data[0] & NODE,
		.pin = PIN};
	struct buf out;
	directory_memory_set_status(memory, &(struct directory_status){.complete = !(data[0] & NO_DIRECTORY), .fresh = true,
		.version = 1});
	fuzz_renew();
	struct mailbox *mb = test_mailbox(1);
	fuzz_play(lmtp_serve, &lmtp, &script, &out);
	fuzz_check_lines(buf_str(&out));
	unsigned delivered = check_replies(buf_str(&out)), messages = test_status(mb, "INBOX").messages;
	must(messages <= delivered && (messages > 0) == (delivered > 0));
	must(messages == delivered || script.node); // only a node's key makes two deliveries one message
	test_close(&mb);
	buf_fini(&out);
	return 0;
}
