/* SPDX-License-Identifier: MIT */
/*
 * evil.c - a pipeline that attacks whatever it runs beside, in the way that its input names.
 *
 * Input: "ATTACK ARGUMENT...". Streams one string, "ok" when the attack got in, else the name of
 * the error that stopped it; some stream more. "list" answers with the names of all attacks.
 */
#include "evil.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <millrace/pipeline.h>

static const struct attack *const tables[] = {
    evil_calls,  evil_signals, evil_machine, evil_files,  evil_network,
    evil_limits, evil_segment, evil_floods,  evil_rights,
};

#define UPPER_HALF "+upper"
#define UPPER_BITS ((long)(UINT64_C(0x5a5a5a5a) << 32))

const char *evil_word(const struct evil *evil, size_t index, const char *otherwise)
{
    return index < evil->word_count ? evil->words[index] : otherwise;
}

long evil_number(const struct evil *evil, size_t index, long otherwise)
{
    return index < evil->word_count ? strtol(evil->words[index], NULL, 0) : otherwise;
}

long evil_pid(const struct evil *evil, size_t index)
{
    const char *word = evil_word(evil, index, "self");
    const char *plus = strchr(word, '+');
    size_t length = plus ? (size_t)(plus - word) : strlen(word);
    long pid = strtol(word, NULL, 10);
    if (strncmp(word, "dispatcher", length) == 0)
        pid = getppid();
    else if (strncmp(word, "spawner", length) == 0)
        pid = getsid(0);
    else if (strncmp(word, "own", length) == 0)
        pid = getpid();
    return plus && strcmp(plus, UPPER_HALF) == 0 ? pid | UPPER_BITS : pid;
}

pid_t evil_process(const struct evil *evil, size_t index)
{
    pid_t pid = (pid_t)(evil_pid(evil, index) & 0xffffffff);
    return pid == 0 ? getpid() : pid;
}

uid_t evil_user_of(pid_t pid)
{
    char path[64];
    struct stat folder;
    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    return stat(path, &folder) == 0 ? folder.st_uid : getuid();
}

int evil_say_count(struct evil *evil, long count)
{
    snprintf(evil->answer, sizeof(evil->answer), "ok %ld", count);
    return 0;
}

/* ---- the pipeline ---------------------------------------------------------------------------- */

static const struct attack *attack_find(const char *name)
{
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (const struct attack *attack = tables[t]; attack->name; attack++)
            if (strcmp(attack->name, name) == 0)
                return attack;
    return NULL;
}

static int attacks_list(struct mr_value *out)
{
    static char names[8192];
    size_t used = 0;
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (const struct attack *attack = tables[t]; attack->name; attack++)
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s\n", attack->name);
    return mr_value_string(out, names, used);
}

static int attack_run(struct evil *evil, struct mr_value *out)
{
    const struct attack *attack = attack_find(evil->words[0]);
    if (!attack)
        return mr_value_stringf(out, "no attack is named %s", evil->words[0]);
    int rc = attack->run(evil);
    if (rc < 0 && evil->answer[0] == '\0')
        return mr_value_stringf(out, "%s", strerrorname_np(-rc));
    return mr_value_stringf(out, "%s", evil->answer[0] == '\0' ? "ok" : evil->answer);
}

static int evil_next(void *state, struct mr_value *out)
{
    static char bytes[65536];
    struct evil *evil = state;
    if (evil->pace_ms > 0 && (evil->has_waited = !evil->has_waited))
        return mr_later_ms(out, evil->pace_ms);
    int64_t index = evil->next++;
    if (index == 0)
        return strcmp(evil->words[0], "list") == 0 ? attacks_list(out) : attack_run(evil, out);
    if (index > evil->chunk_count)
        return MR_END;
    memset(bytes, 'x', sizeof(bytes));
    return mr_value_string(out, bytes, evil->chunk_bytes % sizeof(bytes));
}

static void evil_close(void *state)
{
    struct evil *evil = state;
    free(evil->text);
    free(evil);
}

static int attack(struct mr_call *call)
{
    struct evil *evil = calloc(1, sizeof(*evil));
    char *text = strdup(mr_arg_string(call, 0));
    if (!evil || !text) {
        free(evil);
        free(text);
        return mr_fail(call, MR_ERROR_OOM, "out of memory");
    }
    evil->text = text;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word && evil->word_count < EVIL_WORD_COUNT_MAX;
         word = strtok_r(NULL, " ", &rest))
        evil->words[evil->word_count++] = word;
    if (evil->word_count == 0)
        evil->words[evil->word_count++] = "list";
    return mr_return_stream(call, &(struct mr_iterator){evil, evil_next, evil_close});
}

MR_PIPELINE(evil)
{
    mr_variable words = mr_input(builder, MR_STRING, .title = "attack");
    mr_output(builder, mr_pipe(builder, attack, MR_STREAM, words));
}
