// SPDX-License-Identifier: Apache-2.0
// Reading maps of files that may be cut: a handler of SIGBUS that puts a page of zeros where one is missing.
//
// Why not a look at the size of the file before each use: it may be cut right after that. Why not a jump out of the handler: it
// would leave SQLite, and whoever holds a lock, in the middle of things.
#include "base/mapped.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/must.h"

// Of the thread, and so of its handler: no other thread sees them.
static _Thread_local volatile sig_atomic_t depth, is_cut;
static struct sigaction before;
static uintptr_t page_bytes;

// A shared map is a file's that others write. Any other page that is missing is the program's own, which the disk cannot read:
// text and constants, or memory that was swapped out. Zeros in its place would stay there for all threads. mremap() of no bytes
// makes a second name of a shared page, and of no other.
static bool is_shared(void *page)
{
	void *second = mremap(page, 0, page_bytes, MREMAP_MAYMOVE);
	return second != MAP_FAILED && munmap(second, page_bytes) == 0;
}

// Async-signal-safe: mremap, munmap, mmap and sigaction are calls of the kernel, and errno is put back.
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	int error = errno;
	uintptr_t page = (uintptr_t)info->si_addr & ~(page_bytes - 1);
	(void)context;
	// Writable, for what is mapped so: the index of a WAL, where a reader notes how far it reads.
	if (depth && info->si_code == BUS_ADRERR && is_shared((void *)page) &&
		mmap((void *)page, page_bytes, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
			MAP_FAILED)
		is_cut = 1;
	else
		sigaction(number, &before, NULL); // and the same again, for whoever had it before us
	errno = error;
}

static void take_over(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
	page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&action.sa_mask);
	must(sigaction(SIGBUS, &action, &before) == 0);
}

void mapped_begin(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	if (depth == 0)
		pthread_once(&once, take_over);
	depth = depth + 1;
}

bool mapped_end(void)
{
	must(depth > 0);
	bool was_cut = is_cut != 0;
	depth = depth - 1;
	if (depth == 0)
		is_cut = 0;
	return was_cut;
}
