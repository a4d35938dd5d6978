// SPDX-License-Identifier: Apache-2.0
// The reader of what is kept for replay: segment by segment, record by record. On workers.
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/must.h"
#include "replay_core.h"
#include "replay_segment.h"

struct replay_cursor {
	struct replay *replay;
	int64_t since_ms;
	struct replay_part *segments;
	size_t n, i;
	int fd; // of segments[i]; -1: not open
	uint64_t at;
};

struct replay_cursor *replay_cursor_new(struct replay *r, int64_t since_ms)
{
	struct replay_cursor *c = calloc(1, sizeof *c);
	must(c != NULL);
	*c = (struct replay_cursor){.replay = r, .since_ms = since_ms, .fd = -1};
	pthread_mutex_lock(&r->mutex);
	c->segments = calloc(r->n + 1, sizeof *c->segments);
	must(c->segments != NULL);
	for (size_t i = 0; i < r->n; i++)
		if ((int64_t)(r->segments[i].hour + 1) * REPLAY_HOUR_MS > since_ms)
			c->segments[c->n++] = r->segments[i];
	pthread_mutex_unlock(&r->mutex);
	return c;
}

static void leave_segment(struct replay_cursor *c)
{
	if (c->fd >= 0)
		file_close(c->fd);
	c->fd = -1;
	c->at = 0;
	c->i++;
}

void replay_cursor_free(struct replay_cursor **cursor)
{
	struct replay_cursor *c = *cursor;
	if (c == NULL)
		return;
	leave_segment(c);
	free(c->segments);
	free(c);
	*cursor = NULL;
}

static enum err_code read_record(struct replay_cursor *c, struct arena *arena, struct replay_found *found, uint64_t *next_out,
	struct err *err)
{
	char bytes[REPLAY_HEAD_BYTES];
	struct replay_head head;
	uint64_t left = c->segments[c->i].bytes - c->at;
	if (left < REPLAY_HEAD_BYTES)
		return err_set(err, ERR_CORRUPT, "the segment ends in a head");
	enum err_code code = file_read_at(c->fd, bytes, sizeof bytes, (off_t)c->at, err);
	if (code == ERR_OK)
		code = replay_segment_head(str_of(bytes, sizeof bytes), &head, err);
	if (code)
		return code;
	size_t n = REPLAY_HEAD_BYTES + (size_t)head.envelope_bytes;
	if (left < n || left - n < head.body_bytes)
		return err_set(err, ERR_CORRUPT, "the segment ends in a record");
	char *both = arena_alloc(arena, n);
	if (both == NULL)
		return err_set(err, ERR_LIMIT, "an envelope of %u bytes", head.envelope_bytes);
	code = file_read_at(c->fd, both, n, (off_t)c->at, err);
	if (code == ERR_OK)
		code = replay_segment_decode(arena, &head, str_of(both, n), &found->envelope, err);
	found->delivered_ms = head.delivered_ms;
	found->body_at = c->at + n;
	*next_out = found->body_at + head.body_bytes;
	return code;
}

enum err_code replay_cursor_next(struct replay_cursor *c, struct arena *arena, struct replay_found *found_out, struct err *err)
{
	char name[REPLAY_NAME_BYTES];
	while (c->i < c->n) {
		struct replay_found found;
		uint64_t next = 0;
		off_t bytes;
		enum err_code code = ERR_OK;
		arena_reset(arena);
		if (c->at >= c->segments[c->i].bytes) {
			leave_segment(c);
			continue;
		}
		if (c->fd < 0)
			code = file_open(c->replay->dir, replay_part_name(&c->segments[c->i], name), &c->fd, &bytes, err);
		if (code == ERR_OK)
			code = read_record(c, arena, &found, &next, err);
		if (code) {
			log_warning(NULL, "queue: the rest of a replay segment cannot be read",
				log_str("name", replay_part_name(&c->segments[c->i], name)), log_u64("offset", c->at),
				log_c("reason", err ? err->text : "damaged"));
			leave_segment(c);
			continue;
		}
		c->at = next;
		if (found.delivered_ms >= c->since_ms) {
			*found_out = found;
			return ERR_OK;
		}
	}
	return err_set(err, ERR_NOTFOUND, "no more");
}

enum err_code replay_cursor_body(struct replay_cursor *c, const struct replay_found *found, uint64_t offset, size_t n,
	struct buf *out, struct err *err)
{
	char *p = buf_reserve(out, n);
	if (p == NULL)
		return err_set(err, ERR_LIMIT, "no room for %zu bytes", n);
	enum err_code code = file_read_at(c->fd, p, n, (off_t)(found->body_at + offset), err);
	if (code == ERR_OK)
		buf_grew(out, n);
	return code;
}
