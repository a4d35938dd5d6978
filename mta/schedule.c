// SPDX-License-Identifier: Apache-2.0
// The scheduler: destinations in a ring, each with its ready recipients, its window of connections and what its rows have to
// offer.
//
// Invariants, checked where they change: loaded = ready + out; items = the sum of loaded; agents <= window when one is started;
// an item is in the table while it is here, so a page that has its row again adds nothing.
#include "schedule.h"

#include <stdlib.h>

#include "base/must.h"

enum { BUCKETS = 1 << 15, DEST_BUCKETS = 1 << 10, LOAD_WHEN_FULL = 20 };

struct schedule_dest {
	struct schedule_dest *next;        // ring of all
	struct schedule_dest *same_bucket;
	struct str name;                   // owned, behind the struct
	struct item *ready, **ready_tail;
	size_t ready_n, loaded;
	enum record_target kind;            // of its items
	unsigned agents, coming, connected; // coming: started, have not asked for work yet
	double window;
	unsigned failures;                  // since the last connection that stood
	int64_t retry_at_ms;                // dead until then; 0: alive
	int64_t rows_due_ms;                // INT64_MAX: none known
	bool loading, early;
	char why[SCHEDULE_WHY_BYTES_MAX];
	size_t why_n;
	void *user;
};

struct schedule {
	struct schedule_config config;
	struct schedule_dest *ring; // the next one to look at; NULL: no destinations
	struct schedule_dest *by_name[DEST_BUCKETS];
	struct item *by_key[BUCKETS];
	size_t destinations, items, agents;
	size_t agents_of[SCHEDULE_KINDS];
};

// --- Items by guid ---

static struct item **bucket_of(struct schedule *s, const struct guid *guid)
{
	uint32_t h;
	memcpy(&h, guid->b + 4, sizeof h);
	return &s->by_key[h % BUCKETS];
}

static struct item *find_item(struct schedule *s, const struct item *item)
{
	struct item *other = *bucket_of(s, &item->message->guid);
	while (other && !(other->r.number == item->r.number && guid_eq(&other->message->guid, &item->message->guid)))
		other = other->same_bucket;
	return other;
}

static void forget(struct schedule *s, struct item *item)
{
	struct item **at = bucket_of(s, &item->message->guid);
	while (*at != item)
		at = &(*at)->same_bucket;
	*at = item->same_bucket;
}

bool schedule_gone(struct schedule *s, const struct guid *guid, uint32_t number)
{
	bool found = false;
	for (struct item *item = *bucket_of(s, guid); item; item = item->same_bucket)
		if ((number == 0 || item->r.number == number) && guid_eq(&item->message->guid, guid))
			found = item->gone = true;
	return found;
}

// --- Destinations ---

static struct schedule_dest **dest_bucket(struct schedule *s, struct str name)
{
	return &s->by_name[str_hash(name) % DEST_BUCKETS];
}

static struct schedule_dest *find_dest(struct schedule *s, struct str name)
{
	struct schedule_dest **bucket = dest_bucket(s, name), *d;
	for (d = *bucket; d; d = d->same_bucket)
		if (str_eq(d->name, name))
			return d;
	d = calloc(1, sizeof *d + name.n);
	must(d != NULL);
	d->name = str_of((char *)(d + 1), name.n);
	if (name.n)
		memcpy(d + 1, name.p, name.n);
	d->ready_tail = &d->ready;
	d->window = SCHEDULE_WINDOW_START;
	d->rows_due_ms = INT64_MAX;
	d->same_bucket = *bucket;
	*bucket = d;
	if (s->ring) {
		d->next = s->ring->next;
		s->ring->next = d;
	} else {
		s->ring = d->next = d;
	}
	s->destinations++;
	return d;
}

// Nothing is known of it that a new one would not know.
static bool is_idle(const struct schedule_dest *d, int64_t now_ms)
{
	return d->loaded == 0 && d->agents == 0 && !d->loading && !d->early && d->rows_due_ms == INT64_MAX &&
	       d->retry_at_ms <= now_ms && d->failures == 0;
}

// Drops the one after `before` in the ring.
static void drop_after(struct schedule *s, struct schedule_dest *before)
{
	struct schedule_dest *d = before->next, **at = dest_bucket(s, d->name);
	must(d->user == NULL);
	while (*at != d)
		at = &(*at)->same_bucket;
	*at = d->same_bucket;
	before->next = d->next;
	if (s->ring == d)
		s->ring = d->next == d ? NULL : d->next;
	s->destinations--;
	free(d);
}

