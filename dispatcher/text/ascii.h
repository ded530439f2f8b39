/* SPDX-License-Identifier: MIT */
/* ascii.h - letters as protocols compare them: whatever the locale says. */
#ifndef DISPATCHER_ASCII_H
#define DISPATCHER_ASCII_H

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

#endif
