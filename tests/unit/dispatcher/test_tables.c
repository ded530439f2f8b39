/* SPDX-License-Identifier: MIT */
/*
 * test_tables.c - docs/internals/lifecycle.md says what tables and headers say, or this fails.
 *
 *     WRITE=1 build/release/tests/unit/dispatcher/test_tables      from the top of the repository
 *
 * writes what should be there. A block of the page is what stands between "<!-- begin NAME" and
 * "<!-- end -->"; each NAME has a function here that makes its text.
 */
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dispatcher/devices/device_fsm.h"
#include "dispatcher/http/conn_fsm.h"
#include "dispatcher/runs/pipeline_fsm.h"
#include "dispatcher/runs/run_fsm.h"
#include "dispatcher/text/text.h"
#include "dispatcher/workers/worker_fsm.h"
#include "tests/unit/shm/ring_memory.h"

#define PAGE "docs/internals/lifecycle.md"
#define WORD_COUNT_MAX 32u

/* ---- files ---- */

/* The whole file, NUL-terminated, to be freed. */
static char *file_read(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s: %s; the test runs at the top of the repository", path, strerror(errno));
    char *bytes = NULL;
    size_t room = 0;
    ssize_t count = getdelim(&bytes, &room, '\0', file);
    fclose(file);
    assert_true(count > 0);
    return bytes;
}

/* One word of an enum and its comment in the header. */
struct word {
    char name[64];
    char meaning[256];
};

/* A comment on one line, without its borders. */
static void comment_read(const char *at, const char *end, struct word *word)
{
    size_t count = 0;
    for (; at < end && count + 1 < sizeof(word->meaning); at++) {
        bool blank = isspace((unsigned char)*at) || (*at == '*' && isspace((unsigned char)at[-1]));
        if (!blank)
            word->meaning[count++] = *at;
        else if (count > 0 && word->meaning[count - 1] != ' ')
            word->meaning[count++] = ' ';
    }
    while (count > 0 && word->meaning[count - 1] == ' ')
        count--;
    word->meaning[count] = '\0';
}

/* The words of `enum name` in a header, in lower case and without their prefix; not its count. */
static size_t enum_read(const char *path, const char *name, const char *prefix, struct word *words)
{
    char *header = file_read(path), head[64];
    size_t count = 0, prefix_bytes = strlen(prefix);
    snprintf(head, sizeof(head), "enum %s {", name);
    char *at = strstr(header, head);
    assert_non_null(at);
    char *end = strstr(at, "\n};");
    assert_non_null(end);
    while ((at = strstr(at, prefix)) != NULL && at < end) {
        at += prefix_bytes;
        size_t length = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
        assert_true(count < WORD_COUNT_MAX && length < sizeof(words->name));
        struct word *word = &words[count];
        *word = (struct word){.meaning = ""};
        for (size_t i = 0; i < length; i++)
            word->name[i] = (char)tolower((unsigned char)at[i]);
        /* A comment belongs to the word when no other word comes before it. */
        char *comment = strstr(at, "/*"), *next = strstr(at, prefix);
        if (comment && comment < end && (!next || comment < next))
            comment_read(comment + 2, strstr(comment, "*/"), word);
        count += length < 5 || strcmp(word->name + length - 5, "count") != 0;
    }
    free(header);
    assert_true(count > 1);
    return count;
}

static void words_list(struct text *out, const char *what, const struct word *words, size_t count)
{
    text_add(out, "%s:\n\n", what);
    for (size_t i = 0; i < count; i++)
        text_add(out, "* *%s*%s%s\n", words[i].name, words[i].meaning[0] ? ": " : "",
                 words[i].meaning);
}

/* ---- the transitions ---- */

/* A machine as text, so that both are drawn by the same code. */
struct machine {
    unsigned state_count, event_count;
    const char *(*state_name)(unsigned state);
    const char *(*event_name)(unsigned event);
    /* The action's name, NULL where there is no such cell; *next is set. */
    const char *(*cell)(unsigned state, unsigned event, unsigned *next);
    bool is_endless;
};

static const char *run_state_text(unsigned state)
{
    return run_state_name((enum run_state)state);
}

static const char *run_event_text(unsigned event)
{
    return run_event_name((enum run_event)event);
}

static const char *run_cell_text(unsigned state, unsigned event, unsigned *next)
{
    struct run_step step = run_fsm_cell((enum run_state)state, (enum run_event)event);
    *next = step.next;
    return step.action == RUN_ACT_INVALID ? NULL : run_action_name(step.action);
}

