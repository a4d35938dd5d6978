// SPDX-License-Identifier: Apache-2.0
// Reading maps of a file that another process may cut. A page behind the end of its file is SIGBUS to the thread that reads it,
// and ends the process; between mapped_begin and mapped_end that thread reads zeros instead, and is told.
//
//     mapped_begin();
//     answer = look_into(map);
//     if (mapped_end())
//         ... the file was cut: the answer is worth nothing, and the map has to go ...
//
// Zeros that were read stay in the place of the page until it is unmapped, so the map is of no more use. What is read has to bear
// zeros where something else was: SQLite does. Of maps that are not shared (MAP_PRIVATE, the program itself) nothing is made up:
// a page of them that is missing ends the process. Pairs nest; a thread that waits for nothing between them, and a fiber that
// does not yield. Any thread of thread_start, and the main one; a SIGBUS outside of them is what it always was.
#ifndef BASE_MAPPED_H
#define BASE_MAPPED_H

#include <stdbool.h>

// The first call of a process takes SIGBUS over.
void mapped_begin(void);

// True: pages were missing since the outermost mapped_begin.
bool mapped_end(void);

#endif
