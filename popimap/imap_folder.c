// SPDX-License-Identifier: Apache-2.0
// The selected folder as one session knows it.
#include "imap_folder.h"

#include <stdlib.h>

#include "base/must.h"
#include "mail/imap_reply.h"

static void *grown(void *old, size_t n, size_t size)
{
	void *p = reallocarray(old, n ? n : 1, size);
	must(p != NULL);
	return p;
}

// Adds [first, last] behind the ranges that are there, joined where it touches.
static void add_recent(struct imap_folder *folder, uint32_t first, uint32_t last)
{
	if (folder->recent_n && folder->recent[folder->recent_n - 1].last + 1 == first) {
		folder->recent[folder->recent_n - 1].last = last;
		return;
	}
	folder->recent = grown(folder->recent, folder->recent_n + 1, sizeof *folder->recent);
	folder->recent[folder->recent_n++] = (struct imap_range){first, last};
}

struct imap_folder *imap_folder_new(struct mailbox *mailbox, const struct folder_view *view, bool read_only)
{
	struct imap_folder *folder = calloc(1, sizeof *folder);
	must(folder != NULL);
	*folder = (struct imap_folder){
		.mailbox = mailbox,
		.watch = watch_new(mailbox, view->info.id),
		.id = view->info.id,
		.uidvalidity = view->info.uidvalidity,
		.uidnext = view->info.uidnext,
		.modseq = view->info.modseq,
		.read_only = read_only,
		.uids = grown(NULL, view->uids.n, sizeof *folder->uids),
		.n = view->uids.n,
	};
	if (folder->n)
		memcpy(folder->uids, view->uids.p, folder->n * sizeof *folder->uids);
	if (view->recent_from && view->recent_from < view->info.uidnext)
		add_recent(folder, view->recent_from, view->info.uidnext - 1);
	imap_folder_learn_keywords(folder, &view->keywords);
	return folder;
}

void imap_folder_free(struct imap_folder **folder)
{
	if (*folder == NULL)
		return;
	watch_free(&(*folder)->watch);
	free((*folder)->uids);
	free((*folder)->recent);
	free((*folder)->held);
	free((*folder)->keywords);
	free(*folder);
	*folder = NULL;
}

