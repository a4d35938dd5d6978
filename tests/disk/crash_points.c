// SPDX-License-Identifier: Apache-2.0
// Walking along a record and checking every point, each in a child of its own. This process has no threads and opens no database.
#include "crash_points.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/must.h"

enum { CHILD_S = 120, REPORTED_MAX = 5, SAID_BYTES = 1 << 14, ERROR_BYTES = 300, FOR_EVER = 1 << 30, SECTOR_BYTES = 512 };

// Written by children.
struct shared {
	struct crash_verdict verdict;
	long operations;
};

struct run {
	const struct crash_test *test;
	uint64_t seed;
	bool all, keep;
	unsigned shard, shards;
	enum test_disk_lie lie;
	const char *only;
	char dir[64];
	int said, worked; // what the child wrote to stderr: of a check, of the work before
	struct shared *shared;
	struct disk_trace *trace;
	uint64_t points, acknowledged, lost, duplicated, reported;
};

// --- For checks ---

static void __attribute__((format(printf, 2, 0))) put_text(struct crash_verdict *v, const char *format, va_list args)
{
	if (v->text[0] == '\0')
		vsnprintf(v->text, sizeof v->text, format, args);
}

void crash_lost(struct crash_verdict *v, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	put_text(v, format, args);
	va_end(args);
	v->lost++;
}

void crash_duplicated(struct crash_verdict *v, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	put_text(v, format, args);
	va_end(args);
	v->duplicated++;
}

static const char text_mark[] = "Subject: crash-";
enum { TEXT_HEAD_BYTES = 64 };

char *crash_text(uint32_t id, size_t bytes, char *p)
{
	char head[TEXT_HEAD_BYTES];
	must(bytes >= sizeof head);
	int n = snprintf(head, sizeof head, "%s%08x-%08zx\r\nTo: a@uni.example\r\n\r\n", text_mark, id, bytes);
	memcpy(p, head, (size_t)n);
	for (size_t i = (size_t)n; i < bytes; i++) {
		size_t column = i % 64;
		p[i] = column == 62 && i + 1 < bytes ? '\r' : column == 63 ? '\n' : (char)('a' + (id * 7 + i / 64 + column) % 26);
	}
	if (bytes - (size_t)n >= 2)
		memcpy(p + bytes - 2, "\r\n", 2);
	if (p[bytes - 3] == '\r')
		p[bytes - 3] = 'z';
	return p;
}

bool crash_text_id(const char *p, size_t n, uint32_t *id_out, size_t *bytes_out, size_t *at_out)
{
	const char *at = memmem(p, n, text_mark, sizeof text_mark - 1);
	char number[18] = "";
	if (at == NULL || n - (size_t)(at - p) < sizeof text_mark - 1 + sizeof number - 1)
		return false;
	memcpy(number, at + sizeof text_mark - 1, sizeof number - 1);
	char *end;
	*id_out = (uint32_t)strtoul(number, &end, 16);
	if (*end != '-')
		return false;
	*bytes_out = strtoul(end + 1, NULL, 16);
	*at_out = (size_t)(at - p);
	return true;
}

// --- Children ---

