// SPDX-License-Identifier: Apache-2.0
// Names and messages: whose mailbox operation i is about, and what a message says.
#ifndef MAILLOAD_TEXT_H
#define MAILLOAD_TEXT_H

#include "client.h"

// Borrowed until the fourth call after this one.
const char *text_name(const char *pattern, long number);
const char *text_address(long i);
const char *text_login(long i);

// Who sends message i: a user who has logged in sends as himself.
const char *text_sender(long i);

// Address for operation i that nobody has.
const char *text_unknown(long i);

// By --unknown: does operation i ask for an address that nobody has?
bool text_is_unknown(long i);

void text_setup(void);

// Bytes of message i, for an APPEND; text_send sends them.
size_t text_message_bytes(long i);
void text_send(struct client *c, long i);

#endif