// Index of the first UID that is not below uid.
static size_t lower_bound(const uint32_t *uids, size_t n, uint32_t uid)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (uids[mid] < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

uint32_t imap_folder_number(const struct imap_folder *folder, uint32_t uid)
{
	size_t i = lower_bound(folder->uids, folder->n, uid);
	return i < folder->n && folder->uids[i] == uid ? (uint32_t)i + 1 : 0;
}

bool imap_folder_is_recent(const struct imap_folder *folder, uint32_t uid)
{
	const struct imap_seqset set = {.ranges = folder->recent, .n = folder->recent_n};
	return imap_seqset_has(&set, uid);
}

size_t imap_folder_recent_count(const struct imap_folder *folder)
{
	size_t count = 0;
	for (size_t i = 0; i < folder->recent_n; i++) {
		const struct imap_range *r = &folder->recent[i];
		size_t end = r->last == UINT32_MAX ? folder->n : lower_bound(folder->uids, folder->n, r->last + 1);
		count += end - lower_bound(folder->uids, folder->n, r->first);
	}
	return count;
}

// Positions [begin, end) of the map that a resolved range covers.
static void range_positions(const struct imap_folder *folder, const struct imap_range *r, bool uid, size_t *begin_out,
	size_t *end_out)
{
	if (uid) {
		*begin_out = lower_bound(folder->uids, folder->n, r->first);
		*end_out = r->last == UINT32_MAX ? folder->n : lower_bound(folder->uids, folder->n, r->last + 1);
	} else {
		*begin_out = r->first - 1;
		*end_out = r->last;
	}
}

bool imap_folder_pick(const struct imap_folder *folder, struct imap_seqset *set, bool uid, struct arena *arena,
	struct imap_picked *picked_out)
{
	size_t total = 0, begin, end;
	uint32_t last = 0;
	if (folder->n)
		last = uid ? folder->uids[folder->n - 1] : (uint32_t)folder->n;
	if (!uid && (folder->n == 0))
		return false;
	imap_seqset_resolve(set, last);
	if (!uid && imap_seqset_last(set) > folder->n)
		return false;
	for (size_t i = 0; i < set->n; i++) {
		range_positions(folder, &set->ranges[i], uid, &begin, &end);
		total += end - begin;
	}
	struct imap_picked picked = {
		.uids = arena_array(arena, total, sizeof(uint32_t)), .numbers = arena_array(arena, total, sizeof(uint32_t))};
	if (picked.uids == NULL || picked.numbers == NULL)
		return false;
	for (size_t i = 0; i < set->n; i++) {
		range_positions(folder, &set->ranges[i], uid, &begin, &end);
		for (; begin < end; begin++) {
			picked.uids[picked.n] = folder->uids[begin];
			picked.numbers[picked.n++] = (uint32_t)begin + 1;
		}
	}
	*picked_out = picked;
	return true;
}

void imap_folder_flags_add(const struct imap_folder *folder, uint64_t flags, bool recent, struct buf *b)
{
	struct str keywords[FLAG_KEYWORDS_MAX];
	struct imap_flags out = {
		.system = (unsigned)(flags & FLAG_SYSTEM) | (recent ? IMAP_FLAG_RECENT : 0), .keywords = keywords};
	for (size_t i = 0; i < folder->keywords_n; i++)
		if (flags & (uint64_t)1 << (FLAG_KEYWORD_0 + i))
			keywords[out.keywords_n++] = folder->keywords[i];
	imap_reply_flags(b, &out);
}

enum { FLAGS_BYTES_MAX = 64 << 10 }; // all keywords of the longest

void imap_flags_line_init(struct imap_flags_line *line)
{
	*line = (struct imap_flags_line){0};
	buf_init(&line->whole, 2 * FLAGS_BYTES_MAX);
	buf_init(&line->flags, FLAGS_BYTES_MAX);
}

void imap_flags_line_fini(struct imap_flags_line *line)
{
	buf_fini(&line->whole);
	buf_fini(&line->flags);
}

void imap_folder_write_flags(const struct imap_folder *folder, struct conn *conn, const struct folder_change *message,
	bool with_uid, struct imap_flags_line *line)
{
	bool recent = imap_folder_is_recent(folder, message->uid);
	if (line->flags.n == 0 || line->of != message->flags || line->recent != recent) {
		buf_clear(&line->flags);
		imap_folder_flags_add(folder, message->flags, recent, &line->flags);
		line->of = message->flags;
		line->recent = recent;
	}
	buf_clear(&line->whole);
	buf_add(&line->whole, STR("* "));
	buf_add_u64(&line->whole, imap_folder_number(folder, message->uid));
	buf_add(&line->whole, STR(" FETCH ("));
	if (with_uid) {
		buf_add(&line->whole, STR("UID "));
		buf_add_u64(&line->whole, message->uid);
		buf_add_byte(&line->whole, ' ');
	}
	buf_add(&line->whole, STR("FLAGS "));
	buf_add(&line->whole, buf_str(&line->flags));
	buf_add(&line->whole, STR(")\r\n"));
	conn_write(conn, buf_str(&line->whole));
}

void imap_folder_announce_flags(const struct imap_folder *folder, struct conn *conn)
{
	struct buf b;
	uint64_t all = FLAG_SYSTEM;
	for (size_t i = 0; i < folder->keywords_n; i++)
		all |= (uint64_t)1 << (FLAG_KEYWORD_0 + i);
	buf_init(&b, 64 << 10);
	buf_add(&b, STR("* FLAGS "));
	imap_folder_flags_add(folder, all, false, &b);
	buf_add(&b, STR("\r\n* OK [PERMANENTFLAGS "));
	imap_folder_flags_add(folder, folder->read_only ? 0 : all, false, &b);
	if (!folder->read_only) {
		// "\*": new keywords may be made (PROTOCOLS 73).
		buf_truncate(&b, b.n - 1);
		buf_add(&b, folder->keywords_n < FLAG_KEYWORDS_MAX ? STR(" \\*)") : STR(")"));
	}
	buf_add(&b, STR("] flags that are kept\r\n"));
	conn_write(conn, buf_str(&b));
	buf_fini(&b);
}

// Keywords only come, so a longer list is all that there can be news of.
bool imap_folder_learn_keywords(struct imap_folder *folder, const struct folder_keywords *keywords)
{
	size_t bytes = 0;
	if (keywords->n <= folder->keywords_n)
		return false;
	for (size_t i = 0; i < keywords->n; i++)
		bytes += keywords->name[i].n;
	struct str *known = grown(NULL, keywords->n * sizeof *known + bytes, 1);
	char *at = (char *)(known + keywords->n);
	for (size_t i = 0; i < keywords->n; i++) {
		struct str name = keywords->name[i];
		memcpy(at, name.p, name.n);
		known[i] = str_of(at, name.n);
		at += name.n;
	}
	free(folder->keywords);
	folder->keywords = known;
	folder->keywords_n = keywords->n;
	return true;
}

static void own_add(struct imap_own *own, uint64_t modseq, struct arena *arena)
{
	if (own->n == own->size) {
		size_t size = own->size ? 2 * own->size : 8;
		uint64_t *modseqs = arena_array(arena, size, sizeof *modseqs);
		if (modseqs == NULL)
			return; // then the client hears of its own change twice, which is allowed
		if (own->n)
			memcpy(modseqs, own->modseqs, own->n * sizeof *modseqs);
		own->modseqs = modseqs;
		own->size = size;
	}
	own->modseqs[own->n++] = modseq;
}

void imap_folder_changed_by_us(struct imap_folder *folder, const struct flag_result *result, struct imap_own *own,
	struct arena *arena)
{
	if (result->modseq && result->alone)
		folder->modseq = result->modseq;
	else if (result->modseq)
		own_add(own, result->modseq, arena);
}

static int by_modseq(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static bool own_has(const struct imap_own *own, uint64_t modseq)
{
	return own && own->n && bsearch(&modseq, own->modseqs, own->n, sizeof modseq, by_modseq) != NULL;
}

// Merges the newly expunged into those that are held; a UID that the map does not have was never told of.
static void hold(struct imap_folder *folder, const struct uid_list *expunged)
{
	size_t i = 0, j = 0, n = 0;
	if (expunged->n == 0)
		return;
	uint32_t *merged = grown(NULL, folder->held_n + expunged->n, sizeof *merged);
	while (i < folder->held_n || j < expunged->n) {
		uint32_t uid;
		if (j == expunged->n || (i < folder->held_n && folder->held[i] <= expunged->p[j])) {
			uid = folder->held[i];
			j += j < expunged->n && expunged->p[j] == uid;
			i++;
		} else {
			uid = expunged->p[j++];
		}
		if (imap_folder_number(folder, uid))
			merged[n++] = uid;
	}
	free(folder->held);
	folder->held = merged;
	folder->held_n = n;
}

// Tells of all that are held and takes them out of the map. Each EXPUNGE counts from the one before (RFC 3501 section 7.4.1).
static void tell_expunged(struct imap_folder *folder, struct conn *conn)
{
	size_t to = 0, next = 0;
	if (folder->held_n == 0)
		return;
	for (size_t from = 0; from < folder->n; from++) {
		if (next < folder->held_n && folder->uids[from] == folder->held[next]) {
			next++;
			conn_printf(conn, "* %zu EXPUNGE\r\n", to + 1);
			continue;
		}
		folder->uids[to++] = folder->uids[from];
	}
	folder->n = to;
	free(folder->held);
	folder->held = NULL;
	folder->held_n = 0;
}

static void tell_arrived(struct imap_folder *folder, struct conn *conn, const struct folder_changes *changes)
{
	if (changes->arrived_n == 0)
		return;
	folder->uids = grown(folder->uids, folder->n + changes->arrived_n, sizeof *folder->uids);
	for (size_t i = 0; i < changes->arrived_n; i++) {
		uint32_t uid = changes->arrived[i].uid;
		must(folder->n == 0 || folder->uids[folder->n - 1] < uid);
		folder->uids[folder->n++] = uid;
	}
	if (changes->recent_from)
		add_recent(folder, changes->recent_from, changes->uidnext - 1);
	conn_printf(conn, "* %zu EXISTS\r\n* %zu RECENT\r\n", folder->n, imap_folder_recent_count(folder));
}

static void tell_flags(const struct imap_folder *folder, struct conn *conn, const struct folder_change *changes, size_t n,
	const struct imap_own *own, bool with_uid)
{
	struct imap_flags_line line;
	imap_flags_line_init(&line);
	for (size_t i = 0; i < n; i++)
		if (imap_folder_number(folder, changes[i].uid) && !own_has(own, changes[i].modseq))
			imap_folder_write_flags(folder, conn, &changes[i], with_uid, &line);
	imap_flags_line_fini(&line);
}

bool imap_folder_has_news(struct imap_folder *folder, bool gone)
{
	bool changed = watch_changed(folder->watch);
	return changed || folder->stale || (gone && folder->held_n);
}

enum err_code imap_folder_sync(struct imap_folder *folder, struct conn *conn, struct arena *arena, const struct imap_own *own,
	bool gone, bool with_uid, bool *deleted_out, struct err *err)
{
	const struct folder_seen seen = {.modseq = folder->modseq,
		.uidnext = folder->uidnext,
		.uidvalidity = folder->uidvalidity,
		.take_recent = !folder->read_only};
	struct folder_changes changes;
	enum err_code code = folder_changes(folder->mailbox, folder->id, &seen, arena, &changes, err);
	folder->stale = code != ERR_OK;
	if (code)
		return code;
	*deleted_out = changes.gone;
	if (changes.gone)
		return ERR_OK;
	folder->modseq = changes.modseq;
	folder->uidnext = changes.uidnext;
	hold(folder, &changes.expunged);
	if (gone)
		tell_expunged(folder, conn);
	tell_arrived(folder, conn, &changes);
	if (imap_folder_learn_keywords(folder, &changes.keywords))
		imap_folder_announce_flags(folder, conn);
	tell_flags(folder, conn, changes.changed, changes.changed_n, own, with_uid);
	return ERR_OK;
}