// Goes once around the ring, dropping idle ones, until want says yes; the next look begins behind that one.
static struct schedule_dest *look(struct schedule *s, int64_t now_ms, bool (*want)(struct schedule *s, struct schedule_dest *d,
	int64_t now_ms))
{
	struct schedule_dest *before = s->ring;
	for (size_t n = s->destinations; n > 0; n--) {
		struct schedule_dest *d = before->next;
		if (is_idle(d, now_ms)) {
			drop_after(s, before);
			continue;
		}
		if (want(s, d, now_ms)) {
			s->ring = d;
			return d;
		}
		before = d;
	}
	return NULL;
}

struct schedule *schedule_new(const struct schedule_config *config)
{
	struct schedule *s = calloc(1, sizeof *s);
	must(s != NULL);
	s->config = *config;
	return s;
}

void schedule_free(struct schedule **schedule)
{
	struct schedule *s = *schedule;
	if (s == NULL)
		return;
	while (s->ring) {
		struct schedule_dest *d = s->ring->next;
		item_free_list(&d->ready);
		d->user = NULL;
		drop_after(s, s->ring);
	}
	free(s);
	*schedule = NULL;
}

void schedule_configure(struct schedule *s, const struct schedule_config *config)
{
	s->config = *config;
}

// --- Time ---

static int64_t longest_wait_ms(const struct schedule_config *config)
{
	return config->retry_max_ms + config->retry_max_ms / 4;
}

int64_t schedule_backoff_ms(const struct schedule_config *config, unsigned tries, uint32_t dice)
{
	int64_t wait = config->retry_min_ms;
	while (tries-- > 0 && wait < config->retry_max_ms)
		wait *= 2;
	if (wait > config->retry_max_ms)
		wait = config->retry_max_ms;
	int64_t quarter = wait / 4;
	return wait - quarter + (quarter ? (int64_t)(dice % (uint64_t)(2 * quarter + 1)) : 0);
}

int64_t schedule_due_ms(const struct schedule_config *config, int64_t next_try_wall_ms, int64_t wall_ms, int64_t now_ms)
{
	int64_t wait = next_try_wall_ms <= wall_ms ? 0 : next_try_wall_ms - wall_ms;
	return now_ms + (wait < longest_wait_ms(config) ? wait : longest_wait_ms(config));
}

// --- In ---

static void append_ready(struct schedule_dest *d, struct item *item)
{
	item->next = NULL;
	item->out = false;
	*d->ready_tail = item;
	d->ready_tail = &item->next;
	d->ready_n++;
}

bool schedule_needs_hands(const struct schedule_dest *dest)
{
	return dest->ready_n > dest->coming;
}

void schedule_expect(struct schedule_dest *dest)
{
	dest->coming++;
}

// It is in memory, and found by its guid, from now on.
static void hold(struct schedule *s, struct schedule_dest *d, struct item *item)
{
	struct item **bucket = bucket_of(s, &item->message->guid);
	item->same_bucket = *bucket;
	*bucket = item;
	if (d->agents == 0)
		d->kind = item->r.target;
	d->loaded++;
	s->items++;
}

struct schedule_dest *schedule_add(struct schedule *s, struct item **item_in, int64_t now_ms)
{
	struct item *item = *item_in;
	struct schedule_dest *d = find_dest(s, item->r.destination);
	struct item *same = find_item(s, item);
	if (same) {
		same->gone = same->gone && same->out; // its row says that it waits: held, then released
		item_free(item_in);
		return d;
	}
	if (d->loaded >= SCHEDULE_DEST_ITEMS_MAX || (s->items >= SCHEDULE_ITEMS_MAX && d->loaded >= LOAD_WHEN_FULL)) {
		d->rows_due_ms = now_ms;
		return NULL;
	}
	*item_in = NULL;
	hold(s, d, item);
	append_ready(d, item);
	return d;
}

struct schedule_dest *schedule_add_out(struct schedule *s, struct item *item)
{
	if (find_item(s, item))
		return NULL;
	struct schedule_dest *d = find_dest(s, item->r.destination);
	hold(s, d, item);
	item->out = true;
	return d;
}

bool schedule_has(struct schedule *s, const struct item *item)
{
	return find_item(s, item) != NULL;
}

