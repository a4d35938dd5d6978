// SPDX-License-Identifier: Apache-2.0
// Descriptors of fibers in epoll, edge-triggered, and the heap of deadlines.
//
// An event of epoll carries a slot and that slot's generation, not a pointer: epoll_wait returns a batch, and a fiber that runs
// because of its first event may close the io of its second, or open a new one under the same descriptor number. Closing raises
// the slot's generation, so such an event matches nothing and is dropped.
#include "fiber_private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/must.h"

// --- Descriptors ---

static uint64_t key_of(const struct fiber_io *io)
{
	return (uint64_t)io->generation << 32 | io->slot;
}

static void add_slots(struct sched *sched)
{
	size_t n = sched->ios_n ? sched->ios_n * 2 : 64;
	must(n < UINT32_MAX); // the last slot number is the eventfd's
	sched->ios = reallocarray(sched->ios, n, sizeof *sched->ios);
	sched->free_slots = reallocarray(sched->free_slots, n, sizeof *sched->free_slots);
	must(sched->ios != NULL && sched->free_slots != NULL);
	for (size_t slot = n; slot-- > sched->ios_n;) {
		struct fiber_io *io = calloc(1, sizeof *io);
		must(io != NULL);
		io->slot = (uint32_t)slot;
		sched->ios[slot] = io;
		sched->free_slots[sched->free_slots_n++] = (uint32_t)slot;
	}
	sched->ios_n = n;
}

static struct fiber_io *open_io(int fd, uint32_t epoll_events, unsigned ready)
{
	struct sched *sched = sched_of_thread;
	must(sched != NULL);
	if (sched->free_slots_n == 0)
		add_slots(sched);
	struct fiber_io *io = sched->ios[sched->free_slots[sched->free_slots_n - 1]];
	struct epoll_event event = {.events = epoll_events | EPOLLET, .data.u64 = key_of(io)};
	if (epoll_ctl(sched->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
		must(errno == ENOMEM || errno == ENOSPC);
		return NULL;
	}
	sched->free_slots_n--;
	io->fd = fd;
	io->ready = ready;
	io->hung_up = false;
	io->open = true;
	io->waiter = NULL;
	return io;
}

struct fiber_io *fiber_io_open(int fd)
{
	return open_io(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, FIBER_READABLE | FIBER_WRITABLE);
}

struct fiber_io *fiber_io_open_exclusive(int fd)
{
	return open_io(fd, EPOLLIN | EPOLLEXCLUSIVE, FIBER_READABLE);
}

void fiber_io_close(struct fiber_io **io_taken)
{
	struct fiber_io *io = *io_taken;
	struct sched *sched = sched_of_thread;
	*io_taken = NULL;
	if (io == NULL)
		return;
	must(io->open && io->waiter == NULL && sched->ios[io->slot] == io);
	must(epoll_ctl(sched->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL) == 0);
	io->open = false;
	io->generation++;
	sched->free_slots[sched->free_slots_n++] = io->slot;
}

void fiber_io_drained(struct fiber_io *io, unsigned events)
{
	io->ready &= ~events;
}

bool fiber_io_is_drained(const struct fiber_io *io, unsigned events)
{
	return (io->ready & events) == 0;
}

bool fiber_io_hung_up(const struct fiber_io *io)
{
	return io->hung_up;
}

void fiber_io_event(struct sched *sched, uint64_t key, uint32_t epoll_events)
{
	uint32_t slot = (uint32_t)key;
	must(slot < sched->ios_n);
	struct fiber_io *io = sched->ios[slot];
	if (!io->open || key_of(io) != key) {
		sched_count(&sched->n_stale, 1);
		return;
	}
	if (epoll_events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		io->ready |= FIBER_READABLE;
	if (epoll_events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		io->ready |= FIBER_WRITABLE;
	if (epoll_events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		io->hung_up = true;
	if (io->waiter)
		fiber_ready(io->waiter);
}

void fiber_ios_fini(struct sched *sched)
{
	for (size_t slot = 0; slot < sched->ios_n; slot++)
		free(sched->ios[slot]);
	free(sched->ios);
	free(sched->free_slots);
}

// --- Deadlines: a binary heap; fiber->timer is the place plus 1 ---

static void put(struct sched *sched, size_t i, struct fiber *fiber)
{
	sched->timers[i] = fiber;
	fiber->timer = i + 1;
}

static void sift_up(struct sched *sched, size_t i)
{
	struct fiber *fiber = sched->timers[i];
	for (size_t parent; i > 0; i = parent) {
		parent = (i - 1) / 2;
		if (sched->timers[parent]->deadline_ms <= fiber->deadline_ms)
			break;
		put(sched, i, sched->timers[parent]);
	}
	put(sched, i, fiber);
}

static void sift_down(struct sched *sched, size_t i)
{
	struct fiber *fiber = sched->timers[i];
	for (size_t child; (child = 2 * i + 1) < sched->timers_n; i = child) {
		if (child + 1 < sched->timers_n && sched->timers[child + 1]->deadline_ms < sched->timers[child]->deadline_ms)
			child++;
		if (sched->timers[child]->deadline_ms >= fiber->deadline_ms)
			break;
		put(sched, i, sched->timers[child]);
	}
	put(sched, i, fiber);
}

void fiber_timer_set(struct fiber *fiber, int64_t deadline_ms)
{
	struct sched *sched = fiber->sched;
	must(fiber->timer == 0);
	if (sched->timers_n == sched->timers_size) {
		sched->timers_size = sched->timers_size ? sched->timers_size * 2 : 64;
		sched->timers = reallocarray(sched->timers, sched->timers_size, sizeof(struct fiber *));
		must(sched->timers != NULL);
	}
	fiber->deadline_ms = deadline_ms;
	put(sched, sched->timers_n++, fiber);
	sift_up(sched, sched->timers_n - 1);
}

void fiber_timer_clear(struct fiber *fiber)
{
	struct sched *sched = fiber->sched;
	if (fiber->timer == 0)
		return;
	size_t i = fiber->timer - 1;
	struct fiber *last = sched->timers[--sched->timers_n];
	fiber->timer = 0;
	if (last == fiber)
		return;
	put(sched, i, last);
	sift_up(sched, i);
	sift_down(sched, last->timer - 1);
}
