// SPDX-License-Identifier: Apache-2.0
// The log: events become lines in the caller's thread, a ring carries them, one writer thread takes them to stderr or syslog.
//
// The ring is a bounded queue of many writers and one reader with a sequence number per slot: a slot is free for position p when
// its number is p, full when it is p + 1, and free for the next round when it is p + slots. A producer takes a position with one
// compare-and-swap and writes into the slot itself; nobody waits for anybody. A full ring drops the line and counts it.
//
// Sleeping and waking: the writer says "sleeping", looks once more, then reads its eventfd; a producer publishes, then looks at
// "sleeping". Both orders are sequentially consistent, so a line cannot be missed. Lines that a thread writes while log_stop()
// runs may be lost; all before it are written.
//
// Under load a wake and a write for each line would cost more than the line. So after more than BUSY_BATCHES in BUSY_MS the
// writer naps before the next, and only a warning, an error, a quarter of the ring or the end wakes it: lines go out together
// then, and at once otherwise.
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "metrics_base.h"
#include "base/clock.h"
#include "base/must.h"

enum {
	SLOTS = 2048, // a power of two
	BATCH_BYTES = 64 << 10,
	NAP_MS = 5,
	BUSY_MS = 100,
	BUSY_BATCHES = 20,
	CONTEXTS_MAX = 8, // deeper chains are cut: a cycle would be a bug, and must not hang
};

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const int level_priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

struct slot {
	_Atomic uint64_t sequence;
	uint32_t n;
	uint32_t level;
	char text[LOG_LINE_BYTES];
};

enum mode { MODE_DIRECT, MODE_RING, MODE_CAPTURE };

static _Atomic int mode = MODE_DIRECT;
static _Atomic int level_now = LOG_LEVEL_INFO;
static const char *daemon_name;
static enum log_destination destination;
static bool under_systemd;

static struct slot ring[SLOTS];
static _Atomic uint64_t ring_head; // next position to take
static uint64_t ring_tail;         // the writer's
static _Atomic bool sleeping, stopping;
static _Atomic uint64_t dropped;
static int wake_fd = -1;
static pthread_t writer;

static pthread_mutex_t capture_lock = PTHREAD_MUTEX_INITIALIZER;
static struct buf *capture;
static int capture_old_mode;

// A line under construction in fixed storage. Units (a character, an escape, a name) are added whole or not at all; once one did
// not fit, the line is closed with "..." for which room was kept.
struct line {
	char *p;
	size_t n, max;
	bool cut;
};

enum { LINE_END_BYTES = 4 }; // ..."

static void line_add(struct line *line, const char *p, size_t n)
{
	if (line->cut || n > line->max - line->n) {
		line->cut = true;
		return;
	}
	memcpy(line->p + line->n, p, n);
	line->n += n;
}

// Each a unit of its own.
static void line_add_chars(struct line *line, struct str chars)
{
	size_t room = line->max - line->n;
	line_add(line, chars.p, chars.n < room ? chars.n : room);
	line->cut = line->cut || chars.n > room;
}

// In decimal, with zeros before it up to so many digits. A line has many numbers: snprintf would be a third of what it costs.
static void line_add_number(struct line *line, uint64_t value, unsigned digits_min)
{
	char digits[20];
	size_t at = sizeof digits;
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0 || sizeof digits - at < digits_min);
	line_add(line, digits + at, sizeof digits - at);
}

static void line_add_c(struct line *line, const char *c)
{
	line_add(line, c, strlen(c));
}

static bool is_bare(struct str value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if (c <= 0x20 || c >= 0x7f || c == '"' || c == '=' || c == '\\')
			return false;
	}
	return value.n > 0;
}

// Bytes of the well-formed UTF-8 character at p that a terminal may see, or 0. U+0080 to U+009F are control characters.
static size_t utf8_visible(struct str value)
{
	unsigned char c = (unsigned char)*value.p;
	size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc2 || n > value.n || !str_is_utf8(str_upto(value, n)))
		return 0;
	return c == 0xc2 && (unsigned char)value.p[1] < 0xa0 ? 0 : n;
}

// How many bytes at the start are written as they are.
static size_t plain_run(struct str value)
{
	size_t n = 0;
	while (n < value.n && value.p[n] >= 0x20 && value.p[n] < 0x7f && value.p[n] != '"' && value.p[n] != '\\')
		n++;
	return n;
}

