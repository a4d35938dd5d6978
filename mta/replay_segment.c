// SPDX-License-Identifier: Apache-2.0
// Records of replay segments, as bytes.
#include "replay_segment.h"

#include <openssl/evp.h>

#include "base/must.h"

// Magic u32, version u32, envelope length u32, delivered_ms u64, body length u64, check.
enum { MAGIC = 0x50487270, VERSION = 1, CHECKED_BYTES = REPLAY_HEAD_BYTES - REPLAY_CHECK_BYTES };
static const uint64_t BODY_BYTES_MAX = UINT64_C(1) << 32; // above message_size_max of any setting

static void put_number(uint8_t *p, uint64_t value, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_number(const char *p, int n)
{
	uint64_t value = 0;
	for (int i = n; i-- > 0;)
		value = value << 8 | (uint8_t)p[i];
	return value;
}

static void check_of(struct str head, struct str envelope, uint8_t check_out[REPLAY_CHECK_BYTES])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	must(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
		EVP_DigestUpdate(ctx, head.p, CHECKED_BYTES) == 1 && EVP_DigestUpdate(ctx, envelope.p, envelope.n) == 1 &&
		EVP_DigestFinal_ex(ctx, digest, NULL) == 1);
	EVP_MD_CTX_free(ctx);
	memcpy(check_out, digest, REPLAY_CHECK_BYTES);
}

bool replay_segment_encode(const struct record_enter *envelope, int64_t delivered_ms, struct buf *out)
{
	struct record record = {.type = RECORD_ENTER, .enter = *envelope};
	size_t at = out->n;
	uint8_t head[REPLAY_HEAD_BYTES] = {0};
	if (!buf_add(out, str_of((const char *)head, sizeof head)) || !record_encode(&record, out)) {
		buf_truncate(out, at);
		return false;
	}
	struct str bytes = str_from(buf_str(out), at + REPLAY_HEAD_BYTES);
	put_number(head, MAGIC, 4);
	put_number(head + 4, VERSION, 4);
	put_number(head + 8, bytes.n, 4);
	put_number(head + 12, (uint64_t)delivered_ms, 8);
	put_number(head + 20, envelope->body_bytes, 8);
	check_of(str_of((const char *)head, sizeof head), bytes, head + CHECKED_BYTES);
	memcpy(out->p + at, head, sizeof head);
	return true;
}

enum err_code replay_segment_head(struct str bytes, struct replay_head *out, struct err *err)
{
	if (bytes.n != REPLAY_HEAD_BYTES || get_number(bytes.p, 4) != MAGIC)
		return err_set(err, ERR_CORRUPT, "no record of a replay segment");
	if (get_number(bytes.p + 4, 4) != VERSION)
		return err_set(err, ERR_VERSION, "a record of version %llu", (unsigned long long)get_number(bytes.p + 4, 4));
	struct replay_head head = {.envelope_bytes = (uint32_t)get_number(bytes.p + 8, 4),
		.delivered_ms = (int64_t)get_number(bytes.p + 12, 8),
		.body_bytes = get_number(bytes.p + 20, 8)};
	if (head.envelope_bytes > RECORD_BYTES_MAX || head.body_bytes > BODY_BYTES_MAX || head.delivered_ms < 0)
		return err_set(err, ERR_CORRUPT, "a record of a replay segment with impossible numbers");
	memcpy(head.check, bytes.p + CHECKED_BYTES, sizeof head.check);
	*out = head;
	return ERR_OK;
}

enum err_code replay_segment_decode(struct arena *arena, const struct replay_head *head, struct str bytes,
	struct record_enter *out, struct err *err)
{
	uint8_t check[REPLAY_CHECK_BYTES];
	struct record record;
	must(bytes.n == REPLAY_HEAD_BYTES + (size_t)head->envelope_bytes);
	struct str envelope = str_from(bytes, REPLAY_HEAD_BYTES);
	check_of(bytes, envelope, check);
	if (memcmp(check, head->check, sizeof check) != 0)
		return err_set(err, ERR_CORRUPT, "a record of a replay segment is torn");
	enum err_code code = record_decode(arena, envelope, &record, err);
	if (code)
		return code;
	if (record.type != RECORD_ENTER || record.enter.body_bytes != head->body_bytes)
		return err_set(err, ERR_CORRUPT, "a record of a replay segment that is no message");
	*out = record.enter;
	return ERR_OK;
}
