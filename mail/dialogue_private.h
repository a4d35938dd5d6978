// SPDX-License-Identifier: Apache-2.0
// Between the files of the dialogue: dialogue.c is the session, dialogue_commands.c the small commands, dialogue_message.c DATA.
#ifndef DIALOGUE_PRIVATE_H
#define DIALOGUE_PRIVATE_H

#include "mail/dialogue.h"

// The handshake. False: it failed, the connection can only be closed. May wait.
bool dialogue_start_tls(struct dialogue *d);

#endif