// What fn does in a child; its exit status, -1 for a signal.
static int in_child(struct run *r, int said, void (*fn)(struct run *r, void *arg), void *arg)
{
	must(ftruncate(said, 0) == 0 && lseek(said, 0, SEEK_SET) == 0);
	fflush(NULL);
	pid_t pid = fork();
	must(pid >= 0);
	if (pid == 0) {
		must(dup2(said, STDERR_FILENO) == STDERR_FILENO);
		alarm(CHILD_S);
		fn(r, arg);
		_exit(0);
	}
	int status;
	must(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static uint64_t acks_before(const struct run *r, const struct disk_trace *trace, size_t position)
{
	uint64_t n = 0;
	for (size_t i = 0; i < position; i++) {
		const struct disk_op *op = disk_trace_op(trace, i);
		n += op->kind == DISK_MARK && r->test->is_ack(&op->mark);
	}
	return n;
}

struct work {
	long fail_at, times;
	int code;
	bool is_small;
};

static void do_work(struct run *r, void *arg)
{
	const struct work *w = arg;
	test_disk_install();
	test_disk_lie(r->lie);
	test_disk_record(r->trace, r->dir);
	if (w->fail_at)
		test_disk_fail(w->fail_at, w->times, w->code);
	r->test->work(r->dir, r->trace, r->seed, w->is_small);
	r->shared->operations = test_disk_operations();
}

struct point {
	const struct disk_trace *trace; // with the marks
	size_t position;
	const char *what;
	size_t at;
	uint64_t choice;
};

// A start needs no hand: it has nothing to say at level error, which means that somebody must act.
static void do_check(struct run *r, void *arg)
{
	const struct point *p = arg;
	struct crash_verdict *v = &r->shared->verdict;
	struct buf said;
	buf_init(&said, SAID_BYTES);
	log_capture_begin(&said);
	r->test->check(r->dir, p->trace, p->position, v);
	log_capture_end();
	ptrdiff_t at = str_find(buf_str(&said), STR("level=error"));
	if (at >= 0)
		crash_lost(v, "the start asks for a hand: %.*s",
			STR_FMT(str_upto(str_from(buf_str(&said), (size_t)at), ERROR_BYTES)));
}

static void report(struct run *r, const struct point *p, int status)
{
	char said[SAID_BYTES];
	if (r->reported++ >= REPORTED_MAX)
		return;
	fprintf(stderr, "%s: seed %llu, %s, operation %zu, choice %llu, child %d: lost %llu, duplicated %llu: %s\n",
		r->test->name, (unsigned long long)r->seed, p->what, p->at, (unsigned long long)p->choice, status,
		(unsigned long long)r->shared->verdict.lost, (unsigned long long)r->shared->verdict.duplicated,
		r->shared->verdict.text);
	for (int i = 0; i < 2; i++) {
		ssize_t n = pread(i ? r->said : r->worked, said, sizeof said - 1, 0);
		fprintf(stderr, "%s: %.*s\n", i ? "the check said" : "the work said", (int)n, said);
	}
}

static void __attribute__((noreturn)) end(struct run *r)
{
	disk_empty(r->dir);
	must(rmdir(r->dir) == 0);
	if (r->acknowledged == 0)
		fprintf(stderr, "%s: nothing was acknowledged\n", r->test->name);
	printf("{\"points\":%llu,\"acknowledged\":%llu,\"lost\":%llu,\"duplicated\":%llu}\n", (unsigned long long)r->points,
		(unsigned long long)r->acknowledged, (unsigned long long)r->lost, (unsigned long long)r->duplicated);
	exit(r->lost || r->duplicated || r->acknowledged == 0);
}

// Checks the folder as it is now.
static void check(struct run *r, const struct point *p)
{
	memset(&r->shared->verdict, 0, sizeof r->shared->verdict);
	int status = in_child(r, r->said, do_check, (void *)(uintptr_t)p);
	r->points++;
	struct crash_verdict *v = &r->shared->verdict;
	if (status != 0 && v->lost == 0) {
		uint64_t acks = acks_before(r, p->trace, p->position);
		v->lost = acks ? acks : 1;
		if (v->text[0] == '\0')
			snprintf(v->text, sizeof v->text, "the check did not come to its end");
	}
	r->lost += v->lost;
	r->duplicated += v->duplicated;
	if (v->lost == 0 && v->duplicated == 0)
		return;
	report(r, p, status);
	if (r->lie != TEST_DISK_HONEST)
		end(r);
	if (r->keep) {
		fprintf(stderr, "the folder (after its check) is %s\n", r->dir);
		exit(1);
	}
}

// --- Cuts ---

struct walk {
	struct disk_replay *replay;
	const struct disk_trace *trace;
	struct point point; // trace and position there are of the marks, when they are another record's
	bool own_marks;
	size_t subsets_max; // so many choices at one place
};

static void cut(struct run *r, struct walk *w, enum disk_cut kind, const char *what, size_t at, uint64_t choice)
{
	struct point p = w->point;
	p.what = what;
	p.at = at;
	p.choice = choice;
	if (w->own_marks)
		p.position = at;
	disk_replay_cut(w->replay, kind, choice, r->dir);
	check(r, &p);
}

static bool wants(const struct run *r, const char *what)
{
	return r->only == NULL || strcmp(r->only, what) == 0;
}

// Nothing, and what else of the unsynced may be there: all of it is a kill's.
static void cut_power(struct run *r, struct walk *w, size_t at)
{
	size_t open = disk_replay_unsynced(w->replay);
	if (open == 0)
		return;
	cut(r, w, DISK_CUT_POWER, "power", at, 0);
	if (open < 32 && (UINT64_C(1) << open) - 2 <= w->subsets_max) {
		for (uint64_t choice = 1; choice + 1 < UINT64_C(1) << open; choice++)
			cut(r, w, DISK_CUT_SUBSET, "power", at, choice);
		return;
	}
	for (uint64_t i = 0; i < w->subsets_max; i++)
		cut(r, w, DISK_CUT_RANDOM, "power", at, r->seed * 1000003 + at * 101 + i);
}

// The position after operation i.
static void cut_after(struct run *r, struct walk *w, size_t i)
{
	size_t at = i + 1, n = disk_trace_n(w->trace);
	enum disk_kind kind = disk_trace_op(w->trace, i)->kind;
	bool changes = kind != DISK_SYNC && kind != DISK_DIRSYNC && kind != DISK_MARK;
	enum disk_kind next = at < n ? disk_trace_op(w->trace, at)->kind : DISK_SYNC;
	if (kind == DISK_MARK && next == DISK_MARK)
		return; // the last of several marks asks for all of them
	if (wants(r, "kill") && ((changes && next != DISK_MARK) || kind == DISK_MARK))
		cut(r, w, DISK_CUT_KILL, "kill", at, 0);
	if (wants(r, "torn") && kind == DISK_WRITE && disk_trace_op(w->trace, i)->n > SECTOR_BYTES)
		cut(r, w, DISK_CUT_TORN, "torn", at, r->seed + at);
	if (!wants(r, "power"))
		return;
	if (kind == DISK_MARK || next == DISK_SYNC || next == DISK_DIRSYNC)
		cut_power(r, w, at);
	else if (disk_replay_unsynced(w->replay) > 0)
		cut(r, w, DISK_CUT_RANDOM, "power", at, r->seed * 999983 + at);
}

static void walk(struct run *r, struct walk *w)
{
	w->replay = disk_replay_new(w->trace);
	for (size_t i = 0; i < disk_trace_n(w->trace); i++) {
		disk_replay_to(w->replay, i + 1);
		if (i >= disk_trace_begin(w->trace))
			cut_after(r, w, i);
	}
	disk_replay_free(&w->replay);
}

static void all_cuts(struct run *r)
{
	struct walk w = {.trace = r->trace, .point.trace = r->trace, .own_marks = true, .subsets_max = r->all ? 30 : 3};
	walk(r, &w);
}

// --- Cuts of the start after a cut ---

struct restart {
	struct disk_trace *trace;
};

static void do_restart(struct run *r, void *arg)
{
	const struct restart *s = arg;
	test_disk_install();
	test_disk_lie(r->lie);
	test_disk_record(s->trace, r->dir);
	r->test->restart(r->dir);
}

static void cut_again(struct run *r, struct disk_replay *replay, struct restart *s, size_t at, enum disk_cut kind)
{
	disk_trace_clear(s->trace);
	disk_replay_cut(replay, kind, r->seed + at, r->dir);
	struct walk w = {.trace = s->trace, .point = {.trace = r->trace, .position = at}, .subsets_max = 1};
	int status = in_child(r, r->worked, do_restart, s);
	struct point p = {.trace = r->trace, .position = at, .what = "again", .at = at};
	if (status != 0) {
		memset(&r->shared->verdict, 0, sizeof r->shared->verdict);
		crash_lost(&r->shared->verdict, "the start failed");
		r->lost++;
		report(r, &p, status);
		return;
	}
	const char *only = r->only;
	r->only = NULL;
	walk(r, &w);
	r->only = only;
}

static void all_again(struct run *r)
{
	enum { PLACES = 6, PLACES_ALL = 100 };
	struct restart s = {.trace = disk_trace_new()};
	struct disk_replay *replay = disk_replay_new(r->trace);
	size_t begin = disk_trace_begin(r->trace), n = disk_trace_n(r->trace), places = r->all ? PLACES_ALL : PLACES;
	for (size_t i = 0; i < places; i++) {
		size_t at = begin + (n - begin) * i / places + (r->seed * 7919 + i * 31) % ((n - begin) / places + 1);
		if (at > n || at <= begin)
			continue;
		disk_replay_to(replay, at);
		cut_again(r, replay, &s, at, i % 2 ? DISK_CUT_RANDOM : DISK_CUT_KILL);
	}
	disk_replay_free(&replay);
	disk_trace_free(&s.trace);
}

// --- Faults ---

// Work that ends by itself, or as the daemon does; false: it did neither.
static bool try_work(struct run *r, struct work *w, const char *what)
{
	disk_trace_clear(r->trace);
	disk_empty(r->dir);
	r->shared->operations = FOR_EVER;
	int status = in_child(r, r->worked, do_work, w);
	if (status == 0 || status == CRASH_DIED)
		return true;
	struct point p = {.trace = r->trace, .what = what, .at = (size_t)w->fail_at};
	memset(&r->shared->verdict, 0, sizeof r->shared->verdict);
	crash_lost(&r->shared->verdict, "the work neither ended nor died as it should");
	r->lost++;
	report(r, &p, status);
	return false;
}

static void all_faults_of(struct run *r, int code, long times, long step)
{
	const char *what = code == EIO ? "faults: EIO" : "faults: ENOSPC";
	long between = step * (long)r->shards;
	for (long at = 1 + (long)((r->seed + r->shard * (uint64_t)step) % (uint64_t)between);; at += between) {
		struct work w = {.fail_at = at, .times = times, .code = code, .is_small = true};
		if (!try_work(r, &w, what))
			continue;
		if (r->shared->operations < at)
			return;
		size_t n = disk_trace_n(r->trace);
		r->acknowledged += acks_before(r, r->trace, n);
		struct point p = {.trace = r->trace, .position = n, .what = what, .at = (size_t)at};
		check(r, &p); // the folder as the process left it
		disk_cut(r->trace, n, DISK_CUT_POWER, 0, r->dir);
		check(r, &p);
	}
}

static void all_faults(struct run *r)
{
	all_faults_of(r, EIO, 1, 1); // the rest works again, so that what is done about it can do harm
	all_faults_of(r, ENOSPC, 1, 1);
	all_faults_of(r, ENOSPC, 20, r->all ? 1 : 7);
	if (r->all)
		all_faults_of(r, EIO, FOR_EVER, 1);
}

// --- The program ---

static void parse(int argc, char **argv, struct run *r)
{
	static const struct option options[] = {{"seed", required_argument, NULL, 's'}, {"all", no_argument, NULL, 'a'},
		{"lie", required_argument, NULL, 'l'}, {"only", required_argument, NULL, 'o'}, {"keep", no_argument, NULL, 'k'},
		{"shard", required_argument, NULL, 'p'}, {0}};
	static const char *const lies[] = {"none", "sqlite", "files", "dirs"};
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case 's':
			r->seed = strtoull(optarg, NULL, 10);
			break;
		case 'a':
			r->all = true;
			break;
		case 'k':
			r->keep = true;
			break;
		case 'o':
			r->only = optarg;
			break;
		case 'p':
			if (sscanf(optarg, "%u/%u", &r->shard, &r->shards) != 2 || r->shard >= r->shards)
				exit(2);
			break;
		case 'l':
			for (size_t i = 1; i < sizeof lies / sizeof *lies; i++)
				if (strcmp(optarg, lies[i]) == 0)
					r->lie = (enum test_disk_lie)i;
			if (r->lie != TEST_DISK_HONEST)
				break;
			exit(2);
		default:
			exit(2);
		}
	}
}