static void line_add_quoted(struct line *line, struct str value)
{
	line_add(line, "\"", 1);
	while (value.n > 0) {
		unsigned char c = (unsigned char)*value.p;
		size_t plain = plain_run(value), taken = plain ? plain : 1;
		if (plain) {
			line_add_chars(line, str_upto(value, plain));
		} else if (c == '"' || c == '\\') {
			line_add(line, (char[]){'\\', (char)c}, 2);
		} else if (c == '\n' || c == '\r' || c == '\t') {
			line_add(line, (char[]){'\\', c == '\n' ? 'n' : c == '\r' ? 'r' : 't'}, 2);
		} else if (utf8_visible(value)) {
			taken = utf8_visible(value);
			line_add(line, value.p, taken);
		} else {
			static const char hex[] = "0123456789abcdef";
			line_add(line, (char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
		}
		value = str_from(value, taken);
	}
	line_add(line, "\"", 1);
}

static void line_add_value(struct line *line, struct str value)
{
	if (is_bare(value))
		line_add(line, value.p, value.n);
	else
		line_add_quoted(line, value);
}

static void line_add_name(struct line *line, const char *name)
{
	line_add(line, " ", 1);
	line_add_c(line, name);
	line_add(line, "=", 1);
}

static void line_add_field(struct line *line, const struct log_field *field)
{
	char number[24];
	line_add_name(line, field->name);
	switch (field->type) {
	case LOG_FIELD_STR:
		line_add_value(line, field->str);
		return;
	case LOG_FIELD_U64:
		line_add_number(line, field->u64, 1);
		return;
	case LOG_FIELD_I64:
		snprintf(number, sizeof number, "%lld", (long long)field->i64);
		line_add_c(line, number);
		return;
	case LOG_FIELD_BOOL:
		line_add_c(line, field->yes ? "true" : "false");
		return;
	}
	unreachable("log field type");
}

// The outermost context first, so that a line reads from the session to the message.
static void line_add_contexts(struct line *line, const struct log_context *context)
{
	const struct log_context *chain[CONTEXTS_MAX];
	size_t n = 0;
	for (; context != NULL && n < CONTEXTS_MAX; context = context->parent)
		chain[n++] = context;
	while (n > 0) {
		n--;
		if (chain[n]->name != NULL && chain[n]->value.n > 0) {
			line_add_name(line, chain[n]->name);
			line_add_value(line, chain[n]->value);
		}
	}
}

// UTC without gmtime_r, which takes libc's time zone lock and may read files. Days to a civil date by 400-year eras.
static void line_add_time(struct line *line)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t days = now.tv_sec / 86400, second = now.tv_sec % 86400;
	int64_t shifted = days + 719468; // from 0000-03-01
	int64_t era = shifted / 146097, day_of_era = shifted % 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month_from_march = (5 * day_of_year + 2) / 153;
	int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
	int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
	int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
	const struct {
		const char *before;
		int64_t value;
		unsigned digits;
	} parts[] = {{"ts=", year, 4}, {"-", month, 2}, {"-", day, 2}, {"T", second / 3600, 2}, {":", second / 60 % 60, 2},
		{":", second % 60, 2}, {".", now.tv_nsec / 1000000, 3}};
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		line_add_c(line, parts[i].before);
		line_add_number(line, (uint64_t)parts[i].value, parts[i].digits);
	}
	line_add_c(line, "Z ");
}

// Formats an event into text of LOG_LINE_BYTES bytes, LF at its end; returns the length.
static size_t format(char *text, bool with_time, enum log_level level, const struct log_context *context, const char *message,
	const struct log_field *fields)
{
	struct line line = {.p = text, .max = LOG_LINE_BYTES - LINE_END_BYTES - 1};
	if (with_time)
		line_add_time(&line);
	line_add_c(&line, "level=");
	line_add_c(&line, level_names[level]);
	if (daemon_name != NULL) {
		line_add_name(&line, "daemon");
		line_add_c(&line, daemon_name);
	}
	line_add_name(&line, "msg");
	line_add_quoted(&line, str_of_c(message));
	line_add_contexts(&line, context);
	for (; fields->name != NULL; fields++)
		line_add_field(&line, fields);
	if (line.cut) {
		memcpy(line.p + line.n, "...\"", LINE_END_BYTES);
		line.n += LINE_END_BYTES;
	}
	line.p[line.n++] = '\n';
	return line.n;
}

