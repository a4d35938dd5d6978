// SPDX-License-Identifier: Apache-2.0
// Changing stacks: the processor's side of a fiber, and what sanitizers and valgrind must be told about it. Private to base/.
//
// Written in assembler for x86-64 and aarch64; anywhere else, or with -DFIBER_UCONTEXT, by swapcontext(3), which costs a system
// call.
#ifndef FIBER_SWITCH_H
#define FIBER_SWITCH_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__has_feature)
#define FIBER_HAS_FEATURE(x) __has_feature(x)
#else
#define FIBER_HAS_FEATURE(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || FIBER_HAS_FEATURE(address_sanitizer)
#define FIBER_ASAN 1
#else
#define FIBER_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__) || FIBER_HAS_FEATURE(thread_sanitizer)
#define FIBER_TSAN 1
#else
#define FIBER_TSAN 0
#endif

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(FIBER_UCONTEXT)
#define FIBER_UCONTEXT
#endif

#if defined(FIBER_UCONTEXT)
#include <ucontext.h>
#endif

struct fiber_context {
	void *sp;           // while switched away; with the registers saved above it (base/gdb_fiber.py knows the layout)
	char *stack;        // lowest byte; of a thread's own stack known to ASan only
	size_t stack_bytes;
#if FIBER_ASAN
	void *fake_stack;
#endif
#if FIBER_TSAN
	void *tsan;
#endif
#if defined(FIBER_UCONTEXT)
	ucontext_t ucontext;
#endif
};

// The context of the calling thread's own stack, to come back to.
void fiber_context_init_thread(struct fiber_context *context);

// A context that will run entry(), which never returns, on the given stack.
void fiber_context_init(struct fiber_context *context, char *stack, size_t stack_bytes, void (*entry)(void));

// Frees what the sanitizers hold. Not from the context itself.
void fiber_context_fini(struct fiber_context *context);

// Runs `to`; returns when somebody switches back. last: never, `from` has ended.
void fiber_switch(struct fiber_context *from, struct fiber_context *to, bool last);

// The first thing an entry does; from is who switched to it.
void fiber_switch_entered(struct fiber_context *from);

#endif