// Memory where there is one: the disk below plays no part, its syncs would only cost time.
static void make_dir(struct run *r)
{
	snprintf(r->dir, sizeof r->dir, "/dev/shm/posthouse-crash-XXXXXX");
	if (mkdtemp(r->dir))
		return;
	snprintf(r->dir, sizeof r->dir, "/tmp/posthouse-crash-XXXXXX");
	must(mkdtemp(r->dir) != NULL);
}

int crash_main(int argc, char **argv, const struct crash_test *test)
{
	struct run r = {.test = test, .seed = 1, .shards = 1};
	parse(argc, argv, &r);
	signal(SIGPIPE, SIG_IGN);
	make_dir(&r);
	r.shared = mmap(NULL, sizeof *r.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(r.shared != MAP_FAILED);
	r.said = memfd_create("said", MFD_CLOEXEC);
	r.worked = memfd_create("worked", MFD_CLOEXEC);
	must(r.said >= 0 && r.worked >= 0);
	r.trace = disk_trace_new();
	struct work whole = {0};
	if (try_work(&r, &whole, "work")) {
		size_t n = disk_trace_n(r.trace);
		r.acknowledged += acks_before(&r, r.trace, n);
		fprintf(stderr, "%s: %zu operations, %llu acknowledged\n", test->name, n, (unsigned long long)r.acknowledged);
		all_cuts(&r);
		if (wants(&r, "again"))
			all_again(&r);
	}
	if (wants(&r, "faults") && r.lie == TEST_DISK_HONEST)
		all_faults(&r);
	end(&r);
}