static const char *worker_state_text(unsigned state)
{
    return worker_state_name((enum worker_state)state);
}

static const char *worker_event_text(unsigned event)
{
    return worker_event_name((enum worker_event)event);
}

static const char *worker_cell_text(unsigned state, unsigned event, unsigned *next)
{
    struct worker_step step = worker_fsm_cell((enum worker_state)state, (enum worker_event)event);
    *next = step.next;
    return step.action == WORKER_ACT_INVALID ? NULL : worker_action_name(step.action);
}

static const char *pipeline_state_text(unsigned state)
{
    return pipeline_state_name((enum pipeline_state)state);
}

static const char *pipeline_event_text(unsigned event)
{
    return pipeline_event_name((enum pipeline_event)event);
}

static const char *pipeline_cell_text(unsigned state, unsigned event, unsigned *next)
{
    struct pipeline_step step =
        pipeline_fsm_cell((enum pipeline_state)state, (enum pipeline_event)event);
    *next = step.next;
    return step.action == PIPELINE_ACT_INVALID ? NULL : pipeline_action_name(step.action);
}

static const char *device_state_text(unsigned state)
{
    return device_state_name((enum device_state)state);
}

static const char *device_event_text(unsigned event)
{
    return device_event_name((enum device_event)event);
}

static const char *device_cell_text(unsigned state, unsigned event, unsigned *next)
{
    struct device_step step = device_fsm_cell((enum device_state)state, (enum device_event)event);
    *next = step.next;
    return step.action == DEVICE_ACT_INVALID ? NULL : device_action_name(step.action);
}

static const char *conn_state_text(unsigned state)
{
    return conn_state_name((enum conn_state)state);
}

static const char *conn_event_text(unsigned event)
{
    return conn_event_name((enum conn_event)event);
}

static const char *conn_cell_text(unsigned state, unsigned event, unsigned *next)
{
    struct conn_step step = conn_fsm_cell((enum conn_state)state, (enum conn_event)event);
    *next = step.next;
    return step.action == CONN_ACT_INVALID ? NULL : conn_action_name(step.action);
}

static const struct machine run_machine = {.state_count = RUN_STATE_COUNT,
                                           .event_count = RUN_EV_COUNT,
                                           .state_name = run_state_text,
                                           .event_name = run_event_text,
                                           .cell = run_cell_text};
static const struct machine worker_machine = {.state_count = WORKER_STATE_COUNT,
                                              .event_count = WORKER_EV_COUNT,
                                              .state_name = worker_state_text,
                                              .event_name = worker_event_text,
                                              .cell = worker_cell_text};
static const struct machine pipeline_machine = {.state_count = PIPELINE_STATE_COUNT,
                                                .event_count = PIPELINE_EV_COUNT,
                                                .state_name = pipeline_state_text,
                                                .event_name = pipeline_event_text,
                                                .cell = pipeline_cell_text,
                                                .is_endless = true};

static const struct machine conn_machine = {.state_count = CONN_STATE_COUNT,
                                            .event_count = CONN_EV_COUNT,
                                            .state_name = conn_state_text,
                                            .event_name = conn_event_text,
                                            .cell = conn_cell_text};

static const struct machine device_machine = {.state_count = DEVICE_STATE_COUNT,
                                              .event_count = DEVICE_EV_COUNT,
                                              .state_name = device_state_text,
                                              .event_name = device_event_text,
                                              .cell = device_cell_text};

/* State 0 is where a life begins and ends; one without an end only begins there. */
static const char *node(const struct machine *machine, unsigned state)
{
    return state == 0 && !machine->is_endless ? "[*]" : machine->state_name(state);
}

/*
 * One arrow for each pair of states and action, with all events that take it; what stays in its
 * state is one, too. So a pair that cannot happen is one without an arrow.
 */
static void diagram(struct text *out, const struct machine *machine)
{
    text_add(out, "```mermaid\nstateDiagram-v2\n");
    if (machine->is_endless)
        text_add(out, "    [*] --> %s\n", machine->state_name(0));
    for (unsigned state = 0; state < machine->state_count; state++) {
        for (unsigned event = 0; event < machine->event_count; event++) {
            unsigned next, other;
            const char *action = machine->cell(state, event, &next);
            bool drawn = !action;
            for (unsigned i = 0; i < event && !drawn; i++) {
                const char *same = machine->cell(state, i, &other);
                drawn = same && other == next && strcmp(same, action) == 0;
            }
            if (drawn)
                continue;
            text_add(out, "    %s --> %s: ", node(machine, state), node(machine, next));
            for (unsigned i = event; i < machine->event_count; i++) {
                const char *same = machine->cell(state, i, &other);
                if (same && other == next && strcmp(same, action) == 0)
                    text_add(out, "%s%s", i > event ? ", " : "", machine->event_name(i));
            }
            text_add(out, " / %s\n", action);
        }
    }
    text_add(out, "```\n");
}

