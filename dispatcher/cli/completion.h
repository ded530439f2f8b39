/* SPDX-License-Identifier: MIT */
/*
 * completion.h - scripts that have a shell complete the commands, made from their tables.
 *
 * They offer commands, options, what an option can be where that is one of some words, paths where
 * one is wanted, and pointers of pipelines, for which they ask a server on the control socket.
 */
#ifndef DISPATCHER_COMPLETION_H
#define DISPATCHER_COMPLETION_H

#include <stdio.h>

/* bash 4.3 or later, with or without the package bash-completion. */
void completion_bash_print(FILE *file);

/* zsh, to be autoloaded as _millrace, or sourced after compinit. */
void completion_zsh_print(FILE *file);

#endif