// All of it, or as much as the descriptor takes: there is nobody to tell.
static void write_all(const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(STDERR_FILENO, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		p += done;
		n -= (size_t)done;
	}
}

static void event_direct(enum log_level level, const struct log_context *context, const char *message,
	const struct log_field *fields)
{
	char text[LOG_LINE_BYTES];
	write_all(text, format(text, true, level, context, message, fields));
}

static void event_capture(enum log_level level, const struct log_context *context, const char *message,
	const struct log_field *fields)
{
	char text[LOG_LINE_BYTES];
	size_t n = format(text, false, level, context, message, fields);
	pthread_mutex_lock(&capture_lock);
	if (capture != NULL)
		buf_add(capture, str_of(text, n));
	pthread_mutex_unlock(&capture_lock);
}

static void wake_writer(bool also_from_a_nap)
{
	if ((atomic_load(&sleeping) && atomic_exchange(&sleeping, false)) || also_from_a_nap) {
		uint64_t one = 1;
		ssize_t done = write(wake_fd, &one, sizeof one);
		(void)done; // an eventfd that is full has woken its reader already
	}
}

static void event_ring(enum log_level level, const struct log_context *context, const char *message,
	const struct log_field *fields)
{
	uint64_t at = atomic_load_explicit(&ring_head, memory_order_relaxed);
	struct slot *slot;
	for (;;) {
		slot = &ring[at % SLOTS];
		uint64_t sequence = atomic_load_explicit(&slot->sequence, memory_order_acquire);
		if (sequence == at) {
			if (atomic_compare_exchange_weak_explicit(&ring_head, &at, at + 1, memory_order_relaxed,
				memory_order_relaxed))
				break;
		} else if (sequence < at) {
			atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
			metric_add(&metric_log_dropped, 1);
			return;
		} else {
			at = atomic_load_explicit(&ring_head, memory_order_relaxed);
		}
	}
	slot->level = level;
	slot->n = (uint32_t)format(slot->text, destination == LOG_TO_STDERR && !under_systemd, level, context, message, fields);
	atomic_store(&slot->sequence, at + 1);
	wake_writer(level <= LOG_LEVEL_WARNING || at % (SLOTS / 4) == 0);
}

void log_event(enum log_level level, const struct log_context *context, const char *message, const struct log_field *fields)
{
	switch (atomic_load_explicit(&mode, memory_order_relaxed)) {
	case MODE_RING:
		event_ring(level, context, message, fields);
		return;
	case MODE_CAPTURE:
		event_capture(level, context, message, fields);
		return;
	default:
		event_direct(level, context, message, fields);
	}
}

bool log_enabled(enum log_level level)
{
	return level <= (enum log_level)atomic_load_explicit(&level_now, memory_order_relaxed) ||
		atomic_load_explicit(&mode, memory_order_relaxed) == MODE_CAPTURE;
}

// One line on its way out: into the batch, or to syslog at once.
static void take_out(struct buf *batch, uint32_t level, const char *text, size_t n)
{
	if (destination == LOG_TO_SYSLOG) {
		syslog(level_priorities[level], "%.*s", (int)n - 1, text);
		return;
	}
	if (under_systemd)
		buf_printf(batch, "<%d>", level_priorities[level]);
	buf_add(batch, str_of(text, n));
}

// Takes what waits, at most a batch; false when nothing did.
static bool drain(struct buf *batch)
{
	bool some = false;
	for (;;) {
		struct slot *slot = &ring[ring_tail % SLOTS];
		if (atomic_load(&slot->sequence) != ring_tail + 1 || batch->n + LOG_LINE_BYTES + 8 > BATCH_BYTES)
			break;
		take_out(batch, slot->level, slot->text, slot->n);
		atomic_store_explicit(&slot->sequence, ring_tail + SLOTS, memory_order_release);
		ring_tail++;
		some = true;
	}
	write_all(batch->p, batch->n);
	buf_clear(batch);
	return some;
}

