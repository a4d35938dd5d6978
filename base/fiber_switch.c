// SPDX-License-Identifier: Apache-2.0
// Changing stacks. Only callee-saved registers are kept: to the compiler a switch is a function call. The floating-point control
// words, though callee-saved too, are the same in all fibers, since nothing here changes them.
#include "fiber_switch.h"

#include <stdint.h>
#include <string.h>

#include "base/must.h"

#if FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#if !defined(FIBER_UCONTEXT)

// Saves the registers on the present stack, stores its pointer in *sp_out, takes sp for the stack pointer and restores from
// there.
void fiber_swap_stacks(void **sp_out, void *sp);

#if defined(__x86_64__)

enum { SAVED_WORDS = 7, SAVED_ENTRY = 6 }; // r15 r14 r13 r12 rbx rbp, return address

__asm__(".text\n"
	".globl fiber_swap_stacks\n"
	".hidden fiber_swap_stacks\n"
	".type fiber_swap_stacks, @function\n"
	"fiber_swap_stacks:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size fiber_swap_stacks, .-fiber_swap_stacks\n");

#elif defined(__aarch64__)

enum { SAVED_WORDS = 20, SAVED_ENTRY = 11 }; // x19 … x30 (the return address), d8 … d15

__asm__(".text\n"
	".globl fiber_swap_stacks\n"
	".hidden fiber_swap_stacks\n"
	".type fiber_swap_stacks, %function\n"
	"fiber_swap_stacks:\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	ret\n"
	".size fiber_swap_stacks, .-fiber_swap_stacks\n");

#endif

// The stack as if entry had been interrupted before its first instruction. Above the saved registers a zero stands where a
// caller's return address would be: debuggers stop there, and the stack pointer has the alignment that the ABIs want at a
// function's start.
static void prepare(struct fiber_context *context, void (*entry)(void))
{
	uintptr_t top = ((uintptr_t)context->stack + context->stack_bytes) & ~(uintptr_t)15;
	uintptr_t *words = (uintptr_t *)(top - 16) - SAVED_WORDS;
#if defined(__x86_64__)
	words++; // entered by `ret`, which leaves the stack pointer 8 below a multiple of 16, as after a call
#endif
	memset(words, 0, top - (uintptr_t)words);
	words[SAVED_ENTRY] = (uintptr_t)entry;
	context->sp = words;
}

#endif

void fiber_context_init_thread(struct fiber_context *context)
{
	*context = (struct fiber_context){0};
#if FIBER_TSAN
	context->tsan = __tsan_get_current_fiber();
#endif
}

void fiber_context_init(struct fiber_context *context, char *stack, size_t stack_bytes, void (*entry)(void))
{
	*context = (struct fiber_context){.stack = stack, .stack_bytes = stack_bytes};
#if FIBER_TSAN
	context->tsan = __tsan_create_fiber(0);
#endif
#if defined(FIBER_UCONTEXT)
	must(getcontext(&context->ucontext) == 0);
	context->ucontext.uc_stack.ss_sp = stack;
	context->ucontext.uc_stack.ss_size = stack_bytes;
	context->ucontext.uc_link = NULL;
	makecontext(&context->ucontext, entry, 0);
#else
	prepare(context, entry);
#endif
}

void fiber_context_fini(struct fiber_context *context)
{
#if FIBER_TSAN
	if (context->tsan)
		__tsan_destroy_fiber(context->tsan);
	context->tsan = NULL;
#else
	(void)context;
#endif
}

void fiber_switch(struct fiber_context *from, struct fiber_context *to, bool last)
{
#if FIBER_ASAN
	// A context that ends gives up its fake stack: NULL instead of a place to keep it.
	__sanitizer_start_switch_fiber(last ? NULL : &from->fake_stack, to->stack, to->stack_bytes);
#else
	(void)last;
#endif
#if FIBER_TSAN
	__tsan_switch_to_fiber(to->tsan, 0);
#endif
#if defined(FIBER_UCONTEXT)
	must(swapcontext(&from->ucontext, &to->ucontext) == 0);
#else
	fiber_swap_stacks(&from->sp, to->sp);
#endif
#if FIBER_ASAN
	__sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}

void fiber_switch_entered(struct fiber_context *from)
{
#if FIBER_ASAN
	const void *stack;
	size_t stack_bytes;
	__sanitizer_finish_switch_fiber(NULL, &stack, &stack_bytes);
	from->stack = (char *)(uintptr_t)stack;
	from->stack_bytes = stack_bytes;
#else
	(void)from;
#endif
}