/* The names that the drawings print and the comments of the header. */
static void machine_words(struct text *out, const char *path, const char *what, const char *name,
                          const char *prefix)
{
    struct word words[WORD_COUNT_MAX];
    words_list(out, what, words, enum_read(path, name, prefix, words));
}

/* ---- slots: the arrows of layout.h ---- */

/* Reads " *   FREE     -> OFFERED   dispatcher   new generation; ..." at `line`. */
static bool arrow_read(const char *line, char from[16], char to[16], char who[16], char when[80])
{
    return sscanf(line, " * %15[A-Z] -> %15[A-Z] %15[a-z] %79[^\n]", from, to, who, when) == 4;
}

static void slot_arrows(struct text *out, const char *head, const char *format_is_table)
{
    char *header = file_read("include/millrace/layout.h");
    char from[16], to[16], who[16], when[80];
    unsigned count = 0;
    text_add(out, "%s", head);
    for (char *line = header; line; line = strchr(line, '\n'), line += line != NULL) {
        if (!arrow_read(line, from, to, who, when))
            continue;
        count++;
        for (char *at = from; *at; at++)
            *at = (char)tolower((unsigned char)*at);
        for (char *at = to; *at; at++)
            *at = (char)tolower((unsigned char)*at);
        if (format_is_table)
            text_add(out, "| %s → %s | %s | %s |\n", from, to, who, when);
        else
            text_add(out, "    %s --> %s: %s\n", from, to, who);
    }
    free(header);
    assert_true(count >= 6);
}

/* ---- blocks ---- */

static void make_run_states(struct text *out)
{
    machine_words(out, "dispatcher/runs/run_fsm.h", "States", "run_state", "RUN_");
}

static void make_run_diagram(struct text *out)
{
    diagram(out, &run_machine);
}

static void make_run_events(struct text *out)
{
    machine_words(out, "dispatcher/runs/run_fsm.h", "Events", "run_event", "RUN_EV_");
}

static void make_worker_states(struct text *out)
{
    machine_words(out, "dispatcher/workers/worker_fsm.h", "States", "worker_state", "WORKER_");
}

static void make_worker_diagram(struct text *out)
{
    diagram(out, &worker_machine);
}

static void make_worker_events(struct text *out)
{
    machine_words(out, "dispatcher/workers/worker_fsm.h", "Events", "worker_event", "WORKER_EV_");
}

static void make_pipeline_states(struct text *out)
{
    machine_words(out, "dispatcher/runs/pipeline_fsm.h", "States", "pipeline_state", "PIPELINE_");
}

static void make_pipeline_diagram(struct text *out)
{
    diagram(out, &pipeline_machine);
}

static void make_pipeline_events(struct text *out)
{
    machine_words(out, "dispatcher/runs/pipeline_fsm.h", "Events", "pipeline_event",
                  "PIPELINE_EV_");
}

static void make_slot_diagram(struct text *out)
{
    slot_arrows(out, "```mermaid\nstateDiagram-v2\n    [*] --> free\n", NULL);
    text_add(out, "```\n");
}

static void make_slot_table(struct text *out)
{
    slot_arrows(out, "| arrow | taken by | when |\n|---|---|---|\n", "table");
}

static void make_device_states(struct text *out)
{
    machine_words(out, "dispatcher/devices/device_fsm.h", "States", "device_state", "DEVICE_");
}

static void make_device_diagram(struct text *out)
{
    diagram(out, &device_machine);
}

static void make_device_events(struct text *out)
{
    machine_words(out, "dispatcher/devices/device_fsm.h", "Events", "device_event", "DEVICE_EV_");
}

static void make_connection_states(struct text *out)
{
    machine_words(out, "dispatcher/http/conn_fsm.h", "States", "conn_state", "CONN_");
}

static void make_connection_diagram(struct text *out)
{
    diagram(out, &conn_machine);
}

static void make_connection_events(struct text *out)
{
    machine_words(out, "dispatcher/http/conn_fsm.h", "Events", "conn_event", "CONN_EV_");
}