// Beside the ring, which may be full.
static void report_dropped(struct buf *batch, uint64_t *reported)
{
	char text[LOG_LINE_BYTES];
	uint64_t total = log_dropped();
	if (total == *reported)
		return;
	const struct log_field fields[] = {log_u64("lines", total - *reported), {.name = NULL}};
	take_out(batch, LOG_LEVEL_WARNING, text,
		format(text, destination == LOG_TO_STDERR && !under_systemd, LOG_LEVEL_WARNING, NULL,
			"log lines were dropped: the log's reader is too slow", fields));
	*reported = total;
}

static bool line_waits(void)
{
	return atomic_load(&ring[ring_tail % SLOTS].sequence) == ring_tail + 1;
}

static void await_wake(void)
{
	uint64_t count;
	if (read(wake_fd, &count, sizeof count) < 0)
		must(errno == EINTR);
}

// Called once a batch.
static bool is_busy(void)
{
	static int64_t since_ms; // the writer's, as the next
	static unsigned batches;
	int64_t now_ms = clock_mono_exact_ms();
	if (now_ms - since_ms >= BUSY_MS) {
		since_ms = now_ms;
		batches = 0;
	}
	return ++batches > BUSY_BATCHES;
}

static void nap(void)
{
	struct pollfd wake = {.fd = wake_fd, .events = POLLIN};
	if (poll(&wake, 1, NAP_MS) > 0)
		await_wake();
}

static void *write_lines(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "log");
	struct buf batch;
	buf_init(&batch, BATCH_BYTES);
	uint64_t reported = log_dropped();
	for (;;) {
		if (drain(&batch)) {
			report_dropped(&batch, &reported); // goes out with the next batch
			if (is_busy() && !line_waits() && !atomic_load(&stopping))
				nap();
			continue;
		}
		if (atomic_load(&stopping))
			break;
		atomic_store(&sleeping, true);
		if (line_waits() || atomic_load(&stopping)) {
			atomic_store(&sleeping, false);
			continue;
		}
		await_wake();
	}
	buf_fini(&batch);
	return NULL;
}

void log_start(const char *daemon, enum log_destination to, enum log_level level)
{
	must(atomic_load(&mode) != MODE_RING);
	daemon_name = daemon;
	destination = to;
	under_systemd = getenv("JOURNAL_STREAM") != NULL;
	if (to == LOG_TO_SYSLOG)
		openlog(daemon, LOG_NDELAY | LOG_PID, LOG_MAIL);
	for (uint64_t i = 0; ring_tail == 0 && i < SLOTS; i++)
		atomic_store(&ring[i].sequence, i);
	log_set_level(level);
	wake_fd = eventfd(0, EFD_CLOEXEC);
	must(wake_fd >= 0);
	atomic_store(&stopping, false);
	must(pthread_create(&writer, NULL, write_lines, NULL) == 0);
	if (atomic_load(&mode) == MODE_CAPTURE)
		capture_old_mode = MODE_RING;
	else
		atomic_store(&mode, MODE_RING);
}

void log_stop(void)
{
	if (wake_fd < 0)
		return;
	if (atomic_load(&mode) == MODE_CAPTURE)
		capture_old_mode = MODE_DIRECT;
	else
		atomic_store(&mode, MODE_DIRECT);
	atomic_store(&stopping, true);
	uint64_t one = 1;
	must(write(wake_fd, &one, sizeof one) == sizeof one);
	pthread_join(writer, NULL);
	atomic_store(&sleeping, false);
	close(wake_fd);
	wake_fd = -1;
	daemon_name = NULL;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&level_now, level, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
	return atomic_load_explicit(&dropped, memory_order_relaxed);
}

void log_escape(struct buf *b, struct str value)
{
	must(value.n < SIZE_MAX / 4 - 1);
	struct line line = {.p = buf_reserve(b, 4 * value.n + 2), .max = 4 * value.n + 2};
	if (line.p == NULL)
		return;
	line_add_value(&line, value);
	buf_grew(b, line.n);
}

void log_capture_begin(struct buf *b)
{
	pthread_mutex_lock(&capture_lock);
	must(capture == NULL);
	capture = b;
	capture_old_mode = atomic_exchange(&mode, MODE_CAPTURE);
	pthread_mutex_unlock(&capture_lock);
}

void log_capture_end(void)
{
	pthread_mutex_lock(&capture_lock);
	must(capture != NULL);
	capture = NULL;
	atomic_store(&mode, capture_old_mode);
	pthread_mutex_unlock(&capture_lock);
}
