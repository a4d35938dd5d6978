// SPDX-License-Identifier: Apache-2.0
// must(cond): a bug ends the process, in every build. Never used on what a peer, a file or the system sent.
#ifndef BASE_MUST_H
#define BASE_MUST_H

#define must(cond) ((cond) ? (void)0 : must_failed(#cond, __FILE__, __LINE__))

// A switch over an enum ends with this after its last case, so that a value from nowhere is caught.
#define unreachable(what) must_failed("unreachable: " what, __FILE__, __LINE__)

_Noreturn void must_failed(const char *cond, const char *file, int line);

#endif
