// SPDX-License-Identifier: Apache-2.0
// The MIME fields of one header (RFC 2045, 2183, 2231, 3282, 2557): what mime.c asks of each entity.
#ifndef MIME_FIELDS_H
#define MIME_FIELDS_H

#include "mail/mime.h"

// Reads header into *out, with defaults for what is absent or not valid. *budget is what is left of MIME_FIELDS_BYTES_MAX; the
// bytes of fields read are taken off it. in_digest: the default type is message/rfc822. False when a bound was met.
bool mime_fields_read(struct str header, bool in_digest, size_t *budget, struct arena *arena, struct mime_details *out);

// mime_param without any conversion to UTF-8: for boundaries.
bool mime_param_bytes(const struct mime_params *params, struct str name, struct arena *arena, struct str *bytes_out);

// Of an encoding's name as in mime_details.
enum mime_encoding mime_encoding_of(struct str name);

#endif