void schedule_note_due(struct schedule *s, struct str destination, int64_t due_ms)
{
	struct schedule_dest *d = find_dest(s, destination);
	if (due_ms < d->rows_due_ms)
		d->rows_due_ms = due_ms;
}

void schedule_flush(struct schedule *s, int64_t now_ms)
{
	struct schedule_dest *d = s->ring;
	for (size_t n = s->destinations; n > 0; n--, d = d->next) {
		d->retry_at_ms = 0;
		d->early = true;
		d->rows_due_ms = now_ms;
	}
}

static bool wants_page(struct schedule *s, struct schedule_dest *d, int64_t now_ms)
{
	if (!schedule_wants_rows(d, now_ms))
		return false;
	return d->loaded + SCHEDULE_PAGE <= SCHEDULE_DEST_ITEMS_MAX &&
	       (s->items + SCHEDULE_PAGE <= SCHEDULE_ITEMS_MAX || d->loaded == 0);
}

struct schedule_dest *schedule_wants_page(struct schedule *s, int64_t now_ms, size_t *limit_out, bool *early_out)
{
	struct schedule_dest *d = look(s, now_ms, wants_page);
	if (d == NULL)
		return NULL;
	bool full = s->items + SCHEDULE_PAGE > SCHEDULE_ITEMS_MAX;
	d->loading = true;
	d->rows_due_ms = INT64_MAX; // what is noted from now on came after the page
	*limit_out = d->loaded + (full ? LOAD_WHEN_FULL : d->early ? SCHEDULE_DEST_ITEMS_MAX - d->loaded : SCHEDULE_PAGE);
	*early_out = d->early;
	d->early = false;
	return d;
}

void schedule_paged(struct schedule *s, struct schedule_dest *dest, int64_t next_due_ms)
{
	(void)s;
	dest->loading = false;
	if (next_due_ms < dest->rows_due_ms)
		dest->rows_due_ms = next_due_ms;
}

// --- Out ---

bool schedule_is_dead(const struct schedule_dest *dest, int64_t now_ms)
{
	return dest->retry_at_ms > now_ms;
}

// What is done for a kind may need much memory.
static bool kind_has_room(const struct schedule *s, enum record_target kind)
{
	return s->config.kind_max[kind] == 0 || s->agents_of[kind] < s->config.kind_max[kind];
}

static bool wants_agent(struct schedule *s, struct schedule_dest *d, int64_t now_ms)
{
	return d->ready_n > d->coming && d->agents < (unsigned)d->window && kind_has_room(s, d->kind) &&
	       !schedule_is_dead(d, now_ms);
}

struct schedule_dest *schedule_start_agent(struct schedule *s, int64_t now_ms)
{
	if (s->agents >= s->config.connections_max)
		return NULL;
	struct schedule_dest *d = look(s, now_ms, wants_agent);
	if (d == NULL)
		return NULL;
	d->agents++;
	d->coming++;
	s->agents++;
	s->agents_of[d->kind]++;
	return d;
}

static struct item *pop(struct schedule_dest *d)
{
	struct item *item = d->ready;
	d->ready = item->next;
	if (d->ready == NULL)
		d->ready_tail = &d->ready;
	d->ready_n--;
	item->next = NULL;
	return item;
}

static void drop_gone(struct schedule *s, struct schedule_dest *d)
{
	while (d->ready && d->ready->gone) {
		struct item *item = pop(d);
		item->out = true;
		schedule_done(s, d, &item);
	}
}

struct item *schedule_take(struct schedule *s, struct schedule_dest *d, size_t messages_max, size_t recipients_max)
{
	struct item *list = NULL, **tail = &list, *last = NULL;
	size_t messages = 0;
	for (size_t n = 0; n < recipients_max; n++) {
		drop_gone(s, d);
		if (d->ready == NULL)
			break;
		bool another = last == NULL || !guid_eq(&last->message->guid, &d->ready->message->guid);
		if (another && messages++ == messages_max)
			break;
		last = pop(d);
		last->out = true;
		*tail = last;
		tail = &last->next;
	}
	if (d->coming > 0)
		d->coming--;
	return list;
}

void schedule_done(struct schedule *s, struct schedule_dest *dest, struct item **item)
{
	must((*item)->out && dest->loaded > 0 && s->items > 0);
	dest->loaded--;
	s->items--;
	forget(s, *item);
	item_free(item);
}

