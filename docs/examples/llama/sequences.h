/* SPDX-License-Identifier: MIT */
/*
 * sequences.h - what the context remembers: rows of tokens that were read, of runs that are in and
 * of some that are over.
 *
 * A run whose prompt begins as one of them does goes on from there: what they have in common is not
 * read again. The row of a run that is over is taken as it is, that of another run copied.
 */
#ifndef LLAMA_SEQUENCES_H
#define LLAMA_SEQUENCES_H

#include "model.h"

struct sequence {
    llama_seq_id id;
    bool is_used;        /* by a run */
    bool is_reading;     /* that has not read its prompt to its end */
    uint64_t used_at;    /* grows; when a run left it */
    int32_t kept;        /* of its tokens the context has so many */
    int32_t count;       /* kept, and those that are to be read yet */
    llama_token *tokens; /* model.context_tokens of them */
};

/* Returns 0, or -1: there is no memory. */
int sequences_open(void);
void sequences_close(void);

/* By its id, below model.settings.parallel_count. */
struct sequence *sequence_at(int32_t id);

/* One for a run with that prompt, whose tokens it has then, and of them as many as could be taken
 * from another one: `kept`. NULL: another run reads the same beginning just now; ask again after
 * the next step. There are no more runs than sequences. */
struct sequence *sequence_take(const llama_token *prompt, int32_t count, int32_t running);

/* The run is over; what was read may be of use to another one. */
void sequence_give_back(struct sequence *sequence);

/* The context has no more than `kept` of it. */
void sequence_cut(struct sequence *sequence, int32_t kept);

/* Makes room: forgets all that is no run's. False: there was nothing. */
bool sequences_forget_unused(void);

/* The context is in a state that is not known: it is cleared. */
void sequences_forget_all(void);

#endif