static void make_server_states(struct text *out)
{
    machine_words(out, "dispatcher/server/server.h", "States", "server_state", "SERVER_");
}

static const struct block {
    const char *name;
    void (*make)(struct text *out);
} blocks[] = {
    {"run states", make_run_states},
    {"run diagram", make_run_diagram},
    {"run events", make_run_events},
    {"worker states", make_worker_states},
    {"worker diagram", make_worker_diagram},
    {"worker events", make_worker_events},
    {"pipeline states", make_pipeline_states},
    {"pipeline diagram", make_pipeline_diagram},
    {"pipeline events", make_pipeline_events},
    {"slot diagram", make_slot_diagram},
    {"slot table", make_slot_table},
    {"device states", make_device_states},
    {"device diagram", make_device_diagram},
    {"device events", make_device_events},
    {"connection states", make_connection_states},
    {"connection diagram", make_connection_diagram},
    {"connection events", make_connection_events},
    {"server states", make_server_states},
};

/* ---- the page ---- */

/* What stands inside the block: *begin behind the line of its mark, *end before the end mark. */
static void block_find(const char *page, const char *name, const char **begin, const char **end)
{
    char mark[80];
    snprintf(mark, sizeof(mark), "<!-- begin %s", name);
    const char *at = strstr(page, mark);
    if (!at)
        fail_msg("%s has no block \"%s\"", PAGE, mark);
    at = strstr(at, "-->\n");
    assert_non_null(at);
    *begin = at + 4;
    *end = strstr(*begin, "<!-- end -->");
    assert_non_null(*end);
}

static void write_all(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
        char *page = file_read(PAGE);
        const char *begin, *end;
        struct text out = {0};
        block_find(page, blocks[i].name, &begin, &end);
        text_add_bytes(&out, page, (size_t)(begin - page));
        blocks[i].make(&out);
        text_add(&out, "%s", end);
        FILE *file = fopen(PAGE, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(out.bytes, 1, out.count, file), out.count);
        assert_int_equal(fclose(file), 0);
        text_finish(&out);
        free(page);
    }
}

static void the_page_shows_what_tables_and_headers_say(void **state)
{
    (void)state;
    if (environment_number("WRITE", 0) != 0)
        write_all();
    char *page = file_read(PAGE);
    for (size_t i = 0; i < ARRAY_COUNT(blocks); i++) {
        const char *begin, *end;
        struct text expected = {0};
        block_find(page, blocks[i].name, &begin, &end);
        blocks[i].make(&expected);
        assert_false(expected.failed);
        if ((size_t)(end - begin) != expected.count ||
            memcmp(begin, expected.bytes, expected.count) != 0)
            fail_msg("block \"%s\" of %s is not what the source says; "
                     "WRITE=1 build/release/tests/unit/dispatcher/test_tables writes it",
                     blocks[i].name, PAGE);
        text_finish(&expected);
    }
    free(page);
}

/* Drawings by hand must name every state, and no other. */
static void drawing_check(const char *name, const char *path, const char *enum_name,
                          const char *prefix)
{
    struct word words[WORD_COUNT_MAX];
    size_t count = enum_read(path, enum_name, prefix, words);
    char *page = file_read(PAGE);
    const char *begin, *end;
    block_find(page, name, &begin, &end);
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i].name, "free") != 0 &&
            !memmem(begin, (size_t)(end - begin), words[i].name, strlen(words[i].name)))
            fail_msg("the drawing \"%s\" lacks the state %s", name, words[i].name);
    for (const char *at = begin; (at = strstr(at, " --> ")) != NULL && at < end; at += 5) {
        const char *from = at;
        while (from[-1] != ' ' && from[-1] != '\n')
            from--;
        bool known = strncmp(from, "[*]", 3) == 0;
        for (size_t i = 0; i < count; i++)
            known |= (size_t)(at - from) == strlen(words[i].name) &&
                     strncmp(from, words[i].name, (size_t)(at - from)) == 0;
        if (!known)
            fail_msg("the drawing \"%s\" knows a state \"%.*s\"", name, (int)(at - from), from);
    }
    free(page);
}

static void drawings_by_hand_name_the_states_there_are(void **state)
{
    (void)state;
    drawing_check("server drawing", "dispatcher/server/server.h", "server_state", "SERVER_");
}

int main(void)
{
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_shows_what_tables_and_headers_say),
        cmocka_unit_test(drawings_by_hand_name_the_states_there_are),
    };
    return cmocka_run_group_tests_name("tables", tests, descriptors_note, descriptors_compare);
}