// At the front: it was next.
void schedule_put_back(struct schedule *s, struct schedule_dest *dest, struct item **item_in)
{
	(void)s;
	struct item *item = *item_in;
	*item_in = NULL;
	must(item->out);
	item->out = false;
	item->next = dest->ready;
	if (dest->ready == NULL)
		dest->ready_tail = &item->next;
	dest->ready = item;
	dest->ready_n++;
}

static bool is_dead_with_ready(struct schedule *s, struct schedule_dest *d, int64_t now_ms)
{
	(void)s;
	return d->ready_n > 0 && schedule_is_dead(d, now_ms);
}

struct item *schedule_take_dead(struct schedule *s, int64_t now_ms, size_t messages_max, size_t recipients_max,
	struct schedule_dest **dest_out)
{
	struct schedule_dest *d = look(s, now_ms, is_dead_with_ready);
	if (d == NULL)
		return NULL;
	unsigned coming = d->coming;
	*dest_out = d;
	struct item *list = schedule_take(s, d, messages_max, recipients_max);
	d->coming = coming; // this was nobody's turn
	return list;
}

// --- What agents see ---

void schedule_connected(struct schedule *s, struct schedule_dest *dest)
{
	(void)s;
	dest->connected++;
	if (dest->failures > 0) { // back to life: whoever was deferred for it need not wait longer
		dest->early = true;
		dest->rows_due_ms = 0;
	}
	dest->failures = 0;
	dest->retry_at_ms = 0;
}

void schedule_succeeded(struct schedule *s, struct schedule_dest *dest)
{
	dest->window += 1 / dest->window;
	if (dest->window > s->config.concurrency_max)
		dest->window = s->config.concurrency_max;
}

void schedule_failed(struct schedule *s, struct schedule_dest *dest, int64_t now_ms, uint32_t dice, struct str why)
{
	dest->window = dest->window / 2 < 1 ? 1 : dest->window / 2;
	why = str_upto(why, sizeof dest->why);
	if (why.n)
		memcpy(dest->why, why.p, why.n);
	dest->why_n = why.n;
	if (dest->connected > 0 || schedule_is_dead(dest, now_ms)) // others live; or several failed together: one death
		return;
	dest->retry_at_ms = now_ms + schedule_backoff_ms(&s->config, dest->failures++, dice);
	dest->window = 1;
}

void schedule_disconnected(struct schedule *s, struct schedule_dest *dest)
{
	(void)s;
	must(dest->connected > 0);
	dest->connected--;
}

void schedule_agent_ended(struct schedule *s, struct schedule_dest *dest)
{
	must(dest->agents > dest->connected && s->agents > 0);
	dest->agents--;
	s->agents--;
	must(s->agents_of[dest->kind] > 0);
	s->agents_of[dest->kind]--;
	if (dest->coming > dest->agents)
		dest->coming = dest->agents;
}

// --- Looking ---

int64_t schedule_wake_ms(struct schedule *s, int64_t now_ms)
{
	int64_t wake_ms = INT64_MAX;
	struct schedule_dest *d = s->ring;
	for (size_t n = s->destinations; n > 0; n--, d = d->next) {
		if (!d->loading && d->rows_due_ms > now_ms && d->rows_due_ms < wake_ms)
			wake_ms = d->rows_due_ms;
		if (d->retry_at_ms > now_ms && d->retry_at_ms < wake_ms)
			wake_ms = d->retry_at_ms;
	}
	return wake_ms;
}

struct str schedule_name(const struct schedule_dest *dest)
{
	return dest->name;
}

struct str schedule_why(const struct schedule_dest *dest)
{
	return str_of(dest->why, dest->why_n);
}

bool schedule_wants_rows(const struct schedule_dest *dest, int64_t now_ms)
{
	return !dest->loading && dest->rows_due_ms <= now_ms && dest->ready_n < SCHEDULE_LOW;
}

bool schedule_has_ready(const struct schedule_dest *dest)
{
	return dest->ready_n > 0;
}

void **schedule_user(struct schedule_dest *dest)
{
	return &dest->user;
}

size_t schedule_items(const struct schedule *s)
{
	return s->items;
}

void schedule_stats(const struct schedule *s, int64_t now_ms, struct schedule_stats *out)
{
	*out = (struct schedule_stats){.destinations = s->destinations, .items = s->items, .agents = s->agents};
	const struct schedule_dest *d = s->ring;
	for (size_t n = s->destinations; n > 0; n--, d = d->next)
		out->dead += schedule_is_dead(d, now_ms);
}
